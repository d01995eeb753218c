/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "config/load.h"

#include "base/buf.h"
#include "base/str.h"
#include "config/context.h"
#include "config/kind.h"

#include <stdio.h>
#include <string.h>

static struct {
	const char *name, *value;
} variables[16];
static size_t variable_count;

void test_setenv(const char *name, const char *value)
{
	assert_in_range(variable_count, 0, ARRAY_SIZE(variables) - 1);
	variables[variable_count].name = name;
	variables[variable_count++].value = value;
}

void test_clearenv(void)
{
	variable_count = 0;
}

const char *test_getenv(const char *name)
{
	for (size_t i = 0; i < variable_count; i++)
		if (str_eq(variables[i].name, name))
			return variables[i].value;
	return NULL;
}

struct config_options test_options(const char *file)
{
	return (struct config_options) {
		.file = file, .kinds = worker_kinds, .getenv = test_getenv
	};
}

int test_load(struct config **out, const char *yaml, struct buf *report)
{
	struct config_options options = test_options("t.yaml");
	return config_load_memory(out, &options, "t.yaml", yaml, strlen(yaml), report);
}

struct config *must_load(const char *yaml)
{
	struct buf report = BUF_INIT;
	struct config *config = NULL;
	int rc = test_load(&config, yaml, &report);
	if (rc != 0)
		fail_msg("does not load:\n%s\n%s", yaml, buf_str(&report));
	buf_finish(&report);
	assert_non_null(config);
	return config;
}

void must_fail(const char *yaml, ...)
{
	struct buf report = BUF_INIT;
	struct config *config = NULL;
	assert_int_not_equal(test_load(&config, yaml, &report), 0);
	assert_null(config);
	va_list ap;
	va_start(ap, yaml);
	for (const char *text = va_arg(ap, const char *); text; text = va_arg(ap, const char *))
		if (!strstr(buf_str(&report), text))
			fail_msg("\"%s\" is not in:\n%s\nof\n%s", text, buf_str(&report), yaml);
	va_end(ap);
	buf_finish(&report);
}
