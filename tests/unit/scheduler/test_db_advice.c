/* SPDX-License-Identifier: MIT */
/* What `drover db slow` makes of plans; those of PostgreSQL are as its version 15 wrote them. */
#include "unit.h"

#include "base/compiler.h"
#include "scheduler/db_advice.h"
#include <stdio.h>
#include <string.h>

static char said[2000];

static int64_t a_million(void *arg, const char *table)
{
	(void)arg;
	return strcmp(table, "small") == 0 ? 100 : 1000000;
}

static void on_advice(void *arg, const struct db_advice *advice)
{
	(void)arg;
	size_t at = strlen(said);
	snprintf(said + at, sizeof(said) - at, "%s%s: %s", at ? "; " : "", advice->kind,
		advice->run.len ? buf_str((struct buf *)&advice->run) : "-");
}

static const char *advice_with(const char *nodes, int64_t calls, int64_t rows, int64_t blocks)
{
	char text[3000];
	const struct db_statement statement = {
		.query = "q", .calls = calls, .rows = rows, .blocks = blocks
	};
	snprintf(text, sizeof(text), "[{\"Plan\":%s}]", nodes);
	json_t *plan = json_loads(text, 0, NULL);
	assert_non_null(plan);
	said[0] = '\0';
	db_advise_postgresql(&statement, plan, a_million, on_advice, NULL);
	json_decref(plan);
	return said;
}

static const char *scan_of(const char *table, const char *filter, int rows)
{
	char node[600];
	snprintf(node, sizeof(node),
		"{\"Node Type\":\"Seq Scan\",\"Relation Name\":\"%s\",\"Plan Rows\":%d%s%s%s}",
		table, rows, filter ? ",\"Filter\":\"" : "", filter ? filter : "",
		filter ? "\"" : "");
	return advice_with(node, 10, 10, 1000);
}

static void a_scan_that_filters_by_columns_lacks_an_index(void **state)
{
	(void)state;
	assert_string_equal(scan_of("places", "(city = $1)", 10),
		"missing_index: CREATE INDEX CONCURRENTLY ON \"places\" (\"city\")");
	assert_string_equal(scan_of("places", "((changed > $2) AND ((city)::text = $1))", 10),
		"missing_index: CREATE INDEX CONCURRENTLY ON \"places\" (\"city\", \"changed\")");
	assert_string_equal(
		scan_of("Places", "((p.\\\"Order\\\" = $1) AND (p.n >= 5) AND (p.m < 7))", 10),
		"missing_index: CREATE INDEX CONCURRENTLY ON \"Places\" (\"Order\", \"n\")");
	assert_string_equal(scan_of("places", "(city = 'a AND (b'::text)", 10),
		"missing_index: CREATE INDEX CONCURRENTLY ON \"places\" (\"city\")");
}

static void a_scan_that_filters_by_an_expression_needs_an_index_over_it(void **state)
{
	(void)state;
	assert_string_equal(scan_of("places", "(lower(name) = lower($1))", 10),
		"sequential_scan: CREATE INDEX CONCURRENTLY ON \"places\" ((lower(name)))");
	assert_string_equal(scan_of("places", "(name ~~ '%x%'::text)", 10),
		"sequential_scan: CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX "
		"CONCURRENTLY ON \"places\" USING gin (\"name\" gin_trgm_ops)");
}

static void a_scan_that_no_index_helps_is_told_without_one(void **state)
{
	(void)state;
	assert_string_equal(scan_of("places", NULL, 1000000), "sequential_scan: -");
	assert_string_equal(scan_of("places", "((a = $1) OR (b = $2))", 10), "sequential_scan: -");
	assert_string_equal(scan_of("places", "(open = $1)", 900000), "sequential_scan: -");
}

static void a_small_table_may_be_read_whole(void **state)
{
	(void)state;
	assert_string_equal(scan_of("small", "(city = $1)", 1), "");
}

static void a_sort_of_a_whole_table_wants_an_index_in_its_order(void **state)
{
	(void)state;
	assert_string_equal(
		advice_with("{\"Node Type\":\"Limit\",\"Plans\":[{\"Node Type\":\"Sort\",\"Sort "
			    "Key\":[\"changed DESC\"],\"Plans\":[{\"Node Type\":\"Seq Scan\","
			    "\"Relation Name\":\"places\",\"Plan Rows\":1000000}]}]}",
			10, 100, 100000),
		"sequential_scan: CREATE INDEX CONCURRENTLY ON \"places\" (\"changed\")");
}

static const char bad_filter[] =
	"{\"Node Type\":\"Bitmap Heap Scan\",\"Relation Name\":\"places\",\"Plan Rows\":5,"
	"\"Recheck Cond\":\"(city = $1)\",\"Filter\":\"(kind = $2)\",\"Plans\":["
	"{\"Node Type\":\"Bitmap Index Scan\",\"Index Name\":\"i\",\"Index Cond\":\"(city = "
	"$1)\"}]}";

static void a_filter_that_drops_what_the_index_found_belongs_into_the_index(void **state)
{
	(void)state;
	assert_string_equal(advice_with(bad_filter, 10, 10, 10000),
		"bad_filter: CREATE INDEX CONCURRENTLY ON \"places\" (\"city\", \"kind\")");
	assert_string_equal(
		advice_with("{\"Node Type\":\"Index Scan\",\"Relation Name\":\"places\","
			    "\"Index Cond\":\"(changed > $1)\",\"Filter\":\"(kind = $2)\"}",
			10, 10, 10000),
		"bad_filter: CREATE INDEX CONCURRENTLY ON \"places\" (\"kind\", \"changed\")");
}

static void a_filter_that_costs_little_is_left_alone(void **state)
{
	(void)state;
	assert_string_equal(advice_with(bad_filter, 1000, 1000, 5000), "");
	assert_string_equal(advice_with(bad_filter, 10, 100000, 10000), "");
}

static const char *line(const char *text, int64_t scanned)
{
	said[0] = '\0';
	db_advise_sqlite(text, scanned, on_advice, NULL);
	return said;
}

static void sqlite_tells_of_scans_and_of_indexes_made_for_one_execution(void **state)
{
	(void)state;
	assert_string_equal(line("SCAN places", 5000), "sequential_scan: -");
	assert_string_equal(line("SCAN places", 50), "");
	assert_string_equal(line("SCAN places USING INDEX i", 5000), "");
	assert_string_equal(line("SEARCH places USING INDEX i (a=?)", 5000), "");
	assert_string_equal(line("SEARCH p USING AUTOMATIC COVERING INDEX (a=? AND b>?)", 5000),
		"missing_index: CREATE INDEX IF NOT EXISTS \"p_a_b\" ON \"p\" (\"a\", \"b\")");
	assert_string_equal(line("USE TEMP B-TREE FOR ORDER BY", 5000), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scan_that_filters_by_columns_lacks_an_index),
		cmocka_unit_test(a_scan_that_filters_by_an_expression_needs_an_index_over_it),
		cmocka_unit_test(a_scan_that_no_index_helps_is_told_without_one),
		cmocka_unit_test(a_small_table_may_be_read_whole),
		cmocka_unit_test(a_sort_of_a_whole_table_wants_an_index_in_its_order),
		cmocka_unit_test(a_filter_that_drops_what_the_index_found_belongs_into_the_index),
		cmocka_unit_test(a_filter_that_costs_little_is_left_alone),
		cmocka_unit_test(sqlite_tells_of_scans_and_of_indexes_made_for_one_execution),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
