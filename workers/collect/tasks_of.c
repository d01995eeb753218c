/* SPDX-License-Identifier: MIT */
#include "collect/tasks_of.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/collect.h"
#include "collect/incremental.h"
#include "collect/kind.h"
#include "collect/payload.h"
#include "collect/plan.h"
#include "collect/task.h"
#include "collect/values.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue_state.h"
#include "store/store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_AT_A_TIME = 200, READ_AGAIN_MS = 1000, PIECES_AT_A_TIME = 256 };

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

/* ---- what is known before ---- */

static struct store *known_store(const struct collect_task *t)
{
	return t->collector->known ? t->collector->known : t->collector->store;
}

/* Who tries a job waits for no store. */
static void not_known(struct collect_task *t, const struct store_result *r)
{
	if (t->collector->known)
		collect_task_end(t, ENDING_DEAD, 0, "the store: %s", store_result_error(r));
	else
		collect_task_end(t, ENDING_PUT_BACK, READ_AGAIN_MS, "%s", "the store is away");
}

/* ---- windows ---- */

/* Each ends where the next begins. */
static int add_windows(struct batch *batch, const struct collect_task *t, const int64_t *begins,
	size_t count, int64_t end, struct err *err)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	batch->children = arena_alloc(batch->arena, (count + 1) * sizeof(*batch->children));
	batch->windows = arena_alloc(batch->arena, (count + 1) * sizeof(*batch->windows));
	if (!batch->children || !batch->windows)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct task_payload payload = { .value = t->value,
			.since = begins[i],
			.until = i + 1 < count ? begins[i + 1] : end };
		buf_reset(&text);
		payload_write(&text, t->plan->spec->for_each.as, &payload);
		batch->windows[i] = begins[i];
		batch->children[i] = buf_failed(&text) ? NULL
						       : arena_strdup(batch->arena, buf_str(&text));
		if (!batch->children[i])
			return no_memory(err);
	}
	batch->child_count = batch->window_count = count;
	return 0;
}

static int cut(struct collect_task *t, struct err *err)
{
	const struct collect_incremental *inc = &t->plan->spec->incremental;
	int64_t begins[WINDOWS_AT_A_TIME];
	struct position *at = &t->page.at;
	struct batch *batch = batch_new();
	if (!batch)
		return no_memory(err);
	batch->fresh = !t->cut;
	t->cut = true;
	size_t count = incremental_cut(inc, &at->since, at->until, begins, WINDOWS_AT_A_TIME);
	int rc = add_windows(batch, t, begins, count, at->since, err);
	if (rc < 0) {
		batch_free(batch);
		return rc;
	}
	bool more = at->since < at->until;
	/* The rest stays in front of the cursor until it is cut, too. */
	if (more)
		batch->windows[batch->window_count++] = at->since;
	batch->after = *at;
	list_add_tail(&t->ready, &batch->node);
	if (more)
		collect_commit(t);
	else
		collect_task_end(t, ENDING_DONE, 0, "%s", "");
	return 0;
}

/* ---- for_each's values ---- */

/* The last one, too, has the checkpoint of all of them. */
static void hand_over(struct collect_task *t, struct batch *batch, bool more)
{
	batch->after = t->page.at;
	if (batch->after.token)
		batch->after.token = arena_strdup(batch->arena, batch->after.token);
	/* For trying, so many values are as good as all. */
	int64_t sample = t->collector->sample;
	if (sample)
		batch->child_count = MIN(batch->child_count, (size_t)sample);
	list_add_tail(&t->ready, &batch->node);
	if (more && (!sample || t->page.at.seen < sample))
		collect_commit(t);
	else
		collect_task_end(t, ENDING_DONE, 0, "%s", "");
}

static int read_file(struct collect_task *t, struct err *err)
{
	const struct collect_for_each *each = &t->plan->spec->for_each;
	int rc = t->values ? 0 : values_open(&t->values, each, t->page.at.seen, err);
	struct batch *batch = rc == 0 ? batch_new() : NULL;
	if (rc == 0 && !batch)
		rc = no_memory(err);
	/* What makes no task needs no transaction; but the loop is not held up for long. */
	int more = 1;
	for (int i = 0; i < PIECES_AT_A_TIME && rc == 0 && more > 0 && !batch->child_count &&
			!batch->rejected;
		i++) {
		more = values_read(t->values, batch, &t->page.at.seen, err);
		rc = MIN(more, 0);
	}
	if (rc < 0) {
		batch_free(batch);
		return rc;
	}
	hand_over(t, batch, more > 0);
	return 0;
}

