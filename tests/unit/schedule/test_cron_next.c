/* SPDX-License-Identifier: MIT */
/* Due times: cases of our own, and a minute-by-minute oracle that knows zones from libc only. */
#include "unit.h"

#include "base/err.h"
#include "schedule/cron_days.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t instant(const char *text)
{
	int64_t ms;
	struct err err = { 0 };
	if (time_parse_rfc3339(text, &ms, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return ms;
}

/* The next due times from `from` (which may be the first) are exactly these, joined by '|'. */
static void due(const char *expression, const char *zone_text, const struct dst_policy *policy,
	const char *from, const char *expected)
{
	CLEANUP(zone_freep) struct zone *zone = NULL;
	struct cron cron;
	struct err err = { 0 };
	char got[1000] = "", text[TIME_TEXT];
	assert_return_code(zone_load(&zone, zone_text, &err), 0);
	assert_return_code(cron_parse(&cron, expression, NULL, &err), 0);
	int64_t at = instant(from);
	bool inclusive = true;
	for (const char *s = expected; s; s = strchr(s + 1, '|')) {
		assert_return_code(cron_next(&cron, zone, at, inclusive, policy, &at), 0);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", *got ? "|" : "",
			time_format_rfc3339(text, at, zone));
		inclusive = false;
	}
	assert_string_equal(got, expected);
}

static void a_fixed_time_inside_the_gap_fires_when_the_gap_ends(void **state)
{
	(void)state;
	due("30 2 * * *", "America/New_York", NULL, "2026-03-08T00:00:00-05:00",
		"2026-03-08T03:00:00-04:00|2026-03-09T02:30:00-04:00");
	due("0,30 2 * * *", "America/New_York", NULL, "2026-03-08T00:00:00-05:00",
		"2026-03-08T03:00:00-04:00|2026-03-09T02:00:00-04:00");
	due("*/10 2 * * *", "Europe/Berlin", NULL, "2026-03-29T00:00:00+01:00",
		"2026-03-29T03:00:00+02:00|2026-03-30T02:00:00+02:00");
	due("0 0 * * *", "America/Santiago", NULL, "2026-09-05T12:00:00-04:00",
		"2026-09-06T01:00:00-03:00|2026-09-07T00:00:00-03:00");
	/* A whole day was left out. */
	due("0 10 30 12 *", "Pacific/Apia", NULL, "2011-12-29T00:00:00-10:00",
		"2011-12-31T00:00:00+14:00|2012-12-30T10:00:00+14:00");
}

static void gap_skip_leaves_it_out(void **state)
{
	(void)state;
	const struct dst_policy skip_gap = { .gap = DST_GAP_SKIP };
	due("30 2 * * *", "America/New_York", &skip_gap, "2026-03-08T00:00:00-05:00",
		"2026-03-09T02:30:00-04:00");
}

static void a_fixed_time_in_the_repeated_hour_fires_once(void **state)
{
	(void)state;
	due("30 1 * * *", "America/New_York", NULL, "2026-11-01T00:00:00-04:00",
		"2026-11-01T01:30:00-04:00|2026-11-02T01:30:00-05:00");
	due("0,30 1 * * *", "America/New_York", NULL, "2026-11-01T00:00:00-04:00",
		"2026-11-01T01:00:00-04:00|2026-11-01T01:30:00-04:00|2026-11-02T01:00:00-05:00");
	/* Started between the passes: the first one is over. */
	due("30 1 * * *", "America/New_York", NULL, "2026-11-01T01:00:00-05:00",
		"2026-11-02T01:30:00-05:00");
}

static void overlap_both_fires_in_both_passes(void **state)
{
	(void)state;
	const struct dst_policy both = { .overlap = DST_OVERLAP_BOTH };
	due("30 1 * * *", "America/New_York", &both, "2026-11-01T00:00:00-04:00",
		"2026-11-01T01:30:00-04:00|2026-11-01T01:30:00-05:00|2026-11-02T01:30:00-05:00");
}

static void wildcards_and_steps_go_on_by_elapsed_time(void **state)
{
	(void)state;
	due("*/30 * * * *", "America/New_York", NULL, "2026-11-01T01:00:00-04:00",
		"2026-11-01T01:00:00-04:00|2026-11-01T01:30:00-04:00|2026-11-01T01:00:00-05:00|"
		"2026-11-01T01:30:00-05:00|2026-11-01T02:00:00-05:00");
	due("*/30 * * * *", "America/New_York", NULL, "2026-03-08T01:30:00-05:00",
		"2026-03-08T01:30:00-05:00|2026-03-08T03:00:00-04:00|2026-03-08T03:30:00-04:00");
	due("0 */2 * * *", "America/New_York", NULL, "2026-03-08T00:00:00-05:00",
		"2026-03-08T00:00:00-05:00|2026-03-08T04:00:00-04:00");
}

static void day_and_weekday_combine_as_in_vixie_cron(void **state)
{
	(void)state;
	due("0 0 13 * 5", "UTC", NULL, "2026-11-01T00:00:00Z",
		"2026-11-06T00:00:00+00:00|2026-11-13T00:00:00+00:00|2026-11-20T00:00:00+00:00|"
		"2026-11-27T00:00:00+00:00|2026-12-04T00:00:00+00:00|2026-12-11T00:00:00+00:00|"
		"2026-12-13T00:00:00+00:00");
	due("0 0 */13 * 5", "UTC", NULL, "2026-11-01T00:00:00Z",
		"2026-11-27T00:00:00+00:00|2027-01-01T00:00:00+00:00");
	due("0 0 ? * 5", "UTC", NULL, "2026-11-01T00:00:00Z", "2026-11-06T00:00:00+00:00");
}

static void special_days_fall_where_they_should(void **state)
{
	(void)state;
	due("0 0 L * *", "UTC", NULL, "2028-02-01T00:00:00Z",
		"2028-02-29T00:00:00+00:00|2028-03-31T00:00:00+00:00");
	due("0 0 L-3 2 *", "UTC", NULL, "2027-01-01T00:00:00Z", "2027-02-25T00:00:00+00:00");
	due("0 0 LW * *", "UTC", NULL, "2026-05-01T00:00:00Z",
		"2026-05-29T00:00:00+00:00|2026-06-30T00:00:00+00:00");
	/* Saturday the 1st stays in its month, so does Sunday the 31st. */
	due("0 0 1W 8 *", "UTC", NULL, "2026-01-01T00:00:00Z", "2026-08-03T00:00:00+00:00");
	due("0 0 31W 5 *", "UTC", NULL, "2026-01-01T00:00:00Z", "2026-05-29T00:00:00+00:00");
	due("0 0 * * 5#5", "UTC", NULL, "2026-11-01T00:00:00Z",
		"2027-01-29T00:00:00+00:00|2027-04-30T00:00:00+00:00");
	due("0 0 * * 5L", "UTC", NULL, "2026-11-01T00:00:00Z", "2026-11-27T00:00:00+00:00");
}

static void rare_days_are_found_and_the_search_ends(void **state)
{
	(void)state;
	/* No leap day in 2100: forty years between two leap days that are Sundays. */
	due("0 0 */28 2 0#5", "UTC", NULL, "2072-01-01T00:00:00Z",
		"2088-02-29T00:00:00+00:00|2128-02-29T00:00:00+00:00");
	struct cron cron;
	int64_t at;
	assert_int_equal(cron_parse(&cron, "* * * * * *", NULL, NULL), 0);
	assert_int_equal(cron_next(&cron, NULL, INT64_MAX, false, NULL, &at), -ENOENT);
	assert_int_equal(cron_next(&cron, NULL, INT64_MAX, true, NULL, &at), -ENOENT);
	assert_int_equal(cron_next(&cron, NULL, INT64_MIN, true, NULL, &at), 0);
	assert_int_equal(cron_next(&cron, NULL, INT64_MIN, false, NULL, &at), 0);
}

static void inclusive_counts_only_the_very_instant(void **state)
{
	(void)state;
	struct cron cron;
	int64_t noon = instant("2026-11-21T12:00:00Z"), at;
	assert_int_equal(cron_parse(&cron, "0 12 * * *", NULL, NULL), 0);
	assert_int_equal(cron_next(&cron, NULL, noon, true, NULL, &at), 0);
	assert_true(at == noon);
	assert_int_equal(cron_next(&cron, NULL, noon - 1, true, NULL, &at), 0);
	assert_true(at == noon);
	assert_int_equal(cron_next(&cron, NULL, noon - 1, false, NULL, &at), 0);
	assert_true(at == noon);
	assert_int_equal(cron_next(&cron, NULL, noon, false, NULL, &at), 0);
	assert_true(at == noon + 86400000);
	assert_int_equal(cron_next(&cron, NULL, noon + 1, true, NULL, &at), 0);
	assert_true(at == noon + 86400000);
}

static void no_expression_takes_more_steps_than_its_horizon_has_days(void **state)
{
	(void)state;
	/* Rare days, none at all, and what comes every second, under rules that change the clock.
	 */
	static const char *const worst[] = { "0 0 */28 2 0#5", "59 59 23 29 2 ?", "0 0 */30 2 6#2",
		"0 0 31W 2 ?", "0 0 L-30 2 *", "* * * * * *", "59 59 23 31 12 0#5", "0 0 29W 2 *",
		"0 0 */31 2,4,6,9,11 7L", "30 2 29 2 *", "0 0 LW 2 *", "0 0 */29 2 1#5" };
	static const char *const zones[] = { "UTC", "Africa/Casablanca", "Australia/Lord_Howe",
		"America/New_York", "Africa/El_Aaiun" };
	static const char *const starts[] = { "1970-01-01T00:00:00Z", "2026-11-21T00:00:00Z",
		"2096-03-01T00:00:00Z", "9990-01-01T00:00:00Z" };
	const uint64_t bound = (uint64_t)CRON_HORIZON_YEARS * 367;
	uint64_t most = 0;
	for (size_t z = 0; z < ARRAY_SIZE(zones); z++) {
		CLEANUP(zone_freep) struct zone *zone = NULL;
		assert_return_code(zone_load(&zone, zones[z], NULL), 0);
		for (size_t i = 0; i < ARRAY_SIZE(worst) * ARRAY_SIZE(starts); i++) {
			struct cron cron;
			int64_t due;
			uint64_t before = cron_days_judged();
			assert_int_equal(
				cron_parse(&cron, worst[i / ARRAY_SIZE(starts)], NULL, NULL), 0);
			/* Whether a day matches at all is asked of the 28 kinds of years. */
			assert_true(cron_days_judged() - before <= 28 * 366);
			before = cron_days_judged();
			int rc = cron_next(&cron, zone, instant(starts[i % ARRAY_SIZE(starts)]),
				false, NULL, &due);
			assert_true(rc == 0 || rc == -ENOENT);
			uint64_t took = cron_days_judged() - before;
			most = took > most ? took : most;
			if (took > bound)
				fail_msg("%s in %s: %llu days judged",
					worst[i / ARRAY_SIZE(starts)], zones[z],
					(unsigned long long)took);
		}
	}
	assert_true(most > 300); /* they are the worst, or this proves nothing */
}

/* --- the oracle: one year, minute by minute, zones by libc -------------------------------------
 */

enum { YEAR_START = 1767225600, MINUTES = 366 * 24 * 60 }; /* 2026-01-01T00:00:00Z */

struct minute {
	int64_t local; /* minutes of local time since 1970, as if it were UTC */
	uint8_t month, day, length, weekday, hour, minute;
};

struct random_cron {
	char text[200];
	bool minutes[60], hours[24], days[32], months[13], weekdays[8];
	bool last_day, days_star, weekdays_star, repeats, hour_repeats;
	int workday;			    /* 0 = none */
	int nth_weekday, nth, last_weekday; /* nth 0, last_weekday -1 = none */
};

static unsigned roll(unsigned n)
{
	static uint64_t x = 20261121; /* the seed: the same expressions in every run */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x % n);
}

