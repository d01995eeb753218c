/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/str.h"
#include <errno.h>
#include <string.h>

static void numbers_are_whole_and_in_range(void **state)
{
	(void)state;
	int64_t n = 77;
	assert_int_equal(str_to_i64("42", 0, 100, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(str_to_i64("-3", -5, 5, &n), 0);
	assert_int_equal(n, -3);
	static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "0x10", "1.5", "1e3", "--1",
		"one" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(str_to_i64(bad[i], 0, 100, &n), -EINVAL);
	assert_int_equal(str_to_i64("101", 0, 100, &n), -ERANGE);
	assert_int_equal(str_to_i64("99999999999999999999", 0, INT64_MAX, &n), -ERANGE);
	assert_int_equal(n, -3);
}

static void durations_and_sizes_carry_their_unit(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "500ms", 500 }, { "10s", 10000 }, { "5m", 300000 }, { "6h", 21600000 },
		{ "30d", 2592000000 }, { "0s", 0 } };
	int64_t out;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(str_to_duration_ms(good[i].text, &out), 0);
		assert_int_equal(out, good[i].ms);
	}
	assert_int_equal(str_to_duration_ms("30", &out), -EDOM);
	assert_int_equal(str_to_duration_ms("30 s", &out), -EINVAL);
	assert_int_equal(str_to_duration_ms("5S", &out), -EINVAL);
	assert_int_equal(str_to_duration_ms("-1s", &out), -EINVAL);
	assert_int_equal(str_to_duration_ms("9223372036854775807d", &out), -ERANGE);
	assert_int_equal(str_to_size("10MB", &out), 0);
	assert_int_equal(out, 10000000);
	assert_int_equal(str_to_size("1MiB", &out), 0);
	assert_int_equal(out, 1048576);
	assert_int_equal(str_to_size("1mb", &out), -EINVAL);
	assert_int_equal(str_to_size("10", &out), -EDOM);
}

static void durations_read_well(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = { { 0, "0ms" }, { 999, "999ms" }, { 1000, "1s" }, { 3725000, "1h2m5s" },
		{ 86400000, "1d" }, { 90061000, "1d1h1m1s" }, { 60500, "1m" }, { -5000, "-5s" } };
	char text[64];
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(str_duration(text, sizeof(text), rows[i].ms), rows[i].text);
}

static void names_cannot_leave_a_folder(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "docs-crawl", "A_1.b", "9" };
	static const char *const bad[] = { "", ".", "..", "-x", "a/b", "a b", "a\n", "a:1",
		"\xC3\xA9",
		"0123456789012345678901234567890123456789012345678901234567890123456789" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(str_is_name(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(str_is_name(bad[i]));
	assert_true(str_is_identifier("content_id"));
	assert_false(str_is_identifier("1a"));
	assert_false(str_is_identifier("a\"b"));
	assert_false(str_is_identifier(""));
}

static void utf8_is_told_from_what_looks_like_it(void **state)
{
	(void)state;
	static const char good[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
	size_t at = 99;
	assert_true(str_is_utf8(good, sizeof(good) - 1, &at));
	static const char *const bad[] = { "\x80", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
		"\xF4\x90\x80\x80", "\xC3", "\xFF", "\xE2\x82" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(str_is_utf8(bad[i], strlen(bad[i]), NULL));
	assert_false(str_is_utf8("ab\xC3(", 4, &at));
	assert_int_equal(at, 2);
}

static void near_misses_are_suggested_and_far_ones_are_not(void **state)
{
	(void)state;
	static const char *const keys[] = { "schedule", "timeout", "retry", "at" };
	assert_string_equal(str_nearest("shedule", keys, 4), "schedule");
	assert_string_equal(str_nearest("scheduel", keys, 4), "schedule");
	assert_string_equal(str_nearest("timeuot", keys, 4), "timeout");
	assert_null(str_nearest("provider", keys, 4));
	assert_null(str_nearest("xy", keys, 4));
	assert_int_equal(str_distance("abc", "acb", 3), 1);
	assert_int_equal(str_distance("abc", "xyz", 2), 3);
	assert_int_equal(str_distance("", "abc", 5), 3);
}

static void a_cut_copy_is_told(void **state)
{
	(void)state;
	char small[4];
	assert_true(str_copy(small, sizeof(small), "abc"));
	assert_false(str_copy(small, sizeof(small), "abcd"));
	assert_string_equal(small, "abc");
}

static void statuses_are_numbers_classes_and_lists_of_them(void **state)
{
	struct str_statuses set;
	(void)state;
	assert_true(str_statuses(&set, "200,204,4xx"));
	assert_true(str_has_status(&set, 200) && str_has_status(&set, 204));
	assert_true(str_has_status(&set, 400) && str_has_status(&set, 499));
	assert_false(str_has_status(&set, 201) || str_has_status(&set, 500));
	assert_true(str_statuses(&set, "5xx"));
	assert_true(str_has_status(&set, 599));
	static const long never[] = { -1, 0, 99, 200, 600, 700, 100000 };
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		assert_false(str_has_status(&set, never[i]));
	static const char *const bad[] = { "", ",", "20", "2000", "6xx", "099", "2xX", "200,",
		",200", "200 204", "-20", "2x0" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (str_statuses(&set, bad[i]))
			fail_msg("\"%s\" is taken for statuses", bad[i]);
}

static void a_cleaned_text_steers_no_terminal_and_ends_at_a_character(void **state)
{
	char out[8];
	(void)state;
	str_clean(out, sizeof(out), "a\tb\033c\xff");
	assert_string_equal(out, "a b?c?");
	str_clean(out, sizeof(out), "123456\xc3\xa9");
	assert_string_equal(out, "123456");
	str_clean(out, sizeof(out), "12345\xc3\xa9!");
	assert_string_equal(out, "12345\xc3\xa9");
	str_clean(out, 1, "x");
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_whole_and_in_range),
		cmocka_unit_test(durations_and_sizes_carry_their_unit),
		cmocka_unit_test(durations_read_well),
		cmocka_unit_test(names_cannot_leave_a_folder),
		cmocka_unit_test(utf8_is_told_from_what_looks_like_it),
		cmocka_unit_test(near_misses_are_suggested_and_far_ones_are_not),
		cmocka_unit_test(a_cut_copy_is_told),
		cmocka_unit_test(statuses_are_numbers_classes_and_lists_of_them),
		cmocka_unit_test(a_cleaned_text_steers_no_terminal_and_ends_at_a_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
