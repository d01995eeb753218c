/* SPDX-License-Identifier: MIT */
#pragma once
/* A queue over the real store of store_fixture.h. */
#include "store/store_fixture.h"

#include "base/clock.h"
#include "queue/queue.h"

struct claim {
	struct loop *loop;
	enum queue_status status;
	struct task *tasks[64];
	size_t count;
};

static inline void on_status(void *arg, enum queue_status status)
{
	struct claim *c = arg;
	c->status = status;
	loop_stop(c->loop);
}

static inline void on_claim(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct claim *c = arg;
	c->status = status;
	for (c->count = 0; c->count < count; c->count++)
		c->tasks[c->count] = tasks[c->count];
	loop_stop(c->loop);
}

static inline size_t claim(struct fixture *f, struct queue *q, size_t max, struct claim *c)
{
	c->loop = f->loop;
	queue_claim(q, max, on_claim, c);
	loop_run(f->loop);
	assert_int_equal(c->status, QUEUE_OK);
	return c->count;
}

static inline void unclaim(struct claim *c)
{
	for (size_t i = 0; i < c->count; i++)
		task_free(c->tasks[i]);
	c->count = 0;
}

/* Runs an asynchronous function of the queue: WAIT(f, queue_free_owner, "a"). */
#define WAIT(f, fn, ...)                                          \
	({                                                        \
		struct claim wait_ = { .loop = (f)->loop };       \
		fn((f)->store, ##__VA_ARGS__, on_status, &wait_); \
		loop_run((f)->loop);                              \
		wait_.status;                                     \
	})

static inline int queue_setup(void **state)
{
	fixture_setup(state);
	struct fixture *f = *state;
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_OK);
	return 0;
}

static inline struct queue *open_queue(struct fixture *f, const char *owner)
{
	struct queue *q;
	const struct queue_options options = { .owner = owner, .kind = "collect" };
	assert_int_equal(queue_open(&q, f->store, &options), 0);
	return q;
}

/* A manual run of `count` tasks with payloads "0", "1", ... */
static inline void make_run(
	struct fixture *f, const char *request_id, size_t count, int64_t priority, int64_t attempts)
{
	static char text[512][24];
	const char *payloads[512];
	for (size_t i = 0; i < count; i++) {
		snprintf(text[i], sizeof(text[i]), "%zu", i);
		payloads[i] = text[i];
	}
	const struct run_request run = { .job = "j",
		.kind = "collect",
		.trigger = "manual",
		.request_id = request_id,
		.max_attempts = attempts,
		.timeout_ms = 1000,
		.priority = priority,
		.payloads = payloads,
		.payload_count = count };
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_run(tx, &run, clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static inline const char *run_state(struct fixture *f, int64_t id)
{
	struct store_tx *tx = store_tx_new(f->store, STORE_READ_ONLY);
	struct store_value v = STORE_VALUE_INT(id);
	store_tx_sql(tx, "SELECT state FROM drover_run WHERE id = $1", &v, 1);
	assert_ok(run_tx(f, tx));
	return f->out.text;
}