static int take_values(struct collect_task *t, const struct store_result *r, struct err *err)
{
	size_t rows = store_result_rows(r, 0);
	struct batch *batch = batch_new();
	int rc = batch ? 0 : no_memory(err);
	for (size_t i = 0; i < rows && rc == 0; i++) {
		const struct store_value *v = store_result_value(r, 0, i, 0);
		if (v->len > VALUE_LONGEST)
			rc = err_set(err, -EINVAL, "for_each: a value is longer than %d bytes",
				VALUE_LONGEST);
		else
			rc = values_add(
				batch, t->plan->spec->for_each.as, v->data, v->len, rows, err);
	}
	const struct store_value *last = rows > 0 ? store_result_value(r, 0, rows - 1, 0) : NULL;
	char *token = rc == 0 && last ? strndup(last->data, last->len) : NULL;
	if (rc == 0 && last && !token)
		rc = no_memory(err);
	if (rc < 0) {
		batch_free(batch);
		return rc;
	}
	free(t->page.token);
	t->page.at.token = t->page.token = token;
	t->page.at.seen += (int64_t)rows;
	hand_over(t, batch, rows == VALUES_AT_A_TIME);
	return 0;
}

static void on_values(void *arg, const struct store_result *r)
{
	struct collect_task *t = arg;
	struct err err;
	t->reading = false;
	if (t->ending != ENDING_NONE)
		return;
	switch (store_result_status(r)) {
	case STORE_OK:
		if (take_values(t, r, &err) < 0)
			collect_task_end(t, ENDING_DEAD, 0, "%s", err.text);
		break;
	case STORE_FAILED:
		collect_task_end(t, ENDING_DEAD, 0, "for_each: %s", store_result_error(r));
		break;
	default: not_known(t, r); break;
	}
}

static int read_store(struct collect_task *t, struct err *err)
{
	struct store_tx *tx = store_tx_new(known_store(t), STORE_READ_ONLY);
	if (!tx)
		return no_memory(err);
	if (values_ask(tx, &t->plan->spec->for_each, t->page.at.token) < 0) {
		store_tx_free(tx);
		return no_memory(err);
	}
	t->reading = true;
	store_submit(known_store(t), tx, on_values, t);
	return 0;
}

static int make_values(struct collect_task *t, struct err *err)
{
	const struct collect_for_each *each = &t->plan->spec->for_each;
	return each->csv || each->ndjson ? read_file(t, err) : read_store(t, err);
}

/* ---- the cursor ---- */

static void on_cursor(void *arg, const struct store_result *r)
{
	struct collect_task *t = arg;
	const struct collect_incremental *inc = &t->plan->spec->incremental;
	t->reading = false;
	if (t->ending != ENDING_NONE)
		return;
	if (store_result_status(r) != STORE_OK) {
		not_known(t, r);
		return;
	}
	bool known = store_result_rows(r, 0) > 0 &&
		     store_result_value(r, 0, 0, 0)->type == STORE_INT;
	int64_t cursor = known ? store_result_int(r, 0, 0, 0) : 0;
	t->page.at.since = incremental_since(inc, known ? &cursor : NULL);
	if (inc->until)
		t->page.at.until = clock_real_ms();
	collect_task_go_on(t);
}

static int read_cursor(struct collect_task *t, struct err *err)
{
	struct store_tx *tx = store_tx_new(known_store(t), STORE_READ_ONLY);
	if (!tx)
		return no_memory(err);
	queue_tx_read_cursor(tx, t->task->job, t->partition);
	t->reading = true;
	store_submit(known_store(t), tx, on_cursor, t);
	return 0;
}

/* ---- which of them it is ---- */

int tasks_of_init(struct collect_task *t, struct err *err)
{
	const struct collect_incremental *inc = &t->plan->spec->incremental;
	CLEANUP(buf_finish) struct buf partition = BUF_INIT;
	struct task_payload payload;
	int rc = payload_read(&payload, t->plan, t->task->payload, err);
	if (rc < 0)
		return rc;
	t->value = payload.value;
	/* The first of the run: each value gets a task of its own. */
	t->makes_tasks = t->plan->spec->for_each.as && !t->value;
	if (!inc->cursor || t->makes_tasks)
		return 0;
	const struct task_payload whole = {
		.value = t->value, .since = POSITION_NONE, .until = POSITION_NONE
	};
	payload_write(&partition, t->plan->spec->for_each.as, &whole);
	t->partition = buf_detach(&partition);
	if (!t->partition)
		return no_memory(err);
	t->windowed = payload.since != POSITION_NONE;
	t->makes_tasks = inc->step_ms && !t->windowed;
	t->cut = t->page.at.since != POSITION_NONE;
	if (t->windowed) {
		t->page.at.since = payload.since;
		t->page.at.until = payload.until;
	}
	return 0;
}

bool tasks_of_needed(const struct collect_task *t)
{
	return t->makes_tasks ||
	       (t->plan->spec->incremental.cursor && t->page.at.since == POSITION_NONE);
}

int tasks_of_go_on(struct collect_task *t, struct err *err)
{
	if (t->plan->spec->for_each.as && !t->value)
		return make_values(t, err);
	if (t->plan->spec->incremental.cursor && t->page.at.since == POSITION_NONE)
		return read_cursor(t, err);
	return cut(t, err);
}
