/* SPDX-License-Identifier: MIT */
/* What a job's store may say besides table and key: append, history, indexes, and what is there
 * already. */
#include "store_fixture.h"

#include "base/clock.h"
#include "config/config.h"

static const struct store_column columns[] = {
	{ "select", COLUMN_TEXT }, /* names are quoted */
	{ "n", COLUMN_INTEGER },
	{ "body", COLUMN_BYTES },
};
static const char *const key[] = { "select" };
static const char *const by_n[] = { "n" }, *const by_both[] = { "n", "select" };
static const struct store_index indexes[] = { { by_n, 1 }, { by_both, 2 } };

static int64_t peek_on(struct fixture *f, const char *sqlite, const char *postgresql)
{
	return peek(f, fixture_on == ON_SQLITE ? sqlite : postgresql);
}

static int64_t index_count(struct fixture *f)
{
	return peek_on(f, "SELECT COUNT(*) FROM pragma_index_list('places')",
		"SELECT COUNT(*) FROM pg_index WHERE indrelid = to_regclass('places')");
}

static struct store_table places(void)
{
	return (struct store_table) { .name = "places",
		.columns = columns,
		.column_count = ARRAY_SIZE(columns),
		.key = key,
		.key_count = 1 };
}

static void row(struct store_value *at, const char *id, int64_t n)
{
	at[0] = store_text(id);
	at[1] = STORE_VALUE_INT(n);
	at[2] = store_bytes("\0\377\n", 3, STORE_BLOB);
}

static struct outcome *write_rows(struct fixture *f, const struct store_table *t,
	const struct store_value *values, size_t rows)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, t);
	store_tx_upsert(tx, t, values, rows);
	return run_tx(f, tx);
}

static struct outcome *make_indexes(struct fixture *f, const struct store_table *t)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_indexes(tx, t);
	return run_tx(f, tx);
}

static void append_keeps_each_row_once_more(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[6];
	row(v, "a", 1);
	row(v + 3, "a", 1);
	t.append = true;
	assert_ok(write_rows(f, &t, v, 2));
	assert_int_equal(f->out.changes[1], 2);
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 3);
}

static void a_table_that_becomes_one_to_append_to_loses_its_unique_index_and_gets_it_back(
	void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	t.append = true;
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 2);
	/* Two rows with one key are there now: nothing is thrown away to have it unique. */
	t.append = false;
	assert_int_equal(write_rows(f, &t, v, 1)->status, STORE_FAILED);
	assert_ok(run_sql(f, "DELETE FROM places"));
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 1);
}

static void bytes_are_kept_as_they_are(void **state)
{
	struct fixture *f = *state;
	const struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(f->out.changes[1], 0);
	assert_int_equal(peek_on(f, "SELECT COUNT(*) FROM places WHERE body = x'00ff0a'",
				 "SELECT COUNT(*) FROM places WHERE body = '\\x00ff0a'"),
		1);
}

static void the_history_has_each_version_and_only_versions(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[6];
	int64_t before = clock_real_ms();
	t.history = true;
	row(v, "a", 1);
	row(v + 3, "b", 1);
	assert_ok(write_rows(f, &t, v, 2));
	assert_ok(write_rows(f, &t, v, 2));
	v[4] = STORE_VALUE_INT(2);
	assert_ok(write_rows(f, &t, v, 2));
	assert_int_equal(f->out.changes[1], 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history WHERE \"select\" = 'b'"), 2);
	assert_int_equal(peek(f, "SELECT n FROM places_history ORDER BY n DESC LIMIT 1"), 2);
	int64_t first = peek_on(f, "SELECT MIN(drover_at) FROM places_history",
		"SELECT CAST(EXTRACT(epoch FROM MIN(drover_at)) * 1000 AS BIGINT) FROM"
		" places_history");
	assert_true(first >= before && first <= clock_real_ms());
}

static void what_is_rolled_back_leaves_no_version(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	t.history = true;
	row(v, "a", 1);
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &t);
	store_tx_upsert(tx, &t, v, 1);
	store_tx_sql(tx, "DELETE FROM places WHERE n = 77", NULL, 0);
	store_tx_expect(tx, 1);
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	/* The table that was made in it is not taken for there. */
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history"), 1);
}

static void a_history_is_widened_with_its_table(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	t.history = true;
	t.column_count = 2;
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	t.column_count = 3;
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek_on(f, "SELECT COUNT(*) FROM places_history WHERE body = x'00ff0a'",
				 "SELECT COUNT(*) FROM places_history WHERE body = '\\x00ff0a'"),
		1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history WHERE body IS NULL"), 1);
}

static void a_column_of_another_type_is_refused_and_nothing_is_changed(void **state)
{
	struct fixture *f = *state;
	const struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(run_sql(f, "CREATE TABLE places (\"select\" TEXT, n TEXT)"));
	assert_ok(run_sql(f, "INSERT INTO places VALUES ('old', '007')"));
	assert_int_equal(write_rows(f, &t, v, 1)->status, STORE_FAILED);
	assert_non_null(strcasestr(f->out.error, "column \"n\" of table \"places\" is TEXT"));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places WHERE CAST(n AS TEXT) = '007'"), 1);
	assert_int_equal(peek_on(f, "SELECT COUNT(*) FROM pragma_table_info('places')",
				 "SELECT COUNT(*) FROM pg_attribute WHERE attnum > 0 AND attrelid "
				 "= to_regclass('places')"),
		2);
}

