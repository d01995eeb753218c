/* SPDX-License-Identifier: MIT */
#include "queue/queue_state.h"

#include "base/clock.h"
#include "base/mutant.h"
#include "queue/queue_sql.h"

void queue_tx_children(
	struct store_tx *tx, const struct task *task, const char *const *payloads, size_t count)
{
	int64_t now = clock_real_ms();
	for (size_t i = 0; i < count; i++)
		SQL(tx,
			"INSERT INTO drover_task (run_id, job, kind, priority, state, not_before,"
			" attempt, max_attempts, fence, checkpoint, payload, depth, timeout_ms,"
			" created_at) VALUES ($1, $2, $3, $4, 0, $5, 0, $6, 0, '', $7, $8, $9, $5)",
			I(task->run_id), T(task->job), T(task->kind), I(task->priority), I(now),
			I(task->max_attempts), T(payloads[i]), I(task->depth + 1),
			I(task->timeout_ms));
	if (count > 0)
		SQL(tx, "UPDATE drover_run SET tasks_total = tasks_total + $2 WHERE id = $1",
			I(task->run_id), I((int64_t)count));
}

void queue_tx_ended_by(struct store_tx *tx, const struct task *task, const char *rule)
{
	SQL(tx,
		"INSERT INTO drover_ended_by (run_id, rule, tasks) VALUES ($1, $2, 1)"
		" ON CONFLICT (run_id, rule) DO UPDATE SET tasks = drover_ended_by.tasks + 1",
		I(task->run_id), T(rule));
}

/* ---- cursors ---- */

size_t queue_tx_read_cursor(struct store_tx *tx, const char *job, const char *partition)
{
	return SQL(tx, "SELECT cursor FROM drover_cursor WHERE job = $1 AND part = $2", T(job),
		T(partition));
}

void queue_tx_windows(
	struct store_tx *tx, const struct task *task, const struct queue_windows *windows)
{
	if (windows->fresh)
		SQL(tx, "DELETE FROM drover_window WHERE job = $1 AND part = $2", T(task->job),
			T(windows->partition));
	for (size_t i = 0; i < windows->count; i++)
		SQL(tx,
			"INSERT INTO drover_window (job, part, since, run_id) VALUES ($1, $2, $3, "
			"$4)"
			" ON CONFLICT (job, part, since) DO UPDATE SET run_id = excluded.run_id",
			T(task->job), T(windows->partition), I(windows->since[i]), I(task->run_id));
}

/* Two windows that end at once are one after the other: the run's row is written before. */
static void reach(
	struct store_tx *tx, const struct task *task, const char *partition, int64_t reached)
{
	int64_t now = clock_real_ms();
	SQL(tx,
		"INSERT INTO drover_cursor (job, part, reached, updated_at, run_id)"
		" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (job, part) DO UPDATE SET reached ="
		" CASE WHEN drover_cursor.reached IS NULL OR drover_cursor.reached <"
		" excluded.reached THEN excluded.reached ELSE drover_cursor.reached END",
		T(task->job), T(partition), I(reached), I(now), I(task->run_id));
	SQL(tx,
		MUTANT(CURSOR_MOVES_BEFORE_ALL_WINDOWS)
			? "UPDATE drover_cursor SET cursor = reached, updated_at = $3, run_id = $4"
			  " WHERE job = $1 AND part = $2"
			: "UPDATE drover_cursor SET updated_at = $3, run_id = $4, cursor ="
			  " COALESCE((SELECT MIN(since) FROM drover_window WHERE job = $1"
			  " AND part = $2), reached) WHERE job = $1 AND part = $2 AND"
			  " (cursor IS NULL OR cursor < COALESCE((SELECT MIN(since) FROM"
			  " drover_window WHERE job = $1 AND part = $2), reached))",
		T(task->job), T(partition), I(now), I(task->run_id));
}

void queue_tx_window_done(struct store_tx *tx, const struct task *task, const char *partition,
	int64_t since, int64_t reached)
{
	/* A later run may have cut the partition anew: then the window is that one's. */
	SQL(tx,
		"DELETE FROM drover_window WHERE job = $1 AND part = $2 AND since = $3"
		" AND run_id = $4",
		T(task->job), T(partition), I(since), I(task->run_id));
	reach(tx, task, partition, reached);
}

void queue_tx_partition_done(
	struct store_tx *tx, const struct task *task, const char *partition, int64_t reached)
{
	SQL(tx, "DELETE FROM drover_window WHERE job = $1 AND part = $2", T(task->job),
		T(partition));
	reach(tx, task, partition, reached);
}
