/* SPDX-License-Identifier: MIT */
/* Health that stays critical, seen through the timer that takes the samples. */
#include "unit.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "log/log.h"
#include "monitor/machine.h"
#include "monitor/monitor.h"
#include "monitor/sampler.h"
#include "queue/queue_answers.h"
#include "worker/worker.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static struct monitor m;
static int log_fds[LOG_CATEGORIES][2];
static queue_metrics_cb queue_asked;

/* The store never answers: that is a warning, not more. */
void queue_metrics(struct store *store UNUSED, queue_metrics_cb cb, void *arg UNUSED)
{
	queue_asked = cb;
}

static struct machine_sample machine;

void machine_look(struct monitor *monitor)
{
	monitor->machine = machine;
}

int worker_send(struct worker *w UNUSED, enum message_id id UNUSED, const void *body UNUSED)
{
	return 0;
}

struct stats *worker_stats_segment(struct worker *w UNUSED)
{
	return NULL;
}

static void process_is(const char *state)
{
	char summary[128];
	snprintf(summary, sizeof(summary),
		"{\"processes\": [{\"name\": \"db\", \"state\": \"%s\"}]}", state);
	buf_reset(&m.summary);
	buf_add_str(&m.summary, summary);
}

static int setup(void **state UNUSED)
{
	int fds[LOG_CATEGORIES];
	fake_clock_reset();
	m = (struct monitor) { .queue_known = true };
	machine = (struct machine_sample) { -1, -1, -1 };
	assert_int_equal(loop_new(&m.loop, NULL), 0);
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		assert_int_equal(pipe2(log_fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		fds[i] = log_fds[i][1];
	}
	log_open("monitor", fds, LOG_INFO);
	return 0;
}

static int teardown(void **state UNUSED)
{
	sampler_stop(&m);
	assert_int_equal(fake_loop_watchers(m.loop), 0);
	loop_free(m.loop);
	buf_finish(&m.summary);
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		close(log_fds[i][0]);
		close(log_fds[i][1]);
	}
	return 0;
}

/* How many records of health `event` came since the last look; *last is the last of them. */
static int told(const char *event, json_t **last)
{
	char text[65536];
	int count = 0;
	ssize_t len = read(log_fds[HEALTH][0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		json_t *record = json_loads(line, 0, NULL);
		assert_non_null(record);
		if (strcmp(json_string_value(json_object_get(record, "event")), event) == 0) {
			count++;
			if (last) {
				json_decref(*last);
				*last = json_incref(record);
			}
		}
		json_decref(record);
	}
	return count;
}

#define RECOMMENDED() told("RESTART_RECOMMENDED", NULL)

static void start(const char *state)
{
	process_is(state);
	assert_int_equal(sampler_start(&m), 0);
	assert_non_null(queue_asked);
}

static void five_minutes_of_critical_health_are_told_once(void **state UNUSED)
{
	json_t *record = NULL;
	start("failed");
	fake_loop_advance(m.loop, 4 * MINUTE + 59 * SECOND);
	assert_int_equal(RECOMMENDED(), 0);
	fake_loop_advance(m.loop, SECOND);
	assert_int_equal(told("RESTART_RECOMMENDED", &record), 1);
	assert_string_equal(json_string_value(json_object_get(record, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(record, "category")), "health");
	assert_string_equal(
		json_string_value(json_object_get(record, "reason")), "prolonged_unhealthy_state");
	assert_string_equal(json_string_value(json_object_get(record, "health")), "critical");
	assert_string_equal(json_string_value(json_object_get(record, "metric")), "processes");
	assert_float_equal(json_number_value(json_object_get(record, "value")), 1, 0);
	assert_non_null(
		strstr(json_string_value(json_object_get(record, "detail")), "db is failed"));
	assert_int_equal(json_integer_value(json_object_get(record, "critical_ms")), 5 * MINUTE);
	json_decref(record);
	fake_loop_advance(m.loop, 10 * MINUTE);
	assert_int_equal(RECOMMENDED(), 0);
}

static void all_that_is_critical_is_named(void **state UNUSED)
{
	json_t *record = NULL;
	machine = (struct machine_sample) { 84, 93.5, 96.25 };
	start("running");
	fake_loop_advance(m.loop, 5 * MINUTE);
	assert_int_equal(told("RESTART_RECOMMENDED", &record), 1);
	assert_string_equal(json_string_value(json_object_get(record, "metric")), "memory");
	assert_float_equal(json_number_value(json_object_get(record, "value")), 93.5, 0.001);
	assert_string_equal(json_string_value(json_object_get(record, "detail")),
		"memory is at 93.5%, disk is at 96.2%");
	json_decref(record);
}

static void another_metric_that_takes_over_is_no_break(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 3 * MINUTE);
	process_is("running");
	machine.cpu_percent = 99;
	fake_loop_advance(m.loop, 2 * MINUTE);
	assert_int_equal(RECOMMENDED(), 1);
}

static void a_warning_is_not_critical(void **state UNUSED)
{
	start("waiting");
	fake_loop_advance(m.loop, 20 * MINUTE);
	assert_int_equal(RECOMMENDED(), 0);
}

static void one_good_sample_starts_over(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 4 * MINUTE + 58 * SECOND);
	process_is("running");
	fake_loop_advance(m.loop, 2 * SECOND);
	process_is("failed");
	fake_loop_advance(m.loop, 5 * SECOND + 4 * MINUTE + 59 * SECOND);
	assert_int_equal(RECOMMENDED(), 0);
	fake_loop_advance(m.loop, SECOND);
	assert_int_equal(RECOMMENDED(), 1);
}

