/* SPDX-License-Identifier: MIT */
/* The worker's queue: leases, giving back; words and callbacks of all. */
#include "queue/queue.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "queue/queue_exec.h"
#include "queue/queue_sql.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LEASE_MS = 30000 };

#define LANE_RENEW (UINT64_MAX - 1)

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
	list_init(&q->held);
	q->owner = strdup(options->owner);
	q->kind = options->kind ? strdup(options->kind) : NULL;
	q->concurrency = options->concurrency;
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
	LIST_FOR_EACH_SAFE (node, &q->held)
		list_remove(node);
	free(q->owner);
	free(q->kind);
	free(q);
}

void queue_set_concurrency(struct queue *q, int64_t concurrency)
{
	q->concurrency = concurrency;
}

/* ---- leases ---- */

/* One statement for so many tasks; the text is one that the store has prepared. */
enum { RENEW_IDS = 64 };
#define RENEW                                                                                \
	"UPDATE drover_task SET lease_until = $2 WHERE state = 1 AND owner = $1 AND id IN (" \
	"$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,"                          \
	"$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31,$32,$33,$34,"                   \
	"$35,$36,$37,$38,$39,$40,$41,$42,$43,$44,$45,$46,$47,$48,$49,$50,"                   \
	"$51,$52,$53,$54,$55,$56,$57,$58,$59,$60,$61,$62,$63,$64,$65,$66)"

void queue_renew(struct queue *q)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	struct store_value v[2 + RENEW_IDS] = { T(q->owner), I(clock_real_ms() + q->lease_ms) };
	size_t count = 0;
	store_tx_lane(tx, LANE_RENEW);
	LIST_FOR_EACH (node, &q->held) {
		v[2 + count++] = I(LIST_ENTRY(node, struct task, node)->id);
		if (count < RENEW_IDS && node->next != &q->held)
			continue;
		while (count < RENEW_IDS)
			v[2 + count++] = I(0); /* no task's */
		store_tx_sql(tx, RENEW, v, ARRAY_SIZE(v));
		count = 0;
	}
	/* What is left belongs to nobody, unless it is just being claimed. */
	if (!q->claiming)
		SQL(tx,
			"UPDATE drover_task SET lease_until = 0 WHERE state = 1 AND owner = $1"
			" AND lease_until < $2 AND kind <> '" QUEUE_EXEC "'",
			T(q->owner), I(clock_real_ms()));
	store_submit(q->store, tx, NULL, NULL);
}

void queue_give_up(struct queue *q, const struct task *task, const char *why)
{
	struct store_tx *tx = queue_tx_new(q->store, 0);
	queue_tx_guard(q, tx, task, NULL);
	queue_tx_dead(tx, task, why);
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

void queue_tx_mark(
	const struct queue *q, struct store_tx *tx, const struct task *task, const char *checkpoint)
{
	SQL(tx,
		"UPDATE drover_task SET checkpoint = $4"
		" WHERE id = $1 AND fence = $2 AND owner = $3 AND state = 1",
		I(task->id), I(task->fence), T(q->owner), T(checkpoint));
}

void queue_tx_guard(
	struct queue *q, struct store_tx *tx, const struct task *task, const char *checkpoint)
{
	int64_t until = clock_real_ms() + q->lease_ms;
	/* Tasks do not wait for each other's transactions, where the store has several connections.
	 */
	store_tx_lane(tx, (uint64_t)task->id);
	if (MUTANT(FENCE_NOT_CHECKED))
		return;
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
