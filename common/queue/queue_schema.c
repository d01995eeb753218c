/* SPDX-License-Identifier: MIT */
/* The tables of schema.h, and the steps from an older version to it. */
#include "queue/schema.h"

#include "queue/queue_sql.h"
#include <stdio.h>
#include <stdlib.h>

#define VERSION_TEXT "2"
_Static_assert(QUEUE_SCHEMA_VERSION == 2, "a new version needs its steps in steps[]");

/* AUTOINCREMENT: ids are never reused, also after the last row was deleted. */
static const char *const statements[] = {
	"CREATE TABLE IF NOT EXISTS drover_job (name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL,"
	" spec_hash TEXT NOT NULL, next_due_at BIGINT, paused BIGINT NOT NULL DEFAULT 0,"
	" updated_at BIGINT NOT NULL, concurrency BIGINT NOT NULL DEFAULT 0,"
	" resumed_at BIGINT NOT NULL DEFAULT 0)",

	"CREATE TABLE IF NOT EXISTS drover_after (job TEXT NOT NULL, parent TEXT NOT NULL,"
	" run_id BIGINT NOT NULL, ended_at BIGINT NOT NULL, PRIMARY KEY (job, parent))",

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
	" errors TEXT NOT NULL DEFAULT '[]', exclusive TEXT, cancelled_at BIGINT,"
	" tasks_cancelled BIGINT NOT NULL DEFAULT 0, waiting TEXT,"
	" followed BIGINT NOT NULL DEFAULT 0)",
	"CREATE INDEX IF NOT EXISTS drover_run_job ON drover_run (job, id)",
	"CREATE INDEX IF NOT EXISTS drover_run_open ON drover_run (job) WHERE finished_at IS NULL",
	"CREATE UNIQUE INDEX IF NOT EXISTS drover_run_exclusive ON drover_run (exclusive)"
	" WHERE finished_at IS NULL AND exclusive IS NOT NULL",
	"CREATE UNIQUE INDEX IF NOT EXISTS drover_run_waiting ON drover_run (waiting)"
	" WHERE finished_at IS NULL AND waiting IS NOT NULL",
	"CREATE INDEX IF NOT EXISTS drover_run_followed ON drover_run (id) WHERE followed > 0",
	"CREATE INDEX IF NOT EXISTS drover_run_caught_up ON drover_run (id)"
	" WHERE finished_at IS NULL AND trigger = 'catch_up'",
	"CREATE INDEX IF NOT EXISTS drover_run_ended ON drover_run (finished_at)"
	" WHERE finished_at IS NOT NULL",

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
	"CREATE INDEX IF NOT EXISTS drover_task_holding ON drover_task (kind, job, run_id)"
	" WHERE state = 1",
	"CREATE INDEX IF NOT EXISTS drover_task_owned ON drover_task (owner) WHERE owner IS NOT "
	"NULL",
	"CREATE INDEX IF NOT EXISTS drover_task_leaving ON drover_task (run_id) WHERE state = 2",
	"CREATE INDEX IF NOT EXISTS drover_task_cancelled ON drover_task (run_id) WHERE state = 3",
	"CREATE INDEX IF NOT EXISTS drover_task_behind ON drover_task (run_id) WHERE state = 4",

	"CREATE TABLE IF NOT EXISTS drover_task_history (id BIGINT NOT NULL,"
	" run_id BIGINT NOT NULL, job TEXT NOT NULL, kind TEXT NOT NULL,"
	" attempt BIGINT NOT NULL, owner TEXT, created_at BIGINT NOT NULL, started BIGINT,"
	" ended BIGINT NOT NULL, outcome TEXT NOT NULL, error TEXT)",
	"CREATE INDEX IF NOT EXISTS drover_task_history_ended ON drover_task_history (ended)",
	"CREATE INDEX IF NOT EXISTS drover_task_history_run ON drover_task_history (run_id)",

	"CREATE TABLE IF NOT EXISTS drover_dead (id BIGINT NOT NULL PRIMARY KEY,"
	" run_id BIGINT NOT NULL, job TEXT NOT NULL, kind TEXT NOT NULL,"
	" priority BIGINT NOT NULL, attempt BIGINT NOT NULL, max_attempts BIGINT NOT NULL,"
	" fence BIGINT NOT NULL, checkpoint TEXT NOT NULL, payload TEXT NOT NULL,"
	" depth BIGINT NOT NULL, unique_key TEXT, timeout_ms BIGINT NOT NULL,"
	" created_at BIGINT NOT NULL, error TEXT, given_up BIGINT NOT NULL,"
	" failed_at BIGINT NOT NULL)",
	"CREATE INDEX IF NOT EXISTS drover_dead_run ON drover_dead (run_id)",

	"CREATE TABLE IF NOT EXISTS drover_url (run_id BIGINT NOT NULL, url TEXT NOT NULL,"
	" depth BIGINT NOT NULL, state TEXT NOT NULL, reason TEXT, status BIGINT,"
	" task_id BIGINT, referrer TEXT, PRIMARY KEY (run_id, url))",

	"CREATE TABLE IF NOT EXISTS drover_owner (owner TEXT NOT NULL PRIMARY KEY, kind TEXT NOT "
	"NULL,"
	" since BIGINT NOT NULL)",
};

