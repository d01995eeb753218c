/* SPDX-License-Identifier: MIT */
/* What the monitor says of what it knows; probes and the HTTP endpoint itself: tests/integration.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "loop/loop.h"
#include "monitor/health.h"
#include "monitor/metrics.h"
#include "monitor/monitor.h"
#include "monitor/server.h"
#include "stats/stats.h"
#include "worker/worker.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct stats *segment;
static char segment_path[64];

struct stats *worker_stats_segment(struct worker *w UNUSED)
{
	return segment;
}

static int watched;

int worker_send(struct worker *w UNUSED, enum message_id id, const void *body UNUSED)
{
	watched += id == MSG_WATCHED;
	return 0;
}

static int setup(void **state)
{
	static struct monitor m;
	static const char *const summary =
		"{\"supervisor\": {}, \"processes\": ["
		"{\"name\": \"scheduler\", \"state\": \"running\", \"restarts\": 2, \"strikes\": 1,"
		" \"memory_bytes\": 4096},"
		"{\"name\": \"db\", \"state\": \"stopped\", \"restarts\": 0, \"strikes\": 0,"
		" \"memory_bytes\": null}]}";
	struct err err;
	snprintf(segment_path, sizeof(segment_path), "/tmp/drover-monitor-%d", (int)getpid());
	assert_int_equal(stats_create(&segment, segment_path, &err), 0);
	m = (struct monitor) { .machine = { 10, 20, 30 },
		.queue = { .ready = 3,
			.claimed = 2,
			.delayed = 1,
			.dead = 4,
			.oldest_ready_ms = 1500 },
		.queue_known = true };
	buf_add_str(&m.summary, summary);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	struct monitor *m = *state;
	buf_finish(&m->summary);
	stats_close(segment);
	unlink(segment_path);
	return 0;
}

static void know(struct monitor *m, const char *summary)
{
	buf_reset(&m->summary);
	buf_add_str(&m->summary, summary);
}

static void process_is(struct monitor *m, const char *state)
{
	char summary[256];
	snprintf(summary, sizeof(summary),
		"{\"processes\": [{\"name\": \"a\", \"state\": \"running\"},"
		" {\"name\": \"b\", \"state\": \"%s\"}]}",
		state);
	know(m, summary);
}

/* ---- the Host header ---- */

static void our_address_and_localhost_with_our_port_are_our_host(void **state UNUSED)
{
	assert_true(server_is_our_host("127.0.0.1:8470", "127.0.0.1:8470"));
	assert_true(server_is_our_host("127.0.0.1:8470", "localhost:8470"));
	assert_true(server_is_our_host("127.0.0.1:8470", "LocalHost:8470"));
	assert_true(server_is_our_host("[::1]:8470", "[::1]:8470"));
	assert_true(server_is_our_host("[::1]:8470", "localhost:8470"));
	assert_true(server_is_our_host("127.0.0.1:80", "127.0.0.1"));
	assert_true(server_is_our_host("127.0.0.1:80", "localhost"));
}

static void every_other_host_is_not_ours(void **state UNUSED)
{
	static const char *const others[] = { "", "127.0.0.1", "localhost", "127.0.0.1:8471",
		"127.0.0.1:84701", "127.0.0.1:847", "evil.example:8470", "127.0.0.1.evil:8470",
		"evil127.0.0.1:8470", "localhost.evil:8470", "127.0.0.1:8470:8470", "[::1]:8470",
		"127.0.0.2:8470", ":8470", " 127.0.0.1:8470", "127.0.0.1:8470 " };
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (server_is_our_host("127.0.0.1:8470", others[i]))
			fail_msg("'%s' is taken for ours", others[i]);
	assert_false(server_is_our_host("127.0.0.1:8470", NULL));
	assert_false(server_is_our_host("[::1]:8470", "::1:8470"));
}

/* ---- grades ---- */

