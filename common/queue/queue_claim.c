/* SPDX-License-Identifier: MIT */
/* Claims: which ready tasks somebody gets. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "queue/queue_sql.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLAIM_MAX = 1000,
	/* Runs that a claim looks at, on either side of the cursor. */
	RUNS_NEAR_MIN = 16,
	RUNS_NEAR_MAX = 100,
	RUNS_FAR = 5000,
};

#define LANE_CLAIM UINT64_MAX

/* Six, three and one of ten, spread so that any stretch is fair. */
static const unsigned char shares[] = { PRIORITY_HIGH, PRIORITY_MEDIUM, PRIORITY_HIGH,
	PRIORITY_HIGH, PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_LOW, PRIORITY_HIGH, PRIORITY_MEDIUM,
	PRIORITY_HIGH };

/*
 * Runs are served in turn, whoever holds least first: a long run, or one whose site lets each call
 * hang, does not keep the next run from its first task. `nth` is how many tasks the run would hold,
 * `in_job` how many more than now its job, `room` how many more it may. The runs that have ready
 * tasks are found by hopping through the index, at most RUNS_NEAR_MAX of them behind the cursor and
 * as many from the oldest on: with 100,000 runs a claim costs what it costs with 200.
 */
/* clang-format off */
#define READY(priority) "FROM drover_task WHERE state = 0 AND kind = $4 AND priority = " priority
#define RUNS(priority)                                                                           \
	"WITH RECURSIVE runs(id, n, top) AS ("                                                   \
	"SELECT (SELECT MIN(run_id) " READY(priority) " AND run_id > $10), 1,"                   \
	" CAST(9223372036854775807 AS BIGINT)"                                                   \
	" UNION ALL SELECT (SELECT MIN(run_id) " READY(priority) " AND run_id <= $10), 1,"       \
	" CAST($10 AS BIGINT)"                                                                   \
	" UNION ALL SELECT (SELECT MIN(run_id) " READY(priority) " AND run_id > runs.id"         \
	" AND run_id <= runs.top), n + 1, top FROM runs WHERE runs.id IS NOT NULL AND n < $11)"
/* The first tasks of each: said as each engine does it by the index. */
#define OF_RUN(priority)                                                                         \
	READY(priority) " AND run_id = runs.id AND not_before <= $3 ORDER BY not_before, id LIMIT $12"
#define TASKS_SQLITE(priority)                                                                   \
	"FROM runs JOIN drover_task t ON t.id IN (SELECT id " OF_RUN(priority) ")"
#define TASKS_POSTGRESQL(priority)                                                               \
	"FROM runs CROSS JOIN LATERAL (SELECT * " OF_RUN(priority) ") AS t"
/* Held by anybody, those included whose holder does not know yet that they are cancelled. */
#define HELD_BY_RUN                                                                              \
	"(SELECT COUNT(*) FROM drover_task h WHERE h.state = 1 AND h.kind = $4"                  \
	" AND h.job = t.job AND h.run_id = t.run_id)"
#define HELD_BY_JOB                                                                              \
	"(SELECT COUNT(*) FROM drover_task h WHERE h.state = 1 AND h.kind = $4"                  \
	" AND h.job = t.job) - (SELECT COUNT(*) FROM drover_task h WHERE h.state = 3"            \
	" AND h.job = t.job)"
#define ROOM                                                                                     \
	"COALESCE((SELECT j.concurrency - " HELD_BY_JOB " FROM drover_job j"                     \
	" WHERE j.name = t.job AND j.concurrency > 0), 1000000)"
#define NEXT(priority, tasks)                                                                    \
	"SELECT * FROM (SELECT n.*, row_number() OVER (PARTITION BY n.job"                       \
	" ORDER BY n.nth, n.not_before, n.id) AS in_job FROM (" RUNS(priority)                   \
	" SELECT t.id, t.priority, t.not_before, t.job, " ROOM " AS room, row_number() OVER"     \
	" (PARTITION BY t.run_id ORDER BY t.not_before, t.id) + " HELD_BY_RUN " AS nth "         \
	tasks(priority) ") AS n) AS q" priority " WHERE in_job <= room"                          \
	" ORDER BY nth, not_before, id LIMIT $5"

