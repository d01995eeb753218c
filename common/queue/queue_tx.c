/* SPDX-License-Identifier: MIT */
/* What becomes of a claimed task: statements for its owner's transaction. */
#include "base/clock.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "queue/queue_sql.h"
#include <stdlib.h>
#ifdef DROVER_MUTANTS
#include "store/store_engine.h"
#endif

void queue_tx_count(struct store_tx *tx, const struct task *task, const struct run_counts *counts)
{
	SQL(tx,
		"UPDATE drover_run SET requests = requests + $2, rows = rows + $3,"
		" rejected = rejected + $4, bytes = bytes + $5 WHERE id = $1",
		I(task->run_id), I(counts->requests), I(counts->rows), I(counts->rejected),
		I(counts->bytes));
}

void queue_tx_error(struct store_tx *tx, const struct task *task, const char *text)
{
	char json[ERROR_JSON];
	SQL(tx, "UPDATE drover_run SET" ADD_ERROR("$2") "WHERE id = $1", I(task->run_id),
		T(queue_error_json(json, text)));
}

/* ---- completion ---- */

static void complete(struct store_tx *tx, const struct task *task)
{
	int64_t now = clock_real_ms();
	SQL(tx,
		TO_HISTORY("'done'", "last_error", "$3") "WHERE id = $1 AND fence = $2"
							 " AND state = 1",
		I(task->id), I(task->fence), I(now));
	SQL(tx, "DELETE FROM drover_task WHERE id = $1 AND fence = $2 AND state = 1", I(task->id),
		I(task->fence));
	store_tx_expect(tx, 1);
	/* The last one ends the run: two that end at once are still one after the other. */
	SQL(tx, "UPDATE drover_run SET tasks_done = tasks_done + 1 WHERE id = $1", I(task->run_id));
	SQL(tx,
		"UPDATE drover_run SET finished_at = $2, state =" END_STATE
		"WHERE id = $1 AND finished_at IS NULL"
		" AND NOT EXISTS (SELECT 1 FROM drover_task WHERE run_id = $1)" ENDED,
		I(task->run_id), I(now));
	queue_tx_tell_ends(tx);
}

void queue_tx_done(struct store_tx *tx, const struct task *task)
{
#ifdef DROVER_MUTANTS
	if (MUTANT(ACK_IN_SECOND_TRANSACTION)) {
		struct store_tx *second = queue_tx_new(store_tx_store(tx), 0);
		complete(second, task);
		store_tx_then(tx, second);
		return;
	}
#endif
	complete(tx, task);
}

void queue_tx_end_runs(struct store_tx *tx, int64_t now_ms)
{
	SQL(tx,
		"UPDATE drover_run SET finished_at = $1, state =" END_STATE
		"WHERE finished_at IS NULL"
		" AND NOT EXISTS (SELECT 1 FROM drover_task WHERE run_id = drover_run.id)" ENDED,
		I(now_ms));
	if (!MUTANT(RUN_ENDED_BY_DEATH_NOT_TOLD))
		queue_tx_tell_ends(tx);
}

/* ---- giving up ---- */

#define LEAVING_RUNS " WHERE id IN (SELECT run_id FROM drover_task WHERE state = 2)"
#define LEAVING_COUNT \
	"(SELECT COUNT(*) FROM drover_task WHERE state = 2 AND run_id = drover_run.id)"

