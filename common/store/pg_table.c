/* SPDX-License-Identifier: MIT */
/* Tables of jobs: made, widened, never narrowed. Names are in lower case, as PostgreSQL has what is
 * not quoted, so that people need no quotes. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/pg_engine.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LOCK_DDL "SELECT pg_advisory_xact_lock(7236274115)"

const char *pg_quote(char out[66], const char *name)
{
	size_t at = 0;
	out[at++] = '"';
	for (; *name && at < 64; name++)
		out[at++] = (char)tolower((unsigned char)*name);
	out[at++] = '"';
	out[at] = '\0';
	return out;
}

const char *pg_type_name(int column_type)
{
	switch (column_type) {
	case COLUMN_INTEGER: return "BIGINT";
	case COLUMN_BOOLEAN: return "BOOLEAN";
	case COLUMN_TIMESTAMP: return "TIMESTAMPTZ";
	case COLUMN_REAL: return "DOUBLE PRECISION";
	/* Not jsonb: that changes numbers and refuses \u0000. */
	case COLUMN_JSON: return "JSON";
	default: return "TEXT";
	}
}

size_t pg_find_column(const struct store_table *t, const char *name)
{
	size_t i = 0;
	while (i < t->column_count && !str_eq_nocase(t->columns[i].name, name))
		i++;
	return i;
}

bool pg_is_key(const struct store_table *t, size_t column)
{
	for (size_t i = 0; i < t->key_count; i++)
		if (str_eq_nocase(t->key[i], t->columns[column].name))
			return true;
	return false;
}

bool pg_check_table(struct pg_conn *c, const struct store_table *t)
{
	static const char *const taken[] = { "drover_", "sqlite_", "pg_" };
	const char *bad = str_is_identifier(t->name) ? NULL : t->name;
	for (size_t i = 0; !bad && i < ARRAY_SIZE(taken); i++)
		if (strncasecmp(t->name, taken[i], strlen(taken[i])) == 0)
			bad = t->name;
	for (size_t i = 0; !bad && i < t->column_count; i++)
		if (!str_is_identifier(t->columns[i].name) ||
			pg_find_column(t, t->columns[i].name) != i)
			bad = t->columns[i].name;
	for (size_t i = 0; !bad && i < t->key_count; i++)
		if (pg_find_column(t, t->key[i]) == t->column_count)
			bad = t->key[i];
	if (!bad && t->column_count > 0 && t->key_count > 0)
		return true;
	pg_run_fail(c, STORE_FAILED, "table \"%s\": bad or repeated name \"%s\"", t->name,
		bad ? bad : "");
	return false;
}

static uint64_t fingerprint(const struct store_table *t)
{
	uint64_t hash = str_hash(t->name, strlen(t->name));
	for (size_t i = 0; i < t->column_count; i++)
		hash = hash * 31 + str_hash(t->columns[i].name, strlen(t->columns[i].name)) +
		       (uint64_t)t->columns[i].type;
	for (size_t i = 0; i < t->key_count; i++)
		hash = hash * 37 + str_hash(t->key[i], strlen(t->key[i]));
	return hash;
}

/* Ours by its name, which is at most 63 bytes long. */
static void index_name(char out[64], const struct store_table *t)
{
	char name[66];
	pg_quote(name, t->name);
	name[strlen(name) - 1] = '\0';
	if (strlen(name + 1) <= 52)
		snprintf(out, 64, "drover_key_%s", name + 1);
	else
		snprintf(out, 64, "drover_key_%.40s_%08x", name + 1,
			(unsigned)str_hash(name + 1, strlen(name + 1)));
}

static void ask(struct pg_conn *c, const struct store_table *t)
{
	char table[66], name[64], index[66];
	index_name(name, t);
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
	if (pg_engine_knows_table(c->engine, fingerprint(op->table))) {
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
		if (str_eq_nocase(names->items[i], name))
			return true;
	return false;
}

static void create_text(struct buf *sql, const struct store_table *t)
{
	char name[66];
	buf_addf(sql, "CREATE TABLE %s (", pg_quote(name, t->name));
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(sql, "%s%s %s%s", i ? ", " : "", pg_quote(name, t->columns[i].name),
			pg_type_name(t->columns[i].type), pg_is_key(t, i) ? " NOT NULL" : "");
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
	bool same = present->len == t->key_count;
	for (size_t i = 0; same && i < t->key_count; i++)
		same = str_eq_nocase(present->items[i], t->key[i]);
	return same;
}

static void index_text(struct buf *sql, const struct store_table *t)
{
	char name[64], quoted[66];
	index_name(name, t);
	buf_addf(sql, "CREATE UNIQUE INDEX %s", pg_quote(quoted, name));
	buf_addf(sql, " ON %s (", pg_quote(quoted, t->name));
	for (size_t i = 0; i < t->key_count; i++)
		buf_addf(sql, "%s%s", i ? ", " : "", pg_quote(quoted, t->key[i]));
	buf_add_char(sql, ')');
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
		pg_engine_learn_table(c->engine, fingerprint(t));
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
		index_name(name, t);
		if (!same_key(t, &run->key) && run->key.len > 0)
			buf_addf(&sql, "DROP INDEX %s", pg_quote(quoted, name));
		send_text(c, op, &sql);
		if (!same_key(t, &run->key))
			index_text(&sql, t);
		send_text(c, op, &sql);
	}
	run->next_op++;
	pg_continue_body(c);
}
