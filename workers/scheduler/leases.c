/* SPDX-License-Identifier: MIT */
#include "scheduler/leases.h"

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "queue/queue_exec.h"
#include "scheduler/scheduler.h"
#include "store/store.h"
#include "worker/worker.h"
#include <stdlib.h>

enum {
	LOOK_MS = 5000,
	LEASE_MS = 30000,
	STEP_MS = 1000, /* slewing moves the clock by 2.5 ms between two looks */
};

struct leases {
	struct scheduler *scheduler;
	struct loop_timer *timer;
	int64_t ahead_ms;	    /* the wall clock, of the monotonic one, when we looked last */
	int64_t not_before_mono_ms; /* a lease after a step */
};

/* Not left to clock_steps.c: this look may come before the kernel's word. */
static void mind_steps(struct leases *l)
{
	int64_t mono_ms = clock_mono_ms(), ahead_ms = clock_real_ms() - mono_ms;
	if (llabs(ahead_ms - l->ahead_ms) > STEP_MS)
		l->not_before_mono_ms = mono_ms + LEASE_MS;
	l->ahead_ms = ahead_ms;
}

static void on_freed(void *arg, enum queue_status status)
{
	struct leases *l = arg;
	scheduler_store_said(l->scheduler,
		status == QUEUE_OK	 ? STORE_OK
		: status == QUEUE_FAILED ? STORE_FAILED
					 : STORE_UNAVAILABLE,
		queue_error());
}

void leases_look(struct leases *l)
{
	const struct scheduler *s = l->scheduler;
	const char *node = worker_node(s->worker);
	char epoch[64];
	mind_steps(l);
	if (clock_mono_ms() < l->not_before_mono_ms)
		return;
	scheduler_epoch(s, epoch, sizeof(epoch));
	queue_free_expired(s->store, node, epoch, clock_real_ms(), on_freed, l);
	queue_exec_free_elsewhere(s->store, node, clock_real_ms(), on_freed, l);
}

static void on_timer(void *arg)
{
	struct leases *l = arg;
	leases_look(l);
	loop_timer_start(l->timer, LOOK_MS);
}

struct leases *leases_new(struct scheduler *s)
{
	struct leases *l = NEW(struct leases);
	if (!l)
		return NULL;
	l->scheduler = s;
	l->ahead_ms = clock_real_ms() - clock_mono_ms();
	l->timer = loop_timer_new(s->loop, on_timer, l);
	if (!l->timer) {
		free(l);
		return NULL;
	}
	return l;
}

void leases_free(struct leases *l)
{
	if (!l)
		return;
	store_forget(l->scheduler->store, l);
	loop_timer_free(l->timer);
	free(l);
}

void leases_start(struct leases *l)
{
	loop_timer_start(l->timer, LOOK_MS);
}

void leases_stop(struct leases *l)
{
	loop_timer_stop(l->timer);
}
