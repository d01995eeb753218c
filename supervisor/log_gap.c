/* SPDX-License-Identifier: MIT */
#include "log_gap.h"

#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include <stdlib.h>

enum { AGAIN_MS = 250 };

struct log_gap {
	struct loop_timer *timer;
};

static void on_drop(void *arg)
{
	const struct log_gap *gap = arg;
	if (!loop_timer_armed(gap->timer))
		loop_timer_start(gap->timer, AGAIN_MS);
}

static void on_timer(void *arg)
{
	if (!log_tell_drops())
		on_drop(arg);
}

struct log_gap *log_gap_new(struct loop *loop)
{
	struct log_gap *gap = NEW(struct log_gap);
	if (!gap)
		return NULL;
	gap->timer = loop_timer_new(loop, on_timer, gap);
	if (!gap->timer) {
		free(gap);
		return NULL;
	}
	log_on_drop(on_drop, gap);
	return gap;
}

void log_gap_free(struct log_gap *gap)
{
	if (!gap)
		return;
	log_on_drop(NULL, NULL);
	loop_timer_free(gap->timer);
	free(gap);
}
