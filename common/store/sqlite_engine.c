/* SPDX-License-Identifier: MIT */
/* The store thread: takes all that waits, one commit for the writers, each in its savepoint. */
#include "store/sqlite_engine.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { GROUP_MAX = 128, BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, CLOSE_S = 3 };
enum { AWAKE_US = 50, RESTS_MAX = 1024 };

struct store_engine {
	struct store *store;
	char *path, *lock_path;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	struct list inbox;	/* under mutex: struct store_tx by .node */
	bool stop, trim, ended; /* under mutex; ended: the thread is about to */
	bool working;		/* under mutex: the thread has a batch */
	atomic_bool asked;	/* there is something to do: a hint, the mutex tells */
	/* the thread's own */
	unsigned rests, rests_next; /* ends of batches at which it sleeps at once */
	struct sqlite_conn conn;
	int64_t backoff_ms, next_open_ms;
};

static void *thread_main(void *arg);
static void serve(struct store_engine *e, struct list *batch);

static const char scheme[] = "sqlite:";

static int check(const char *url, struct err *err)
{
	const char *address = url + strlen(scheme);
	if (!*address || strchr(address, '\n') || str_eq(address, ":memory:"))
		return err_set(
			err, -EINVAL, "the store's url must name a file: \"sqlite:drover.db\"");
	return 0;
}

static void engine_free(struct store_engine *e)
{
	pthread_mutex_destroy(&e->mutex);
	pthread_cond_destroy(&e->changed);
	free(e->path);
	free(e->lock_path);
	free(e);
}