/*
 * Appends a random field whose first value is at most `low`, and marks its values.
 * @return whether it has a wildcard, range or step
 */
static bool random_field(char *text, bool *set, int min, int max, int low)
{
	int a = min + (int)roll((unsigned)(low - min + 1)), b = max, step = 1 + (int)roll(7);
	text += strlen(text);
	switch (roll(5)) {
	case 0:
		a = min;
		snprintf(text, 16, "*/%d", step % (max - min) + 1);
		step = step % (max - min) + 1;
		break;
	case 1:
		a = MIN(a, max - 1);
		b = a + 1 + (int)roll((unsigned)(max - a));
		snprintf(text, 16, "%d-%d", a, b);
		step = 1;
		break;
	case 2: snprintf(text, 16, "%d/%d", a, step); break;
	default:
		b = min + (int)roll((unsigned)(low - min + 1));
		snprintf(text, 16, "%d,%d", a, b);
		set[a] = set[b] = true;
		return false;
	}
	for (int v = a; v <= b; v += step)
		set[v] = true;
	return true;
}

static void every(char *text, bool *set, int min, int max)
{
	strncat(text, "*", 2);
	for (int v = min; v <= max; v++)
		set[v] = true;
}

static void random_days(struct random_cron *r)
{
	char *text = r->text;
	switch (roll(6)) {
	case 0: random_field(text, r->days, 1, 31, 31); break;
	case 1:
		strncat(text, "L", 2);
		r->last_day = true;
		break;
	case 2:
		r->workday = 1 + (int)roll(31);
		snprintf(text + strlen(text), 16, "%dW", r->workday);
		break;
	default: every(text, r->days, 1, 31);
	}
}

