/* SPDX-License-Identifier: MIT */
/* Tables of jobs: made, widened, never narrowed. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/pg_engine.h"
#include "store/table_text.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOCK_DDL "SELECT pg_advisory_xact_lock(7236274115)"
/* A backend hears what others changed in the catalogue when it locks a relation anew, and not when
 * it gets an advisory lock: without this it would still miss what it missed before. */
#define HEAR	 "LOCK TABLE drover_commit IN ROW SHARE MODE"

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

/* ---- the months of a history ---- */

enum { MONTHS_AHEAD = 2, MONTHS_MAX = MONTHS_AHEAD + 2 };
#define DAY_MS INT64_C(86400000)

struct month {
	int year, month; /* from 1 */
};

static struct month month_of(int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm t = { 0 };
	gmtime_r(&seconds, &t);
	return (struct month) { t.tm_year + 1900, t.tm_mon + 1 };
}

static struct month after(struct month m)
{
	return m.month == 12 ? (struct month) { m.year + 1, 1 }
			     : (struct month) { m.year, m.month + 1 };
}

/* Yesterday's, for a server whose clock is behind ours, to that of two months on. */
static size_t months(struct month out[MONTHS_MAX])
{
	int64_t now = clock_real_ms();
	struct month last = month_of(now);
	size_t count = 0;
	for (int i = 0; i < MONTHS_AHEAD; i++)
		last = after(last);
	for (struct month m = month_of(now - DAY_MS); count < MONTHS_MAX; m = after(m)) {
		out[count++] = m;
		if (m.year == last.year && m.month == last.month)
			break;
	}
	return count;
}

static const char *partition_name(
	char out[TABLE_NAME_SIZE], const struct store_table *t, struct month m)
{
	char history[TABLE_NAME_SIZE], name[TABLE_NAME_SIZE + 32];
	/* The table's name leaves room for it: table_is_sound(). */
	snprintf(name, sizeof(name), "%s_%04d_%02d", table_history_name(history, t), m.year,
		m.month);
	str_copy(out, TABLE_NAME_SIZE, name);
	return out;
}

/* What was seen to be right is so until the month ends. */
static uint64_t fingerprint(const struct store_table *t)
{
	struct month m = month_of(clock_real_ms());
	return table_hash(t) + (t->history ? (uint64_t)(m.year * 12 + m.month) : 0);
}

/* ---- what is there ---- */

static const char *place_name(const struct pg_conn *c, const struct store_table *t, char out[64])
{
	if (c->run.table_is_history)
		return table_history_name(out, t);
	snprintf(out, 64, "%s", t->name);
	return out;
}

/* Its columns with their types; its key's columns, or the partitions of a history. */
static void ask(struct pg_conn *c, const struct store_table *t)
{
	static const char columns[] =
		"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
		" WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
		" ORDER BY attnum";
	static const char key[] = "SELECT a.attname FROM pg_index i JOIN pg_attribute a"
				  " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
				  " WHERE i.indexrelid = to_regclass($1)"
				  " ORDER BY array_position(i.indkey::int2[], a.attnum)";
	static const char partitions[] = "SELECT r.relname FROM pg_inherits i JOIN pg_class r"
					 " ON r.oid = i.inhrelid WHERE i.inhparent ="
					 " to_regclass($1)";
	char table[66], name[64], index[66], place[64];
	bool history = c->run.table_is_history;
	table_key_name(name, t);
	const struct store_value of_table = store_text(pg_quote(table, place_name(c, t, place))),
				 of_index = store_text(pg_quote(index, name));
	c->run.columns.len = c->run.types.len = c->run.key.len = 0;
	if (!pg_execute(c, columns, &of_table, 1, (struct pg_answer) { .kind = PG_ANSWER_FIRST }) ||
		!pg_execute(c, history ? partitions : key, history ? &of_table : &of_index, 1,
			(struct pg_answer) { .kind = PG_ANSWER_SECOND }))
		c->broken = true;
}

