/* SPDX-License-Identifier: MIT */
/* The tables of schema.h, version 1. Another engine gets its own text of the same columns. */
#include "queue/schema.h"

#include "queue/queue_sql.h"
#include <stdio.h>
#include <stdlib.h>

#define VERSION_TEXT "1"
_Static_assert(QUEUE_SCHEMA_VERSION == 1, "a new version needs its steps in queue_migrate()");

/* AUTOINCREMENT: ids are never reused, also after the last row was deleted. */
static const char *const statements[] = {
	"CREATE TABLE IF NOT EXISTS drover_job (name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL,"
	" spec_hash TEXT NOT NULL, next_due_at BIGINT, paused BIGINT NOT NULL DEFAULT 0,"
	" updated_at BIGINT NOT NULL)",

	"CREATE TABLE IF NOT EXISTS drover_due (job TEXT NOT NULL, due_at BIGINT NOT NULL,"
	" outcome TEXT NOT NULL, reason TEXT, run_id BIGINT, decided_at BIGINT NOT NULL,"
	" PRIMARY KEY (job, due_at))",

	"CREATE TABLE IF NOT EXISTS drover_run (id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" job TEXT NOT NULL, trigger TEXT NOT NULL, request_id TEXT UNIQUE,"
	" token TEXT NOT NULL UNIQUE, due_at BIGINT, created_at BIGINT NOT NULL,"
	" started_at BIGINT, finished_at BIGINT, state TEXT NOT NULL,"
	" tasks_total BIGINT NOT NULL DEFAULT 0, tasks_done BIGINT NOT NULL DEFAULT 0,"
	" tasks_failed BIGINT NOT NULL DEFAULT 0, tasks_dead BIGINT NOT NULL DEFAULT 0,"
	" pages BIGINT NOT NULL DEFAULT 0, requests BIGINT NOT NULL DEFAULT 0,"
	" rows BIGINT NOT NULL DEFAULT 0, rejected BIGINT NOT NULL DEFAULT 0,"
	" bytes BIGINT NOT NULL DEFAULT 0, error_count BIGINT NOT NULL DEFAULT 0,"
	" errors TEXT NOT NULL DEFAULT '[]')",
	"CREATE INDEX IF NOT EXISTS drover_run_job ON drover_run (job, id)",
	"CREATE INDEX IF NOT EXISTS drover_run_open ON drover_run (job) WHERE finished_at IS NULL",

	"CREATE TABLE IF NOT EXISTS drover_task (id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" run_id BIGINT NOT NULL, job TEXT NOT NULL, kind TEXT NOT NULL,"
	" priority BIGINT NOT NULL, state BIGINT NOT NULL, not_before BIGINT NOT NULL,"
	" attempt BIGINT NOT NULL, max_attempts BIGINT NOT NULL, fence BIGINT NOT NULL,"
	" owner TEXT, lease_until BIGINT, checkpoint TEXT NOT NULL, payload TEXT NOT NULL,"
	" depth BIGINT NOT NULL, unique_key TEXT, timeout_ms BIGINT NOT NULL,"
	" created_at BIGINT NOT NULL, claimed_at BIGINT, last_error TEXT,"
	" UNIQUE (run_id, unique_key))",
	"CREATE INDEX IF NOT EXISTS drover_task_ready ON drover_task"
	" (kind, priority, run_id, not_before, id) WHERE state = 0",
	"CREATE INDEX IF NOT EXISTS drover_task_held ON drover_task (kind, priority, run_id)"
	" WHERE state = 1",
	"CREATE INDEX IF NOT EXISTS drover_task_claimed ON drover_task (owner) WHERE state = 1",
	"CREATE INDEX IF NOT EXISTS drover_task_leaving ON drover_task (run_id) WHERE state = 2",

	"CREATE TABLE IF NOT EXISTS drover_dead (id BIGINT NOT NULL PRIMARY KEY,"
	" run_id BIGINT NOT NULL, job TEXT NOT NULL, kind TEXT NOT NULL,"
	" priority BIGINT NOT NULL, attempt BIGINT NOT NULL, max_attempts BIGINT NOT NULL,"
	" fence BIGINT NOT NULL, checkpoint TEXT NOT NULL, payload TEXT NOT NULL,"
	" depth BIGINT NOT NULL, unique_key TEXT, timeout_ms BIGINT NOT NULL,"
	" created_at BIGINT NOT NULL, error TEXT, given_up BIGINT NOT NULL,"
	" failed_at BIGINT NOT NULL)",

	"CREATE TABLE IF NOT EXISTS drover_url (run_id BIGINT NOT NULL, url TEXT NOT NULL,"
	" depth BIGINT NOT NULL, state TEXT NOT NULL, reason TEXT, status BIGINT,"
	" task_id BIGINT, referrer TEXT, PRIMARY KEY (run_id, url))",

	"CREATE TABLE IF NOT EXISTS drover_owner (owner TEXT NOT NULL PRIMARY KEY, kind TEXT NOT "
	"NULL,"
	" since BIGINT NOT NULL)",
};

static const char newer[] =
	"the database was made by a newer drover (its schema version is not " VERSION_TEXT
	"): install that version, or use another database";

struct schema_call {
	queue_cb cb;
};

static void on_migrated(void *arg, const struct store_result *r)
{
	struct schema_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	if (status == QUEUE_LOST)
		status = queue_note_words(QUEUE_FAILED, newer);
	call->cb(arg, status);
}

void queue_migrate(struct store *store, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	struct schema_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	SQL(tx, "CREATE TABLE IF NOT EXISTS drover_meta (key TEXT NOT NULL PRIMARY KEY,"
		" value TEXT NOT NULL)");
	SQL(tx, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM drover_meta WHERE key = 'schema_version'"
		" AND CAST(value AS BIGINT) > " VERSION_TEXT ")");
	store_tx_expect(tx, 1);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		store_tx_sql(tx, statements[i], NULL, 0);
	SQL(tx, "INSERT INTO drover_meta (key, value) VALUES ('schema_version', '" VERSION_TEXT
		"') ON CONFLICT (key) DO NOTHING");
	store_submit(store, tx, on_migrated, arg);
}

static void on_checked(void *arg, const struct store_result *r)
{
	struct schema_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	if (status == QUEUE_OK && store_result_rows(r, 0) > 0) {
		const char *found = store_result_text(r, 0, 0, 0);
		int64_t version = found ? strtoll(found, NULL, 10) : 0;
		if (version > QUEUE_SCHEMA_VERSION)
			status = queue_note_words(QUEUE_FAILED, newer);
		else if (version < QUEUE_SCHEMA_VERSION)
			status = queue_note_words(QUEUE_UNAVAILABLE,
				"the scheduler has not yet migrated the database");
	} else if (status != QUEUE_UNAVAILABLE) {
		/* No such table, or no row in it. */
		status = queue_note_words(
			QUEUE_UNAVAILABLE, "the scheduler has not yet made the tables");
	}
	call->cb(arg, status);
}

void queue_check_schema(struct store *store, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, STORE_READ_ONLY);
	struct schema_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	SQL(tx, "SELECT value FROM drover_meta WHERE key = 'schema_version'");
	store_submit(store, tx, on_checked, arg);
}
