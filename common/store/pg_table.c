/* SPDX-License-Identifier: MIT */
/* Tables of jobs: made, widened, never narrowed. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/pg_engine.h"
#include "store/table_text.h"
#include <stdio.h>
#include <string.h>

#define LOCK_DDL "SELECT pg_advisory_xact_lock(7236274115)"

const char *pg_quote(char out[66], const char *name)
{
	snprintf(out, 66, "\"%s\"", name);
	return out;
}

const char *pg_type_name(int column_type)
{
	switch (column_type) {
	case COLUMN_INTEGER: return "BIGINT";
	case COLUMN_BOOLEAN: return "BOOLEAN";
	case COLUMN_TIMESTAMP: return "TIMESTAMPTZ";
	case COLUMN_REAL: return "DOUBLE PRECISION";
	case COLUMN_BYTES: return "BYTEA";
	/* Not jsonb: that changes numbers and refuses \u0000. */
	case COLUMN_JSON: return "JSON";
	default: return "TEXT";
	}
}

bool pg_check_table(struct pg_conn *c, const struct store_table *t)
{
	char words[256];
	if (!table_is_sound(t, words, sizeof(words)))
		pg_run_fail(c, STORE_FAILED, "%s", words);
	else if (strncasecmp(t->name, "pg_", 3) == 0)
		pg_run_fail(c, STORE_FAILED,
			"table \"%s\": names that begin with pg_ are PostgreSQL's own", t->name);
	else
		return true;
	return false;
}

static void ask(struct pg_conn *c, const struct store_table *t)
{
	char table[66], name[64], index[66];
	table_key_name(name, t);
	const struct store_value of_table = store_text(pg_quote(table, t->name)),
				 of_index = store_text(pg_quote(index, name));
	c->run.columns.len = c->run.key.len = 0;
	if (!pg_execute(c,
		    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1)"
		    " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
		    &of_table, 1, (struct pg_answer) { .kind = PG_ANSWER_FIRST }) ||
		!pg_execute(c,
			"SELECT a.attname FROM pg_index i JOIN pg_attribute a"
			" ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
			" WHERE i.indexrelid = to_regclass($1)"
			" ORDER BY array_position(i.indkey::int2[], a.attnum)",
			&of_index, 1, (struct pg_answer) { .kind = PG_ANSWER_SECOND }))
		c->broken = true;
}

bool pg_table_ask(struct pg_conn *c, struct store_op *op)
{
	if (pg_engine_knows_table(c->engine, table_hash(op->table))) {
		c->run.skipped_table = true;
		return false;
	}
	c->run.table_locked = false;
	ask(c, op->table);
	return true;
}

void pg_table_answer(struct pg_conn *c, bool key, const PGresult *res)
{
	struct pg_names *names = key ? &c->run.key : &c->run.columns;
	for (int row = 0; row < PQntuples(res); row++) {
		if (mem_grow((void **)&names->items, &names->cap, names->len,
			    sizeof(*names->items)) < 0) {
			pg_run_fail(c, STORE_FAILED, "out of memory for a table's columns");
			return;
		}
		snprintf(names->items[names->len++], sizeof(*names->items), "%s",
			PQgetvalue(res, row, 0));
	}
}

static bool has(const struct pg_names *names, const char *name)
{
	for (size_t i = 0; i < names->len; i++)
		if (str_eq(names->items[i], name))
			return true;
	return false;
}

static void create_text(struct buf *sql, const struct store_table *t)
{
	char name[66];
	buf_addf(sql, "CREATE TABLE %s (", pg_quote(name, t->name));
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s%s %s%s", i ? ", " : "", pg_quote(name, t->columns[i].name),
			pg_type_name(t->columns[i].type),
			table_is_key(t, i) && !t->append ? " NOT NULL" : "");
	buf_add_char(sql, ')');
}

static void widen_text(struct buf *sql, const struct store_table *t, const struct pg_names *present)
{
	char name[66];
	const char *between = " ADD COLUMN ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (has(present, t->columns[i].name))
			continue;
		if (sql->len == 0)
			buf_addf(sql, "ALTER TABLE %s", pg_quote(name, t->name));
		buf_addf(sql, "%s%s %s", between, pg_quote(name, t->columns[i].name),
			pg_type_name(t->columns[i].type));
		between = ", ADD COLUMN ";
	}
}

static bool same_key(const struct store_table *t, const struct pg_names *present)
{
	size_t wanted = t->append ? 0 : t->key_count;
	bool same = present->len == wanted;
	for (size_t i = 0; same && i < wanted; i++)
		same = str_eq(present->items[i], t->key[i]);
	return same;
}

static void key_text(struct buf *sql, const struct store_table *t)
{
	char name[64];
	buf_addf(sql, "CREATE UNIQUE INDEX \"%s\" ON \"%s\" ", table_key_name(name, t), t->name);
	table_add_names(sql, t->key, t->key_count);
}

static void send_text(struct pg_conn *c, struct store_op *op, struct buf *sql)
{
	if (sql->len == 0)
		return;
	if (buf_failed(sql) || !pg_send(c, buf_str(sql), PG_ANSWER_NONE))
		c->broken = true;
	buf_reset(sql);
	op->changes++;
}

void pg_table_change(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	struct pg_run *run = &c->run;
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	bool same = run->columns.len > 0 && same_key(t, &run->key);
	for (size_t i = 0; same && i < t->column_count; i++)
		same = has(&run->columns, t->columns[i].name);
	if (same) {
		/* As others have committed it, or as we found it: it stays so unless it is dropped.
		 */
		pg_engine_learn_table(c->engine, table_hash(t));
	} else if (!run->table_locked) {
		run->table_locked = true;
		/* Whoever waits for a table's lock has all others wait behind it. */
		pg_send(c, "SET LOCAL lock_timeout = '3s'", PG_ANSWER_NONE);
		pg_send(c, LOCK_DDL, PG_ANSWER_NONE);
		ask(c, t);
		pg_send_sync(c);
		return;
	} else {
		if (run->columns.len == 0)
			create_text(&sql, t);
		else
			widen_text(&sql, t, &run->columns);
		send_text(c, op, &sql);
		char name[64], quoted[66];
		table_key_name(name, t);
		if (!same_key(t, &run->key) && run->key.len > 0)
			buf_addf(&sql, "DROP INDEX %s", pg_quote(quoted, name));
		send_text(c, op, &sql);
		if (!same_key(t, &run->key) && !t->append)
			key_text(&sql, t);
		send_text(c, op, &sql);
	}
	run->next_op++;
	pg_continue_body(c);
}

void pg_indexes(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	for (size_t i = 0; i < t->index_count; i++) {
		const struct store_index *index = &t->indexes[i];
		char name[64];
		buf_addf(&sql, "CREATE INDEX IF NOT EXISTS \"%s\" ON \"%s\" ",
			table_index_name(name, t->name, index->columns, index->column_count),
			t->name);
		table_add_names(&sql, index->columns, index->column_count);
		send_text(c, op, &sql);
	}
}
