/* SPDX-License-Identifier: MIT */
/* Statements: the cache of prepared ones, rows, tables, upserts. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/sqlite_engine.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

enum { CACHE_MAX = 256, PARAMETERS_MAX = 32766 };

struct sqlite_statement {
	char *sql;
	sqlite3_stmt *stmt;
	int parameter_count;
	int *parameter; /* SQLite numbers $N by first appearance: N - 1 of each */
	UT_hash_handle hh;
};

/* ---- the cache ---- */

static void statement_free(struct sqlite_statement *s)
{
	sqlite3_finalize(s->stmt);
	free(s->parameter);
	free(s->sql);
	free(s);
}

void sqlite_statements_free(struct sqlite_conn *c)
{
	struct sqlite_statement *s, *next;
	HASH_ITER (hh, c->cache, s, next) {
		HASH_DEL(c->cache, s);
		statement_free(s);
	}
}

static int number_parameters(struct sqlite_statement *s)
{
	s->parameter_count = sqlite3_bind_parameter_count(s->stmt);
	s->parameter = calloc((size_t)s->parameter_count + 1, sizeof(*s->parameter));
	if (!s->parameter)
		return SQLITE_NOMEM;
	for (int i = 0; i < s->parameter_count; i++) {
		const char *name = sqlite3_bind_parameter_name(s->stmt, i + 1);
		int64_t n;
		if (!name || name[0] != '$' || str_to_i64(name + 1, 1, PARAMETERS_MAX, &n) < 0)
			return SQLITE_RANGE;
		s->parameter[i] = (int)n - 1;
	}
	return SQLITE_OK;
}

static int prepare(struct sqlite_conn *c, const char *sql, struct sqlite_statement **out)
{
	HASH_FIND_STR(c->cache, sql, *out);
	if (*out)
		return SQLITE_OK;
	if (HASH_COUNT(c->cache) >= CACHE_MAX)
		sqlite_statements_free(c);
	struct sqlite_statement *s = NEW(struct sqlite_statement);
	if (!s || !(s->sql = strdup(sql))) {
		free(s);
		return SQLITE_NOMEM;
	}
	int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	if (rc == SQLITE_OK)
		rc = s->stmt ? number_parameters(s) : SQLITE_MISUSE;
	if (rc != SQLITE_OK) {
		sqlite_fail(c, rc, sql);
		statement_free(s);
		return rc;
	}
	HASH_ADD_KEYPTR(hh, c->cache, s->sql, strlen(s->sql), s);
	*out = s;
	return SQLITE_OK;
}

static int bind_one(sqlite3_stmt *stmt, int at, const struct store_value *v)
{
	/* SQLITE_STATIC: the transaction outlives the execution. */
	switch (v->type) {
	case STORE_NULL: return sqlite3_bind_null(stmt, at);
	case STORE_INT: return sqlite3_bind_int64(stmt, at, v->i);
	case STORE_REAL: return sqlite3_bind_double(stmt, at, v->real);
	case STORE_TEXT:
		return sqlite3_bind_text64(
			stmt, at, v->data ? v->data : "", v->len, SQLITE_STATIC, SQLITE_UTF8);
	case STORE_BLOB:
		return v->len ? sqlite3_bind_blob64(stmt, at, v->data, v->len, SQLITE_STATIC)
			      : sqlite3_bind_zeroblob(stmt, at, 0);
	}
	return SQLITE_MISUSE;
}

int sqlite_bind(struct sqlite_conn *c, const char *sql, const struct store_value *values,
	size_t count, struct sqlite_statement **out)
{
	struct sqlite_statement *s;
	int rc = prepare(c, sql, &s);
	for (int i = 0; rc == SQLITE_OK && i < s->parameter_count; i++) {
		if ((size_t)s->parameter[i] >= count) {
			snprintf(c->error, sizeof(c->error), "parameter $%d has no value: %s",
				s->parameter[i] + 1, sql);
			return SQLITE_RANGE;
		}
		rc = bind_one(s->stmt, i + 1, &values[s->parameter[i]]);
		if (rc != SQLITE_OK)
			sqlite_fail(c, rc, sql);
	}
	if (rc == SQLITE_OK)
		*out = s;
	return rc;
}

/* ---- one statement ---- */

static void release(struct sqlite_statement *s)
{
	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
}

