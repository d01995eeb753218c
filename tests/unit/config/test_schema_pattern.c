/* SPDX-License-Identifier: MIT */
/* The regular expressions of the schema mean what the reader means. */
#include "unit.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "config/schema_pattern.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>

struct matcher {
	regex_t regex;
	char text[4096];
};

static void begin(struct matcher *m, struct buf *pattern)
{
	snprintf(m->text, sizeof(m->text), "^(%s)$", buf_str(pattern));
	assert_int_equal(regcomp(&m->regex, m->text, REG_EXTENDED | REG_NOSUB), 0);
	buf_finish(pattern);
}

static void expect(const struct matcher *m, const char *text, bool matches)
{
	if ((regexec(&m->regex, text, 0, NULL, 0) == 0) != matches)
		fail_msg("%s is %s by %s", text, matches ? "refused" : "accepted", m->text);
}

static void expect_number(const struct matcher *m, int64_t n, bool matches)
{
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, n);
	expect(m, text, matches);
}

static void every_number_of_every_small_range_and_no_other_matches(void **state)
{
	(void)state;
	for (int64_t lo = 0; lo <= 130; lo += 7) {
		for (int64_t hi = lo; hi <= 1300; hi += hi < 120 ? 1 : 97) {
			struct buf pattern = BUF_INIT;
			struct matcher m;
			pattern_numbers(&pattern, lo, hi);
			begin(&m, &pattern);
			for (int64_t n = 0; n <= hi + 30; n += n > 110 && n < hi - 15 ? 9 : 1)
				expect_number(&m, n, n >= lo && n <= hi);
			regfree(&m.regex);
		}
	}
}

static void a_range_ends_where_it_ends_however_large(void **state)
{
	(void)state;
	static const int64_t ends[][2] = { { 50, 86400000 }, { 4096, INT64_C(1) << 40 },
		{ 0, INT64_MAX }, { 999, 1000 }, { 100, 100 }, { 1, INT64_MAX - 1 },
		{ 86400000, INT64_C(86400000) * 3650 } };
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct buf pattern = BUF_INIT;
		struct matcher m;
		int64_t lo = ends[i][0], hi = ends[i][1];
		pattern_numbers(&pattern, lo, hi);
		begin(&m, &pattern);
		expect_number(&m, lo, true);
		expect_number(&m, hi, true);
		expect_number(&m, lo + (hi - lo) / 2, true);
		if (lo > 0)
			expect_number(&m, lo - 1, false);
		if (hi < INT64_MAX)
			expect_number(&m, hi + 1, false);
		expect(&m, "", false);
		regfree(&m.regex);
	}
}

static void signs_are_part_of_a_whole_number(void **state)
{
	(void)state;
	static const int64_t ends[][2] = { { -20, 19 }, { -7, -3 }, { 0, 5 }, { -1, 0 } };
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct buf pattern = BUF_INIT;
		struct matcher m;
		pattern_int(&pattern, ends[i][0], ends[i][1]);
		begin(&m, &pattern);
		for (int64_t n = -120; n <= 120; n++)
			expect_number(&m, n, n >= ends[i][0] && n <= ends[i][1]);
		expect(&m, "+1", false);
		expect(&m, "1.0", false);
		regfree(&m.regex);
	}
}

static bool reads_as(
	const char *text, int (*read)(const char *s, int64_t *out), int64_t lo, int64_t hi)
{
	int64_t value;
	return read(text, &value) == 0 && value >= lo && value <= hi;
}

static void texts_with_a_unit_match_just_when_the_reader_takes_them(void **state)
{
	(void)state;
	static const char *const units[] = { "ms", "s", "m", "h", "d", "B", "KB", "MB", "GB", "KiB",
		"MiB", "GiB", "", "S", " s", "w" };
	static const int64_t ends[][2] = { { 50, 86400000 }, { 0, 3600000 },
		{ 4096, INT64_C(1) << 40 }, { 1500, 1500 }, { 61000, 119000 } };
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct buf time = BUF_INIT, size = BUF_INIT;
		struct matcher times, sizes;
		int64_t lo = ends[i][0], hi = ends[i][1];
		pattern_duration(&time, lo, hi);
		pattern_size(&size, lo, hi);
		begin(&times, &time);
		begin(&sizes, &size);
		for (int64_t n = 0; n < INT64_C(1) << 42; n += n < 200 ? 1 : n / 3) {
			for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
				char text[40];
				snprintf(text, sizeof(text), "%s%" PRId64 "%s", n % 2 ? "0" : "", n,
					units[u]);
				expect(&times, text, reads_as(text, str_to_duration_ms, lo, hi));
				expect(&sizes, text, reads_as(text, str_to_size, lo, hi));
			}
		}
		regfree(&times.regex);
		regfree(&sizes.regex);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_of_every_small_range_and_no_other_matches),
		cmocka_unit_test(a_range_ends_where_it_ends_however_large),
		cmocka_unit_test(signs_are_part_of_a_whole_number),
		cmocka_unit_test(texts_with_a_unit_match_just_when_the_reader_takes_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
