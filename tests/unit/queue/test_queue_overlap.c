/* SPDX-License-Identifier: MIT */
/* Due times and manual runs of a job whose run before is not finished; jobs that follow jobs. */
#include "queue_fixture.h"

static const char *const payloads[] = { "a", "b" };

static struct run_request request(enum overlap overlap)
{
	return (struct run_request) { .job = "j",
		.kind = "collect",
		.trigger = "schedule",
		.max_attempts = 3,
		.timeout_ms = 1000,
		.priority = PRIORITY_MEDIUM,
		.overlap = overlap,
		.payloads = payloads,
		.payload_count = 2 };
}

static void add_job(struct fixture *f, const char *name)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
		"INSERT INTO drover_job (name, kind, spec_hash, updated_at) VALUES ('%s',"
		" 'collect', 'x', 0)",
		name);
	assert_ok(run_sql(f, sql));
}

static enum store_status due(struct fixture *f, int64_t at, enum overlap overlap, bool waits)
{
	const struct run_request run = request(overlap);
	const struct due_decision d = { .job = "j",
		.due_at = at,
		.next_due_at = at + 1,
		.outcome = "fired",
		.reason = "",
		.run = &run,
		.room = waits ? ROOM_OF_JOB : ROOM_ANY };
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_decide(tx, &d, 1, clock_real_ms(), NULL);
	return run_tx(f, tx)->status;
}

