/* SPDX-License-Identifier: MIT */
/* The pool: which transaction goes to which connection, and when there are more of them. */
#include "store/pg_engine.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

enum {
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 2000,
	CLOSE_MS = 3000,
	PING_AFTER_MS = 30000,
	LOOK_AHEAD = 256, /* how many of those that wait are looked at */
	CONNS_MAX = 64,
};

static void on_acquire(void *arg);
static void on_reconnect(void *arg);

/* ---- the face ---- */

static int check(const char *url, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	PQconninfoFree(options);
	/* libpq's own words repeat the text, with its password. */
	return options ? 0
		       : err_set(err, -EINVAL,
				 "the store's url is not as PostgreSQL has it: "
				 "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE");
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
	return value > 0 ? value : otherwise;
}

static void set_pool(struct store_pool *pool, const struct store_pool *wanted)
{
	*pool = (struct store_pool) {
		.max = MIN(or_default(wanted->max, 4), (int64_t)CONNS_MAX),
		.acquire_ms = or_default(wanted->acquire_ms, 30000),
		.connect_ms = or_default(wanted->connect_ms, 10000),
		.statement_ms = or_default(wanted->statement_ms, 60000),
		.idle_ms = or_default(wanted->idle_ms, 300000),
		.recycle_ms = or_default(wanted->recycle_ms, 1800000),
		.no_pre_ping = wanted->no_pre_ping,
	};
	pool->min = MIN(MAX(wanted->min, (int64_t)0), pool->max);
}

static void engine_free(struct store_engine *e)
{
	for (size_t i = 0; e->conns && i < e->conn_count; i++)
		pg_conn_finish(&e->conns[i]);
	loop_timer_free(e->acquire);
	loop_timer_free(e->reconnect);
	free(e->conns);
	free(e->tables);
	table_texts_finish(&e->texts);
	mem_wipe_free(e->url);
	free(e);
}

static int start(
	struct store_engine **out, const struct store_engine_config *config, struct err *err)
{
	struct store_engine *e = NEW(struct store_engine);
	if (!e)
		return err_set(err, -ENOMEM, "open the store");
	e->store = config->store;
	e->loop = config->loop;
	e->create = config->create;
	e->random = (uint64_t)clock_mono_us() * UINT64_C(0x9e3779b97f4a7c15) | 1;
	list_init(&e->waiting);
	set_pool(&e->pool, &config->pool);
	e->conn_count = (size_t)e->pool.max;
	e->url = strdup(config->url);
	e->conns = calloc(e->conn_count, sizeof(*e->conns));
	e->acquire = loop_timer_new(e->loop, on_acquire, e);
	e->reconnect = loop_timer_new(e->loop, on_reconnect, e);
	if (!e->url || !e->conns || !e->acquire || !e->reconnect) {
		engine_free(e);
		return err_set(err, -ENOMEM, "open the store");
	}
	for (size_t i = 0; i < e->conn_count; i++)
		pg_conn_init(&e->conns[i], e);
	loop_timer_start(e->reconnect, 0);
	*out = e;
	return 0;
}

static void await(struct store_engine *e)
{
	struct store_tx *first = LIST_FIRST(&e->waiting, struct store_tx, node);
	if (first)
		loop_timer_start(e->acquire,
			MAX(first->queued_ms + e->pool.acquire_ms - clock_mono_ms(), (int64_t)1));
}

static void submit(struct store_engine *e, struct store_tx *tx)
{
	tx->order = ++e->submitted;
	tx->queued_ms = clock_mono_ms();
	list_add_tail(&e->waiting, &tx->node);
	pg_engine_dispatch(e);
	if (!loop_timer_armed(e->acquire))
		await(e);
}

static void trim(struct store_engine *e)
{
	for (size_t i = 0; i < e->conn_count; i++)
		e->conns[i].forget_statements = true;
}

/* ---- who goes ---- */

static void finish(struct store_engine *e, struct store_tx *tx)
{
	struct list one;
	list_init(&one);
	list_remove(&tx->node);
	list_add_tail(&one, &tx->node);
	store_finished(e->store, &one);
}

static struct pg_conn *idle_conn(struct store_engine *e)
{
	for (size_t i = 0; i < e->conn_count; i++)
		if (e->conns[i].state == PG_IDLE)
			return &e->conns[i];
	return NULL;
}

/* Indexes take their time, and nobody waits for them. */
static bool is_reader(const struct store_tx *tx)
{
	return (tx->flags & STORE_READ_ONLY) || pg_is_index_run(tx);
}

/* What is under way or must go first: a lane's writers one after the other, lane 0 alone, readers
 * after every writer that was submitted before them. */
struct before {
	uint64_t lanes[LOOK_AHEAD + CONNS_MAX];
	size_t count;
	uint64_t oldest; /* the order of the writer that was submitted first */
	bool all;	 /* one of lane 0 */
};

static void goes_before(struct before *b, const struct store_tx *tx)
{
	if (is_reader(tx))
		return;
	b->all = b->all || tx->lane == 0;
	b->oldest = MIN(b->oldest, tx->order);
	b->lanes[b->count++] = tx->lane;
}

