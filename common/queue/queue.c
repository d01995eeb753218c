/* SPDX-License-Identifier: MIT */
/* The worker's queue: claims, leases, giving back. */
#include "queue/queue.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "queue/queue_sql.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LEASE_MS = 30000, CLAIM_MAX = 1000 };

struct queue {
	struct store *store;
	char *owner, *kind;
	int64_t lease_ms;
	size_t turn; /* of shares[] */
	queue_claimed claimed;
	void *claimed_arg;
	bool claiming;
};

/* ---- words and callbacks ---- */

static char error_words[512];

const char *queue_error(void)
{
	return error_words;
}

enum queue_status queue_note_words(enum queue_status status, const char *words)
{
	snprintf(error_words, sizeof(error_words), "%s", words);
	return status;
}

enum queue_status queue_status_of(const struct store_result *r)
{
	switch (store_result_status(r)) {
	case STORE_OK: return QUEUE_OK;
	case STORE_CONFLICT: return QUEUE_LOST;
	case STORE_UNAVAILABLE: return QUEUE_UNAVAILABLE;
	case STORE_FAILED: return QUEUE_FAILED;
	}
	return QUEUE_FAILED;
}

enum queue_status queue_note(const struct store_result *r)
{
	return queue_note_words(queue_status_of(r), store_result_error(r));
}

struct store_tx *queue_tx_new(struct store *store, unsigned flags)
{
	struct store_tx *tx = store_tx_new(store, flags);
	/* A callback that never comes would stop the queue silently; a worker that ends is
	 * replaced. */
	if (!tx)
		abort();
	return tx;
}

struct simple_call {
	queue_cb cb;
};

static void on_simple(void *arg, const struct store_result *r)
{
	struct simple_call *call = store_result_data(r);
	call->cb(arg, queue_note(r));
}

void queue_submit(struct store *store, struct store_tx *tx, queue_cb cb, void *arg)
{
	struct simple_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	store_submit(store, tx, cb ? on_simple : NULL, arg);
}

