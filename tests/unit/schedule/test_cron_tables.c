/* SPDX-License-Identifier: MIT */
/*
 * Other projects' facts about cron, read from ../shared/cases (SKIPPED where that is absent). Where
 * we decide otherwise than a table the row stands in decided.tsv with our answer and its reason; a
 * row that agrees after all fails the test too.
 */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "cases/cases.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of decided.tsv. */
struct decision {
	char row[80]; /* TABLE:ID */
	char answer[1200], why[200];
	bool met;
};

static struct decision decisions[200];
static size_t decision_count;

static int read_decisions(void **state)
{
	(void)state;
	char path[4096], line[2048];
	const char *source = getenv("DROVER_SOURCE");
	snprintf(path, sizeof(path), "%s/tests/unit/schedule/decided.tsv", source ? source : ".");
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		struct decision *d = &decisions[decision_count];
		if (*line == '#' || strncmp(line, "id\t", 3) == 0)
			continue;
		assert_true(decision_count++ < ARRAY_SIZE(decisions));
		assert_int_equal(
			sscanf(line, "%79[^\t]\t%1199[^\t]\t%199[^\n]", d->row, d->answer, d->why),
			3);
	}
	fclose(f);
	return 0;
}

static struct decision *find(const char *table, const char *id)
{
	char row[80];
	snprintf(row, sizeof(row), "%s:%s", table, id);
	for (size_t i = 0; i < decision_count; i++)
		if (strcmp(decisions[i].row, row) == 0)
			return &decisions[i];
	return NULL;
}

/* How many decisions speak of no row of the table. */
static size_t unmet(const char *table)
{
	size_t count = 0, len = strlen(table);
	for (size_t i = 0; i < decision_count; i++) {
		if (strncmp(decisions[i].row, table, len) != 0 || decisions[i].row[len] != ':' ||
			decisions[i].met)
			continue;
		printf("%s: decided, but there is no such row\n", decisions[i].row);
		count++;
	}
	return count;
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

/* Each row is as the table expects, or decided otherwise and then as it was decided. */
static void judge(const char *table)
{
	struct cases cases;
	char path[64];
	snprintf(path, sizeof(path), "cron/%s.tsv", table);
	if (!cases_open(&cases, path))
		skip();
	CLEANUP(zone_cache_freep) struct zone_cache *zones = zone_cache_new();
	assert_non_null(zones);
	size_t wrong = 0, decided = 0;
	while (cases_next(&cases)) {
		char got[4096];
		const char *expected = cases_get(&cases, "expected"), *id = cases_get(&cases, "id");
		struct decision *d = find(table, id);
		answer(&cases, zones, expected, got, sizeof(got));
		if (d)
			d->met = true;
		decided += d != NULL;
		if (d ? !agrees(got, expected) && agrees(got, d->answer) : agrees(got, expected))
			continue;
		wrong++;
		printf("%s: %s from %s: expected %s, got %s%s%s\n", id, cases_get(&cases, "expr"),
			cases_get(&cases, "start"), expected, got, d ? "; decided: " : "",
			d ? d->answer : "");
	}
	wrong += unmet(table);
	printf("%s: %zu rows, %zu decided otherwise, %zu wrong\n", table, cases.rows, decided,
		wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void where_two_judges_agree_so_do_we(void **state)
{
	(void)state;
	judge("consensus");
}

static void what_must_be_refused_is_refused(void **state)
{
	(void)state;
	judge("rejects");
}

static void supercronic_agrees_but_for_its_dialect(void **state)
{
	(void)state;
	judge("supercronic");
}

static void apscheduler_agrees_but_for_the_gap(void **state)
{
	(void)state;
	judge("apscheduler");
}

static void each_disputed_row_is_right_or_decided(void **state)
{
	(void)state;
	judge("disputed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_two_judges_agree_so_do_we),
		cmocka_unit_test(what_must_be_refused_is_refused),
		cmocka_unit_test(supercronic_agrees_but_for_its_dialect),
		cmocka_unit_test(apscheduler_agrees_but_for_the_gap),
		cmocka_unit_test(each_disputed_row_is_right_or_decided),
	};
	return cmocka_run_group_tests(tests, read_decisions, NULL);
}
