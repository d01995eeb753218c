/* SPDX-License-Identifier: MIT */
/* How a slot goes on after an earlier supervisor. */
#include "base/clock.h"
#include "base/compiler.h"
#include "config/config.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include "process_inner.h"
#include "process_probe.h"

enum { LOST_WORKER_MS = 5000 };

void process_adopt(struct process *p, bool up)
{
	/* What was asked before us is answered to nobody: our questions have other numbers. */
	p->probe.seq = (uint64_t)clock_boot_us();
	log_info(MAIN, "process_adopted", KV_STR("name", p->name), KV_INT("pid", p->pid),
		KV_INT("incarnation", p->incarnation), KV_INT("strikes", p->strikes));
	process_remember(p, "process_adopted", NULL, NULL);
	process_feed(p, up ? EV_ADOPTED : EV_ADOPTED_EARLY);
	p->ops->save(p);
}

void process_fence(struct process *p)
{
	process_feed(p, EV_LEFTOVER);
	/* A worker leaves by itself when it has lost its supervisor; one that does not, cannot. */
	if (p->kind)
		process_hurry(p, LOST_WORKER_MS);
}

void process_lost(struct process *p)
{
	p->end_cause = CAUSE_NONE;
	process_note_end(p, NULL);
}

void process_resume(struct process *p, int64_t due_ms)
{
	p->again = p->next_cause != CAUSE_NONE;
	p->state = PROCESS_WAITING;
	process_keep_due(p, p->next_cause, due_ms);
	if (p->due_ms > clock_boot_ms() + RESTART_FLOOR_MS)
		process_say_held(p, p->next_cause);
	process_wait_until_due(p);
	p->ops->save(p);
	p->ops->changed(p);
}

void process_rest(struct process *p)
{
	p->state = PROCESS_FAILED;
	p->ops->save(p);
	p->ops->changed(p);
}

/* As if we had watched it all the time. */
void process_take_up(struct process *p)
{
	enum probe_kind kind = process_probe_kind(p);
	int64_t lived_ms = clock_boot_ms() - p->last_start_ms;
	int64_t first_ms = process_first_probe_ms(p);
	if (p->next_cause != CAUSE_MEMORY)
		p->next_cause = p->held ? CAUSE_PROBE : CAUSE_NONE;
	/* Of the start period only the rest is left. One that speaks for itself has the whole
	 * interval: what it said before, nobody heard. */
	if (kind != PROBE_NOTIFY)
		first_ms -= MIN(MAX(lived_ms, (int64_t)0), p->rules->probe.start_period_ms);
	if (kind != PROBE_NONE)
		process_begin_probes(p, first_ms);
	if (!p->probed) {
		p->ready = true;
		p->strikes = 0;
		p->held = process_held_for(p, CAUSE_MEMORY);
	}
	if (!p->held) {
		p->next_cause = CAUSE_NONE;
		return;
	}
	process_keep_due(p, p->next_cause, p->due_ms);
	process_wait_until_due(p);
}
