/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_out.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

static void what_is_written_reads_back(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &b);
	json_open_object(&j, NULL);
	json_str(&j, "s", "a\"b\\c\n\x01\xC3\xA9");
	json_int(&j, "i", INT64_MIN);
	json_double(&j, "r", 0.5);
	json_double(&j, "nan", NAN);
	json_bool(&j, "b", true);
	json_str(&j, "none", NULL);
	json_open_array(&j, "a");
	json_int(&j, NULL, 1);
	json_open_object(&j, NULL);
	json_close_object(&j);
	json_close_array(&j);
	json_raw(&j, "raw", "{\"k\":1}", 7);
	json_time(&j, "t", 1795250700123);
	json_time(&j, "never", 0);
	json_close_object(&j);
	json_error_t error;
	json_t *root = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "s")), "a\"b\\c\n\x01\xC3\xA9");
	assert_int_equal(json_integer_value(json_object_get(root, "i")), INT64_MIN);
	assert_true(json_is_null(json_object_get(root, "nan")));
	assert_true(json_is_null(json_object_get(root, "none")));
	assert_true(json_is_null(json_object_get(root, "never")));
	assert_int_equal(json_array_size(json_object_get(root, "a")), 2);
	assert_string_equal(
		json_string_value(json_object_get(root, "t")), "2026-11-21T08:45:00.123Z");
	json_decref(root);
	buf_finish(&b);
}

static void nothing_that_steers_a_terminal_gets_through(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	/* ESC, DEL, C1 CSI, right-to-left override, line separator, and bytes that are not UTF-8 */
	static const char text[] = "\x1b[2J\x7f\xC2\x9B\xE2\x80\xAE\xE2\x80\xA8\xFF\xC3(";
	json_escape(&b, text, sizeof(text) - 1);
	assert_string_equal(
		buf_str(&b), "\\u001b[2J\\u007f\\u009b\\u202e\\u2028\xEF\xBF\xBD\xEF\xBF\xBD(");
	buf_finish(&b);
}

static void times_before_1970_and_far_away_do_not_break(void **state)
{
	(void)state;
	char text[CLOCK_TEXT];
	assert_string_equal(clock_rfc3339(text, -1), "1969-12-31T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(text, INT64_MAX), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(nothing_that_steers_a_terminal_gets_through),
		cmocka_unit_test(times_before_1970_and_far_away_do_not_break),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
