/* SPDX-License-Identifier: MIT */
/*
 * Bulk: rows go by COPY into a temporary table of the session, from there into the job's. COPY is
 * done outside of the pipeline: inside it libpq 15 answers PGRES_COPY_IN without end. The table is
 * one for all job's tables with the same types in the same order, and empty after each commit.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/pg_engine.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK = 65536, NAME_MAX_BYTES = 64 };

static void table_name(char out[NAME_MAX_BYTES], const struct store_table *t)
{
	CLEANUP(buf_finish) struct buf types = BUF_INIT;
	for (size_t i = 0; i < t->column_count; i++)
		buf_add_char(&types, "tirb"[pg_wire_of(t->columns[i].type)]);
	if (types.len <= 40)
		snprintf(out, NAME_MAX_BYTES, "drover_load_%s", buf_str(&types));
	else
		snprintf(out, NAME_MAX_BYTES, "drover_load_%zu_%016llx", types.len,
			(unsigned long long)str_hash(types.data, types.len));
}

void pg_copy_prepare(struct pg_conn *c, struct store_op *op)
{
	const struct store_table *t = op->table;
	char name[NAME_MAX_BYTES];
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	if (!pg_upsert_rows(c, op))
		return;
	table_name(name, t);
	buf_addf(&sql, "CREATE TEMPORARY TABLE IF NOT EXISTS %s (", name);
	for (size_t i = 0; i < t->column_count; i++)
		buf_addf(&sql, "%sc%zu %s", i ? ", " : "", i + 1,
			pg_wire_name(pg_wire_of(t->columns[i].type)));
	buf_add_str(&sql, ") ON COMMIT DELETE ROWS");
	if (buf_failed(&sql))
		c->broken = true;
	else
		pg_send(c, buf_str(&sql), PG_ANSWER_NONE);
	if (c->run.loads++ == 0)
		return;
	/* An earlier one of this transaction may have used it. */
	char empty[NAME_MAX_BYTES + 16];
	snprintf(empty, sizeof(empty), "DELETE FROM %s", name);
	pg_send(c, empty, PG_ANSWER_NONE);
}

void pg_copy_start(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	char name[NAME_MAX_BYTES], sql[NAME_MAX_BYTES + 40];
	table_name(name, run->tx->result.ops[run->next_op].table);
	snprintf(sql, sizeof(sql), "COPY %s FROM STDIN (FORMAT binary)", name);
	run->step = PG_STEP_COPY;
	run->copy_started = run->copy_ended = false;
	run->copy_row = 0;
	if (PQexitPipelineMode(c->pg) != 1 || PQsendQuery(c->pg, sql) != 1)
		c->broken = true;
	pg_flush(c);
}

static bool put_rows(struct pg_conn *c, const struct store_table *t)
{
	/* With a zero byte, the flags, and the length of what would follow. */
	static const char head[19] = "PGCOPY\n\377\r\n";
	struct pg_run *run = &c->run;
	size_t width = t->column_count;
	CLEANUP(buf_finish) struct buf chunk = BUF_INIT;
	if (run->copy_row == 0)
		buf_add(&chunk, head, sizeof(head));
	while (run->copy_row < run->row_count && chunk.len < CHUNK) {
		const struct store_value *row = run->rows + run->copy_row++ * width;
		const char fields[] = { (char)(width >> 8), (char)width };
		buf_add(&chunk, fields, sizeof(fields));
		for (size_t i = 0; i < width; i++) {
			char *at = buf_reserve(&chunk, pg_value_size(&row[i]));
			if (!at)
				return false;
			chunk.len += (size_t)(pg_put_value(at, &row[i]) - at);
		}
	}
	if (run->copy_row == run->row_count)
		buf_add(&chunk, "\377\377", 2);
	return !buf_failed(&chunk) && PQputCopyData(c->pg, buf_str(&chunk), (int)chunk.len) == 1;
}

/* As much as the socket takes; libpq would keep the rest in memory. */
static void put_what_goes(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	const struct store_table *t = run->tx->result.ops[run->next_op].table;
	int left;
	while ((left = PQflush(c->pg)) == 0 && !run->copy_ended && !c->broken) {
		if (run->copy_row < run->row_count) {
			c->broken = !put_rows(c, t);
			continue;
		}
		c->broken = PQputCopyEnd(c->pg, NULL) != 1;
		run->copy_ended = true;
	}
	if (left < 0)
		c->broken = true;
}

static void back_to_pipeline(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	struct store_op *op = &run->tx->result.ops[run->next_op];
	char name[NAME_MAX_BYTES], source[NAME_MAX_BYTES + 16];
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	run->step = PG_STEP_BODY;
	if (PQenterPipelineMode(c->pg) != 1) {
		c->broken = true;
		return;
	}
	if (run->decided) {
		pg_run_next(c);
		return;
	}
	table_name(name, op->table);
	snprintf(source, sizeof(source), "%s AS drover_new", name);
	pg_upsert_text(&sql, op->table, source, true);
	if (buf_failed(&sql) ||
		!pg_execute(c, buf_str(&sql), NULL, 0,
			(struct pg_answer) { .kind = PG_ANSWER_OP, .op = op, .last = true }))
		c->broken = true;
	run->next_op++;
	pg_continue_body(c);
}

void pg_copy_ready(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	const struct pg_answer none = { .kind = PG_ANSWER_NONE };
	while (!c->broken) {
		if (run->copy_started && !run->copy_ended)
			put_what_goes(c);
		if ((run->copy_started && !run->copy_ended) || c->broken || PQisBusy(c->pg))
			break;
		PGresult *res = PQgetResult(c->pg);
		if (!res) {
			back_to_pipeline(c);
			return;
		}
		ExecStatusType status = PQresultStatus(res);
		if (status == PGRES_COPY_IN)
			run->copy_started = true;
		else if (status != PGRES_COMMAND_OK)
			pg_run_error(c, &none, res);
		PQclear(res);
	}
	if (!c->broken)
		pg_flush(c);
}
