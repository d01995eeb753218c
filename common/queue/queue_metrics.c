/* SPDX-License-Identifier: MIT */
/* How much waits, counted through the partial indexes. */
#include "base/clock.h"
#include "queue/queue_answers.h"
#include "queue/queue_sql.h"
#include <stdlib.h>

struct metrics_call {
	queue_metrics_cb cb;
	int64_t now_ms;
};

static void on_counted(void *arg, const struct store_result *r)
{
	const struct metrics_call *call = store_result_data(r);
	enum queue_status status = queue_note(r);
	if (status != QUEUE_OK) {
		call->cb(arg, status, NULL);
		return;
	}
	struct queue_metrics m = { .ready = store_result_int(r, 0, 0, 0),
		.delayed = store_result_int(r, 0, 0, 1),
		.claimed = store_result_int(r, 0, 0, 2),
		.dead = store_result_int(r, 0, 0, 3) };
	int64_t oldest = store_result_int(r, 0, 0, 4);
	if (oldest > 0)
		m.oldest_ready_ms = MAX(call->now_ms - oldest, (int64_t)0);
	call->cb(arg, status, &m);
}

void queue_metrics(struct store *store, queue_metrics_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, STORE_READ_ONLY);
	struct metrics_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->cb = cb;
	call->now_ms = clock_real_ms();
	SQL(tx,
		"SELECT (SELECT COUNT(*) FROM drover_task WHERE state = 0 AND not_before <= $1),"
		" (SELECT COUNT(*) FROM drover_task WHERE state = 0 AND not_before > $1),"
		" (SELECT COUNT(*) FROM drover_task WHERE state = 1),"
		" (SELECT COUNT(*) FROM drover_dead),"
		" (SELECT MIN(not_before) FROM drover_task WHERE state = 0 AND not_before <= $1)",
		I(call->now_ms));
	store_submit(store, tx, on_counted, arg);
}