void queue_tx_bury(struct store_tx *tx, bool given_up, const char *why, int64_t now_ms)
{
	char json[ERROR_JSON];
	queue_error_json(json, why);
	SQL(tx,
		"INSERT INTO drover_dead (id, run_id, job, kind, priority, attempt, max_attempts,"
		" fence, checkpoint, payload, depth, unique_key, timeout_ms, created_at, error,"
		" given_up, failed_at) SELECT id, run_id, job, kind, priority, attempt,"
		" max_attempts, fence, checkpoint, payload, depth, unique_key, timeout_ms,"
		" created_at, last_error, CAST($1 AS BIGINT), CAST($2 AS BIGINT)"
		" FROM drover_task WHERE state = 2",
		I(given_up), I(now_ms));
	SQL(tx,
		"UPDATE drover_url SET state = 'failed', reason = $1 WHERE state = 'queued'"
		" AND (run_id, url) IN (SELECT run_id, unique_key FROM drover_task WHERE state = "
		"2)",
		T(why));
	SQL(tx, TO_HISTORY("CAST($1 AS TEXT)", "last_error", "$2") "WHERE state = 2",
		T(given_up ? "failed" : "dead"), I(now_ms));
	if (given_up)
		SQL(tx,
			"UPDATE drover_run SET tasks_failed = tasks_failed + " LEAVING_COUNT
			"," ADD_ERROR("$1") LEAVING_RUNS,
			T(json));
	else
		SQL(tx,
			"UPDATE drover_run SET tasks_dead = tasks_dead + " LEAVING_COUNT
			"," ADD_ERROR("$1") LEAVING_RUNS,
			T(json));
	SQL(tx, "DELETE FROM drover_task WHERE state = 2");
	queue_tx_end_runs(tx, now_ms);
}

void queue_tx_dead(struct store_tx *tx, const struct task *task, const char *error)
{
	char cut[ERROR_CUT + 1];
	queue_error_cut(cut, error);
	SQL(tx,
		"UPDATE drover_task SET state = 2, last_error = $3"
		" WHERE id = $1 AND fence = $2 AND state = 1",
		I(task->id), I(task->fence), T(cut));
	store_tx_expect(tx, 1);
	queue_tx_bury(tx, true, cut, clock_real_ms());
}

void queue_tx_retry(
	struct store_tx *tx, const struct task *task, const char *error, int64_t delay_ms)
{
	char cut[ERROR_CUT + 1];
	int64_t now = clock_real_ms();
	queue_error_cut(cut, error);
	/* The mutant counts here what the claim should have counted. */
	SQL(tx,
		MUTANT(ATTEMPT_COUNTED_AT_END)
			? "UPDATE drover_task SET last_error = $3, attempt = attempt + 1"
			  " WHERE id = $1 AND fence = $2 AND state = 1"
			: "UPDATE drover_task SET last_error = $3"
			  " WHERE id = $1 AND fence = $2 AND state = 1",
		I(task->id), I(task->fence), T(cut));
	store_tx_expect(tx, 1);
	SQL(tx,
		"UPDATE drover_task SET state = 2"
		" WHERE id = $1 AND fence = $2 AND state = 1 AND attempt >= max_attempts",
		I(task->id), I(task->fence));
	SQL(tx,
		"UPDATE drover_task SET state = 0, not_before = $3, owner = NULL, lease_until = "
		"NULL,"
		" claimed_at = NULL WHERE id = $1 AND fence = $2 AND state = 1",
		I(task->id), I(task->fence), I(now + MAX(delay_ms, (int64_t)0)));
	queue_tx_bury(tx, false, cut, now);
}

void queue_tx_put_back(struct store_tx *tx, const struct task *task, int64_t delay_ms)
{
	SQL(tx,
		"UPDATE drover_task SET state = 0, not_before = $3, owner = NULL, lease_until = "
		"NULL,"
		" claimed_at = NULL, attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END"
		" WHERE id = $1 AND fence = $2 AND state = 1",
		I(task->id), I(task->fence), I(clock_real_ms() + MAX(delay_ms, (int64_t)0)));
	store_tx_expect(tx, 1);
}

int64_t queue_random(void)
{
	static _Thread_local uint64_t random;
	if (random == 0)
		random = (uint64_t)clock_mono_us() * UINT64_C(0x9e3779b97f4a7c15) | 1;
	/* xorshift64 */
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return (int64_t)(random >> 1);
}

int64_t queue_backoff_ms(const struct config_backoff *b, int64_t attempt)
{
	int64_t most = b->max_ms, bound = MIN(MAX(b->initial_ms, (int64_t)0), most);
	for (int64_t i = 1; i < attempt && bound > 0 && bound < most; i++)
		bound = b->factor > 1 && bound > most / b->factor
				? most
				: bound * MAX(b->factor, (int64_t)1);
	if (bound <= 0)
		return 0;
	return b->jitter ? queue_random() % (bound + 1) : bound;
}

/* ---- the frontier ---- */

#define NEW_URL " WHERE run_id = $1 AND url = $2 AND state = 'queued' AND task_id IS NULL"