bool pg_table_ask(struct pg_conn *c, struct store_op *op)
{
	if (pg_engine_knows_table(c->engine, fingerprint(op->table))) {
		c->run.skipped_table = true;
		return false;
	}
	c->run.table_locked = c->run.table_is_history = false;
	ask(c, op->table);
	return true;
}

static void add_name(struct pg_conn *c, struct pg_names *names, const char *name)
{
	if (mem_grow((void **)&names->items, &names->cap, names->len, sizeof(*names->items)) < 0)
		pg_run_fail(c, STORE_FAILED, "out of memory for a table's columns");
	else
		snprintf(names->items[names->len++], sizeof(*names->items), "%s", name);
}

void pg_table_answer(struct pg_conn *c, bool key, const PGresult *res)
{
	for (int row = 0; row < PQntuples(res); row++) {
		add_name(c, key ? &c->run.key : &c->run.columns, PQgetvalue(res, row, 0));
		if (!key)
			add_name(c, &c->run.types, PQgetvalue(res, row, 1));
	}
}

/* As format_type() names it, or a wider one that gives back the same. */
static bool holds(const char *is, int type)
{
	switch (type) {
	case COLUMN_INTEGER: return str_eq(is, "bigint") || str_eq(is, "numeric");
	case COLUMN_BOOLEAN: return str_eq(is, "boolean");
	case COLUMN_TIMESTAMP: return str_eq(is, "timestamp with time zone");
	case COLUMN_REAL: return str_eq(is, "double precision");
	case COLUMN_BYTES: return str_eq(is, "bytea");
	case COLUMN_JSON: return str_eq(is, "json");
	default: return str_eq(is, "text") || str_eq(is, "character varying");
	}
}

/* @return false: decided */
static bool check_types(struct pg_conn *c, const struct store_table *t)
{
	const struct pg_run *run = &c->run;
	char words[STORE_ERROR_TEXT], place[64];
	for (size_t i = 0; i < t->column_count; i++)
		for (size_t k = 0; k < run->columns.len && k < run->types.len; k++) {
			if (!str_eq(run->columns.items[k], t->columns[i].name) ||
				holds(run->types.items[k], t->columns[i].type))
				continue;
			table_type_differs(words, sizeof(words), place_name(c, t, place),
				&t->columns[i], run->types.items[k],
				pg_type_name(t->columns[i].type));
			pg_run_fail(c, STORE_FAILED, "%s", words);
			return false;
		}
	return true;
}

static bool has(const struct pg_names *names, const char *name)
{
	for (size_t i = 0; i < names->len; i++)
		if (str_eq(names->items[i], name))
			return true;
	return false;
}

static void create_text(struct pg_conn *c, struct buf *sql, const struct store_table *t)
{
	char name[66], place[64];
	bool history = c->run.table_is_history;
	buf_addf(sql, "CREATE TABLE %s (%s", pg_quote(name, place_name(c, t, place)),
		history ? "\"" HISTORY_TIME "\" TIMESTAMPTZ NOT NULL, " : "");
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s%s %s%s", i ? ", " : "", pg_quote(name, t->columns[i].name),
			pg_type_name(t->columns[i].type),
			table_is_key(t, i) && !t->append ? " NOT NULL" : "");
	buf_add_str(sql, history ? ") PARTITION BY RANGE (\"" HISTORY_TIME "\")" : ")");
}

