/* SPDX-License-Identifier: MIT */
/*
 * bench_queue jobs FOLDER JOBS WORKERS BATCH [split]: WORKERS processes claim and acknowledge BATCH
 * jobs at a time, a feeder makes JOBS of them in runs of 100, all at once; prints jobs/s from the
 * first to the last that is done. Everything is durable (WAL, synchronous=FULL) and keeps its
 * history. `split`: the claim is a transaction of its own.
 *
 * bench_queue writers FOLDER gate|busy WRITERS SECONDS: processes that write batches of 100 rows as
 * fast as they can; prints rows/s and the longest time that one batch took. `gate` is common/store,
 * `busy` is SQLite with its busy handler alone.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "store/store.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_JOBS = 100, ROWS = 100, IDLE_MS = 5, WRITERS_MAX = 64 };

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_queue: %s failed\n", what);
	exit(1);
}

static void open_store(struct store **store, struct loop **loop, const char *folder, bool create)
{
	struct err err;
	const struct store_options options = {
		.url = "sqlite:bench.db", .state_dir = folder, .create = create
	};
	must(loop_new(loop, &err) == 0, "loop");
	must(store_open(store, *loop, &options, &err) == 0, "store");
}

static pid_t start(void)
{
	fflush(NULL);
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void end_all(const pid_t *pids, int count)
{
	for (int i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* ---- jobs ---- */

struct bench_worker {
	struct store *store;
	struct queue *queue;
	struct loop_timer *idle;
	size_t batch;
	bool split;
};

static void on_acknowledged(void *arg, const struct store_result *r);

static void on_tasks(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct bench_worker *w = arg;
	must(status == QUEUE_OK || status == QUEUE_UNAVAILABLE, queue_error());
	if (count == 0) {
		loop_timer_start(w->idle, IDLE_MS);
		return;
	}
	struct store_tx *tx = store_tx_new(w->store, 0);
	for (size_t i = 0; i < count; i++) {
		queue_tx_done(tx, tasks[i]); /* checks the fence by itself */
		task_free(tasks[i]);
	}
	if (!w->split)
		queue_tx_claim(w->queue, tx, w->batch, on_tasks, w);
	store_submit(w->store, tx, on_acknowledged, w);
}

static void claim(void *arg)
{
	struct bench_worker *w = arg;
	queue_claim(w->queue, w->batch, on_tasks, w);
}

static void on_acknowledged(void *arg, const struct store_result *r)
{
	struct bench_worker *w = arg;
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	if (w->split)
		claim(w);
}

static void work(const char *folder, int number, size_t batch, bool split)
{
	struct bench_worker w = { .batch = batch, .split = split };
	struct loop *loop;
	char owner[32];
	snprintf(owner, sizeof(owner), "bench/1/w:%d/1", number);
	const struct queue_options options = { .owner = owner, .kind = "collect" };
	open_store(&w.store, &loop, folder, false);
	must(queue_open(&w.queue, w.store, &options) == 0, "queue");
	w.idle = loop_timer_new(loop, claim, &w);
	claim(&w);
	loop_run(loop);
	exit(1);
}

struct feeder {
	struct loop *loop;
	struct store *store;
	struct loop_timer *poll;
	long open;
};

static void on_migrated(void *arg, enum queue_status status)
{
	struct feeder *f = arg;
	must(status == QUEUE_OK, queue_error());
	loop_stop(f->loop);
}

static void on_fed(void *arg, const struct store_result *r)
{
	struct feeder *f = arg;
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	if (--f->open == 0)
		loop_stop(f->loop);
}

static void feed(struct feeder *f, long jobs)
{
	static const char *payloads[RUN_JOBS];
	for (size_t i = 0; i < RUN_JOBS; i++)
		payloads[i] = "{}";
	f->open = jobs / RUN_JOBS;
	for (long i = 0; i < jobs / RUN_JOBS; i++) {
		const struct run_request run = { .job = "bench",
			.kind = "collect",
			.trigger = "manual",
			.max_attempts = 3,
			.priority = 1,
			.payloads = payloads,
			.payload_count = RUN_JOBS };
		struct store_tx *tx = store_tx_new(f->store, 0);
		queue_tx_run(tx, &run, clock_real_ms());
		store_submit(f->store, tx, on_fed, f);
	}
	loop_run(f->loop);
}

static void on_left(void *arg, const struct store_result *r)
{
	struct feeder *f = arg;
	if (store_result_int(r, 0, 0, 0) == 0)
		loop_stop(f->loop);
	else
		loop_timer_start(f->poll, IDLE_MS);
}

