/* SPDX-License-Identifier: MIT */
/*
 * bench_store bare|drover URL ROWS BATCH [TASKS]: upserts ROWS rows of ten columns (about 300
 * bytes, rising keys) in batches of BATCH, each with a checkpoint row in the same transaction, and
 * prints one line of JSON with rows/s and CPU microseconds a row of this process. `bare` is the
 * limit: a plain loop of the same statements, SQLite (WAL, synchronous=FULL, prepared) or libpq
 * (prepared, pipelined, binary; rows one by one below 20, arrays that are unnested from there on);
 * `drover` is common/store as the collect worker uses it, which has TASKS tasks under way (1), each
 * with one batch at a time and a checkpoint of its own. URL: sqlite:/FILE or postgresql://..., in
 * which the tables are made anew.
 */
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "loop/loop.h"
#include "store/store.h"
#include <libpq-fe.h>
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

/* Measured is from the first batch to the last, on an open connection. */
static double cpu;
static int64_t wall;

static void begin_measuring(void)
{
	cpu = cpu_us();
	wall = clock_mono_us();
}

static void end_measuring(void)
{
	wall = clock_mono_us() - wall;
	cpu = cpu_us() - cpu;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_store: %s failed\n", what);
	exit(1);
}

/* ---- bare ---- */

static void bare_sqlite(const char *path)
{
	sqlite3 *db;
	sqlite3_stmt *row, *mark;
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
		     "UPDATE SET c1=excluded.c1, c2=excluded.c2, c3=excluded.c3, c4=excluded.c4, "
		     "c5=excluded.c5, c6=excluded.c6, c7=excluded.c7, c8=excluded.c8, "
		     "c9=excluded.c9 "
		     "WHERE t.c1 IS NOT excluded.c1 OR t.c2 IS NOT excluded.c2 OR t.c3 IS NOT "
		     "excluded.c3 OR t.c4 IS NOT excluded.c4 OR t.c5 IS NOT excluded.c5 OR t.c6 IS "
		     "NOT excluded.c6 OR t.c7 IS NOT excluded.c7 OR t.c8 IS NOT excluded.c8 OR "
		     "t.c9 "
		     "IS NOT excluded.c9",
		     -1, &row, NULL) == SQLITE_OK,
		"prepare");
	must(sqlite3_prepare_v2(db, "UPDATE mark SET v=?1 WHERE id=1", -1, &mark, NULL) ==
			SQLITE_OK,
		"prepare");
	begin_measuring();
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
	end_measuring();
	sqlite3_finalize(row);
	sqlite3_finalize(mark);
	sqlite3_close(db);
}

/* ---- bare libpq ---- */

enum { SINGLE_ROWS = 20, INT8 = 20, TEXT = 25, INT8_ARRAY = 1016, TEXT_ARRAY = 1009 };
#define CHANGED(c) "t." c " IS DISTINCT FROM excluded." c
#define CONFLICT                                                                                                       \
	" ON CONFLICT (id) DO UPDATE SET c1=excluded.c1, c2=excluded.c2, c3=excluded.c3,"                              \
	" c4=excluded.c4, c5=excluded.c5, c6=excluded.c6, c7=excluded.c7, c8=excluded.c8,"                             \
	" c9=excluded.c9 WHERE " CHANGED("c1") " OR " CHANGED("c2") " OR " CHANGED(                                    \
		"c3") " OR " CHANGED("c4") " OR " CHANGED("c5") " OR " CHANGED("c6") " OR"                             \
										     " " CHANGED("c7") " OR " CHANGED( \
											     "c8") " OR " CHANGED("c9")

static char *put(char *at, uint64_t v, int bytes)
{
	while (bytes-- > 0)
		*at++ = (char)(v >> (8 * bytes));
	return at;
}

static char *array_head(char *at, uint64_t oid, long n)
{
	at = put(at, 1, 4);
	at = put(at, 0, 4);
	at = put(at, oid, 4);
	at = put(at, (uint64_t)n, 4);
	return put(at, 1, 4);
}

/* Everything up to the next sync, all of it without an error. */
static void settle(PGconn *pg)
{
	must(PQpipelineSync(pg) == 1, "sync");
	for (bool synced = false; !synced;) {
		PGresult *res = PQgetResult(pg);
		ExecStatusType status = res ? PQresultStatus(res) : PGRES_COMMAND_OK;
		synced = status == PGRES_PIPELINE_SYNC;
		must(status == PGRES_COMMAND_OK || synced, PQerrorMessage(pg));
		PQclear(res);
	}
}

