/* SPDX-License-Identifier: MIT */
/* Building a transaction and reading its result: data only, no engine. */
#include "base/mem.h"
#include "base/str.h"
#include "store/store_engine.h"
#include "store/table_text.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TX_MAX_BYTES = 256 << 20 };

static struct store_op *add_op(struct store_tx *tx, enum store_op_kind kind);
static const struct store_value *copy_values(
	struct store_tx *tx, const struct store_value *values, size_t count);
static const struct store_table *copy_table(
	struct store_tx *tx, const struct store_op *op, const struct store_table *table);

struct store_value store_text(const char *s)
{
	return s ? store_bytes(s, strlen(s), STORE_TEXT) : STORE_VALUE_NULL;
}

struct store_value store_bytes(const void *data, size_t len, enum store_type type)
{
	return (struct store_value) { .type = type, .data = data, .len = len };
}

struct store_tx *store_tx_new(struct store *store, unsigned flags)
{
	struct store_tx *tx = NEW(struct store_tx);
	if (!tx)
		return NULL;
	tx->store = store;
	tx->flags = flags;
	tx->arena = arena_new(TX_MAX_BYTES);
	list_init(&tx->node);
	list_init(&tx->pending);
	if (!tx->arena) {
		free(tx);
		return NULL;
	}
	return tx;
}

void store_tx_free(struct store_tx *tx)
{
	if (!tx)
		return;
	for (size_t i = 0; i < tx->result.op_count; i++)
		free(tx->result.ops[i].rows);
	store_tx_free(tx->then);
	free(tx->result.ops);
	arena_free(tx->arena);
	free(tx);
}

struct store *store_tx_store(const struct store_tx *tx)
{
	return tx->store;
}

size_t store_tx_sql(
	struct store_tx *tx, const char *sql, const struct store_value *params, size_t count)
{
	struct store_op *op = add_op(tx, STORE_OP_SQL);
	if (!op)
		return 0;
	op->sql = sql;
	op->values = copy_values(tx, params, count);
	op->count = count;
	return tx->result.op_count - 1;
}

size_t store_tx_text(
	struct store_tx *tx, const char *sql, const struct store_value *params, size_t count)
{
	const char *copy = arena_strdup(tx->arena, sql);
	if (!copy)
		tx->out_of_memory = true;
	return copy ? store_tx_sql(tx, copy, params, count) : 0;
}

void store_tx_expect(struct store_tx *tx, int64_t rows)
{
	if (tx->out_of_memory)
		return;
	assert(tx->result.op_count > 0);
	tx->result.ops[tx->result.op_count - 1].expect = rows;
}

void store_tx_also(struct store_tx *tx, store_done also, void *arg)
{
	assert(!tx->also);
	tx->also = also;
	tx->also_arg = arg;
}

void store_tx_watch(
	struct store_tx *tx, void (*watch)(const struct store_result *result, size_t statement))
{
	if (tx->out_of_memory)
		return;
	assert(tx->result.op_count > 0);
	tx->result.ops[tx->result.op_count - 1].watch = watch;
}

void store_tx_lane(struct store_tx *tx, uint64_t lane)
{
	tx->lane = !tx->has_lane || tx->lane == lane ? lane : 0;
	tx->has_lane = true;
}

void *store_tx_data(struct store_tx *tx, size_t size)
{
	tx->result.data = arena_alloc(tx->arena, size);
	if (!tx->result.data)
		tx->out_of_memory = true;
	return tx->result.data;
}

void *store_result_data(const struct store_result *r)
{
	return r->data;
}

static size_t add_table_op(
	struct store_tx *tx, enum store_op_kind kind, const struct store_table *table)
{
	struct store_op *op = add_op(tx, kind);
	if (!op)
		return 0;
	op->table = copy_table(tx, op, table);
	return tx->result.op_count - 1;
}

size_t store_tx_table(struct store_tx *tx, const struct store_table *table)
{
	return add_table_op(tx, STORE_OP_TABLE, table);
}

size_t store_tx_indexes(struct store_tx *tx, const struct store_table *table)
{
	return add_table_op(tx, STORE_OP_INDEXES, table);
}

size_t store_tx_upsert(struct store_tx *tx, const struct store_table *table,
	const struct store_value *values, size_t row_count)
{
	struct store_op *op = add_op(tx, STORE_OP_UPSERT);
	if (!op)
		return 0;
	size_t width = table->column_count;
	op->table = copy_table(tx, op, table);
	op->row_count = row_count;
	if (!table->append)
		values = store_tx_keep_last(tx, table, values, &op->row_count);
	op->count = op->row_count * width;
	op->values = copy_values(tx, values, op->count);
	return tx->result.op_count - 1;
}

