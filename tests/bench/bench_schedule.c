/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's ticker, chain and queue on a real store, driven directly: 100,000 jobs are more
 * than one file of YAML holds.
 *
 * bench_schedule measure FOLDER JOBS EVERY_MS SECONDS [ended]: jobs with phases spread over
 * EVERY_MS, on SQLite in FOLDER; prints one line of JSON: due times a second, CPU microseconds for
 * each, and how long after its instant a due time was durable (seen by another connection that
 * looks each ms). SECONDS is less than EVERY_MS, so that each due time makes a run; they stay open,
 * or (ended) another process ends them each 20 ms, as workers do that keep up: its CPU is not
 * counted.
 *
 * bench_schedule bare FOLDER JOBS BATCH: the least that could be durable, BATCH due times a commit:
 * a bare loop that inserts one row and moves the next due time of a job, in no order of the jobs.
 *
 * bench_schedule storm URL FOLDER JOBS EVERY_MS OWNER: a scheduler, and a worker that ends tasks,
 * until it is killed; several share one database. Jobs take the policies in turn.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "scheduler/chain.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker.h"
#include "store/store.h"
#include "worker/worker.h"
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const struct worker_kind *const worker_kinds[];

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_schedule: %s failed\n", what);
	exit(1);
}

/* ---- what scheduler.c and the worker's frame would do ---- */

void scheduler_wake(struct scheduler *s, const char *kind)
{
	(void)s;
	(void)kind;
}

void scheduler_store_said(struct scheduler *s, enum store_status status, const char *error)
{
	(void)s;
	if (status == STORE_FAILED) {
		fprintf(stderr, "bench_schedule: %s\n", error);
		exit(1);
	}
}

/* ---- the configuration ---- */

#define REST                                                                                    \
	"kind: collect, request: {provider: p, path: /x}, fields: {id: id}, store: {table: t, " \
	"key: "                                                                                 \
	"[id]}"

/* One job of each policy; they are copied as often as needed. */
static struct config *load(const char *folder, long every_ms, bool storm)
{
	struct config *config;
	struct buf report = BUF_INIT;
	char path[4096];
	snprintf(path, sizeof(path), "%s/bench%d.yaml", folder, (int)getpid());
	FILE *f = fopen(path, "w");
	must(f != NULL, path);
	fprintf(f, "providers: {p: {base_url: \"https://p.example.org/\"}}\njobs:\n");
	fprintf(f, "  a: {" REST ", schedule: {every: %ldms, overlap: skip}}\n", every_ms);
	if (storm) {
		fprintf(f, "  b: {" REST ", schedule: {every: %ldms, overlap: queue}}\n", every_ms);
		fprintf(f, "  c: {" REST ", schedule: {every: %ldms, overlap: replace}}\n",
			every_ms);
		fprintf(f, "  d: {" REST ", schedule: {every: %ldms, overlap: allow}}\n", every_ms);
		fprintf(f, "  e: {" REST ", schedule: {after: a, on: end, overlap: allow}}\n");
	}
	fclose(f);
	const struct config_options options = { .file = path,
		.state_dir = folder,
		.runtime_dir = folder,
		.log_dir = folder,
		.kinds = worker_kinds };
	must(config_load(&config, &options, &report) == 0, buf_str(&report));
	unlink(path);
	buf_finish(&report);
	return config;
}

static void multiply(struct config *config, size_t count)
{
	struct config_job *jobs = calloc(count, sizeof(*jobs));
	size_t kinds = config->job_count;
	must(jobs != NULL, "memory");
	for (size_t i = 0; i < count; i++) {
		char name[64];
		jobs[i] = config->jobs[i % kinds];
		snprintf(name, sizeof(name), "%s%zu", jobs[i].name, i / kinds);
		jobs[i].name = strdup(name);
		if (jobs[i].due.after.count) {
			snprintf(name, sizeof(name), "a%zu", i / kinds);
			jobs[i].due.after.items = calloc(1, sizeof(char *));
			jobs[i].due.after.items[0] = strdup(name);
		}
	}
	config->jobs = jobs;
	config->job_count = count;
}

/* ---- one scheduler ---- */

