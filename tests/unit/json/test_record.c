/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *shown(int type, const char *path_text, const char *doc)
{
	static char out[1024];
	struct err err;
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	assert_int_equal(json_path_new(&path, path_text, &err), 0);
	if (json_record_new(&record, doc, strlen(doc), &err) < 0) {
		snprintf(out, sizeof(out), "record: %s", err.text);
		return out;
	}
	struct json_value value;
	const struct config_column column = { .name = "f", .path = path_text, .type = type };
	if (json_record_column(record, &column, path, &value, &err) < 0) {
		snprintf(out, sizeof(out), "%s", err.text);
		return out;
	}
	switch (value.type) {
	case JSON_VALUE_NULL: return "NULL";
	case JSON_VALUE_INT: snprintf(out, sizeof(out), "int %lld", (long long)value.i); break;
	case JSON_VALUE_REAL: snprintf(out, sizeof(out), "real %.17g", value.real); break;
	case JSON_VALUE_TEXT:
		assert_int_equal(strlen(value.text), value.len);
		snprintf(out, sizeof(out), "text %s", value.text);
		break;
	case JSON_VALUE_BASE64: {
		unsigned char bytes[64];
		ssize_t n = json_base64(bytes, value.text, value.len);
		size_t at = (size_t)snprintf(out, sizeof(out), "bytes");
		for (ssize_t i = 0; i < n; i++)
			at += (size_t)snprintf(out + at, sizeof(out) - at, " %02x", bytes[i]);
		break;
	}
	}
	return out;
}

static void numbers_keep_the_text_of_the_source(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":1.10}"), "text 1.10");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":12345678901234567890123}"),
		"text 12345678901234567890123");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":-0E+05}"), "text -0E+05");
	assert_string_equal(shown(COLUMN_JSON, "a", "{\"a\":{\"x\": [1.10, 1e400,\"n1\"]}}"),
		"text {\"x\":[1.10,1e400,\"n1\"]}");
	assert_string_equal(shown(COLUMN_JSON, "a", "{\"a\":1.50}"), "text 1.50");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":\"n1.10\"}"), "text n1.10");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":\"\\u0022:\\\"\"}"), "text \":\"");
}

static void integers_are_whole_and_fit_64_bits(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":9223372036854775807}"),
		"int 9223372036854775807");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":\" -42 \"}"), "int -42");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":12.00}"), "int 12");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":1.5e3}"), "int 1500");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":\"\"}"), "NULL");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":9223372036854775808}"),
		"field f: 9223372036854775808 is out of range for an integer");
	assert_string_equal(
		shown(COLUMN_INTEGER, "a", "{\"a\":1.5}"), "field f: 1.5 is not an integer");
	assert_string_equal(shown(COLUMN_INTEGER, "a", "{\"a\":\"12a\"}"),
		"field f: \"12a\" is not an integer");
	assert_string_equal(
		shown(COLUMN_INTEGER, "a", "{\"a\":true}"), "field f: true is not an integer");
	assert_string_equal(
		shown(COLUMN_INTEGER, "a", "{\"a\":[1]}"), "field f: a list is not an integer");
}

static void reals_are_decimal_and_finite(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_REAL, "a", "{\"a\":1.10}"), "real 1.1000000000000001");
	assert_string_equal(shown(COLUMN_REAL, "a", "{\"a\":\"37.5\"}"), "real 37.5");
	assert_string_equal(shown(COLUMN_REAL, "a", "{\"a\":12345678901234567890123}"),
		"real 1.2345678901234568e+22");
	assert_string_equal(shown(COLUMN_REAL, "a", "{\"a\":1e400}"),
		"field f: 1e400 is out of range for a real");
	assert_string_equal(
		shown(COLUMN_REAL, "a", "{\"a\":\"abc\"}"), "field f: \"abc\" is not a real");
	assert_string_equal(
		shown(COLUMN_REAL, "a", "{\"a\":\"0x10\"}"), "field f: \"0x10\" is not a real");
	assert_string_equal(
		shown(COLUMN_REAL, "a", "{\"a\":\"nan\"}"), "field f: \"nan\" is not a real");
}

static void booleans_have_few_words(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_BOOLEAN, "a", "{\"a\":true}"), "int 1");
	assert_string_equal(shown(COLUMN_BOOLEAN, "a", "{\"a\":\"N\"}"), "int 0");
	assert_string_equal(shown(COLUMN_BOOLEAN, "a", "{\"a\":0}"), "int 0");
	assert_string_equal(shown(COLUMN_BOOLEAN, "a", "{\"a\":2}"), "field f: 2 is not a boolean");
}