const char *queue_error_cut(char buf[ERROR_CUT + 1], const char *text)
{
	size_t len = strlen(text ? text : "");
	if (len > ERROR_CUT) {
		/* Not inside a character of UTF-8. */
		len = ERROR_CUT;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(buf, text ? text : "", len);
	buf[len] = '\0';
	return buf;
}

const char *queue_error_json(char buf[ERROR_JSON], const char *text)
{
	char cut[ERROR_CUT + 1];
	CLEANUP(buf_finish) struct buf json = { .max = ERROR_JSON - 1 };
	struct json_out out;
	json_out_init(&out, &json);
	json_str(&out, NULL, queue_error_cut(cut, text));
	snprintf(buf, ERROR_JSON, "%s", buf_failed(&json) ? "\"\"" : buf_str(&json));
	return buf;
}

/* ---- the object ---- */

int queue_open(struct queue **out, struct store *store, const struct queue_options *options)
{
	struct queue *q = NEW(struct queue);
	if (!q)
		return -ENOMEM;
	q->store = store;
	q->owner = strdup(options->owner);
	q->kind = options->kind ? strdup(options->kind) : NULL;
	q->lease_ms = options->lease_ms > 0 ? options->lease_ms : LEASE_MS;
	if (!q->owner || (options->kind && !q->kind)) {
		queue_close(q);
		return -ENOMEM;
	}
	*out = q;
	return 0;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	store_forget(q->store, q);
	free(q->owner);
	free(q->kind);
	free(q);
}

struct store *queue_store(const struct queue *q)
{
	return q->store;
}

/* ---- claims ---- */

/* Six, three and one of ten, spread so that any stretch is fair. */
static const unsigned char shares[] = { PRIORITY_HIGH, PRIORITY_MEDIUM, PRIORITY_HIGH,
	PRIORITY_HIGH, PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_LOW, PRIORITY_HIGH, PRIORITY_MEDIUM,
	PRIORITY_HIGH };

/*
 * Runs are served in turn, whoever holds least first: a long run, or one whose site lets each call
 * hang, does not keep the next run from its first task. `nth` is how many tasks the run would hold.
 * The runs that have ready tasks are found by hopping through the index, not by reading it.
 */
/* clang-format off */
#define READY(priority) "FROM drover_task WHERE state = 0 AND kind = $4 AND priority = " priority
#define RUNS(priority)                                                                           \
	"WITH RECURSIVE runs(id) AS (SELECT (SELECT MIN(run_id) " READY(priority) ")"            \
	" UNION ALL SELECT (SELECT MIN(run_id) " READY(priority) " AND run_id > runs.id)"        \
	" FROM runs WHERE runs.id IS NOT NULL)"
#define HELD(priority)                                                                           \
	"(SELECT COUNT(*) FROM drover_task WHERE state = 1 AND kind = $4 AND priority = "        \
	priority " AND run_id = t.run_id)"
#define NEXT(priority)                                                                           \
	"SELECT * FROM (" RUNS(priority) " SELECT t.id, t.priority, t.not_before, row_number()"  \
	" OVER (PARTITION BY t.run_id ORDER BY t.not_before, t.id) + " HELD(priority) " AS nth"  \
	" FROM runs JOIN drover_task t ON t.id IN (SELECT id " READY(priority)                   \
	" AND run_id = runs.id AND not_before <= $3 ORDER BY not_before, id LIMIT $5)"           \
	" ORDER BY nth, t.not_before, t.id LIMIT $5) AS p" priority

/* Each class first up to its share, then what is left of the places to whoever waits. */
#define CLAIM(attempt)                                                                           \
	"UPDATE drover_task SET state = 1, owner = $1, lease_until = $2, claimed_at = $3,"       \
	" fence = fence + 1" attempt " WHERE id IN (SELECT id FROM (SELECT id, priority,"        \
	" row_number() OVER (PARTITION BY priority ORDER BY nth, not_before, id) AS place FROM"  \
	" (" NEXT("0") " UNION ALL " NEXT("1") " UNION ALL " NEXT("2") ") AS next) AS placed"    \
	" ORDER BY CASE WHEN place <= (CASE priority WHEN 0 THEN $6 WHEN 1 THEN $7 ELSE $8 END)" \
	" THEN 0 ELSE 1 END, priority, place LIMIT $5)"                                          \
	" RETURNING id, run_id, fence, attempt, max_attempts, timeout_ms, depth, priority,"      \
	" (SELECT created_at FROM drover_run WHERE drover_run.id = run_id), not_before,"         \
	" job, kind, payload, checkpoint"
/* clang-format on */

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
	COL_NOT_BEFORE,
	COL_JOB,
	COL_KIND,
	COL_PAYLOAD,
	COL_CHECKPOINT,
};

struct claim_call {
	size_t statement;
};

static void on_claimed(void *arg, const struct store_result *r);

void queue_claim(struct queue *q, size_t max, queue_claimed cb, void *arg)
{
	int64_t now = clock_real_ms(), want[3] = { 0 };
	assert(!q->claiming && q->kind);
	max = MIN(MAX(max, (size_t)1), (size_t)CLAIM_MAX);
	for (size_t i = 0; i < max; i++)
		want[shares[(q->turn + i) % ARRAY_SIZE(shares)]]++;
	q->claiming = true;
	q->claimed = cb;
	q->claimed_arg = arg;
	struct store_tx *tx = queue_tx_new(q->store, 0);
	/* The attempt is counted here: a task that kills its worker is counted too. */
	SQL(tx, MUTANT(ATTEMPT_COUNTED_AT_END) ? CLAIM("") : CLAIM(", attempt = attempt + 1"),
		T(q->owner), I(now + q->lease_ms), I(now), T(q->kind), I((int64_t)max), I(want[0]),
		I(want[1]), I(want[2]));
	SQL(tx,
		"UPDATE drover_run SET state = 'running', started_at = COALESCE(started_at, $2)"
		" WHERE state = 'queued' AND id IN"
		" (SELECT run_id FROM drover_task WHERE state = 1 AND owner = $1)",
		T(q->owner), I(now));
	SQL(tx,
		"INSERT INTO drover_owner (owner, kind, since) VALUES ($1, $2, $3)"
		" ON CONFLICT (owner) DO NOTHING",
		T(q->owner), T(q->kind), I(now));
	store_submit(q->store, tx, on_claimed, q);
}

static char *put(char **at, const char *text)
{
	char *start = *at;
	size_t len = strlen(text) + 1;
	memcpy(start, text, len);
	*at += len;
	return start;
}