static void poll_left(void *arg)
{
	struct feeder *f = arg;
	struct store_tx *tx = store_tx_new(f->store, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL", NULL, 0);
	store_submit(f->store, tx, on_left, f);
}

static void run_jobs(const char *folder, long jobs, int workers, size_t batch, bool split)
{
	struct feeder f = { 0 };
	jobs -= jobs % RUN_JOBS;
	pid_t pids[WRITERS_MAX] = { 0 };
	/* In a child: whoever forks on must have no thread. */
	pid_t maker = start();
	if (maker == 0) {
		open_store(&f.store, &f.loop, folder, true);
		queue_migrate(f.store, on_migrated, &f);
		loop_run(f.loop);
		store_close(f.store);
		_exit(0);
	}
	must(waitpid(maker, NULL, 0) == maker, "wait");
	for (int i = 0; i < workers; i++)
		if ((pids[i] = start()) == 0)
			work(folder, i, batch, split);
	open_store(&f.store, &f.loop, folder, false);
	f.poll = loop_timer_new(f.loop, poll_left, &f);
	int64_t begun = clock_mono_us();
	feed(&f, jobs);
	int64_t fed = clock_mono_us();
	poll_left(&f);
	loop_run(f.loop);
	int64_t ended = clock_mono_us();
	end_all(pids, workers);
	printf("{\"jobs_per_s\": %.0f, \"fed_s\": %.3f, \"all_s\": %.3f}\n",
		(double)jobs * 1e6 / (double)(ended - begun), (double)(fed - begun) / 1e6,
		(double)(ended - begun) / 1e6);
}

/* ---- writers ---- */

struct writer {
	struct loop *loop;
	struct store *store;
	int64_t begun_us, *worst_us, *rows;
};

static void count_batch(struct writer *w)
{
	*w->worst_us = MAX(*w->worst_us, clock_mono_us() - w->begun_us);
	*w->rows += ROWS;
}

static void write_batch(struct writer *w);

static void on_batch(void *arg, const struct store_result *r)
{
	struct writer *w = arg;
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	count_batch(w);
	write_batch(w);
}

static const char insert[] = "INSERT INTO t (a, b) VALUES ($1, $2)";
static const char text[] = "thirty bytes of text, or so ok";

static void write_batch(struct writer *w)
{
	struct store_tx *tx = store_tx_new(w->store, 0);
	for (int64_t i = 0; i < ROWS; i++) {
		const struct store_value v[] = { STORE_VALUE_INT(i), store_text(text) };
		store_tx_sql(tx, insert, v, 2);
	}
	w->begun_us = clock_mono_us();
	store_submit(w->store, tx, on_batch, w);
}

static sqlite3 *open_bare(const char *folder)
{
	char path[4096];
	sqlite3 *db;
	snprintf(path, sizeof(path), "%s/bench.db", folder);
	must(sqlite3_open(path, &db) == SQLITE_OK, "open");
	sqlite3_busy_timeout(db, 20000);
	must(sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", NULL, NULL,
		     NULL) == SQLITE_OK,
		"pragmas");
	return db;
}

static void write_bare(struct writer *w, const char *folder)
{
	sqlite3_stmt *row;
	sqlite3 *db = open_bare(folder);
	must(sqlite3_prepare_v2(db, insert, -1, &row, NULL) == SQLITE_OK, "prepare");
	for (;;) {
		w->begun_us = clock_mono_us();
		must(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK, "begin");
		for (int64_t i = 0; i < ROWS; i++) {
			sqlite3_bind_int64(row, 1, i);
			sqlite3_bind_text(row, 2, text, sizeof(text) - 1, SQLITE_STATIC);
			must(sqlite3_step(row) == SQLITE_DONE, "row");
			sqlite3_reset(row);
		}
		must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
		count_batch(w);
	}
}

static void run_writers(const char *folder, bool gate, int writers, unsigned seconds)
{
	pid_t pids[WRITERS_MAX] = { 0 };
	int64_t(*shared)[2] = mmap(NULL, sizeof(int64_t[WRITERS_MAX][2]), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t worst = 0, rows = 0, fewest = INT64_MAX;
	must(shared != MAP_FAILED, "mmap");
	sqlite3 *db = open_bare(folder);
	must(sqlite3_exec(db, "CREATE TABLE t (a INTEGER, b TEXT)", NULL, NULL, NULL) == SQLITE_OK,
		"table");
	sqlite3_close(db);
	for (int i = 0; i < writers; i++) {
		if ((pids[i] = start()) != 0)
			continue;
		struct writer w = { .worst_us = &shared[i][0], .rows = &shared[i][1] };
		if (!gate)
			write_bare(&w, folder);
		open_store(&w.store, &w.loop, folder, false);
		write_batch(&w);
		loop_run(w.loop);
		_exit(1);
	}
	sleep(seconds);
	end_all(pids, writers);
	for (int i = 0; i < writers; i++) {
		worst = MAX(worst, shared[i][0]);
		rows += shared[i][1];
		fewest = MIN(fewest, shared[i][1]);
	}
	printf("{\"rows_per_s\": %.0f, \"worst_ms\": %.0f, \"fewest_share\": %.3f}\n",
		(double)rows / seconds, (double)worst / 1000,
		(double)fewest / (double)MAX(rows, 1));
}

int main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[1], "jobs") == 0) {
		int workers = atoi(argv[4]);
		must(workers > 0 && workers <= WRITERS_MAX, "WORKERS");
		run_jobs(argv[2], atol(argv[3]), workers, (size_t)atol(argv[5]), argc > 6);
		return 0;
	}
	if (argc == 6 && strcmp(argv[1], "writers") == 0) {
		int writers = atoi(argv[4]);
		must(writers > 0 && writers <= WRITERS_MAX, "WRITERS");
		run_writers(
			argv[2], strcmp(argv[3], "gate") == 0, writers, (unsigned)atoi(argv[5]));
		return 0;
	}
	fprintf(stderr, "bench_queue jobs FOLDER JOBS WORKERS BATCH [split]\n"
			"bench_queue writers FOLDER gate|busy WRITERS SECONDS\n");
	return 2;
}