static void ask(struct fixture *f, const char *id, enum overlap overlap)
{
	struct run_request run = request(overlap);
	run.trigger = "manual";
	run.request_id = id;
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_run(tx, &run, clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static void begin_waiting(struct fixture *f)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_begin_waiting(tx, clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static void end_run(struct fixture *f, int64_t id, const char *state)
{
	char sql[256];
	snprintf(sql, sizeof(sql), "DELETE FROM drover_task WHERE run_id = %d", (int)id);
	assert_ok(run_sql(f, sql));
	snprintf(sql, sizeof(sql),
		"UPDATE drover_run SET state = '%s', finished_at = %d WHERE id = %d", state,
		(int)id * 1000, (int)id);
	assert_ok(run_sql(f, sql));
}

#define OUTCOMES(what) "SELECT COUNT(*) FROM drover_due WHERE outcome = '" what "'"
#define OPEN	       "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL"
#define READY	       "SELECT COUNT(*) FROM drover_task WHERE state = 0"

static void no_writer_at_all_can_open_a_second_run(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	assert_int_equal(due(f, 1, OVERLAP_SKIP, false), STORE_OK);
	/* One that does not look first. */
	assert_int_equal(run_sql(f, "INSERT INTO drover_run (job, trigger, token, created_at,"
				    " state, exclusive) VALUES ('j', 'schedule', 'x', 1, 'queued',"
				    " 'j')")
				 ->status,
		STORE_FAILED);
	assert_int_equal(due(f, 2, OVERLAP_SKIP, false), STORE_OK);
	assert_int_equal(peek(f, OPEN), 1);
	assert_int_equal(peek(f, OUTCOMES("skipped") " AND reason = 'overlap'"), 1);
}

static void with_allow_runs_stand_side_by_side(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	for (int i = 1; i <= 3; i++)
		assert_int_equal(due(f, i, OVERLAP_ALLOW, false), STORE_OK);
	assert_int_equal(peek(f, OPEN), 3);
	assert_int_equal(peek(f, READY), 6);
	assert_int_equal(peek(f, OUTCOMES("fired")), 3);
}

static void with_queue_one_waits_and_the_next_are_part_of_it(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	add_job(f, "j");
	for (int i = 1; i <= 4; i++)
		assert_int_equal(due(f, i, OVERLAP_QUEUE, false), STORE_OK);
	assert_int_equal(peek(f, OPEN), 2);
	assert_int_equal(peek(f, READY), 2);
	assert_int_equal(peek(f, OUTCOMES("fired")), 2);
	assert_int_equal(peek(f, OUTCOMES("fired") " AND reason LIKE 'waits%' AND run_id = 2"), 1);
	assert_int_equal(peek(f, OUTCOMES("coalesced") " AND reason LIKE '%waits already'"), 2);
	/* Nobody claims what waits, and it does not begin before its turn. */
	assert_int_equal(claim(f, q, 10, &c), 2);
	unclaim(&c);
	begin_waiting(f);
	assert_int_equal(peek(f, READY), 0);
	end_run(f, 1, "failed");
	/* The one that waits goes first, also before a due time that comes now. */
	assert_int_equal(due(f, 5, OVERLAP_QUEUE, false), STORE_OK);
	assert_int_equal(peek(f, OUTCOMES("coalesced")), 3);
	begin_waiting(f);
	assert_int_equal(claim(f, q, 10, &c), 2);
	assert_int_equal(c.tasks[0]->run_id, 2);
	unclaim(&c);
	assert_int_equal(due(f, 6, OVERLAP_QUEUE, false), STORE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE waiting = 'j'"), 1);
	queue_close(q);
}

static void with_replace_the_run_before_is_cancelled_and_the_new_one_begins(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	assert_int_equal(due(f, 1, OVERLAP_REPLACE, false), STORE_OK);
	assert_int_equal(due(f, 2, OVERLAP_REPLACE, false), STORE_OK);
	assert_string_equal(run_state(f, 1), "cancelled");
	assert_int_equal(peek(f, OUTCOMES("fired")), 2);
	assert_int_equal(peek(f, READY " AND run_id = 2"), 2);
	/* The same due time once more, by another scheduler: nothing is cancelled. */
	assert_int_equal(due(f, 2, OVERLAP_REPLACE, false), STORE_OK);
	assert_string_equal(run_state(f, 2), "queued");
	assert_int_equal(peek(f, OPEN), 1);
}

static void a_replaced_run_that_is_held_ends_before_the_new_one_begins(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c, none;
	add_job(f, "j");
	assert_int_equal(due(f, 1, OVERLAP_REPLACE, false), STORE_OK);
	assert_int_equal(claim(f, q, 1, &c), 1);
	assert_int_equal(due(f, 2, OVERLAP_REPLACE, false), STORE_OK);
	assert_int_equal(due(f, 3, OVERLAP_REPLACE, false), STORE_OK);
	begin_waiting(f);
	assert_int_equal(claim(f, q, 10, &none), 0);
	assert_string_equal(run_state(f, 2), "cancelled");
	queue_let_go(q, c.tasks[0]);
	unclaim(&c);
	begin_waiting(f);
	assert_string_equal(run_state(f, 1), "cancelled");
	assert_int_equal(claim(f, q, 10, &c), 2);
	assert_int_equal(c.tasks[0]->run_id, 3);
	unclaim(&c);
	queue_close(q);
}

static void manual_runs_keep_to_the_policy_too(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	ask(f, "a", OVERLAP_SKIP);
	ask(f, "b", OVERLAP_SKIP);
	ask(f, "b", OVERLAP_SKIP);
	ask(f, "a", OVERLAP_SKIP);
	assert_string_equal(run_state(f, 1), "queued");
	assert_string_equal(run_state(f, 2), "skipped");
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE id = 2 AND finished_at > 0"
				 " AND errors LIKE '[\"%not finished%\"]' AND tasks_total = 0"),
		1);
	ask(f, "c", OVERLAP_QUEUE);
	ask(f, "d", OVERLAP_QUEUE);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE waiting = 'j' AND"
				 " request_id = 'c'"),
		1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE state = 'skipped' AND"
				 " request_id = 'd' AND errors LIKE '%waits already%'"),
		1);
	ask(f, "c", OVERLAP_REPLACE);
	assert_int_equal(peek(f, OPEN), 2);
	ask(f, "e", OVERLAP_REPLACE);
	assert_int_equal(peek(f, OPEN), 1);
	assert_int_equal(peek(f, READY), 2);
}

