/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "base/str.h"
#include "cases/cases.h"
#include "http/date.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795250700 /* 2026-11-21T08:45:00Z */

static void the_three_forms_of_a_date_are_read(void **state)
{
	(void)state;
	int64_t s = 0;
	assert_int_equal(http_date(&s, "Sun, 06 Nov 1994 08:49:37 GMT", NOW), 0);
	assert_int_equal(s, 784111777);
	assert_int_equal(http_date(&s, "Sunday, 06-Nov-94 08:49:37 GMT", NOW), 0);
	assert_int_equal(s, 784111777);
	assert_int_equal(http_date(&s, "Sun Nov  6 08:49:37 1994", NOW), 0);
	assert_int_equal(s, 784111777);
	assert_int_equal(http_date(&s, "Thu Nov 26 08:49:37 2026", NOW), 0);
	assert_int_equal(http_date(&s, "Tuesday, 06-Nov-76 08:49:37 GMT", NOW), 0);
	assert_int_equal(s, 3371878177); /* 2076: at most fifty years ahead */
	assert_int_equal(http_date(&s, "Sunday, 06-Nov-77 08:49:37 GMT", NOW), 0);
	assert_int_equal(s, 247654177); /* 1977 */
}

static void what_is_no_date_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "Sun, 06 Nov 1994 08:49:37",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 31 Nov 1994 08:49:37 GMT", "Mon, 29 Feb 2027 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
		"sun, 06 nov 1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
		"1994-11-06T08:49:37Z" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t s = 0;
		assert_int_equal(http_date(&s, bad[i], NOW), -EINVAL);
	}
}

static void retry_after_is_clamped_to_a_day_and_never_negative(void **state)
{
	(void)state;
	const int64_t now = (int64_t)NOW * 1000;
	assert_int_equal(http_retry_after_ms("0", now), 0);
	assert_int_equal(http_retry_after_ms("120", now), 120000);
	assert_int_equal(http_retry_after_ms("99999999999999999999", now), 86400000);
	assert_int_equal(http_retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT", now), 0);
	assert_int_equal(http_retry_after_ms("Tue, 19 Jan 2038 03:14:07 GMT", now), 86400000);
	static const char *const bad[] = { "", "-5", "+7", "1.5", "7;x=1", "7 ", "soon", "0x10" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(http_retry_after_ms(bad[i], now), -1);
}

static void dates_agree_with_other_readers(void **state)
{
	(void)state;
	struct cases cases;
	size_t judged = 0;
	if (!cases_open(&cases, "http/http-date.tsv"))
		skip();
	while (cases_next(&cases)) {
		if (!str_starts(cases_get(&cases, "class"), "http-date"))
			continue;
		char *text = cases_text(&cases, "date");
		int64_t s = 0;
		assert_int_equal(http_date(&s, text, NOW), 0);
		assert_int_equal(s, atoll(cases_get(&cases, "seconds")));
		judged++;
		free(text);
	}
	cases_close(&cases);
	assert_true(judged >= 3);
}

static void retry_after_agrees_with_other_readers(void **state)
{
	(void)state;
	struct cases cases;
	if (!cases_open(&cases, "http/retry-after.tsv"))
		skip();
	while (cases_next(&cases)) {
		char *value = cases_text(&cases, "value");
		const char *expected = cases_get(&cases, "expected");
		int64_t want = str_starts(expected, "invalid") ? -1 : atoll(expected) * 1000;
		int64_t got = http_retry_after_ms(value, atoll(cases_get(&cases, "now")) * 1000);
		if (got != want)
			print_error("%s: \"%s\" is %lld\n", cases_get(&cases, "id"), value,
				(long long)got);
		assert_int_equal(got, want);
		free(value);
	}
	assert_true(cases.rows > 30);
	cases_close(&cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_forms_of_a_date_are_read),
		cmocka_unit_test(what_is_no_date_is_refused),
		cmocka_unit_test(retry_after_is_clamped_to_a_day_and_never_negative),
		cmocka_unit_test(dates_agree_with_other_readers),
		cmocka_unit_test(retry_after_agrees_with_other_readers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
