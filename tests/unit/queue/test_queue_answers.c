/* SPDX-License-Identifier: MIT */
#include "queue_fixture.h"

#include "queue/queue_answers.h"
#include <jansson.h>

struct pages {
	struct loop *loop;
	enum queue_status status;
	json_t *joined; /* arrays of the same key are appended */
	size_t count, largest;
	struct queue_answer *cancel_at_first;
};

static void on_page(void *arg, enum queue_status status, const char *json, size_t len, bool last)
{
	struct pages *p = arg;
	json_error_t err;
	json_t *page = json_loadb(json, len, JSON_REJECT_DUPLICATES, &err);
	if (!page)
		fail_msg("%s at %d of %.*s", err.text, err.position, (int)MIN(len, 300u), json);
	assert_true(len <= QUEUE_PAGE_MAX);
	p->status = status;
	p->count++;
	p->largest = MAX(p->largest, len);
	if (!p->joined) {
		p->joined = json_incref(page);
	} else {
		const char *key;
		json_t *value;
		json_object_foreach(page, key, value)
			json_array_extend(json_object_get(p->joined, key), value);
	}
	json_decref(page);
	if (p->cancel_at_first) {
		queue_answer_cancel(p->cancel_at_first);
		loop_stop(p->loop);
	} else if (last) {
		loop_stop(p->loop);
	}
}

/* The call goes last: ASK(f, p, queue_answer_counts(f->store, on_page, &p)) */
#define ASK(f, p, call)                                     \
	do {                                                \
		(p) = (struct pages) { .loop = (f)->loop }; \
		assert_non_null(call);                      \
		loop_run((f)->loop);                        \
	} while (0)

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int64_t int_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void fill_errors(struct fixture *f, const char *where)
{
	static char sql[7000];
	snprintf(sql, sizeof(sql), "UPDATE drover_run SET errors = '[\"%05900d\"]'%s", 0, where);
	assert_ok(run_sql(f, sql));
}

static void runs_are_shown_newest_first_in_bounded_pages(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	for (int i = 0; i < 120; i++)
		make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	/* As large as a run's errors become. */
	fill_errors(f, " WHERE id % 3 = 0");
	const struct runs_question all = { 0 };
	ASK(f, p, queue_answer_runs(f->store, &all, on_page, &p));
	assert_int_equal(p.status, QUEUE_OK);
	json_t *runs = json_object_get(p.joined, "runs");
	assert_int_equal(json_array_size(runs), 120);
	for (size_t i = 0; i < 120; i++)
		assert_int_equal(int_of(json_array_get(runs, i), "id"), 120 - (int64_t)i);
	assert_true(p.count > 7);
	json_t *run = json_array_get(runs, 0);
	assert_string_equal(text_of(run, "job"), "j");
	assert_string_equal(text_of(run, "trigger"), "manual");
	assert_string_equal(text_of(run, "state"), "queued");
	assert_true(json_is_null(json_object_get(run, "due_at")));
	assert_int_equal(int_of(json_object_get(run, "tasks"), "total"), 1);
	assert_true(json_is_array(json_object_get(run, "errors")));
	json_decref(p.joined);

	const struct runs_question few = { .job = "j", .limit = 3 };
	ASK(f, p, queue_answer_runs(f->store, &few, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "runs")), 3);
	json_decref(p.joined);
	const struct runs_question none = { .job = "other" };
	ASK(f, p, queue_answer_runs(f->store, &none, on_page, &p));
	assert_int_equal(p.status, QUEUE_OK);
	assert_int_equal(json_array_size(json_object_get(p.joined, "runs")), 0);
	json_decref(p.joined);
}

