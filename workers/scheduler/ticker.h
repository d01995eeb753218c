/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Watches the clock for all jobs. Each due time is decided once, in one transaction that also makes
 * its run and moves the job's next due time (D2): fired, coalesced (a later one stands for it),
 * missed (too long ago) or skipped (the job's run before is not finished).
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_job;
struct err;
struct scheduler;
struct ticker;

enum { CATCH_UP_WINDOW_MS = 86400000 };

struct ticker *ticker_new(struct scheduler *s); /* NULL: out of memory */
void ticker_free(struct ticker *t);
/** Takes up a configuration; jobs whose schedule changed begin anew from now. */
int ticker_configure(struct ticker *t, const struct config *config, struct err *err) MUST_CHECK;
/** The store is ready: what it knows of the jobs is read, the clock is watched. */
void ticker_start(struct ticker *t);
/** The tables are gone: nothing is decided until ticker_start(). */
void ticker_stop(struct ticker *t);
/** The one taken up last. */
const struct config *ticker_config(const struct ticker *t);
/** 0: never, or not known yet. */
int64_t ticker_next_due(const struct ticker *t, const char *job);
/** What becomes of one due time, given the clock: pure, for tests. `later`: a later due time is due
 * as well. */
struct due_verdict {
	const char *outcome, *reason;
};
struct due_verdict ticker_judge(int64_t due_at, int64_t now_ms, bool later);
