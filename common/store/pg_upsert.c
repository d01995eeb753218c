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

static bool fit_row(struct pg_conn *c, const struct store_table *t, const bool *is_key,
	const struct store_value *in, struct store_value *out, bool *key_changed)
{
	for (size_t i = 0; i < t->column_count; i++) {
		if (is_key[i] && in[i].type == STORE_NULL) {
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
		*key_changed = *key_changed || (is_key[i] && changed(&in[i], &out[i]));
	}
	return true;
}

/* As it is: nothing to fit, nothing to complain of. */
static bool fits(int type, const struct store_value *v)
{
	switch (v->type) {
	case STORE_NULL: return true;
	case STORE_INT: return pg_wire_of(type) == PG_WIRE_INT && type != COLUMN_BOOLEAN;
	case STORE_REAL: return pg_wire_of(type) == PG_WIRE_REAL;
	case STORE_TEXT:
		return pg_wire_of(type) == PG_WIRE_TEXT && pg_text_is_clean(v->data, v->len);
	case STORE_BLOB: return pg_wire_of(type) == PG_WIRE_BYTES;
	}
	return false;
}

static bool all_fit(const struct store_table *t, const bool *is_key, const struct store_op *op)
{
	const struct store_value *v = op->values;
	for (size_t row = 0; row < op->row_count; row++)
		for (size_t i = 0; i < t->column_count; i++, v++)
			if (!fits(t->columns[i].type, v) || (is_key[i] && v->type == STORE_NULL))
				return false;
	return true;
}

bool pg_upsert_rows(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	struct pg_run *run = &c->run;
	size_t width = t->column_count;
	bool key_changed = false;
	bool *is_key = arena_alloc(run->scratch, width);
	for (size_t i = 0; is_key && i < width; i++)
		is_key[i] = !t->append && table_is_key(t, i);
	run->row_count = op->row_count;
	run->rows = op->values;
	if (is_key && all_fit(t, is_key, op))
		return true;
	struct store_value *rows = arena_alloc_raw(
		run->scratch, (op->count + 1) * sizeof(struct store_value));
	for (size_t row = 0; rows && is_key && row < op->row_count; row++)
		if (!fit_row(c, t, is_key, op->values + row * width, rows + row * width,
			    &key_changed))
			return false;
	run->rows = is_key ? rows : NULL;
	if (run->rows && key_changed) {
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

/* As compare_values() has it, whatever the database's collation. */
static void add_order(struct buf *sql, const struct store_table *t, size_t k)
{
	size_t column = table_column(t, t->key[k]);
	table_add_number(sql, k ? ", drover_new.c" : " ORDER BY drover_new.c", column + 1);
	if (pg_wire_of(t->columns[column].type) == PG_WIRE_TEXT)
		buf_add_str(sql, " COLLATE \"C\"");
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
		add_order(sql, t, k);
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

struct key_columns {
	size_t *at, count;
};

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct store_value *const *x = a, *const *y = b;
	const struct key_columns *key = arg;
	int order = 0;
	for (size_t k = 0; k < key->count && order == 0; k++)
		order = compare_values(*x + key->at[k], *y + key->at[k]);
	return order;
}

/* The rows by their keys: mostly they are sorted, and the server would not look but sort. NULL: out
 * of memory */
static const struct store_value **sorted_rows(struct pg_conn *c, const struct store_table *t)
{
	struct arena *scratch = c->run.scratch;
	size_t count = c->run.row_count;
	const struct store_value **order = arena_alloc_raw(scratch, (count + 1) * sizeof(*order));
	struct key_columns key = { arena_alloc(scratch, (t->key_count + 1) * sizeof(size_t)),
		t->append ? 0 : t->key_count };
	bool sorted = true;
	if (!order || !key.at)
		return NULL;
	for (size_t k = 0; k < key.count; k++)
		key.at[k] = table_column(t, t->key[k]);
	for (size_t i = 0; i < count; i++) {
		order[i] = c->run.rows + i * t->column_count;
		sorted = sorted && (i == 0 || compare_rows(&order[i - 1], &order[i], &key) <= 0);
	}
	if (!sorted)
		qsort_r(order, count, sizeof(*order), compare_rows, &key);
	return order;
}

static bool single_rows(
	struct pg_conn *c, struct store_op *op, const char *sql, const struct store_value **rows)
{
	size_t width = op->table->column_count, count = c->run.row_count;
	for (size_t i = 0; i < count; i++)
		if (!pg_execute(c, sql, rows[i], width,
			    (struct pg_answer) {
				    .kind = PG_ANSWER_OP, .op = op, .last = i + 1 == count }))
			return false;
	return true;
}

/* A one-dimensional array as it is on the wire. */
static bool put_array(struct pg_conn *c, const struct store_value **rows, size_t count,
	size_t column, enum pg_wire wire, struct pg_parameter *out)
{
	static const uint32_t element_oids[] = { 25, 20, 701, 17 };
	size_t size = ARRAY_HEAD;
	uint32_t nulls = 0;
	for (size_t i = 0; i < count; i++) {
		size += pg_value_size(&rows[i][column]);
		nulls |= rows[i][column].type == STORE_NULL;
	}
	char *data = size <= INT32_MAX ? arena_alloc_raw(c->run.scratch, size) : NULL;
	if (!data)
		return false;
	const uint32_t head[] = { 1, nulls, element_oids[wire], (uint32_t)count, 1 };
	char *at = data;
	for (size_t i = 0; i < ARRAY_SIZE(head); i++, at += 4)
		pg_put32(at, head[i]);
	for (size_t i = 0; i < count; i++)
		at = pg_put_value(at, &rows[i][column]);
	*out = (struct pg_parameter) { .type = array_oid(wire), .data = data, .len = (int)size };
	return true;
}

static bool arrays(
	struct pg_conn *c, struct store_op *op, const char *sql, const struct store_value **rows)
{
	const struct store_table *t = op->table;
	size_t width = t->column_count, count = c->run.row_count;
	for (size_t first = 0; first < count; first += PG_UNNEST_ROWS) {
		size_t part = MIN(count - first, (size_t)PG_UNNEST_ROWS);
		struct pg_parameter *p = arena_alloc(c->run.scratch, width * sizeof(*p));
		bool ok = p != NULL;
		for (size_t i = 0; ok && i < width; i++)
			ok = put_array(
				c, rows + first, part, i, pg_wire_of(t->columns[i].type), &p[i]);
		if (!ok || !pg_execute_encoded(c, sql, p, width,
				   (struct pg_answer) { .kind = PG_ANSWER_OP,
					   .op = op,
					   .last = first + part == count }))
			return false;
	}
	return true;
}

static const char *kept_text(struct pg_conn *c, const struct store_table *t, bool many)
{
	struct table_texts *texts = &c->engine->texts;
	const char *text = table_texts_find(texts, t, many);
	if (text)
		return text;
	CLEANUP(buf_finish) struct buf sql = BUF_INIT, source = BUF_INIT;
	source_text(&source, t, many);
	pg_upsert_text(&sql, t, buf_str(&source), false);
	return buf_failed(&sql) || buf_failed(&source)
		       ? NULL
		       : table_texts_keep(texts, t, many, buf_str(&sql));
}

void pg_upsert(struct pg_conn *c, struct store_op *op)
{
	if (!pg_upsert_rows(c, op))
		return;
	bool many = c->run.row_count >= PG_SINGLE_ROWS;
	const struct store_value **rows = sorted_rows(c, op->table);
	const char *sql = rows ? kept_text(c, op->table, many) : NULL;
	if (!sql || !(many ? arrays(c, op, sql, rows) : single_rows(c, op, sql, rows)))
		c->broken = true;
}
