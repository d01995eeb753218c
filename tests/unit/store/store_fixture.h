/* SPDX-License-Identifier: MIT */
#pragma once
/* A real store on a real loop: a file in a private folder, or a schema of the server that
 * DROVER_TEST_POSTGRES names (tests/postgres). Submits and waits for the outcome. */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "store/store.h"
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outcome {
	struct loop *loop;
	int calls;
	enum store_status status;
	int64_t changes[8];
	int64_t value; /* first column of the first row of the last statement with rows */
	size_t rows;
	char text[256], error[512];
};

enum fixture_engine { ON_SQLITE, ON_POSTGRESQL };
static enum fixture_engine fixture_on;

struct fixture {
	char dir[64], path[96], schema[48], url[512];
	struct store_options options;
	struct loop *loop;
	struct store *store;
	struct outcome out;
};

static inline void on_done(void *arg, const struct store_result *r)
{
	struct outcome *out = arg;
	out->calls++;
	out->status = store_result_status(r);
	snprintf(out->error, sizeof(out->error), "%s", store_result_error(r));
	out->rows = 0;
	for (size_t i = 0; i < 8; i++) {
		out->changes[i] = store_result_changes(r, i);
		if (store_result_rows(r, i) == 0)
			continue;
		out->rows = store_result_rows(r, i);
		out->value = store_result_int(r, i, 0, 0);
		const char *text = store_result_text(r, i, 0, 0);
		snprintf(out->text, sizeof(out->text), "%s", text ? text : "(null)");
	}
	loop_stop(out->loop);
}

static inline int64_t server_sql(const char *url, const char *sql)
{
	PGconn *pg = PQconnectdb(url);
	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	PGresult *res = PQexec(pg, sql);
	int64_t value = -1;
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) > 0)
		value = PQgetvalue(res, 0, 0)[0] == 't' ? 1
							: strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	else if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(pg));
	PQclear(res);
	PQfinish(pg);
	return value;
}

static inline void make_place(struct fixture *f)
{
	static int number;
	char sql[96];
	snprintf(f->dir, sizeof(f->dir), "/tmp/drover-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/t.db", f->dir);
	snprintf(f->url, sizeof(f->url), "sqlite:t.db");
	if (fixture_on == ON_SQLITE)
		return;
	const char *server = getenv("DROVER_TEST_POSTGRES");
	snprintf(f->schema, sizeof(f->schema), "u%d_%d", getpid(), number++);
	snprintf(sql, sizeof(sql), "CREATE SCHEMA %s", f->schema);
	server_sql(server, sql);
	snprintf(f->url, sizeof(f->url), "%s%coptions=-csearch_path%%3D%s&application_name=%s",
		server, strchr(server, '?') ? '&' : '?', f->schema, f->schema);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	struct err err;
	assert_non_null(f);
	make_place(f);
	assert_int_equal(loop_new(&f->loop, &err), 0);
	f->options = (struct store_options) {
		.url = f->url, .state_dir = f->dir, .create = true, .busy_ms = 100
	};
	assert_int_equal(store_open(&f->store, f->loop, &f->options, &err), 0);
	f->out.loop = f->loop;
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char path[160];
	store_close(f->store);
	loop_free(f->loop);
	if (f->schema[0]) {
		snprintf(path, sizeof(path), "DROP SCHEMA %s CASCADE", f->schema);
		server_sql(getenv("DROVER_TEST_POSTGRES"), path);
	}
	const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "store.lock", "old.db",
		"old.db-wal", "old.db-shm" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* The same tests on each engine. */
static inline int run_on_both(const char *name, const struct CMUnitTest *tests, size_t count,
	CMFixtureFunction group_setup)
{
	int failed = _cmocka_run_group_tests(name, tests, count, group_setup, NULL);
	char on_server[96];
	snprintf(on_server, sizeof(on_server), "%s on PostgreSQL", name);
	fixture_on = ON_POSTGRESQL;
	if (getenv("DROVER_TEST_POSTGRES"))
		failed += _cmocka_run_group_tests(on_server, tests, count, group_setup, NULL);
	else
		printf("SKIPPED: %s: DROVER_TEST_POSTGRES names no server (tests/postgres)\n",
			name);
	return failed;
}
#define RUN_ON_BOTH(tests) run_on_both(#tests, tests, sizeof(tests) / sizeof((tests)[0]), NULL)

/* Takes tx. */
static inline struct outcome *run_tx(struct fixture *f, struct store_tx *tx)
{
	store_submit(f->store, tx, on_done, &f->out);
	loop_run(f->loop);
	return &f->out;
}

static inline struct outcome *run_sql(struct fixture *f, const char *sql)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx, sql, NULL, 0);
	return run_tx(f, tx);
}

#define assert_ok(out)                                                    \
	do {                                                              \
		struct outcome *o_ = (out);                               \
		if (o_->status != STORE_OK)                               \
			fail_msg("status %d: %s", o_->status, o_->error); \
	} while (0)

/* A stranger's look at the database, in this process but not through the store. */
static inline int64_t peek(struct fixture *f, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t value = -1;
	if (f->schema[0])
		return server_sql(f->url, sql);
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}
