/* SPDX-License-Identifier: MIT */
#include "queue_fixture.h"

static const char *const two[] = { "a", "b" };
static const struct run_request scheduled = { .job = "j",
	.kind = "collect",
	.trigger = "schedule",
	.max_attempts = 3,
	.timeout_ms = 1000,
	.priority = PRIORITY_MEDIUM,
	.overlap = OVERLAP_SKIP,
	.payloads = two,
	.payload_count = 2 };

static struct due_decision fired(int64_t due_at, const struct run_request *run)
{
	return (struct due_decision) { .job = "j",
		.due_at = due_at,
		.next_due_at = due_at + 1000,
		.outcome = "fired",
		.run = run };
}

static void add_job(struct fixture *f)
{
	assert_ok(
		run_sql(f, "INSERT INTO drover_job (name, kind, spec_hash, next_due_at, updated_at)"
			   " VALUES ('j', 'collect', 'x', 1000, 0)"));
}

static enum store_status decide(struct fixture *f, const struct due_decision *d)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_decide(tx, d, 1, clock_real_ms(), NULL);
	return run_tx(f, tx)->status;
}

static void a_due_time_makes_one_run_and_moves_the_next(void **state)
{
	struct fixture *f = *state;
	add_job(f);
	const struct due_decision d = fired(1000, &scheduled);
	assert_int_equal(decide(f, &d), STORE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE due_at = 1000"), 1);
	assert_int_equal(peek(f, "SELECT tasks_total FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE run_id = 1"), 2);
	assert_int_equal(peek(f, "SELECT run_id FROM drover_due WHERE outcome = 'fired'"), 1);
	assert_int_equal(peek(f, "SELECT next_due_at FROM drover_job"), 2000);
}

static void a_second_scheduler_cannot_fire_it_again(void **state)
{
	struct fixture *f = *state;
	add_job(f);
	const struct due_decision d = fired(1000, &scheduled);
	for (int i = 0; i < 3; i++)
		assert_int_equal(decide(f, &d), STORE_OK);
	/* Also after the run has ended. */
	assert_ok(run_sql(f, "DELETE FROM drover_task"));
	assert_ok(run_sql(f, "UPDATE drover_run SET state = 'succeeded', finished_at = 1"));
	assert_int_equal(decide(f, &d), STORE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_due"), 1);
}

static void overlap_is_recorded_as_skipped(void **state)
{
	struct fixture *f = *state;
	add_job(f);
	struct store_tx *tx = store_tx_new(f->store, 0);
	const struct due_decision d = fired(1000, &scheduled), next = fired(2000, &scheduled);
	queue_tx_decide(tx, &d, 1, clock_real_ms(), NULL);
	queue_tx_decide(tx, &next, 1, clock_real_ms(), NULL);
	assert_ok(run_tx(f, tx));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 1);
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM drover_due WHERE due_at = 2000"
			" AND outcome = 'skipped' AND reason = 'overlap' AND run_id IS NULL"),
		1);
	assert_int_equal(peek(f, "SELECT next_due_at FROM drover_job"), 3000);
	/* Another job is not concerned; nor is this one when its run has ended. */
	assert_ok(run_sql(f, "UPDATE drover_run SET state = 'failed', finished_at = 1"));
	const struct due_decision third = fired(3000, &scheduled);
	assert_int_equal(decide(f, &third), STORE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 2);
}