static void widen_text(struct pg_conn *c, struct buf *sql, const struct store_table *t)
{
	char name[66], place[64];
	const char *between = " ADD COLUMN ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (has(&c->run.columns, t->columns[i].name))
			continue;
		if (sql->len == 0)
			buf_addf(sql, "ALTER TABLE %s", pg_quote(name, place_name(c, t, place)));
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

static void change_key(struct pg_conn *c, struct store_op *op, struct buf *sql)
{
	const struct store_table *t = op->table;
	char name[64], quoted[66];
	if (same_key(t, &c->run.key))
		return;
	table_key_name(name, t);
	if (c->run.key.len > 0)
		buf_addf(sql, "DROP INDEX %s", pg_quote(quoted, name));
	send_text(c, op, sql);
	if (!t->append)
		key_text(sql, t);
	send_text(c, op, sql);
}

/* A history's index, when it is new, and the partitions that it lacks: made apart and attached,
 * because CREATE TABLE ... PARTITION OF would have all writers wait. */
static void change_partitions(struct pg_conn *c, struct store_op *op, struct buf *sql)
{
	const struct store_table *t = op->table;
	char history[TABLE_NAME_SIZE], name[TABLE_NAME_SIZE];
	struct month m[MONTHS_MAX];
	size_t count = months(m);
	const char **columns = arena_alloc(c->run.scratch, (t->key_count + 1) * sizeof(*columns));
	if (!columns) {
		c->broken = true;
		return;
	}
	table_history_name(history, t);
	if (c->run.columns.len == 0) {
		memcpy(columns, t->key, t->key_count * sizeof(*columns));
		columns[t->key_count] = HISTORY_TIME;
		buf_addf(sql, "CREATE INDEX \"%s\" ON \"%s\" ",
			table_index_name(name, history, columns, t->key_count + 1), history);
		table_add_names(sql, columns, t->key_count + 1);
		send_text(c, op, sql);
	}
	for (size_t i = 0; i < count; i++) {
		struct month next = after(m[i]);
		if (has(&c->run.key, partition_name(name, t, m[i])))
			continue;
		buf_addf(sql, "CREATE TABLE \"%s\" (LIKE \"%s\" INCLUDING ALL)", name, history);
		send_text(c, op, sql);
		buf_addf(sql,
			"ALTER TABLE \"%s\" ATTACH PARTITION \"%s\" FOR VALUES FROM"
			" ('%04d-%02d-01 00:00:00+00') TO ('%04d-%02d-01 00:00:00+00')",
			history, name, m[i].year, m[i].month, next.year, next.month);
		send_text(c, op, sql);
	}
}

static bool is_as_wanted(const struct pg_conn *c, const struct store_table *t)
{
	const struct pg_run *run = &c->run;
	bool same = run->columns.len > 0;
	for (size_t i = 0; same && i < t->column_count; i++)
		same = has(&run->columns, t->columns[i].name);
	if (!run->table_is_history)
		return same && same_key(t, &run->key);
	struct month m[MONTHS_MAX];
	char name[TABLE_NAME_SIZE];
	size_t count = months(m);
	for (size_t i = 0; same && i < count; i++)
		same = has(&run->key, partition_name(name, t, m[i]));
	return same;
}

static void change(struct pg_conn *c, struct store_op *op)
{
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	if (c->run.columns.len == 0)
		create_text(c, &sql, op->table);
	else
		widen_text(c, &sql, op->table);
	send_text(c, op, &sql);
	if (c->run.table_is_history)
		change_partitions(c, op, &sql);
	else
		change_key(c, op, &sql);
}

void pg_table_change(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	struct pg_run *run = &c->run;
	bool right = is_as_wanted(c, t);
	if (!check_types(c, t)) {
		pg_run_next(c);
		return;
	}
	if (!right && !run->table_locked) {
		run->table_locked = true;
		/* Whoever waits for a table's lock has all others wait behind it. */
		pg_send(c, "SET LOCAL lock_timeout = '3s'", PG_ANSWER_NONE);
		pg_send(c, LOCK_DDL, PG_ANSWER_NONE);
		pg_send(c, HEAR, PG_ANSWER_NONE);
		ask(c, t);
		pg_send_sync(c);
		return;
	}
	if (!right)
		change(c, op);
	if (t->history && !run->table_is_history) {
		run->table_is_history = true;
		ask(c, t);
		pg_send_sync(c);
		return;
	}
	/* As others have committed it, or as we found it: it stays so unless it is dropped. */
	if (op->changes == 0)
		pg_engine_learn_table(c->engine, fingerprint(t));
	run->next_op++;
	pg_continue_body(c);
}