static struct store_op *add_op(struct store_tx *tx, enum store_op_kind kind)
{
	struct store_result *r = &tx->result;
	if (tx->out_of_memory ||
		mem_grow((void **)&r->ops, &r->op_cap, r->op_count, sizeof(*r->ops)) < 0) {
		tx->out_of_memory = true;
		return NULL;
	}
	struct store_op *op = &r->ops[r->op_count++];
	*op = (struct store_op) { .kind = kind };
	return op;
}

static bool is_bytes(const struct store_value *v)
{
	return v->type == STORE_TEXT || v->type == STORE_BLOB;
}

static const struct store_value *copy_values(
	struct store_tx *tx, const struct store_value *values, size_t count)
{
	/* One piece of memory: the values, then their bytes, each with a NUL. */
	size_t size = count * sizeof(*values);
	for (size_t i = 0; values && i < count; i++)
		size += is_bytes(&values[i]) ? values[i].len + 1 : 0;
	struct store_value *copy = values || count == 0 ? arena_alloc_raw(tx->arena, size) : NULL;
	if (!copy) {
		tx->out_of_memory = true;
		return NULL;
	}
	char *at = (char *)(copy + count);
	for (size_t i = 0; i < count; i++) {
		copy[i] = values[i];
		if (!is_bytes(&values[i]))
			continue;
		copy[i].data = at;
		if (values[i].len)
			memcpy(at, values[i].data, values[i].len);
		at += values[i].len;
		*at++ = '\0';
	}
	return copy;
}

static const char *const *copy_names(struct arena *a, const char *const *names, size_t count)
{
	const char **copy = arena_alloc(a, (count + 1) * sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++)
		if (!(copy[i] = arena_strdup(a, names[i])))
			return NULL;
	return copy;
}

static const struct store_index *copy_indexes(struct arena *a, const struct store_table *table)
{
	struct store_index *copy = arena_alloc(a, (table->index_count + 1) * sizeof(*copy));
	for (size_t i = 0; copy && i < table->index_count; i++) {
		const struct store_index *from = &table->indexes[i];
		copy[i].column_count = from->column_count;
		copy[i].columns = copy_names(a, from->columns, from->column_count);
		if (!copy[i].columns)
			return NULL;
	}
	return copy;
}

const struct store_table *store_table_copy(struct arena *a, const struct store_table *table)
{
	struct store_table *copy = arena_alloc(a, sizeof(*copy));
	struct store_column *columns = arena_alloc(a, table->column_count * sizeof(*columns));
	bool ok = copy && columns;
	for (size_t i = 0; ok && i < table->column_count; i++) {
		columns[i].type = table->columns[i].type;
		ok = (columns[i].name = arena_strdup(a, table->columns[i].name)) != NULL;
	}
	if (!ok)
		return NULL;
	*copy = *table;
	copy->columns = columns;
	copy->name = arena_strdup(a, table->name);
	copy->key = copy_names(a, table->key, table->key_count);
	copy->indexes = copy_indexes(a, table);
	return copy->name && copy->key && copy->indexes ? copy : NULL;
}

/* Rows mostly follow the making of their table: one copy for both. */
static const struct store_table *copy_table(
	struct store_tx *tx, const struct store_op *op, const struct store_table *table)
{
	const struct store_op *before = op > tx->result.ops ? op - 1 : op;
	if (op->kind == STORE_OP_UPSERT && before->table && table_same(before->table, table))
		return before->table;
	const struct store_table *copy = store_table_copy(tx->arena, table);
	if (!copy)
		tx->out_of_memory = true;
	return copy;
}

/* ---- rows with the same key: the last one wins, whatever the engine ---- */

struct seen {
	size_t *row; /* + 1 */
	size_t slots;
	bool *drop;
};

static bool same_value(const struct store_value *a, const struct store_value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case STORE_NULL: return false; /* as in SQL: never the same */
	case STORE_INT: return a->i == b->i;
	case STORE_REAL: return a->real == b->real;
	case STORE_TEXT:
	case STORE_BLOB: return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
	}
	return false;
}

static uint64_t hash_value(const struct store_value *v)
{
	if (v->type == STORE_TEXT || v->type == STORE_BLOB)
		return str_hash(v->data, v->len);
	/* 0.0 and -0.0 are the same key and differ in bits. */
	double real = v->real + 0.0;
	return v->type == STORE_INT ? str_hash(&v->i, sizeof(v->i)) : str_hash(&real, sizeof(real));
}

static size_t column_of(const struct store_table *table, const char *name)
{
	size_t c = 0;
	while (c < table->column_count && !str_eq_nocase(table->columns[c].name, name))
		c++;
	return c;
}

/* Walks from the last row to the first with an open hash table of the kept rows' numbers. @return
 * how many others there are, marked in `drop` */
