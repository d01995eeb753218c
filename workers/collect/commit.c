/* SPDX-License-Identifier: MIT */
/*
 * Rows, counts, checkpoint and, at the end, the task's ending are one transaction, which the fence
 * guards: D1. One at a time: were a later batch written after an earlier one failed, the earlier
 * one would be lost.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "collect/collect.h"
#include "collect/plan.h"
#include "collect/task.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue_state.h"
#include "stats/stats.h"
#include "store/store.h"
#include "worker/worker.h"
#include <stdlib.h>
#include <string.h>

enum { STORE_WAIT_MIN_MS = 100, STORE_WAIT_MAX_MS = 5000 };

/* The partition, or a window of it, is complete with what this transaction writes. What was cut off
 * by max_pages is not. */
static void move_cursor(struct store_tx *tx, const struct collect_task *t)
{
	const struct position *at = &t->page.at;
	if (!t->partition || t->makes_tasks || t->page.stop == STOP_MAX_PAGES)
		return;
	if (t->windowed)
		queue_tx_window_done(
			tx, t->task, t->partition, at->since, MAX(at->high, at->since));
	else if (at->high != POSITION_NONE)
		queue_tx_partition_done(tx, t->task, t->partition, at->high);
}

void collect_commit_ending(struct store_tx *tx, const struct collect_task *t)
{
	if (t->note)
		queue_tx_error(tx, t->task, t->note);
	if (t->stop && (t->ending == ENDING_DONE || t->ending == ENDING_DEAD))
		queue_tx_ended_by(tx, t->task, t->stop);
	if (t->ending == ENDING_DONE)
		move_cursor(tx, t);
	switch (t->ending) {
	case ENDING_NONE: break;
	case ENDING_DONE: queue_tx_done(tx, t->task); break;
	case ENDING_RETRY: queue_tx_retry(tx, t->task, t->reason, t->delay_ms); break;
	case ENDING_DEAD: queue_tx_dead(tx, t->task, t->reason); break;
	case ENDING_PUT_BACK: queue_tx_put_back(tx, t->task, t->delay_ms); break;
	}
}

static void add_batch(struct store_tx *tx, const struct collect_task *t, const struct batch *batch)
{
	if (batch->rows > 0) {
		store_tx_table(tx, &t->plan->table);
		store_tx_upsert(tx, &t->plan->table, batch->values, batch->rows);
	}
	for (size_t i = 0; i < batch->error_count; i++)
		queue_tx_error(tx, t->task, batch->errors[i]);
	const struct queue_windows windows = { .partition = t->partition,
		.since = batch->windows,
		.count = batch->window_count,
		.fresh = batch->fresh };
	if (windows.partition && (windows.count || windows.fresh))
		queue_tx_windows(tx, t->task, &windows);
	queue_tx_children(tx, t->task, batch->children, batch->child_count);
	if (MUTANT(CURSOR_MOVES_WITH_EACH_PAGE) && t->partition)
		queue_tx_partition_done(tx, t->task, t->partition, batch->after.high);
}

static void add_checkpoint(struct buf *out, const struct position *position, bool asked)
{
	if (asked)
		buf_add_str(out, ASKED);
	position_write(out, position);
}

/* Without the mark what must not be received twice could be: dies sooner than go on without. */
void collect_commit_mark(struct store_tx *tx, const struct collect_task *t, bool asked)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	add_checkpoint(&text, &t->page.at, asked);
	if (buf_failed(&text))
		abort();
	queue_tx_mark(t->collector->queue, tx, t->task, buf_str(&text));
}

static bool is_last(const struct collect_task *t)
{
	return t->ending != ENDING_NONE && list_empty(&t->ready);
}

static void log_ending(const struct collect_task *t)
{
	static const char *const names[] = {
		[ENDING_NONE] = "",
		[ENDING_DONE] = "task_done",
		[ENDING_RETRY] = "task_retried",
		[ENDING_DEAD] = "task_dead",
		[ENDING_PUT_BACK] = "task_put_back",
	};
	bool bad = t->ending == ENDING_RETRY || t->ending == ENDING_DEAD;
	LOG_AT(bad ? LOG_WARN : LOG_INFO, MAIN, names[t->ending], KV_STR("job", t->task->job),
		KV_INT("run", t->task->run_id), KV_INT("task", t->task->id),
		KV_INT("attempt", t->task->attempt), KV_INT("wait_ms", t->delay_ms),
		KV_STR("error", bad ? t->reason : ""));
}

static void count_ending(const struct collect_task *t)
{
	struct stats_slot *stats = worker_stats(t->collector->worker);
	if (t->ending == ENDING_DONE)
		stats_add(stats, STAT_tasks_done, 1);
	else if (t->ending == ENDING_DEAD ||
		 (t->ending == ENDING_RETRY && t->task->attempt >= t->task->max_attempts))
		stats_add(stats, STAT_tasks_dead, 1);
	else if (t->ending == ENDING_RETRY)
		stats_add(stats, STAT_tasks_retried, 1);
}

