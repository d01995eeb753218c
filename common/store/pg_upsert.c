/* SPDX-License-Identifier: MIT */
/*
 * Rows into a job's table. One text serves all ways, only the source of the rows differs: the
 * values of one row, arrays that are unnested, a temporary table that was filled by COPY. Rows are
 * written in the order of their keys, so that two who write the same rows wait for each other
 * instead of deadlocking.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/pg_engine.h"
#include "store/table_text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	OID_INT8_ARRAY = 1016,
	OID_TEXT_ARRAY = 1009,
	OID_FLOAT8_ARRAY = 1022,
	OID_BYTEA_ARRAY = 1001,
	ARRAY_HEAD = 20,
};

enum pg_wire pg_wire_of(int column_type)
{
	switch (column_type) {
	case COLUMN_INTEGER:
	case COLUMN_BOOLEAN:
	case COLUMN_TIMESTAMP: return PG_WIRE_INT;
	case COLUMN_REAL: return PG_WIRE_REAL;
	case COLUMN_BYTES: return PG_WIRE_BYTES;
	default: return PG_WIRE_TEXT;
	}
}

const char *pg_wire_name(enum pg_wire wire)
{
	static const char *const names[] = { "text", "bigint", "double precision", "bytea" };
	return names[wire];
}

static Oid array_oid(enum pg_wire wire)
{
	static const Oid oids[] = { OID_TEXT_ARRAY, OID_INT8_ARRAY, OID_FLOAT8_ARRAY,
		OID_BYTEA_ARRAY };
	return oids[wire];
}

/* ---- values as their columns take them ---- */

static bool fit_text(struct arena *arena, const struct store_value *in, struct store_value *out)
{
	char number[40];
	if (in->type == STORE_INT)
		snprintf(number, sizeof(number), "%lld", (long long)in->i);
	else if (in->type == STORE_REAL)
		snprintf(number, sizeof(number), "%.17g", in->real);
	if (in->type == STORE_INT || in->type == STORE_REAL) {
		*out = store_text(arena_strdup(arena, number));
	} else {
		*out = *in;
		out->type = STORE_TEXT;
		out->data = pg_clean_text(arena, in->data, &out->len);
	}
	return out->data != NULL;
}

/* false: it has no such value */
static bool fit(
	struct arena *arena, int type, const struct store_value *in, struct store_value *out)
{
	*out = *in;
	if (in->type == STORE_NULL)
		return true;
	switch (pg_wire_of(type)) {
	case PG_WIRE_TEXT: return fit_text(arena, in, out);
	case PG_WIRE_BYTES:
		out->type = in->type == STORE_TEXT ? STORE_BLOB : in->type;
		return out->type == STORE_BLOB;
	case PG_WIRE_REAL:
		if (in->type == STORE_INT)
			*out = STORE_VALUE_REAL((double)in->i);
		return out->type == STORE_REAL;
	case PG_WIRE_INT:
		if (in->type == STORE_REAL && in->real == floor(in->real) &&
			fabs(in->real) < 9007199254740992.0)
			*out = STORE_VALUE_INT((int64_t)in->real);
		if (type == COLUMN_BOOLEAN)
			out->i = out->i != 0;
		return out->type == STORE_INT;
	}
	return false;
}

static bool changed(const struct store_value *a, const struct store_value *b)
{
	return a->type != b->type || a->i != b->i || a->data != b->data;
}

static bool fit_row(struct pg_conn *c, const struct store_table *t, const struct store_value *in,
	struct store_value *out, bool *key_changed)
{
	for (size_t i = 0; i < t->column_count; i++) {
		bool key = !t->append && table_is_key(t, i);
		if (key && in[i].type == STORE_NULL) {
			/* NULLs are never equal: such a row could not be written once. */
			pg_run_fail(c, STORE_FAILED,
				"table \"%s\": a row has no value for its key \"%s\"", t->name,
				t->columns[i].name);
			return false;
		}
		if (!fit(c->run.scratch, t->columns[i].type, &in[i], &out[i])) {
			pg_run_fail(c, STORE_FAILED,
				"table \"%s\": a value does not fit column \"%s\" (%s)", t->name,
				t->columns[i].name, pg_type_name(t->columns[i].type));
			return false;
		}
		*key_changed = *key_changed || (key && changed(&in[i], &out[i]));
	}
	return true;
}

