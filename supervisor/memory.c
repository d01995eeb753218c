/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "instance.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process_memory.h"
#include "supervisor.h"
#include "tree_memory.h"
#include <stdlib.h>

enum { TURN_MS = 5, LOOK_MS = 500 };

struct memory_watch {
	struct supervisor *sv;
	struct loop_timer *check, *trim, *turn;
	int64_t check_ms, trim_ms; /* what they are armed with */
	int64_t looked_ms;
	uint32_t round; /* checks so far: each slot is judged once in each */
	enum memory_level machine;
};

static bool lives(const struct process *p)
{
	return p->instance && p->pid > 0 && !p->main_ended;
}

/* Where a restart hangs on it, and forks may look larger than they are, it is looked at exactly. */
static enum memory_level look_at(struct memory_watch *w, struct process *p, int64_t *bytes)
{
	const struct config_memory *rules = &w->sv->config->supervisor.memory;
	const struct contain_target target = instance_target(p);
	int64_t limit = process_memory_limit(p);
	struct tree_memory m;
	*bytes = -1;
	if (!tree_memory_look(w->sv->contain, &target, &m))
		return MEMORY_NORMAL;
	if (m.processes > 1 && memory_level_of(rules, m.bytes, limit) != MEMORY_NORMAL)
		tree_memory_look_exactly(w->sv->contain, &target, &m);
	p->usage.others = m.bytes - m.main_bytes;
	*bytes = m.bytes;
	return memory_level_of(rules, m.bytes, limit);
}

static void judge(struct memory_watch *w, struct process *p)
{
	int64_t bytes = 0;
	enum memory_level level = MEMORY_NORMAL;
	if (p->state != PROCESS_RUNNING || !lives(p))
		return;
	if (process_memory_limit(p) > 0)
		level = look_at(w, p, &bytes);
	if (bytes >= 0)
		process_judge_memory(p, bytes, level, w->machine);
}

/* The list may change between two turns: who has his round behind him is told by its number. */
static void on_turn(void *arg)
{
	struct memory_watch *w = arg;
	int64_t begin_ms = clock_mono_ms();
	LIST_FOR_EACH_SAFE (node, &w->sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->memory.round == w->round)
			continue;
		p->memory.round = w->round;
		judge(w, p);
		if (clock_mono_ms() - begin_ms >= TURN_MS) {
			loop_timer_start(w->turn, 1);
			return;
		}
	}
}

static void look_at_machine(struct memory_watch *w)
{
	int64_t used, total;
	enum memory_level before = w->machine;
	w->machine = MEMORY_NORMAL;
	if (tree_memory_machine(&used, &total))
		w->machine = memory_level_of_machine(
			&w->sv->config->supervisor.memory, used, total);
	else
		used = total = 0;
	if (w->machine > before)
		log_warn(MEMORY, "High memory usage detected", KV_STR("name", "machine"),
			KV_STR("reason", memory_level_name(w->machine)), KV_INT("bytes", used),
			KV_INT("limit", total));
	else if (w->machine == MEMORY_NORMAL && before != MEMORY_NORMAL)
		log_info(MEMORY, "memory_normal", KV_STR("name", "machine"), KV_INT("bytes", used),
			KV_INT("limit", total));
}

static void on_check(void *arg)
{
	struct memory_watch *w = arg;
	loop_timer_start(w->check, w->check_ms);
	if (w->sv->state == SUPERVISOR_STOPPING)
		return;
	look_at_machine(w);
	w->round++;
	on_turn(w);
}

static void on_trim(void *arg)
{
	struct memory_watch *w = arg;
	loop_timer_start(w->trim, w->trim_ms);
	LIST_FOR_EACH (node, &w->sv->processes)
		process_trim(LIST_ENTRY(node, struct process, node));
}

struct memory_watch *memory_watch_new(struct supervisor *sv)
{
	struct memory_watch *w = NEW(struct memory_watch);
	if (!w)
		return NULL;
	w->sv = sv;
	w->check = loop_timer_new(sv->loop, on_check, w);
	w->trim = loop_timer_new(sv->loop, on_trim, w);
	w->turn = loop_timer_new(sv->loop, on_turn, w);
	if (!w->check || !w->trim || !w->turn) {
		memory_watch_free(w);
		return NULL;
	}
	memory_watch_configure(w);
	return w;
}

void memory_watch_free(struct memory_watch *w)
{
	if (!w)
		return;
	loop_timer_free(w->check);
	loop_timer_free(w->trim);
	loop_timer_free(w->turn);
	free(w);
}

static void adjust(struct loop_timer *timer, int64_t *armed_ms, int64_t ms)
{
	if (*armed_ms == ms)
		return;
	*armed_ms = ms;
	loop_timer_start(timer, ms);
}

void memory_watch_configure(struct memory_watch *w)
{
	const struct config_memory *rules = &w->sv->config->supervisor.memory;
	adjust(w->check, &w->check_ms, rules->check_ms);
	adjust(w->trim, &w->trim_ms, rules->trim_ms);
}

void memory_watch_look(struct memory_watch *w)
{
	int64_t now_ms = clock_mono_ms();
	if (w->looked_ms && now_ms - w->looked_ms < LOOK_MS)
		return;
	w->looked_ms = now_ms;
	LIST_FOR_EACH (node, &w->sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		struct tree_memory m;
		const struct contain_target target = instance_target(p);
		if (lives(p) && tree_memory_look(w->sv->contain, &target, &m))
			p->usage.others = m.bytes - m.main_bytes;
	}
}
