/* SPDX-License-Identifier: MIT */
#include "process_memory.h"

#include "config/config.h"
#include "config/kind.h"
#include "history.h"
#include "log/log.h"
#include "process_inner.h"
#include <inttypes.h>
#include <stdio.h>

int64_t process_memory_limit(const struct process *p)
{
	return p->worker ? p->worker->memory_limit : p->service ? p->service->memory_limit : 0;
}

static bool should_rest(const struct process *p)
{
	return p->kind && p->kind->takes_tasks &&
	       (p->memory.drained || p->memory.machine_critical ||
		       p->memory.level >= MEMORY_CRITICAL);
}

static void tell_hold(struct process *p)
{
	bool hold = should_rest(p);
	bool up = p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING;
	if (!p->kind || hold == p->memory.told_hold || !up)
		return;
	if (!p->ops->hold_tasks || !p->ops->hold_tasks(p, hold))
		return;
	p->memory.told_hold = hold;
	p->memory.resting = false;
	const char *reason = p->memory.drained ? "operator" : "memory";
	if (hold)
		log_info(MAIN, "tasks_held", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_STR("reason", reason));
	else
		log_info(MAIN, "tasks_taken", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation));
	history_add(&p->history, hold ? "tasks_held" : "tasks_taken", hold ? reason : NULL, NULL);
}

/* One line when it gets worse, one when it is well again. */
static void say_level(struct process *p, enum memory_level level)
{
	char words[PROCESS_DETAIL];
	int64_t limit = process_memory_limit(p);
	if (level == p->memory.level || (level < p->memory.level && level != MEMORY_NORMAL))
		return;
	snprintf(words, sizeof(words), "%" PRId64 " of %" PRId64 " bytes", p->memory.bytes, limit);
	if (level == MEMORY_NORMAL) {
		log_info(MEMORY, "memory_normal", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_STR("detail", words));
		return;
	}
	log_warn(MEMORY, "High memory usage detected", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("reason", memory_level_name(level)),
		KV_INT("bytes", p->memory.bytes), KV_INT("limit", limit));
	history_add(&p->history, "memory_high", memory_level_name(level), words);
}

static void over(struct process *p)
{
	/* A good answer does not make it smaller: this reason stays. */
	if (p->held && p->next_cause != CAUSE_MEMORY) {
		p->next_cause = CAUSE_MEMORY;
		p->ops->save(p);
	}
	process_replace(p, CAUSE_MEMORY);
}

static void within(struct process *p)
{
	if (!process_held_for(p, CAUSE_MEMORY))
		return;
	if (p->probed && p->strikes >= p->rules->probe.failures) {
		p->next_cause = CAUSE_PROBE;
		p->ops->save(p);
	} else {
		process_feed(p, EV_WELL);
	}
}

void process_judge_memory(
	struct process *p, int64_t bytes, enum memory_level level, enum memory_level machine)
{
	if (p->state != PROCESS_RUNNING)
		return;
	p->memory.bytes = bytes;
	say_level(p, level);
	p->memory.level = level;
	p->memory.machine_critical = machine >= MEMORY_CRITICAL;
	if (p->kind && MAX(level, machine) >= MEMORY_WARNING)
		process_trim(p);
	tell_hold(p);
	if (level == MEMORY_OVER)
		over(p);
	else
		within(p);
}

bool process_trim(struct process *p)
{
	if (!p->kind || p->state != PROCESS_RUNNING || !p->ops->trim ||
		!p->ops->trim(p, p->memory.trims + 1))
		return false;
	p->memory.trims++;
	return true;
}

void process_trimmed(struct process *p, uint64_t seq, int64_t before, int64_t after)
{
	if (seq <= p->memory.trimmed || seq > p->memory.trims)
		return;
	p->memory.trimmed = seq;
	p->memory.before = before;
	p->memory.after = after;
	log_info(MEMORY, "memory_trimmed", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_INT("before", before),
		KV_INT("after", after));
	p->ops->changed(p);
}

void process_drain(struct process *p, bool drain)
{
	if (p->memory.drained == drain)
		return;
	p->memory.drained = drain;
	p->ops->save(p);
	tell_hold(p);
	p->ops->changed(p);
}

void process_greets(struct process *p)
{
	p->memory.told_hold = p->memory.resting = false;
	p->memory.level = MEMORY_NORMAL;
	tell_hold(p);
}

void process_rests(struct process *p, bool rests)
{
	if (!p->memory.told_hold || p->memory.resting == rests)
		return;
	p->memory.resting = rests;
	p->ops->changed(p);
}

bool process_is_drained(const struct process *p)
{
	return p->memory.drained &&
	       (process_is_down(p) || (p->state == PROCESS_RUNNING && p->memory.resting));
}
