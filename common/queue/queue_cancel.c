/* SPDX-License-Identifier: MIT */
/* Runs that are told to end: ready tasks leave at once, claimed ones when their holder lets go. */
#include "base/clock.h"
#include "queue/queue_sql.h"

/* Open runs: the one, or all of the job. */
#define OF_RUN	 "finished_at IS NULL AND ($1 = 0 OR id = $1) AND ($2 = '' OR job = $2)"
#define OF_TASKS "run_id IN (SELECT id FROM drover_run WHERE " OF_RUN ")"

#define WANTED                                                                              \
	" AND NOT EXISTS (SELECT 1 FROM drover_due WHERE job = $2 AND due_at = $6) AND NOT" \
	" EXISTS (SELECT 1 FROM drover_run WHERE request_id = $7) AND ($6 = 0 OR EXISTS"    \
	" (SELECT 1 FROM drover_job WHERE name = $2 AND paused = 0 AND resumed_at < $6))"

/* For a successor: only if it will be made. */
static void cancel(struct store_tx *tx, int64_t run_id, const char *job, const char *reason,
	const struct run_request *successor, int64_t now_ms)
{
	char json[ERROR_JSON], cut[ERROR_CUT + 1];
	const struct store_value params[] = { I(run_id), T(job ? job : ""), I(now_ms),
		T(queue_error_json(json, reason)), T(queue_error_cut(cut, reason)),
		I(successor ? successor->due_at : 0), T(successor ? successor->request_id : NULL) };
	size_t count = ARRAY_SIZE(params);
	/* Tasks before runs, as in every other transaction: no two of them wait for each other. The
	 * guard of whoever holds one fails from here on. Twice, because where writers work side by
	 * side a batch for which the first one waited may have made child tasks. */
	for (int i = 0; i < 2; i++)
		store_tx_sql(tx,
			"UPDATE drover_task SET state = 3, last_error = CAST($5 AS TEXT)"
			" WHERE state IN (0, 1, 4) AND " OF_TASKS WANTED,
			params, count);
	store_tx_sql(tx,
		"UPDATE drover_url SET state = 'skipped', reason = 'cancelled'"
		" WHERE state = 'queued' AND " OF_TASKS WANTED,
		params, count);
	store_tx_sql(tx,
		"UPDATE drover_run SET cancelled_at = $3," ADD_ERROR(
			"$4") "WHERE " OF_RUN " AND cancelled_at IS NULL" WANTED,
		params, count);
	queue_tx_drop_cancelled(tx, now_ms);
}

void queue_tx_cancel_run(
	struct store_tx *tx, int64_t run_id, const char *job, const char *reason, int64_t now_ms)
{
	cancel(tx, run_id, job, reason, NULL, now_ms);
}

void queue_tx_replace(struct store_tx *tx, const struct run_request *run, int64_t now_ms)
{
	cancel(tx, 0, run->job, "replaced by the next run of the job (schedule.overlap: replace)",
		run, now_ms);
}

/* Whoever held them has let go, or nobody did. */
#define GOING "state = 3 AND lease_until IS NULL"

void queue_tx_drop_cancelled(struct store_tx *tx, int64_t now_ms)
{
	SQL(tx, TO_HISTORY("'cancelled'", "last_error", "$1") "WHERE " GOING, I(now_ms));
	SQL(tx, "UPDATE drover_run SET tasks_cancelled = tasks_cancelled +"
		" (SELECT COUNT(*) FROM drover_task WHERE run_id = drover_run.id AND " GOING ")"
		" WHERE id IN (SELECT run_id FROM drover_task WHERE " GOING ")");
	SQL(tx, "DELETE FROM drover_task WHERE " GOING);
	queue_tx_end_runs(tx, now_ms);
}

void queue_let_go(struct queue *q, const struct task *task)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	SQL(tx,
		"UPDATE drover_task SET lease_until = NULL WHERE id = $1 AND fence = $2 AND state "
		"= 3",
		I(task->id), I(task->fence));
	queue_tx_drop_cancelled(tx, clock_real_ms());
	store_submit(q->store, tx, NULL, NULL);
}
