/* SPDX-License-Identifier: MIT */
/* One transaction on a connection: BEGIN, its mark, its statements, COMMIT; or another try. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/pg_engine.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MARKS_KEPT_MS (INT64_C(30) * 86400 * 1000)
/* Of all that change tables: CREATE ... IF NOT EXISTS is no protection against another that does.
 */
#define LOCK_DDL      "SELECT pg_advisory_xact_lock(7236274115)"
#define MARK                                                                  \
	"INSERT INTO drover_commit (session, serial, at) VALUES ($1, $2, $3)" \
	" ON CONFLICT (session) DO UPDATE SET serial = excluded.serial, at = excluded.at"
/* Where our row is: without the try to insert it. */
#define MARK_AGAIN  "UPDATE drover_commit SET serial = $2, at = $3 WHERE session = $1"
#define SCRATCH_MAX ((size_t)512 << 20)
enum { PAUSE_MS = 20, WATCHDOG_MS = 5000 };

static bool writes(const struct pg_run *run)
{
	return !(run->tx->flags & STORE_READ_ONLY);
}

void pg_run_clear(struct pg_run *run)
{
	free(run->columns.items);
	free(run->types.items);
	free(run->key.items);
	arena_free(run->scratch);
	*run = (struct pg_run) { 0 };
}

void pg_run_fail(struct pg_conn *c, enum store_status status, const char *fmt, ...)
{
	struct pg_run *run = &c->run;
	if (run->decided)
		return;
	run->decided = true;
	run->status = status;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(run->error, sizeof(run->error), fmt, ap);
	va_end(ap);
}

/* ---- the beginning ---- */

static bool changes_tables(const struct store_tx *tx)
{
	static const char *const words[] = { "CREATE", "ALTER", "DROP" };
	for (size_t i = 0; i < tx->result.op_count; i++)
		for (size_t w = 0; w < ARRAY_SIZE(words); w++)
			if (tx->result.ops[i].kind == STORE_OP_SQL &&
				strncasecmp(tx->result.ops[i].sql, words[w], strlen(words[w])) == 0)
				return true;
	return false;
}

static void send_kept(struct pg_conn *c, const char *sql, enum pg_answer_kind kind)
{
	if (!pg_execute(c, sql, NULL, 0, (struct pg_answer) { .kind = kind }))
		c->broken = true;
}

/* A reader sees one state of the database, as on SQLite; a writer sees at each statement what has
 * been committed, unless it asked for one state. */
static void begin(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	const struct store_value mark[] = { STORE_VALUE_INT(c->session),
		STORE_VALUE_INT(++c->serial), STORE_VALUE_INT(clock_real_ms()) };
	run->begun = true;
	send_kept(c,
		!writes(run) ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
		: run->tx->flags & STORE_ONE_STATE ? "BEGIN ISOLATION LEVEL REPEATABLE READ"
						   : "BEGIN ISOLATION LEVEL READ COMMITTED",
		PG_ANSWER_NONE);
	if (writes(run)) {
		if (changes_tables(run->tx))
			pg_send(c, LOCK_DDL, PG_ANSWER_NONE);
		if (!pg_execute(c, c->marked ? MARK_AGAIN : MARK, mark, ARRAY_SIZE(mark),
			    (struct pg_answer) { .kind = PG_ANSWER_MARK }))
			c->broken = true;
	}
	pg_continue_body(c);
}

static void look_or_begin(struct pg_conn *c)
{
	if (pg_is_index_run(c->run.tx)) {
		pg_index_start(c);
		return;
	}
	if (!writes(&c->run) || c->engine->commits_known) {
		begin(c);
		return;
	}
	c->run.step = PG_STEP_LOOK;
	pg_send(c, "SELECT to_regclass('drover_commit') IS NOT NULL", PG_ANSWER_FIRST);
	pg_send_sync(c);
}

static void start_try(struct pg_conn *c, bool ping)
{
	struct pg_run *run = &c->run;
	struct store_tx *tx = run->tx;
	pg_run_clear(run);
	run->tx = tx;
	run->scratch = arena_new(SCRATCH_MAX);
	if (!run->scratch || tx->out_of_memory) {
		/* Some of its statements are missing: none may happen. */
		pg_engine_done(c, STORE_FAILED, "out of memory for the transaction");
		return;
	}
	for (size_t i = 0; i < tx->result.op_count; i++)
		tx->result.ops[i].changes = 0, tx->result.ops[i].rows_len = 0;
	c->state = PG_WORKING;
	loop_timer_start(c->timer, c->engine->pool.statement_ms + WATCHDOG_MS);
	pg_statements_bound(c);
	if (!ping) {
		look_or_begin(c);
		return;
	}
	run->step = PG_STEP_PING;
	pg_send(c, "SELECT 1 AS ping", PG_ANSWER_PING);
	pg_send_sync(c);
}

