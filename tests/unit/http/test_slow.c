/* SPDX-License-Identifier: MIT */
/* What is told of slow requests, and how often. */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "http/slow.h"
#include "log/log.h"
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000 };

static struct loop *loop;
static struct slow_log *slow;
static int log_fds[LOG_CATEGORIES][2];

static int setup(void **state UNUSED)
{
	int fds[LOG_CATEGORIES];
	fake_clock_reset();
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(slow_log_new(&slow, loop), 0);
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		assert_int_equal(pipe2(log_fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		fds[i] = log_fds[i][1];
	}
	log_open("collect:1", fds, LOG_INFO);
	return 0;
}

static int teardown(void **state UNUSED)
{
	slow_log_free(slow);
	assert_int_equal(fake_loop_watchers(loop), 0);
	loop_free(loop);
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		close(log_fds[i][0]);
		close(log_fds[i][1]);
	}
	return 0;
}

/* What was written since the last look: an array of records, of category performance. */
static json_t *records(void)
{
	static char text[262144];
	json_t *all = json_array();
	ssize_t len = read(log_fds[PERFORMANCE][0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		json_t *record = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(record);
		json_array_append_new(all, record);
	}
	return all;
}

static size_t count(const json_t *all, const char *event)
{
	size_t i, n = 0;
	json_t *record;
	json_array_foreach(all, i, record)
		n += strcmp(json_string_value(json_object_get(record, "event")), event) == 0;
	return n;
}

static const char *str(const json_t *record, const char *key)
{
	const char *s = json_string_value(json_object_get(record, key));
	assert_non_null(s);
	return s;
}

static void took(int64_t ms)
{
	const struct slow_request request = { .method = "GET",
		.url = "http://a.example/x",
		.status = 200,
		.duration_us = ms * 1000 };
	slow_log_request(slow, &request);
}

/* @return how many were written */
static size_t written(void)
{
	json_t *all = records();
	size_t n = count(all, "SLOW_REQUEST");
	json_decref(all);
	return n;
}

static int64_t left_out(void)
{
	json_t *all = records();
	assert_int_equal(json_array_size(all), 1);
	json_t *record = json_array_get(all, 0);
	assert_string_equal(str(record, "event"), "SLOW_REQUESTS_LEFT_OUT");
	int64_t n = json_integer_value(json_object_get(record, "count"));
	json_decref(all);
	return n;
}

static void from_two_seconds_on_a_request_is_slow(void **state UNUSED)
{
	took(0);
	took(1999);
	assert_int_equal(written(), 0);
	took(2000);
	assert_int_equal(written(), 1);
}

static void a_record_says_what_was_slow_and_for_whom(void **state UNUSED)
{
	const struct slow_request request = { .method = "GET",
		.url = "https://api.example:8443/v1/places?key=SECRET",
		.context = { .job = "places", .provider = "tourism", .run = 7, .task = 9 },
		.status = 200,
		.duration_us = 2345678 };
	slow_log_request(slow, &request);
	json_t *all = records();
	assert_int_equal(json_array_size(all), 1);
	const json_t *record = json_array_get(all, 0);
	assert_string_equal(str(record, "event"), "SLOW_REQUEST");
	assert_string_equal(str(record, "level"), "warn");
	assert_string_equal(str(record, "method"), "GET");
	assert_string_equal(str(record, "url"), "https://api.example:8443/v1/places");
	assert_int_equal(json_integer_value(json_object_get(record, "status")), 200);
	assert_int_equal(json_integer_value(json_object_get(record, "process_time_ms")), 2345);
	assert_string_equal(str(record, "job"), "places");
	assert_string_equal(str(record, "provider"), "tourism");
	assert_int_equal(json_integer_value(json_object_get(record, "run")), 7);
	assert_int_equal(json_integer_value(json_object_get(record, "task")), 9);
	assert_null(json_object_get(record, "error"));
	json_decref(all);
}

static void what_is_not_known_is_not_told_and_a_failure_is(void **state UNUSED)
{
	const struct slow_request request = { .method = "GET",
		.url = "http://a.example/",
		.failure = "timeout",
		.error = "nothing was heard for 5000 ms",
		.duration_us = 5000000 };
	slow_log_request(slow, &request);
	json_t *all = records();
	const json_t *record = json_array_get(all, 0);
	assert_string_equal(str(record, "reason"), "timeout");
	assert_string_equal(str(record, "error"), "nothing was heard for 5000 ms");
	static const char *const absent[] = { "status", "job", "provider", "run", "task" };
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		assert_null(json_object_get(record, absent[i]));
	json_decref(all);
}

static void secrets_of_a_url_are_not_told(void **state UNUSED)
{
	static const struct {
		const char *url, *told;
	} cases[] = {
		{ "http://a.example", "http://a.example/" },
		{ "http://a.example/p/q?token=SECRET", "http://a.example/p/q" },
		{ "http://a.example?token=SECRET", "http://a.example/" },
		{ "http://a.example/#SECRET", "http://a.example/" },
		{ "http://a.example/p?x=1#SECRET", "http://a.example/p" },
		{ "http://SECRET@a.example/p", "http://a.example/p" },
		{ "http://user:SECRET@a.example:81/p", "http://a.example:81/p" },
		{ "http://user:SEC@RET@a.example/p@q", "http://a.example/p@q" },
		{ "http://user:SECRET@[::1]:8080/p", "http://[::1]:8080/p" },
		{ "https://a.example\\p?SECRET", "https://a.example/p" },
		{ "SECRET", "" },
		{ "mailto:SECRET@a.example", "" },
		{ "", "" },
	};
	char url[SLOW_URL_MAX];
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(slow_url(url, sizeof(url), cases[i].url), cases[i].told);
}

static void a_long_url_is_cut(void **state UNUSED)
{
	char in[4096], out[SLOW_URL_MAX];
	memset(in, 'a', sizeof(in));
	memcpy(in, "http://a/", 9);
	memcpy(in + sizeof(in) - 8, "?SECRET", 8);
	slow_url(out, sizeof(out), in);
	assert_int_equal(strlen(out), sizeof(out) - 1);
	assert_memory_equal(out, in, sizeof(out) - 1);
}

static void a_minute_holds_sixty_records_and_the_rest_is_counted(void **state UNUSED)
{
	for (int i = 0; i < 100; i++)
		took(2000);
	assert_int_equal(written(), SLOW_RECORDS);
	fake_loop_advance(loop, 59 * SECOND);
	took(2000);
	assert_int_equal(written(), 0);
	fake_loop_advance(loop, SECOND);
	assert_int_equal(left_out(), 41);
	took(2000);
	assert_int_equal(written(), 1);
	fake_loop_advance(loop, 600 * SECOND);
	assert_int_equal(written(), 0);
	/* The count begins anew. */
	for (int i = 0; i < SLOW_RECORDS + 5; i++)
		took(2000);
	assert_int_equal(written(), SLOW_RECORDS);
	fake_loop_advance(loop, 60 * SECOND);
	assert_int_equal(left_out(), 5);
}

/* 60 at the end of one minute and 60 at the beginning of the next would be 120 in one. */
static void any_minute_holds_sixty(void **state UNUSED)
{
	took(2000);
	fake_loop_advance(loop, 55 * SECOND);
	for (int i = 0; i < 59; i++)
		took(2000);
	assert_int_equal(written(), SLOW_RECORDS);
	fake_loop_advance(loop, 5 * SECOND);
	for (int i = 0; i < 10; i++)
		took(2000);
	assert_int_equal(written(), 1);
	fake_loop_advance(loop, 55 * SECOND);
	for (int i = 0; i < 59; i++)
		took(2000);
	assert_int_equal(written(), 59);
}

static void what_is_left_out_is_told_at_the_end_at_the_latest(void **state UNUSED)
{
	for (int i = 0; i < SLOW_RECORDS + 5; i++)
		took(2000);
	assert_int_equal(written(), SLOW_RECORDS);
	slow_log_free(slow);
	assert_int_equal(left_out(), 5);
	assert_int_equal(slow_log_new(&slow, loop), 0);
	slow_log_free(slow);
	assert_int_equal(slow_log_new(&slow, loop), 0);
	json_t *all = records();
	assert_int_equal(json_array_size(all), 0);
	json_decref(all);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(from_two_seconds_on_a_request_is_slow),
		TEST(a_record_says_what_was_slow_and_for_whom),
		TEST(what_is_not_known_is_not_told_and_a_failure_is),
		TEST(secrets_of_a_url_are_not_told),
		TEST(a_long_url_is_cut),
		TEST(a_minute_holds_sixty_records_and_the_rest_is_counted),
		TEST(any_minute_holds_sixty),
		TEST(what_is_left_out_is_told_at_the_end_at_the_latest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