static bool may_go(const struct before *b, const struct store_tx *tx)
{
	if (b->all || (tx->lane == 0 && !is_reader(tx) && b->count > 0))
		return false;
	/* Later writers may be under way already, and always are when many write. */
	if (is_reader(tx))
		return tx->order < b->oldest;
	for (size_t i = 0; i < b->count; i++)
		if (b->lanes[i] == tx->lane)
			return false;
	return true;
}

static void under_way(struct store_engine *e, struct before *b)
{
	for (size_t i = 0; i < e->conn_count; i++)
		if (e->conns[i].run.tx)
			goes_before(b, e->conns[i].run.tx);
}

static bool is_opening(const struct pg_conn *c)
{
	return c->state > PG_CLOSED && c->state < PG_SETTLING;
}

/* One more connection, as soon as the last failure allows it. */
static void want_connection(struct store_engine *e)
{
	struct pg_conn *best = NULL;
	for (size_t i = 0; i < e->conn_count; i++) {
		struct pg_conn *c = &e->conns[i];
		/* First those whose transaction has an open end. */
		if (c->state == PG_CLOSED && (!best || (c->run.tx && !best->run.tx)))
			best = c;
	}
	int64_t wait = e->next_connect_ms - clock_mono_ms();
	if (best && (wait <= 0 || e->closing))
		pg_conn_open(best);
	else if (best && !loop_timer_armed(e->reconnect))
		loop_timer_start(e->reconnect, MAX(wait, (int64_t)1));
}

static void keep_enough(struct store_engine *e, bool more)
{
	size_t usable = 0, opening = 0, unsettled = 0;
	for (size_t i = 0; i < e->conn_count; i++) {
		usable += pg_conn_is_open(&e->conns[i]);
		opening += is_opening(&e->conns[i]);
		unsettled += e->conns[i].state == PG_CLOSED && e->conns[i].run.tx;
	}
	if (opening == 0 && (more || unsettled || (int64_t)usable < e->pool.min))
		want_connection(e);
}

static void count_connections(struct store_engine *e)
{
	size_t active = 0, idle = 0;
	for (size_t i = 0; i < e->conn_count; i++) {
		active += e->conns[i].run.tx && pg_conn_is_open(&e->conns[i]);
		idle += e->conns[i].state == PG_IDLE;
	}
	store_count_connections(e->store, active, idle);
}

void pg_engine_dispatch(struct store_engine *e)
{
	struct before before = { .oldest = UINT64_MAX };
	bool more = false;
	int looked = 0;
	under_way(e, &before);
	LIST_FOR_EACH_SAFE (node, &e->waiting) {
		struct store_tx *tx = LIST_ENTRY(node, struct store_tx, node);
		if (before.all || looked++ >= LOOK_AHEAD)
			break;
		struct pg_conn *c = may_go(&before, tx) ? idle_conn(e) : NULL;
		more = more || (!c && may_go(&before, tx));
		goes_before(&before, tx);
		if (!c) {
			tx->waited = true;
			continue;
		}
		list_remove(node);
		store_count_taken(e->store, tx, tx->waited);
		int64_t idled = clock_mono_ms() - c->idle_since_ms;
		pg_run_start(c, tx,
			!e->pool.no_pre_ping &&
				idled >= MIN((int64_t)PING_AFTER_MS, e->pool.idle_ms / 2));
		if (c->broken)
			pg_conn_lost(c);
	}
	keep_enough(e, more);
	count_connections(e);
}

/* ---- what connections tell ---- */

static void becomes_idle(struct pg_conn *c)
{
	pg_run_clear(&c->run);
	if (c->state == PG_CLOSED)
		return;
	c->state = PG_IDLE;
	c->idle_since_ms = clock_mono_ms();
	if (c->engine->closing)
		return;
	/* Also looks at its age, however busy it is. */
	if (c->idle_since_ms >= c->recycle_ms)
		pg_conn_close(c);
	else
		loop_timer_start(
			c->timer, MIN(c->engine->pool.idle_ms, c->recycle_ms - c->idle_since_ms));
	count_connections(c->engine);
}

void pg_engine_done(struct pg_conn *c, enum store_status status, const char *error)
{
	struct store_tx *tx = c->run.tx;
	store_tx_outcome(tx, status, "%s", error);
	becomes_idle(c);
	finish(c->engine, tx);
}

void pg_engine_again(struct pg_conn *c)
{
	struct store_tx *tx = c->run.tx;
	becomes_idle(c);
	struct list *at = c->engine->waiting.next;
	while (at != &c->engine->waiting &&
		LIST_ENTRY(at, struct store_tx, node)->order < tx->order)
		at = at->next;
	list_add_tail(at, &tx->node); /* before `at` */
}

void pg_engine_connected(struct pg_conn *c)
{
	c->engine->backoff_ms = 0;
	store_count_opened(c->engine->store);
	becomes_idle(c);
}

/* Nothing of these was begun. */
static void fail_waiting(struct store_engine *e, const char *why)
{
	LIST_FOR_EACH_SAFE (node, &e->waiting) {
		struct store_tx *tx = LIST_ENTRY(node, struct store_tx, node);
		store_tx_outcome(tx, STORE_UNAVAILABLE, "%s", why);
		finish(e, tx);
	}
}

