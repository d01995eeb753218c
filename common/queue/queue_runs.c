/* SPDX-License-Identifier: MIT */
/* The scheduler's side: runs made by hand, tasks of the dead. */
#include "base/clock.h"
#include "base/mutant.h"
#include "base/str.h"
#include "queue/queue_exec.h"
#include "queue/queue_sql.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A transaction cannot read an id that it has just made, but it can find the row by a name that
 * nobody else has. When the run was there already (its request_id is known, its due time decided)
 * there is no such row and nothing follows. */
/* They rise: new ones lie beside each other in the index, not each on a page of its own. */
void queue_token(char token[TOKEN_TEXT])
{
	static _Thread_local struct {
		pid_t pid; /* a forked child is another one */
		char prefix[20];
		uint64_t count;
	} maker;
	if (maker.pid != getpid()) {
		uint32_t salt = (uint32_t)clock_mono_us();
		(void)!getrandom(&salt, sizeof(salt), 0);
		maker.pid = getpid();
		maker.count = 0;
		snprintf(maker.prefix, sizeof(maker.prefix), "%011llx%08x",
			(unsigned long long)clock_real_ms() & 0xfffffffffff, salt);
	}
	snprintf(token, TOKEN_TEXT, "%.19s%012llx", maker.prefix,
		(unsigned long long)maker.count++ & 0xffffffffffff);
}

