/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "schedule/zone.h"
#include "schedule/zone_rule.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void a_name_that_leaves_the_folder_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "/etc/passwd", "../../../etc/passwd",
		"Europe/../UTC", "a b", "Europe/Berlin/", "\xc3\xa9", "Europe/Berlin.txt",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	struct zone *zone = NULL;
	struct err err = { 0 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(zone_load(&zone, bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "Europe/Berlin"));
	}
	assert_int_equal(zone_load(&zone, "Europe/Atlantis", &err), -ENOENT);
	assert_int_equal(zone_load(&zone, "Europe", &err), -ENOENT);
	assert_null(zone);
}

static void no_zone_is_utc(void **state)
{
	(void)state;
	struct zone_span span;
	CLEANUP(zone_freep) struct zone *utc = NULL;
	assert_string_equal(zone_name(NULL), "UTC");
	zone_span_at(NULL, 0, &span);
	assert_int_equal(span.offset_s, 0);
	assert_true(span.start_s == INT64_MIN && span.end_s == INT64_MAX);
	assert_int_equal(zone_load(&utc, "UTC", NULL), 0);
	zone_span_at(utc, 1795000000, &span);
	assert_int_equal(span.offset_s, 0);
	assert_string_equal(span.abbr, "UTC");
}

/* Every 11 hours over 120 years, with the rule of the footer from 2037 on: libc knows it too. */
static void offsets_are_those_of_libc(void **state)
{
	(void)state;
	static const char *const names[] = { "Asia/Seoul", "America/New_York", "Europe/Dublin",
		"Australia/Lord_Howe", "Africa/Casablanca", "America/Nuuk", "Pacific/Apia",
		"Asia/Gaza", "Etc/GMT+5", "Antarctica/Troll" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		CLEANUP(zone_freep) struct zone *zone = NULL;
		struct zone_span span = { .end_s = INT64_MIN };
		assert_int_equal(zone_load(&zone, names[i], NULL), 0);
		setenv("TZ", names[i], 1);
		tzset();
		for (int64_t t = 0; t < 3786912000; t += 11 * 3600 + 17) {
			struct tm tm;
			time_t libc = t;
			if (t >= span.end_s)
				zone_span_at(zone, t, &span);
			assert_true(span.start_s <= t && t < span.end_s);
			localtime_r(&libc, &tm);
			if (tm.tm_gmtoff != span.offset_s || strncmp(tm.tm_zone, span.abbr, 7) != 0)
				fail_msg("%s at %lld: %d %s, libc says %ld %s", names[i],
					(long long)t, span.offset_s, span.abbr, tm.tm_gmtoff,
					tm.tm_zone);
		}
	}
	unsetenv("TZ");
}

static void spans_follow_each_other_without_a_hole(void **state)
{
	(void)state;
	CLEANUP(zone_freep) struct zone *zone = NULL;
	struct zone_span span;
	int64_t at = INT64_MIN;
	size_t count = 0;
	assert_int_equal(zone_load(&zone, "Europe/Berlin", NULL), 0);
	for (; at < 253402300800; at = span.end_s, count++) {
		zone_span_at(zone, at, &span);
		assert_true(span.start_s == at);
		assert_true(span.end_s > at);
	}
	assert_true(count > 15000);
}

static void posix_rules_are_read_in_all_their_forms(void **state)
{
	(void)state;
	struct zone_rule rule;
	struct zone_span span;
	static const char *const good[] = { "UTC0", "<-03>3", "CET-1CEST,M3.5.0,M10.5.0/3",
		"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "EST5EDT,J60/-1,364/167:59:59",
		"XXX3EDT4,0/0,J365/23" };
	static const char *const bad[] = { "", "CE1", "CET", "CET-1CEST", "CET-1CEST,M3.5.0",
		"CET25:99", "CET-1CEST,M13.1.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,J0,J5",
		"CET-1CEST,M3.5.0,M10.5.0x", "<+03" };
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(zone_rule_parse(&rule, good[i], strlen(good[i])), 0);
	zone_rule_span_at(&rule, 1795000000, &span); /* the last: daylight time all the year */
	assert_int_equal(span.offset_s, -4 * 3600);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (zone_rule_parse(&rule, bad[i], strlen(bad[i])) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
}

static void damaged_files_are_refused(void **state)
{
	(void)state;
	unsigned char data[4096];
	FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "re");
	assert_non_null(f);
	size_t len = fread(data, 1, sizeof(data), f);
	fclose(f);
	struct zone *zone = NULL;
	struct err err = { 0 };
	assert_int_equal(zone_parse(&zone, "x", data, len, NULL), 0);
	zone_free(zone);
	zone = NULL;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(zone_parse(&zone, "x", data, cut, &err), -EINVAL);
	data[20 + 12] ^= 0xff; /* a count of four thousand million */
	assert_int_equal(zone_parse(&zone, "x", data, len, &err), -EINVAL);
	assert_null(zone);
}