/* What brings a database of version `from` to the next one, before statements[] add what is new as
 * a whole. Only additions: an older drover that is still running goes on with it. */
static const struct step {
	int from;
	const char *sql;
} steps[] = {
	{ 1, "ALTER TABLE drover_job ADD COLUMN concurrency BIGINT NOT NULL DEFAULT 0" },
	{ 1, "ALTER TABLE drover_run ADD COLUMN exclusive TEXT" },
	{ 1, "ALTER TABLE drover_run ADD COLUMN cancelled_at BIGINT" },
	{ 1, "ALTER TABLE drover_run ADD COLUMN tasks_cancelled BIGINT NOT NULL DEFAULT 0" },
	{ 1, "DROP INDEX IF EXISTS drover_task_claimed" },
	{ 1, "DROP INDEX IF EXISTS drover_task_held" },
	{ 1, "ALTER TABLE drover_job ADD COLUMN resumed_at BIGINT NOT NULL DEFAULT 0" },
	{ 1, "ALTER TABLE drover_run ADD COLUMN waiting TEXT" },
	{ 1, "ALTER TABLE drover_run ADD COLUMN followed BIGINT NOT NULL DEFAULT 0" },
};

static const char newer[] =
	"the database was made by a newer drover (its schema version is not " VERSION_TEXT
	"): install that version, or use another database";

struct schema_call {
	queue_cb cb;
};

static struct store_tx *call_new(struct store *store, unsigned flags, queue_cb cb)
{
	struct store_tx *tx = queue_tx_new(store, flags);
	struct schema_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	return tx;
}

static void on_migrated(void *arg, const struct store_result *r)
{
	struct schema_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	if (status == QUEUE_LOST)
		status = queue_note_words(
			QUEUE_UNAVAILABLE, "another scheduler has just changed the tables");
	call->cb(arg, status);
}

/* One transaction, which does nothing when somebody else was quicker. */
static void migrate_from(struct store *store, int64_t version, queue_cb cb, void *arg)
{
	struct store_tx *tx = call_new(store, 0, cb);
	SQL(tx,
		"SELECT 1 WHERE $1 = COALESCE((SELECT CAST(value AS BIGINT) FROM drover_meta"
		" WHERE key = 'schema_version'), 0)",
		I(version));
	store_tx_expect(tx, 1);
	for (size_t i = 0; version > 0 && i < ARRAY_SIZE(steps); i++)
		if (steps[i].from >= version)
			store_tx_sql(tx, steps[i].sql, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		store_tx_sql(tx, statements[i], NULL, 0);
	SQL(tx, "INSERT INTO drover_meta (key, value) VALUES ('schema_version', '" VERSION_TEXT
		"') ON CONFLICT (key) DO UPDATE SET value = excluded.value");
	store_submit(store, tx, on_migrated, arg);
}

struct version_call {
	queue_cb cb;
	struct store *store;
};

static void on_version(void *arg, const struct store_result *r)
{
	const struct version_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	const char *found = status == QUEUE_OK && store_result_rows(r, 1) > 0
				    ? store_result_text(r, 1, 0, 0)
				    : NULL;
	int64_t version = found ? strtoll(found, NULL, 10) : 0;
	if (status != QUEUE_OK)
		call->cb(arg, status);
	else if (version > QUEUE_SCHEMA_VERSION)
		call->cb(arg, queue_note_words(QUEUE_FAILED, newer));
	else
		migrate_from(call->store, version, call->cb, arg);
}

void queue_migrate(struct store *store, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	struct version_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	*call = (struct version_call) { .cb = cb, .store = store };
	SQL(tx, "CREATE TABLE IF NOT EXISTS drover_meta (key TEXT NOT NULL PRIMARY KEY,"
		" value TEXT NOT NULL)");
	SQL(tx, "SELECT value FROM drover_meta WHERE key = 'schema_version'");
	store_submit(store, tx, on_version, arg);
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
	struct store_tx *tx = call_new(store, STORE_READ_ONLY, cb);
	SQL(tx, "SELECT value FROM drover_meta WHERE key = 'schema_version'");
	store_submit(store, tx, on_checked, arg);
}