/* Each class first up to its share, then what is left of the places to whoever waits. */
#define CLAIM(attempt, tasks)                                                                    \
	"UPDATE drover_task SET state = 1, owner = $1, lease_until = $2, claimed_at = $3,"       \
	" fence = fence + 1" attempt " WHERE state = 0 AND id IN (SELECT id FROM"                \
	" (SELECT id, priority, room, row_number() OVER (PARTITION BY priority"                  \
	" ORDER BY nth, not_before, id) AS place, row_number() OVER (PARTITION BY job"           \
	" ORDER BY priority, nth, not_before, id) AS in_job FROM"                                \
	" (SELECT * FROM (" NEXT("0", tasks) ") AS p0 UNION ALL SELECT * FROM ("                 \
	NEXT("1", tasks) ") AS p1 UNION ALL SELECT * FROM (" NEXT("2", tasks) ") AS p2) AS next" \
	") AS placed WHERE in_job <= room"                                                       \
	" ORDER BY CASE WHEN place <= (CASE priority WHEN 0 THEN $6 WHEN 1 THEN $7 ELSE $8 END)" \
	" THEN 0 ELSE 1 END, priority, place LIMIT (SELECT CASE WHEN $9 = 0 THEN $5"             \
	" WHEN $9 <= n THEN 0 WHEN $9 - n < $5 THEN $9 - n ELSE $5 END FROM"                     \
	" (SELECT (SELECT COUNT(*) FROM drover_task WHERE state = 1 AND kind = $4)"              \
	" + (SELECT COUNT(*) FROM drover_task WHERE state = 3 AND kind = $4) AS n) AS held))"    \
	" RETURNING id, run_id, fence, attempt, max_attempts, timeout_ms, depth, priority,"      \
	" (SELECT created_at FROM drover_run WHERE drover_run.id = run_id),"                     \
	" (SELECT COALESCE(started_at, $3) FROM drover_run WHERE drover_run.id = run_id),"       \
	" job, kind, payload, checkpoint"
/* clang-format on */

/* The attempt is counted here: a task that kills its worker is counted too. */
#define COUNTED ", attempt = attempt + 1"
static const char *const claims[STORE_DIALECTS] = {
	[STORE_DIALECT_SQLITE] = CLAIM(COUNTED, TASKS_SQLITE),
	[STORE_DIALECT_POSTGRESQL] = CLAIM(COUNTED, TASKS_POSTGRESQL),
};
/* Where writers work side by side the bounds hold because claims of a kind come one by one. */
static const char *const locks[STORE_DIALECTS] = {
	[STORE_DIALECT_POSTGRESQL] = "SELECT 1 FROM pg_advisory_xact_lock("
				     "hashtextextended('drover_claim ' || $1, 0))",
};

/* One that is under way is not seen, but its lock is waited for. */
static const char *const waits[STORE_DIALECTS] = {
	[STORE_DIALECT_POSTGRESQL] = "SELECT COUNT(*) FROM (SELECT DISTINCT kind FROM drover_job"
				     " ORDER BY kind) AS k CROSS JOIN LATERAL"
				     " pg_advisory_xact_lock(hashtextextended("
				     "'drover_claim ' || k.kind, 0)) AS locked",
};

void queue_tx_wait_for_claims(struct store *store, struct store_tx *tx)
{
	const char *sql = waits[store_dialect(store)];
	if (sql)
		store_tx_sql(tx, sql, NULL, 0);
}

enum {
	COL_ID,
	COL_RUN,
	COL_FENCE,
	COL_ATTEMPT,
	COL_MAX_ATTEMPTS,
	COL_TIMEOUT,
	COL_DEPTH,
	COL_PRIORITY,
	COL_RUN_CREATED,
	COL_RUN_STARTED,
	COL_JOB,
	COL_KIND,
	COL_PAYLOAD,
	COL_CHECKPOINT,
};

