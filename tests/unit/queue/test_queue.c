/* SPDX-License-Identifier: MIT */
#include "queue_fixture.h"

#include "config/config.h"

static void a_claim_counts_the_attempt_and_hands_out_a_new_fence(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "n/e/collect:1/1");
	struct claim c;
	make_run(f, NULL, 3, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 2, &c), 2);
	assert_string_equal(c.tasks[0]->payload, "0");
	assert_string_equal(c.tasks[1]->payload, "1");
	assert_string_equal(c.tasks[0]->job, "j");
	assert_string_equal(c.tasks[0]->checkpoint, "");
	assert_int_equal(c.tasks[0]->attempt, 1);
	assert_int_equal(c.tasks[0]->fence, 1);
	assert_int_equal(c.tasks[0]->max_attempts, 3);
	assert_int_equal(c.tasks[0]->timeout_ms, 1000);
	assert_true(c.tasks[0]->run_created_at > 0);
	assert_true(c.tasks[0]->run_started_at >= c.tasks[0]->run_created_at);
	assert_string_equal(run_state(f, 1), "running");
	unclaim(&c);
	assert_int_equal(claim(f, q, 2, &c), 1);
	unclaim(&c);
	assert_int_equal(claim(f, q, 2, &c), 0);
	queue_close(q);
}

static void another_kinds_tasks_are_left(void **state)
{
	struct fixture *f = *state;
	struct queue *q;
	struct claim c;
	const struct queue_options options = { .owner = "o", .kind = "crawl" };
	assert_int_equal(queue_open(&q, f->store, &options), 0);
	make_run(f, NULL, 3, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 2, &c), 0);
	queue_close(q);
}

static void claims_are_shared_six_three_one_and_low_never_starves(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	for (int64_t p = PRIORITY_HIGH; p <= PRIORITY_LOW; p++)
		make_run(f, NULL, 100, p, 3);
	int taken[3] = { 0 };
	for (int i = 0; i < 20; i++) { /* 100 tasks, in odd portions */
		size_t n = claim(f, q, i % 2 ? 3 : 7, &c);
		for (size_t k = 0; k < n; k++)
			taken[c.tasks[k]->priority]++;
		unclaim(&c);
	}
	assert_int_equal(taken[PRIORITY_HIGH], 60);
	assert_int_equal(taken[PRIORITY_MEDIUM], 30);
	assert_int_equal(taken[PRIORITY_LOW], 10);
	queue_close(q);
}

static void a_class_without_tasks_leaves_its_share_to_the_others(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 10, PRIORITY_LOW, 3);
	make_run(f, NULL, 1, PRIORITY_HIGH, 3);
	assert_int_equal(claim(f, q, 8, &c), 8);
	assert_int_equal(c.tasks[0]->priority, PRIORITY_HIGH);
	unclaim(&c);
	queue_close(q);
}

static void a_long_run_does_not_keep_the_next_from_its_first_task(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 500, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 6, &c), 6); /* it holds all there is */
	unclaim(&c);
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	assert_int_equal(c.tasks[0]->run_id, 2);
	unclaim(&c);
	assert_int_equal(claim(f, q, 3, &c), 3);
	assert_int_equal(c.tasks[0]->run_id, 1); /* in the order of their ids */
	assert_int_equal(c.tasks[1]->run_id, 2);
	assert_int_equal(c.tasks[2]->run_id, 3);
	unclaim(&c);
	queue_close(q);
}

static void the_last_task_ends_its_run(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	claim(f, q, 2, &c);
	for (int i = 0; i < 2; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		const struct run_counts counts = { .requests = 2, .rows = 10, .bytes = 100 };
		queue_tx_guard(q, tx, c.tasks[i], NULL);
		queue_tx_count(tx, c.tasks[i], &counts);
		queue_tx_done(tx, c.tasks[i]);
		assert_ok(run_tx(f, tx));
		assert_string_equal(run_state(f, 1), i == 0 ? "running" : "succeeded");
	}
	unclaim(&c);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 0);
	assert_int_equal(peek(f, "SELECT rows FROM drover_run"), 20);
	assert_int_equal(peek(f, "SELECT tasks_done FROM drover_run"), 2);
	assert_true(peek(f, "SELECT finished_at FROM drover_run") > 0);
	queue_close(q);
}