static bool read_value(struct store_tx *tx, sqlite3_stmt *stmt, int column, struct store_value *out)
{
	switch (sqlite3_column_type(stmt, column)) {
	case SQLITE_INTEGER:
		*out = STORE_VALUE_INT(sqlite3_column_int64(stmt, column));
		return true;
	case SQLITE_FLOAT:
		*out = STORE_VALUE_REAL(sqlite3_column_double(stmt, column));
		return true;
	case SQLITE_NULL: *out = STORE_VALUE_NULL; return true;
	default: break;
	}
	bool text = sqlite3_column_type(stmt, column) == SQLITE_TEXT;
	const void *data = text ? (const void *)sqlite3_column_text(stmt, column)
				: sqlite3_column_blob(stmt, column);
	size_t len = (size_t)sqlite3_column_bytes(stmt, column);
	const char *copy = arena_strndup(tx->arena, data ? data : "", len);
	*out = store_bytes(copy, len, text ? STORE_TEXT : STORE_BLOB);
	return copy != NULL;
}

static int read_row(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op,
	sqlite3_stmt *stmt, size_t arena_limit)
{
	op->columns = (size_t)sqlite3_column_count(stmt);
	struct store_value *row = store_op_add_row(tx, op);
	bool ok = row != NULL;
	for (int i = 0; ok && i < (int)op->columns; i++)
		ok = read_value(tx, stmt, i, &row[i]);
	if (ok && arena_used(tx->arena) <= arena_limit)
		return SQLITE_OK;
	snprintf(c->error, sizeof(c->error), "the answer is larger than %d MiB",
		STORE_RESULT_MAX >> 20);
	return SQLITE_TOOBIG;
}

/* Steps to the end; rows go into op's result when op is given. Adds to *changes. */
static int step_all(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op,
	struct sqlite_statement *s, int64_t *changes)
{
	size_t limit = arena_used(tx->arena) + STORE_RESULT_MAX;
	/* sqlite3_changes() keeps the last statement's number when this one changes nothing. */
	int64_t before = sqlite3_total_changes64(c->db);
	int rc, row_rc = SQLITE_OK;
	while ((rc = sqlite3_step(s->stmt)) == SQLITE_ROW && row_rc == SQLITE_OK)
		if (op)
			row_rc = read_row(c, tx, op, s->stmt, limit);
	if (row_rc != SQLITE_OK)
		rc = row_rc;
	else if (rc != SQLITE_DONE)
		sqlite_fail(c, rc, s->sql);
	else
		rc = SQLITE_OK;
	*changes += sqlite3_total_changes64(c->db) - before;
	release(s);
	return rc;
}

static int run_sql(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	struct sqlite_statement *s;
	int rc = sqlite_bind(c, op->sql, op->values, op->count, &s);
	if (rc != SQLITE_OK)
		return rc;
	if ((tx->flags & STORE_READ_ONLY) && !sqlite3_stmt_readonly(s->stmt)) {
		release(s);
		snprintf(c->error, sizeof(c->error), "a read-only transaction writes: %s", s->sql);
		return SQLITE_MISUSE;
	}
	return step_all(c, tx, op, s, &op->changes);
}

/* ---- tables of jobs ---- */

static const char *type_name(int type)
{
	switch (type) {
	case COLUMN_INTEGER:
	case COLUMN_BOOLEAN:
	case COLUMN_TIMESTAMP: return "INTEGER"; /* ms since 1970 */
	case COLUMN_REAL: return "REAL";
	default: return "TEXT";
	}
}

static size_t find_column(const struct store_table *t, const char *name)
{
	size_t i = 0;
	while (i < t->column_count && !str_eq_nocase(t->columns[i].name, name))
		i++;
	return i;
}

/* Names are checked here again although the configuration did: they are the one thing that enters
 * the SQL's text. */
static int check_table(struct sqlite_conn *c, const struct store_table *t)
{
	const char *bad = NULL;
	if (!str_is_identifier(t->name) || strncasecmp(t->name, "drover_", 7) == 0 ||
		strncasecmp(t->name, "sqlite_", 7) == 0)
		bad = t->name;
	for (size_t i = 0; !bad && i < t->column_count; i++)
		if (!str_is_identifier(t->columns[i].name) ||
			find_column(t, t->columns[i].name) != i)
			bad = t->columns[i].name;
	for (size_t i = 0; !bad && i < t->key_count; i++)
		if (find_column(t, t->key[i]) == t->column_count)
			bad = t->key[i];
	if (!bad && t->column_count > 0 && t->key_count > 0)
		return SQLITE_OK;
	snprintf(c->error, sizeof(c->error), "table \"%s\": bad or repeated name \"%s\"", t->name,
		bad ? bad : "");
	return SQLITE_MISUSE;
}

