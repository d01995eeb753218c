/* SPDX-License-Identifier: MIT */
/* The scheduler's side: due times, runs, tasks of the dead. */
#include "base/clock.h"
#include "base/mutant.h"
#include "base/str.h"
#include "queue/queue_sql.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#ifdef DROVER_MUTANTS
#include "store/store_engine.h"
#endif

enum { TOKEN_TEXT = 33 };

/* A transaction cannot read an id that it has just made, but it can find the row by a name that
 * nobody else has. When the run was there already (its request_id is known, its due time decided)
 * there is no such row and nothing follows. */
static void make_token(char token[TOKEN_TEXT])
{
	unsigned char bytes[16];
	static atomic_uint serial;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		int64_t now = clock_mono_us();
		unsigned n = atomic_fetch_add(&serial, 1);
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, &now, sizeof(now));
		memcpy(bytes + sizeof(now), &n, sizeof(n));
	}
	str_hex(token, bytes, sizeof(bytes));
}

static void add_task(struct store_tx *tx, const char *token, const struct run_request *run,
	const char *payload, int64_t now)
{
	SQL(tx,
		"INSERT INTO drover_task (run_id, job, kind, priority, state, not_before, attempt,"
		" max_attempts, fence, checkpoint, payload, depth, unique_key, timeout_ms,"
		" created_at) SELECT id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), 0,"
		" CAST($5 AS BIGINT), 0, CAST($6 AS BIGINT), 0, '', CAST($7 AS TEXT), 0,"
		" CAST($8 AS TEXT), CAST($9 AS BIGINT), CAST($5 AS BIGINT)"
		" FROM drover_run WHERE token = $1 ON CONFLICT (run_id, unique_key) DO NOTHING",
		T(token), T(run->job), T(run->kind), I(run->priority), I(now),
		I(MAX(run->max_attempts, (int64_t)1)), T(payload),
		run->frontier ? T(payload) : STORE_VALUE_NULL, I(run->timeout_ms));
	if (!run->frontier)
		return;
	SQL(tx,
		"INSERT INTO drover_url (run_id, url, depth, state, task_id) SELECT run_id, url, 0,"
		" 'queued', id FROM (SELECT run_id, unique_key AS url, id FROM drover_task WHERE"
		" run_id = (SELECT id FROM drover_run WHERE token = $1) AND unique_key = $2) AS "
		"made"
		" WHERE true ON CONFLICT (run_id, url) DO NOTHING",
		T(token), T(payload));
}

/* The tasks of the run with this token, if the transaction made it; without any it has ended. */
static void add_tasks(
	struct store_tx *tx, const char *token, const struct run_request *run, int64_t now)
{
	for (size_t i = 0; i < run->payload_count; i++)
		add_task(tx, token, run, run->payloads[i], now);
	SQL(tx,
		"UPDATE drover_run SET tasks_total ="
		" (SELECT COUNT(*) FROM drover_task WHERE run_id = drover_run.id), pages ="
		" (SELECT COUNT(*) FROM drover_task WHERE run_id = drover_run.id"
		" AND unique_key IS NOT NULL) WHERE token = $1",
		T(token));
	SQL(tx,
		"UPDATE drover_run SET state = 'succeeded', started_at = $2, finished_at = $2"
		" WHERE token = $1 AND tasks_total = 0" ENDED,
		T(token), I(now));
	queue_tx_tell_ends(tx);
}

void queue_tx_run(struct store_tx *tx, const struct run_request *run, int64_t now_ms)
{
	char token[TOKEN_TEXT];
	make_token(token);
	SQL(tx,
		"INSERT INTO drover_run (job, trigger, request_id, token, due_at, created_at, "
		"state)"
		" VALUES ($1, $2, $3, $4, $5, $6, 'queued') ON CONFLICT (request_id) DO NOTHING",
		T(run->job), T(run->trigger), T(run->request_id), T(token),
		run->due_at ? I(run->due_at) : STORE_VALUE_NULL, I(now_ms));
	add_tasks(tx, token, run, now_ms);
}

/* ---- due times ---- */

#define UNFINISHED "EXISTS (SELECT 1 FROM drover_run WHERE job = $1 AND finished_at IS NULL)"

static void move_next_due(struct store_tx *tx, const struct due_decision *d, int64_t now)
{
	SQL(tx, "UPDATE drover_job SET next_due_at = $2, updated_at = $3 WHERE name = $1",
		T(d->job), d->next_due_at ? I(d->next_due_at) : STORE_VALUE_NULL, I(now));
}

