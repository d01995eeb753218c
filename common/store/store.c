/* SPDX-License-Identifier: MIT */
/* The face: chooses the engine, carries completions back to the loop. */
#include "store/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include "store/store_engine.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

struct store {
	struct loop *loop;
	struct loop_waker *waker;
	struct stats_slot *stats;
	const struct store_engine_ops *ops;
	struct store_engine *engine;
	struct list pending; /* struct store_tx by .pending: submitted, done not yet called */
	size_t pending_count;
	bool delivering;
	pthread_mutex_t mutex;
	struct list finished; /* under mutex: struct store_tx by .node */
	pthread_mutex_t waking;
	bool closed; /* under waking: the waker is gone */
};

static const struct store_engine_ops *const engines[] = { &store_engine_sqlite, &store_engine_pg };

static void deliver(void *arg);

static const struct store_engine_ops *find_engine(const char *url, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		for (size_t k = 0; k < ARRAY_SIZE(engines[i]->schemes); k++)
			if (engines[i]->schemes[k] && str_starts(url, engines[i]->schemes[k]))
				return engines[i]->check(url, err) < 0 ? NULL : engines[i];
	/* The URL may hold a password: its value is not repeated. */
	err_set(err, -EINVAL, "the store's url must be \"sqlite:PATH\" or \"postgresql://...\"");
	return NULL;
}

struct store_pool store_pool_of(const struct config_pool *configured)
{
	return (struct store_pool) { .min = configured->min,
		.max = configured->max,
		.acquire_ms = configured->acquire_timeout_ms,
		.connect_ms = configured->connect_timeout_ms,
		.statement_ms = configured->statement_timeout_ms,
		.idle_ms = configured->idle_ms,
		.recycle_ms = configured->recycle_ms,
		.no_pre_ping = !configured->pre_ping };
}

int store_url_check(const char *url, struct err *err)
{
	return find_engine(url, err) ? 0 : -EINVAL;
}

int store_open(
	struct store **out, struct loop *loop, const struct store_options *options, struct err *err)
{
	const struct store_engine_ops *ops = find_engine(options->url, err);
	if (!ops)
		return -EINVAL;
	struct store *store = NEW(struct store);
	if (!store)
		return err_set(err, -ENOMEM, "open the store");
	store->loop = loop;
	store->ops = ops;
	store->stats = options->stats;
	list_init(&store->pending);
	list_init(&store->finished);
	pthread_mutex_init(&store->mutex, NULL);
	pthread_mutex_init(&store->waking, NULL);
	store->waker = loop_waker_new(loop, deliver, store);
	struct store_engine_config config = { .store = store,
		.loop = loop,
		.url = options->url,
		.state_dir = options->state_dir,
		.create = options->create,
		.busy_ms = options->busy_ms,
		.pool = options->pool };
	int rc = store->waker ? ops->start(&store->engine, &config, err)
			      : err_set(err, -ENOMEM, "open the store");
	if (rc < 0) {
		loop_waker_free(store->waker);
		pthread_mutex_destroy(&store->mutex);
		pthread_mutex_destroy(&store->waking);
		free(store);
		return rc;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	assert(!store->delivering);
	bool ended = store->ops->close(store->engine);
	pthread_mutex_lock(&store->waking);
	store->closed = true;
	loop_waker_free(store->waker);
	pthread_mutex_unlock(&store->waking);
	/* A thread that hangs in a disk still has its transactions: they are left to the end of the
	 * process. */
	if (!ended)
		return;
	LIST_FOR_EACH_SAFE (node, &store->pending)
		store_tx_free(LIST_ENTRY(node, struct store_tx, pending));
	pthread_mutex_destroy(&store->mutex);
	pthread_mutex_destroy(&store->waking);
	free(store);
}

size_t store_pending(const struct store *store)
{
	return store->pending_count;
}

enum store_dialect store_dialect(const struct store *store)
{
	return store->ops->dialect;
}

void store_trim(struct store *store)
{
	store->ops->trim(store->engine);
}

void store_submit(struct store *store, struct store_tx *tx, store_done done, void *arg)
{
	assert(tx->store == store);
	tx->done = done;
	tx->arg = arg;
	tx->submitted_us = clock_mono_us();
	list_add_tail(&store->pending, &tx->pending);
	stats_set(store->stats, STAT_store_pending, (int64_t)++store->pending_count);
	store->ops->submit(store->engine, tx);
}

void store_forget(struct store *store, const void *arg)
{
	LIST_FOR_EACH (node, &store->pending) {
		struct store_tx *tx = LIST_ENTRY(node, struct store_tx, pending);
		if (tx->arg == arg)
			tx->done = NULL;
		if (tx->also_arg == arg)
			tx->also = NULL;
	}
}

void store_finished(struct store *store, struct list *finished)
{
	pthread_mutex_lock(&store->mutex);
	LIST_FOR_EACH_SAFE (node, finished) {
		list_remove(node);
		list_add_tail(&store->finished, node);
	}
	pthread_mutex_unlock(&store->mutex);
	/* Under a lock that the loop, once awake, does not want. */
	pthread_mutex_lock(&store->waking);
	if (!store->closed)
		loop_wake(store->waker);
	pthread_mutex_unlock(&store->waking);
}

static void show_watched(const struct store_result *r)
{
	for (size_t i = 0; r->status == STORE_OK && i < r->op_count; i++)
		if (r->ops[i].watch && r->ops[i].rows_len > 0)
			r->ops[i].watch(r, i);
}

/* On the loop. done may submit and forget; what finishes meanwhile wakes the loop again. */
static void deliver(void *arg)
{
	struct store *store = arg;
	struct list ready;
	list_init(&ready);
	pthread_mutex_lock(&store->mutex);
	LIST_FOR_EACH_SAFE (node, &store->finished) {
		list_remove(node);
		list_add_tail(&ready, node);
	}
	pthread_mutex_unlock(&store->mutex);
	store->delivering = true;
	for (struct store_tx *tx; (tx = LIST_FIRST(&ready, struct store_tx, node));) {
		list_remove(&tx->node);
		list_remove(&tx->pending);
		stats_set(store->stats, STAT_store_pending, (int64_t)--store->pending_count);
		stats_sample(store->stats, STAT_store_seconds, clock_mono_us() - tx->submitted_us);
		show_watched(&tx->result);
		if (tx->also)
			tx->also(tx->also_arg, &tx->result);
		if (tx->done)
			tx->done(tx->arg, &tx->result);
		if (tx->then && tx->result.status == STORE_OK)
			store_submit(store, TAKE(tx->then), NULL, NULL);
		store_tx_free(tx);
	}
	store->delivering = false;
}

void store_count_taken(struct store *store, const struct store_tx *tx, bool waited)
{
	stats_add(store->stats, STAT_db_transactions, 1);
	if (waited)
		stats_add(store->stats, STAT_db_waits, 1);
	stats_sample(store->stats, STAT_db_wait_seconds, clock_mono_us() - tx->submitted_us);
}

void store_count_connections(struct store *store, size_t active, size_t idle)
{
	stats_set(store->stats, STAT_db_active, (int64_t)active);
	stats_set(store->stats, STAT_db_idle, (int64_t)idle);
}

void store_count_opened(struct store *store)
{
	stats_add(store->stats, STAT_db_connects, 1);
}

void store_count_failed(struct store *store)
{
	stats_add(store->stats, STAT_db_failures, 1);
}

#ifdef DROVER_MUTANTS
void store_tx_then(struct store_tx *tx, struct store_tx *next)
{
	if (tx->then)
		store_tx_then(tx->then, next);
	else
		tx->then = next;
}
#endif
