/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "config/config.h"
#include "reading.h"
#include <stdlib.h>

static struct record_options options;
static struct config_strings names;

static int set_up(void **state)
{
	(void)state;
	names = (struct config_strings) { 0 };
	options = (struct record_options) { .format = RECORD_CSV,
		.csv = { .delimiter = ',', .quote = '"', .columns = &names } };
	return 0;
}

/* The same whole and byte by byte. */
static void reads_len(const char *text, size_t len, const char *expected)
{
	for (size_t piece = 1; piece <= len + 1; piece += piece < 5 ? 1 : len)
		assert_string_equal(reading(&options, text, len, piece), expected);
}

static void reads(const char *text, const char *expected)
{
	reads_len(text, strlen(text), expected);
}

static void the_first_line_names_the_cells_of_the_others(void **state)
{
	(void)state;
	reads("id,name\n1,x\n2,y\n",
		"{\"id\":\"1\",\"name\":\"x\"}\n{\"id\":\"2\",\"name\":\"y\"}\n");
	reads("\xef\xbb\xbfid\n1", "{\"id\":\"1\"}\n");
	reads("id\n", "");
	reads("", "");
}

static void lines_end_as_they_like(void **state)
{
	(void)state;
	reads("a\r\n1\r\n2\r3\n\n\r\n4",
		"{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\":\"3\"}\n{\"a\":\"4\"}\n");
}

static void quotes_hold_anything(void **state)
{
	(void)state;
	reads("a,b\n\"x,\"\"y\"\"\n z\",2\n\"\r\n\",\"\"\n",
		"{\"a\":\"x,\\\"y\\\"\\n z\",\"b\":\"2\"}\n{\"a\":\"\\r\\n\",\"b\":\"\"}\n");
	reads("a,b\n1 \"x\",2\n", "{\"a\":\"1 \\\"x\\\"\",\"b\":\"2\"}\n");
	options.csv.quote = '\0';
	reads("a,b\n\"x,y\"\n", "{\"a\":\"\\\"x\",\"b\":\"y\\\"\"}\n");
}

static void an_empty_cell_is_null_an_empty_text_is_not(void **state)
{
	(void)state;
	reads("a,b,c\n,\"\",x\n,,\n",
		"{\"a\":null,\"b\":\"\",\"c\":\"x\"}\n{\"a\":null,\"b\":null,\"c\":null}\n");
}

static void another_dialect_is_as_good(void **state)
{
	static const char *given[] = { "id", "name" };
	(void)state;
	options.csv.delimiter = '\t';
	options.csv.quote = '\'';
	options.csv.skip = 2;
	reads("# made by x\n'\nid\tname\n'1\t1'\ty\n", "{\"id\":\"1\\t1\",\"name\":\"y\"}\n");
	names = (struct config_strings) { given, 2 };
	options.csv.skip = 0;
	reads("1\tx\n", "{\"id\":\"1\",\"name\":\"x\"}\n");
}

static void what_is_no_row_is_rejected_and_the_next_is_read(void **state)
{
	(void)state;
	reads("a,b\n1\n1,2,3\n\"x\"y,2\n\xff,1\n5,6\n",
		"! line 2: 1 cells where there are 2 columns\n"
		"! line 3: 3 cells where there are 2 columns\n"
		"! line 4: text behind a closing quote\n"
		"! line 5: not valid UTF-8\n"
		"{\"a\":\"5\",\"b\":\"6\"}\n");
	reads("a,b\n\"1\n2\",3\n4\n", "{\"a\":\"1\\n2\",\"b\":\"3\"}\n"
				      "! line 4: 1 cells where there are 2 columns\n");
}

static void what_cannot_be_read_ends_the_answer(void **state)
{
	(void)state;
	reads("a,b\n1,2\n\"3,4\n5,6\n", "{\"a\":\"1\",\"b\":\"2\"}\nerror: csv: the answer ends "
					"inside the quotes that begin in line 3\n");
	reads("a,b,a\n1,2,3\n", "error: csv, line 1: two columns are named \"a\"\n");
	reads("a,\xfe\n1,2\n",
		"error: csv, line 1: the names of the columns are not valid UTF-8\n");
	reads_len("a\0b\n1\n", 6,
		"error: csv, line 1: the names of the columns are not valid UTF-8\n");
}

static void columns_without_a_name_are_left_out(void **state)
{
	(void)state;
	reads(",a,\n1,2,3\n", "{\"a\":\"2\"}\n");
}

static void a_row_over_a_mebibyte_is_rejected_in_bounded_memory(void **state)
{
	static const char head[] = "a,b\n1,\"", tail[] = "\"\n2,3\n";
	size_t len = (size_t)3 << 20;
	char *text = malloc(len + sizeof(head) + sizeof(tail));
	(void)state;
	memcpy(text, head, strlen(head));
	memset(text + strlen(head), 'x', len);
	memcpy(text + strlen(head) + len, tail, sizeof(tail));
	assert_string_equal(reading(&options, text, strlen(text), 16384),
		"! line 2: larger than 1048576 bytes\n{\"a\":\"2\",\"b\":\"3\"}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_first_line_names_the_cells_of_the_others, set_up),
		cmocka_unit_test_setup(lines_end_as_they_like, set_up),
		cmocka_unit_test_setup(quotes_hold_anything, set_up),
		cmocka_unit_test_setup(an_empty_cell_is_null_an_empty_text_is_not, set_up),
		cmocka_unit_test_setup(another_dialect_is_as_good, set_up),
		cmocka_unit_test_setup(what_is_no_row_is_rejected_and_the_next_is_read, set_up),
		cmocka_unit_test_setup(what_cannot_be_read_ends_the_answer, set_up),
		cmocka_unit_test_setup(columns_without_a_name_are_left_out, set_up),
		cmocka_unit_test_setup(a_row_over_a_mebibyte_is_rejected_in_bounded_memory, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