static void random_weekdays(struct random_cron *r)
{
	char *text = r->text;
	r->last_weekday = -1;
	switch (roll(6)) {
	case 0: random_field(text, r->weekdays, 0, 7, 6); break;
	case 1:
		r->nth_weekday = (int)roll(7);
		r->nth = 1 + (int)roll(5);
		snprintf(text + strlen(text), 16, "%d#%d", r->nth_weekday, r->nth);
		break;
	case 2:
		r->last_weekday = (int)roll(7);
		snprintf(text + strlen(text), 16, "%dL", r->last_weekday);
		break;
	default: every(text, r->weekdays, 0, 6);
	}
}

static void random_expression(struct random_cron *r)
{
	memset(r, 0, sizeof(*r));
	r->repeats = random_field(r->text, r->minutes, 0, 59, 59);
	strncat(r->text, " ", 2);
	/* Most clocks jump at night. */
	r->hour_repeats = random_field(r->text, r->hours, 0, 23, roll(3) ? 3 : 23);
	strncat(r->text, " ", 2);
	const char *day = r->text + strlen(r->text);
	random_days(r);
	r->days_star = *day == '*';
	strncat(r->text, " ", 2);
	if (roll(4))
		every(r->text, r->months, 1, 12);
	else
		random_field(r->text, r->months, 1, 12, 12);
	strncat(r->text, " ", 2);
	const char *weekday = r->text + strlen(r->text);
	random_weekdays(r);
	r->weekdays_star = *weekday == '*';
	r->repeats |= r->hour_repeats;
}

