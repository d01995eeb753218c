/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "schedule/cron.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct cron parsed(const char *text)
{
	struct cron cron;
	struct err err = { 0 };
	if (cron_parse(&cron, text, NULL, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return cron;
}

static void same(const char *a, const char *b)
{
	struct cron x = parsed(a), y = parsed(b);
	assert_int_equal(x.seconds, y.seconds);
	assert_int_equal(x.minutes, y.minutes);
	assert_int_equal(x.hours, y.hours);
	assert_int_equal(x.days, y.days);
	assert_int_equal(x.months, y.months);
	assert_int_equal(x.weekdays, y.weekdays);
}

/* Refused, at the byte, with words that hold `words`. */
static void refused(const char *text, size_t at, const char *words)
{
	struct cron cron = { .months = 77 };
	struct err err = { 0 };
	size_t bad_at = 999;
	assert_int_equal(cron_parse(&cron, text, &bad_at, &err), -EINVAL);
	assert_int_equal(cron.months, 77); /* untouched */
	if (!strstr(err.text, words) || bad_at != at)
		fail_msg("%s: at %zu, \"%s\"; expected at %zu, \"%s\"", text, bad_at, err.text, at,
			words);
	assert_int_equal(cron_parse(&cron, text, NULL, NULL), -EINVAL);
}

static void values_ranges_steps_and_lists_are_sets(void **state)
{
	(void)state;
	struct cron c = parsed("0,5-7,50/4,20-29/3 22-2 30-2 NOV-jan FRI-MON");
	assert_int_equal(c.seconds, 1);
	uint64_t minutes = 1ULL | 7ULL << 5 | 1ULL << 50 | 1ULL << 54 | 1ULL << 58 | 1ULL << 20 |
			   1ULL << 23 | 1ULL << 26 | 1ULL << 29;
	assert_true(c.minutes == minutes);
	assert_int_equal(c.hours, 1 << 22 | 1 << 23 | 7);
	assert_true(c.days == (1U << 30 | 1U << 31 | 1U << 1 | 1U << 2));
	assert_int_equal(c.months, 1 << 11 | 1 << 12 | 1 << 1);
	assert_int_equal(c.weekdays, 1 << 5 | 1 << 6 | 1 | 1 << 1);
}

static void seven_is_sunday(void **state)
{
	(void)state;
	same("0 0 * * 7", "0 0 * * SUN");
	same("0 0 * * 7-7", "0 0 * * 0");
	same("0 0 * * 0-7", "0 0 * * *");
	same("0 0 * * 6-7", "0 0 * * SAT,SUN");
	same("0 0 * * 7-2", "0 0 * * SUN,MON,TUE");
	same("0 0 * * FRI/2", "0 0 * * 5,7");
}

static void six_fields_begin_with_the_second(void **state)
{
	(void)state;
	struct cron c = parsed(" \t*/20 1 2 3 4 5 ");
	assert_true(c.seconds == (1ULL | 1ULL << 20 | 1ULL << 40));
	assert_int_equal(c.minutes, 2);
	assert_int_equal(c.weekdays, 1 << 5);
}

static void macros_stand_for_expressions(void **state)
{
	(void)state;
	same("@yearly", "0 0 1 1 *");
	same("@annually", "0 0 1 1 *");
	same("@monthly", "0 0 1 * *");
	same("@weekly", "0 0 * * 0");
	same("@Daily ", "0 0 * * *");
	same("@midnight", "0 0 * * *");
	same("@hourly", "0 * * * *");
	same("@every_minute", "* * * * *");
	same("@every_second", "* * * * * *");
}

static void special_days_are_kept(void **state)
{
	(void)state;
	struct cron c = parsed("0 0 1,L,L-3 * 5L,tueL,1#2,fri#5");
	assert_int_equal(c.days, 2);
	assert_int_equal(c.days_from_end, 1 | 1 << 3);
	assert_int_equal(c.last_weekdays, 1 << 5 | 1 << 2);
	assert_int_equal(c.nth_weekdays[1], 1 << 1);
	assert_int_equal(c.nth_weekdays[4], 1 << 5);
	assert_int_equal(parsed("0 0 15w * *").workday, 15);
	assert_int_equal(parsed("0 0 LW * *").workday_from_end, 1);
	assert_int_equal(parsed("0 0 l-3w * *").workday_from_end, 4);
}

static void an_error_names_the_field_the_byte_and_what_was_expected(void **state)
{
	(void)state;
	refused("61 * * * *", 0, "cron field \"minute\": expected 0-59, got \"61\"");
	refused("* 24 * * *", 2, "cron field \"hour\": expected 0-23");
	refused("* * 0 * *", 4, "\"day of month\": expected 1-31");
	refused("* * 1,5,32 * *", 8, "got \"32\"");
	refused("* * * FOO *", 6, "\"month\": expected 1-12 or JAN-DEC, got \"FOO\"");
	refused("* * * * MONDAY", 11, "\"weekday\"");
	refused("60 0 0 * * *", 0, "\"second\": expected 0-59");
	refused("*/0 * * * *", 2, "a step is a number from 1 to 59");
	refused("1-/2 * * * *", 2, "the end of the range");
	refused("1, * * * *", 2, "expected 0-59");
	refused("* * 1,15W * *", 4, "W stands alone");
	refused("* * 15W,1 * *", 7, "W stands alone");
	refused("* * L-31 * *", 6, "after L- stands 1-30");
	refused("* * * * 5#6", 10, "after # stands 1-5");
	refused("* * * * 1-3#2", 11, "\"weekday\"");
	refused("* * * *", 7, "has 4 fields, expected five");
	refused("", 0, "has 0 fields");
	refused("* * * * * * *", 12, "has 7 fields");
	refused("  @dayly", 2, "unknown @dayly, expected @yearly");
	refused("@reboot", 0, "unknown @reboot");
	refused("@daily 5", 7, "nothing may follow @daily");
}

static void a_text_beyond_the_bound_is_refused(void **state)
{
	(void)state;
	char text[CRON_TEXT_MAX + 2];
	memset(text, ' ', sizeof(text));
	memcpy(text, "* * * * *", 9);
	text[CRON_TEXT_MAX] = '\0';
	(void)parsed(text);
	text[CRON_TEXT_MAX] = ' ';
	text[CRON_TEXT_MAX + 1] = '\0';
	refused(text, 0, "longer than 512 bytes");
}

static void what_no_calendar_holds_is_never_due(void **state)
{
	(void)state;
	static const char *const never[] = { "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 L-29 2 *",
		"0 0 */30 2 6#2", "0 0 30W 2 *" };
	static const char *const some_day[] = { "0 0 29 2 *", "0 0 L-28 2 *", "0 0 30 2 1",
		"0 0 31 * *", "0 0 ? 2 1#5" };
	int64_t due;
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		struct cron c = parsed(never[i]);
		assert_true(cron_never_due(&c));
		assert_int_equal(cron_next(&c, NULL, 0, true, NULL, &due), -ENOENT);
	}
	for (size_t i = 0; i < sizeof(some_day) / sizeof(*some_day); i++) {
		struct cron c = parsed(some_day[i]);
		assert_false(cron_never_due(&c));
		assert_int_equal(cron_next(&c, NULL, 0, true, NULL, &due), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_ranges_steps_and_lists_are_sets),
		cmocka_unit_test(seven_is_sunday),
		cmocka_unit_test(six_fields_begin_with_the_second),
		cmocka_unit_test(macros_stand_for_expressions),
		cmocka_unit_test(special_days_are_kept),
		cmocka_unit_test(an_error_names_the_field_the_byte_and_what_was_expected),
		cmocka_unit_test(a_text_beyond_the_bound_is_refused),
		cmocka_unit_test(what_no_calendar_holds_is_never_due),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