static void timestamps_are_milliseconds_since_1970(void **state)
{
	(void)state;
	static const char *const same[] = { "2026-11-21T08:45:00Z", "2026-11-21 08:45:00",
		"2026-11-21T17:45:00+09:00", "2026-11-21T08:45", "20261121084500",
		"2026-11-21T08:45:00.000Z", "1795250700", "1795250700000",
		"2026-11-21T03:15:00-0530" };
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		char doc[64];
		snprintf(doc, sizeof(doc), "{\"a\":\"%s\"}", same[i]);
		assert_string_equal(shown(COLUMN_TIMESTAMP, "a", doc), "int 1795250700000");
	}
	assert_string_equal(
		shown(COLUMN_TIMESTAMP, "a", "{\"a\":1795250700}"), "int 1795250700000");
	assert_string_equal(shown(COLUMN_TIMESTAMP, "a", "{\"a\":\"2026-11-21T08:45:00.1239Z\"}"),
		"int 1795250700123");
	assert_string_equal(
		shown(COLUMN_TIMESTAMP, "a", "{\"a\":\"1969-12-31\"}"), "int -86400000");
	assert_string_equal(
		shown(COLUMN_TIMESTAMP, "a", "{\"a\":\"20240229\"}"), "int 1709164800000");
	static const char *const bad[] = { "2026-02-29", "2026-13-01", "yesterday",
		"2026-11-21T25:00", "2026-11-21T08:45:00Zx", "2026-1-1", "2026-11", "12:00",
		"2026-11-21T08:45:00+9", "2026-11-21T08:45:00." };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char doc[64], words[96];
		snprintf(doc, sizeof(doc), "{\"a\":\"%s\"}", bad[i]);
		snprintf(words, sizeof(words), "field f: \"%s\" is not a timestamp", bad[i]);
		assert_string_equal(shown(COLUMN_TIMESTAMP, "a", doc), words);
	}
}

static void absent_and_null_are_null_for_every_type(void **state)
{
	(void)state;
	for (int type = COLUMN_TEXT; type <= COLUMN_JSON; type++) {
		assert_string_equal(shown(type, "b.c", "{\"a\":1}"), "NULL");
		assert_string_equal(shown(type, "a", "{\"a\":null}"), "NULL");
	}
}

static void a_text_is_whole_and_has_no_nul(void **state)
{
	(void)state;
	assert_string_equal(
		shown(COLUMN_TEXT, "a", "{\"a\":\" x \\u00e9 \"}"), "text  x \xc3\xa9 ");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":\"\"}"), "text ");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":false}"), "text false");
	assert_string_equal(
		shown(COLUMN_TEXT, "a", "{\"a\":{\"b\":1}}"), "field f: an object is not text");
	assert_string_equal(shown(COLUMN_TEXT, "a", "{\"a\":\"x\\u0000y\"}"),
		"field f: \"x\\u0000y\" is not text");
}

static void json_columns_hold_compact_text_in_the_order_of_the_source(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_JSON, "a", "{\"a\":{\"z\" : 1, \"b\":[ true,null ]}}"),
		"text {\"z\":1,\"b\":[true,null]}");
	assert_string_equal(shown(COLUMN_JSON, "a", "{\"a\":\"x\"}"), "text \"x\"");
	assert_string_equal(
		shown(COLUMN_JSON, "a[*].b", "{\"a\":[{\"b\":1},{\"b\":null},{},{\"b\":\"2\"}]}"),
		"text [1,null,\"2\"]");
	assert_string_equal(shown(COLUMN_JSON, "a[*].b", "{\"a\":[]}"), "NULL");
}

static void paths_reach_into_the_record(void **state)
{
	(void)state;
	const char *doc = "{\"a\":{\"b\":[{\"c\":\"x\"},{\"c\":\"y\"}]}}";
	assert_string_equal(shown(COLUMN_TEXT, "a.b[1].c", doc), "text y");
	assert_string_equal(shown(COLUMN_TEXT, "a.b[-2].c", doc), "text x");
	assert_string_equal(shown(COLUMN_TEXT, "a.b[2].c", doc), "NULL");
	assert_string_equal(shown(COLUMN_TEXT, "a.b[*].c", doc),
		"field f: the path leads to 2 values, not to one");
}

static void records_that_mean_two_things_are_refused(void **state)
{
	(void)state;
	assert_non_null(strstr(shown(COLUMN_TEXT, "a", "{\"a\":1,\"a\":2}"), "duplicate"));
	assert_non_null(strstr(shown(COLUMN_TEXT, "a", "{\"a\":\"\\ud800\"}"), "record: "));
	assert_non_null(strstr(shown(COLUMN_TEXT, "a", "{\"a\":1.2.3}"), "not a number"));
	assert_non_null(strstr(shown(COLUMN_TEXT, "a", "{\"a\":"), "record: "));
}

