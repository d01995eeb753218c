/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "config/config.h"
#include "config/kind.h"
#include "config/xpath_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char wrong[] = "jobs:\n"
			    "  docs:\n"
			    "    kind: crawl\n"
			    "    start: [\"http://docs.example.org/\"]\n"
			    "    follow: {domains: [docs.example.org]}\n"
			    "    extract:\n"
			    "      - match: \".*\"\n"
			    "        fields:\n"
			    "          good: {xpath: \"//h1\"}\n"
			    "          bad: {xpath: \"//h1[\"}\n"
			    "          none: {xpath: nosuch(//p)}\n"
			    "    store: {table: pages, key: [url]}\n";

static struct config *load(const char *text, char *path)
{
	struct buf report = BUF_INIT;
	struct config *config = NULL;
	FILE *f;
	strcpy(path, "/tmp/drover-xpath-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_non_null(f = fdopen(fd, "w"));
	fputs(text, f);
	fclose(f);
	struct config_options options = { .file = path, .kinds = worker_kinds };
	if (config_load(&config, &options, &report) < 0)
		fail_msg("%s", buf_str(&report));
	buf_finish(&report);
	return config;
}

/* The report, with the file's name as F. */
static void check(const char *text, const char *program, const char *wanted)
{
	char path[64], beside[4096];
	struct config *config = load(text, path);
	struct buf report = BUF_INIT, got = BUF_INIT;
	if (!program) {
		ssize_t len = readlink("/proc/self/exe", beside, sizeof(beside) - 32);
		beside[len] = '\0';
		strcpy(strrchr(beside, '/'), "/drover-parser");
		program = beside;
	}
	int r = parser_check_xpaths(config, program, &report, false);
	for (const char *p = buf_str(&report); *p;) {
		bool name = strncmp(p, path, strlen(path)) == 0;
		buf_add(&got, name ? "F" : p, 1);
		p += name ? strlen(path) : 1;
	}
	assert_string_equal(buf_str(&got), wanted);
	assert_int_equal(r < 0, *wanted != '\0');
	buf_finish(&report);
	buf_finish(&got);
	config_free(config);
	unlink(path);
}

static void wrong_expressions_are_told_with_their_place(void **state)
{
	(void)state;
	check(wrong, NULL,
		"F:10:29: error: wrong expression\n"
		"   10 |           bad: {xpath: \"//h1[\"}\n"
		"      |                             ^\n"
		"F:11:25: error: there is no such function\n"
		"   11 |           none: {xpath: nosuch(//p)}\n"
		"      |                         ^\n");
}

static void without_expressions_no_program_is_started(void **state)
{
	(void)state;
	check("logs: {level: info}\n", "/nonexistent", "");
}

static void a_program_that_does_not_work_is_an_error(void **state)
{
	(void)state;
	check(wrong, "/bin/true",
		"F: error: the XPath expressions could not be checked: /bin/true failed\n");
	check(wrong, "/nonexistent",
		"F: error: the XPath expressions could not be checked: /nonexistent failed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_expressions_are_told_with_their_place),
		cmocka_unit_test(without_expressions_no_program_is_started),
		cmocka_unit_test(a_program_that_does_not_work_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
