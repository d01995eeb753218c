/* SPDX-License-Identifier: MIT */
/* execution_time_measured: told by the transaction that ends a run, once. */
#include "queue_fixture.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "log/log.h"
#include <fcntl.h>
#include <jansson.h>

static int log_fds[LOG_CATEGORIES][2];

static int setup(void **state)
{
	int fds[LOG_CATEGORIES];
	fake_clock_reset();
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		assert_int_equal(pipe2(log_fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		fds[i] = log_fds[i][1];
	}
	log_open("collect:1", fds, LOG_INFO);
	return queue_setup(state);
}

static int teardown(void **state)
{
	for (size_t i = 0; i < LOG_CATEGORIES; i++) {
		close(log_fds[i][0]);
		close(log_fds[i][1]);
	}
	return fixture_teardown(state);
}

/* The only record of category performance since the last look, NULL: there is none. */
static json_t *told(void)
{
	char text[16384];
	json_error_t error;
	ssize_t len = read(log_fds[PERFORMANCE][0], text, sizeof(text));
	if (len <= 0)
		return NULL;
	/* Two records would be no JSON. */
	json_t *record = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &error);
	if (!record)
		fail_msg("%s in %.*s", error.text, (int)len, text);
	return record;
}

static int64_t number(const json_t *record, const char *key)
{
	const json_t *value = json_object_get(record, key);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void assert_told(const char *run_state, int64_t run, int64_t ms)
{
	json_t *r = told();
	assert_non_null(r);
	assert_string_equal(
		json_string_value(json_object_get(r, "event")), "execution_time_measured");
	assert_string_equal(json_string_value(json_object_get(r, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(r, "job")), "j");
	assert_string_equal(json_string_value(json_object_get(r, "state")), run_state);
	assert_int_equal(number(r, "run"), run);
	assert_int_equal(number(r, "execution_time_ms"), ms);
	json_decref(r);
}

static void assert_nothing_told(void)
{
	json_t *r = told();
	assert_null(r);
}

typedef void ending(struct store_tx *tx, const struct task *task);

static void done(struct store_tx *tx, const struct task *task)
{
	queue_tx_done(tx, task);
}

static void dead(struct store_tx *tx, const struct task *task)
{
	queue_tx_dead(tx, task, "404");
}

static void used_up(struct store_tx *tx, const struct task *task)
{
	queue_tx_retry(tx, task, "500", 0);
}

/* Claims one task, works for ms, ends it. */
static enum store_status work(struct fixture *f, struct queue *q, int64_t ms, ending *end)
{
	struct claim c;
	assert_int_equal(claim(f, q, 1, &c), 1);
	assert_nothing_told();
	fake_clock_advance_ms(ms);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	end(tx, c.tasks[0]);
	enum store_status status = run_tx(f, tx)->status;
	unclaim(&c);
	return status;
}

static void the_last_task_tells_the_time_from_the_first_claim(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	make_run(f, "r", 3, PRIORITY_MEDIUM, 1);
	fake_clock_advance_ms(7000); /* waiting is not executing */
	assert_int_equal(work(f, q, 1000, done), STORE_OK);
	fake_clock_advance_ms(50);
	assert_int_equal(work(f, q, 200, done), STORE_OK);
	assert_int_equal(work(f, q, 3, done), STORE_OK);
	assert_told("succeeded", 1, 1253);
	assert_nothing_told();
	queue_close(q);
}

static void a_run_that_failed_is_measured_too(void **state)
{
	struct fixture *f = *state;
	static ending *const endings[] = { dead, used_up };
	struct queue *q = open_queue(f, "a");
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		make_run(f, NULL, 1, PRIORITY_MEDIUM, 1);
		assert_int_equal(work(f, q, 10, endings[i]), STORE_OK);
		assert_told("failed", (int64_t)i + 1, 10);
	}
	queue_close(q);
}

static void tasks_are_counted_by_what_became_of_them(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	make_run(f, "r", 6, PRIORITY_MEDIUM, 1);
	assert_int_equal(work(f, q, 1, dead), STORE_OK);
	assert_int_equal(work(f, q, 1, used_up), STORE_OK);
	assert_int_equal(work(f, q, 1, used_up), STORE_OK);
	for (int i = 0; i < 3; i++) {
		assert_nothing_told();
		assert_int_equal(work(f, q, 1, done), STORE_OK);
	}
	json_t *r = told();
	assert_non_null(r);
	assert_int_equal(number(r, "tasks"), 6);
	assert_int_equal(number(r, "tasks_failed"), 1);
	assert_int_equal(number(r, "tasks_dead"), 2);
	json_decref(r);
	queue_close(q);
}

static void a_run_that_ends_by_its_worker_s_death_is_told_once(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	struct claim c;
	make_run(f, "r", 1, PRIORITY_MEDIUM, 1);
	assert_int_equal(claim(f, q, 1, &c), 1);
	unclaim(&c);
	fake_clock_advance_ms(400);
	assert_int_equal(WAIT(f, queue_free_owner, "a"), QUEUE_OK);
	assert_told("failed", 1, 400);
	/* The scheduler that comes after a crash frees them again, all ways. */
	assert_int_equal(WAIT(f, queue_free_owner, "a"), QUEUE_OK);
	assert_int_equal(
		WAIT(f, queue_free_expired, "n", "e2", clock_real_ms() + 100000), QUEUE_OK);
	assert_int_equal(WAIT(f, queue_free_other_epochs, "n", "e"), QUEUE_OK);
	assert_nothing_told();
	queue_close(q);
}

static void a_task_that_was_lost_ends_and_tells_nothing(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	struct claim c;
	make_run(f, "r", 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	assert_int_equal(WAIT(f, queue_free_owner, "a"), QUEUE_OK);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_done(tx, c.tasks[0]);
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	assert_nothing_told();
	unclaim(&c);
	queue_close(q);
}

/* Its worker is winding up: nobody waits for the answer any more. */
static void an_end_is_told_also_when_nobody_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	struct claim c;
	make_run(f, "r", 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_done(tx, c.tasks[0]);
	store_submit(f->store, tx, on_done, &c);
	store_forget(f->store, &c);
	assert_ok(run_sql(f, "SELECT 1"));
	assert_told("succeeded", 1, 0);
	unclaim(&c);
	queue_close(q);
}

static void a_run_without_tasks_took_no_time(void **state)
{
	struct fixture *f = *state;
	make_run(f, "r", 0, PRIORITY_MEDIUM, 1);
	assert_told("succeeded", 1, 0);
	make_run(f, "r", 0, PRIORITY_MEDIUM, 1); /* the same request */
	assert_nothing_told();
}

static void a_clock_that_was_set_back_makes_no_negative_time(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "a");
	struct claim c;
	make_run(f, "r", 1, PRIORITY_MEDIUM, 1);
	assert_int_equal(claim(f, q, 1, &c), 1);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS - 3600000);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_done(tx, c.tasks[0]);
	assert_ok(run_tx(f, tx));
	assert_told("succeeded", 1, 0);
	unclaim(&c);
	queue_close(q);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_task_tells_the_time_from_the_first_claim),
		TEST(a_run_that_failed_is_measured_too),
		TEST(tasks_are_counted_by_what_became_of_them),
		TEST(a_run_that_ends_by_its_worker_s_death_is_told_once),
		TEST(a_task_that_was_lost_ends_and_tells_nothing),
		TEST(an_end_is_told_also_when_nobody_waits_for_it),
		TEST(a_run_without_tasks_took_no_time),
		TEST(a_clock_that_was_set_back_makes_no_negative_time),
	};
	return RUN_ON_BOTH(tests);
}