static void bytes_are_base64_and_nothing_else(void **state)
{
	(void)state;
	assert_string_equal(shown(COLUMN_BYTES, "a", "{\"a\":\"AP8K\"}"), "bytes 00 ff 0a");
	assert_string_equal(shown(COLUMN_BYTES, "a", "{\"a\":\" -_8= \"}"), "bytes fb ff");
	assert_string_equal(shown(COLUMN_BYTES, "a", "{\"a\":\"+/8\"}"), "bytes fb ff");
	assert_string_equal(shown(COLUMN_BYTES, "a", "{\"a\":\"AA==\"}"), "bytes 00");
	assert_string_equal(shown(COLUMN_BYTES, "a", "{\"a\":\"\"}"), "NULL");
	static const char *const bad[] = { "A", "AA=", "AAA==", "AB==", "AA A", "A=AA",
		"====", "AA\\u0000A", "\\u00e9AAA" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char doc[64];
		snprintf(doc, sizeof(doc), "{\"a\":\"%s\"}", bad[i]);
		assert_non_null(strstr(shown(COLUMN_BYTES, "a", doc), "is not base64"));
	}
	assert_string_equal(
		shown(COLUMN_BYTES, "a", "{\"a\":1234}"), "field f: 1234 is not base64");
	assert_string_equal(
		shown(COLUMN_BYTES, "a", "{\"a\":true}"), "field f: true is not base64");
}

static void a_long_value_is_cut_in_the_message(void **state)
{
	(void)state;
	char doc[300];
	snprintf(doc, sizeof(doc), "{\"a\":\"%0200d\"}", 0);
	const char *words = shown(COLUMN_TIMESTAMP, "a", doc);
	assert_in_range(strlen(words), 60, 110);
	assert_non_null(strstr(words, "... is not a timestamp"));
}

static void names_are_told_apart_however_many_there_are(void **state)
{
	(void)state;
	enum { MANY = 1000 };
	for (int count = 2; count <= MANY; count += count < 40 ? 1 : 320) {
		for (int twice = 0; twice < 2; twice++) {
			struct buf doc = BUF_INIT;
			char last[32];
			buf_add_char(&doc, '{');
			for (int i = 0; i < count; i++)
				buf_addf(&doc, "\"n%d\":[{\"n0\":%d}],", i, i);
			buf_addf(&doc, "\"%s\":1}", twice ? "\\u006e0" : "\\u006f0");
			snprintf(last, sizeof(last), "n%d[0].n0", count - 1);
			const char *found = shown(COLUMN_INTEGER, last, buf_str(&doc));
			if (twice)
				assert_string_equal(found, "record: duplicate object key \"n0\"");
			else
				assert_int_equal(strtol(found + 4, NULL, 10), count - 1);
			buf_finish(&doc);
		}
	}
}

static void fields_may_come_in_any_order(void **state)
{
	(void)state;
	static const char doc[] = "{\"a\":1,\"b\":{\"a\":9,\"d\":9},\"c\":3,\"\":4}";
	static const struct {
		const char *name;
		int64_t value;
	} asked[] = { { "c", 3 }, { "a", 1 }, { "d", 0 }, { "a", 1 }, { "c", 3 }, { "c", 3 },
		{ "d", 0 } };
	struct err err;
	CLEANUP(json_record_freep) struct json_record *record = json_record_empty();
	for (int again = 0; again < 2; again++) {
		assert_int_equal(json_record_read(record, doc, strlen(doc), &err), 0);
		for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
			const struct config_column column = { "f", .type = COLUMN_INTEGER };
			CLEANUP(json_path_freep) struct json_path *path = NULL;
			struct json_value value;
			assert_int_equal(json_path_new(&path, asked[i].name, &err), 0);
			assert_int_equal(
				json_record_column(record, &column, path, &value, &err), 0);
			assert_int_equal(
				value.type, asked[i].value ? JSON_VALUE_INT : JSON_VALUE_NULL);
			assert_int_equal(value.i, asked[i].value);
		}
	}
}