static void add_task(struct store_tx *tx, const char *token, const struct run_request *run,
	const char *payload, int64_t now)
{
	SQL(tx,
		"INSERT INTO drover_task (run_id, job, kind, priority, state, not_before, attempt,"
		" max_attempts, fence, checkpoint, payload, depth, unique_key, timeout_ms,"
		" created_at) SELECT id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT),"
		" CASE WHEN waiting IS NULL THEN 0 ELSE 4 END,"
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

void queue_tx_add_tasks(
	struct store_tx *tx, const char *token, const struct run_request *run, int64_t now_ms)
{
	for (size_t i = 0; i < run->payload_count; i++)
		add_task(tx, token, run, run->payloads[i], now_ms);
	/* Two start URLs may be one page; otherwise the number was known beforehand. */
	if (run->frontier)
		SQL(tx,
			"UPDATE drover_run SET tasks_total ="
			" (SELECT COUNT(*) FROM drover_task WHERE run_id = drover_run.id), pages ="
			" (SELECT COUNT(*) FROM drover_task WHERE run_id = drover_run.id"
			" AND unique_key IS NOT NULL) WHERE token = $1",
			T(token));
	if (run->payload_count > 0)
		return;
	SQL(tx,
		"UPDATE drover_run SET state = 'succeeded', started_at = $2, finished_at = $2"
		" WHERE token = $1 AND tasks_total = 0" ENDED,
		T(token), I(now_ms));
	queue_tx_tell_ends(tx);
}

/*
 * Makes a run, at most one. Which of two that would overlap is made is not asked beforehand: a row
 * that says that it is the job's only open one, or the only one that waits, is refused by a unique
 * index, whoever else writes at the same time.
 */
/* clang-format off */
#define MAKE_RUN(exclusive, waiting, condition)                                                  \
	"INSERT INTO drover_run (job, trigger, request_id, token, created_at, state,"            \
	" followed, tasks_total, exclusive, waiting) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)," \
	" CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), 'queued',"                     \
	" CAST($6 AS BIGINT), CAST($7 AS BIGINT), " exclusive ", " waiting " WHERE " condition   \
	" ON CONFLICT DO NOTHING"
/* clang-format on */
#define JOB  "CAST($1 AS TEXT)"
#define NONE "CAST(NULL AS TEXT)"
/* Saves the number that a refused row would take; two that look at once are both let through here,
 * and one of them is refused by the index. */
#define NOBODY_RUNS                                                           \
	" AND NOT EXISTS (SELECT 1 FROM drover_run WHERE exclusive = $1 AND " \
	"finished_at IS NULL)"
/* What waits goes first. */
#define NOBODY_WAITS                                                        \
	" AND NOT EXISTS (SELECT 1 FROM drover_run WHERE waiting = $1 AND " \
	"finished_at IS NULL)"
#define NOT_MADE " AND NOT EXISTS (SELECT 1 FROM drover_run WHERE token = $4)"
#define ASKED	 "NOT EXISTS (SELECT 1 FROM drover_run WHERE request_id = $3)"

static const char beside[] = MAKE_RUN(NONE, NONE, ASKED),
		  alone[] = MAKE_RUN(JOB, NONE, ASKED NOBODY_RUNS NOBODY_WAITS),
		  behind[] = MAKE_RUN(NONE, JOB, ASKED NOT_MADE NOBODY_WAITS),
		  checked[] = MAKE_RUN(NONE, NONE,
			  ASKED " AND NOT EXISTS (SELECT 1 FROM drover_run WHERE job = $1 AND "
				"finished_at IS NULL)");

static void make_run(
	struct store_tx *tx, const char *token, const struct run_request *run, int64_t now)
{
	const struct store_value params[] = { T(run->job), T(run->trigger), T(run->request_id),
		T(token), I(now), I(run->followed),
		I(run->frontier ? 0 : (int64_t)run->payload_count) };
	size_t count = ARRAY_SIZE(params);
	if (run->overlap == OVERLAP_ALLOW) {
		store_tx_sql(tx, beside, params, count);
		return;
	}
	if (MUTANT(OVERLAP_BY_CHECK)) {
		store_tx_sql(tx, checked, params, count);
		return;
	}
	if (run->overlap == OVERLAP_REPLACE)
		queue_tx_replace(tx, run, now);
	store_tx_sql(tx, alone, params, count);
	if (run->overlap != OVERLAP_SKIP)
		store_tx_sql(tx, behind, params, count);
}

void queue_tx_run(struct store_tx *tx, const struct run_request *run, int64_t now_ms)
{
	char token[TOKEN_TEXT], error[ERROR_JSON];
	queue_token(token);
	queue_tx_lock_job(tx, run->job, now_ms);
	make_run(tx, token, run, now_ms);
	queue_tx_add_tasks(tx, token, run, now_ms);
	if (run->overlap == OVERLAP_ALLOW)
		return;
	queue_error_json(
		error, run->overlap == OVERLAP_SKIP
			       ? "the job's run before is not finished (schedule.overlap: skip)"
			       : "another run of the job waits already for the one before it");
	SQL(tx,
		"INSERT INTO drover_run (job, trigger, request_id, token, created_at, started_at,"
		" finished_at, state, error_count, errors) SELECT CAST($1 AS TEXT),"
		" CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT),"
		" CAST($5 AS BIGINT), CAST($5 AS BIGINT), 'skipped', 1, '[' || CAST($6 AS TEXT) ||"
		" ']' WHERE NOT EXISTS (SELECT 1 FROM drover_run WHERE token = $4)"
		" ON CONFLICT DO NOTHING",
		T(run->job), T(run->trigger), T(run->request_id), T(token), I(now_ms), T(error));
}

void queue_tx_lock_job(struct store_tx *tx, const char *job, int64_t now_ms)
{
	SQL(tx, "UPDATE drover_job SET updated_at = $2 WHERE name = $1", T(job), I(now_ms));
}

/* ---- tasks of the dead ---- */

#define DIED		 "its worker died while it held the task"
#define EXPIRED		 "its lease ended: its worker was gone or had lost it"
/* What droverd runs goes on: queue_exec.h. */
#define OF_WORKERS	 " WHERE state = 1 AND kind <> '" QUEUE_EXEC "' AND "
#define SET_LEAVING(why) "UPDATE drover_task SET state = 2, last_error = '" why "'" OF_WORKERS
#define SET_READY(why)                                                                           \
	"UPDATE drover_task SET state = 0, owner = NULL, lease_until = NULL, claimed_at = NULL," \
	" last_error = '" why "'" OF_WORKERS
#define USED_UP	 " AND attempt >= max_attempts"

#define BY_OWNER "owner = $1"
#define BY_EPOCH "substr(owner, 1, length($1)) = $1 AND substr(owner, 1, length($2)) <> $2"
#define BY_LEASE "owner IS NOT NULL AND lease_until < $1"
/* Those whose deaths are told, here and under this droverd. One that is not known, or that was
 * dead when its last claim became durable, has only its lease. 0: given up by its
 * owner. */
#define NOT_OURS                                                                    \
	" AND (lease_until = 0 OR substr(owner, 1, length($2)) <> $2 OR NOT EXISTS" \
	" (SELECT 1 FROM drover_owner AS o WHERE o.owner = drover_task.owner))"
/* Nobody will tell the queue that it has given these up. */
#define SET_UNLEASED "UPDATE drover_task SET lease_until = NULL WHERE state = 3 AND "

static void bury_and_submit(
	struct store *store, struct store_tx *tx, const char *why, queue_cb cb, void *arg)
{
	int64_t now = clock_real_ms();
	queue_tx_drop_cancelled(tx, now);
	queue_tx_bury(tx, false, why, now);
	queue_submit(store, tx, cb, arg);
}

void queue_free_owner(struct store *store, const char *owner, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	queue_tx_wait_for_claims(store, tx);
	SQL(tx, SET_LEAVING(DIED) BY_OWNER USED_UP, T(owner));
	SQL(tx, SET_READY(DIED) BY_OWNER, T(owner));
	SQL(tx, SET_UNLEASED BY_OWNER, T(owner));
	SQL(tx, "DELETE FROM drover_owner WHERE " BY_OWNER, T(owner));
	bury_and_submit(store, tx, DIED, cb, arg);
}

void queue_free_other_epochs(
	struct store *store, const char *node, const char *epoch, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	char ours[512], this_epoch[512];
	snprintf(ours, sizeof(ours), "%s/", node);
	snprintf(this_epoch, sizeof(this_epoch), "%s/%s/", node, epoch);
	queue_tx_wait_for_claims(store, tx);
	SQL(tx, SET_LEAVING(DIED) BY_EPOCH USED_UP, T(ours), T(this_epoch));
	SQL(tx, SET_READY(DIED) BY_EPOCH, T(ours), T(this_epoch));
	SQL(tx, SET_UNLEASED BY_EPOCH, T(ours), T(this_epoch));
	SQL(tx, "DELETE FROM drover_owner WHERE " BY_EPOCH, T(ours), T(this_epoch));
	bury_and_submit(store, tx, DIED, cb, arg);
}

void queue_free_expired(struct store *store, const char *node, const char *epoch, int64_t now_ms,
	queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	char ours[512];
	snprintf(ours, sizeof(ours), "%s/%s/", node, epoch);
	SQL(tx, SET_LEAVING(EXPIRED) BY_LEASE NOT_OURS USED_UP, I(now_ms), T(ours));
	SQL(tx, SET_READY(EXPIRED) BY_LEASE NOT_OURS, I(now_ms), T(ours));
	SQL(tx, SET_UNLEASED BY_LEASE, I(now_ms));
	bury_and_submit(store, tx, EXPIRED, cb, arg);
}