static void a_run_that_needs_room_changes_nothing_until_there_is_some(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	assert_int_equal(due(f, 1, OVERLAP_SKIP, true), STORE_OK);
	assert_int_equal(due(f, 2, OVERLAP_SKIP, true), STORE_CONFLICT);
	assert_int_equal(due(f, 2, OVERLAP_QUEUE, true), STORE_CONFLICT);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_due"), 1);
	assert_int_equal(peek(f, "SELECT next_due_at FROM drover_job"), 2);
	end_run(f, 1, "succeeded");
	assert_int_equal(due(f, 2, OVERLAP_SKIP, true), STORE_OK);
	/* Decided before: told so, not waited for. */
	assert_int_equal(due(f, 2, OVERLAP_SKIP, true), STORE_OK);
	end_run(f, 2, "succeeded");
	for (int i = 0; i <= CATCH_UP_IN_FLIGHT; i++)
		assert_ok(run_sql(f, "INSERT INTO drover_run (job, trigger, token, created_at,"
				     " state) SELECT 'k', 'catch_up', 'k' || COUNT(*), 1, 'queued'"
				     " FROM drover_run"));
	assert_int_equal(due(f, 3, OVERLAP_ALLOW, true), STORE_CONFLICT);
	assert_int_equal(due(f, 3, OVERLAP_ALLOW, false), STORE_OK);
}

static enum store_status pause_job(struct fixture *f, const char *job, bool paused, int64_t now)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_pause(tx, job, paused, now);
	return run_tx(f, tx)->status;
}

static void due_times_of_a_pause_are_skipped_also_after_it(void **state)
{
	struct fixture *f = *state;
	add_job(f, "j");
	assert_int_equal(due(f, 1, OVERLAP_REPLACE, false), STORE_OK);
	assert_int_equal(pause_job(f, "j", true, 5), STORE_OK);
	assert_int_equal(due(f, 10, OVERLAP_REPLACE, false), STORE_OK);
	assert_int_equal(due(f, 11, OVERLAP_ALLOW, true), STORE_OK);
	assert_string_equal(run_state(f, 1), "queued");
	assert_int_equal(pause_job(f, "j", false, 15), STORE_OK);
	assert_int_equal(due(f, 15, OVERLAP_ALLOW, false), STORE_OK);
	assert_int_equal(peek(f, OUTCOMES("skipped") " AND reason = 'paused'"), 3);
	assert_int_equal(due(f, 16, OVERLAP_ALLOW, false), STORE_OK);
	/* To resume what runs is no pause. */
	assert_int_equal(pause_job(f, "j", false, 100), STORE_OK);
	assert_int_equal(due(f, 17, OVERLAP_ALLOW, false), STORE_OK);
	assert_int_equal(peek(f, OUTCOMES("fired")), 3);
	assert_int_equal(pause_job(f, "k", true, 1), STORE_CONFLICT);
}

/* ---- jobs that follow ---- */

struct heard {
	struct loop *loop;
	struct ended_runs ended;
	char job[64];
};

static void on_heard(void *arg, enum queue_status status, const struct ended_runs *ended)
{
	struct heard *h = arg;
	assert_int_equal(status, QUEUE_OK);
	h->ended = *ended;
	if (ended->count)
		snprintf(h->job, sizeof(h->job), "%s", ended->items[0].job);
	h->ended.items[0].job = h->job;
	loop_stop(h->loop);
}

static size_t listen(struct fixture *f, struct heard *h)
{
	h->loop = f->loop;
	queue_ended_runs(f->store, 0, on_heard, h);
	loop_run(f->loop);
	return h->ended.count;
}

static enum store_status follow(struct fixture *f, const struct ended_run *run, size_t parents)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_told(tx, run);
	queue_tx_follow(tx, "child", parents, run, 1);
	return run_tx(f, tx)->status;
}

#define CHILD_DUE "SELECT next_due_at FROM drover_job WHERE name = 'child'"

