/* SPDX-License-Identifier: MIT */
/* How much is claimed at once, and claims that share a commit with what they follow. */
#include "queue_fixture.h"

static struct queue *open_bounded(struct fixture *f, const char *owner, int64_t concurrency)
{
	struct queue *q = open_queue(f, owner);
	queue_set_concurrency(q, concurrency);
	return q;
}

static void run_of(struct fixture *f, const char *job, size_t count, int64_t priority)
{
	static const char *const payloads[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
	const struct run_request run = { .job = job,
		.kind = "collect",
		.trigger = "manual",
		.max_attempts = 3,
		.priority = priority,
		.payloads = payloads,
		.payload_count = count };
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_run(tx, &run, clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static void bound_job(struct fixture *f, const char *job, int64_t concurrency)
{
	const struct store_value v[] = { store_text(job), STORE_VALUE_INT(concurrency) };
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx,
		"INSERT INTO drover_job (name, kind, spec_hash, updated_at, concurrency)"
		" VALUES ($1, 'collect', 'h', 0, $2) ON CONFLICT (name) DO UPDATE SET"
		" concurrency = $2",
		v, 2);
	assert_ok(run_tx(f, tx));
}

static size_t take(struct fixture *f, struct queue *q, size_t max)
{
	struct claim c;
	size_t n = claim(f, q, max, &c);
	unclaim(&c);
	return n;
}

static void a_kind_s_bound_holds_over_all_its_processes(void **state)
{
	struct fixture *f = *state;
	struct queue *one = open_bounded(f, "n/e/w:1/1", 3), *two = open_bounded(f, "n/e/w:2/1", 3);
	run_of(f, "a", 10, PRIORITY_MEDIUM);
	assert_int_equal(take(f, one, 2), 2);
	assert_int_equal(take(f, two, 2), 1);
	assert_int_equal(take(f, one, 2), 0);
	/* Whoever comes in the place of one that was killed does not know what that one held. */
	struct queue *next = open_bounded(f, "n/e/w:1/2", 3);
	assert_int_equal(take(f, next, 2), 0);
	assert_int_equal(WAIT(f, queue_free_owner, "n/e/w:1/1"), QUEUE_OK);
	assert_int_equal(take(f, next, 9), 2);
	queue_set_concurrency(next, 5);
	assert_int_equal(take(f, next, 9), 2);
	queue_set_concurrency(next, 0);
	assert_int_equal(take(f, next, 9), 5);
	queue_close(one);
	queue_close(two);
	queue_close(next);
}

static void a_cancelled_task_keeps_its_place_until_its_holder_lets_go(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_bounded(f, "o", 1);
	struct claim c;
	run_of(f, "a", 1, PRIORITY_MEDIUM);
	run_of(f, "b", 1, PRIORITY_MEDIUM);
	assert_int_equal(claim(f, q, 1, &c), 1);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_cancel_run(tx, c.tasks[0]->run_id, NULL, "", clock_real_ms());
	assert_ok(run_tx(f, tx));
	assert_int_equal(take(f, q, 1), 0);
	queue_let_go(q, c.tasks[0]);
	unclaim(&c);
	assert_int_equal(take(f, q, 1), 1);
	queue_close(q);
}

static void a_job_s_bound_holds_over_runs_priorities_and_processes(void **state)
{
	struct fixture *f = *state;
	struct queue *one = open_queue(f, "1"), *two = open_queue(f, "2");
	bound_job(f, "a", 3);
	run_of(f, "a", 10, PRIORITY_HIGH);
	run_of(f, "a", 10, PRIORITY_LOW);
	assert_int_equal(take(f, one, 1), 1);
	assert_int_equal(take(f, two, 9), 2);
	assert_int_equal(take(f, one, 9), 0);
	/* What it may not have, others may. */
	run_of(f, "b", 10, PRIORITY_LOW);
	assert_int_equal(take(f, one, 9), 9);
	bound_job(f, "a", 4);
	assert_int_equal(take(f, one, 9), 2);
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1 AND job = 'a'"), 4);
	queue_close(one);
	queue_close(two);
}

/* 250 runs whose tasks wait stand before the one that has something to do. */
static void a_long_row_of_runs_that_wait_hides_no_ready_one(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	for (int i = 0; i < 250; i++)
		run_of(f, "a", 1, PRIORITY_MEDIUM);
	assert_ok(run_sql(f, "UPDATE drover_task SET not_before = 9999999999999"));
	run_of(f, "b", 2, PRIORITY_MEDIUM);
	size_t found = 0;
	for (int i = 0; i < 3 && found < 2; i++)
		found += take(f, q, 2);
	assert_int_equal(found, 2);
	queue_close(q);
}

static void many_runs_are_all_served(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	size_t found = 0;
	for (int i = 0; i < 260; i++)
		run_of(f, i % 2 ? "a" : "b", 1, i % 3);
	for (int i = 0; i < 60; i++)
		found += take(f, q, 7);
	assert_int_equal(found, 260);
	queue_close(q);
}

static void a_claim_looks_deeper_when_the_one_before_got_less_than_it_asked_for(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "n/e/w:1/1");
	enum { RUNS = 12, ASKED = 60 };
	for (int i = 0; i < RUNS; i++)
		run_of(f, "a", 10, PRIORITY_MEDIUM);
	/* One of each: the next one looks at few. */
	assert_int_equal(take(f, q, RUNS), RUNS);
	size_t second = take(f, q, ASKED);
	assert_in_range(second, RUNS, ASKED);
	if (second < ASKED)
		assert_int_equal(take(f, q, ASKED), ASKED);
	/* All that is left, in two claims. */
	size_t left = 10 * RUNS - RUNS - second - (second < ASKED ? ASKED : 0);
	assert_int_equal(take(f, q, ASKED) + take(f, q, ASKED), left);
	queue_close(q);
}

/* ---- a claim in the transaction that acknowledges ---- */

struct fused {
	struct claim claim;
	bool done, claimed_first;
	int status;
};

static void on_next(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct fused *fused = arg;
	fused->claimed_first = !fused->done;
	fused->claim.status = status;
	for (fused->claim.count = 0; fused->claim.count < count; fused->claim.count++)
		fused->claim.tasks[fused->claim.count] = tasks[fused->claim.count];
}

static void on_acknowledged(void *arg, const struct store_result *r)
{
	struct fused *fused = arg;
	fused->done = true;
	fused->status = store_result_status(r);
	loop_stop(fused->claim.loop);
}

static void the_next_claim_is_one_commit_with_the_acknowledgement(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_bounded(f, "o", 1);
	struct claim c;
	struct fused fused = { .claim.loop = f->loop };
	run_of(f, "a", 3, PRIORITY_MEDIUM);
	assert_int_equal(claim(f, q, 1, &c), 1);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_done(tx, c.tasks[0]);
	queue_tx_claim(q, tx, 5, on_next, &fused);
	assert_true(queue_is_claiming(q));
	store_submit(f->store, tx, on_acknowledged, &fused);
	loop_run(f->loop);
	assert_false(queue_is_claiming(q));
	assert_int_equal(fused.status, STORE_OK);
	assert_true(fused.claimed_first);
	/* The place that the first one gave back, and no more. */
	assert_int_equal(fused.claim.count, 1);
	assert_string_equal(fused.claim.tasks[0]->payload, "1");
	/* The same again, of a task that is ours no longer: nothing is claimed. */
	struct store_tx *lost = store_tx_new(f->store, 0);
	queue_tx_guard(q, lost, c.tasks[0], NULL);
	queue_tx_claim(q, lost, 5, on_next, &fused);
	unclaim(&fused.claim);
	store_submit(f->store, lost, on_acknowledged, &fused);
	loop_run(f->loop);
	assert_int_equal(fused.claim.status, QUEUE_LOST);
	assert_int_equal(fused.claim.count, 0);
	assert_false(queue_is_claiming(q));
	unclaim(&c);
	queue_close(q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_kind_s_bound_holds_over_all_its_processes),
		TEST(a_cancelled_task_keeps_its_place_until_its_holder_lets_go),
		TEST(a_job_s_bound_holds_over_runs_priorities_and_processes),
		TEST(a_long_row_of_runs_that_wait_hides_no_ready_one),
		TEST(many_runs_are_all_served),
		TEST(a_claim_looks_deeper_when_the_one_before_got_less_than_it_asked_for),
		TEST(the_next_claim_is_one_commit_with_the_acknowledgement),
	};
	return RUN_ON_BOTH(tests);
}