static void a_lost_task_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct queue *a = open_queue(f, "a"), *b = open_queue(f, "b");
	struct claim first, second;
	assert_ok(run_sql(f, "CREATE TABLE t (x BIGINT)"));
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, a, 1, &first), 1);
	assert_int_equal(WAIT(f, queue_free_owner, "a"), QUEUE_OK);
	assert_int_equal(claim(f, b, 1, &second), 1);
	assert_int_equal(second.tasks[0]->attempt, 2);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(a, tx, first.tasks[0], "1");
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	queue_tx_done(tx, first.tasks[0]);
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE owner = 'b'"), 1);
	/* A batch in the middle of a task too: here only the guard stands between. */
	tx = store_tx_new(f->store, 0);
	queue_tx_guard(a, tx, first.tasks[0], "1");
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
	/* Each ending checks the fence by itself as well. */
	for (int i = 0; i < 4; i++) {
		tx = store_tx_new(f->store, 0);
		if (i == 0)
			queue_tx_done(tx, first.tasks[0]);
		else if (i == 1)
			queue_tx_dead(tx, first.tasks[0], "e");
		else if (i == 2)
			queue_tx_retry(tx, first.tasks[0], "e", 0);
		else
			queue_tx_put_back(tx, first.tasks[0], 0);
		assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	}
	unclaim(&first);
	unclaim(&second);
	queue_close(a);
	queue_close(b);
}

static void retry(struct fixture *f, struct queue *q, const char *checkpoint)
{
	struct claim c;
	assert_int_equal(claim(f, q, 1, &c), 1);
	if (checkpoint) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		queue_tx_guard(q, tx, c.tasks[0], checkpoint);
		assert_ok(run_tx(f, tx));
	}
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_retry(tx, c.tasks[0], "timeout \"x\"\n", 0);
	assert_ok(run_tx(f, tx));
	unclaim(&c);
}

static void at_its_last_attempt_a_task_becomes_a_dead_letter_and_its_run_fails(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	retry(f, q, NULL);
	retry(f, q, NULL);
	assert_string_equal(run_state(f, 1), "running");
	retry(f, q, NULL);
	assert_string_equal(run_state(f, 1), "failed");
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead WHERE attempt = 3"), 1);
	assert_int_equal(peek(f, "SELECT tasks_dead FROM drover_run"), 1);
	run_sql(f, "SELECT errors FROM drover_run");
	assert_string_equal(f->out.text, "[\"timeout \\\"x\\\"\\n\"]");
	queue_close(q);
}

static void progress_gives_a_task_its_attempts_back(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	const char *const pages[] = { "1", "2", "3", "4", "5" };
	for (int i = 0; i < 5; i++)
		retry(f, q, pages[i]);
	/* The same checkpoint again is no progress. */
	retry(f, q, "5");
	assert_int_equal(claim(f, q, 1, &c), 1);
	assert_int_equal(c.tasks[0]->attempt, 3);
	assert_string_equal(c.tasks[0]->checkpoint, "5");
	unclaim(&c);
	queue_close(q);
}

static void what_waits_for_a_limit_keeps_its_attempts(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 1);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(claim(f, q, 1, &c), 1);
		assert_int_equal(c.tasks[0]->attempt, 1);
		struct store_tx *tx = store_tx_new(f->store, 0);
		queue_tx_guard(q, tx, c.tasks[0], NULL);
		queue_tx_put_back(tx, c.tasks[0], i == 3 ? 60000 : 0);
		assert_ok(run_tx(f, tx));
		unclaim(&c);
	}
	assert_int_equal(claim(f, q, 1, &c), 0); /* delayed */
	queue_close(q);
}

static void released_tasks_keep_their_attempts_and_checkpoint(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c, done = { .loop = f->loop };
	make_run(f, NULL, 3, PRIORITY_MEDIUM, 1);
	assert_int_equal(claim(f, q, 3, &c), 3);
	unclaim(&c);
	queue_release_mine(q, on_status, &done);
	loop_run(f->loop);
	assert_int_equal(done.status, QUEUE_OK);
	assert_int_equal(claim(f, q, 3, &c), 3);
	assert_int_equal(c.tasks[0]->attempt, 1);
	assert_int_equal(c.tasks[0]->fence, 2);
	unclaim(&c);
	queue_close(q);
}

