/* SPDX-License-Identifier: MIT */
/*
 * Other projects' facts about cron, read from ../shared/cases (SKIPPED where that is absent). Where
 * we decide otherwise than a table the row stands below with its reason; a row that agrees after
 * all fails the test too.
 */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "cases/cases.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <stdio.h>
#include <string.h>

struct otherwise {
	const char *first, *last; /* ids, both included */
	const char *why;
};

#define SEVEN_FIELDS "seven fields: drover has five or six, second first; a year is no field"
#define YEAR_LAST    "six fields with the year last: drover's sixth field is the second, first"
#define FULL_NAMES   "names are three letters (rejects.tsv: SUNDAY must be refused)"
#define WRAPPING     "a range whose end is smaller wraps: 22-6 and FRI-MON are what people write"
#define DAY_RULE     "day of month and weekday combine as in Vixie cron (spec 7), not by AND"
#define STAR_RULE    "a day field that begins with * means AND (Vixie), steps included"
#define SINGLE_RANGE "a range from a day to itself is that day, not the whole week"
#define UNION	     "a list is the union of its elements; `*` holds all days"
#define GAP_HOURS                                                                                 \
	"a wildcard, range or step of hours goes on by elapsed time (spec 7): the hour that the " \
	"gap "                                                                                    \
	"swallowed has no substitute"
#define GAP_FIXED "by default a fixed time inside the gap fires when the gap ends (spec 7)"
#define INCLUSIVE                                                                          \
	"the end of the gap is a due instant, and the start may be the answer when it is " \
	"inclusive"

static const struct otherwise against_supercronic[] = {
	{ "supercronic-0001", "supercronic-0014", SEVEN_FIELDS },
	{ "supercronic-0042", "supercronic-0044", FULL_NAMES },
	{ "supercronic-0062", "supercronic-0063", YEAR_LAST },
	{ "supercronic-0068", "supercronic-0069", WRAPPING },
	{ "supercronic-0070", "supercronic-0070", YEAR_LAST },
	{ NULL, NULL, NULL },
};

static const struct otherwise against_apscheduler[] = {
	{ "apscheduler-0001", "apscheduler-0001", GAP_FIXED },
	{ NULL, NULL, NULL },
};

static const struct otherwise against_none[] = { { NULL, NULL, NULL } };

/* disputed.tsv: rows where the source is wrong for us; cronsim is right there unless it stands
 * below. */
static const struct otherwise against_disputed_source[] = {
	{ "cronos-0539", "cronos-0551", DAY_RULE },
	{ "cronos-0735", "cronos-0737", GAP_HOURS },
	{ "cronos-0743", "cronos-0747", GAP_HOURS },
	{ "cronos-0749", "cronos-0751", GAP_HOURS },
	{ "cronos-0756", "cronos-0759", GAP_HOURS },
	{ "cronos-0985", "cronos-0987", INCLUSIVE },
	{ "cronos-1244", "cronos-1456", DAY_RULE },
	{ "robfig-cron-0025", "robfig-cron-0043", STAR_RULE },
	{ "apscheduler-0001", "apscheduler-0001", GAP_FIXED },
	{ "croniter-0005", "croniter-0005", STAR_RULE },
	{ "croniter-0028", "croniter-0028", DAY_RULE },
	{ "croniter-0034", "croniter-0034", UNION },
	{ "croniter-0146", "croniter-0148", SINGLE_RANGE },
	{ NULL, NULL, NULL },
};

static const struct otherwise *find(const struct otherwise *list, const char *id)
{
	for (; list->first; list++)
		if (strcmp(list->first, id) <= 0 && strcmp(id, list->last) <= 0)
			return list;
	return NULL;
}

static void expression(const struct cases *cases, char *out, size_t size)
{
	const char *s = cases_get(cases, "expr");
	size_t n = 0;
	for (; *s && n + 1 < size; s++) {
		bool tab = s[0] == '\\' && s[1] == 't';
		out[n++] = tab ? '\t' : *s;
		s += tab;
	}
	out[n] = '\0';
}

/* The due times from the row's start, as the tables write them: at most as many as `expected` has.
 */