static void add_key(struct buf *sql, const struct store_table *t)
{
	for (size_t i = 0; i < t->key_count; i++)
		buf_addf(sql, "%s\"%s\"", i ? ", " : "(", t->key[i]);
	buf_add_char(sql, ')');
}

static bool is_key(const struct store_table *t, size_t column)
{
	for (size_t i = 0; i < t->key_count; i++)
		if (str_eq_nocase(t->key[i], t->columns[column].name))
			return true;
	return false;
}

/* DDL is made from checked names and runs once in a table's life: not worth the cache. */
static int run_text(struct sqlite_conn *c, struct buf *sql, int64_t *changes)
{
	if (buf_failed(sql))
		return SQLITE_NOMEM;
	int rc = sqlite_run(c, buf_str(sql));
	buf_reset(sql);
	if (rc == SQLITE_OK)
		++*changes;
	return rc;
}

static int add_columns(struct sqlite_conn *c, struct store_tx *tx, const struct store_table *t,
	const struct store_op *present, struct buf *sql, int64_t *changes)
{
	(void)tx;
	int rc = SQLITE_OK;
	for (size_t i = 0; rc == SQLITE_OK && i < t->column_count; i++) {
		size_t row = 0;
		while (row < present->rows_len &&
			!str_eq_nocase(present->rows[row][0].data, t->columns[i].name))
			row++;
		if (row < present->rows_len)
			continue;
		buf_addf(sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" %s", t->name,
			t->columns[i].name, type_name(t->columns[i].type));
		rc = run_text(c, sql, changes);
	}
	return rc;
}

static int create_table(
	struct sqlite_conn *c, const struct store_table *t, struct buf *sql, int64_t *changes)
{
	buf_addf(sql, "CREATE TABLE \"%s\" (", t->name);
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s\"%s\" %s%s", i ? ", " : "", t->columns[i].name,
			type_name(t->columns[i].type), is_key(t, i) ? " NOT NULL" : "");
	buf_add_char(sql, ')');
	return run_text(c, sql, changes);
}

/* The unique index is ours by its name; when the job's key was changed it is made anew. */
static int make_index(struct sqlite_conn *c, const struct store_table *t,
	const struct store_op *present, struct buf *sql, int64_t *changes)
{
	bool same = present->rows_len == t->key_count;
	for (size_t i = 0; same && i < t->key_count; i++)
		same = str_eq_nocase(present->rows[i][0].data, t->key[i]);
	if (same)
		return SQLITE_OK;
	int rc = SQLITE_OK;
	if (present->rows_len > 0) {
		buf_addf(sql, "DROP INDEX \"drover_key_%s\"", t->name);
		rc = run_text(c, sql, changes);
	}
	if (rc != SQLITE_OK)
		return rc;
	buf_addf(sql, "CREATE UNIQUE INDEX \"drover_key_%s\" ON \"%s\" ", t->name, t->name);
	add_key(sql, t);
	return run_text(c, sql, changes);
}

/* Names that a pragma function lists, into op's rows (freed by the caller). */
static int list_names(struct sqlite_conn *c, struct store_tx *tx, struct store_op *names,
	const char *sql, const char *of)
{
	struct store_value name = store_text(of);
	struct sqlite_statement *s;
	int64_t ignored = 0;
	int rc = sqlite_bind(c, sql, &name, 1, &s);
	return rc == SQLITE_OK ? step_all(c, tx, names, s, &ignored) : rc;
}

