/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void every_is_due_at_start_plus_n_times_every(void **state)
{
	(void)state;
	const struct schedule s = { .kind = SCHEDULE_EVERY, .start_ms = 1000, .every_ms = 250 };
	int64_t due;
	assert_int_equal(schedule_next(&s, 0, false, &due), 0);
	assert_int_equal(due, 1000);
	assert_int_equal(schedule_next(&s, 1000, true, &due), 0);
	assert_int_equal(due, 1000);
	assert_int_equal(schedule_next(&s, 1000, false, &due), 0);
	assert_int_equal(due, 1250);
	/* a late question shifts nothing */
	assert_int_equal(schedule_next(&s, 1399, false, &due), 0);
	assert_int_equal(due, 1500);
	assert_int_equal(schedule_next(&s, 1500, true, &due), 0);
	assert_int_equal(due, 1500);
	assert_int_equal(schedule_next(&s, INT64_MAX, false, &due), -ENOENT);
	assert_int_equal(schedule_next(&s, INT64_MAX, true, &due), -ENOENT);
	assert_int_equal(schedule_next(&s, INT64_MIN, true, &due), 0);
	assert_int_equal(due, 1000);
	const struct schedule never = { .kind = SCHEDULE_EVERY };
	assert_int_equal(schedule_next(&never, 0, false, &due), -EINVAL);
}

static void at_is_due_once(void **state)
{
	(void)state;
	const struct schedule s = { .kind = SCHEDULE_AT, .at_ms = 5000 };
	int64_t due;
	assert_int_equal(schedule_next(&s, 4999, false, &due), 0);
	assert_int_equal(due, 5000);
	assert_int_equal(schedule_next(&s, 5000, true, &due), 0);
	assert_int_equal(schedule_next(&s, 5000, false, &due), -ENOENT);
	const struct schedule none = { .kind = SCHEDULE_NONE };
	assert_int_equal(schedule_next(&none, 0, true, &due), -ENOENT);
}

static void a_pause_is_counted_without_walking_it(void **state)
{
	(void)state;
	struct schedule s = { .kind = SCHEDULE_EVERY, .start_ms = 0, .every_ms = 1 };
	int64_t last = -1;
	assert_int_equal(schedule_count(&s, 10, 10, 100, &last), 0);
	assert_int_equal(last, -1);
	assert_true(schedule_count(&s, 10, INT64_MAX / 2, INT64_MAX, &last) == INT64_MAX / 2 - 10);
	assert_true(last == INT64_MAX / 2);
	assert_int_equal(schedule_count(&s, 10, 50, 7, &last), 7);
	assert_int_equal(last, 17);
	s = (struct schedule) { .kind = SCHEDULE_CRON };
	assert_int_equal(cron_parse(&s.cron, "0 * * * *", NULL, NULL), 0);
	assert_int_equal(schedule_count(&s, 0, 86400000, 100, &last), 24);
	assert_int_equal(last, 86400000);
	assert_int_equal(schedule_count(&s, 0, 86400000, 3, &last), 3);
	assert_int_equal(last, 3 * 3600000);
}

static void cron_is_asked_in_its_zone_and_with_its_policy(void **state)
{
	(void)state;
	CLEANUP(zone_freep) struct zone *zone = NULL;
	struct schedule s = { .kind = SCHEDULE_CRON, .dst = { .gap = DST_GAP_SKIP } };
	int64_t from, due;
	char text[TIME_TEXT];
	assert_int_equal(zone_load(&zone, "Europe/Berlin", NULL), 0);
	assert_int_equal(cron_parse(&s.cron, "30 2 * * *", NULL, NULL), 0);
	s.zone = zone;
	assert_int_equal(time_parse_rfc3339("2026-03-29T00:00:00+01:00", &from, NULL, NULL), 0);
	assert_int_equal(schedule_next(&s, from, false, &due), 0);
	assert_string_equal(time_format_rfc3339(text, due, zone), "2026-03-30T02:30:00+02:00");
}