struct bench {
	struct scheduler s;
	struct config *config;
	bool migrated;
};

static void on_migrated(void *arg, enum queue_status status)
{
	struct bench *b = arg;
	b->migrated = status == QUEUE_OK;
	if (status == QUEUE_FAILED)
		fprintf(stderr, "bench_schedule: %s\n", queue_error());
	loop_stop(b->s.loop);
}

static void open_all(struct bench *b, const char *url, const char *folder)
{
	struct err err;
	must(loop_new(&b->s.loop, &err) == 0, "loop");
	const struct store_options options = { .url = url, .state_dir = folder, .create = true };
	must(store_open(&b->s.store, b->s.loop, &options, &err) == 0, err.text);
	while (!b->migrated) {
		queue_migrate(b->s.store, on_migrated, b);
		loop_run(b->s.loop);
	}
	b->s.ticker = ticker_new(&b->s);
	b->s.chain = chain_new(&b->s);
	must(b->s.ticker && b->s.chain, "memory");
	must(ticker_configure(b->s.ticker, b->config, &err) == 0, err.text);
	ticker_start(b->s.ticker);
	chain_start(b->s.chain);
}

static void on_time(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct bench *b, int64_t ms)
{
	struct loop_timer *timer = loop_timer_new(b->s.loop, on_time, b->s.loop);
	must(timer != NULL, "memory");
	loop_timer_start(timer, ms);
	loop_run(b->s.loop);
	loop_timer_free(timer);
}

struct ender {
	struct bench *b;
	struct queue *queue; /* of the storm */
	struct loop_timer *timer;
};

/* ---- measuring ---- */

static double cpu_us(int who)
{
	struct rusage u;
	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

struct watcher {
	char path[4096];
	sqlite3 *db;
	atomic_bool stop;
	int64_t *late_ms;
	size_t count, cap;
	double cpu;
};

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	must(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, sql);
	int64_t n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return n;
}

static void *watch(void *arg)
{
	struct watcher *w = arg;
	sqlite3_stmt *news;
	int64_t last = number(w->db, "SELECT COALESCE(MAX(id), 0) FROM drover_run");
	must(sqlite3_prepare_v2(w->db, "SELECT id, due_at FROM drover_run WHERE id > ?1", -1, &news,
		     NULL) == SQLITE_OK,
		"prepare");
	while (!w->stop) {
		nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);
		sqlite3_bind_int64(news, 1, last);
		int64_t now = clock_real_ms();
		while (sqlite3_step(news) == SQLITE_ROW && w->count < w->cap) {
			last = sqlite3_column_int64(news, 0);
			w->late_ms[w->count++] = now - sqlite3_column_int64(news, 1);
		}
		sqlite3_reset(news);
	}
	sqlite3_finalize(news);
	w->cpu = cpu_us(RUSAGE_THREAD);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* All jobs are known and have run once; now their phases are spread, evenly and in no order. */