static void one_run_is_found_by_its_request_or_id(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	make_run(f, "r1", 1, PRIORITY_MEDIUM, 3);
	make_run(f, "r2", 0, PRIORITY_MEDIUM, 3);
	const struct runs_question by_request = { .request_id = "r2", .one = true };
	ASK(f, p, queue_answer_runs(f->store, &by_request, on_page, &p));
	assert_int_equal(int_of(json_object_get(p.joined, "run"), "id"), 2);
	assert_string_equal(text_of(json_object_get(p.joined, "run"), "state"), "succeeded");
	json_decref(p.joined);
	const struct runs_question by_id = { .id = 1, .one = true };
	ASK(f, p, queue_answer_runs(f->store, &by_id, on_page, &p));
	assert_int_equal(int_of(json_object_get(p.joined, "run"), "id"), 1);
	json_decref(p.joined);
	const struct runs_question nobody = { .id = 7, .one = true };
	ASK(f, p, queue_answer_runs(f->store, &nobody, on_page, &p));
	assert_int_equal(p.status, QUEUE_LOST);
	assert_string_equal(text_of(p.joined, "error"), "no such run");
	json_decref(p.joined);
}

static void jobs_have_their_state_and_last_run(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	assert_ok(
		run_sql(f, "INSERT INTO drover_job (name, kind, spec_hash, next_due_at, paused, "
			   "updated_at) VALUES"
			   " ('b', 'crawl', '', 1000, 0, 0), ('a', 'collect', '', NULL, 0, 0),"
			   " ('j', 'collect', '', 2000, 0, 0), ('p', 'collect', '', 2000, 1, 0)"));
	make_run(f, NULL, 0, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	ASK(f, p, queue_answer_jobs(f->store, NULL, 0, on_page, &p));
	json_t *jobs = json_object_get(p.joined, "jobs");
	assert_int_equal(json_array_size(jobs), 4);
	static const char *const names[] = { "a", "b", "j", "p" };
	static const char *const states[] = { "idle", "waiting", "running", "paused" };
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(text_of(json_array_get(jobs, i), "name"), names[i]);
		assert_string_equal(text_of(json_array_get(jobs, i), "state"), states[i]);
	}
	assert_true(json_is_null(json_object_get(json_array_get(jobs, 0), "last_run")));
	assert_string_equal(
		text_of(json_array_get(jobs, 1), "next_due_at"), "1970-01-01T00:00:01.000Z");
	assert_int_equal(int_of(json_object_get(json_array_get(jobs, 2), "last_run"), "id"), 2);
	json_decref(p.joined);
	static const char *const only[] = { "j", "nope" };
	ASK(f, p, queue_answer_jobs(f->store, only, 2, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "jobs")), 1);
	json_decref(p.joined);
}

/* `count` dead letters, each in a run of its own. */
static void make_dead(struct fixture *f, int count)
{
	struct queue *q = open_queue(f, "o");
	for (int i = 0; i < count; i++) {
		struct claim c;
		make_run(f, NULL, 1, PRIORITY_HIGH, 1);
		assert_int_equal(claim(f, q, 1, &c), 1);
		struct store_tx *tx = store_tx_new(f->store, 0);
		queue_tx_guard(q, tx, c.tasks[0], "7");
		if (i % 2)
			queue_tx_dead(tx, c.tasks[0], "given up");
		else
			queue_tx_retry(tx, c.tasks[0], "used up", 0);
		assert_ok(run_tx(f, tx));
		unclaim(&c);
	}
	queue_close(q);
}

static struct queue_answer *ask_dead(
	struct store *store, enum dead_verb verb, int64_t id, queue_page page, void *arg)
{
	const struct dead_question question = { .verb = verb, .id = id };
	return queue_answer_dead(store, &question, page, arg);
}