void pg_engine_lost(struct pg_conn *c, bool was_open)
{
	struct store_engine *e = c->engine;
	store_count_failed(e->store);
	if (was_open)
		return; /* the next dispatch opens it again, if it is needed */
	int64_t backoff = e->backoff_ms ? MIN(e->backoff_ms * 2, (int64_t)BACKOFF_MAX_MS)
					: BACKOFF_MIN_MS;
	e->backoff_ms = backoff;
	e->next_connect_ms = clock_mono_ms() + backoff / 2 + pg_random(e, backoff / 2);
	for (size_t i = 0; i < e->conn_count; i++)
		if (pg_conn_is_open(&e->conns[i]))
			return;
	fail_waiting(e, c->error);
	if (!loop_timer_armed(e->reconnect) && !e->closing)
		loop_timer_start(e->reconnect, e->next_connect_ms - clock_mono_ms());
}

static void on_reconnect(void *arg)
{
	pg_engine_dispatch(arg);
}

static void on_acquire(void *arg)
{
	struct store_engine *e = arg;
	int64_t now = clock_mono_ms();
	char text[32], why[96];
	snprintf(why, sizeof(why), "PostgreSQL: no connection was free within %s",
		str_duration(text, sizeof(text), e->pool.acquire_ms));
	for (struct store_tx *tx; (tx = LIST_FIRST(&e->waiting, struct store_tx, node));) {
		if (now < tx->queued_ms + e->pool.acquire_ms)
			break;
		store_tx_outcome(tx, STORE_UNAVAILABLE, "%s", why);
		finish(e, tx);
	}
	await(e);
}

int64_t pg_random(struct store_engine *e, int64_t max)
{
	/* xorshift64 */
	e->random ^= e->random << 13;
	e->random ^= e->random >> 7;
	e->random ^= e->random << 17;
	return max > 0 ? (int64_t)(e->random % ((uint64_t)max + 1)) : 0;
}

/* ---- tables that are right ---- */

bool pg_engine_knows_table(struct store_engine *e, uint64_t fingerprint)
{
	for (size_t i = 0; i < e->table_count; i++)
		if (e->tables[i] == fingerprint)
			return true;
	return false;
}

void pg_engine_learn_table(struct store_engine *e, uint64_t fingerprint)
{
	if (!pg_engine_knows_table(e, fingerprint) &&
		mem_grow((void **)&e->tables, &e->table_cap, e->table_count, sizeof(*e->tables)) ==
			0)
		e->tables[e->table_count++] = fingerprint;
}

/* ---- the end ---- */

static bool is_busy(const struct store_engine *e)
{
	bool busy = !list_empty(&e->waiting);
	for (size_t i = 0; i < e->conn_count; i++)
		busy = busy || e->conns[i].run.tx;
	return busy;
}

/* Without the loop: whoever closes wants to exit. */
static void poll_once(struct store_engine *e, int64_t timeout_ms)
{
	struct pollfd fds[CONNS_MAX];
	struct pg_conn *of[CONNS_MAX];
	nfds_t count = 0;
	for (size_t i = 0; i < e->conn_count; i++) {
		unsigned events = 0;
		int fd = pg_conn_socket(&e->conns[i], &events);
		if (fd < 0)
			continue;
		fds[count] = (struct pollfd) { .fd = fd,
			.events = (short)(((events & LOOP_READ) ? POLLIN : 0) |
					  ((events & LOOP_WRITE) ? POLLOUT : 0)) };
		of[count++] = &e->conns[i];
	}
	if (poll(fds, count, (int)timeout_ms) <= 0)
		return;
	for (nfds_t i = 0; i < count; i++) {
		short seen = fds[i].revents;
		if (seen)
			pg_conn_ready(of[i], (seen & ~POLLOUT ? LOOP_READ : 0U) |
						     (seen & POLLOUT ? LOOP_WRITE : 0U));
	}
}

static bool close_engine(struct store_engine *e)
{
	int64_t until = clock_mono_ms() + CLOSE_MS;
	e->closing = true;
	for (size_t i = 0; i < e->conn_count; i++) {
		struct pg_conn *c = &e->conns[i];
		loop_io_free(TAKE(c->io));
		/* What waits for the next try has it now; who only looks up a name is given up. */
		if (c->state == PG_PAUSING)
			pg_run_restart(c);
		if (c->state == PG_RESOLVING)
			c->broken = true;
		if (c->broken)
			pg_conn_lost(c);
	}
	pg_engine_dispatch(e);
	while (is_busy(e) && clock_mono_ms() < until)
		poll_once(e, MIN(until - clock_mono_ms(), (int64_t)50));
	engine_free(e);
	return true;
}

const struct store_engine_ops store_engine_pg = {
	.schemes = { "postgresql://", "postgres://" },
	.dialect = STORE_DIALECT_POSTGRESQL,
	.check = check,
	.start = start,
	.submit = submit,
	.trim = trim,
	.close = close_engine,
};
