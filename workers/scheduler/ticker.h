/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Watches the clock for all jobs. Each due time is decided once, in one transaction that also makes
 * its run and moves the job's next due time (D2): fired, coalesced (a later one stands for it, or
 * a run waits already), missed (too long ago), or skipped (the job's run before is not finished, or
 * the job is paused). Transactions run back to back, and each carries what fell due during the one
 * before. What was not seen in time is caught up as the job says: oldest first, after each other,
 * at most CATCH_UP_IN_FLIGHT runs at a time.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_due;
struct err;
struct scheduler;
struct ticker;

struct ticker *ticker_new(struct scheduler *s); /* NULL: out of memory */
void ticker_free(struct ticker *t);
/** Takes up a configuration; jobs whose schedule changed begin anew from now. */
int ticker_configure(struct ticker *t, const struct config *config, struct err *err) MUST_CHECK;
/** The store is ready: what it knows of the jobs is read, the clock is watched. */
void ticker_start(struct ticker *t);
/** The tables are gone: nothing is decided until ticker_start(). */
void ticker_stop(struct ticker *t);
/** The due times that lie ahead are counted anew: a time zone changed its rules. */
void ticker_recount(struct ticker *t);
/** Looks at the clock at once: it was set, or the machine slept. */
void ticker_look(struct ticker *t);
/** The one taken up last. */
const struct config *ticker_config(const struct ticker *t);
/** 0: never, or not known yet. */
int64_t ticker_next_due(const struct ticker *t, const char *job);
/** Has no due time that is not decided: one may be set. */
bool ticker_is_free(const struct ticker *t, const char *job);
/** The store has this next due time for the job: it runs after others, which have ended. */
void ticker_set_due(struct ticker *t, const char *job, int64_t due_at);
/** Another scheduler has gone on with something: reads again what the store knows. */
void ticker_refresh(struct ticker *t);
/** The store has it so. */
void ticker_set_paused(struct ticker *t, const char *job, bool paused);
/** What becomes of one due time, given the clock: pure, for tests. `later`: a later due time is due
 * as well. */
struct due_verdict {
	const char *outcome, *reason;
};
struct due_verdict ticker_judge(
	const struct config_due *due, int64_t due_at, int64_t now_ms, bool later);