static const char *text_or_empty(const struct store_result *r, size_t row, size_t column)
{
	const char *text = store_result_text(r, 0, row, column);
	return text ? text : "";
}

static struct task *read_task(const struct store_result *r, size_t row)
{
	const char *job = text_or_empty(r, row, COL_JOB), *kind = text_or_empty(r, row, COL_KIND);
	const char *payload = text_or_empty(r, row, COL_PAYLOAD);
	const char *checkpoint = text_or_empty(r, row, COL_CHECKPOINT);
	struct task *t = calloc(1,
		sizeof(*t) + strlen(job) + strlen(kind) + strlen(payload) + strlen(checkpoint) + 4);
	if (!t)
		return NULL;
	char *at = (char *)(t + 1);
	t->job = put(&at, job);
	t->kind = put(&at, kind);
	t->payload = put(&at, payload);
	t->checkpoint = put(&at, checkpoint);
	t->id = store_result_int(r, 0, row, COL_ID);
	t->run_id = store_result_int(r, 0, row, COL_RUN);
	t->fence = store_result_int(r, 0, row, COL_FENCE);
	t->attempt = store_result_int(r, 0, row, COL_ATTEMPT);
	t->max_attempts = store_result_int(r, 0, row, COL_MAX_ATTEMPTS);
	t->timeout_ms = store_result_int(r, 0, row, COL_TIMEOUT);
	t->depth = store_result_int(r, 0, row, COL_DEPTH);
	t->priority = store_result_int(r, 0, row, COL_PRIORITY);
	t->run_created_at = store_result_int(r, 0, row, COL_RUN_CREATED);
	t->claimed_mono_ms = clock_mono_ms();
	return t;
}

void task_free(struct task *task)
{
	free(task);
}

static int by_priority_then_age(const void *left, const void *right)
{
	const struct task *a = *(struct task *const *)left, *b = *(struct task *const *)right;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static void on_claimed(void *arg, const struct store_result *r)
{
	struct queue *q = arg;
	enum queue_status status = queue_note(r);
	size_t rows = store_result_rows(r, 0), count = 0;
	struct task **tasks = calloc(rows + 1, sizeof(struct task *));
	/* Claimed and not handed out: nobody would ever work on it. */
	if (!tasks)
		abort();
	for (size_t row = 0; row < rows; row++) {
		tasks[count] = read_task(r, row);
		if (!tasks[count++])
			abort();
	}
	/* RETURNING has no order. */
	qsort(tasks, count, sizeof(*tasks), by_priority_then_age);
	q->turn = (q->turn + count) % ARRAY_SIZE(shares);
	q->claiming = false;
	q->claimed(q->claimed_arg, status, tasks, count);
	free(tasks);
}

/* ---- leases ---- */

void queue_renew(struct queue *q)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	SQL(tx, "UPDATE drover_task SET lease_until = $2 WHERE state = 1 AND owner = $1",
		T(q->owner), I(clock_real_ms() + q->lease_ms));
	store_submit(q->store, tx, NULL, NULL);
}

void queue_release_mine(struct queue *q, void (*cb)(void *arg, enum queue_status status), void *arg)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	SQL(tx,
		"UPDATE drover_task SET state = 0, owner = NULL, lease_until = NULL, claimed_at = "
		"NULL,"
		" attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END"
		" WHERE state = 1 AND owner = $1",
		T(q->owner));
	queue_submit(q->store, tx, cb, arg);
}

void queue_tx_guard(
	struct queue *q, struct store_tx *tx, const struct task *task, const char *checkpoint)
{
	int64_t until = clock_real_ms() + q->lease_ms;
	/* Attempts count tries without progress: a checkpoint that moves starts them anew. */
	if (checkpoint)
		SQL(tx,
			"UPDATE drover_task SET lease_until = $4,"
			" attempt = CASE WHEN checkpoint <> $5 THEN 1 ELSE attempt END, checkpoint "
			"= $5"
			" WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 1",
			I(task->id), I(task->fence), T(q->owner), I(until), T(checkpoint));
	else
		SQL(tx,
			"UPDATE drover_task SET lease_until = $4"
			" WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 1",
			I(task->id), I(task->fence), T(q->owner), I(until));
	store_tx_expect(tx, 1);
}