static void given_up_for_good_is_counted_failed_and_kept(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 2, &c), 2);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_dead(tx, c.tasks[0], "404");
	assert_ok(run_tx(f, tx));
	assert_string_equal(run_state(f, 1), "running");
	tx = store_tx_new(f->store, 0);
	queue_tx_done(tx, c.tasks[1]);
	assert_ok(run_tx(f, tx));
	assert_string_equal(run_state(f, 1), "failed");
	assert_int_equal(peek(f, "SELECT tasks_failed FROM drover_run"), 1);
	assert_int_equal(peek(f, "SELECT tasks_dead FROM drover_run"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead WHERE error = '404'"), 1);
	unclaim(&c);
	queue_close(q);
}

static void a_runs_errors_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	static char text[5000];
	memset(text, '"', sizeof(text) - 1);
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	for (int i = 0; i < 50; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		queue_tx_error(tx, c.tasks[0], i % 2 ? text : "short");
		assert_ok(run_tx(f, tx));
	}
	assert_true(peek(f, "SELECT error_count FROM drover_run") <= 20);
	assert_true(peek(f, "SELECT error_count FROM drover_run") >= 10);
	assert_true(peek(f, f->schema[0] ? "SELECT octet_length(errors) FROM drover_run"
					 : "SELECT length(CAST(errors AS BLOB)) FROM drover_run") <
		    28000);
	assert_int_equal(peek(f, f->schema[0] ? "SELECT json_array_length(errors::json) ="
						" error_count FROM drover_run"
					      : "SELECT json_array_length(errors) = error_count"
						" FROM drover_run"),
		1);
	unclaim(&c);
	queue_close(q);
}

static void expired_leases_are_freed_and_renewed_ones_not(void **state)
{
	struct fixture *f = *state;
	struct queue *a = open_queue(f, "a"), *b = open_queue(f, "b");
	struct claim c, of_b;
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	claim(f, a, 1, &c);
	unclaim(&c);
	claim(f, b, 1, &of_b);
	assert_ok(run_sql(f, "UPDATE drover_task SET lease_until = 1000"));
	queue_renew(b);
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", clock_real_ms()), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE owner = 'b'"), 1);
	unclaim(&of_b);
	queue_close(a);
	queue_close(b);
}

/* And goes away, with the claim as it is. */
static void claim_one_each(struct fixture *f, const char *const *owners, size_t count)
{
	struct claim c;
	make_run(f, NULL, (int)count, PRIORITY_MEDIUM, 3);
	for (size_t i = 0; i < count; i++) {
		struct queue *q = open_queue(f, owners[i]);
		assert_int_equal(claim(f, q, 1, &c), 1);
		unclaim(&c);
		queue_close(q);
	}
}

static void only_other_epochs_of_this_node_are_freed(void **state)
{
	struct fixture *f = *state;
	static const char *const owners[] = { "n1/e1/collect:1/1", "n1/e2/collect:1/1",
		"n10/e1/collect:1/1" };
	claim_one_each(f, owners, ARRAY_SIZE(owners));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_owner"), 3);
	assert_int_equal(WAIT(f, queue_free_other_epochs, "n1", "e2"), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 2);
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM drover_task WHERE owner = 'n1/e1/collect:1/1'"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_owner"), 2);
}

/* The clock is set by an hour while a worker of ours is at work. */
static void no_lease_frees_a_live_task_of_our_own_droverd(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "n/e2/collect:1/1");
	struct claim c;
	int64_t later = clock_real_ms() + 3600000;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 1);
	assert_int_equal(claim(f, q, 1, &c), 1);
	unclaim(&c);
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", later), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 1);
	/* Of a dead one, which was freed before its last claim was durable, nobody tells again. */
	assert_ok(run_sql(f, "DELETE FROM drover_owner"));
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", later), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 1);
	queue_close(q);
}

