/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "reading.h"
#include "json/path.h"
#include <stdlib.h>

static struct record_options options = { .format = RECORD_NDJSON };

static void reads(const char *text, const char *expected)
{
	size_t len = strlen(text);
	for (size_t piece = 1; piece <= len + 1; piece += piece < 5 ? 1 : len)
		assert_string_equal(reading(&options, text, len, piece), expected);
}

static void each_line_is_a_record(void **state)
{
	(void)state;
	reads("{\"a\":1}\n\n  \r\n{\"a\":[1,{\"b\":2}]}\r\n{\"a\":3}",
		"{\"a\":1}\n{\"a\":[1,{\"b\":2}]}\n{\"a\":3}\n");
	reads("\xef\xbb\xbf{}\n", "{}\n");
	reads("", "");
}

static void a_path_leads_into_each_line(void **state)
{
	struct err err;
	struct json_path *path;
	(void)state;
	assert_int_equal(json_path_new(&path, "row.items", &err), 0);
	options.path = path;
	reads("{\"row\":{\"items\":[1,{\"x\":2}]}}\n{\"row\":{\"items\":[]}}\n{\"row\":{}}\n"
	      "{\"rows\":1}\n",
		"1\n{\"x\":2}\n! line 4: there is no \"row\"\n");
	options.path = NULL;
	json_path_free(path);
}

static void a_line_that_is_no_json_is_rejected_whole(void **state)
{
	(void)state;
	reads("{\"a\":1}\n{\"a\":\n[1,2] x\n{\"a\":\"\xff\"}\n{\"a\":2}\n{\"a\":3",
		"{\"a\":1}\n"
		"! line 2: malformed JSON at byte 5: the text ends too early\n"
		"! line 3: malformed JSON at byte 6: something follows the document\n"
		"! line 4: malformed JSON at byte 6: not valid UTF-8\n"
		"{\"a\":2}\n"
		"! line 6: malformed JSON at byte 6: the text ends too early\n");
}

static void a_line_over_a_mebibyte_is_rejected_in_bounded_memory(void **state)
{
	static const char tail[] = "\n{\"a\":1}\n";
	size_t len = (size_t)3 << 20;
	char *text = malloc(len + sizeof(tail));
	(void)state;
	memset(text, '1', len);
	memcpy(text + len, tail, sizeof(tail));
	assert_string_equal(reading(&options, text, strlen(text), 16384),
		"! line 1: larger than 1048576 bytes\n{\"a\":1}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_is_a_record),
		cmocka_unit_test(a_path_leads_into_each_line),
		cmocka_unit_test(a_line_that_is_no_json_is_rejected_whole),
		cmocka_unit_test(a_line_over_a_mebibyte_is_rejected_in_bounded_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