static void a_table_that_was_made_by_hand_is_taken_when_its_columns_fit(void **state)
{
	struct fixture *f = *state;
	const struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(run_sql(f, fixture_on == ON_SQLITE
				     ? "CREATE TABLE places (own INTEGER PRIMARY KEY, \"select\""
				       " varchar(20), n bigint, body)"
				     : "CREATE TABLE places (own SERIAL PRIMARY KEY, \"select\""
				       " varchar, n numeric, body bytea)"));
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(f->out.changes[1], 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places WHERE own = 1"), 1);
}

static void indexes_are_made_once_and_never_dropped(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	t.indexes = indexes;
	t.index_count = 2;
	/* One is there under another name. */
	assert_ok(run_sql(f, "CREATE INDEX my_own ON places (n)"));
	assert_ok(make_indexes(f, &t));
	assert_int_equal(f->out.changes[0], 1);
	assert_ok(make_indexes(f, &t));
	assert_int_equal(f->out.changes[0], 0);
	t.index_count = 0;
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(make_indexes(f, &t));
	/* The unique one, mine, and the one that was made. */
	assert_int_equal(index_count(f), 3);
	assert_int_equal(peek_on(f,
				 "SELECT COUNT(*) FROM pragma_index_list('places') WHERE name ="
				 " 'drover_ix_places_875557ba'",
				 "SELECT COUNT(*) FROM pg_indexes WHERE indexname ="
				 " 'drover_ix_places_875557ba' AND schemaname = current_schema()"),
		1);
}

static void an_index_over_part_of_the_rows_or_an_expression_stands_for_none(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(run_sql(f, "CREATE INDEX part ON places (n) WHERE n > 5"));
	assert_ok(run_sql(f, "CREATE INDEX expression ON places ((n + 1))"));
	t.indexes = indexes;
	t.index_count = 1;
	assert_ok(make_indexes(f, &t));
	assert_int_equal(f->out.changes[0], 1);
}

/* On PostgreSQL: as a builder leaves it who is killed. */
static void an_index_that_was_left_half_built_is_built_anew(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	if (fixture_on == ON_SQLITE)
		return;
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	t.indexes = indexes;
	t.index_count = 2;
	assert_ok(make_indexes(f, &t));
	server_sql(f->url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
			   " to_regclass('drover_ix_places_875557ba')");
	assert_ok(make_indexes(f, &t));
	assert_int_equal(f->out.changes[0], 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM pg_index WHERE NOT indisvalid AND"
				 " indrelid = to_regclass('places')"),
		0);
	assert_int_equal(index_count(f), 3);
}

static void the_months_of_a_history_are_made_ahead_and_again(void **state)
{
	struct fixture *f = *state;
	struct store_table t = places();
	struct store_value v[3];
	static const char ahead[] =
		"SELECT COUNT(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE"
		" i.inhparent = to_regclass('places_history') AND c.relname >= 'places_history_' ||"
		" to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')";
	if (fixture_on == ON_SQLITE)
		return;
	row(v, "a", 1);
	t.history = true;
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, ahead), 3);
	assert_ok(write_rows(f, &t, v, 1));
	/* Another process has not seen it yet. */
	struct err err;
	store_close(f->store);
	server_sql(f->url, "DO $$ BEGIN EXECUTE 'DROP TABLE places_history_' ||"
			   " to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'); END $$");
	assert_int_equal(store_open(&f->store, f->loop, &f->options, &err), 0);
	v[1] = STORE_VALUE_INT(2);
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, ahead), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history"), 1);
}

static void a_table_that_somebody_drops_is_made_again(void **state)
{
	struct fixture *f = *state;
	const struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(run_sql(f, "DROP TABLE places"));
	assert_ok(write_rows(f, &t, v, 1));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(append_keeps_each_row_once_more),
		TEST(a_table_that_becomes_one_to_append_to_loses_its_unique_index_and_gets_it_back),
		TEST(bytes_are_kept_as_they_are),
		TEST(the_history_has_each_version_and_only_versions),
		TEST(what_is_rolled_back_leaves_no_version),
		TEST(a_history_is_widened_with_its_table),
		TEST(a_column_of_another_type_is_refused_and_nothing_is_changed),
		TEST(a_table_that_was_made_by_hand_is_taken_when_its_columns_fit),
		TEST(indexes_are_made_once_and_never_dropped),
		TEST(an_index_over_part_of_the_rows_or_an_expression_stands_for_none),
		TEST(an_index_that_was_left_half_built_is_built_anew),
		TEST(the_months_of_a_history_are_made_ahead_and_again),
		TEST(a_table_that_somebody_drops_is_made_again),
	};
	return RUN_ON_BOTH(tests);
}
