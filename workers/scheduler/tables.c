/* SPDX-License-Identifier: MIT */
#include "scheduler/tables.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "log/log.h"
#include "loop/loop.h"
#include "scheduler/scheduler.h"
#include "store/job_table.h"
#include "store/store.h"
#include <errno.h>

enum { LOOK_AGAIN_MS = 3600000, RETRY_MS = 5000 };

struct wanted {
	const char *job;
	const struct store_table *table;
};

struct tables {
	struct scheduler *scheduler;
	struct loop_timer *timer;
	struct arena *arena; /* of what is wanted */
	struct wanted *wanted;
	size_t count, at; /* one after the other */
	bool started, busy;
};

static void next(struct tables *t);
static void look(void *arg);

struct tables *tables_new(struct scheduler *s)
{
	struct tables *t = NEW(struct tables);
	if (!t)
		return NULL;
	t->scheduler = s;
	t->timer = loop_timer_new(s->loop, look, t);
	if (!t->timer) {
		free(t);
		return NULL;
	}
	return t;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	store_forget(t->scheduler->store, t);
	loop_timer_free(t->timer);
	arena_free(t->arena);
	free(t);
}

static bool add_all(struct tables *t, struct arena *arena, const struct config *config)
{
	struct wanted *wanted = arena_alloc(arena, (config->job_count + 1) * sizeof(*wanted));
	size_t count = 0;
	for (size_t i = 0; wanted && i < config->job_count; i++) {
		const struct config_job *job = &config->jobs[i];
		if (!job->store.table || !job->kind || !job->spec)
			continue;
		wanted[count].job = arena_strdup(arena, job->name);
		wanted[count].table = job_table(arena, job);
		if (!wanted[count].job || !wanted[count].table)
			return false;
		count++;
	}
	if (!wanted)
		return false;
	t->wanted = wanted;
	t->count = count;
	return true;
}

int tables_configure(struct tables *t, const struct config *config, struct err *err)
{
	struct arena *arena = arena_new(0);
	if (!arena || !add_all(t, arena, config)) {
		arena_free(arena);
		return err_set(err, -ENOMEM, "out of memory");
	}
	/* What is under way answers about the old ones. */
	store_forget(t->scheduler->store, t);
	t->busy = false;
	arena_free(t->arena);
	t->arena = arena;
	if (t->started)
		look(t);
	return 0;
}

void tables_start(struct tables *t)
{
	t->started = true;
	look(t);
}

static void look(void *arg)
{
	struct tables *t = arg;
	if (t->busy)
		return;
	t->at = 0;
	loop_timer_start(t->timer, LOOK_AGAIN_MS);
	next(t);
}

/* @return false when it is to be tried again */
static bool said(struct tables *t, const struct store_result *r, const char *what)
{
	const struct wanted *w = &t->wanted[t->at];
	int64_t changes = store_result_changes(r, 0);
	if (store_result_status(r) == STORE_UNAVAILABLE) {
		loop_timer_start(t->timer, RETRY_MS);
		return false;
	}
	if (store_result_status(r) != STORE_OK)
		log_error(MAIN, "table_refused", KV_STR("job", w->job),
			KV_STR("table", w->table->name), KV_STR("error", store_result_error(r)));
	else if (changes > 0)
		log_info(MAIN, what, KV_STR("job", w->job), KV_STR("table", w->table->name),
			KV_INT("count", changes));
	return true;
}

static void on_indexes(void *arg, const struct store_result *r)
{
	struct tables *t = arg;
	t->busy = false;
	if (!said(t, r, "indexes_made"))
		return;
	t->at++;
	next(t);
}

static void on_table(void *arg, const struct store_result *r)
{
	struct tables *t = arg;
	const struct store_table *table = t->wanted[t->at].table;
	t->busy = false;
	if (!said(t, r, "table_changed"))
		return;
	struct store_tx *tx = store_result_status(r) == STORE_OK && table->index_count > 0
				      ? store_tx_new(t->scheduler->store, 0)
				      : NULL;
	if (!tx) {
		t->at++;
		next(t);
		return;
	}
	store_tx_indexes(tx, table);
	t->busy = true;
	store_submit(t->scheduler->store, tx, on_indexes, t);
}

static void next(struct tables *t)
{
	struct store_tx *tx = t->at < t->count ? store_tx_new(t->scheduler->store, 0) : NULL;
	if (!tx)
		return;
	store_tx_table(tx, t->wanted[t->at].table);
	t->busy = true;
	store_submit(t->scheduler->store, tx, on_table, t);
}