static size_t find_repeated(const struct store_table *table, const size_t *key,
	const struct store_value *values, size_t row_count, struct seen *seen)
{
	size_t width = table->column_count, dropped = 0;
	for (size_t row = row_count; row-- > 0;) {
		const struct store_value *v = values + row * width;
		uint64_t hash = 0;
		for (size_t k = 0; k < table->key_count; k++)
			hash = hash * 31 + hash_value(&v[key[k]]);
		size_t at = (size_t)(hash ^ hash >> 32) & (seen->slots - 1);
		bool drop = false;
		for (; seen->row[at] && !drop; at = (at + 1) & (seen->slots - 1)) {
			const struct store_value *other = values + (seen->row[at] - 1) * width;
			size_t k = 0;
			while (k < table->key_count && same_value(&v[key[k]], &other[key[k]]))
				k++;
			drop = table->key_count > 0 && k == table->key_count;
		}
		if (!drop)
			seen->row[at] = row + 1;
		seen->drop[row] = drop;
		dropped += drop;
	}
	return dropped;
}

static const struct store_value *without(struct store_tx *tx, const struct store_value *values,
	size_t width, const bool *drop, size_t row_count, size_t left)
{
	struct store_value *kept = arena_alloc_raw(tx->arena, left * width * sizeof(*kept));
	if (!kept)
		tx->out_of_memory = true;
	for (size_t row = 0, count = 0; kept && row < row_count; row++)
		if (!drop[row])
			memcpy(kept + count++ * width, values + row * width, width * sizeof(*kept));
	return kept;
}

const struct store_value *store_tx_keep_last(struct store_tx *tx, const struct store_table *table,
	const struct store_value *values, size_t *row_count)
{
	if (*row_count < 2)
		return values;
	struct seen seen = { .slots = 16 };
	while (seen.slots < *row_count * 2)
		seen.slots *= 2;
	seen.row = calloc(seen.slots, sizeof(*seen.row));
	seen.drop = calloc(*row_count + 1, sizeof(*seen.drop));
	size_t *key = calloc(table->key_count + 1, sizeof(*key));
	bool known = true;
	for (size_t k = 0; key && k < table->key_count; k++)
		known = (key[k] = column_of(table, table->key[k])) < table->column_count && known;
	const struct store_value *kept = values;
	size_t dropped = 0;
	if (!seen.row || !seen.drop || !key) {
		tx->out_of_memory = true;
		kept = NULL;
	} else if (known) { /* else the engine refuses the table */
		dropped = find_repeated(table, key, values, *row_count, &seen);
	}
	if (dropped > 0)
		kept = without(tx, values, table->column_count, seen.drop, *row_count,
			*row_count - dropped);
	*row_count -= dropped;
	free(seen.row);
	free(seen.drop);
	free(key);
	return kept;
}

/* ---- the result ---- */

void store_tx_outcome(struct store_tx *tx, enum store_status status, const char *fmt, ...)
{
	tx->result.status = status;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(tx->result.error, sizeof(tx->result.error), fmt, ap);
	va_end(ap);
	for (size_t i = 0; status != STORE_OK && i < tx->result.op_count; i++) {
		tx->result.ops[i].changes = 0;
		tx->result.ops[i].rows_len = 0;
	}
}

struct store_value *store_op_add_row(struct store_tx *tx, struct store_op *op)
{
	if (mem_grow((void **)&op->rows, &op->rows_cap, op->rows_len, sizeof(*op->rows)) < 0)
		return NULL;
	struct store_value *row = arena_alloc(tx->arena, op->columns * sizeof(*row));
	if (row)
		op->rows[op->rows_len++] = row;
	return row;
}

enum store_status store_result_status(const struct store_result *r)
{
	return r->status;
}

const char *store_result_error(const struct store_result *r)
{
	return r->error;
}

int64_t store_result_changes(const struct store_result *r, size_t statement)
{
	return statement < r->op_count ? r->ops[statement].changes : 0;
}

size_t store_result_rows(const struct store_result *r, size_t statement)
{
	return statement < r->op_count ? r->ops[statement].rows_len : 0;
}

const struct store_value *store_result_value(
	const struct store_result *r, size_t statement, size_t row, size_t column)
{
	assert(row < store_result_rows(r, statement));
	assert(column < r->ops[statement].columns);
	return &r->ops[statement].rows[row][column];
}

int64_t store_result_int(const struct store_result *r, size_t statement, size_t row, size_t column)
{
	const struct store_value *v = store_result_value(r, statement, row, column);
	return v->type == STORE_REAL ? (int64_t)v->real : v->type == STORE_INT ? v->i : 0;
}

const char *store_result_text(
	const struct store_result *r, size_t statement, size_t row, size_t column)
{
	const struct store_value *v = store_result_value(r, statement, row, column);
	return v->type == STORE_TEXT || v->type == STORE_BLOB ? v->data : NULL;
}