/* More of them than one statement renews. */
static void only_tasks_that_are_held_in_memory_are_renewed(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "n/e2/collect:1/1");
	struct claim c[3];
	make_run(f, NULL, 150, PRIORITY_MEDIUM, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(claim(f, q, 50, &c[i]), 50);
	task_free(c[1].tasks[--c[1].count]);
	assert_ok(run_sql(f, "UPDATE drover_task SET lease_until = 1000"));
	queue_renew(q);
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", clock_real_ms()), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 0"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"
				 " AND lease_until > 1000000"),
		149);
	for (int i = 0; i < 3; i++)
		unclaim(&c[i]);
	queue_close(q);
}

static void what_is_lost_is_not_given_up_before_its_lease_ends(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "n/e2/collect:1/1");
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	unclaim(&c);
	queue_renew(q);
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", clock_real_ms()), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 1);
	queue_close(q);
}

static void a_task_whose_ending_is_refused_is_a_dead_letter(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	queue_give_up(q, c.tasks[0], "refused");
	unclaim(&c);
	assert_int_equal(WAIT(f, queue_free_expired, "n", "e2", 0), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead WHERE error = 'refused'"), 1);
	assert_string_equal(run_state(f, 1), "failed");
	queue_close(q);
}

static void leases_of_other_nodes_and_epochs_are_judged_by_the_clock(void **state)
{
	struct fixture *f = *state;
	static const char *const owners[] = { "n/e1/collect:1/1", "n2/e2/collect:1/1",
		"n/e2/collect:1/1" };
	claim_one_each(f, owners, ARRAY_SIZE(owners));
	assert_int_equal(
		WAIT(f, queue_free_expired, "n", "e2", clock_real_ms() + 3600000), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 0"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"
				 " AND owner = 'n/e2/collect:1/1'"),
		1);
}

static void backoff_stays_within_its_bounds(void **state UNUSED)
{
	const struct config_backoff b = { 100, 2, 60000, true }, low = { 100, 2, 1000, true },
				    huge = { INT64_MAX / 2, 1000, INT64_MAX / 2, true },
				    none = { 0, 2, 60000, true }, fixed = { 100, 2, 1000, false };
	int64_t most = 0;
	for (int i = 0; i < 1000; i++) {
		most = MAX(most, queue_backoff_ms(&b, 3));
		assert_in_range(queue_backoff_ms(&b, 3), 0, 400);
		assert_in_range(queue_backoff_ms(&low, 60), 0, 1000);
		assert_in_range(queue_backoff_ms(&huge, 9), 0, INT64_MAX / 2);
		assert_int_equal(queue_backoff_ms(&none, 5), 0);
	}
	assert_true(most > 300); /* full jitter uses the whole range */
	assert_int_equal(queue_backoff_ms(&fixed, 1), 100);
	assert_int_equal(queue_backoff_ms(&fixed, 3), 400);
	assert_int_equal(queue_backoff_ms(&fixed, 9), 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_claim_counts_the_attempt_and_hands_out_a_new_fence),
		TEST(another_kinds_tasks_are_left),
		TEST(claims_are_shared_six_three_one_and_low_never_starves),
		TEST(a_class_without_tasks_leaves_its_share_to_the_others),
		TEST(a_long_run_does_not_keep_the_next_from_its_first_task),
		TEST(the_last_task_ends_its_run),
		TEST(a_lost_task_writes_nothing),
		TEST(at_its_last_attempt_a_task_becomes_a_dead_letter_and_its_run_fails),
		TEST(progress_gives_a_task_its_attempts_back),
		TEST(what_waits_for_a_limit_keeps_its_attempts),
		TEST(released_tasks_keep_their_attempts_and_checkpoint),
		TEST(given_up_for_good_is_counted_failed_and_kept),
		TEST(a_runs_errors_are_bounded),
		TEST(expired_leases_are_freed_and_renewed_ones_not),
		TEST(only_other_epochs_of_this_node_are_freed),
		TEST(no_lease_frees_a_live_task_of_our_own_droverd),
		TEST(only_tasks_that_are_held_in_memory_are_renewed),
		TEST(what_is_lost_is_not_given_up_before_its_lease_ends),
		TEST(a_task_whose_ending_is_refused_is_a_dead_letter),
		TEST(leases_of_other_nodes_and_epochs_are_judged_by_the_clock),
		cmocka_unit_test(backoff_stays_within_its_bounds),
	};
	return RUN_ON_BOTH(tests);
}
