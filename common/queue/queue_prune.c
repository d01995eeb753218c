/* SPDX-License-Identifier: MIT */
/*
 * What is too old leaves, a little at a time: a step looks at PRUNE_RUNS runs and removes at most
 * PRUNE_ROWS rows of each table, so that claims never wait for it.
 */
#include "queue/queue_sql.h"
#include <stdlib.h>

enum { PRUNE_RUNS = 100, PRUNE_ROWS = 500 };

/* The ended runs that this step looks at, wherever its cursor is; most of those that stay (the last
 * of their job, or with dead letters) lie in front, so it does not begin at the oldest each time.
 */
#define WINDOW                                                                                \
	"SELECT id, job, finished_at, followed FROM drover_run WHERE finished_at IS NOT NULL" \
	" AND finished_at < $1 AND (finished_at > $2 OR finished_at = $2 AND id > $3)"        \
	" ORDER BY finished_at, id LIMIT $4"
#define OLD                                                                                 \
	"SELECT w.id FROM (" WINDOW                                                         \
	") AS w WHERE w.followed = 0 AND EXISTS (SELECT 1 FROM drover_run n"                \
	" WHERE n.job = w.job AND n.id > w.id) AND NOT EXISTS (SELECT 1 FROM drover_dead d" \
	" WHERE d.run_id = w.id)"
/* Up to the time of the $2th oldest row: tables without a key of one column have no other bound. */
#define OLDEST(table, column)                                                               \
	"DELETE FROM " table " WHERE " column " < $1 AND " column " <= (SELECT MAX(" column \
	") FROM (SELECT " column " FROM " table " WHERE " column " < $1 ORDER BY " column   \
	" LIMIT $2) AS oldest)"

/* One that was caught up stays for as long as those that were decided beside it. */
#define OLD_DUES                                                                           \
	"DELETE FROM drover_due WHERE decided_at < $1 AND due_at <= (SELECT MAX(due_at)"   \
	" FROM (SELECT due_at FROM drover_due WHERE due_at < $1 AND decided_at < $1 ORDER" \
	" BY due_at LIMIT $2) AS oldest)"

struct prune_call {
	struct queue_prune *prune;
	queue_cb cb;
	size_t window, urls, runs, tasks, dues;
};

static void on_step(void *arg, const struct store_result *r)
{
	const struct prune_call *call = store_result_data(r);
	struct queue_prune *p = call->prune;
	enum queue_status status = queue_note(r);
	if (status == QUEUE_OK) {
		size_t looked = store_result_rows(r, call->window);
		int64_t urls = store_result_changes(r, call->urls),
			tasks = store_result_changes(r, call->tasks),
			dues = store_result_changes(r, call->dues);
		bool again = urls >= PRUNE_ROWS; /* a run leaves after the last of its URLs */
		p->more = again || looked == PRUNE_RUNS || tasks >= PRUNE_ROWS ||
			  dues >= PRUNE_ROWS;
		if (!again && looked > 0) {
			p->finished_at = store_result_int(r, call->window, looked - 1, 2);
			p->run_id = store_result_int(r, call->window, looked - 1, 0);
		}
		p->runs += store_result_changes(r, call->runs);
		p->rows += urls + tasks + dues;
	}
	call->cb(arg, status);
}

void queue_prune(struct store *store, struct queue_prune *p, queue_cb cb, void *arg)
{
	struct store_tx *tx = queue_tx_new(store, 0);
	struct prune_call *call = store_tx_data(tx, sizeof(*call));
	if (!call)
		abort();
	call->prune = p;
	call->cb = cb;
	const struct store_value v[] = { I(p->before_ms), I(p->finished_at), I(p->run_id),
		I(PRUNE_RUNS), I(PRUNE_ROWS) };
	call->window = store_tx_sql(tx, WINDOW, v, 4);
	call->urls = store_tx_sql(tx,
		"DELETE FROM drover_url WHERE (run_id, url) IN (SELECT run_id, url FROM drover_url"
		" WHERE run_id IN (" OLD ") LIMIT $5)",
		v, 5);
	store_tx_sql(tx, "DELETE FROM drover_ended_by WHERE run_id IN (" OLD ")", v, 4);
	call->runs = store_tx_sql(tx,
		"DELETE FROM drover_run WHERE id IN (" OLD ") AND NOT EXISTS (SELECT 1 FROM"
		" drover_url WHERE run_id = drover_run.id)",
		v, 4);
	call->tasks = SQL(
		tx, OLDEST("drover_task_history", "ended"), I(p->before_ms), I(PRUNE_ROWS));
	call->dues = SQL(tx, OLD_DUES, I(p->before_ms), I(PRUNE_ROWS));
	store_submit(store, tx, on_step, arg);
}
