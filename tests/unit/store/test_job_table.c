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
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places WHERE body = x'00ff0a'"), 1);
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
	assert_int_equal(peek(f, "SELECT n FROM places_history ORDER BY rowid DESC LIMIT 1"), 2);
	int64_t first = peek(f, "SELECT MIN(drover_at) FROM places_history");
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
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places_history WHERE body = x'00ff0a'"), 1);
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
	assert_non_null(strstr(f->out.error, "column \"n\" of table \"places\" is TEXT"));
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM places WHERE n = '007' AND typeof(n) = 'text'"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM pragma_table_info('places')"), 2);
}

static void a_table_that_was_made_by_hand_is_taken_when_its_columns_fit(void **state)
{
	struct fixture *f = *state;
	const struct store_table t = places();
	struct store_value v[3];
	row(v, "a", 1);
	assert_ok(run_sql(f, "CREATE TABLE places (own INTEGER PRIMARY KEY, \"select\" varchar(20),"
			     " n bigint, body)"));
	assert_ok(write_rows(f, &t, v, 1));
	assert_ok(write_rows(f, &t, v, 1));
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
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM pragma_index_list('places')"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM pragma_index_list('places') WHERE name ="
				 " 'drover_ix_places_875557ba'"),
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
	assert_ok(run_sql(f, "CREATE INDEX expression ON places (n + 1)"));
	t.indexes = indexes;
	t.index_count = 1;
	assert_ok(make_indexes(f, &t));
	assert_int_equal(f->out.changes[0], 1);
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
		TEST(a_table_that_somebody_drops_is_made_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