static void jitter_is_the_same_for_the_same_due_time_and_evenly_spread(void **state)
{
	(void)state;
	enum { JITTER = 1000, DRAWS = 100000, BINS = 10 };
	int64_t bins[BINS] = { 0 }, same = 0, day = 86400000;
	for (int64_t i = 0; i < DRAWS; i++) {
		char job[16];
		snprintf(job, sizeof(job), "job-%d", (int)(i % 100));
		int64_t a = schedule_jitter_ms(job, i * day, JITTER);
		assert_true(a >= 0 && a < JITTER);
		assert_int_equal(schedule_jitter_ms(job, i * day, JITTER), a);
		bins[a * BINS / JITTER]++;
		same += a == schedule_jitter_ms(job, (i + 1) * day, JITTER);
	}
	for (int i = 0; i < BINS; i++) /* sigma of a bin is 95 */
		assert_in_range(bins[i], DRAWS / BINS - 600, DRAWS / BINS + 600);
	assert_in_range(same, 30, 250); /* one in a thousand by chance */
	/* These are facts of released versions: a new release must not move what is planned. */
	assert_int_equal(schedule_jitter_ms("attractions", INT64_C(1796083200000), 30000), 15352);
	assert_int_equal(schedule_jitter_ms("attractions", INT64_C(1796169600000), 30000), 2934);
	assert_int_equal(schedule_jitter_ms("x", 5, 1), 0);
	assert_int_equal(schedule_jitter_ms("x", 5, 0), 0);
	assert_int_equal(schedule_jitter_ms("x", -5, -1), 0);
	assert_in_range(schedule_jitter_ms("x", INT64_MIN, INT64_MAX), 0, INT64_MAX - 1);
}

static void rfc3339_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1900-02-20T16:46:00-05:00", -2204590440000 },
		{ "2026-12-01T00:00:00Z", 1796083200000 },
		{ "2026-12-01t09:00:00+09:00", 1796083200000 },
		{ "2026-11-30 18:30:00.25-05:30", 1796083200250 },
		{ "2026-12-01T00:00:00.9999999z", 1796083200999 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
		{ "2024-02-29T00:00:00Z", 1709164800000 },
		{ "9999-12-31T23:59:59Z", 253402300799000 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t ms = -1;
		assert_int_equal(time_parse_rfc3339(rows[i].text, &ms, NULL, NULL), 0);
		assert_true(ms == rows[i].ms);
	}
}

static void what_is_not_rfc3339_is_refused_at_its_byte(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t at;
	} rows[] = {
		{ "", 0 },
		{ "tomorrow", 0 },
		{ "2026-13-01T00:00:00Z", 5 },
		{ "2026-02-29T00:00:00Z", 8 },
		{ "2026-12-01", 10 },
		{ "2026-12-01T24:00:00Z", 11 },
		{ "2026-12-01T00:60:00Z", 14 },
		{ "2026-12-01T00:00:61Z", 17 },
		{ "2026-12-01T00:00:00", 19 },
		{ "2026-12-01T00:00:00.Z", 20 },
		{ "2026-12-01T00:00:00+9:00", 20 },
		{ "2026-12-01T00:00:00Z ", 20 },
		{ "0000-12-31T00:00:00Z", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t ms = -1;
		size_t at = 999;
		struct err err = { 0 };
		assert_int_equal(time_parse_rfc3339(rows[i].text, &ms, &at, &err), -EINVAL);
		assert_int_equal(at, rows[i].at);
		assert_true(ms == -1);
		assert_non_null(strstr(err.text, "2026-12-01T09:00:00Z"));
	}
}

static void times_are_shown_in_the_zone(void **state)
{
	(void)state;
	CLEANUP(zone_freep) struct zone *zone = NULL;
	char text[TIME_TEXT];
	assert_string_equal(time_format_rfc3339(text, 1796083200000, NULL), "2026-12-01T00:00:00Z");
	assert_string_equal(
		time_format_rfc3339(text, 1796083200007, NULL), "2026-12-01T00:00:00.007Z");
	assert_int_equal(zone_load(&zone, "America/St_Johns", NULL), 0);
	assert_string_equal(
		time_format_rfc3339(text, 1796083200000, zone), "2026-11-30T20:30:00-03:30");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_is_due_at_start_plus_n_times_every),
		cmocka_unit_test(at_is_due_once),
		cmocka_unit_test(a_pause_is_counted_without_walking_it),
		cmocka_unit_test(cron_is_asked_in_its_zone_and_with_its_policy),
		cmocka_unit_test(jitter_is_the_same_for_the_same_due_time_and_evenly_spread),
		cmocka_unit_test(rfc3339_is_read),
		cmocka_unit_test(what_is_not_rfc3339_is_refused_at_its_byte),
		cmocka_unit_test(times_are_shown_in_the_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
