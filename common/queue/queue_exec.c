/* SPDX-License-Identifier: MIT */
/*
 * Tasks whose work goes on without who claimed them: commands, which droverd runs for the
 * scheduler. They are never freed while they may run: the next scheduler takes them over.
 */
#include "queue/queue_exec.h"

#include "base/clock.h"
#include "base/mem.h"
#include "queue/queue_sql.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Like queue_claimed() dies without memory: a task that is claimed and not handed out hangs. */
static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

enum {
	COL_ID,
	COL_RUN,
	COL_FENCE,
	COL_ATTEMPT,
	COL_MAX_ATTEMPTS,
	COL_TIMEOUT,
	COL_PRIORITY,
	COL_JOB,
	COL_OWNER,
};

static struct task *read_task(const struct store_result *r, size_t s, size_t row)
{
	const char *job = store_result_text(r, s, row, COL_JOB);
	size_t size = strlen(job ? job : "") + 1;
	struct task *t = need(calloc(1, sizeof(*t) + size));
	t->id = store_result_int(r, s, row, COL_ID);
	t->run_id = store_result_int(r, s, row, COL_RUN);
	t->fence = store_result_int(r, s, row, COL_FENCE);
	t->attempt = store_result_int(r, s, row, COL_ATTEMPT);
	t->max_attempts = store_result_int(r, s, row, COL_MAX_ATTEMPTS);
	t->timeout_ms = store_result_int(r, s, row, COL_TIMEOUT);
	t->priority = store_result_int(r, s, row, COL_PRIORITY);
	t->job = memcpy(t + 1, job ? job : "", size);
	t->kind = QUEUE_EXEC;
	t->payload = t->checkpoint = "";
	t->claimed_mono_ms = clock_mono_ms();
	return t;
}

struct take_call {
	struct queue *queue;
	queue_taken cb;
	size_t statement;
	char epoch[512]; /* "node/epoch/" of ours */
};

static void on_taken(void *arg, const struct store_result *r)
{
	const struct take_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	size_t count = status == QUEUE_OK ? store_result_rows(r, call->statement) : 0;
	struct taken_task *tasks = need(calloc(count + 1, sizeof(*tasks)));
	for (size_t i = 0; i < count; i++) {
		const char *owner = store_result_text(r, call->statement, i, COL_OWNER);
		tasks[i].task = read_task(r, call->statement, i);
		list_add_tail(&call->queue->held, &tasks[i].task->node);
		tasks[i].same_epoch = owner &&
				      strncmp(owner, call->epoch, strlen(call->epoch)) == 0;
	}
	call->cb(arg, status, tasks, count);
	free(tasks);
}

#define OF_NODE "state = 1 AND kind = '" QUEUE_EXEC "' AND substr(owner, 1, length($1)) = $1"

void queue_exec_take_over(
	struct queue *q, const char *node, const char *epoch, queue_taken cb, void *arg)
{
	char ours[512];
	struct store *store = q->store;
	struct store_tx *tx = queue_tx_new(store, 0);
	struct take_call *call = need(store_tx_data(tx, sizeof(*call)));
	call->queue = q;
	call->cb = cb;
	snprintf(ours, sizeof(ours), "%s/", node);
	snprintf(call->epoch, sizeof(call->epoch), "%s/%s/", node, epoch);
	queue_tx_wait_for_claims(store, tx);
	call->statement = SQL(tx,
		"SELECT id, run_id, fence, attempt, max_attempts, timeout_ms, priority, job, owner"
		" FROM drover_task WHERE " OF_NODE " ORDER BY id",
		T(ours));
	/* The fence stays: the command that runs is this attempt's. */
	SQL(tx, "UPDATE drover_task SET owner = $2, lease_until = $3 WHERE " OF_NODE, T(ours),
		T(q->owner), I(clock_real_ms() + q->lease_ms));
	store_submit(store, tx, on_taken, arg);
}

struct held_call {
	queue_held cb;
};

static void on_held(void *arg, const struct store_result *r)
{
	const struct held_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	size_t count = status == QUEUE_OK ? store_result_rows(r, 0) : 0;
	struct held_task *tasks = need(calloc(count + 1, sizeof(*tasks)));
	for (size_t i = 0; i < count; i++)
		tasks[i] = (struct held_task) { store_result_int(r, 0, i, 0),
			store_result_int(r, 0, i, 1) };
	call->cb(arg, status, tasks, count);
	free(tasks);
}

void queue_exec_held(struct queue *q, queue_held cb, void *arg)
{
	struct store *store = q->store;
	struct store_tx *tx = queue_tx_new(store, STORE_READ_ONLY);
	struct held_call *call = need(store_tx_data(tx, sizeof(*call)));
	call->cb = cb;
	SQL(tx, "SELECT id, fence FROM drover_task WHERE state = 1 AND owner = $1", T(q->owner));
	store_submit(store, tx, on_held, arg);
}

#define LOST "the host that ran its command is gone: how it ended is unknown"
#define ELSEWHERE                                                                     \
	" WHERE state = 1 AND kind = '" QUEUE_EXEC "' AND lease_until < $1 AND owner" \
	" IS NOT NULL AND substr(owner, 1, length($2)) <> $2"

void queue_exec_free_elsewhere(
	struct store *store, const char *node, int64_t now_ms, queue_cb cb, void *arg)
{
	char ours[512];
	struct store_tx *tx = queue_tx_new(store, 0);
	snprintf(ours, sizeof(ours), "%s/", node);
	SQL(tx,
		"UPDATE drover_task SET state = 2, last_error = '" LOST "'" ELSEWHERE
		" AND attempt >= max_attempts",
		I(now_ms), T(ours));
	SQL(tx,
		"UPDATE drover_task SET state = 0, owner = NULL, lease_until = NULL,"
		" claimed_at = NULL, last_error = '" LOST "'" ELSEWHERE,
		I(now_ms), T(ours));
	queue_tx_bury(tx, false, LOST, now_ms);
	queue_submit(store, tx, cb, arg);
}
