/* SPDX-License-Identifier: MIT */
/* When a slot's next start is due, and that time kept, shown and waited for. */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/mutant.h"
#include "config/config.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include "process_inner.h"
#include <sys/random.h>

static uint32_t draw(void)
{
	uint32_t r = 0;
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)clock_mono_us();
	return r;
}

/* The planted bug stamps starts with the wall clock, which others may set. */
int64_t process_interval_stamp_ms(void)
{
	return MUTANT(INTERVAL_ON_WALL_CLOCK) ? clock_real_ms() : clock_boot_ms();
}

static int64_t on_boot_clock(int64_t stamp_ms)
{
	if (MUTANT(INTERVAL_ON_WALL_CLOCK) && stamp_ms >= 0)
		return stamp_ms - clock_real_ms() + clock_boot_ms();
	return stamp_ms;
}

static struct start_history history_of(const struct process *p)
{
	return (struct start_history) { .last_automatic_ms = on_boot_clock(p->last_automatic_ms),
		.last_start_ms = p->last_start_ms,
		.now_ms = clock_boot_ms() };
}

static void set_due(struct process *p, int64_t due_ms)
{
	p->due_ms = due_ms;
	p->due_at_ms = clock_real_ms() + due_ms - clock_boot_ms();
}

void process_schedule(struct process *p, enum start_cause cause)
{
	struct start_history history = history_of(p);
	set_due(p, restart_due_ms(&p->rules->restart, &history, cause, draw()));
}

void process_say_held(struct process *p, enum start_cause cause)
{
	char at[CLOCK_TEXT];
	clock_rfc3339(at, p->due_at_ms);
	log_warn(MAIN, "restart_held", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("reason", start_cause_name(cause)),
		KV_STR("restart_due_at", at), KV_INT("wait_ms", p->due_ms - clock_boot_ms()));
	process_remember(p, "restart_held", start_cause_name(cause), at);
}

/* The time that was drawn and shown before holds, unless the rules are others now. */
void process_keep_due(struct process *p, enum start_cause cause, int64_t due_ms)
{
	const struct config_restart *rules = &p->rules->restart;
	const struct start_history history = history_of(p);
	int64_t first_ms = restart_due_ms(rules, &history, cause, 0),
		last_ms = restart_due_ms(rules, &history, cause, UINT32_MAX);
	if (due_ms < 0)
		due_ms = restart_due_ms(rules, &history, cause, draw());
	set_due(p, MAX(first_ms, MIN(due_ms, last_ms)));
}

void process_wait_until_due(struct process *p)
{
	int64_t wait_ms = MAX(p->due_ms - clock_boot_ms(), (int64_t)0);
	loop_timer_start(p->start_timer, wait_ms);
}

void process_start_later(struct process *p)
{
	process_schedule(p, p->next_cause);
	/* The breath between two starts is no holding back. */
	if (p->due_ms > clock_boot_ms() + RESTART_FLOOR_MS)
		process_say_held(p, p->next_cause);
	process_wait_until_due(p);
}

void process_retry_later(struct process *p)
{
	int64_t wait_ms = retry_delay_ms(++p->spawn_failures);
	p->due_ms = clock_boot_ms() + wait_ms;
	p->due_at_ms = clock_real_ms() + wait_ms;
	loop_timer_start(p->start_timer, wait_ms);
}

void process_replace(struct process *p, enum start_cause cause)
{
	if (p->held || !restart_allowed(&p->rules->restart, cause, true))
		return;
	process_schedule(p, cause);
	p->next_cause = cause;
	if (p->due_ms > clock_boot_ms() && p->rules->restart.when_held != HELD_STOP) {
		process_feed(p, EV_HELD);
		return;
	}
	process_end_for(p, cause);
	process_feed(p, EV_LAST_STRIKE);
}

bool process_held_for(const struct process *p, enum start_cause cause)
{
	return p->held && p->next_cause == cause;
}

/* A restart that waits is due by the new interval; one that did not change is not drawn anew. */
void process_adjust_due(struct process *p, int64_t old_interval_ms)
{
	bool waits = p->state == PROCESS_WAITING && start_is_automatic(p->next_cause);
	if (p->rules->restart.min_interval_ms == old_interval_ms || !(waits || p->held))
		return;
	int64_t retry_ms = p->spawn_failures ? p->due_ms : -1;
	process_schedule(p, p->next_cause);
	if (p->due_ms < retry_ms)
		set_due(p, retry_ms);
	process_wait_until_due(p);
	p->ops->changed(p);
}
