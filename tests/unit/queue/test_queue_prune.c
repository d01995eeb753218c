/* SPDX-License-Identifier: MIT */
#include "queue_fixture.h"

enum { OLD = 1000, CUT = 5000, NEW = 9000 };

/* A run that ended at this time, with so many URLs and one line of a task. */
static void ended_run(struct fixture *f, int64_t id, const char *job, int64_t ended, int64_t urls)
{
	const struct store_value v[] = { STORE_VALUE_INT(id), store_text(job),
		STORE_VALUE_INT(ended), STORE_VALUE_INT(urls) };
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx,
		"INSERT INTO drover_run (id, job, trigger, token, created_at, finished_at, state)"
		" VALUES ($1, $2, 'manual', 't' || CAST($1 AS TEXT), 1, $3, 'succeeded')",
		v, 3);
	store_tx_sql(tx,
		"INSERT INTO drover_url (run_id, url, depth, state) WITH RECURSIVE n(i) AS"
		" (SELECT 1 WHERE $4 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < $4)"
		" SELECT CAST($1 AS BIGINT), 'u' || i, 0, 'fetched' FROM n",
		v, 4);
	store_tx_sql(tx,
		"INSERT INTO drover_task_history (id, run_id, job, kind, attempt, created_at, "
		"ended,"
		" outcome) VALUES ($1, $1, $2, 'collect', 1, 1, $3, 'done')",
		v, 3);
	store_tx_sql(tx,
		"INSERT INTO drover_due (job, due_at, outcome, run_id, decided_at)"
		" VALUES ($2, $1, 'fired', $1, $3)",
		v, 3);
	assert_ok(run_tx(f, tx));
}

/* @return steps that it took */
static int prune(struct fixture *f, struct queue_prune *p)
{
	struct claim c = { .loop = f->loop };
	int steps = 0;
	*p = (struct queue_prune) { .before_ms = CUT };
	do {
		queue_prune(f->store, p, on_status, &c);
		loop_run(f->loop);
		assert_int_equal(c.status, QUEUE_OK);
		assert_true(++steps < 100);
	} while (p->more);
	return steps;
}

static void what_is_old_leaves_and_what_is_new_stays(void **state)
{
	struct fixture *f = *state;
	struct queue_prune p;
	ended_run(f, 1, "a", OLD, 3);
	ended_run(f, 2, "a", NEW, 3);
	assert_int_equal(prune(f, &p), 1);
	assert_int_equal(p.runs, 1);
	assert_int_equal(p.rows, 5);
	assert_int_equal(peek(f, "SELECT SUM(id) FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE run_id = 2"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url"), 3);
	assert_int_equal(peek(f, "SELECT SUM(run_id) FROM drover_task_history"), 2);
	assert_int_equal(peek(f, "SELECT SUM(run_id) FROM drover_due"), 2);
}

static void the_newest_run_of_each_job_stays_however_old_it_is(void **state)
{
	struct fixture *f = *state;
	struct queue_prune p;
	for (int64_t id = 1; id <= 6; id++)
		ended_run(f, id, id % 2 ? "a" : "b", OLD + id, 1);
	prune(f, &p);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT SUM(id) FROM drover_run"), 11);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url"), 2);
}

static void runs_that_are_open_or_have_dead_letters_stay(void **state)
{
	struct fixture *f = *state;
	struct queue_prune p;
	ended_run(f, 1, "a", OLD, 1);
	ended_run(f, 2, "a", OLD, 1);
	ended_run(f, 3, "a", OLD, 1);
	assert_ok(run_sql(f, "UPDATE drover_run SET finished_at = NULL, state = 'running'"
			     " WHERE id = 1"));
	assert_ok(run_sql(f, "INSERT INTO drover_dead (id, run_id, job, kind, priority, attempt,"
			     " max_attempts, fence, checkpoint, payload, depth, timeout_ms,"
			     " created_at, given_up, failed_at) VALUES (7, 2, 'a', 'collect', 1, 3,"
			     " 3, 3, '', '', 0, 1, 1, 0, 1)"));
	prune(f, &p);
	assert_int_equal(p.runs, 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url"), 3);
	assert_ok(run_sql(f, "DELETE FROM drover_dead"));
	prune(f, &p);
	assert_int_equal(p.runs, 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE id = 2"), 0);
}

/* The job that runs after it would never run. */
static void runs_whose_end_was_not_yet_told_stay(void **state)
{
	struct fixture *f = *state;
	struct queue_prune p;
	for (int64_t id = 1; id <= 4; id++)
		ended_run(f, id, "a", OLD, 1);
	assert_ok(run_sql(f, "UPDATE drover_run SET followed = id WHERE id < 3"));
	prune(f, &p);
	assert_int_equal(p.runs, 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE id < 3"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE run_id < 3"), 2);
	assert_ok(run_sql(f, "UPDATE drover_run SET followed = 0"));
	prune(f, &p);
	assert_int_equal(p.runs, 2);
}

/* Between two steps others get their turn; none removes more than its bound. */
static void much_leaves_in_many_small_steps(void **state)
{
	struct fixture *f = *state;
	struct queue_prune p;
	ended_run(f, 1, "a", OLD, 1700);
	for (int64_t id = 2; id <= 230; id++)
		ended_run(f, id, id <= 150 ? "a" : "b", OLD + id, 1);
	struct claim c = { .loop = f->loop };
	p = (struct queue_prune) { .before_ms = CUT };
	queue_prune(f->store, &p, on_status, &c);
	loop_run(f->loop);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url"), 1929 - 500);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE id = 1"), 1);
	assert_true(p.more);
	assert_true(prune(f, &p) >= 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_due"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task_history"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_old_leaves_and_what_is_new_stays),
		TEST(the_newest_run_of_each_job_stays_however_old_it_is),
		TEST(runs_that_are_open_or_have_dead_letters_stay),
		TEST(runs_whose_end_was_not_yet_told_stay),
		TEST(much_leaves_in_many_small_steps),
	};
	return RUN_ON_BOTH(tests);
}