static void run(PGconn *pg, const char *sql)
{
	PGresult *res = PQexec(pg, sql);
	must(PQresultStatus(res) == PGRES_COMMAND_OK, PQerrorMessage(pg));
	PQclear(res);
}

static void prepare(PGconn *pg, const char *name, const char *sql, int count, Oid first, Oid others)
{
	Oid types[COLUMNS] = { first };
	for (int i = 1; i < count; i++)
		types[i] = others;
	PGresult *res = PQprepare(pg, name, sql, count, types);
	must(PQresultStatus(res) == PGRES_COMMAND_OK, PQerrorMessage(pg));
	PQclear(res);
}

static void bare_row(PGconn *pg, long id)
{
	static const int formats[COLUMNS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	char key_bytes[8];
	const char *values[COLUMNS] = { key_bytes };
	int lengths[COLUMNS] = { 8 };
	put(key_bytes, (uint64_t)id, 8);
	for (int c = 1; c < COLUMNS; c++) {
		values[c] = text;
		lengths[c] = sizeof(text) - 1;
	}
	must(PQsendQueryPrepared(pg, "row", COLUMNS, values, lengths, formats, 0) == 1, "send");
}

static void bare_arrays(PGconn *pg, long id, long n)
{
	static const int formats[COLUMNS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	const char *values[COLUMNS];
	int lengths[COLUMNS];
	char *arrays[COLUMNS];
	for (int c = 0; c < COLUMNS; c++) {
		char *at = arrays[c] = malloc(20 + (size_t)n * (4 + sizeof(text)));
		must(at != NULL, "memory");
		at = array_head(at, c ? TEXT : INT8, n);
		for (long i = 0; i < n; i++) {
			at = put(at, c ? sizeof(text) - 1 : 8, 4);
			if (c)
				memcpy(at, text, sizeof(text) - 1), at += sizeof(text) - 1;
			else
				at = put(at, (uint64_t)(id + i), 8);
		}
		values[c] = arrays[c];
		lengths[c] = (int)(at - arrays[c]);
	}
	must(PQsendQueryPrepared(pg, "rows", COLUMNS, values, lengths, formats, 0) == 1, "send");
	for (int c = 0; c < COLUMNS; c++)
		free(arrays[c]);
}

static void bare_libpq(const char *url)
{
	PGconn *pg = PQconnectdb(url);
	must(PQstatus(pg) == CONNECTION_OK, PQerrorMessage(pg));
	run(pg, "SET client_min_messages = warning");
	run(pg, "DROP TABLE IF EXISTS t");
	run(pg, "DROP TABLE IF EXISTS mark");
	run(pg, "CREATE TABLE mark (id BIGINT PRIMARY KEY, v BIGINT)");
	run(pg, "INSERT INTO mark VALUES (1, 0)");
	run(pg, "CREATE TABLE t (id BIGINT NOT NULL, c1 TEXT, c2 TEXT, c3 TEXT, c4 TEXT, c5 TEXT, "
		"c6 "
		"TEXT, c7 TEXT, c8 TEXT, c9 TEXT)");
	run(pg, "CREATE UNIQUE INDEX t_key ON t (id)");
	prepare(pg, "mark", "UPDATE mark SET v = $1 WHERE id = 1", 1, INT8, 0);
	prepare(pg, "row", "INSERT INTO t VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)" CONFLICT,
		COLUMNS, INT8, TEXT);
	prepare(pg, "rows",
		"INSERT INTO t SELECT * FROM unnest($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)" CONFLICT,
		COLUMNS, INT8_ARRAY, TEXT_ARRAY);
	prepare(pg, "begin", "BEGIN", 0, 0, 0);
	prepare(pg, "commit", "COMMIT", 0, 0, 0);
	must(PQenterPipelineMode(pg) == 1, "pipeline");
	begin_measuring();
	for (long id = 0, n; id < rows; id += n) {
		char mark_bytes[8];
		const char *value = mark_bytes;
		const int length = 8, format = 1;
		n = rows - id < batch ? rows - id : batch;
		put(mark_bytes, (uint64_t)id, 8);
		PQsendQueryPrepared(pg, "begin", 0, NULL, NULL, NULL, 0);
		PQsendQueryPrepared(pg, "mark", 1, &value, &length, &format, 0);
		for (long i = 0; n < SINGLE_ROWS && i < n; i++)
			bare_row(pg, id + i);
		if (n >= SINGLE_ROWS)
			bare_arrays(pg, id, n);
		/* What was answered decides about COMMIT. */
		settle(pg);
		PQsendQueryPrepared(pg, "commit", 0, NULL, NULL, NULL, 0);
		settle(pg);
	}
	end_measuring();
	PQfinish(pg);
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

/* As a parser left them; only the keys differ. */
static struct store_value *values;

/* A task of a worker: its next batch follows when the one before is durable. */
enum { TASKS_MAX = 64 };
static struct task {
	int64_t id;
} tasks[TASKS_MAX];
static long task_count = 1, tasks_busy;

static void submit_batch(struct task *task);

static void on_made(void *arg, const struct store_result *r)
{
	(void)arg;
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	begin_measuring();
	tasks_busy = task_count;
	for (long i = 0; i < task_count; i++) {
		tasks[i].id = i + 1;
		submit_batch(&tasks[i]);
	}
}

static void on_done(void *arg, const struct store_result *r)
{
	must(store_result_status(r) == STORE_OK, store_result_error(r));
	if (next_id < rows) {
		submit_batch(arg);
	} else if (--tasks_busy == 0) {
		end_measuring();
		loop_stop(loop);
	}
}

static void submit_batch(struct task *task)
{
	long n = rows - next_id < batch ? rows - next_id : batch;
	struct store_tx *tx = store_tx_new(store, 0);
	must(tx != NULL, "memory");
	for (long i = 0; i < n; i++)
		values[i * COLUMNS] = STORE_VALUE_INT(next_id + i);
	const struct store_value mark[] = { STORE_VALUE_INT(next_id), STORE_VALUE_INT(task->id) };
	if (task_count > 1)
		store_tx_lane(tx, (uint64_t)task->id);
	store_tx_sql(tx, "UPDATE mark SET v = $1 WHERE id = $2", mark, 2);
	store_tx_expect(tx, 1);
	store_tx_table(tx, &table);
	store_tx_upsert(tx, &table, values, (size_t)n);
	next_id += n;
	store_submit(store, tx, on_done, task);
}

static void run_drover(const char *url)
{
	struct err err;
	must(loop_new(&loop, &err) == 0, "loop");
	for (int c = 0; c < COLUMNS; c++)
		columns[c] = (struct store_column) { names[c], c ? COLUMN_TEXT : COLUMN_INTEGER };
	values = calloc((size_t)batch * COLUMNS, sizeof(*values));
	must(values != NULL, "memory");
	for (long i = 0; i < batch * COLUMNS; i++)
		values[i] = store_text(text);
	const struct store_options options = { .url = url, .state_dir = "/", .create = true };
	must(store_open(&store, loop, &options, &err) == 0, err.text);
	struct store_tx *tx = store_tx_new(store, 0);
	store_tx_sql(tx, "DROP TABLE IF EXISTS t", NULL, 0);
	store_tx_sql(tx, "DROP TABLE IF EXISTS mark", NULL, 0);
	store_tx_sql(tx, "CREATE TABLE mark (id INTEGER PRIMARY KEY, v BIGINT)", NULL, 0);
	for (int64_t i = 1; i <= task_count; i++) {
		const struct store_value id = STORE_VALUE_INT(i);
		store_tx_sql(tx, "INSERT INTO mark VALUES ($1, 0)", &id, 1);
	}
	store_tx_table(tx, &table);
	store_submit(store, tx, on_made, NULL);
	loop_run(loop);
	store_close(store);
	loop_free(loop);
	free(values);
}

int main(int argc, char **argv)
{
	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: bench_store bare|drover URL ROWS BATCH [TASKS]\n");
		return 2;
	}
	if (argc == 6)
		task_count = strtol(argv[5], NULL, 10);
	must(task_count >= 1 && task_count <= TASKS_MAX && task_count * batch <= rows, "TASKS");
	rows = strtol(argv[3], NULL, 10);
	batch = strtol(argv[4], NULL, 10);
	bool is_sqlite = strncmp(argv[2], "sqlite:", 7) == 0;
	if (strcmp(argv[1], "drover") == 0)
		run_drover(argv[2]);
	else if (is_sqlite)
		bare_sqlite(argv[2] + 7);
	else
		bare_libpq(argv[2]);
	printf("{\"what\": \"%s\", \"rows\": %ld, \"batch\": %ld, \"rows_per_s\": %.0f, "
	       "\"cpu_us_per_row\": %.2f}\n",
		argv[1], rows, batch, (double)rows / ((double)wall / 1e6), cpu / (double)rows);
	return 0;
}