void pg_run_start(struct pg_conn *c, struct store_tx *tx, bool ping)
{
	assert(c->state == PG_IDLE && !c->run.tx);
	c->run.tx = tx;
	start_try(c, ping);
}

void pg_run_restart(struct pg_conn *c)
{
	start_try(c, false);
}

/* ---- the statements ---- */

static void judge(struct pg_conn *c, const struct store_op *op)
{
	int64_t rows = MAX(op->changes, (int64_t)op->rows_len);
	if (rows < op->expect)
		pg_run_fail(c, STORE_CONFLICT, "statement %zu touched %lld rows, expected %lld",
			(size_t)(op - c->run.tx->result.ops), (long long)rows,
			(long long)op->expect);
}

/* Sends one op. false: the step ends with it, its answers are needed first. */
static bool send_op(struct pg_conn *c, struct store_op *op)
{
	struct pg_run *run = &c->run;
	if (op->kind == STORE_OP_SQL) {
		if (!pg_execute(c, op->sql, op->values, op->count,
			    (struct pg_answer) { .kind = PG_ANSWER_OP, .op = op, .last = true }))
			c->broken = true;
	} else if (!writes(run)) {
		pg_run_fail(c, STORE_FAILED, "a read-only transaction writes a table");
	} else if (!pg_check_table(c, op->table)) {
		return true;
	} else if (op->kind == STORE_OP_TABLE) {
		run->step = PG_STEP_TABLE;
		if (pg_table_ask(c, op))
			return false;
		judge(c, op);
	} else if (op->kind == STORE_OP_INDEXES) {
		pg_run_fail(c, STORE_FAILED, "indexes are made in a transaction of their own");
	} else if (op->row_count == 0) {
		judge(c, op);
	} else if (op->row_count >= PG_BULK_ROWS && !c->engine->no_temporary) {
		run->step = PG_STEP_LOAD;
		pg_copy_prepare(c, op);
		return run->decided;
	} else {
		pg_upsert(c, op);
	}
	return true;
}

void pg_continue_body(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	struct store_result *r = &run->tx->result;
	while (run->next_op < r->op_count && !run->decided && !c->broken) {
		if (!send_op(c, &r->ops[run->next_op])) {
			pg_send_sync(c);
			return;
		}
		run->next_op++;
	}
	run->step = PG_STEP_BODY;
	if (!run->decided && !writes(run))
		send_kept(c, "COMMIT", PG_ANSWER_COMMIT);
	pg_send_sync(c);
}

static void take_rows(struct pg_conn *c, struct store_op *op, const PGresult *res)
{
	struct store_tx *tx = c->run.tx;
	int rows = PQntuples(res), columns = PQnfields(res);
	if (PQresultMemorySize(res) > STORE_RESULT_MAX) {
		pg_run_fail(c, STORE_FAILED, "the answer is larger than %d MiB",
			STORE_RESULT_MAX >> 20);
		return;
	}
	op->columns = (size_t)columns;
	for (int row = 0; row < rows; row++) {
		struct store_value *values = store_op_add_row(tx, op);
		bool ok = values != NULL;
		for (int i = 0; ok && i < columns; i++)
			ok = pg_decode(tx, res, row, i, &values[i]);
		if (!ok) {
			pg_run_fail(c, STORE_FAILED, "out of memory for the answer");
			return;
		}
	}
}

static void op_answer(struct pg_conn *c, const struct pg_answer *answer, PGresult *res)
{
	int64_t changes;
	/* A SELECT changes nothing. */
	if (!str_starts(PQcmdStatus(res), "SELECT") &&
		str_to_i64(PQcmdTuples(res), 0, INT64_MAX, &changes) == 0)
		answer->op->changes += changes;
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		take_rows(c, answer->op, res);
	if (answer->last)
		judge(c, answer->op);
}

static bool says_true(const PGresult *res)
{
	return PQntuples(res) == 1 && PQgetvalue(res, 0, 0)[0] == 't';
}

