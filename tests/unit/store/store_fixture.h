/* SPDX-License-Identifier: MIT */
#pragma once
/* A real store on a real loop in a private folder; submits and waits for the outcome. */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "store/store.h"
#include <sqlite3.h>
#include <stdio.h>
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

struct fixture {
	char dir[64], path[96];
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

static inline int fixture_setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	struct err err;
	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/drover-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/t.db", f->dir);
	assert_int_equal(loop_new(&f->loop, &err), 0);
	struct store_options options = {
		.url = "sqlite:t.db", .state_dir = f->dir, .create = true, .busy_ms = 100
	};
	assert_int_equal(store_open(&f->store, f->loop, &options, &err), 0);
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

/* A stranger's look at the file, in this process but not through the store. */
static inline int64_t peek(struct fixture *f, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t value = -1;
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}