static void an_end_is_told_once_and_makes_the_follower_due(void **state)
{
	struct fixture *f = *state;
	struct heard h = { 0 };
	add_job(f, "child");
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_ok(run_sql(f, "UPDATE drover_run SET followed = 1"));
	assert_int_equal(listen(f, &h), 0);
	end_run(f, 1, "succeeded");
	assert_int_equal(listen(f, &h), 1);
	assert_true(h.ended.items[0].succeeded && !h.ended.items[0].failed);
	assert_int_equal(follow(f, &h.ended.items[0], 1), STORE_OK);
	assert_int_equal(follow(f, &h.ended.items[0], 1), STORE_CONFLICT);
	assert_int_equal(peek(f, CHILD_DUE), 1000);
	assert_int_equal(listen(f, &h), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_after"), 0);
}

static void two_ends_in_one_instant_are_two_due_times(void **state)
{
	struct fixture *f = *state;
	struct heard h = { 0 };
	add_job(f, "child");
	for (int i = 0; i < 2; i++) {
		make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
		end_run(f, i + 1, "failed");
	}
	assert_ok(run_sql(f, "UPDATE drover_run SET followed = 1, finished_at = 500"));
	assert_int_equal(listen(f, &h), 1);
	assert_int_equal(follow(f, &h.ended.items[0], 1), STORE_OK);
	/* The first is not decided yet: the second end is told later, and still stands there. */
	assert_int_equal(listen(f, &h), 1);
	assert_int_equal(follow(f, &h.ended.items[0], 1), STORE_CONFLICT);
	assert_ok(run_sql(f, "INSERT INTO drover_due VALUES ('child', 500, 'fired', '', 3, 1)"));
	assert_ok(run_sql(f, "UPDATE drover_job SET next_due_at = NULL"));
	assert_int_equal(listen(f, &h), 1);
	assert_int_equal(follow(f, &h.ended.items[0], 1), STORE_OK);
	assert_int_equal(peek(f, CHILD_DUE), 501);
}

static void of_several_parents_all_have_ended_since_the_last_time(void **state)
{
	struct fixture *f = *state;
	struct ended_run run = { .finished_at = 1000, .id = 1, .job = "a", .succeeded = true };
	add_job(f, "child");
	for (int i = 0; i < 4; i++) {
		make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
		end_run(f, i + 1, "succeeded");
	}
	assert_ok(run_sql(f, "UPDATE drover_run SET followed = 1"));
	assert_int_equal(follow(f, &run, 2), STORE_OK);
	run = (struct ended_run) { .finished_at = 2000, .id = 2, .job = "a" };
	assert_int_equal(follow(f, &run, 2), STORE_OK);
	assert_int_equal(peek(f, CHILD_DUE), 0);
	run = (struct ended_run) { .finished_at = 3000, .id = 3, .job = "b" };
	assert_int_equal(follow(f, &run, 2), STORE_OK);
	assert_int_equal(peek(f, CHILD_DUE), 3000);
	assert_ok(run_sql(f, "UPDATE drover_job SET next_due_at = NULL"));
	run = (struct ended_run) { .finished_at = 4000, .id = 4, .job = "b" };
	assert_int_equal(follow(f, &run, 2), STORE_OK);
	assert_int_equal(peek(f, CHILD_DUE), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_after"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_writer_at_all_can_open_a_second_run),
		TEST(with_allow_runs_stand_side_by_side),
		TEST(with_queue_one_waits_and_the_next_are_part_of_it),
		TEST(with_replace_the_run_before_is_cancelled_and_the_new_one_begins),
		TEST(a_replaced_run_that_is_held_ends_before_the_new_one_begins),
		TEST(manual_runs_keep_to_the_policy_too),
		TEST(a_run_that_needs_room_changes_nothing_until_there_is_some),
		TEST(due_times_of_a_pause_are_skipped_also_after_it),
		TEST(an_end_is_told_once_and_makes_the_follower_due),
		TEST(two_ends_in_one_instant_are_two_due_times),
		TEST(of_several_parents_all_have_ended_since_the_last_time),
	};
	return RUN_ON_BOTH(tests);
}
