/* SPDX-License-Identifier: MIT */
/*
 * Rows of drover_job that are written behind. Where many jobs fall due in no order, the page with
 * the next due time of each would be most of what a due time costs. The row of drover_due, which
 * lets nobody decide it twice, also tells how far the job has come; drover_job follows within a
 * lap, in the order of the rows, many to a page. What a lap has not written is found in drover_due
 * when the jobs are read (ticker_jobs.c).
 */
#include "base/clock.h"
#include "base/mem.h"
#include "queue/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker_inside.h"
#include "store/store.h"
#include <stdlib.h>

void ticker_set_behind(struct timed_job *j, bool behind)
{
	if (j->behind == behind)
		return;
	j->behind = behind;
	j->ticker->behind_count += behind ? 1 : (size_t)-1;
}

/* Which of them were written is not known: all are written again, which moves nothing back. */
static void on_written(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	t->catching_up_rows = false;
	if (!ticker_store_failed(t, r))
		return;
	for (size_t i = 0; i < t->count; i++)
		if (t->jobs[i]->known && t->jobs[i]->next_due && !t->jobs[i]->busy)
			ticker_set_behind(t->jobs[i], true);
}

static size_t take_some(struct ticker *t, struct due_move *moves, size_t visits)
{
	size_t count = 0;
	for (size_t i = 0; i < visits && i < t->count; i++) {
		if (t->lap_at >= t->count)
			t->lap_at = 0;
		struct timed_job *j = t->jobs[t->lap_at++];
		/* One that is busy is written by its transaction, or comes up in the next lap. */
		if (!j->behind || j->busy)
			continue;
		moves[count++] = (struct due_move) { .job = j->name, .next_due_at = j->next_due };
		ticker_set_behind(j, false);
	}
	return count;
}

void ticker_write_behind(struct ticker *t)
{
	if (!t->behind_count || t->catching_up_rows || clock_mono_ms() < t->lap_mono)
		return;
	t->lap_mono = clock_mono_ms() + LAP_MS / LAP_STEPS;
	size_t visits = t->count / LAP_STEPS + 1;
	CLEANUP(freep) struct due_move *moves = calloc(visits, sizeof(*moves));
	struct store_tx *tx = moves ? store_tx_new(t->scheduler->store, 0) : NULL;
	size_t count = tx ? take_some(t, moves, visits) : 0;
	if (!count) {
		store_tx_free(tx);
		return;
	}
	queue_tx_move(tx, moves, count, clock_real_ms());
	t->catching_up_rows = true;
	store_submit(t->scheduler->store, tx, on_written, t);
}