static void what_does_not_fire_is_accounted_for_too(void **state)
{
	struct fixture *f = *state;
	add_job(f);
	static const char *const outcomes[] = { "coalesced", "skipped", "missed" };
	for (int i = 0; i < 3; i++) {
		const struct due_decision d = { .job = "j",
			.due_at = 1000 + i,
			.next_due_at = i == 2 ? 0 : 1001 + i,
			.outcome = outcomes[i],
			.reason = "down" };
		assert_int_equal(decide(f, &d), STORE_OK);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_due WHERE reason = 'down'"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 0);
	assert_int_equal(peek(f, "SELECT next_due_at IS NULL FROM drover_job"), 1);
}

/* Its parent has ended once more meanwhile. */
static void a_decision_that_comes_late_leaves_the_due_time_that_was_set_behind_it(void **state)
{
	struct fixture *f = *state;
	const struct due_decision first = {
		.job = "j", .due_at = 1000, .outcome = "fired", .run = &scheduled
	};
	add_job(f);
	assert_int_equal(decide(f, &first), STORE_OK);
	assert_int_equal(peek(f, "SELECT next_due_at IS NULL FROM drover_job"), 1);
	assert_ok(run_sql(f, "UPDATE drover_job SET next_due_at = 1500"));
	assert_int_equal(decide(f, &first), STORE_OK);
	assert_int_equal(peek(f, "SELECT next_due_at FROM drover_job"), 1500);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 1);
}

/* A crash between two transactions would lose the due time: there must be one. */
static void the_next_due_time_moves_with_the_run_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	add_job(f);
	struct store_tx *tx = store_tx_new(f->store, 0);
	const struct due_decision d = fired(1000, &scheduled);
	queue_tx_decide(tx, &d, 1, clock_real_ms(), NULL);
	store_tx_sql(tx, "UPDATE drover_job SET kind = kind WHERE name = 'none'", NULL, 0);
	store_tx_expect(tx, 1); /* stands for the kill before the commit */
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_due"), 0);
	assert_int_equal(peek(f, "SELECT next_due_at FROM drover_job"), 1000);
}

static void a_manual_run_is_made_once_for_its_request(void **state)
{
	struct fixture *f = *state;
	make_run(f, "req-1", 2, PRIORITY_MEDIUM, 3);
	make_run(f, "req-1", 2, PRIORITY_MEDIUM, 3);
	make_run(f, "req-2", 2, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run"), 4);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 8);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE tasks_total = 2"), 4);
}

static void a_run_without_tasks_succeeds_at_once(void **state)
{
	struct fixture *f = *state;
	make_run(f, NULL, 0, PRIORITY_MEDIUM, 3);
	assert_string_equal(run_state(f, 1), "succeeded");
	assert_true(peek(f, "SELECT finished_at FROM drover_run") > 0);
}

/* ---- the frontier ---- */

static const char *const start[] = { "http://a/", "http://a/", "http://b/" };
static const struct run_request crawl = { .job = "j",
	.kind = "collect",
	.trigger = "manual",
	.max_attempts = 3,
	.timeout_ms = 1000,
	.priority = PRIORITY_LOW,
	.payloads = start,
	.payload_count = 3,
	.frontier = true };

static void begin_crawl(struct fixture *f)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_run(tx, &crawl, clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static void start_urls_enter_the_frontier_once(void **state)
{
	struct fixture *f = *state;
	begin_crawl(f);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 2);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE task_id IS NOT NULL"), 2);
	assert_int_equal(peek(f, "SELECT tasks_total FROM drover_run"), 2);
	assert_int_equal(peek(f, "SELECT pages FROM drover_run"), 2);
}

static void a_url_is_visited_once_and_max_pages_is_kept(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	begin_crawl(f);
	assert_int_equal(claim(f, q, 1, &c), 1);
	const struct frontier_url urls[] = {
		{ .url = "http://a/1", .depth = 1, .referrer = "http://a/" },
		{ .url = "http://a/", .depth = 1 },
		{ .url = "http://a/1", .depth = 1 },
		{ .url = "http://x/", .depth = 1, .skip_reason = "domain" },
		{ .url = "http://a/2", .depth = 1 },
		{ .url = "http://a/3", .depth = 1 },
	};
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, c.tasks[0], NULL);
	queue_tx_frontier(tx, c.tasks[0], urls, 6, 4);
	queue_tx_url_state(tx, c.tasks[0], "fetched", 200, NULL);
	queue_tx_done(tx, c.tasks[0]);
	assert_ok(run_tx(f, tx));
	unclaim(&c);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 3);
	assert_int_equal(peek(f, "SELECT tasks_total FROM drover_run"), 4);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE reason = 'max_pages'"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE reason = 'domain'"), 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE state = 'fetched'"), 1);
	/* Children inherit what the run said. */
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE payload = 'http://a/1' "
				 "AND depth = 1"
				 " AND priority = 2 AND max_attempts = 3 AND timeout_ms = 1000"
				 " AND kind = 'collect'"),
		1);
	/* A page that is skipped after all makes room. */
	assert_int_equal(claim(f, q, 1, &c), 1);
	const struct frontier_url more = { .url = "http://a/4", .depth = 1 };
	tx = store_tx_new(f->store, 0);
	queue_tx_url_state(tx, c.tasks[0], "skipped", 0, "robots");
	queue_tx_frontier(tx, c.tasks[0], &more, 1, 4);
	queue_tx_done(tx, c.tasks[0]);
	assert_ok(run_tx(f, tx));
	unclaim(&c);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 3);
	assert_int_equal(peek(f, "SELECT pages FROM drover_run"), 4);
	queue_close(q);
}