static void on_claimed(void *arg, const struct store_result *r);

static const char *claim_sql(const struct queue *q)
{
#ifdef DROVER_MUTANTS
	if (MUTANT(ATTEMPT_COUNTED_AT_END))
		return CLAIM("", TASKS_SQLITE);
#endif
	return claims[store_dialect(q->store)];
}

void queue_tx_claim(struct queue *q, struct store_tx *tx, size_t max, queue_claimed cb, void *arg)
{
	int64_t now = clock_real_ms(), want[3] = { 0 };
	enum store_dialect dialect = store_dialect(q->store);
	assert(!q->claiming && q->kind);
	max = MIN(MAX(max, (size_t)1), (size_t)CLAIM_MAX);
	for (size_t i = 0; i < max; i++)
		want[shares[(q->turn + i) % ARRAY_SIZE(shares)]]++;
	int64_t near = MIN(MAX((int64_t)max / 2, (int64_t)RUNS_NEAR_MIN), (int64_t)RUNS_NEAR_MAX);
	q->asked = max;
	q->claiming = true;
	q->claimed = cb;
	q->claimed_arg = arg;
	if (locks[dialect])
		SQL(tx, locks[dialect], T(q->kind));
	q->claim_statement = SQL(tx, claim_sql(q), T(q->owner), I(now + q->lease_ms), I(now),
		T(q->kind), I((int64_t)max), I(want[0]), I(want[1]), I(want[2]),
		I(MUTANT(CONCURRENCY_OF_ONE_PROCESS) ? 0 : q->concurrency), I(q->cursor),
		I(q->far ? RUNS_FAR : near), I(q->of_run ? q->of_run : (int64_t)max));
	SQL(tx,
		"UPDATE drover_run SET state = 'running', started_at = COALESCE(started_at, $2)"
		" WHERE state = 'queued' AND id IN"
		" (SELECT run_id FROM drover_task WHERE state = 1 AND owner = $1)",
		T(q->owner), I(now));
	if (!q->known)
		SQL(tx,
			"INSERT INTO drover_owner (owner, kind, since) VALUES ($1, $2, $3)"
			" ON CONFLICT (owner) DO NOTHING",
			T(q->owner), T(q->kind), I(now));
	/* Whoever gets nothing now looks where it may not have looked. */
	q->newest_statement = store_tx_sql(tx, "SELECT MAX(id) FROM drover_run", NULL, 0);
	store_tx_also(tx, on_claimed, q);
}

void queue_claim(struct queue *q, size_t max, queue_claimed cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	store_tx_lane(tx, LANE_CLAIM);
	queue_tx_claim(q, tx, max, cb, arg);
	store_submit(q->store, tx, NULL, NULL);
}

bool queue_is_claiming(const struct queue *q)
{
	return q->claiming;
}

static char *put(char **at, const char *text)
{
	char *start = *at;
	size_t len = strlen(text) + 1;
	memcpy(start, text, len);
	*at += len;
	return start;
}

static const char *text_or_empty(
	const struct store_result *r, size_t statement, size_t row, size_t column)
{
	const char *text = store_result_text(r, statement, row, column);
	return text ? text : "";
}

static struct task *read_task(const struct store_result *r, size_t s, size_t row)
{
	const char *job = text_or_empty(r, s, row, COL_JOB),
		   *kind = text_or_empty(r, s, row, COL_KIND);
	const char *payload = text_or_empty(r, s, row, COL_PAYLOAD);
	const char *checkpoint = text_or_empty(r, s, row, COL_CHECKPOINT);
	struct task *t = calloc(1,
		sizeof(*t) + strlen(job) + strlen(kind) + strlen(payload) + strlen(checkpoint) + 4);
	if (!t)
		return NULL;
	char *at = (char *)(t + 1);
	t->job = put(&at, job);
	t->kind = put(&at, kind);
	t->payload = put(&at, payload);
	t->checkpoint = put(&at, checkpoint);
	t->id = store_result_int(r, s, row, COL_ID);
	t->run_id = store_result_int(r, s, row, COL_RUN);
	t->fence = store_result_int(r, s, row, COL_FENCE);
	t->attempt = store_result_int(r, s, row, COL_ATTEMPT);
	t->max_attempts = store_result_int(r, s, row, COL_MAX_ATTEMPTS);
	t->timeout_ms = store_result_int(r, s, row, COL_TIMEOUT);
	t->depth = store_result_int(r, s, row, COL_DEPTH);
	t->priority = store_result_int(r, s, row, COL_PRIORITY);
	t->run_created_at = store_result_int(r, s, row, COL_RUN_CREATED);
	t->run_started_at = store_result_int(r, s, row, COL_RUN_STARTED);
	t->claimed_mono_ms = clock_mono_ms();
	return t;
}