void pg_run_answer(struct pg_conn *c, const struct pg_answer *answer, const PGresult *res)
{
	struct pg_run *run = &c->run;
	PGresult *full = (PGresult *)res; /* PQcmdStatus takes no const */
	switch (answer->kind) {
	case PG_ANSWER_OP: op_answer(c, answer, full); return;
	case PG_ANSWER_FIRST:
	case PG_ANSWER_SECOND:
		if (c->state == PG_SETTLING)
			c->settled = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
		else if (run->step == PG_STEP_INDEX_LOOK)
			pg_index_answer(c, answer->kind == PG_ANSWER_SECOND, res);
		else if (run->step == PG_STEP_TABLE)
			pg_table_answer(c, answer->kind == PG_ANSWER_SECOND, res);
		else
			c->engine->commits_known = says_true(res);
		return;
	case PG_ANSWER_COMMIT:
		/* COMMIT of a transaction that has failed answers ROLLBACK. */
		if (str_eq(PQcmdStatus(full), "COMMIT")) {
			run->committed = true;
			c->marked = c->marked || writes(run);
		} else {
			pg_run_fail(c, STORE_UNAVAILABLE, "the transaction was rolled back");
		}
		return;
	case PG_ANSWER_MARK:
		/* Pruned, or of a database that was put back. */
		if (str_eq(PQcmdTuples(full), "0")) {
			pg_run_fail(c, STORE_UNAVAILABLE, "our row of drover_commit is gone");
			c->marked = false;
			run->mark_gone = true;
		}
		return;
	case PG_ANSWER_NONE:
	case PG_ANSWER_PARSE:
	case PG_ANSWER_PING:
	case PG_ANSWER_SYNC: return;
	}
}

/* ---- errors ---- */

enum store_status pg_status(const char *sqlstate)
{
	/* Not enough of something, an operator's doing, the system's: another time. 25P03, 25P04:
	 * we stood still, and the server ended what was open. */
	static const char *const later[] = { "08", "25006", "25P03", "25P04", "40", "53", "55",
		"57", "58", "XX", "F0" };
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (str_starts(sqlstate, later[i]))
			return STORE_UNAVAILABLE;
	return *sqlstate ? STORE_FAILED : STORE_UNAVAILABLE;
}

void pg_run_error(struct pg_conn *c, const struct pg_answer *answer, const PGresult *res)
{
	struct pg_run *run = &c->run;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *words = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	if (answer->statement)
		pg_statement_failed(c, answer->statement);
	if (run->decided)
		return;
	str_copy(run->sqlstate, sizeof(run->sqlstate), state ? state : "");
	run->mark_failed = answer->kind == PG_ANSWER_MARK;
	enum store_status status = pg_status(run->sqlstate);
	if (status == STORE_UNAVAILABLE && str_starts(run->sqlstate, "25006") && !writes(run))
		status = STORE_FAILED;
	/* Not of the caller's making. */
	if (run->step == PG_STEP_LOOK || run->step == PG_STEP_MAKE || run->mark_failed)
		status = STORE_UNAVAILABLE;
	pg_run_fail(c, status, "%s%s%s%s%s (%s)",
		answer->op && answer->op->sql ? answer->op->sql : "PostgreSQL", ": ",
		words ? words : PQresultErrorMessage(res), detail ? ": " : "", detail ? detail : "",
		run->sqlstate);
}

static bool is_one_of(const char *state, const char *const *states, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(state, states[i]))
			return true;
	return false;
}

/* What another try may do better: others were in the way, or what we knew is no longer so. */
static bool worth_another(struct pg_conn *c)
{
	static const char *const others[] = { "40001", "40P01" };
	static const char *const statements[] = { "26000", "42P05" };
	static const char *const tables[] = { "42P01", "42703", "42P10" };
	struct pg_run *run = &c->run;
	struct store_engine *e = c->engine;
	const char *state = run->sqlstate;
	if (run->tx->tries >= PG_TRIES)
		return false;
	if (is_one_of(state, others, ARRAY_SIZE(others)) && !MUTANT(DEADLOCK_NOT_TRIED_AGAIN))
		return true;
	if (is_one_of(state, statements, ARRAY_SIZE(statements)) ||
		(str_eq(state, "0A000") && strstr(run->error, "cached plan")))
		return c->forget_statements = true;
	if (run->mark_gone)
		return true;
	if (run->mark_failed && str_eq(state, "42P01"))
		return e->commits_known = false, true;
	if (run->skipped_table && is_one_of(state, tables, ARRAY_SIZE(tables)))
		return e->table_count = 0, true;
	if (run->step == PG_STEP_LOAD && str_eq(state, "42501"))
		return e->no_temporary = true;
	/* Two that looked before either wrote: the second try sees what the first did. */
	if ((str_eq(state, "23505") || str_eq(state, "23P01")) && run->tx->tries == 0)
		return true;
	return str_eq(state, "XX000") && strstr(run->error, "concurrently");
}

