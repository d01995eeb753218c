/* SPDX-License-Identifier: MIT */
/* Statements: the cache of prepared ones, their rows, a transaction of them. */
#include "base/mem.h"
#include "base/str.h"
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
	memset(c->recent, 0, sizeof(c->recent));
	HASH_ITER (hh, c->cache, s, next) {
		HASH_DEL(c->cache, s);
		statement_free(s);
	}
}

void sqlite_statements_room(struct sqlite_conn *c, size_t count)
{
	if (HASH_COUNT(c->cache) + count > CACHE_MAX)
		sqlite_statements_free(c);
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

int sqlite_prepare(struct sqlite_conn *c, const char *sql, struct sqlite_statement **out)
{
	/* Mostly a literal that was here before: comparing it takes less than a hash of it. */
	struct sqlite_statement **recent = &c->recent[(uintptr_t)sql / 8 % SQLITE_RECENT];
	if (*recent && str_eq((*recent)->sql, sql)) {
		*out = *recent;
		return SQLITE_OK;
	}
	HASH_FIND_STR(c->cache, sql, *out);
	if ((*recent = *out) != NULL)
		return SQLITE_OK;
	sqlite_statements_room(c, 1);
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
	*out = *recent = s;
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

int sqlite_bind(struct sqlite_conn *c, struct sqlite_statement *s, const struct store_value *values,
	size_t count)
{
	int rc = SQLITE_OK;
	for (int i = 0; rc == SQLITE_OK && i < s->parameter_count; i++) {
		if ((size_t)s->parameter[i] >= count) {
			snprintf(c->error, sizeof(c->error), "parameter $%d has no value: %s",
				s->parameter[i] + 1, s->sql);
			return SQLITE_RANGE;
		}
		rc = bind_one(s->stmt, i + 1, &values[s->parameter[i]]);
		if (rc != SQLITE_OK)
			sqlite_fail(c, rc, s->sql);
	}
	return rc;
}

/* ---- one statement ---- */

void sqlite_unbind(struct sqlite_statement *s)
{
	if (s)
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

int sqlite_step_all(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op,
	struct sqlite_statement *s, int64_t *changes)
{
	size_t limit = op ? arena_used(tx->arena) + STORE_RESULT_MAX : 0;
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
	sqlite3_reset(s->stmt);
	return rc;
}

int sqlite_control(struct sqlite_conn *c, const char *sql)
{
	struct sqlite_statement *s;
	int64_t ignored = 0;
	int rc = sqlite_prepare(c, sql, &s);
	return rc == SQLITE_OK ? sqlite_step_all(c, NULL, NULL, s, &ignored) : rc;
}

static int run_sql(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	struct sqlite_statement *s;
	int rc = sqlite_prepare(c, op->sql, &s);
	if (rc == SQLITE_OK)
		rc = sqlite_bind(c, s, op->values, op->count);
	if (rc != SQLITE_OK)
		return rc;
	if ((tx->flags & STORE_READ_ONLY) && !sqlite3_stmt_readonly(s->stmt)) {
		sqlite_unbind(s);
		snprintf(c->error, sizeof(c->error), "a read-only transaction writes: %s", s->sql);
		return SQLITE_MISUSE;
	}
	rc = sqlite_step_all(c, tx, op, s, &op->changes);
	sqlite_unbind(s);
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
	return op->kind == STORE_OP_TABLE     ? sqlite_table(c, tx, op)
	       : op->kind == STORE_OP_INDEXES ? sqlite_indexes(c, tx, op)
					      : sqlite_upsert(c, tx, op);
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
