/* SPDX-License-Identifier: MIT */
#include "scheduler/clock_steps.h"

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include "scheduler/ticker.h"
#include <stdlib.h>

/* A clock that is set again and again (supercronic wrote 10 GB of log about one). */
enum { SAY_EVERY_MS = 60000 };

struct clock_steps {
	struct ticker *ticker;
	struct loop_clock *watch;
	int64_t said_ms; /* boot time; 0: never */
	int64_t count;	 /* since then, unsaid */
};

static void on_clock(void *arg, int64_t set_ms, int64_t slept_ms)
{
	(void)clock_steps_told(arg, set_ms, slept_ms);
}

struct clock_steps *clock_steps_new(struct loop *loop, struct ticker *ticker)
{
	struct clock_steps *c = NEW(struct clock_steps);
	if (!c)
		return NULL;
	c->ticker = ticker;
	c->watch = loop_clock_new(loop, on_clock, c);
	if (!c->watch) {
		free(c);
		return NULL;
	}
	return c;
}

void clock_steps_free(struct clock_steps *c)
{
	if (!c)
		return;
	loop_clock_free(c->watch);
	free(c);
}

bool clock_steps_told(struct clock_steps *c, int64_t set_ms, int64_t slept_ms)
{
	int64_t now_ms = clock_boot_ms();
	bool say = c->said_ms == 0 || now_ms - c->said_ms >= SAY_EVERY_MS;
	c->count++;
	if (say) {
		log_warn(MAIN, set_ms ? "wall_clock_set" : "machine_was_suspended",
			KV_INT("set_ms", set_ms), KV_INT("slept_ms", slept_ms),
			KV_INT("count", c->count));
		c->said_ms = now_ms;
		c->count = 0;
	}
	ticker_look(c->ticker);
	return say;
}