bool pg_upsert_rows(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	struct pg_run *run = &c->run;
	size_t width = t->column_count;
	bool key_changed = false;
	struct store_value *rows = arena_alloc(
		run->scratch, (op->count + 1) * sizeof(struct store_value));
	for (size_t row = 0; rows && row < op->row_count; row++)
		if (!fit_row(c, t, op->values + row * width, rows + row * width, &key_changed))
			return false;
	run->rows = rows;
	run->row_count = op->row_count;
	if (rows && key_changed) {
		/* Keys that differed may be one now. */
		run->rows = store_tx_keep_last(run->tx, t, rows, &run->row_count);
	}
	if (!run->rows)
		pg_run_fail(c, STORE_FAILED, "out of memory for the rows");
	return run->rows != NULL;
}

/* ---- the text ---- */

static void add_value(struct buf *sql, size_t column, int type)
{
	switch (type) {
	case COLUMN_BOOLEAN:
		table_add_number(sql, "drover_new.c", column);
		buf_add_str(sql, " <> 0");
		return;
	case COLUMN_TIMESTAMP:
		table_add_number(sql, "TIMESTAMPTZ 'epoch' + drover_new.c", column);
		buf_add_str(sql, " * INTERVAL '1 millisecond'");
		return;
	case COLUMN_JSON:
		table_add_number(sql, "drover_new.c", column);
		buf_add_str(sql, "::json");
		return;
	default: table_add_number(sql, "drover_new.c", column);
	}
}

static void insert_text(
	struct buf *sql, const struct store_table *t, const char *source, bool sorted)
{
	char name[66];
	buf_addf(sql, "INSERT INTO %s AS drover_old (", pg_quote(name, t->name));
	table_add_columns(sql, t);
	buf_add_str(sql, ") SELECT ");
	for (size_t i = 0; i < t->column_count; i++) {
		buf_add_str(sql, i ? ", " : "");
		add_value(sql, i + 1, t->columns[i].type);
	}
	buf_addf(sql, " FROM %s", source);
	if (t->append)
		return;
	for (size_t k = 0; sorted && k < t->key_count; k++)
		table_add_number(sql, k ? ", drover_new.c" : " ORDER BY drover_new.c",
			table_column(t, t->key[k]) + 1);
	/* json has no equality. */
	table_add_conflict(sql, t, "IS DISTINCT FROM", "::text");
}

/* With a history each row that was written goes on into it: as many are counted. */
void pg_upsert_text(struct buf *sql, const struct store_table *t, const char *source, bool sorted)
{
	char name[TABLE_NAME_SIZE];
	if (!t->history) {
		insert_text(sql, t, source, sorted);
		return;
	}
	buf_add_str(sql, "WITH drover_changed AS (");
	insert_text(sql, t, source, sorted);
	buf_add_str(sql, " RETURNING ");
	table_add_columns(sql, t);
	buf_addf(sql, ") INSERT INTO \"%s\" (", table_history_name(name, t));
	table_add_columns(sql, t);
	buf_add_str(sql, ", \"" HISTORY_TIME "\") SELECT ");
	table_add_columns(sql, t);
	buf_add_str(sql, ", date_trunc('milliseconds', now()) FROM drover_changed");
}

static void source_text(struct buf *source, const struct store_table *t, bool arrays)
{
	buf_add_str(source, arrays ? "unnest(" : "(VALUES (");
	for (size_t i = 0; i < t->column_count; i++) {
		table_add_number(source, i ? ", $" : "$", i + 1);
		buf_add_str(source, "::");
		buf_add_str(source, pg_wire_name(pg_wire_of(t->columns[i].type)));
		buf_add_str(source, arrays ? "[]" : "");
	}
	buf_add_str(source, arrays ? ") AS drover_new (" : ")) AS drover_new (");
	for (size_t i = 0; i < t->column_count; i++)
		table_add_number(source, i ? ", c" : "c", i + 1);
	buf_add_char(source, ')');
}

/* ---- one row, or arrays ---- */