static void answer(const struct cases *cases, struct zone_cache *zones, const char *expected,
	char *out, size_t size)
{
	char expr[300], text[TIME_TEXT];
	const char *dialect = cases_get(cases, "dialect");
	/* robfig, hashicorp and cronsim with six fields skip in the gap and fire twice in the
	 * overlap */
	bool plain = strncmp(dialect, "robfig", 6) == 0 || strcmp(dialect, "gorhill") == 0;
	struct dst_policy policy = { plain ? DST_GAP_SKIP : DST_GAP_AFTER,
		plain ? DST_OVERLAP_BOTH : DST_OVERLAP_FIRST };
	struct cron cron;
	struct err err = { 0 };
	const struct zone *zone;
	int64_t at;
	expression(cases, expr, sizeof(expr));
	out[0] = '\0';
	if (cron_parse(&cron, expr, NULL, &err) < 0) {
		assert_string_not_equal(err.text, "");
		snprintf(out, size, "ERROR");
		return;
	}
	assert_return_code(zone_cache_get(zones, cases_get(cases, "tz"), &zone, &err), 0);
	assert_return_code(time_parse_rfc3339(cases_get(cases, "start"), &at, NULL, &err), 0);
	bool inclusive = strcmp(cases_get(cases, "inclusive"), "1") == 0;
	for (const char *more = expected; more; more = strchr(more + 1, '|')) {
		size_t len = strlen(out);
		if (cron_next(&cron, zone, at, inclusive, &policy, &at) < 0) {
			snprintf(out + len, size - len, "%sNONE", len ? "|" : "");
			return;
		}
		time_format_rfc3339(text, at, zone);
		snprintf(out + len, size - len, "%s%s", len ? "|" : "", text);
		inclusive = false;
	}
}

/* One element of `expected` is the same instant as ours; offsets may be written otherwise. */
static bool same_instant(const char *got, size_t got_len, const char *expected, size_t expected_len)
{
	char a[TIME_TEXT + 1], b[TIME_TEXT + 1];
	int64_t x, y;
	snprintf(a, sizeof(a), "%.*s", (int)got_len, got);
	snprintf(b, sizeof(b), "%.*s", (int)expected_len, expected);
	if (time_parse_rfc3339(a, &x, NULL, NULL) < 0 || time_parse_rfc3339(b, &y, NULL, NULL) < 0)
		return strcmp(a, b) == 0; /* NONE, ERROR */
	return x == y;
}

static bool agrees(const char *got, const char *expected)
{
	bool opposite = strncmp(expected, "NOT:", 4) == 0;
	expected += opposite ? 4 : 0;
	for (;;) {
		size_t g = strcspn(got, "|"), e = strcspn(expected, "|");
		if (!same_instant(got, g, expected, e) || got[g] != expected[e])
			return opposite;
		if (!got[g])
			return !opposite;
		got += g + 1;
		expected += e + 1;
	}
}

/* The rows of the list are not as `expected` says; where the table has a second opinion, they are
 * as that says. */
static void judge(const char *table, const char *second, const struct otherwise *exceptions)
{
	struct cases cases;
	if (!cases_open(&cases, table))
		skip();
	CLEANUP(zone_cache_freep) struct zone_cache *zones = zone_cache_new();
	assert_non_null(zones);
	size_t wrong = 0, excepted = 0;
	while (cases_next(&cases)) {
		char got[4096];
		const char *expected = cases_get(&cases, "expected"), *id = cases_get(&cases, "id");
		answer(&cases, zones, expected, got, sizeof(got));
		const struct otherwise *e = find(exceptions, id);
		excepted += e != NULL;
		if (agrees(got, expected) == !e &&
			(!e || !second || agrees(got, cases_get(&cases, second))))
			continue;
		wrong++;
		printf("%s: %s from %s: expected %s, got %s%s%s\n", id, cases_get(&cases, "expr"),
			cases_get(&cases, "start"), expected, got, e ? "; listed because " : "",
			e ? e->why : "");
	}
	printf("%s: %zu rows, %zu decided otherwise, %zu wrong\n", table, cases.rows, excepted,
		wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void where_two_judges_agree_so_do_we(void **state)
{
	(void)state;
	judge("cron/consensus.tsv", NULL, against_none);
}

static void what_must_be_refused_is_refused(void **state)
{
	(void)state;
	judge("cron/rejects.tsv", NULL, against_none);
}

static void supercronic_agrees_but_for_its_dialect(void **state)
{
	(void)state;
	judge("cron/supercronic.tsv", NULL, against_supercronic);
}

static void apscheduler_agrees_but_for_the_gap(void **state)
{
	(void)state;
	judge("cron/apscheduler.tsv", NULL, against_apscheduler);
}

static void each_disputed_row_is_decided_for_one_of_the_two(void **state)
{
	(void)state;
	judge("cron/disputed.tsv", "cronsim_says", against_disputed_source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_two_judges_agree_so_do_we),
		cmocka_unit_test(what_must_be_refused_is_refused),
		cmocka_unit_test(supercronic_agrees_but_for_its_dialect),
		cmocka_unit_test(apscheduler_agrees_but_for_the_gap),
		cmocka_unit_test(each_disputed_row_is_decided_for_one_of_the_two),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