void task_free(struct task *task)
{
	if (!task)
		return;
	list_remove(&task->node);
	free(task);
}

static int by_priority_then_age(const void *left, const void *right)
{
	const struct task *a = *(struct task *const *)left, *b = *(struct task *const *)right;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* How many runs were served, and how much the one got that got most. */
static void count_runs(struct task *const *tasks, size_t count, int64_t *runs, int64_t *most)
{
	*runs = *most = 0;
	for (size_t i = 0; i < count; i++) {
		int64_t before = 0, same = 0;
		for (size_t k = 0; k < count; k++) {
			bool is_same = tasks[k]->run_id == tasks[i]->run_id;
			before += is_same && k < i;
			same += is_same;
		}
		*runs += before == 0;
		*most = MAX(*most, same);
	}
}

/* How many tasks of each run the next claim looks at: half as many more as the run got that got
 * most; after a claim that got less than it asked for, twice what those runs would have had to
 * give. 0: as many as it asks for. */
static int64_t plan_depth(const struct queue *q, struct task *const *tasks, size_t count)
{
	int64_t runs, most, asked = (int64_t)q->asked;
	if (count == 0)
		return 0;
	count_runs(tasks, count, &runs, &most);
	int64_t depth = most + most / 2 + 1;
	if (count < q->asked)
		depth = MAX(depth, 2 * asked / runs + 1);
	return depth < asked ? depth : 0;
}

/* Where the next claim begins to look: behind the newest run that was served, or from the start.
 * After one that found nothing, anywhere: what lies before may be full of tasks that wait. Where
 * many runs shared a claim it need not look at many tasks of each. */
static void plan_next(
	struct queue *q, const struct store_result *r, struct task *const *tasks, size_t count)
{
	int64_t newest = store_result_int(r, q->newest_statement, 0, 0), served = 0;
	for (size_t i = 0; i < count; i++)
		served = MAX(served, tasks[i]->run_id);
	if (count > 0)
		q->cursor = served > q->cursor ? served : 0;
	else
		q->cursor = newest > 0 ? queue_random() % newest : 0;
	q->far = count == 0;
	q->of_run = plan_depth(q, tasks, count);
}

static void on_claimed(void *arg, const struct store_result *r)
{
	struct queue *q = arg;
	enum queue_status status = queue_note(r);
	size_t rows = store_result_rows(r, q->claim_statement), count = 0;
	struct task **tasks = calloc(rows + 1, sizeof(struct task *));
	/* Claimed and not handed out: nobody would ever work on it. */
	if (!tasks)
		abort();
	for (size_t row = 0; status == QUEUE_OK && row < rows; row++) {
		struct task *task = read_task(r, q->claim_statement, row);
		if (!task)
			abort();
		list_add_tail(&q->held, &task->node);
		tasks[count++] = task;
	}
	/* RETURNING has no order. */
	qsort(tasks, count, sizeof(*tasks), by_priority_then_age);
	if (status == QUEUE_OK)
		plan_next(q, r, tasks, count);
	q->known = q->known || status == QUEUE_OK;
	q->turn = (q->turn + count) % ARRAY_SIZE(shares);
	q->claiming = false;
	q->claimed(q->claimed_arg, status, tasks, count);
	free(tasks);
}
