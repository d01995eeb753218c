/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "log/log.h"
#include "log_line.h"
#include "unit.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int in_seoul(void **state)
{
	(void)state;
	setenv("TZ", "Asia/Seoul", 1);
	tzset();
	return 0;
}

static void expect(const char *line, int64_t time_ms, int level, int64_t run)
{
	struct log_line said;
	log_line_read(&said, line, strlen(line));
	if (said.time_ms != time_ms || said.level != level || said.run != run)
		fail_msg("\"%s\": time %lld, level %d, run %lld", line, (long long)said.time_ms,
			said.level, (long long)said.run);
}

enum { NO = LOG_LINE_NO_LEVEL };
#define AT INT64_C(1795250700000) /* 2026-11-21T08:45:00Z, 17:45 in Seoul */

static void records_and_other_json_say_it_by_their_members(void **state)
{
	(void)state;
	expect("{\"time\":\"2026-11-21T08:45:00.123Z\",\"level\":\"warn\",\"run\":7}", AT + 123,
		LOG_WARN, 7);
	expect("{\"level\":\"CRITICAL\"}", 0, LOG_ERROR, 0);
	expect("{\"time\":1,\"level\":{},\"run\":\"7\"}", 0, NO, 0);
	expect("{\"time\":\"2026-11-21T08:45:00Z\"", 0, NO, 0); /* cut */
	expect("{}", 0, NO, 0);
}

static void text_says_its_time_at_the_beginning(void **state)
{
	(void)state;
	expect("2026-11-21T08:45:00Z x", AT, NO, 0);
	expect("2026-11-21 17:45:00,250 x", AT + 250, NO, 0);
	expect("[2026-11-21 17:45:00] x", AT, NO, 0);
	expect("2026/11/21 17:45:00 x", AT, NO, 0);
	expect("2026-11-21 03:45:00.5 -0500 x", AT + 500, NO, 0);
	expect("2026-11-21 10:45:00.123456789+02:00 x", AT + 123, NO, 0);
	expect("2026-11-21 17:45", AT, NO, 0);
	expect("at 2026-11-21 17:45:00", 0, NO, 0);
	expect("2026-11-21", 0, NO, 0);
	expect("2026-13-21 17:45:00", 0, NO, 0);
	expect("2026-11-32 17:45:00", 0, NO, 0);
	expect("2026-11-21 24:45:00", 0, NO, 0);
	expect("20261-11-21 17:45:00", 0, NO, 0);
	expect("", 0, NO, 0);
	expect("-", 0, NO, 0);
}

static void text_says_its_level_as_a_word_of_its_own(void **state)
{
	(void)state;
	expect("2026-11-21 17:45:00,250 ERROR db", AT + 250, LOG_ERROR, 0);
	expect("[warning] slow", 0, LOG_WARN, 0);
	expect("error: no such file", 0, LOG_ERROR, 0);
	expect("t=1 level=debug x", 0, LOG_DEBUG, 0);
	expect("INFO:root:up, then ERROR", 0, LOG_INFO, 0);
	expect("there is no error here", 0, NO, 0);
	expect("GET /INFO 200", 0, NO, 0);
	expect("LOG_ERROR ERROR_CODE ERRORS", 0, NO, 0);
}

static void bytes_behind_the_line_are_not_looked_at(void **state)
{
	(void)state;
	struct log_line said;
	static const char text[] = "2026-11-21 17:45:00ERROR";
	/* As it lies in a buffer: nothing ends it. */
	char *line = malloc(19);
	assert_non_null(line);
	memcpy(line, text, 19);
	log_line_read(&said, line, 19);
	assert_int_equal(said.time_ms, AT);
	assert_int_equal(said.level, NO);
	log_line_read(&said, line, 0);
	assert_int_equal(said.time_ms, 0);
	free(line);
	log_line_read(&said, text, 24);
	assert_int_equal(said.time_ms, AT);
}

static void since(const char *text, int64_t want)
{
	struct err err = { 0 };
	int64_t got = -1;
	int rc = log_line_since(text, AT, &got, &err);
	if (want == -1 ? rc == 0 : rc < 0 || got != want)
		fail_msg("\"%s\": %d, %lld", text, rc, (long long)got);
}

static void since_is_a_span_an_instant_or_a_local_time(void **state)
{
	(void)state;
	const int64_t midnight = AT - (17 * 60 + 45) * 60000;
	since("10m", AT - 600000);
	since("100000d", 0);
	since("2026-11-21T08:44:59.5Z", AT - 500);
	since("2026-11-21", midnight);
	since("2026-11-21 17:45", AT);
	since("2026-11-20T17:45:01", AT - 86400000 + 1000);
	since("08:30", midnight + (8 * 60 + 30) * 60000);
	since("00:00:01", midnight + 1000);
	static const char *const wrong[] = { "", "10", "soon", "-5m", "2026-11-21x", "2026-11-21 ",
		"2026-11-21 x", "2026-13-01", "25:00", "8:00", "08:00:61", "08:00 ", "08:00Z" };
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		since(wrong[i], -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_and_other_json_say_it_by_their_members),
		cmocka_unit_test(text_says_its_time_at_the_beginning),
		cmocka_unit_test(text_says_its_level_as_a_word_of_its_own),
		cmocka_unit_test(bytes_behind_the_line_are_not_looked_at),
		cmocka_unit_test(since_is_a_span_an_instant_or_a_local_time),
	};
	return cmocka_run_group_tests(tests, in_seoul, NULL);
}