static void an_episode_s_end_is_told_once_and_the_next_episode_is_told_again(void **state UNUSED)
{
	json_t *record = NULL;
	start("failed");
	fake_loop_advance(m.loop, 6 * MINUTE);
	assert_int_equal(RECOMMENDED(), 1);
	process_is("running");
	fake_loop_advance(m.loop, MINUTE);
	assert_int_equal(told("RESTART_RECOMMENDATION_OVER", &record), 1);
	assert_int_equal(json_integer_value(json_object_get(record, "duration_ms")),
		6 * MINUTE + 5 * SECOND);
	json_decref(record);
	process_is("failed");
	fake_loop_advance(m.loop, 5 * SECOND + 5 * MINUTE);
	assert_int_equal(RECOMMENDED(), 1);
}

static void what_was_not_told_has_no_end_to_tell(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 4 * MINUTE);
	process_is("running");
	fake_loop_advance(m.loop, MINUTE);
	assert_int_equal(told("RESTART_RECOMMENDATION_OVER", NULL), 0);
}

static void time_without_samples_does_not_count(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 4 * MINUTE);
	fake_loop_stall(m.loop, 16 * SECOND); /* stopped, or starved */
	fake_loop_advance(m.loop, 4 * MINUTE + 59 * SECOND);
	assert_int_equal(RECOMMENDED(), 0);
	fake_loop_advance(m.loop, SECOND);
	assert_int_equal(RECOMMENDED(), 1);
}

static void a_machine_that_slept_starts_over(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 4 * MINUTE);
	fake_clock_suspend_ms(60 * MINUTE);
	fake_loop_advance(m.loop, 5 * SECOND + 4 * MINUTE + 59 * SECOND);
	assert_int_equal(RECOMMENDED(), 0);
	fake_loop_advance(m.loop, SECOND);
	assert_int_equal(RECOMMENDED(), 1);
}

static void a_late_sample_is_no_gap(void **state UNUSED)
{
	start("failed");
	fake_loop_advance(m.loop, 2 * MINUTE);
	fake_loop_stall(m.loop, 14 * SECOND);
	fake_loop_advance(m.loop, 2 * MINUTE + 51 * SECOND);
	assert_int_equal(RECOMMENDED(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(five_minutes_of_critical_health_are_told_once),
		TEST(all_that_is_critical_is_named),
		TEST(another_metric_that_takes_over_is_no_break),
		TEST(a_warning_is_not_critical),
		TEST(one_good_sample_starts_over),
		TEST(an_episode_s_end_is_told_once_and_the_next_episode_is_told_again),
		TEST(what_was_not_told_has_no_end_to_tell),
		TEST(time_without_samples_does_not_count),
		TEST(a_machine_that_slept_starts_over),
		TEST(a_late_sample_is_no_gap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
