/* SPDX-License-Identifier: MIT */
#include "scheduler/keeper.h"

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "scheduler/scheduler.h"
#include "store/store.h"
#include "worker/worker.h"

enum { ROUND_MS = 600000, STEP_PAUSE_MS = 50 };

struct keeper {
	struct scheduler *scheduler;
	struct loop_timer *timer;
	struct queue_prune walk;
	int64_t history_ms;
	bool started, walking, in_step;
	bool anew; /* with a shorter time than the walk that is under way */
};

static void on_step(void *arg, enum queue_status status);

static void step(void *arg)
{
	struct keeper *k = arg;
	if (!k->started || k->in_step)
		return;
	if (!k->walking)
		k->walk = (struct queue_prune) { .before_ms = clock_real_ms() - k->history_ms };
	k->walking = true;
	k->in_step = true;
	queue_prune(k->scheduler->store, &k->walk, on_step, k);
}

static void on_step(void *arg, enum queue_status status)
{
	struct keeper *k = arg;
	k->in_step = false;
	k->walking = status == QUEUE_OK && k->walk.more && !k->anew;
	if (!k->started)
		return;
	/* A store that is away is told by those who need it; the next round goes over it all. */
	loop_timer_start(k->timer, k->walking || k->anew ? STEP_PAUSE_MS : ROUND_MS);
	k->anew = false;
	if (!k->walking && k->walk.runs + k->walk.rows > 0)
		log_info(MAIN, "history_pruned", KV_INT("count", k->walk.runs),
			KV_INT("rows", k->walk.rows));
}

struct keeper *keeper_new(struct scheduler *s)
{
	struct keeper *k = NEW(struct keeper);
	if (!k)
		return NULL;
	k->scheduler = s;
	k->timer = loop_timer_new(s->loop, step, k);
	if (!k->timer) {
		free(k);
		return NULL;
	}
	return k;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	store_forget(k->scheduler->store, k);
	loop_timer_free(k->timer);
	free(k);
}

void keeper_configure(struct keeper *k, int64_t history_ms)
{
	bool shorter = history_ms < k->history_ms;
	k->history_ms = history_ms;
	k->anew = shorter && k->in_step;
	if (!shorter || !k->started || k->in_step)
		return;
	k->walking = false;
	loop_timer_start(k->timer, 0);
}

void keeper_start(struct keeper *k)
{
	k->started = true;
	loop_timer_start(k->timer, STEP_PAUSE_MS);
}

void keeper_stop(struct keeper *k)
{
	k->started = false;
	k->walking = false;
	loop_timer_stop(k->timer);
}
