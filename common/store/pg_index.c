/* SPDX-License-Identifier: MIT */
/*
 * Indexes, each built CONCURRENTLY: outside of a transaction, without a bound of time, one builder
 * at a time. The connection is closed afterwards, and with it go its settings and its lock.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/pg_engine.h"
#include "store/table_text.h"
#include <stdio.h>
#include <string.h>

#define LOCK_INDEXES "SELECT pg_try_advisory_lock(7236274116)"

bool pg_is_index_run(const struct store_tx *tx)
{
	return tx->result.op_count == 1 && tx->result.ops[0].kind == STORE_OP_INDEXES;
}

void pg_index_start(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	const struct store_table *t = run->tx->result.ops[0].table;
	char table[66];
	if (!pg_check_table(c, t)) {
		pg_run_next(c);
		return;
	}
	run->step = PG_STEP_INDEX_LOOK;
	c->recycle_ms = 0;
	loop_timer_stop(c->timer);
	const struct store_value name = store_text(pg_quote(table, t->name));
	pg_send(c, "SET statement_timeout = 0", PG_ANSWER_NONE);
	pg_send(c, LOCK_INDEXES, PG_ANSWER_FIRST);
	/* Each index over plain columns of all rows: its name with !, when it is not usable, and
	 * its columns. */
	if (!pg_execute(c,
		    "SELECT r.relname || CASE WHEN x.indisvalid THEN '' ELSE '!' END || ' ' ||"
		    " array_to_string(ARRAY(SELECT a.attname FROM unnest(x.indkey::int2[])"
		    " WITH ORDINALITY k(n, place) JOIN pg_attribute a ON a.attrelid = x.indrelid"
		    " AND a.attnum = k.n WHERE place <= x.indnkeyatts ORDER BY place), ' ')"
		    " FROM pg_index x JOIN pg_class r ON r.oid = x.indexrelid"
		    " WHERE x.indrelid = to_regclass($1) AND x.indpred IS NULL"
		    " AND x.indexprs IS NULL",
		    &name, 1, (struct pg_answer) { .kind = PG_ANSWER_SECOND }))
		c->broken = true;
	pg_send_sync(c);
}

void pg_index_answer(struct pg_conn *c, bool list, const PGresult *res)
{
	struct pg_run *run = &c->run;
	if (!list) {
		if (PQntuples(res) != 1 || PQgetvalue(res, 0, 0)[0] != 't')
			pg_run_fail(c, STORE_UNAVAILABLE, "another process is making indexes");
		return;
	}
	CLEANUP(buf_finish) struct buf all = BUF_INIT;
	for (int row = 0; row < PQntuples(res); row++)
		buf_addf(&all, "%s\n", PQgetvalue(res, row, 0));
	run->indexes = arena_strdup(run->scratch, buf_str(&all));
	if (!run->indexes || buf_failed(&all))
		pg_run_fail(c, STORE_FAILED, "out of memory for a table's indexes");
}

/* One of the table's lines: "name columns" or "name! columns". */
static bool line_is(const char *line, size_t len, const char *name, bool sound, const char *columns)
{
	size_t end = strcspn(line, " \n");
	bool is_sound = end > 0 && line[end - 1] != '!';
	size_t name_len = is_sound ? end : end - 1;
	if (is_sound != sound ||
		(name && (strlen(name) != name_len || memcmp(line, name, name_len) != 0)))
		return false;
	return !columns || (len == end + 1 + strlen(columns) &&
				   memcmp(line + end + 1, columns, strlen(columns)) == 0);
}

static bool any_line(const char *lines, const char *name, bool sound, const char *columns)
{
	for (size_t len; *lines; lines += len + 1) {
		len = strcspn(lines, "\n");
		if (line_is(lines, len, name, sound, columns))
			return true;
	}
	return false;
}

/* One that is half built (somebody was killed meanwhile) is no index: it is dropped first. */
static bool make(struct pg_conn *c, struct store_op *op, const struct store_index *index)
{
	struct pg_run *run = &c->run;
	const struct store_table *t = op->table;
	char name[TABLE_NAME_SIZE];
	CLEANUP(buf_finish) struct buf columns = BUF_INIT, sql = BUF_INIT;
	for (size_t i = 0; i < index->column_count; i++)
		buf_addf(&columns, "%s%s", i ? " " : "", index->columns[i]);
	table_index_name(name, t->name, index->columns, index->column_count);
	if (any_line(run->indexes, NULL, true, buf_str(&columns)))
		return false;
	if (!run->dropped && any_line(run->indexes, name, false, NULL)) {
		run->dropped = true;
		buf_addf(&sql, "DROP INDEX CONCURRENTLY IF EXISTS \"%s\"", name);
	} else {
		run->dropped = false;
		run->next_index++;
		op->changes++;
		buf_addf(&sql, "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"%s\" ON \"%s\" ", name,
			t->name);
		table_add_names(&sql, index->columns, index->column_count);
	}
	if (buf_failed(&sql) || buf_failed(&columns) || !pg_send(c, buf_str(&sql), PG_ANSWER_NONE))
		c->broken = true;
	return true;
}

void pg_index_next(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	struct store_op *op = &run->tx->result.ops[0];
	run->step = PG_STEP_INDEX_MAKE;
	for (; run->next_index < op->table->index_count; run->next_index++) {
		/* Each ends with a sync of its own: it must be alone. */
		if (make(c, op, &op->table->indexes[run->next_index])) {
			pg_send_sync(c);
			return;
		}
	}
	pg_engine_done(c, STORE_OK, "");
}
