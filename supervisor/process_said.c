/* SPDX-License-Identifier: MIT */
/* What a service says of itself over $NOTIFY_SOCKET, as far as the slot's life is concerned. */
#include "base/str.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include <string.h>

void process_said_ready(struct process *p)
{
	if (process_probe_kind(p) == PROBE_NOTIFY)
		process_ready(p);
}

void process_said_well(struct process *p, bool well)
{
	if (p->state == PROCESS_RUNNING && process_probe_kind(p) == PROBE_NOTIFY)
		probe_hear(&p->probe, well, well ? "it says so itself" : "it says so itself: ill");
}

void process_said_stopping(struct process *p)
{
	if (p->state != PROCESS_RUNNING || !p->ready)
		return;
	p->ready = false;
	log_info(MAIN, "process_says_stopping", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation));
	p->ops->changed(p);
}

void process_said_extend(struct process *p, uint64_t usec)
{
	if (p->state != PROCESS_STARTING || p->deadline_event != EV_LATE ||
		!loop_timer_armed(p->deadline_timer))
		return;
	if (!p->extend_until_ms)
		p->extend_until_ms = loop_now_ms(p->loop) + SAID_EXTEND_MAX_MS;
	uint64_t ms = MIN(usec / 1000, (uint64_t)SAID_EXTEND_MAX_MS);
	int64_t until_ms = MIN(loop_now_ms(p->loop) + (int64_t)ms, p->extend_until_ms);
	/* It asks for more: what it has anyway is not taken away. */
	if (until_ms <= p->deadline_ms)
		return;
	p->deadline_ms = until_ms;
	loop_timer_start(p->deadline_timer, until_ms - loop_now_ms(p->loop));
}

void process_said_status(struct process *p, const char *text)
{
	char clean[PROCESS_DETAIL];
	str_clean(clean, sizeof(clean), text);
	if (strcmp(clean, p->said) == 0)
		return;
	process_words(&p->said, clean);
	p->ops->changed(p);
}