static void spread(sqlite3 *db, long every_ms)
{
	char sql[512];
	snprintf(sql, sizeof(sql),
		"UPDATE drover_job SET next_due_at = %lld + (rowid * 7919 * 104729) %% %ld;"
		"DELETE FROM drover_due; DELETE FROM drover_task; DELETE FROM drover_run;"
		"PRAGMA wal_checkpoint(TRUNCATE)",
		(long long)clock_real_ms() + 3000, every_ms);
	must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

/* ---- a process that ends runs, as workers do that keep up ---- */

enum { END_MS = 20 };

static void on_runs_ended(void *arg, const struct store_result *r);

static void end_runs(void *arg)
{
	struct ender *e = arg;
	struct store_tx *tx = store_tx_new(e->b->s.store, 0);
	const struct store_value now = STORE_VALUE_INT(clock_real_ms());
	must(tx != NULL, "memory");
	store_tx_sql(tx,
		"DELETE FROM drover_task WHERE run_id IN (SELECT id FROM drover_run"
		" WHERE finished_at IS NULL)",
		NULL, 0);
	store_tx_sql(tx,
		"UPDATE drover_run SET state = 'succeeded', started_at = $1, finished_at = $1"
		" WHERE finished_at IS NULL",
		&now, 1);
	store_submit(e->b->s.store, tx, on_runs_ended, e);
}

static void on_runs_ended(void *arg, const struct store_result *r)
{
	struct ender *e = arg;
	(void)r; /* at first there is no database */
	loop_timer_start(e->timer, END_MS);
}

static pid_t start_ender(const char *folder)
{
	struct err err;
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct bench b = { 0 };
	struct ender e = { .b = &b };
	const struct store_options options = { .url = "sqlite:bench.db", .state_dir = folder };
	must(loop_new(&b.s.loop, &err) == 0, "loop");
	must(store_open(&b.s.store, b.s.loop, &options, &err) == 0, err.text);
	must((e.timer = loop_timer_new(b.s.loop, end_runs, &e)) != NULL, "memory");
	loop_timer_start(e.timer, END_MS);
	loop_run(b.s.loop);
	_exit(0);
}

static void measure(const char *folder, long jobs, long every_ms, long seconds, bool ended)
{
	struct bench b = { 0 };
	pid_t ender = ended ? start_ender(folder) : 0;
	struct watcher w = { .cap = (size_t)(jobs * (seconds * 1000 / every_ms + 2)) };
	pthread_t thread;
	b.config = load(folder, every_ms, false);
	multiply(b.config, (size_t)jobs);
	open_all(&b, "sqlite:bench.db", folder);
	snprintf(w.path, sizeof(w.path), "%s/bench.db", folder);
	must(sqlite3_open(w.path, &w.db) == SQLITE_OK, "open");
	sqlite3_busy_timeout(w.db, 20000);
	while (number(w.db, "SELECT COUNT(*) FROM drover_due") < jobs)
		run_for(&b, 200);
	ticker_stop(b.s.ticker);
	run_for(&b, 500);
	spread(w.db, every_ms);
	w.late_ms = calloc(w.cap, sizeof(*w.late_ms));
	must(w.late_ms && pthread_create(&thread, NULL, watch, &w) == 0, "watcher");
	ticker_start(b.s.ticker);
	run_for(&b, 4000); /* read again, and a second of work */
	size_t before = w.count;
	double cpu = cpu_us(RUSAGE_SELF);
	int64_t began = clock_mono_ms();
	run_for(&b, seconds * 1000);
	double used = cpu_us(RUSAGE_SELF) - cpu, took = (double)(clock_mono_ms() - began) / 1000;
	w.stop = true;
	pthread_join(thread, NULL);
	if (ended) {
		kill(ender, SIGKILL);
		waitpid(ender, NULL, 0);
	}
	size_t n = w.count - before;
	must(n > 0, "anything fell due");
	used -= w.cpu;
	qsort(w.late_ms + before, n, sizeof(*w.late_ms), by_size);
	const int64_t *late = w.late_ms + before;
	printf("{\"jobs\": %ld, \"dues_per_s\": %.0f, \"cpu_us_per_due\": %.2f, \"late_p50_ms\": "
	       "%lld, \"late_p99_ms\": %lld, \"late_max_ms\": %lld, \"runs\": %lld}\n",
		jobs, (double)n / took, used / (double)n, (long long)late[n / 2],
		(long long)late[n - 1 - n / 100], (long long)late[n - 1],
		(long long)number(w.db, "SELECT COUNT(*) FROM drover_run"));
	sqlite3_close(w.db);
}

/* ---- the limit ---- */

static void bare(const char *folder, long jobs, long batch)
{
	sqlite3 *db;
	sqlite3_stmt *add, *move;
	char path[4096], name[32];
	snprintf(path, sizeof(path), "%s/bare.db", folder);
	must(sqlite3_open(path, &db) == SQLITE_OK, "open");
	snprintf(path, sizeof(path),
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		"CREATE TABLE job (name TEXT PRIMARY KEY, next INTEGER);"
		"CREATE TABLE task (id INTEGER PRIMARY KEY, job TEXT, due INTEGER);"
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %ld)"
		" INSERT INTO job SELECT 'a' || i, 0 FROM n",
		jobs - 1);
	must(sqlite3_exec(db, path, NULL, NULL, NULL) == SQLITE_OK, "schema");
	must(sqlite3_prepare_v2(db, "INSERT INTO task (job, due) VALUES (?1, ?2)", -1, &add,
		     NULL) == SQLITE_OK &&
			sqlite3_prepare_v2(db, "UPDATE job SET next = ?2 WHERE name = ?1", -1,
				&move, NULL) == SQLITE_OK,
		"prepare");
	double cpu = cpu_us(RUSAGE_SELF);
	int64_t began = clock_mono_ms();
	for (long i = 0; i < jobs; i++) {
		sqlite3_stmt *both[] = { add, move };
		if (i % batch == 0)
			sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		snprintf(name, sizeof(name), "a%ld", i * 7919 % jobs);
		for (int k = 0; k < 2; k++) {
			sqlite3_bind_text(both[k], 1, name, -1, SQLITE_STATIC);
			sqlite3_bind_int64(both[k], 2, i);
			must(sqlite3_step(both[k]) == SQLITE_DONE, "step");
			sqlite3_reset(both[k]);
		}
		if (i % batch == batch - 1 || i == jobs - 1)
			must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
	}
	printf("{\"dues_per_s\": %.0f, \"cpu_us_per_due\": %.2f}\n",
		(double)jobs * 1000 / (double)MAX(clock_mono_ms() - began, (int64_t)1),
		(cpu_us(RUSAGE_SELF) - cpu) / (double)jobs);
	sqlite3_finalize(add);
	sqlite3_finalize(move);
	sqlite3_close(db);
}