static void a_grade_begins_at_its_warning_and_above_its_critical_value(void **state UNUSED)
{
	assert_int_equal(health_grade(79.9, 80, 90), HEALTH_NORMAL);
	assert_int_equal(health_grade(80, 80, 90), HEALTH_WARNING);
	assert_int_equal(health_grade(90, 80, 90), HEALTH_WARNING);
	assert_int_equal(health_grade(90.1, 80, 90), HEALTH_CRITICAL);
	assert_int_equal(health_grade(-1, 80, 90), HEALTH_NORMAL);
}

static void the_worst_check_is_the_level(void **state)
{
	struct monitor *m = *state;
	assert_int_equal(health_level(m), HEALTH_NORMAL);
	m->machine.cpu_percent = 86;
	assert_int_equal(health_level(m), HEALTH_WARNING);
	m->machine.memory_percent = 91;
	assert_int_equal(health_level(m), HEALTH_CRITICAL);
	m->machine = (struct machine_sample) { -1, -1, -1 };
	assert_int_equal(health_level(m), HEALTH_NORMAL);
	m->queue_known = false;
	assert_int_equal(health_level(m), HEALTH_WARNING);
}

static void processes_are_graded_by_their_states(void **state)
{
	static const struct {
		const char *state;
		enum health_level level;
	} cases[] = {
		{ "running", HEALTH_NORMAL },
		{ "stopped", HEALTH_NORMAL },
		{ "starting", HEALTH_WARNING },
		{ "waiting", HEALTH_WARNING },
		{ "stopping", HEALTH_WARNING },
		{ "failed", HEALTH_CRITICAL },
		{ "stuck", HEALTH_CRITICAL },
	};
	struct monitor *m = *state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		process_is(m, cases[i].state);
		assert_int_equal(health_level(m), cases[i].level);
	}
}

static void ready_means_store_and_every_process(void **state)
{
	struct monitor *m = *state;
	struct buf why = BUF_INIT;
	assert_true(health_ready(m, &why));
	process_is(m, "waiting");
	assert_false(health_ready(m, &why));
	assert_string_equal(buf_str(&why), "b is waiting\n");
	buf_reset(&why);
	know(m, "");
	assert_false(health_ready(m, &why));
	buf_reset(&why);
	process_is(m, "running");
	m->queue_known = false;
	assert_false(health_ready(m, &why));
	assert_string_equal(buf_str(&why), "the database does not answer\n");
	buf_finish(&why);
}

static json_t *health(struct monitor *m)
{
	struct buf json = BUF_INIT;
	health_json(m, &json);
	json_t *root = json_loadb(buf_str(&json), json.len, 0, NULL);
	buf_finish(&json);
	assert_non_null(root);
	return root;
}

static void the_answer_names_each_check_with_its_grade(void **state)
{
	struct monitor *m = *state;
	const char *level, *processes, *cpu;
	double value;
	process_is(m, "failed");
	m->machine.cpu_percent = 86.5;
	json_t *root = health(m);
	assert_int_equal(json_unpack(root, "{s:{s:s, s:{s:{s:s}, s:{s:s, s:F}}}}", "health",
				 "level", &level, "checks", "processes", "level", &processes, "cpu",
				 "level", &cpu, "value", &value),
		0);
	assert_string_equal(level, "critical");
	assert_string_equal(processes, "critical");
	assert_string_equal(cpu, "warning");
	assert_float_equal(value, 86.5, 0.01);
	json_decref(root);
	m->machine.cpu_percent = -1;
	root = health(m);
	const json_t *checks = json_object_get(json_object_get(root, "health"), "checks");
	assert_true(json_is_null(json_object_get(json_object_get(checks, "cpu"), "value")));
	json_decref(root);
}

/* ---- /metrics ---- */

static const char *metrics(struct monitor *m)
{
	static char text[262144];
	struct buf out = BUF_INIT;
	metrics_text(m, &out);
	assert_false(buf_failed(&out));
	snprintf(text, sizeof(text), "%s", buf_str(&out));
	buf_finish(&out);
	return text;
}

#define assert_line(text, line)                                       \
	do {                                                          \
		if (!strstr(text, "\n" line "\n"))                    \
			fail_msg("no line '%s' in:\n%s", line, text); \
	} while (0)