static void conclude(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	struct store_engine *e = c->engine;
	/* Judged before ROLLBACK became the step. */
	if (run->status == STORE_CONFLICT || !run->retry) {
		pg_engine_done(c, run->status, run->error);
		return;
	}
	run->tx->tries++;
	if (e->closing) {
		pg_run_restart(c);
		return;
	}
	c->state = PG_PAUSING;
	loop_timer_start(c->timer, pg_random(e, PAUSE_MS << MIN(run->tx->tries, 5U)));
}

static void roll_back(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	if (run->step != PG_STEP_ROLLBACK) {
		run->retry = run->status != STORE_CONFLICT && worth_another(c);
		run->step = PG_STEP_ROLLBACK;
		if (PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
			pg_send(c, "ROLLBACK", PG_ANSWER_NONE);
			pg_send_sync(c);
			return;
		}
	} else if (PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
		c->broken = true;
		return;
	}
	conclude(c);
}

/* ---- the steps ---- */

static void make_commits(struct pg_conn *c)
{
	struct store_engine *e = c->engine;
	c->run.step = PG_STEP_MAKE;
	if (!e->commits_known) {
		pg_send(c, LOCK_DDL, PG_ANSWER_NONE);
		pg_send(c,
			"CREATE TABLE IF NOT EXISTS drover_commit (session BIGINT NOT NULL PRIMARY "
			"KEY, serial BIGINT NOT NULL, at BIGINT NOT NULL) WITH (fillfactor = 50)",
			PG_ANSWER_NONE);
	} else {
		/* Of processes long gone. */
		const struct store_value v = STORE_VALUE_INT(clock_real_ms() - MARKS_KEPT_MS);
		if (!pg_execute(c,
			    "DELETE FROM drover_commit WHERE session IN"
			    " (SELECT session FROM drover_commit WHERE at < $1 LIMIT 1000)",
			    &v, 1, (struct pg_answer) { .kind = PG_ANSWER_NONE }))
			c->broken = true;
	}
	pg_send_sync(c);
}

void pg_run_next(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	if (run->decided) {
		roll_back(c);
		return;
	}
	switch (run->step) {
	case PG_STEP_PING: look_or_begin(c); return;
	case PG_STEP_LOOK:
		if (!c->engine->commits_known || c->engine->create)
			make_commits(c);
		else
			begin(c);
		return;
	case PG_STEP_MAKE:
		c->engine->commits_known = true;
		begin(c);
		return;
	case PG_STEP_TABLE: pg_table_change(c, &run->tx->result.ops[run->next_op]); return;
	case PG_STEP_INDEX_LOOK:
	case PG_STEP_INDEX_MAKE: pg_index_next(c); return;
	case PG_STEP_LOAD: pg_copy_start(c); return;
	case PG_STEP_BODY:
		if (!writes(run)) {
			pg_engine_done(c, STORE_OK, "");
			return;
		}
		run->step = PG_STEP_COMMIT;
		run->commit_sent = true;
		send_kept(c, "COMMIT", PG_ANSWER_COMMIT);
		pg_send_sync(c);
		return;
	case PG_STEP_COMMIT: pg_engine_done(c, STORE_OK, ""); return;
	case PG_STEP_COPY:
	case PG_STEP_ROLLBACK: assert(!"no such end of a step");
	}
}

/* ---- when the connection is lost ---- */

void pg_run_lost(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	if (run->committed)
		pg_engine_done(c, STORE_OK, "");
	else if (run->commit_sent && !MUTANT(COMMIT_GUESSED))
		return; /* stays here until it is settled */
	else if (run->decided && run->status != STORE_UNAVAILABLE && !run->retry)
		pg_engine_done(c, run->status, run->error);
	else if (run->tx->losses++ == 0 && !c->engine->closing)
		pg_engine_again(c);
	else
		pg_engine_done(c, STORE_UNAVAILABLE, c->error);
}

/* Our row is free: whoever had it, the old backend, has ended. */
void pg_run_settled(struct pg_conn *c)
{
	struct pg_run *run = &c->run;
	if (run->decided && str_eq(run->sqlstate, "42P01")) {
		/* Without our table there is nothing of ours at all. */
		c->engine->commits_known = false;
		pg_engine_done(c, STORE_UNAVAILABLE, "drover's tables were dropped");
	} else if (run->decided) {
		snprintf(c->error, sizeof(c->error), "%s", run->error);
		run->decided = false;
		c->broken = true;
	} else if (c->settled == c->serial) {
		pg_engine_done(c, STORE_OK, "");
	} else if (run->tx->tries++ < PG_TRIES) {
		pg_run_restart(c);
	} else {
		pg_engine_done(c, STORE_UNAVAILABLE, "the connection was lost at COMMIT");
	}
}