static int compare_values(const struct store_value *a, const struct store_value *b)
{
	if (a->type == STORE_INT || a->type == STORE_REAL) {
		double x = a->type == STORE_INT ? 0 : a->real,
		       y = a->type == STORE_INT ? 0 : b->real;
		return a->type == STORE_INT ? (a->i > b->i) - (a->i < b->i) : (x > y) - (x < y);
	}
	size_t len = MIN(a->len, b->len);
	int order = len ? memcmp(a->data, b->data, len) : 0;
	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static bool goes_first(
	const struct store_table *t, const struct store_value *a, const struct store_value *b)
{
	for (size_t k = 0; k < t->key_count; k++) {
		size_t column = table_column(t, t->key[k]);
		int order = compare_values(&a[column], &b[column]);
		if (order != 0)
			return order < 0;
	}
	return false;
}

static bool single_rows(
	struct pg_conn *c, struct store_op *op, const char *sql, const struct store_table *t)
{
	size_t width = t->column_count, count = c->run.row_count;
	const struct store_value *order[PG_SINGLE_ROWS];
	for (size_t i = 0; i < count; i++) {
		const struct store_value *row = c->run.rows + i * width;
		size_t at = i;
		for (; at > 0 && goes_first(t, row, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = row;
	}
	for (size_t i = 0; i < count; i++)
		if (!pg_execute(c, sql, order[i], width,
			    (struct pg_answer) {
				    .kind = PG_ANSWER_OP, .op = op, .last = i + 1 == count }))
			return false;
	return true;
}

/* A one-dimensional array as it is on the wire. */
static bool put_array(struct pg_conn *c, size_t first, size_t rows, size_t width, size_t column,
	enum pg_wire wire, struct pg_parameter *out)
{
	static const uint32_t element_oids[] = { 25, 20, 701, 17 };
	const struct store_value *v = c->run.rows + first * width + column;
	size_t size = ARRAY_HEAD;
	uint32_t nulls = 0;
	for (size_t i = 0; i < rows; i++) {
		const struct store_value *one = &v[i * width];
		size += 4 + (one->type == STORE_NULL					 ? 0
				    : one->type == STORE_TEXT || one->type == STORE_BLOB ? one->len
											 : 8);
		nulls |= one->type == STORE_NULL;
	}
	char *data = size <= INT32_MAX ? arena_alloc(c->run.scratch, size) : NULL;
	if (!data)
		return false;
	const uint32_t head[] = { 1, nulls, element_oids[wire], (uint32_t)rows, 1 };
	char *at = data;
	for (size_t i = 0; i < ARRAY_SIZE(head); i++, at += 4)
		pg_put32(at, head[i]);
	for (size_t i = 0; i < rows; i++)
		at = pg_put_value(at, &v[i * width]);
	*out = (struct pg_parameter) { .type = array_oid(wire), .data = data, .len = (int)size };
	return true;
}

char *pg_put_value(char *at, const struct store_value *value)
{
	struct pg_parameter p;
	pg_encode(&p, value);
	pg_put32(at, p.type ? (uint32_t)p.len : UINT32_MAX);
	if (p.type)
		memcpy(at + 4, p.data ? p.data : p.number, (size_t)p.len);
	return at + 4 + (p.type ? p.len : 0);
}

static bool arrays(
	struct pg_conn *c, struct store_op *op, const char *sql, const struct store_table *t)
{
	size_t width = t->column_count, count = c->run.row_count;
	for (size_t first = 0; first < count; first += PG_UNNEST_ROWS) {
		size_t rows = MIN(count - first, (size_t)PG_UNNEST_ROWS);
		struct pg_parameter *p = arena_alloc(c->run.scratch, width * sizeof(*p));
		bool ok = p != NULL;
		for (size_t i = 0; ok && i < width; i++)
			ok = put_array(
				c, first, rows, width, i, pg_wire_of(t->columns[i].type), &p[i]);
		if (!ok || !pg_execute_encoded(c, sql, p, width,
				   (struct pg_answer) { .kind = PG_ANSWER_OP,
					   .op = op,
					   .last = first + rows == count }))
			return false;
	}
	return true;
}

void pg_upsert(struct pg_conn *c, struct store_op *op)
{
	CLEANUP(buf_finish) struct buf sql = BUF_INIT, source = BUF_INIT;
	if (!pg_upsert_rows(c, op))
		return;
	bool many = c->run.row_count >= PG_SINGLE_ROWS;
	source_text(&source, op->table, many);
	pg_upsert_text(&sql, op->table, buf_str(&source), many);
	if (buf_failed(&sql) || buf_failed(&source) ||
		!(many ? arrays(c, op, buf_str(&sql), op->table)
		       : single_rows(c, op, buf_str(&sql), op->table)))
		c->broken = true;
}