static void fire(struct store_tx *tx, const struct due_decision *d, int64_t now)
{
	char token[TOKEN_TEXT];
	make_token(token);
	/* Fired and without a run: decided by this transaction. */
	SQL(tx,
		"INSERT INTO drover_run (job, trigger, token, due_at, created_at, state)"
		" SELECT job, CAST($3 AS TEXT), CAST($4 AS TEXT), due_at, CAST($5 AS BIGINT), "
		"'queued'"
		" FROM drover_due WHERE job = $1 AND due_at = $2 AND outcome = 'fired'"
		" AND run_id IS NULL",
		T(d->job), I(d->due_at), T(d->run->trigger), T(token), I(now));
	SQL(tx,
		"UPDATE drover_due SET run_id = (SELECT id FROM drover_run WHERE token = $3)"
		" WHERE job = $1 AND due_at = $2 AND run_id IS NULL AND outcome = 'fired'",
		T(d->job), I(d->due_at), T(token));
	add_tasks(tx, token, d->run, now);
}

void queue_tx_due(struct store_tx *tx, const struct due_decision *d, int64_t now_ms)
{
#ifdef DROVER_MUTANTS
	if (MUTANT(NEXT_DUE_IN_OWN_TRANSACTION)) {
		struct store_tx *own = queue_tx_new(store_tx_store(tx), 0);
		move_next_due(own, d, now_ms);
		store_submit(store_tx_store(tx), own, NULL, NULL);
	}
#endif
	bool fires = str_eq(d->outcome, "fired") && d->run;
	/* The key (job, due_at) lets no one decide twice; overlap is judged in here, where no run
	 * can begin or end meanwhile. */
	SQL(tx,
		"INSERT INTO drover_due (job, due_at, outcome, reason, decided_at)"
		" SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT),"
		" CASE WHEN $3 = 'fired' AND " UNFINISHED
		" THEN 'skipped' ELSE CAST($3 AS TEXT) END,"
		" CASE WHEN $3 = 'fired' AND " UNFINISHED
		" THEN 'overlap' ELSE CAST($4 AS TEXT) END,"
		" CAST($5 AS BIGINT) WHERE true ON CONFLICT (job, due_at) DO NOTHING",
		T(d->job), I(d->due_at), T(d->outcome), T(d->reason), I(now_ms));
	if (fires)
		fire(tx, d, now_ms);
	if (!MUTANT(NEXT_DUE_IN_OWN_TRANSACTION))
		move_next_due(tx, d, now_ms);
}

/* ---- tasks of the dead ---- */

#define DIED	    "its worker died while it held the task"
#define SET_LEAVING "UPDATE drover_task SET state = 2, last_error = '" DIED "' WHERE state = 1 AND "
#define SET_READY                                                                                \
	"UPDATE drover_task SET state = 0, owner = NULL, lease_until = NULL, claimed_at = NULL," \
	" last_error = '" DIED "' WHERE state = 1 AND "
#define USED_UP	     " AND attempt >= max_attempts"

#define BY_OWNER     "owner = $1"
#define BY_EPOCH     "substr(owner, 1, length($1)) = $1 AND substr(owner, 1, length($2)) <> $2"
#define BY_LEASE     "owner IS NOT NULL AND lease_until < $1"
/* Nobody will tell the queue that it has given these up. */
#define SET_UNLEASED "UPDATE drover_task SET lease_until = NULL WHERE state = 3 AND "

static void bury_and_submit(struct store *store, struct store_tx *tx, queue_cb cb, void *arg)
{
	int64_t now = clock_real_ms();
	queue_tx_drop_cancelled(tx, now);
	queue_tx_bury(tx, false, DIED, now);
	queue_submit(store, tx, cb, arg);
}

void queue_free_owner(struct store *store, const char *owner, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	SQL(tx, SET_LEAVING BY_OWNER USED_UP, T(owner));
	SQL(tx, SET_READY BY_OWNER, T(owner));
	SQL(tx, SET_UNLEASED BY_OWNER, T(owner));
	SQL(tx, "DELETE FROM drover_owner WHERE " BY_OWNER, T(owner));
	bury_and_submit(store, tx, cb, arg);
}

void queue_free_other_epochs(
	struct store *store, const char *node, const char *epoch, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	char ours[512], this_epoch[512];
	snprintf(ours, sizeof(ours), "%s/", node);
	snprintf(this_epoch, sizeof(this_epoch), "%s/%s/", node, epoch);
	SQL(tx, SET_LEAVING BY_EPOCH USED_UP, T(ours), T(this_epoch));
	SQL(tx, SET_READY BY_EPOCH, T(ours), T(this_epoch));
	SQL(tx, SET_UNLEASED BY_EPOCH, T(ours), T(this_epoch));
	SQL(tx, "DELETE FROM drover_owner WHERE " BY_EPOCH, T(ours), T(this_epoch));
	bury_and_submit(store, tx, cb, arg);
}

void queue_free_expired(struct store *store, int64_t now_ms, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	SQL(tx, SET_LEAVING BY_LEASE USED_UP, I(now_ms));
	SQL(tx, SET_READY BY_LEASE, I(now_ms));
	SQL(tx, SET_UNLEASED BY_LEASE, I(now_ms));
	bury_and_submit(store, tx, cb, arg);
}