static int make_paths(struct store_engine *e, const struct store_engine_config *config)
{
	const char *address = config->url + strlen(scheme);
	int len = address[0] == '/' || !config->state_dir
			  ? asprintf(&e->path, "%s", address)
			  : asprintf(&e->path, "%s/%s", config->state_dir, address);
	if (len < 0)
		e->path = NULL;
	const char *slash = e->path ? strrchr(e->path, '/') : NULL;
	int folder = slash ? (int)(slash - e->path + 1) : 0;
	if (!e->path || asprintf(&e->lock_path, "%.*sstore.lock", folder, e->path) < 0) {
		e->lock_path = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Signals are the loop's: this thread takes none. */
static int start_thread(struct store_engine *e)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&e->thread, NULL, thread_main, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static int start(
	struct store_engine **out, const struct store_engine_config *config, struct err *err)
{
	struct store_engine *e = NEW(struct store_engine);
	if (!e)
		return err_set(err, -ENOMEM, "open the store");
	e->store = config->store;
	/* Without counting under a lock what each malloc took. Refused when SQLite is in use: then
	 * it counts. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	list_init(&e->inbox);
	pthread_mutex_init(&e->mutex, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&e->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int rc = make_paths(e, config);
	if (rc == 0) {
		sqlite_conn_init(&e->conn, e->path, e->lock_path, config->create, config->busy_ms);
		rc = start_thread(e);
	}
	if (rc < 0) {
		engine_free(e);
		return err_sys(err, rc, "start the store thread");
	}
	*out = e;
	return 0;
}

static void submit(struct store_engine *e, struct store_tx *tx)
{
	pthread_mutex_lock(&e->mutex);
	tx->waited = e->working || !list_empty(&e->inbox);
	list_add_tail(&e->inbox, &tx->node);
	atomic_store(&e->asked, true);
	pthread_mutex_unlock(&e->mutex);
	/* Whoever wakes up finds the mutex free. */
	pthread_cond_signal(&e->changed);
}

static void trim(struct store_engine *e)
{
	pthread_mutex_lock(&e->mutex);
	e->trim = true;
	atomic_store(&e->asked, true);
	pthread_cond_signal(&e->changed);
	pthread_mutex_unlock(&e->mutex);
}

static struct timespec at_mono_ms(int64_t ms)
{
	return (struct timespec) { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

static bool close_engine(struct store_engine *e)
{
	pthread_mutex_lock(&e->mutex);
	e->stop = true;
	atomic_store(&e->asked, true);
	pthread_cond_signal(&e->changed);
	/* The holder of store.lock may be stopped, the disk may hang: whoever closes wants to exit.
	 */
	struct timespec until;
	clock_gettime(
		CLOCK_MONOTONIC, &until); /* the condition's own, whatever clock_mono_ms() plays */
	until.tv_sec += CLOSE_S;
	int rc = 0;
	while (!e->ended && rc == 0)
		rc = pthread_cond_timedwait(&e->changed, &e->mutex, &until);
	bool ended = e->ended;
	pthread_mutex_unlock(&e->mutex);
	if (!ended) {
		pthread_detach(e->thread);
		return false;
	}
	pthread_join(e->thread, NULL);
	engine_free(e);
	return true;
}

const struct store_engine_ops store_engine_sqlite = {
	.schemes = { scheme },
	.dialect = STORE_DIALECT_SQLITE,
	.check = check,
	.start = start,
	.submit = submit,
	.trim = trim,
	.close = close_engine,
};

/* ---- the thread ---- */

/* The page cache, the statements; both come back with use. */
static void trim_now(struct store_engine *e)
{
	e->trim = false;
	pthread_mutex_unlock(&e->mutex);
	sqlite_statements_free(&e->conn);
	if (e->conn.db)
		sqlite3_db_release_memory(e->conn.db);
	pthread_mutex_lock(&e->mutex);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now); /* whatever clock_mono_us() plays */
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static bool has_one_processor(void)
{
	cpu_set_t ours;
	return sched_getaffinity(0, sizeof(ours), &ours) == 0 && CPU_COUNT(&ours) == 1;
}

/*
 * Who is told of an end mostly submits the next transaction at once. Until then this thread stays
 * awake, because going to sleep and being woken takes as long as a small transaction; whenever
 * nothing came, it sleeps at once twice as often.
 */
static void stay_awake(struct store_engine *e)
{
	pthread_mutex_lock(&e->mutex);
	e->working = false;
	pthread_mutex_unlock(&e->mutex);
	if (e->rests > 0) {
		e->rests--;
		return;
	}
	for (int64_t until = now_us() + AWAKE_US; now_us() < until;)
		if (atomic_load_explicit(&e->asked, memory_order_relaxed)) {
			e->rests_next = 0;
			return;
		}
	e->rests_next = MIN(e->rests_next * 2 + 1, (unsigned)RESTS_MAX);
	e->rests = has_one_processor() ? RESTS_MAX : e->rests_next;
}

/* Waits for work, and while the database is away for the next try; then takes what there is. */
static bool take_batch(struct store_engine *e, struct list *batch)
{
	pthread_mutex_lock(&e->mutex);
	for (;;) {
		if (e->trim)
			trim_now(e);
		if (!list_empty(&e->inbox) || e->stop)
			break;
		if (!e->trim)
			pthread_cond_wait(&e->changed, &e->mutex);
	}
	struct timespec until = at_mono_ms(e->next_open_ms);
	while (!e->stop && clock_mono_ms() < e->next_open_ms)
		pthread_cond_timedwait(&e->changed, &e->mutex, &until);
	for (int n = 0; n < GROUP_MAX && !list_empty(&e->inbox); n++) {
		struct list *node = e->inbox.next;
		list_remove(node);
		list_add_tail(batch, node);
	}
	e->working = !list_empty(batch);
	atomic_store(&e->asked, !list_empty(&e->inbox));
	pthread_mutex_unlock(&e->mutex);
	return !list_empty(batch);
}

static void *thread_main(void *arg)
{
	struct store_engine *e = arg;
	struct list batch;
	list_init(&batch);
	while (take_batch(e, &batch)) {
		serve(e, &batch);
		stay_awake(e);
	}
	sqlite_conn_finish(&e->conn);
	pthread_mutex_lock(&e->mutex);
	e->ended = true;
	pthread_cond_signal(&e->changed);
	pthread_mutex_unlock(&e->mutex);
	return NULL;
}

static void all_unavailable(struct list *batch, const char *why)
{
	LIST_FOR_EACH (node, batch)
		store_tx_outcome(
			LIST_ENTRY(node, struct store_tx, node), STORE_UNAVAILABLE, "%s", why);
}

static void undo_all(struct sqlite_conn *c)
{
	sqlite_tables_doubt(c);
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(c->db))
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
}

/* In its savepoint: one that fails leaves the others' work alone. @return the error that ends the
 * whole group, or SQLITE_OK */
static int write_one(struct sqlite_conn *c, struct store_tx *tx)
{
	int rc = sqlite_control(c, "SAVEPOINT one");
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite_execute(c, tx);
	if (sqlite3_get_autocommit(c->db) || tx->result.status == STORE_UNAVAILABLE)
		return rc == SQLITE_OK ? SQLITE_ABORT : rc;
	if (tx->result.status != STORE_OK) {
		sqlite_tables_doubt(c);
		if ((rc = sqlite_control(c, "ROLLBACK TO one")) != SQLITE_OK)
			return rc;
	}
	return sqlite_control(c, "RELEASE one");
}

/* Nobody else's work is in it: it needs no savepoint, whose journal in memory SQLite walks anew for
 * each statement (a transaction of 2,000 took six times as long). */
static int write_alone(struct sqlite_conn *c, struct store_tx *tx)
{
	int rc = sqlite_execute(c, tx);
	if (sqlite3_get_autocommit(c->db) || tx->result.status == STORE_UNAVAILABLE)
		return rc == SQLITE_OK ? SQLITE_ABORT : rc;
	if (tx->result.status == STORE_OK)
		return sqlite_control(c, "COMMIT");
	sqlite_tables_doubt(c);
	return sqlite_control(c, "ROLLBACK");
}

static int write_several(struct sqlite_conn *c, struct list *group)
{
	LIST_FOR_EACH (node, group) {
		int rc = write_one(c, LIST_ENTRY(node, struct store_tx, node));
		if (rc != SQLITE_OK)
			return rc;
	}
	return sqlite_control(c, "COMMIT");
}

/* One BEGIN, one COMMIT. What one of them saw may come from an earlier one, so a commit that fails
 * takes every outcome with it. */
static int write_group(struct sqlite_conn *c, struct list *group)
{
	int rc = sqlite_control(c, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = group->next->next == group
			     ? write_alone(c, LIST_ENTRY(group->next, struct store_tx, node))
			     : write_several(c, group);
	if (rc != SQLITE_OK) {
		all_unavailable(group, c->error);
		undo_all(c);
	}
	return rc;
}

static int write_gated(struct sqlite_conn *c, struct list *group)
{
	if (!sqlite_gate_enter(c)) {
		all_unavailable(group, c->error);
		return SQLITE_CANTOPEN;
	}
	int rc = write_group(c, group);
	sqlite_gate_leave(c);
	return rc;
}

/* Alone and without the gate: WAL readers block nobody. */
static int read_one(struct sqlite_conn *c, struct store_tx *tx)
{
	int rc = sqlite_control(c, "BEGIN");
	if (rc == SQLITE_OK) {
		rc = sqlite_execute(c, tx);
		undo_all(c);
	} else {
		store_tx_outcome(tx, STORE_UNAVAILABLE, "%s", c->error);
	}
	return tx->result.status == STORE_UNAVAILABLE ? rc : SQLITE_OK;
}

static bool ready(struct store_engine *e)
{
	bool was_open = e->conn.db != NULL;
	if (sqlite_conn_ready(&e->conn)) {
		if (!was_open)
			store_count_opened(e->store);
		e->backoff_ms = 0;
		return true;
	}
	store_count_failed(e->store);
	e->backoff_ms = e->backoff_ms ? MIN(e->backoff_ms * 2, (int64_t)BACKOFF_MAX_MS)
				      : BACKOFF_MIN_MS;
	e->next_open_ms = clock_mono_ms() + e->backoff_ms;
	return false;
}

/* Moves the leading transactions of `from` that are (or are not) read-only. */
static void take_while(struct list *from, struct list *to, bool read_only, bool skip_others)
{
	LIST_FOR_EACH_SAFE (node, from) {
		struct store_tx *tx = LIST_ENTRY(node, struct store_tx, node);
		if (((tx->flags & STORE_READ_ONLY) != 0) == read_only) {
			list_remove(node);
			list_add_tail(to, node);
		} else if (!skip_others) {
			return;
		}
	}
}

static void finish_part(struct store_engine *e, struct list *part, bool writers)
{
	if (list_empty(part))
		return;
	struct sqlite_conn *c = &e->conn;
	bool open = ready(e);
	LIST_FOR_EACH (node, part) {
		const struct store_tx *tx = LIST_ENTRY(node, struct store_tx, node);
		if (open)
			store_count_taken(e->store, tx, tx->waited);
	}
	store_count_connections(e->store, open, 0);
	if (!open) {
		all_unavailable(part, c->error);
	} else if (writers) {
		sqlite_conn_doubt(c, write_gated(c, part));
	} else {
		int rc = SQLITE_OK;
		LIST_FOR_EACH (node, part) {
			struct store_tx *tx = LIST_ENTRY(node, struct store_tx, node);
			if (rc == SQLITE_OK)
				rc = read_one(c, tx);
			else
				store_tx_outcome(tx, STORE_UNAVAILABLE, "%s", c->error);
		}
		sqlite_conn_doubt(c, rc);
	}
	if (open && !c->db)
		store_count_failed(e->store);
	store_count_connections(e->store, 0, c->db != NULL);
	store_finished(e->store, part);
}

/* Readers asked before the first writer do not wait for the gate; those asked later see what was
 * asked before. */
static void serve(struct store_engine *e, struct list *batch)
{
	struct list part;
	list_init(&part);
	take_while(batch, &part, true, false);
	finish_part(e, &part, false);
	take_while(batch, &part, false, true);
	finish_part(e, &part, true);
	take_while(batch, &part, true, false);
	finish_part(e, &part, false);
}