static void a_dead_page_has_its_reason_in_the_frontier(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	begin_crawl(f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(claim(f, q, 2, &c), 2);
		unclaim(&c);
		assert_int_equal(WAIT(f, queue_free_owner, "o"), QUEUE_OK);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_url WHERE state = 'failed'"
				 " AND reason LIKE '%worker died%'"),
		2);
	assert_string_equal(run_state(f, 1), "failed");
	assert_int_equal(peek(f, "SELECT tasks_dead FROM drover_run"), 2);
	queue_close(q);
}

/* ---- cancelling ---- */

static void cancel(struct fixture *f, int64_t run, const char *job)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_cancel_run(tx, run, job, "enough", clock_real_ms());
	assert_ok(run_tx(f, tx));
}

static int guard(struct fixture *f, struct queue *q, const struct task *task)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	queue_tx_guard(q, tx, task, "more");
	run_tx(f, tx);
	return f->out.status;
}

static void a_cancelled_run_without_claimed_tasks_ends_at_once(void **state)
{
	struct fixture *f = *state;
	make_run(f, NULL, 3, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	cancel(f, 1, NULL);
	assert_string_equal(run_state(f, 1), "cancelled");
	assert_string_equal(run_state(f, 2), "queued");
	assert_int_equal(peek(f, "SELECT tasks_cancelled FROM drover_run WHERE id = 1"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE run_id = 1"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task_history WHERE run_id = 1 AND"
				 " outcome = 'cancelled' AND error = 'enough' AND started IS NULL"),
		3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE id = 1 AND errors ="
				 " '[\"enough\"]' AND finished_at IS NOT NULL"),
		1);
	/* What has ended stays as it ended. */
	cancel(f, 1, NULL);
	assert_int_equal(peek(f, "SELECT error_count FROM drover_run WHERE id = 1"), 1);
}

static void who_holds_a_cancelled_task_finds_out_and_lets_the_run_end(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 3, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	cancel(f, 0, "j");
	assert_string_equal(run_state(f, 1), "running");
	assert_int_equal(guard(f, q, c.tasks[0]), STORE_CONFLICT);
	queue_let_go(q, c.tasks[0]);
	unclaim(&c);
	assert_int_equal(claim(f, q, 1, &c), 0);
	assert_string_equal(run_state(f, 1), "cancelled");
	assert_int_equal(peek(f, "SELECT tasks_cancelled FROM drover_run"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task_history WHERE started IS NOT "
				 "NULL AND owner = 'o'"),
		1);
	queue_close(q);
}

static void a_cancelled_run_ends_with_its_worker_s_death_and_with_its_lease(void **state)
{
	struct fixture *f = *state;
	struct queue *q = open_queue(f, "o");
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(claim(f, q, 1, &c), 1);
	cancel(f, c.tasks[0]->run_id, NULL);
	unclaim(&c);
	assert_int_equal(WAIT(f, queue_free_owner, "o"), QUEUE_OK);
	assert_string_equal(run_state(f, 1), "cancelled");
	assert_int_equal(claim(f, q, 1, &c), 1);
	cancel(f, c.tasks[0]->run_id, NULL);
	unclaim(&c);
	assert_int_equal(
		WAIT(f, queue_free_expired, "n", "e2", clock_real_ms() + 3600000), QUEUE_OK);
	assert_string_equal(run_state(f, 2), "cancelled");
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 0);
	queue_close(q);
}