static int run_table(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	const struct store_table *t = op->table;
	struct store_op columns = { 0 }, key = { 0 };
	char index[96];
	snprintf(index, sizeof(index), "drover_key_%s", t->name);
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	int rc = check_table(c, t);
	if (rc == SQLITE_OK)
		rc = list_names(c, tx, &columns,
			"SELECT name FROM pragma_table_info($1) ORDER BY cid", t->name);
	if (rc == SQLITE_OK)
		rc = columns.rows_len == 0 ? create_table(c, t, &sql, &op->changes)
					   : add_columns(c, tx, t, &columns, &sql, &op->changes);
	if (rc == SQLITE_OK)
		rc = list_names(c, tx, &key,
			"SELECT name FROM pragma_index_info($1) ORDER BY seqno", index);
	if (rc == SQLITE_OK)
		rc = make_index(c, t, &key, &sql, &op->changes);
	free(columns.rows);
	free(key.rows);
	return rc;
}

/* ---- upsert ---- */

static void upsert_text(struct buf *sql, const struct store_table *t)
{
	buf_addf(sql, "INSERT INTO \"%s\" ", t->name);
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s\"%s\"", i ? ", " : "(", t->columns[i].name);
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s$%zu", i ? ", " : ") VALUES (", i + 1);
	buf_add_str(sql, ") ON CONFLICT ");
	add_key(sql, t);
	const char *between = " DO UPDATE SET ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (is_key(t, i))
			continue;
		const char *name = t->columns[i].name;
		buf_addf(sql, "%s\"%s\" = excluded.\"%s\"", between, name, name);
		between = ", ";
	}
	if (between[0] == ' ') {
		buf_add_str(sql, " DO NOTHING");
		return;
	}
	between = " WHERE ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (is_key(t, i))
			continue;
		const char *name = t->columns[i].name;
		buf_addf(sql, "%s\"%s\".\"%s\" IS NOT excluded.\"%s\"", between, t->name, name,
			name);
		between = " OR ";
	}
}

static int run_upsert(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	const struct store_table *t = op->table;
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	int rc = check_table(c, t);
	if (rc == SQLITE_OK)
		upsert_text(&sql, t);
	if (buf_failed(&sql))
		rc = SQLITE_NOMEM;
	for (size_t row = 0; rc == SQLITE_OK && row < op->row_count; row++) {
		const struct store_value *values = op->values + row * t->column_count;
		struct sqlite_statement *s;
		for (size_t k = 0; k < t->key_count; k++) {
			if (values[find_column(t, t->key[k])].type != STORE_NULL)
				continue;
			/* NULLs are never equal: such a row could not be written once. */
			snprintf(c->error, sizeof(c->error),
				"table \"%s\": a row has no value for its key \"%s\"", t->name,
				t->key[k]);
			return SQLITE_CONSTRAINT;
		}
		rc = sqlite_bind(c, buf_str(&sql), values, t->column_count, &s);
		if (rc == SQLITE_OK)
			rc = step_all(c, tx, NULL, s, &op->changes);
	}
	return rc;
}

/* ---- the transaction ---- */

enum store_status sqlite_status(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_ERROR:
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_MISUSE:
	case SQLITE_AUTH:
	case SQLITE_RANGE: return STORE_FAILED;
	default: return STORE_UNAVAILABLE;
	}
}

static int run_op(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	if (op->kind == STORE_OP_SQL)
		return run_sql(c, tx, op);
	if (tx->flags & STORE_READ_ONLY) {
		snprintf(c->error, sizeof(c->error), "a read-only transaction writes a table");
		return SQLITE_MISUSE;
	}
	return op->kind == STORE_OP_TABLE ? run_table(c, tx, op) : run_upsert(c, tx, op);
}

int sqlite_execute(struct sqlite_conn *c, struct store_tx *tx)
{
	if (tx->out_of_memory) {
		/* Some of its statements are missing: none may happen. */
		store_tx_outcome(tx, STORE_FAILED, "out of memory for the transaction");
		return SQLITE_OK;
	}
	for (size_t i = 0; i < tx->result.op_count; i++) {
		struct store_op *op = &tx->result.ops[i];
		int rc = run_op(c, tx, op);
		if (rc != SQLITE_OK) {
			store_tx_outcome(tx, sqlite_status(rc), "%s", c->error);
			return rc;
		}
		int64_t rows = MAX(op->changes, (int64_t)op->rows_len);
		if (rows >= op->expect)
			continue;
		store_tx_outcome(tx, STORE_CONFLICT,
			"statement %zu touched %lld rows, expected %lld", i, (long long)rows,
			(long long)op->expect);
		return SQLITE_OK;
	}
	store_tx_outcome(tx, STORE_OK, "%s", "");
	return SQLITE_OK;
}
