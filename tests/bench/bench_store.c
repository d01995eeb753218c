/* SPDX-License-Identifier: MIT */
/*
 * bench_store bare|drover FOLDER ROWS BATCH: upserts ROWS rows of ten columns (about 300 bytes,
 * rising keys) in batches of BATCH, each with a checkpoint row in the same transaction, and prints
 * one line of JSON with rows/s and CPU microseconds a row. `bare` is SQLite in a plain loop (WAL,
 * synchronous=FULL, prepared statements), the limit; `drover` is common/store as the collect worker
 * uses it.
 */
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "loop/loop.h"
#include "store/store.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { COLUMNS = 10 };
static const char *const names[COLUMNS] = { "id", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8",
	"c9" };
static long rows, batch;
static const char text[] = "thirty bytes of text, or so ok";

static double cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_store: %s failed\n", what);
	exit(1);
}

/* ---- bare ---- */

static void run_bare(const char *folder)
{
	char path[4096];
	sqlite3 *db;
	sqlite3_stmt *row, *mark;
	snprintf(path, sizeof(path), "%s/bare.db", folder);
	must(sqlite3_open(path, &db) == SQLITE_OK, "open");
	must(sqlite3_exec(db,
		     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		     "CREATE TABLE mark (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO mark "
		     "VALUES (1, 0);"
		     "CREATE TABLE t (id INTEGER, c1 TEXT, c2 TEXT, c3 TEXT, c4 TEXT, c5 TEXT, c6 "
		     "TEXT, c7 TEXT, c8 TEXT, c9 TEXT);"
		     "CREATE UNIQUE INDEX t_key ON t (id)",
		     NULL, NULL, NULL) == SQLITE_OK,
		"schema");
	must(sqlite3_prepare_v2(db,
		     "INSERT INTO t VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT (id) DO "
		     "UPDATE SET c1=?2, c2=?3, c3=?4, "
		     "c4=?5, c5=?6, c6=?7, c7=?8, c8=?9, c9=?10",
		     -1, &row, NULL) == SQLITE_OK,
		"prepare");
	must(sqlite3_prepare_v2(db, "UPDATE mark SET v=?1 WHERE id=1", -1, &mark, NULL) ==
			SQLITE_OK,
		"prepare");
	for (long id = 0; id < rows;) {
		must(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK, "begin");
		sqlite3_bind_int64(mark, 1, id);
		must(sqlite3_step(mark) == SQLITE_DONE, "mark");
		sqlite3_reset(mark);
		for (long i = 0; i < batch && id < rows; i++, id++) {
			sqlite3_bind_int64(row, 1, id);
			for (int c = 2; c <= COLUMNS; c++)
				sqlite3_bind_text(row, c, text, sizeof(text) - 1, SQLITE_STATIC);
			must(sqlite3_step(row) == SQLITE_DONE, "row");
			sqlite3_reset(row);
		}
		must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
	}
	sqlite3_finalize(row);
	sqlite3_finalize(mark);
	sqlite3_close(db);
}

/* ---- drover ---- */

static struct loop *loop;
static struct store *store;
static long next_id;
static struct store_column columns[COLUMNS];
static const char *const key[] = { "id" };
static const struct store_table table = {
	.name = "t", .columns = columns, .column_count = COLUMNS, .key = key, .key_count = 1
};

static void submit_batch(void);

static void on_done(void *arg, const struct store_result *r)
{
	(void)arg;
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	if (next_id < rows)
		submit_batch();
	else
		loop_stop(loop);
}

static void submit_batch(void)
{
	long n = rows - next_id < batch ? rows - next_id : batch;
	struct store_value *values = calloc((size_t)n * COLUMNS, sizeof(*values));
	struct store_tx *tx = store_tx_new(store, 0);
	must(values && tx, "memory");
	for (long i = 0; i < n; i++) {
		values[i * COLUMNS] = STORE_VALUE_INT(next_id + i);
		for (int c = 1; c < COLUMNS; c++)
			values[i * COLUMNS + c] = store_text(text);
	}
	const struct store_value mark[] = { STORE_VALUE_INT(next_id) };
	store_tx_sql(tx, "UPDATE mark SET v = $1 WHERE id = 1", mark, 1);
	store_tx_expect(tx, 1);
	store_tx_upsert(tx, &table, values, (size_t)n);
	free(values);
	next_id += n;
	store_submit(store, tx, on_done, NULL);
}

static void run_drover(const char *folder)
{
	struct err err;
	must(loop_new(&loop, &err) == 0, "loop");
	for (int c = 0; c < COLUMNS; c++)
		columns[c] = (struct store_column) { names[c], c ? COLUMN_TEXT : COLUMN_INTEGER };
	const struct store_options options = {
		.url = "sqlite:drover.db", .state_dir = folder, .create = true
	};
	must(store_open(&store, loop, &options, &err) == 0, "open");
	struct store_tx *tx = store_tx_new(store, 0);
	store_tx_sql(tx, "CREATE TABLE mark (id INTEGER PRIMARY KEY, v INTEGER)", NULL, 0);
	store_tx_sql(tx, "INSERT INTO mark VALUES (1, 0)", NULL, 0);
	store_tx_table(tx, &table);
	store_submit(store, tx, on_done, NULL);
	loop_run(loop);
	store_close(store);
	loop_free(loop);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: bench_store bare|drover FOLDER ROWS BATCH\n");
		return 2;
	}
	rows = strtol(argv[3], NULL, 10);
	batch = strtol(argv[4], NULL, 10);
	double cpu = cpu_us();
	int64_t wall = clock_mono_us();
	if (strcmp(argv[1], "bare") == 0)
		run_bare(argv[2]);
	else
		run_drover(argv[2]);
	wall = clock_mono_us() - wall;
	cpu = cpu_us() - cpu;
	printf("{\"what\": \"%s\", \"rows\": %ld, \"batch\": %ld, \"rows_per_s\": %.0f, "
	       "\"cpu_us_per_row\": %.2f}\n",
		argv[1], rows, batch, (double)rows / ((double)wall / 1e6), cpu / (double)rows);
	return 0;
}