static bool oracle_day(const struct random_cron *r, const struct minute *m)
{
	bool by_day = r->days[m->day] || (r->last_day && m->day == m->length);
	if (r->workday && r->workday <= m->length) {
		int wd = (m->weekday + (r->workday - m->day) % 7 + 7) % 7, d = r->workday;
		if (wd == 6)
			d += d == 1 ? 2 : -1;
		else if (wd == 0)
			d += d == m->length ? -2 : 1;
		by_day |= m->day == d;
	}
	bool by_weekday = r->weekdays[m->weekday] || (m->weekday == 0 && r->weekdays[7]) ||
			  (r->nth && m->weekday == r->nth_weekday &&
				  (m->day - 1) / 7 + 1 == r->nth) ||
			  (m->weekday == r->last_weekday && m->day > m->length - 7);
	return r->days_star || r->weekdays_star ? by_day && by_weekday : by_day || by_weekday;
}

static bool oracle_matches(const struct random_cron *r, const struct minute *m)
{
	return r->minutes[m->minute] && r->hours[m->hour] && r->months[m->month] &&
	       oracle_day(r, m);
}

static struct minute broken_down(const struct tm *tm)
{
	static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct tm copy = *tm;
	return (struct minute) {
		.local = timegm(&copy) / 60,
		.month = (uint8_t)(tm->tm_mon + 1),
		.day = (uint8_t)tm->tm_mday,
		.length = lengths[tm->tm_mon], /* neither 2026 nor 2027 is a leap year */
		.weekday = (uint8_t)tm->tm_wday,
		.hour = (uint8_t)tm->tm_hour,
		.minute = (uint8_t)tm->tm_min,
	};
}

