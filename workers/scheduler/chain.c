/* SPDX-License-Identifier: MIT */
#include "scheduler/chain.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker.h"
#include "store/store.h"
#include <stdlib.h>

enum {
	LOOK_MS = 100,
	/* Nothing of the configuration waits for an end: what is left over from before. */
	IDLE_MS = 2000,
	RETRY_MS = 500,
};

struct chain {
	struct scheduler *scheduler;
	struct loop_timer *timer;
	const struct config *config; /* that `followers` are of; NULL: of one that is gone */
	const struct config_job **followers;
	size_t follower_count;
	int64_t seen_id; /* the next look goes on behind it: what is there waits for its followers
			  */
	bool any_waits;	 /* a job of the configuration may have a run that waits */
	bool started, asking;
	size_t under_way; /* transactions */
};

static void on_timer(void *arg)
{
	chain_look(arg);
}

struct chain *chain_new(struct scheduler *s)
{
	struct chain *c = NEW(struct chain);
	if (!c)
		return NULL;
	c->scheduler = s;
	c->timer = loop_timer_new(s->loop, on_timer, c);
	if (!c->timer) {
		free(c);
		return NULL;
	}
	return c;
}

void chain_free(struct chain *c)
{
	if (!c)
		return;
	store_forget(c->scheduler->store, c);
	loop_timer_free(c->timer);
	free(c->followers);
	free(c);
}

void chain_configure(struct chain *c)
{
	/* The next one may come to lie at the same address. */
	c->config = NULL;
}

void chain_start(struct chain *c)
{
	c->started = true;
	chain_look(c);
}

void chain_stop(struct chain *c)
{
	c->started = false;
	loop_timer_stop(c->timer);
}

static void look_later(struct chain *c, int64_t ms)
{
	if (c->started)
		loop_timer_start(c->timer, ms);
}

static bool failed(struct chain *c, enum store_status status, const char *error)
{
	scheduler_store_said(c->scheduler, status, error);
	if (status == STORE_OK || status == STORE_CONFLICT)
		return false;
	look_later(c, RETRY_MS);
	return true;
}

/* @return false: out of memory */
static bool take_config(struct chain *c)
{
	const struct config *config = ticker_config(c->scheduler->ticker);
	if (config == c->config)
		return true;
	const struct config_job **followers = calloc(config->job_count + 1, sizeof(*followers));
	if (!followers)
		return false;
	free(c->followers);
	c->followers = followers;
	c->follower_count = 0;
	c->any_waits = false;
	c->config = config;
	for (size_t i = 0; i < config->job_count; i++) {
		const struct config_job *job = &config->jobs[i];
		if (job->due.after.count)
			c->followers[c->follower_count++] = job;
		c->any_waits |= config_has_schedule(job) &&
				(job->due.overlap == OVERLAP_QUEUE ||
					job->due.overlap == OVERLAP_REPLACE);
	}
	return true;
}

/* ---- runs that waited ---- */

static void on_begun(void *arg, const struct store_result *r)
{
	struct chain *c = arg;
	const size_t *statement = store_result_data(r);
	c->under_way--;
	if (failed(c, store_result_status(r), store_result_error(r)))
		return;
	const char *told = "";
	for (size_t row = 0; row < store_result_rows(r, *statement); row++) {
		const char *kind = store_result_text(r, *statement, row, 2);
		log_info(MAIN, "run_begins_after_wait",
			KV_STR("job", store_result_text(r, *statement, row, 1)),
			KV_INT("run", store_result_int(r, *statement, row, 0)));
		if (!str_eq(kind, told))
			scheduler_wake(c->scheduler, kind);
		told = kind;
	}
	chain_look(c);
}

static void begin_waiting(struct chain *c)
{
	struct store_tx *tx = store_tx_new(c->scheduler->store, 0);
	size_t *statement = tx ? store_tx_data(tx, sizeof(*statement)) : NULL;
	if (!statement) {
		store_tx_free(tx);
		return;
	}
	*statement = queue_tx_begin_waiting(tx, clock_real_ms());
	c->under_way++;
	store_submit(c->scheduler->store, tx, on_begun, c);
}