/* ---- the schema ---- */

/* What version 1 had where a later one has more, or has it otherwise. */
static const char *const version_1[] = {
	"CREATE TABLE drover_meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
	"INSERT INTO drover_meta VALUES ('schema_version', '1')",
	"CREATE TABLE drover_job (name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL,"
	" spec_hash TEXT NOT NULL, next_due_at BIGINT, paused BIGINT NOT NULL DEFAULT 0,"
	" updated_at BIGINT NOT NULL)",
	"INSERT INTO drover_job VALUES ('old', 'collect', 'h', 5, 0, 6)",
	"CREATE TABLE drover_run (id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" job TEXT NOT NULL, trigger TEXT NOT NULL, request_id TEXT UNIQUE,"
	" token TEXT NOT NULL UNIQUE, due_at BIGINT, created_at BIGINT NOT NULL,"
	" started_at BIGINT, finished_at BIGINT, state TEXT NOT NULL,"
	" tasks_total BIGINT NOT NULL DEFAULT 0, tasks_done BIGINT NOT NULL DEFAULT 0,"
	" tasks_failed BIGINT NOT NULL DEFAULT 0, tasks_dead BIGINT NOT NULL DEFAULT 0,"
	" pages BIGINT NOT NULL DEFAULT 0, requests BIGINT NOT NULL DEFAULT 0,"
	" rows BIGINT NOT NULL DEFAULT 0, rejected BIGINT NOT NULL DEFAULT 0,"
	" bytes BIGINT NOT NULL DEFAULT 0, error_count BIGINT NOT NULL DEFAULT 0,"
	" errors TEXT NOT NULL DEFAULT '[]')",
	"INSERT INTO drover_run (id, job, trigger, token, created_at, state)"
	" VALUES (41, 'old', 'manual', 't', 7, 'succeeded')",
	"CREATE INDEX drover_run_open ON drover_run (job) WHERE finished_at IS NULL",
	"CREATE TABLE drover_due (job TEXT NOT NULL, due_at BIGINT NOT NULL,"
	" outcome TEXT NOT NULL, reason TEXT, run_id BIGINT, decided_at BIGINT NOT NULL,"
	" PRIMARY KEY (job, due_at))",
	"CREATE INDEX drover_due_decided ON drover_due (decided_at)",
	"INSERT INTO drover_due VALUES ('old', 1, 'fired', '', 41, 2),"
	" ('old', 2, 'skipped', 'overlap', NULL, 3)",
};

static void a_database_of_version_1_is_brought_up_and_keeps_its_rows(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_SIZE(version_1); i++)
		assert_ok(run_sql(f, version_1[i]));
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_UNAVAILABLE);
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_OK);
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_OK);
	assert_string_equal(run_state(f, 41), "succeeded");
	assert_int_equal(peek(f, "SELECT concurrency FROM drover_job"), 0);
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	assert_int_equal(peek(f, "SELECT tasks_total - tasks_cancelled FROM drover_run"
				 " WHERE id = 42 AND exclusive IS NULL AND cancelled_at IS NULL"),
		1);
	assert_int_equal(peek(f, "SELECT SUM(due_at * decided_at) FROM drover_due WHERE"
				 " outcome = 'fired' AND run_id = 41 OR reason = 'overlap'"),
		8);
	assert_int_equal(
		peek(f, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'drover_due_decided'"
			" OR sql LIKE '%drover_run_open ON drover_run (job)%'"),
		0);
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_OK);
}

static void migrating_twice_changes_nothing(void **state)
{
	struct fixture *f = *state;
	make_run(f, NULL, 2, PRIORITY_MEDIUM, 3);
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_OK);
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 2);
}