/* True when a minute that the clock jumped over just before all[i] matches. */
static bool oracle_gap(const struct random_cron *r, const struct minute *all, size_t i)
{
	for (int64_t local = all[i - 1].local + 1; local < all[i].local; local++) {
		time_t t = local * 60;
		struct tm tm;
		struct minute skipped = broken_down(gmtime_r(&t, &tm));
		if (oracle_matches(r, &skipped))
			return true;
	}
	return false;
}

static size_t compare(
	const struct random_cron *r, const struct minute *all, const struct zone *zone)
{
	struct cron cron;
	struct err err = { 0 };
	size_t fires = 0;
	if (cron_parse(&cron, r->text, NULL, &err) < 0)
		fail_msg("%s: %s", r->text, err.text);
	int64_t next = -1, highest = all[0].local;
	if (cron_next(&cron, zone, (int64_t)YEAR_START * 1000 + 60000, true, NULL, &next) < 0)
		next = INT64_MAX;
	for (size_t i = 1; i < MINUTES; i++) {
		bool repeated = all[i].local <= highest;
		bool fire = oracle_matches(r, &all[i]) && (!repeated || r->repeats);
		if (all[i].local > all[i - 1].local + 1 && !r->hour_repeats)
			fire |= oracle_gap(r, all, i);
		highest = all[i].local > highest ? all[i].local : highest;
		int64_t at = ((int64_t)YEAR_START + (int64_t)i * 60) * 1000;
		if (fire != (next == at)) {
			char text[TIME_TEXT];
			fail_msg("%s in %s: the oracle %s at %s", r->text, zone_name(zone),
				fire ? "fires" : "is silent", time_format_rfc3339(text, at, zone));
		}
		fires += fire;
		if (fire && cron_next(&cron, zone, at, false, NULL, &next) < 0)
			next = INT64_MAX;
	}
	return fires;
}

static void a_brute_force_oracle_agrees_over_a_year_in_many_zones(void **state)
{
	(void)state;
	static const char *const zones[] = { "America/New_York", "Europe/Berlin",
		"Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Asia/Kathmandu" };
	struct minute *all = calloc(MINUTES, sizeof(*all));
	assert_non_null(all);
	size_t fires = 0;
	for (size_t z = 0; z < sizeof(zones) / sizeof(*zones); z++) {
		CLEANUP(zone_freep) struct zone *zone = NULL;
		assert_return_code(zone_load(&zone, zones[z], NULL), 0);
		setenv("TZ", zones[z], 1);
		tzset();
		for (size_t i = 0; i < MINUTES; i++) {
			time_t t = YEAR_START + (time_t)i * 60;
			struct tm tm;
			all[i] = broken_down(localtime_r(&t, &tm));
		}
		for (int i = 0; i < 40; i++) {
			struct random_cron r;
			random_expression(&r);
			fires += compare(&r, all, zone);
		}
	}
	unsetenv("TZ");
	free(all);
	assert_true(fires > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fixed_time_inside_the_gap_fires_when_the_gap_ends),
		cmocka_unit_test(gap_skip_leaves_it_out),
		cmocka_unit_test(a_fixed_time_in_the_repeated_hour_fires_once),
		cmocka_unit_test(overlap_both_fires_in_both_passes),
		cmocka_unit_test(wildcards_and_steps_go_on_by_elapsed_time),
		cmocka_unit_test(day_and_weekday_combine_as_in_vixie_cron),
		cmocka_unit_test(special_days_fall_where_they_should),
		cmocka_unit_test(rare_days_are_found_and_the_search_ends),
		cmocka_unit_test(inclusive_counts_only_the_very_instant),
		cmocka_unit_test(no_expression_takes_more_steps_than_its_horizon_has_days),
		cmocka_unit_test(a_brute_force_oracle_agrees_over_a_year_in_many_zones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