static void add_url(struct store_tx *tx, const struct task *task, const struct frontier_url *u,
	int64_t max_pages, int64_t now)
{
	SQL(tx,
		"INSERT INTO drover_url (run_id, url, depth, state, reason, referrer)"
		" SELECT id, CAST($2 AS TEXT), CAST($3 AS BIGINT),"
		" CASE WHEN pages < $5 THEN 'queued' ELSE 'skipped' END,"
		" CASE WHEN pages < $5 THEN NULL ELSE 'max_pages' END, CAST($4 AS TEXT)"
		" FROM drover_run WHERE id = $1 ON CONFLICT (run_id, url)"
		/* One page may say nofollow, or be too deep, where another leads there. */
		" DO UPDATE SET state = excluded.state, reason = excluded.reason,"
		" depth = excluded.depth, referrer = excluded.referrer"
		" WHERE drover_url.state = 'skipped' AND drover_url.reason IN ('nofollow', "
		"'depth')",
		I(task->run_id), T(u->url), I(u->depth), T(u->referrer), I(max_pages));
	/* An older one has its task: these three touch what the first has just made. */
	SQL(tx,
		"INSERT INTO drover_task (run_id, job, kind, priority, state, not_before, attempt,"
		" max_attempts, fence, checkpoint, payload, depth, unique_key, timeout_ms,"
		" created_at) SELECT run_id, CAST($3 AS TEXT), CAST($4 AS TEXT),"
		" CAST($5 AS BIGINT), 0, CAST($6 AS BIGINT), 0, CAST($7 AS BIGINT), 0, '', url,"
		" depth, url, CAST($8 AS BIGINT), CAST($6 AS BIGINT) FROM drover_url" NEW_URL
		" ON CONFLICT (run_id, unique_key) DO NOTHING",
		I(task->run_id), T(u->url), T(task->job), T(task->kind), I(task->priority), I(now),
		I(task->max_attempts), I(task->timeout_ms));
	SQL(tx,
		"UPDATE drover_run SET tasks_total = tasks_total + 1, pages = pages + 1"
		" WHERE id = $1 AND EXISTS (SELECT 1 FROM drover_url" NEW_URL ")",
		I(task->run_id), T(u->url));
	SQL(tx,
		"UPDATE drover_url SET task_id ="
		" (SELECT id FROM drover_task WHERE run_id = $1 AND unique_key = $2)" NEW_URL,
		I(task->run_id), T(u->url));
}

void queue_tx_frontier(struct store_tx *tx, const struct task *task,
	const struct frontier_url *urls, size_t count, int64_t max_pages)
{
	int64_t now = clock_real_ms();
	/* Two pages of one run would both see room for the last URL, and take the same URLs in
	 * another order: one after the other, from here on. */
	if (count > 0)
		SQL(tx, "UPDATE drover_run SET pages = pages WHERE id = $1", I(task->run_id));
	for (size_t i = 0; i < count; i++) {
		const struct frontier_url *u = &urls[i];
		if (!u->skip_reason) {
			add_url(tx, task, u, max_pages, now);
			continue;
		}
		SQL(tx,
			"INSERT INTO drover_url (run_id, url, depth, state, reason, referrer)"
			" VALUES ($1, $2, $3, 'skipped', $4, $5) ON CONFLICT (run_id, url) DO "
			"NOTHING",
			I(task->run_id), T(u->url), I(u->depth), T(u->skip_reason), T(u->referrer));
	}
}

void queue_tx_url_state(struct store_tx *tx, const struct task *task, const char *state,
	int64_t status, const char *reason)
{
	/* A page that is not fetched after all makes room for another. */
	if (str_eq(state, "skipped"))
		SQL(tx,
			"UPDATE drover_run SET pages = pages - 1 WHERE id = $1 AND EXISTS (SELECT 1"
			" FROM drover_url WHERE run_id = $1 AND url = $2 AND state = 'queued')",
			I(task->run_id), T(task->payload));
	SQL(tx,
		"UPDATE drover_url SET state = $3, status = $4, reason = $5"
		" WHERE run_id = $1 AND url = $2",
		I(task->run_id), T(task->payload), T(state), I(status), T(reason));
}