static void a_newer_schema_is_refused_with_words(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "UPDATE drover_meta SET value = '99'"));
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_FAILED);
	assert_non_null(strstr(queue_error(), "newer drover"));
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_FAILED);
	assert_non_null(strstr(queue_error(), "newer drover"));
	assert_int_equal(peek(f, "SELECT CAST(value AS INTEGER) FROM drover_meta"), 99);
}

static void workers_wait_for_the_tables(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_UNAVAILABLE);
	assert_int_equal(WAIT(f, queue_migrate), QUEUE_OK);
	assert_int_equal(WAIT(f, queue_check_schema), QUEUE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, queue_setup, fixture_teardown)

/* Its worker is dead, and the COMMIT lies in the server's socket. */
static void a_claim_that_commits_after_its_worker_s_death_is_freed_too(void **state)
{
	struct fixture *f = *state;
	struct claim freed = { .loop = f->loop, .status = QUEUE_FAILED };
	if (fixture_on == ON_SQLITE)
		return; /* one writer at a time */
	make_run(f, "r", 2, PRIORITY_MEDIUM, 5);
	assert_ok(run_sql(f, "INSERT INTO drover_job (name, kind, spec_hash, updated_at)"
			     " VALUES ('j', 'collect', '', 0)"));
	PGconn *dead = PQconnectdb(f->url);
	PQclear(PQexec(dead, "BEGIN"));
	PQclear(PQexec(
		dead, "SELECT pg_advisory_xact_lock(hashtextextended('drover_claim collect', 0))"));
	PQclear(PQexec(dead, "UPDATE drover_task SET state = 1, owner = 'a', attempt = 1,"
			     " lease_until = 9000000000000"));
	queue_free_owner(f->store, "a", on_status, &freed);
	while (server_sql(f->url, "SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid ="
				  " l.database WHERE d.datname = current_database() AND"
				  " locktype = 'advisory' AND NOT granted") == 0 &&
		freed.status != QUEUE_OK) {
		struct store_tx *look = store_tx_new(f->store, STORE_READ_ONLY);
		store_tx_sql(look, "SELECT 1", NULL, 0);
		assert_ok(run_tx(f, look));
	}
	PQclear(PQexec(dead, "COMMIT"));
	PQfinish(dead);
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	assert_int_equal(freed.status, QUEUE_OK);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task WHERE state = 0"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_due_time_makes_one_run_and_moves_the_next),
		TEST(a_second_scheduler_cannot_fire_it_again),
		TEST(overlap_is_recorded_as_skipped),
		TEST(what_does_not_fire_is_accounted_for_too),
		TEST(a_decision_that_comes_late_leaves_the_due_time_that_was_set_behind_it),
		TEST(the_next_due_time_moves_with_the_run_or_not_at_all),
		TEST(a_manual_run_is_made_once_for_its_request),
		TEST(a_run_without_tasks_succeeds_at_once),
		TEST(start_urls_enter_the_frontier_once),
		TEST(a_url_is_visited_once_and_max_pages_is_kept),
		TEST(a_dead_page_has_its_reason_in_the_frontier),
		TEST(a_cancelled_run_without_claimed_tasks_ends_at_once),
		TEST(who_holds_a_cancelled_task_finds_out_and_lets_the_run_end),
		TEST(a_cancelled_run_ends_with_its_worker_s_death_and_with_its_lease),
		TEST(a_claim_that_commits_after_its_worker_s_death_is_freed_too),
		TEST(migrating_twice_changes_nothing),
		TEST(a_newer_schema_is_refused_with_words),
		cmocka_unit_test_setup_teardown(
			workers_wait_for_the_tables, fixture_setup, fixture_teardown),
	};
	/* PostgreSQL's first version was 2. */
	const struct CMUnitTest file_only[] = {
		cmocka_unit_test_setup_teardown(
			a_database_of_version_1_is_brought_up_and_keeps_its_rows, fixture_setup,
			fixture_teardown),
	};
	int failed = cmocka_run_group_tests(file_only, NULL, NULL);
	return failed + RUN_ON_BOTH(tests);
}