/* ---- ends that are told ---- */

static bool counts(const struct config_job *follower, const struct ended_run *run)
{
	const struct config_strings *after = &follower->due.after;
	bool named = false;
	for (size_t i = 0; i < after->count; i++)
		named = named || str_eq(after->items[i], run->job);
	if (!named)
		return false;
	switch (follower->due.on) {
	case AFTER_SUCCESS: return run->succeeded;
	case AFTER_FAILURE: return run->failed && !run->again;
	default: return !run->again;
	}
}

/* One transaction; lives in it. */
struct telling {
	size_t count;
	size_t statements[];
};

static void on_told(void *arg, const struct store_result *r)
{
	struct chain *c = arg;
	const struct telling *telling = store_result_data(r);
	c->under_way--;
	if (failed(c, store_result_status(r), store_result_error(r)))
		return;
	/* A conflict: another scheduler was quicker, or has not decided the due time before. */
	bool done = store_result_status(r) == STORE_OK;
	for (size_t i = 0; done && i < telling->count; i++) {
		size_t s = telling->statements[i];
		int64_t due = store_result_rows(r, s) ? store_result_int(r, s, 0, 1) : 0;
		if (due)
			ticker_set_due(c->scheduler->ticker, store_result_text(r, s, 0, 0), due);
	}
	if (!done)
		ticker_refresh(c->scheduler->ticker);
	if (!c->under_way)
		look_later(c, done ? 0 : LOOK_MS);
}

/* @return false: one of those that follow is not ready for another due time */
static bool all_are_free(const struct chain *c, const struct ended_run *run)
{
	for (size_t i = 0; i < c->follower_count; i++)
		if (counts(c->followers[i], run) &&
			!ticker_is_free(c->scheduler->ticker, c->followers[i]->name))
			return false;
	return true;
}

static void tell(struct chain *c, const struct ended_run *run)
{
	struct store_tx *tx = store_tx_new(c->scheduler->store, 0);
	struct telling *telling =
		tx ? store_tx_data(tx, sizeof(*telling) + c->follower_count * sizeof(size_t))
		   : NULL;
	if (!telling) {
		store_tx_free(tx);
		return;
	}
	queue_tx_told(tx, run);
	for (size_t i = 0; i < c->follower_count; i++)
		if (counts(c->followers[i], run))
			telling->statements[telling->count++] = queue_tx_follow(tx,
				c->followers[i]->name, c->followers[i]->due.after.count, run,
				clock_real_ms());
	c->under_way++;
	store_submit(c->scheduler->store, tx, on_told, c);
}

static void on_ended(void *arg, enum queue_status status, const struct ended_runs *ended)
{
	struct chain *c = arg;
	c->asking = false;
	if (!c->started || failed(c,
				   status == QUEUE_OK	    ? STORE_OK
				   : status == QUEUE_FAILED ? STORE_FAILED
							    : STORE_UNAVAILABLE,
				   queue_error()))
		return;
	if (!take_config(c)) {
		look_later(c, RETRY_MS);
		return;
	}
	if (ended->any_waiting)
		begin_waiting(c);
	c->seen_id = ended->count == ENDED_RUNS_MAX ? ended->items[ended->count - 1].id : 0;
	for (size_t i = 0; i < ended->count; i++)
		if (all_are_free(c, &ended->items[i]))
			tell(c, &ended->items[i]);
	if (!c->under_way)
		look_later(
			c, c->follower_count || c->any_waits || ended->count ? LOOK_MS : IDLE_MS);
}

void chain_look(struct chain *c)
{
	if (!c->started || c->asking || c->under_way)
		return;
	c->asking = true;
	queue_ended_runs(c->scheduler->store, c->seen_id, on_ended, c);
}