static void metrics_say_what_is_known_and_leave_out_the_rest(void **state)
{
	const char *text = metrics(*state);
	assert_line(text, "drover_process_up{process=\"scheduler\"} 1");
	assert_line(text, "drover_process_up{process=\"db\"} 0");
	assert_line(text, "drover_process_restarts_total{process=\"scheduler\"} 2");
	assert_line(text, "drover_process_resident_memory_bytes{process=\"scheduler\"} 4096");
	assert_null(strstr(text, "drover_process_resident_memory_bytes{process=\"db\"}"));
	assert_line(text, "drover_queue_tasks{state=\"dead\"} 4");
	assert_line(text, "drover_queue_oldest_ready_seconds 1.500");
	assert_line(text, "drover_store_up 1");
	assert_line(text, "drover_health_level 0");
}

static void without_a_store_its_numbers_are_absent(void **state)
{
	struct monitor *m = *state;
	m->queue_known = false;
	const char *text = metrics(m);
	assert_line(text, "drover_store_up 0");
	assert_null(strstr(text, "drover_queue_tasks"));
}

static void labels_are_escaped(void **state)
{
	struct monitor *m = *state;
	know(m, "{\"processes\": [{\"name\": \"a\\\"b\\\\c\\nd\", \"state\": \"running\"}]}");
	assert_line(metrics(m), "drover_process_up{process=\"a\\\"b\\\\c\\nd\"} 1");
}

static void workers_numbers_are_those_of_the_segment(void **state)
{
	struct stats_slot *slot = stats_slot(segment, 5, "collect:1");
	stats_add(slot, STAT_requests, 42);
	stats_set(slot, STAT_tasks_held, 3);
	for (int i = 1; i <= 100; i++)
		stats_sample(slot, STAT_request_seconds, i * 10000);
	const char *text = metrics(*state);
	assert_line(text, "drover_worker_requests_total{worker=\"collect:1\"} 42");
	assert_line(text, "drover_worker_tasks_held{worker=\"collect:1\"} 3");
	assert_line(text, "drover_worker_request_seconds_count{worker=\"collect:1\"} 100");
	const char *p99 = strstr(
		text, "drover_worker_request_seconds{worker=\"collect:1\",quantile=\"0.99\"} ");
	assert_non_null(p99);
	assert_float_equal(strtod(strchr(p99, ' '), NULL), 0.99, 0.02);
}

static void a_summary_that_is_no_json_is_no_crash(void **state)
{
	struct monitor *m = *state;
	static const char *const broken[] = { "", "{", "[]", "{\"processes\": 5}",
		"{\"processes\": [7, null, {}, {\"name\": 1, \"state\": 2}]}" };
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		know(m, broken[i]);
		assert_null(strstr(metrics(m), "drover_process_up{"));
		assert_int_equal(health_level(m), HEALTH_NORMAL);
	}
}

static void the_supervisor_is_told_of_readers_once_in_five_seconds(void **state)
{
	struct monitor *m = *state;
	struct err err = { 0 };
	assert_int_equal(loop_new(&m->loop, &err), 0);
	watched = 0;
	monitor_watched(m);
	monitor_watched(m);
	assert_int_equal(watched, 1);
	m->watched_ms -= 5000;
	monitor_watched(m);
	assert_int_equal(watched, 2);
	loop_free(m->loop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_address_and_localhost_with_our_port_are_our_host),
		cmocka_unit_test(every_other_host_is_not_ours),
		cmocka_unit_test(a_grade_begins_at_its_warning_and_above_its_critical_value),
		TEST(the_worst_check_is_the_level),
		TEST(processes_are_graded_by_their_states),
		TEST(ready_means_store_and_every_process),
		TEST(the_answer_names_each_check_with_its_grade),
		TEST(metrics_say_what_is_known_and_leave_out_the_rest),
		TEST(without_a_store_its_numbers_are_absent),
		TEST(labels_are_escaped),
		TEST(workers_numbers_are_those_of_the_segment),
		TEST(a_summary_that_is_no_json_is_no_crash),
		TEST(the_supervisor_is_told_of_readers_once_in_five_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
