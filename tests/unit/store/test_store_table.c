/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "config/config.h"

static const struct store_column columns[] = {
	{ "id", COLUMN_TEXT },
	{ "n", COLUMN_INTEGER },
	{ "lat", COLUMN_REAL },
	{ "open", COLUMN_BOOLEAN },
};
static const char *const key[] = { "id" };
static const struct store_table table = {
	.name = "places", .columns = columns, .column_count = 4, .key = key, .key_count = 1
};

static void row(struct store_value *at, const char *id, int64_t n, double lat)
{
	at[0] = store_text(id);
	at[1] = STORE_VALUE_INT(n);
	at[2] = STORE_VALUE_REAL(lat);
	at[3] = STORE_VALUE_NULL;
}

static int64_t upsert(struct fixture *f, const struct store_value *values, size_t rows)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &table);
	size_t at = store_tx_upsert(tx, &table, values, rows);
	assert_ok(run_tx(f, tx));
	return f->out.changes[at];
}

static int64_t tables(struct fixture *f)
{
	return peek(f, f->schema[0] ? "SELECT COUNT(*) FROM pg_tables WHERE schemaname ="
				      " current_schema() AND tablename NOT LIKE 'drover%'"
				    : "SELECT COUNT(*) FROM sqlite_master");
}

static void an_unchanged_row_is_not_written_again(void **state)
{
	struct fixture *f = *state;
	struct store_value v[12];
	row(v, "a", 1, 0.5);
	row(v + 4, "b", 2, 1.5);
	row(v + 8, "c", 3, 2.5);
	assert_int_equal(upsert(f, v, 3), 3);
	assert_int_equal(upsert(f, v, 3), 0);
	v[5] = STORE_VALUE_INT(20);
	v[11] = STORE_VALUE_INT(1); /* NULL becomes a value: that is a change */
	assert_int_equal(upsert(f, v, 3), 2);
	assert_int_equal(peek(f, "SELECT n FROM places WHERE id = 'b'"), 20);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 3);
}

static void of_rows_with_one_key_the_last_wins_and_counts_once(void **state)
{
	struct fixture *f = *state;
	static struct store_value v[4000];
	static char ids[1000][8];
	for (int i = 0; i < 1000; i++) {
		snprintf(ids[i], sizeof(ids[i]), "k%d", i % 100);
		row(v + (size_t)i * 4, ids[i], i, 0);
	}
	assert_int_equal(upsert(f, v, 1000), 100);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 100);
	assert_int_equal(peek(f, "SELECT MIN(n) FROM places"), 900);
}

static void a_table_is_widened_and_keeps_its_rows(void **state)
{
	struct fixture *f = *state;
	const struct store_table narrow = {
		.name = "places", .columns = columns, .column_count = 2, .key = key, .key_count = 1
	};
	struct store_value v[4] = { store_text("a"), STORE_VALUE_INT(1) };
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &narrow);
	store_tx_upsert(tx, &narrow, v, 1);
	assert_ok(run_tx(f, tx));
	row(v, "b", 2, 1.5);
	assert_int_equal(upsert(f, v, 1), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places WHERE lat IS NULL"), 1);
	/* Seen a second time there is nothing to do. */
	tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &table);
	assert_ok(run_tx(f, tx));
	assert_int_equal(f->out.changes[0], 0);
}

static void a_changed_key_gets_a_new_unique_index(void **state)
{
	struct fixture *f = *state;
	static const char *const both[] = { "id", "n" };
	const struct store_table wide = {
		.name = "places", .columns = columns, .column_count = 4, .key = both, .key_count = 2
	};
	struct store_value v[8];
	row(v, "a", 1, 0);
	assert_int_equal(upsert(f, v, 1), 1);
	row(v + 4, "a", 2, 0);
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &wide);
	store_tx_upsert(tx, &wide, v, 2);
	assert_ok(run_tx(f, tx));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM places"), 2);
}

static void a_row_without_its_key_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_value v[8];
	row(v, "a", 1, 0);
	row(v + 4, NULL, 1, 0);
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &table);
	store_tx_upsert(tx, &table, v, 2);
	assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
	assert_non_null(strstr(f->out.error, "id"));
	assert_int_equal(tables(f), 0);
}

static void names_that_are_no_identifiers_never_reach_the_sql(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "x\"; DROP TABLE t; --", "drover_task", "", "sqlite_x",
		"1x" };
	for (size_t i = 0; i < 5; i++) {
		const struct store_table t = { .name = bad[i],
			.columns = columns,
			.column_count = 4,
			.key = key,
			.key_count = 1 };
		struct store_tx *tx = store_tx_new(f->store, 0);
		store_tx_table(tx, &t);
		assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
	}
	const struct store_column twice[] = { { "id", COLUMN_TEXT }, { "ID", COLUMN_TEXT } };
	const struct store_table t = {
		.name = "places", .columns = twice, .column_count = 2, .key = key, .key_count = 1
	};
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &t);
	assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
	assert_int_equal(tables(f), 0);
}

static void text_keeps_its_bytes(void **state)
{
	struct fixture *f = *state;
	struct store_value v[4];
	row(v, "ключ", 1, 0);
	v[0] = store_bytes("a\0b'\"%s$1", 9, STORE_TEXT);
	assert_int_equal(upsert(f, v, 1), 1);
	/* PostgreSQL's text has no NUL: U+FFFD stands for it. */
	if (f->schema[0])
		assert_int_equal(peek(f, "SELECT octet_length(id) FROM places"), 11);
	else
		assert_int_equal(peek(f, "SELECT length(CAST(id AS BLOB)) FROM places"), 9);
	assert_int_equal(upsert(f, v, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static const struct CMUnitTest both[] = {
	TEST(an_unchanged_row_is_not_written_again),
	TEST(of_rows_with_one_key_the_last_wins_and_counts_once),
	TEST(a_table_is_widened_and_keeps_its_rows),
	TEST(a_changed_key_gets_a_new_unique_index),
	TEST(a_row_without_its_key_is_refused),
	TEST(names_that_are_no_identifiers_never_reach_the_sql),
	TEST(text_keeps_its_bytes),
};

int main(void)
{
	return RUN_ON_BOTH(both);
}