static void a_cache_loads_each_zone_once(void **state)
{
	(void)state;
	CLEANUP(zone_cache_freep) struct zone_cache *cache = zone_cache_new();
	const struct zone *a, *b, *c;
	assert_int_equal(zone_cache_get(cache, "Asia/Seoul", &a, NULL), 0);
	assert_int_equal(zone_cache_get(cache, "Europe/Berlin", &b, NULL), 0);
	assert_int_equal(zone_cache_get(cache, "Asia/Seoul", &c, NULL), 0);
	assert_ptr_equal(a, c);
	assert_ptr_not_equal(a, b);
	assert_int_equal(zone_cache_get(cache, "Asia/Nowhere", &c, NULL), -ENOENT);
}

/* ---- a folder of zones that changes ---- */

static char folder[] = "/tmp/drover-zones-XXXXXX";
static int told_changed, told_trouble;
static char trouble_text[1024];

static int make_folder(void **state)
{
	(void)state;
	told_changed = told_trouble = 0;
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	zone_set_folder(folder);
	return 0;
}

static int drop_folder(void **state)
{
	(void)state;
	char path[100];
	zone_set_folder(NULL);
	snprintf(path, sizeof(path), "%s/Test", folder);
	unlink(path);
	return rmdir(folder);
}

/* As a package does it: a new file takes the old one's name. `len` bytes of it at most. */
static void install(const char *zone, size_t len)
{
	char from[100], path[100], fresh[110], data[8192];
	snprintf(from, sizeof(from), "/usr/share/zoneinfo/%s", zone);
	snprintf(path, sizeof(path), "%s/Test", folder);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *in = fopen(from, "re"), *out = fopen(fresh, "we");
	assert_true(in && out);
	size_t n = fread(data, 1, sizeof(data), in);
	assert_int_equal(fwrite(data, 1, n < len ? n : len, out), n < len ? n : len);
	fclose(in);
	fclose(out);
	assert_int_equal(rename(fresh, path), 0);
}

static void on_told(void *arg, const struct zone *zone, const struct err *trouble)
{
	(void)arg;
	assert_string_equal(zone_name(zone), "Test");
	told_changed += !trouble;
	told_trouble += trouble != NULL;
	if (trouble)
		snprintf(trouble_text, sizeof(trouble_text), "%s", trouble->text);
}

static int offset_of(const struct zone *zone)
{
	struct zone_span span;
	zone_span_at(zone, 1795000000, &span); /* November 2026 */
	return span.offset_s;
}

static void a_new_tzdata_is_read_where_the_zone_stands(void **state)
{
	(void)state;
	CLEANUP(zone_cache_freep) struct zone_cache *cache = zone_cache_new();
	const struct zone *zone;
	install("Europe/Berlin", SIZE_MAX);
	assert_int_equal(zone_cache_get(cache, "Test", &zone, NULL), 0);
	assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 0);
	install("Asia/Seoul", SIZE_MAX);
	assert_int_equal(offset_of(zone), 3600);
	assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 1);
	assert_int_equal(offset_of(zone), 9 * 3600);
	assert_int_equal(told_changed, 1);
	/* The same once more, in a new file: nothing new. */
	install("Asia/Seoul", SIZE_MAX);
	assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 0);
	assert_int_equal(told_changed, 1);
	assert_int_equal(told_trouble, 0);
}

static void a_zone_that_is_damaged_or_gone_stays_as_it_was_and_is_told_once(void **state)
{
	(void)state;
	CLEANUP(zone_cache_freep) struct zone_cache *cache = zone_cache_new();
	const struct zone *zone;
	char path[100];
	install("Europe/Berlin", SIZE_MAX);
	assert_int_equal(zone_cache_get(cache, "Test", &zone, NULL), 0);
	install("Asia/Seoul", 100);
	for (int i = 0; i < 5; i++)
		assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 0);
	assert_int_equal(told_trouble, 1);
	assert_non_null(strstr(trouble_text, "Test"));
	snprintf(path, sizeof(path), "%s/Test", folder);
	unlink(path);
	for (int i = 0; i < 5; i++)
		assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 0);
	assert_int_equal(told_trouble, 2);
	assert_int_equal(offset_of(zone), 3600);
	install("Asia/Seoul", SIZE_MAX);
	assert_int_equal(zone_cache_refresh(cache, on_told, NULL), 1);
	assert_int_equal(offset_of(zone), 9 * 3600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_leaves_the_folder_is_refused),
		cmocka_unit_test(no_zone_is_utc),
		cmocka_unit_test(offsets_are_those_of_libc),
		cmocka_unit_test(spans_follow_each_other_without_a_hole),
		cmocka_unit_test(posix_rules_are_read_in_all_their_forms),
		cmocka_unit_test(damaged_files_are_refused),
		cmocka_unit_test(a_cache_loads_each_zone_once),
		cmocka_unit_test_setup_teardown(
			a_new_tzdata_is_read_where_the_zone_stands, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(
			a_zone_that_is_damaged_or_gone_stays_as_it_was_and_is_told_once,
			make_folder, drop_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
