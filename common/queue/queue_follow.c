/* SPDX-License-Identifier: MIT */
/*
 * Runs that wait for the job's run before, and jobs that run after other jobs. An end is never
 * passed on by whoever brings it about: it stands in the run's row until the scheduler reads it,
 * so that no crash loses it, and is taken off in the transaction that acts on it.
 */
#include "base/str.h"
#include "queue/queue_sql.h"
#include <stdlib.h>

/* ---- runs that wait ---- */

#define FREE                                                                         \
	"waiting IS NOT NULL AND finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM " \
	"drover_run o WHERE o.exclusive = drover_run.waiting AND o.finished_at IS NULL)"

size_t queue_tx_begin_waiting(struct store_tx *tx, int64_t now_ms)
{
	/* No due time of these jobs is decided meanwhile. */
	SQL(tx,
		"UPDATE drover_job SET updated_at = $1 WHERE name IN"
		" (SELECT waiting FROM drover_run WHERE " FREE ")",
		I(now_ms));
	SQL(tx, "UPDATE drover_run SET exclusive = waiting, waiting = NULL WHERE " FREE);
	return SQL(tx,
		"UPDATE drover_task SET state = 0, not_before = $1 WHERE state = 4 AND EXISTS"
		" (SELECT 1 FROM drover_run r WHERE r.id = run_id AND r.waiting IS NULL)"
		" RETURNING run_id, job, kind",
		I(now_ms));
}

/* ---- ends that are to be told ---- */

struct ended_call {
	queue_ended_cb cb;
};

enum { COL_ID, COL_FINISHED, COL_JOB, COL_STATE, COL_FOLLOWED };

static void on_ended(void *arg, const struct store_result *r)
{
	const struct ended_call *call = store_result_data(r);
	struct ended_runs ended = { 0 };
	enum queue_status status = queue_note(r);
	for (size_t row = 0; status == QUEUE_OK && row < store_result_rows(r, 0); row++) {
		const char *state = store_result_text(r, 0, row, COL_STATE);
		if (ended.count == ENDED_RUNS_MAX)
			break;
		ended.items[ended.count++] = (struct ended_run) {
			.id = store_result_int(r, 0, row, COL_ID),
			.finished_at = store_result_int(r, 0, row, COL_FINISHED),
			.job = store_result_text(r, 0, row, COL_JOB),
			.succeeded = str_eq(state, "succeeded"),
			.failed = str_eq(state, "failed"),
			.again = store_result_int(r, 0, row, COL_FOLLOWED) == 2,
		};
	}
	ended.any_waiting = status == QUEUE_OK && store_result_rows(r, 1) > 0;
	call->cb(arg, status, &ended);
}

void queue_ended_runs(struct store *store, int64_t after_id, queue_ended_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, STORE_READ_ONLY);
	struct ended_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	SQL(tx,
		/* COALESCE keeps the planner from the index of all runs that have ended. */
		"SELECT id, finished_at, job, state, followed FROM drover_run WHERE id IN (SELECT"
		" id FROM (SELECT MIN(id) AS id FROM drover_run WHERE followed > 0 AND"
		" COALESCE(finished_at, 0) > 0 GROUP BY job HAVING MIN(id) > $2 ORDER BY 1"
		" LIMIT $1) AS firsts) ORDER BY id",
		I(ENDED_RUNS_MAX), I(after_id));
	SQL(tx, "SELECT 1 FROM drover_run WHERE " FREE " LIMIT 1");
	store_submit(store, tx, on_ended, arg);
}

void queue_tx_told(struct store_tx *tx, const struct ended_run *run)
{
	SQL(tx,
		"UPDATE drover_run SET followed = 0 WHERE id = $1 AND finished_at = $2"
		" AND followed = $3",
		I(run->id), I(run->finished_at), I(run->again ? 2 : 1));
	store_tx_expect(tx, 1);
}

size_t queue_tx_follow(struct store_tx *tx, const char *job, size_t parents,
	const struct ended_run *run, int64_t now_ms)
{
	/* The due time before has its row first: there is one place for the next. */
	SQL(tx, "UPDATE drover_job SET updated_at = $2 WHERE name = $1 AND next_due_at IS NULL",
		T(job), I(now_ms));
	store_tx_expect(tx, 1);
	SQL(tx,
		"INSERT INTO drover_after (job, parent, run_id, ended_at) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (job, parent) DO UPDATE SET run_id = excluded.run_id,"
		" ended_at = excluded.ended_at",
		T(job), T(run->job), I(run->id), I(run->finished_at));
	/* The instant is the end's, or the first free one behind it: it is half of a key. */
	SQL(tx,
		"UPDATE drover_job SET next_due_at = COALESCE((SELECT MAX(due_at) + 1 FROM"
		" drover_due WHERE job = $1 AND due_at >= $2), $2) WHERE name = $1 AND"
		" (SELECT COUNT(*) FROM drover_after WHERE job = $1) >= $3",
		T(job), I(run->finished_at), I((int64_t)parents));
	SQL(tx,
		"DELETE FROM drover_after WHERE job = $1 AND EXISTS (SELECT 1 FROM drover_job"
		" WHERE name = $1 AND next_due_at IS NOT NULL)",
		T(job));
	return SQL(tx, "SELECT name, next_due_at FROM drover_job WHERE name = $1", T(job));
}

void queue_tx_unfollow(struct store_tx *tx, const char *job)
{
	SQL(tx, "DELETE FROM drover_after WHERE job = $1", T(job));
}

void queue_tx_watch_parent(struct store_tx *tx, const char *parent)
{
	SQL(tx,
		"UPDATE drover_run SET followed = 1 WHERE job = $1 AND finished_at IS NULL"
		" AND followed = 0 AND id >= (SELECT MIN(id) FROM drover_run WHERE finished_at IS"
		" NULL)",
		T(parent));
}

/* ---- pause ---- */

void queue_tx_pause(struct store_tx *tx, const char *job, bool paused, int64_t now_ms)
{
	/* Only a job that was paused has skipped what passed meanwhile. */
	if (paused)
		SQL(tx, "UPDATE drover_job SET paused = 1, updated_at = $2 WHERE name = $1", T(job),
			I(now_ms));
	else
		SQL(tx,
			"UPDATE drover_job SET resumed_at = CASE WHEN paused <> 0 THEN $2 ELSE"
			" resumed_at END, paused = 0, updated_at = $2 WHERE name = $1",
			T(job), I(now_ms));
	store_tx_expect(tx, 1);
}
