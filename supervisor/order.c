/* SPDX-License-Identifier: MIT */
#include "order.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "process.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SOON_MS = 500,	     /* a start that is due later is none that a command waits for */
	STOP_SPARE_MS = 1000 /* from KILL until a tree is gone, mostly */
};

static bool needs(const struct process *p, const struct config_service *other)
{
	for (size_t i = 0; p->service && i < p->service->need_count; i++)
		if (p->service->needs[i] == other)
			return true;
	return false;
}

static bool is_ready(const struct process *p)
{
	return p->state == PROCESS_RUNNING && p->ready && p->turn == TURN_NONE;
}

/* One that a reload took away, of the same service: it was NAME:2 and this one is NAME. */
static bool is_leaving_sibling(const struct process *q, const struct process *p)
{
	if (!q->removed || q->kind || process_is_down(q) || !p->service)
		return false;
	size_t len = strcspn(q->name, ":");
	return strlen(p->service->name) == len && strncmp(q->name, p->service->name, len) == 0;
}

static const struct process *leaving_sibling(const struct list *processes, const struct process *p)
{
	LIST_FOR_EACH (node, processes) {
		const struct process *q = LIST_ENTRY(node, struct process, node);
		if (is_leaving_sibling(q, p))
			return q;
	}
	return NULL;
}

/* The first that is not ready of those that it needs. */
static const struct process *blocker(const struct list *processes, const struct process *p)
{
	LIST_FOR_EACH (node, processes) {
		const struct process *q = LIST_ENTRY(node, struct process, node);
		if (q->service && !q->removed && needs(p, q->service) && !is_ready(q))
			return q;
	}
	return NULL;
}

bool order_may_start(const struct list *processes, const struct process *p, char *why, size_t size)
{
	const struct process *q = leaving_sibling(processes, p);
	if (q) {
		snprintf(why, size, "%s, which is no longer configured", q->name);
		return false;
	}
	q = p->service && p->service->need_count ? blocker(processes, p) : NULL;
	if (!q)
		return true;
	if (q->turn != TURN_NONE)
		snprintf(why, size, "%s, which is about to be stopped", q->name);
	else if (q->state == PROCESS_RUNNING)
		snprintf(why, size, "%s, which is not ready yet", q->name);
	else
		snprintf(why, size, "%s, which is %s", q->name, process_state_name(q->state));
	return false;
}

bool order_is_coming(const struct list *processes, const struct process *p)
{
	const struct process *q = blocker(processes, p);
	/* No ring: the table of needs has none. */
	while (q && q->state == PROCESS_WAITING && q->blocked)
		q = blocker(processes, q);
	if (!q) {
		q = leaving_sibling(processes, p);
		return !q || q->state != PROCESS_STUCK;
	}
	switch (q->state) {
	case PROCESS_STARTING: return true;
	case PROCESS_RUNNING: return !q->held;
	case PROCESS_STOPPING: return q->wanted;
	case PROCESS_WAITING: return q->due_ms <= clock_boot_ms() + SOON_MS;
	default: return false;
	}
}

void order_stop(struct process *p, enum start_cause cause, bool anew, bool after_workers)
{
	bool up = p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING;
	if (up && !p->kind)
		process_stop_in_turn(p, cause, anew, after_workers);
	else if (anew)
		process_restart(p, cause);
	else
		process_stop(p, cause);
}

/* It is up, and it will not be for long. */
static bool is_on_its_way_down(const struct process *p)
{
	return p->state == PROCESS_STOPPING ||
	       (p->turn != TURN_NONE && !process_is_down(p) && p->state != PROCESS_STUCK);
}

/* Of those that are no longer configured only the rank is known. */
static bool goes_before(const struct process *q, const struct process *p)
{
	if (q->kind)
		return p->turn_after_workers && !q->parted;
	return p->service ? needs(q, p->service) : q->removed && q->rank > p->rank;
}

/* Whoever others may have to wait for: mostly nobody, and then none has to be compared with all. */
struct leaving {
	bool workers, dependents;
};

static struct leaving who_is_leaving(const struct list *processes)
{
	struct leaving l = { 0 };
	LIST_FOR_EACH (node, processes) {
		const struct process *q = LIST_ENTRY(node, struct process, node);
		if (!is_on_its_way_down(q))
			continue;
		l.workers |= q->kind && !q->parted;
		l.dependents |= q->removed || (q->service && q->service->need_count);
	}
	return l;
}

static bool turn_has_come(
	const struct list *processes, const struct process *p, struct leaving leaving)
{
	if (leaving.workers && p->turn_after_workers)
		return false;
	if (!leaving.dependents)
		return true;
	LIST_FOR_EACH (node, processes) {
		const struct process *q = LIST_ENTRY(node, struct process, node);
		if (q != p && goes_before(q, p) && is_on_its_way_down(q))
			return false;
	}
	return true;
}

struct come {
	struct process *p;
	size_t at; /* in the list: of those started at once the last is first */
};

static int last_started_first(const void *a, const void *b)
{
	const struct come *x = a, *y = b;
	if (x->p->last_start_ms != y->p->last_start_ms)
		return x->p->last_start_ms < y->p->last_start_ms ? 1 : -1;
	return (x->at < y->at) - (x->at > y->at);
}

/* What dies beside the work for the others need not be waited for behind it. */
static void end_together(const struct come *come, size_t n)
{
	CLEANUP(freep) struct process **processes = n > 1 ? calloc(n, sizeof(*processes)) : NULL;
	if (!processes || !come[0].p->ops->end_together)
		return;
	for (size_t i = 0; i < n; i++)
		processes[i] = come[i].p;
	come[0].p->ops->end_together(processes, n);
}

/* All that may go now are found before the first goes: its end must not change who may. */
static void take_turns(struct list *processes, size_t turns)
{
	size_t n = 0;
	const struct leaving leaving = who_is_leaving(processes);
	CLEANUP(freep)
	struct come *come = calloc(turns, sizeof(*come));
	LIST_FOR_EACH (node, processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (come && n < turns && p->turn != TURN_NONE &&
			turn_has_come(processes, p, leaving)) {
			come[n] = (struct come) { p, n };
			n++;
		}
	}
	if (n > 1)
		qsort(come, n, sizeof(come[0]), last_started_first);
	end_together(come, n);
	for (size_t i = 0; i < n; i++)
		process_take_turn(come[i].p);
	/* Without memory the order is given up, not the stop. */
	LIST_FOR_EACH (node, processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (!come && p->turn != TURN_NONE)
			process_take_turn(p);
	}
}

void order_settle(struct list *processes)
{
	size_t turns = 0;
	LIST_FOR_EACH (node, processes)
		turns += LIST_ENTRY(node, struct process, node)->turn != TURN_NONE;
	if (turns)
		take_turns(processes, turns);
	LIST_FOR_EACH (node, processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->blocked)
			process_try_start(p);
	}
}

int64_t order_longest_stop(const struct list *processes)
{
	int64_t total_ms = 0;
	size_t rank = 0, last = 0;
	/* A chain has at most one of each rank. */
	for (; rank <= last; rank++) {
		int64_t longest_ms = 0;
		LIST_FOR_EACH (node, processes) {
			const struct process *p = LIST_ENTRY(node, struct process, node);
			size_t own = p->service ? p->service->rank : p->rank;
			if (p->kind)
				continue;
			last = MAX(last, own);
			if (own == rank)
				longest_ms = MAX(
					longest_ms, p->rules->stop.timeout_ms + STOP_SPARE_MS);
		}
		total_ms += longest_ms;
	}
	return total_ms;
}