static void written(struct collect_task *t)
{
	struct stats_slot *stats = worker_stats(t->collector->worker);
	t->store_tries = 0;
	if (t->writing) {
		stats_add(stats, STAT_rows, t->writing->rows);
		stats_add(stats, STAT_rejected, (uint64_t)t->writing->rejected);
		/* The checkpoint moved: tries without progress are counted from here. */
		t->task->attempt = 1;
		t->marked = t->marked && !t->writing->closes;
	}
	batch_free(t->writing);
	t->writing = NULL;
	worker_ticket_touch(t->ticket);
	if (t->ends_there) {
		count_ending(t);
		log_ending(t);
		collect_task_free(t);
		return;
	}
	if (t->unmarks_there)
		t->marked = t->unmarking = t->unmarks_there = false;
	if (t->marks_there)
		collect_task_marked(t);
	collect_commit(t);
	collect_task_go_on(t);
}

static void on_store_wait(struct collect_task *t)
{
	int64_t wait = STORE_WAIT_MIN_MS << MIN(t->store_tries, (int64_t)6);
	t->store_tries++;
	worker_ticket_touch(t->ticket); /* it is not the task that stands still */
	loop_timer_start(t->store_wait, MIN(wait, (int64_t)STORE_WAIT_MAX_MS));
}

static void drop_batches(struct collect_task *t)
{
	batch_free(t->writing);
	t->writing = NULL;
	LIST_FOR_EACH_SAFE (node, &t->ready)
		batch_free(LIST_ENTRY(node, struct batch, node));
}

static void on_written(void *arg, const struct store_result *result)
{
	struct collect_task *t = arg;
	t->in_store = false;
	switch (store_result_status(result)) {
	case STORE_OK: written(t); return;
	case STORE_UNAVAILABLE: on_store_wait(t); return;
	case STORE_CONFLICT:
		/* Its lease ended, somebody else has it: nothing of ours was written. */
		log_info(MAIN, "task_lost", KV_STR("job", t->task->job),
			KV_INT("task", t->task->id));
		queue_let_go(t->collector->queue, t->task);
		collect_task_free(t);
		return;
	case STORE_FAILED: break;
	}
	log_error(MAIN, "store_refused", KV_STR("job", t->task->job), KV_INT("task", t->task->id),
		KV_STR("error", store_result_error(result)));
	if (!t->writing) {
		queue_give_up(t->collector->queue, t->task, "the store refused how it ended");
		collect_task_free(t);
		return;
	}
	drop_batches(t);
	collect_task_end(t, ENDING_DEAD, 0, "store: %s", store_result_error(result));
}

void collect_commit(struct collect_task *t)
{
	CLEANUP(buf_finish) struct buf checkpoint = BUF_INIT;
	if (t->in_store || loop_timer_armed(t->store_wait))
		return;
	if (!t->writing) {
		t->writing = LIST_FIRST(&t->ready, struct batch, node);
		if (t->writing)
			list_remove(&t->writing->node);
		else if (t->ending == ENDING_NONE && !t->marking && !(t->unmarking && t->marked))
			return;
	}
	struct store_tx *tx = store_tx_new(t->collector->store, 0);
	if (!tx) {
		on_store_wait(t);
		return;
	}
	struct run_counts counts = { 0 };
	if (t->writing)
		counts = (struct run_counts) { t->writing->requests, (int64_t)t->writing->rows,
			t->writing->rejected, t->writing->bytes };
	t->ends_there = is_last(t);
	t->marks_there = t->marking && !t->writing && !t->ends_there;
	t->unmarks_there = t->unmarking && t->marked && !t->writing && !t->ends_there;
	if (t->ends_there) {
		counts.requests += t->requests;
		counts.bytes += t->bytes;
	}
	if (t->writing)
		add_checkpoint(&checkpoint, &t->writing->after,
			t->marked && !t->writing->closes && !t->ends_there);
	if (buf_failed(&checkpoint)) {
		store_tx_free(tx);
		on_store_wait(t);
		return;
	}
	queue_tx_guard(t->collector->queue, tx, t->task, t->writing ? buf_str(&checkpoint) : NULL);
	/* An operator who has a dead one tried again knows what is done. */
	if (t->marks_there || t->unmarks_there || (t->ends_there && t->marked && !t->writing))
		collect_commit_mark(tx, t, t->marks_there);
	if (t->writing)
		add_batch(tx, t, t->writing);
	queue_tx_count(tx, t->task, &counts);
	if (t->ends_there)
		collect_commit_ending(tx, t);
	if (t->ends_there && t->ending == ENDING_DONE)
		collector_claim_with(t->collector, tx);
	t->in_store = true;
	store_submit(t->collector->store, tx, on_written, t);
}
