/* SPDX-License-Identifier: MIT */
/* What a service was started with, as a number that outlives droverd. */
#include "unit.h"

#include "config/load.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "config/tables.h"

#include <stdio.h>
#include <string.h>

/* One other value for each field of a service; the test below fails when one is missing. */
static const struct {
	const char *path, *yaml;
} others[] = {
	{ "command", "command: [run, it, else]" },
	{ "directory", "directory: /tmp" },
	{ "user", "user: root" },
	{ "group", "group: daemon" },
	{ "groups", "groups: [daemon]" },
	{ "log_group", "log_group: daemon" },
	{ "umask", "umask: '027'" },
	{ "environment", "environment: {A: '2'}" },
	{ "rlimits.nofile", "rlimits: {nofile: 100}" },
	{ "rlimits.nproc", "rlimits: {nproc: 100}" },
	{ "rlimits.core", "rlimits: {core: 1MB}" },
	{ "rlimits.memory", "rlimits: {memory: 1GB}" },
	{ "nice", "nice: 5" },
	{ "oom_score_adjust", "oom_score_adjust: 100" },
	{ "memory_limit", "memory_limit: 100MB" },
	{ "processes", "processes: 3" },
	{ "depends_on", "depends_on: [b]" },
	{ "probe.http.url", "probe: {http: 'http://127.0.0.1:1/'}" },
	{ "probe.http.status", "probe: {http: {url: 'http://127.0.0.1:1/', status: 404}}" },
	{ "probe.http.body", "probe: {http: {url: 'http://127.0.0.1:1/', body: x}}" },
	{ "probe.tcp", "probe: {tcp: '127.0.0.1:1'}" },
	{ "probe.exec", "probe: {exec: ['true']}" },
	{ "probe.notify", "probe: {notify: true}" },
	{ "probe.interval", "probe: {interval: 50s}" },
	{ "probe.timeout", "probe: {timeout: 5s}" },
	{ "probe.failures", "probe: {failures: 5}" },
	{ "probe.start_period", "probe: {start_period: 5s}" },
	{ "restart.policy", "restart: {policy: never}" },
	{ "restart.min_interval", "restart: {min_interval: 5s}" },
	{ "restart.jitter", "restart: {jitter: 5s}" },
	{ "restart.when_held", "restart: {when_held: stop}" },
	{ "stop.signal", "stop: {signal: INT}" },
	{ "stop.timeout", "stop: {timeout: 5s}" },
};

static uint64_t fingerprint_of(const char *fields)
{
	char yaml[1024];
	snprintf(yaml, sizeof(yaml), "services: {b: {command: [x]}, a: {%s}}", fields);
	struct config *config = must_load(yaml);
	uint64_t number = config_fingerprint(config, "a");
	assert_int_not_equal(number, 0);
	config_free(config);
	return number;
}

static uint64_t with(const char *more)
{
	char fields[512];
	snprintf(fields, sizeof(fields), "%s%s%s",
		str_starts(more, "command:") ? "" : "command: [run, it]",
		*more && !str_starts(more, "command:") ? ", " : "", more);
	return fingerprint_of(fields);
}

static void check_fields(const struct config_field *fields, const char *above, uint64_t plain)
{
	for (const struct config_field *f = fields; f->name; f++) {
		char path[128];
		const char *yaml = NULL;
		snprintf(path, sizeof(path), "%s%s%s", above, *above ? "." : "", f->name);
		if (f->type == CONFIG_STRUCT) {
			check_fields(f->fields, path, plain);
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			if (str_eq(others[i].path, path))
				yaml = others[i].yaml;
		if (!yaml)
			fail_msg("this test knows no other value for services.NAME.%s", path);
		else if ((with(yaml) != plain) != (f->apply == APPLY_RESTART))
			fail_msg("services.NAME.%s is%s restarted for, and makes %s number", path,
				f->apply == APPLY_RESTART ? "" : " not",
				f->apply == APPLY_RESTART ? "the same" : "another");
	}
}

static void what_needs_a_restart_changes_it_and_nothing_else_does(void **state UNUSED)
{
	check_fields(service_fields, "", with(""));
}

static void a_default_that_is_written_out_changes_nothing(void **state UNUSED)
{
	assert_int_equal(
		with("umask: '022', nice: 0, oom_score_adjust: 0, rlimits: {core: 0B}"), with(""));
	assert_int_equal(with("environment: {}, groups: []"), with(""));
}

static void the_order_of_lines_and_variables_changes_nothing(void **state UNUSED)
{
	uint64_t one = with("environment: {A: '1', B: '2', C: '3'}, nice: 1, umask: '077'");
	assert_int_equal(with("umask: '077', environment: {C: '3', A: '1', B: '2'}, nice: 1"), one);
	assert_int_not_equal(
		with("environment: {A: '2', B: '1', C: '3'}, nice: 1, umask: '077'"), one);
}

static void the_order_of_a_command_is_the_command(void **state UNUSED)
{
	assert_int_not_equal(with("command: [run, a, b]"), with("command: [run, b, a]"));
	assert_int_not_equal(with("command: [run, a, b]"), with("command: [run, 'a,b']"));
	assert_int_not_equal(with("command: [run, ab]"), with("command: [run, a, b]"));
}

static void values_do_not_run_into_each_other(void **state UNUSED)
{
	assert_int_not_equal(
		with("environment: {A: 'B', C: ''}"), with("environment: {A: '', C: 'B'}"));
	assert_int_not_equal(with("environment: {AB: 'C'}"), with("environment: {A: 'BC'}"));
	assert_int_not_equal(with("user: root"), with("group: root"));
}

static void what_is_not_configured_has_none(void **state UNUSED)
{
	struct config *config = must_load("services: {a: {command: [x]}}");
	assert_int_equal(config_fingerprint(config, "b"), 0);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_needs_a_restart_changes_it_and_nothing_else_does),
		cmocka_unit_test(a_default_that_is_written_out_changes_nothing),
		cmocka_unit_test(the_order_of_lines_and_variables_changes_nothing),
		cmocka_unit_test(the_order_of_a_command_is_the_command),
		cmocka_unit_test(values_do_not_run_into_each_other),
		cmocka_unit_test(what_is_not_configured_has_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
