/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a job remembers from run to run: how far each of its partitions is (the incremental cursor),
 * and the windows that a partition was cut into. Tasks that a task makes. Statements for the
 * transaction of the task, behind its queue_tx_guard().
 */
#include "base/compiler.h"
#include "queue/queue.h"

/** More tasks of the task's run. Before queue_tx_done(), or the run could end in between. */
void queue_tx_children(
	struct store_tx *tx, const struct task *task, const char *const *payloads, size_t count);

/** Which of the stop rules ended the task; counted in the run. */
void queue_tx_ended_by(struct store_tx *tx, const struct task *task, const char *rule);

/* ---- cursors: numbers that grow, times in ms ---- */

/** @return the statement that returns the cursor of a partition, NULL, or no row */
size_t queue_tx_read_cursor(struct store_tx *tx, const char *job, const char *partition);
/**
 * The partition is cut into windows that begin at these points; until each of them is done, the
 * cursor stays before it. One may stand for all that is not yet cut.
 */
struct queue_windows {
	const char *partition;
	const int64_t *since;
	size_t count;
	bool fresh; /* windows of earlier runs are void */
};
void queue_tx_windows(
	struct store_tx *tx, const struct task *task, const struct queue_windows *windows);
/**
 * The window that begins at `since` is complete, and `reached` is the highest cursor in it: the
 * partition's cursor moves to the first window that is left, or, without one, to the highest that
 * was reached. It never moves back.
 */
void queue_tx_window_done(struct store_tx *tx, const struct task *task, const char *partition,
	int64_t since, int64_t reached);
/** The same for a partition that was not cut: windows of earlier runs are void. */
void queue_tx_partition_done(
	struct store_tx *tx, const struct task *task, const char *partition, int64_t reached);
