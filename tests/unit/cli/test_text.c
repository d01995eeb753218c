/* SPDX-License-Identifier: MIT */
#include "cli/typed.h"
#include "record.h"
#include "table.h"
#include "text.h"
#include <locale.h>
#include <string.h>

static void nothing_from_outside_steers_the_terminal(void **state)
{
	(void)state;
	static const char nasty[] = "a\x1b[2J\x07\r\nb\tc\x7f\xc2\x9b"
				    "d\xe2\x80\xae"
				    "e\xff"
				    "f";
	struct buf out = BUF_INIT;
	text_escape(&out, nasty, sizeof(nasty) - 1);
	assert_string_equal(buf_str(&out),
		"a\\x1b[2J\\x07\\r\\nb\\tc\\x7f\\u009bd\\u202ee\xef\xbf\xbd"
		"f");
	buf_reset(&out);
	text_escape_lines(&out, nasty, sizeof(nasty) - 1);
	assert_string_equal(buf_str(&out),
		"a\\x1b[2J\\x07\\r\nb\tc\\x7f\\u009bd\\u202ee\xef\xbf\xbd"
		"f");
	buf_reset(&out);
	text_escape(&out, "a\0b", 3);
	assert_string_equal(buf_str(&out), "a\\x00b");
	buf_finish(&out);
}

static void long_text_is_cut_at_columns_not_bytes(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	text_cut(&out, "Arbëreshë", 9, "…");
	assert_string_equal(buf_str(&out), "Arbëreshë");
	buf_reset(&out);
	text_cut(&out, "Arbëreshë", 5, "…");
	assert_string_equal(buf_str(&out), "Arbë…");
	buf_reset(&out);
	text_cut(&out, "日本語テキスト", 6, "…");
	assert_string_equal(buf_str(&out), "日本…"); /* each takes two */
	assert_int_equal(text_width("日本…"), 5);
	buf_finish(&out);
}

static void spans_show_their_two_largest_units(void **state)
{
	(void)state;
	char text[TEXT_SPAN];
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = { { -5, "0s" }, { 0, "0ms" }, { 250, "250ms" }, { 5340, "5.3s" },
		{ 59999, "59s" }, { 725000, "12m5s" }, { 11520000, "3h12m" },
		{ 183600000, "2d3h" } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_span(text, sizeof(text), cases[i].ms), cases[i].text);
	assert_string_equal(text_count(text, sizeof(text), 7910), "7,910");
	assert_string_equal(text_count(text, sizeof(text), -1234567), "-1,234,567");
	assert_string_equal(text_count(text, sizeof(text), 999), "999");
	assert_string_equal(text_bytes(text, sizeof(text), 18874368), "18.0 MiB");
}

static void times_are_told_from_now(void **state)
{
	(void)state;
	char text[40];
	int64_t now = text_time("2026-11-21T08:45:00Z");
	assert_true(now == 1795250700000);
	assert_string_equal(text_when(text, sizeof(text), now + 108000, now), "in 1m48s");
	assert_string_equal(text_when(text, sizeof(text), now - 192000, now), "3m12s ago");
	assert_string_equal(text_when(text, sizeof(text), 0, now), "-");
	assert_true(text_time("soon") == 0);
	assert_true(text_time(NULL) == 0);
}

static void records_read_as_text_and_other_lines_as_they_are(void **state)
{
	(void)state;
	static const char record[] =
		"{\"time\":\"2026-11-21T08:45:00.123Z\",\"level\":\"warn\",\"category\":\"health\","
		"\"process\":\"crawl:1\","
		"\"event\":\"process_restarted\",\"msg\":\"process restarted: crawl:1\",\"reason\":"
		"\"probe\",\"detail\":\"no answer\\u001b[2J\"}";
	struct buf out = BUF_INIT;
	record_show(&out, record, strlen(record), false);
	assert_string_equal(buf_str(&out), "08:45:00.123 warn  crawl:1  process_restarted "
					   "reason=probe detail=\"no answer\\x1b[2J\"");
	buf_reset(&out);
	record_show(&out, "{\"hello\": 1}", 12, false);
	assert_string_equal(buf_str(&out), "{\"hello\": 1}");
	buf_reset(&out);
	record_show(&out, "{broken \x1b", 9, false);
	assert_string_equal(buf_str(&out), "{broken \\x1b");
	buf_finish(&out);
}

static char *table_of(int width, const char *note)
{
	char *text = NULL;
	size_t len = 0;
	struct cli cli = { .width = width, .out = open_memstream(&text, &len) };
	struct table *t = table_new(&cli);
	table_column(t, "NAME", 0);
	table_column(t, "PID", TABLE_RIGHT);
	table_column(t, "NOTE", TABLE_SHRINK);
	table_row(t);
	table_cell(t, "collect:1");
	table_cell(t, "4711");
	table_cell(t, note);
	table_row(t);
	table_cell(t, "web");
	assert_int_equal(table_print(t), 0);
	table_free(t);
	fclose(cli.out);
	return text;
}

static void a_table_fits_the_terminal(void **state)
{
	(void)state;
	char *text = table_of(40, "three probes failed: no answer within 400 ms");
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save))
		assert_true(text_width(line) <= 40);
	free(text);
	text = table_of(40, "three probes failed: no answer within 400 ms");
	assert_says(text, "…");
	assert_says(text, "collect:1");
	free(text);
}

static void without_a_terminal_nothing_is_cut(void **state)
{
	(void)state;
	char *text = table_of(0, "three probes failed: no answer within 400 ms");
	assert_says(text, "collect:1  4711  three probes failed: no answer within 400 ms");
	free(text);
}

static void a_cell_cannot_begin_a_new_line(void **state)
{
	(void)state;
	char *text = table_of(0, "one\ntwo\x1b[31m");
	assert_says(text, "one\\ntwo\\x1b[31m");
	assert_null(strchr(text, '\x1b'));
	free(text);
}

int main(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_from_outside_steers_the_terminal),
		cmocka_unit_test(long_text_is_cut_at_columns_not_bytes),
		cmocka_unit_test(spans_show_their_two_largest_units),
		cmocka_unit_test(times_are_told_from_now),
		cmocka_unit_test(records_read_as_text_and_other_lines_as_they_are),
		cmocka_unit_test(a_table_fits_the_terminal),
		cmocka_unit_test(without_a_terminal_nothing_is_cut),
		cmocka_unit_test(a_cell_cannot_begin_a_new_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