static void a_record_is_as_strict_as_the_scanner(void **state)
{
	(void)state;
	static const struct {
		const char *doc, *words;
	} bad[] = {
		{ "", "ends too early" },
		{ "{\"a\":tru", "ends too early" },
		{ "{\"a\":trux}", "neither true" },
		{ "{\"a\":1,}", "a name is expected at byte 7" },
		{ "[1,]", "a value is expected at byte 3" },
		{ "[1 2]", "a comma or ] is expected" },
		{ "{\"a\" 1}", "a colon is expected" },
		{ "{\"a\":1}}", "something follows the value, at byte 7" },
		{ "{\"a\":01}", "not a number" },
		{ "{\"a\":1.}", "not a number" },
		{ "{\"a\":-}", "not a number" },
		{ "{\"a\":1e}", "not a number" },
		{ "{\"a\":\"\x01\"}", "a control character" },
		{ "{\"a\":\"0123456789abcdef\x1f\"}", "a control character" },
		{ "{\"a\":\"\\x\"}", "no such escape" },
		{ "{\"a\":\"\\u12g4\"}", "no such escape" },
		{ "{\"a\":\"\xc0\xaf\"}", "not valid UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "not valid UTF-8" },
		{ "{\"a\":\"\xf4\x90\x80\x80\"}", "not valid UTF-8" },
		{ "{\"a\":\"0123456789abcdef\xe2\x82\"}", "not valid UTF-8" },
		{ "{\"a\\u0000\":1}", "a name with a NUL" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!strstr(shown(COLUMN_JSON, "$", bad[i].doc), bad[i].words))
			fail_msg("%s: %s", bad[i].doc, shown(COLUMN_JSON, "$", bad[i].doc));
	char deep[2 * 2049 + 1];
	memset(deep, '[', 2049);
	memset(deep + 2049, ']', 2049);
	deep[2 * 2049] = '\0';
	assert_non_null(strstr(shown(COLUMN_JSON, "$", deep), "nested too deeply"));
	deep[2 * 2049 - 1] = '\0';
	assert_non_null(strstr(shown(COLUMN_BOOLEAN, "$", deep + 1), "a list is not a boolean"));
}

/* Digits at random, with what rounds hardest: halves, and what lies just beside them. */
static void reals_are_the_nearest_ones(void **state)
{
	(void)state;
	static const char *const hard[] = { "0.1", "9007199254740993", "9007199254740993.0",
		"9007199254740992.5", "9007199254740993.5", "4503599627370497.5",
		"4503599627370496.5", "4503599627370497.500000", "9999999999999999999",
		"0.0000000000000000001", "0.000000000000000000000000001", "1.7976931348623157",
		"-0.0", "0", "+1.5", "000000000000000000000000001.5", "2.2250738585072011" };
	uint64_t dice = 1;
	for (size_t i = 0; i < 200000 + ARRAY_SIZE(hard); i++) {
		char text[64];
		struct json_value value;
		dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
		uint64_t digits = (dice >> 8) >> (dice >> 3) % 50;
		int places = (int)((dice >> 58) % 28);
		if (i < ARRAY_SIZE(hard))
			snprintf(text, sizeof(text), "%s", hard[i]);
		else if (i % 2)
			snprintf(text, sizeof(text), "%s%.*f", i % 3 ? "-" : "", places,
				(double)digits / 3e7);
		else
			snprintf(text, sizeof(text), "%d.%0*llu", (int)(dice >> 61),
				places % 19 + 1, (unsigned long long)digits);
		assert_int_equal(json_value_from_text(&value, COLUMN_REAL, text, strlen(text)), 0);
		double expected = strtod(text, NULL);
		if (memcmp(&expected, &value.real, sizeof(expected)) != 0)
			fail_msg("%s: %a, not %a", text, value.real, expected);
	}
}

static void times_are_those_of_the_calendar(void **state)
{
	(void)state;
	for (int64_t day = -719528; day < 2932897; day += 61) {
		time_t seconds = day * 86400 + 86399;
		struct tm t;
		char text[64];
		struct json_value value;
		assert_non_null(gmtime_r(&seconds, &t));
		snprintf(text, sizeof(text), "%04d-%02d-%02dT23:59:59Z", t.tm_year + 1900,
			t.tm_mon + 1, t.tm_mday);
		assert_int_equal(
			json_value_from_text(&value, COLUMN_TIMESTAMP, text, strlen(text)), 0);
		assert_int_equal(value.i, (int64_t)seconds * 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_keep_the_text_of_the_source),
		cmocka_unit_test(integers_are_whole_and_fit_64_bits),
		cmocka_unit_test(reals_are_decimal_and_finite),
		cmocka_unit_test(booleans_have_few_words),
		cmocka_unit_test(timestamps_are_milliseconds_since_1970),
		cmocka_unit_test(absent_and_null_are_null_for_every_type),
		cmocka_unit_test(a_text_is_whole_and_has_no_nul),
		cmocka_unit_test(json_columns_hold_compact_text_in_the_order_of_the_source),
		cmocka_unit_test(paths_reach_into_the_record),
		cmocka_unit_test(records_that_mean_two_things_are_refused),
		cmocka_unit_test(bytes_are_base64_and_nothing_else),
		cmocka_unit_test(a_long_value_is_cut_in_the_message),
		cmocka_unit_test(names_are_told_apart_however_many_there_are),
		cmocka_unit_test(fields_may_come_in_any_order),
		cmocka_unit_test(a_record_is_as_strict_as_the_scanner),
		cmocka_unit_test(reals_are_the_nearest_ones),
		cmocka_unit_test(times_are_those_of_the_calendar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