static void a_dead_letter_can_be_shown_retried_and_dropped(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	make_dead(f, 4);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE state = 'failed'"), 4);
	ASK(f, p, ask_dead(f->store, DEAD_LIST, 0, on_page, &p));
	json_t *dead = json_object_get(p.joined, "dead");
	assert_int_equal(json_array_size(dead), 4);
	assert_int_equal(int_of(json_array_get(dead, 0), "id"), 4);
	assert_string_equal(text_of(json_array_get(dead, 0), "error"), "given up");
	assert_string_equal(text_of(json_array_get(dead, 1), "error"), "used up");
	json_decref(p.joined);

	ASK(f, p, ask_dead(f->store, DEAD_SHOW, 2, on_page, &p));
	dead = json_object_get(p.joined, "dead");
	assert_int_equal(json_array_size(dead), 1);
	assert_string_equal(text_of(json_array_get(dead, 0), "checkpoint"), "7");
	json_decref(p.joined);

	ASK(f, p, ask_dead(f->store, DEAD_RETRY, 2, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 1);
	json_decref(p.joined);
	assert_string_equal(run_state(f, 2), "running");
	assert_int_equal(peek(f, "SELECT tasks_failed FROM drover_run WHERE id = 2"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 3);

	/* It comes back with its checkpoint, a first attempt and a fence never used before. */
	struct queue *q = open_queue(f, "o");
	struct claim c;
	assert_int_equal(claim(f, q, 9, &c), 1);
	assert_int_equal(c.tasks[0]->id, 2);
	assert_int_equal(c.tasks[0]->attempt, 1);
	assert_int_equal(c.tasks[0]->fence, 2);
	assert_string_equal(c.tasks[0]->checkpoint, "7");
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_done(tx, c.tasks[0]);
	assert_ok(run_tx(f, tx));
	unclaim(&c);
	queue_close(q);
	assert_string_equal(run_state(f, 2), "succeeded");

	ASK(f, p, ask_dead(f->store, DEAD_DROP, 1, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 1);
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 2);
	assert_string_equal(run_state(f, 1), "failed");
	ASK(f, p, ask_dead(f->store, DEAD_RETRY, 1, on_page, &p));
	assert_int_equal(p.status, QUEUE_LOST);
	json_decref(p.joined);
}

static void dead_letters_come_by_job_and_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	make_dead(f, 6);
	assert_ok(run_sql(f, "UPDATE drover_dead SET job = 'other' WHERE id IN (2, 5)"));
	const struct dead_question newest = { .verb = DEAD_LIST, .limit = 2 },
				   next = { .verb = DEAD_LIST, .limit = 2, .before = 5 },
				   other = { .verb = DEAD_DROP, .job = "other", .limit = 1 },
				   none = { .verb = DEAD_LIST, .job = "none" };
	ASK(f, p, queue_answer_dead(f->store, &newest, on_page, &p));
	json_t *dead = json_object_get(p.joined, "dead");
	assert_int_equal(json_array_size(dead), 2);
	assert_int_equal(int_of(json_array_get(dead, 1), "id"), 5);
	json_decref(p.joined);
	ASK(f, p, queue_answer_dead(f->store, &next, on_page, &p));
	dead = json_object_get(p.joined, "dead");
	assert_int_equal(json_array_size(dead), 2);
	assert_int_equal(int_of(json_array_get(dead, 0), "id"), 4);
	json_decref(p.joined);
	ASK(f, p, queue_answer_dead(f->store, &other, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 2);
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead WHERE job = 'j'"), 4);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 4);
	ASK(f, p, queue_answer_dead(f->store, &none, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 0);
	json_decref(p.joined);
}

/* Of the runs of a job that forbids two, the newest is the one that the next must wait for. */
static void runs_that_are_open_again_keep_to_their_index(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	make_dead(f, 3);
	assert_ok(run_sql(f, "UPDATE drover_run SET exclusive = 'j'"));
	ASK(f, p, ask_dead(f->store, DEAD_RETRY, 2, on_page, &p));
	json_decref(p.joined);
	assert_int_equal(p.status, QUEUE_OK);
	ASK(f, p, ask_dead(f->store, DEAD_RETRY, 0, on_page, &p));
	json_decref(p.joined);
	assert_int_equal(p.status, QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL"), 3);
	assert_int_equal(peek(f, "SELECT id FROM drover_run WHERE exclusive = 'j'"), 2);
}

static void all_dead_letters_are_retried_in_steps(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	make_dead(f, 120);
	ASK(f, p, ask_dead(f->store, DEAD_RETRY, 0, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 120);
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 0"), 120);
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM drover_run WHERE state = 'running'"
			" AND tasks_failed = 0 AND tasks_dead = 0 AND finished_at IS NULL"),
		120);
	ASK(f, p, ask_dead(f->store, DEAD_DROP, 0, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "dead")), 0);
	assert_int_equal(p.status, QUEUE_OK);
	json_decref(p.joined);
}

static struct queue_metrics metrics;
static void on_metrics(void *arg, enum queue_status status, const struct queue_metrics *m)
{
	assert_int_equal(status, QUEUE_OK);
	metrics = *m;
	loop_stop(arg);
}

static void the_queue_is_counted_by_state(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	struct claim c;
	make_dead(f, 2);
	make_run(f, NULL, 6, PRIORITY_LOW, 3);
	struct queue *q = open_queue(f, "o");
	assert_int_equal(claim(f, q, 3, &c), 3);
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_put_back(tx, c.tasks[0], 60000);
	assert_ok(run_tx(f, tx));
	unclaim(&c);
	queue_close(q);
	ASK(f, p, queue_answer_counts(f->store, on_page, &p));
	json_t *queue = json_object_get(p.joined, "queue");
	assert_int_equal(int_of(queue, "ready"), 3);
	assert_int_equal(int_of(queue, "claimed"), 2);
	assert_int_equal(int_of(queue, "delayed"), 1);
	assert_int_equal(int_of(queue, "dead"), 2);
	json_decref(p.joined);
	assert_ok(run_sql(f, "UPDATE drover_task SET not_before = not_before - 5000 WHERE id = 8"));
	queue_metrics(f->store, on_metrics, f->loop);
	loop_run(f->loop);
	assert_int_equal(metrics.ready, 3);
	assert_int_equal(metrics.claimed, 2);
	assert_int_equal(metrics.delayed, 1);
	assert_int_equal(metrics.dead, 2);
	assert_in_range(metrics.oldest_ready_ms, 5000, 60000);
}

static void a_cancelled_answer_sends_no_more_pages(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 60; i++)
		make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	fill_errors(f, "");
	const struct runs_question all = { 0 };
	struct pages p = { .loop = f->loop };
	p.cancel_at_first = queue_answer_runs(f->store, &all, on_page, &p);
	loop_run(f->loop);
	queue_answer_cancel(queue_answer_runs(f->store, &all, on_page, &p));
	assert_ok(run_sql(f, "SELECT 1"));
	assert_int_equal(p.count, 1);
	json_decref(p.joined);
}

static void a_database_that_is_away_is_said(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	struct err err;
	struct store *away;
	struct store_options options = { .url = "sqlite:none.db", .state_dir = f->dir };
	assert_int_equal(store_open(&away, f->loop, &options, &err), 0);
	ASK(f, p, queue_answer_counts(away, on_page, &p));
	assert_int_equal(p.status, QUEUE_UNAVAILABLE);
	assert_non_null(strstr(text_of(p.joined, "error"), "none.db"));
	json_decref(p.joined);
	store_close(away);
}

/* 120 partitions of job j, "{"n":"p000"}" and on; one of another job. */
static void make_cursors(struct fixture *f)
{
	char sql[400];
	for (int i = 0; i < 120; i++) {
		snprintf(sql, sizeof(sql),
			"INSERT INTO drover_cursor (job, part, cursor, reached, updated_at, run_id)"
			" VALUES ('j', '{\"n\":\"p%03d\"}', %s, %d, 1, 7)",
			i, i ? "1767323045000" : "NULL", i);
		assert_ok(run_sql(f, sql));
	}
	assert_ok(run_sql(f, "INSERT INTO drover_cursor (job, part, cursor, reached, updated_at, "
			     "run_id) VALUES ('other', '{}', 5, 6, 1, 1)"));
	assert_ok(run_sql(f, "INSERT INTO drover_window (job, part, since, run_id) VALUES"
			     " ('j', '{\"n\":\"p001\"}', 1, 7), ('j', '{\"n\":\"p001\"}', 2, 7),"
			     " ('other', '{}', 1, 1)"));
}

static void cursors_are_shown_by_partition(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	const struct cursors_question times = { .job = "j", .times = true };
	const struct cursors_question numbers = { .job = "other" }, none = { .job = "no" };
	make_cursors(f);
	ASK(f, p, queue_answer_cursors(f->store, &times, on_page, &p));
	const json_t *all = json_object_get(p.joined, "cursors");
	assert_int_equal(json_array_size(all), 120);
	const json_t *first = json_array_get(all, 0), *second = json_array_get(all, 1);
	assert_string_equal(text_of(json_object_get(first, "partition"), "n"), "p000");
	assert_true(json_is_null(json_object_get(first, "cursor")));
	assert_string_equal(text_of(second, "cursor"), "2026-01-02T03:04:05.000Z");
	assert_int_equal(int_of(second, "windows"), 2);
	assert_int_equal(int_of(second, "run"), 7);
	json_decref(p.joined);
	ASK(f, p, queue_answer_cursors(f->store, &numbers, on_page, &p));
	first = json_array_get(json_object_get(p.joined, "cursors"), 0);
	assert_int_equal(int_of(first, "cursor"), 5);
	assert_int_equal(int_of(first, "reached"), 6);
	assert_int_equal(json_object_size(json_object_get(first, "partition")), 0);
	json_decref(p.joined);
	ASK(f, p, queue_answer_cursors(f->store, &none, on_page, &p));
	assert_int_equal(json_array_size(json_object_get(p.joined, "cursors")), 0);
	json_decref(p.joined);
}

static void cursors_are_forgotten_one_or_all_but_not_while_the_job_runs(void **state)
{
	struct fixture *f = *state;
	struct pages p;
	const struct cursors_question one = { .job = "j", .partition = "{\"n\":\"p001\"}" };
	const struct cursors_question all = { .job = "j" };
	make_cursors(f);
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	ASK(f, p, queue_answer_reset_cursors(f->store, &all, on_page, &p));
	assert_int_equal(p.status, QUEUE_BUSY);
	assert_string_equal(text_of(p.joined, "error"),
		"run 1 of j has not ended; wait for it, or pause the job");
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_cursor"), 121);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_window"), 3);
	assert_ok(run_sql(f, "UPDATE drover_run SET state = 'failed', finished_at = 1"));
	ASK(f, p, queue_answer_reset_cursors(f->store, &one, on_page, &p));
	assert_int_equal(int_of(json_object_get(p.joined, "reset"), "cursors"), 1);
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_cursor"), 120);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_window"), 1);
	ASK(f, p, queue_answer_reset_cursors(f->store, &one, on_page, &p));
	assert_int_equal(p.status, QUEUE_LOST);
	json_decref(p.joined);
	ASK(f, p, queue_answer_reset_cursors(f->store, &all, on_page, &p));
	assert_int_equal(int_of(json_object_get(p.joined, "reset"), "cursors"), 119);
	json_decref(p.joined);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_cursor"), 1);
	ASK(f, p, queue_answer_reset_cursors(f->store, &all, on_page, &p));
	assert_int_equal(int_of(json_object_get(p.joined, "reset"), "cursors"), 0);
	json_decref(p.joined);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(runs_are_shown_newest_first_in_bounded_pages),
		TEST(one_run_is_found_by_its_request_or_id),
		TEST(jobs_have_their_state_and_last_run),
		TEST(a_dead_letter_can_be_shown_retried_and_dropped),
		TEST(dead_letters_come_by_job_and_page_by_page),
		TEST(runs_that_are_open_again_keep_to_their_index),
		TEST(all_dead_letters_are_retried_in_steps),
		TEST(the_queue_is_counted_by_state),
		TEST(cursors_are_shown_by_partition),
		TEST(cursors_are_forgotten_one_or_all_but_not_while_the_job_runs),
		TEST(a_cancelled_answer_sends_no_more_pages),
		TEST(a_database_that_is_away_is_said),
	};
	return RUN_ON_BOTH(tests);
}