/* ---- the storm ---- */

enum { LEASE_MS = 1500, CLAIMS = 20, WORK_MS = 30 };

static void on_claimed(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct ender *e = arg;
	for (size_t i = 0; i < count; i++) {
		/* Some are held on to, and end by their lease or a cancellation. */
		if (status == QUEUE_OK && tasks[i]->id % 7 != 0) {
			struct store_tx *tx = store_tx_new(e->b->s.store, 0);
			queue_tx_guard(e->queue, tx, tasks[i], NULL);
			queue_tx_done(tx, tasks[i]);
			store_submit(e->b->s.store, tx, NULL, NULL);
		}
		task_free(tasks[i]);
	}
	loop_timer_start(e->timer, WORK_MS);
}

static void work(void *arg)
{
	struct ender *e = arg;
	queue_free_expired(e->b->s.store, "", "", clock_real_ms(), NULL, NULL);
	queue_claim(e->queue, CLAIMS, on_claimed, e);
}

static void storm(const char *url, const char *folder, long jobs, long every_ms, const char *owner)
{
	struct bench b = { 0 };
	struct ender e = { .b = &b };
	b.config = load(folder, every_ms, true);
	multiply(b.config, (size_t)jobs);
	open_all(&b, url, folder);
	const struct queue_options options = {
		.owner = owner, .kind = "collect", .lease_ms = LEASE_MS
	};
	must(queue_open(&e.queue, b.s.store, &options) == 0, "queue");
	e.timer = loop_timer_new(b.s.loop, work, &e);
	must(e.timer != NULL, "memory");
	loop_timer_start(e.timer, 0);
	printf("ready\n");
	fflush(stdout);
	loop_run(b.s.loop);
}

int main(int argc, char **argv)
{
	if ((argc == 6 || argc == 7) && strcmp(argv[1], "measure") == 0)
		measure(argv[2], strtol(argv[3], NULL, 10), strtol(argv[4], NULL, 10),
			strtol(argv[5], NULL, 10), argc == 7);
	else if (argc == 5 && strcmp(argv[1], "bare") == 0)
		bare(argv[2], strtol(argv[3], NULL, 10), strtol(argv[4], NULL, 10));
	else if (argc == 7 && strcmp(argv[1], "storm") == 0)
		storm(argv[2], argv[3], strtol(argv[4], NULL, 10), strtol(argv[5], NULL, 10),
			argv[6]);
	else
		must(0, "usage: measure FOLDER JOBS EVERY_MS SECONDS [ended], bare FOLDER JOBS "
			"BATCH, or "
			"storm URL FOLDER JOBS "
			"EVERY_MS OWNER");
	return 0;
}
