/* SPDX-License-Identifier: MIT */
/* Many jobs that fall due together: their rows in drover_job are written behind. */
#include "scheduler/world.h"

#include "ipc/messages.h"
#include "scheduler/answers.h"
#include "scheduler/ticker.h"
#include <jansson.h>

#define T0     FAKE_CLOCK_REAL_MS
#define SECOND INT64_C(1000)
enum { JOBS = 40 };

#define DUES  "SELECT COUNT(*) FROM drover_due"
#define FIRED DUES " WHERE outcome = 'fired'"
#define BEHIND                                                                            \
	"SELECT COUNT(*) FROM drover_job j WHERE next_due_at <= (SELECT MAX(due_at) FROM" \
	" drover_due d WHERE d.job = j.name)"

/* Each 10 s, from T0 on; when they are due for the second time they are known to be many. */
static void two_rounds(void)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "jobs:\n");
	for (int i = 0; i < JOBS; i++)
		buf_addf(&yaml,
			"  j%02d: {kind: crawl, schedule: {every: 10s}, start: "
			"[\"https://a.example.org/\"],"
			" store: {table: t%02d, key: [url]}}\n",
			i, i);
	world_configure(must_load(buf_str(&yaml)));
	buf_finish(&yaml);
	assert_int_equal(world_number(FIRED), JOBS);
	assert_int_equal(world_number(BEHIND), 0);
	world_finish_runs();
	world_advance(10 * SECOND);
	world_finish_runs();
	assert_int_equal(world_number(FIRED), 2 * JOBS);
	assert_in_range(world_number(BEHIND), JOBS / 2, JOBS);
}

static void what_is_behind_is_written_within_a_lap(void **state UNUSED)
{
	two_rounds();
	for (int i = 0; i < 30; i++)
		world_advance(250);
	assert_int_equal(world_number(BEHIND), 0);
	assert_int_equal(world_number("SELECT COUNT(DISTINCT next_due_at) FROM drover_job"), 1);
	assert_int_equal(world_number("SELECT MAX(next_due_at) FROM drover_job"), T0 + 20 * SECOND);
	assert_int_equal(world_number(FIRED), 2 * JOBS);
}

static void after_a_restart_they_go_on_where_their_due_times_are(void **state UNUSED)
{
	two_rounds();
	world_restart_ticker();
	assert_int_equal(ticker_next_due(world->s.ticker, "j00"), T0 + 20 * SECOND);
	assert_int_equal(ticker_next_due(world->s.ticker, "j39"), T0 + 20 * SECOND);
	assert_int_equal(world_number(DUES), 2 * JOBS);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 2 * JOBS);
	world_advance(10 * SECOND);
	assert_int_equal(world_number(FIRED), 3 * JOBS);
	assert_int_equal(world_number(DUES), 3 * JOBS);
	for (int i = 0; i < 30; i++)
		world_advance(250);
	assert_int_equal(world_number(BEHIND), 0);
}

static void after_a_long_rest_none_is_decided_twice_and_none_is_left_out(void **state UNUSED)
{
	two_rounds();
	fake_clock_advance_ms(3600 * SECOND);
	world_restart_ticker();
	for (int i = 0; i < 3 * JOBS; i++) {
		world_finish_runs();
		world_advance(25);
	}
	assert_int_equal(world_number(DUES), JOBS * (2 + 360));
	assert_int_equal(world_number(FIRED), 3 * JOBS);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 3 * JOBS);
}

/* Without its due times, as after a clock that was ahead, nothing but time is lost. */
static void a_row_that_is_behind_fires_nothing_twice(void **state UNUSED)
{
	two_rounds();
	assert_ok(run_sql(world->f, "UPDATE drover_job SET updated_at = updated_at + 3600000"));
	world_restart_ticker();
	assert_int_equal(world_number(DUES), 2 * JOBS);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 2 * JOBS);
	assert_int_equal(ticker_next_due(world->s.ticker, "j39"), T0 + 20 * SECOND);
}

static void a_job_whose_row_is_deleted_meanwhile_goes_on(void **state UNUSED)
{
	two_rounds();
	assert_ok(run_sql(world->f, "DELETE FROM drover_job WHERE name = 'j07'"));
	world_advance(10 * SECOND);
	world_advance(20); /* the next transaction */
	assert_int_equal(world_number(FIRED), 3 * JOBS);
	assert_int_equal(world_number(DUES " WHERE job = 'j07'"), 3);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_job"), JOBS);
}

static void what_could_not_be_written_is_written_again(void **state UNUSED)
{
	sqlite3 *db;
	two_rounds();
	assert_int_equal(sqlite3_open(world->f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	world_advance(250);
	assert_int_equal(world->worst, STORE_UNAVAILABLE);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	for (int i = 0; i < 30; i++)
		world_advance(250);
	assert_int_equal(world_number(BEHIND), 0);
}

static void the_list_of_jobs_shows_when_they_are_due(void **state UNUSED)
{
	json_error_t error;
	bool last = false;
	two_rounds();
	const struct msg_question question = {
		.id = 1, .verb = "jobs", .args = { .data = "{}", .len = 2 }
	};
	answers_ask(world->s.answers, &question);
	world_settle();
	for (size_t i = 0; i < world->page_count; i++) {
		json_t *page = json_loadb(world->pages[i].json, world->pages[i].len, 0, &error),
		       *job;
		size_t at;
		json_array_foreach(json_object_get(page, "jobs"), at, job)
			assert_string_equal(json_string_value(json_object_get(job, "next_due_at")),
				"2027-01-15T08:00:20.000Z");
		last = world->pages[i].last;
		json_decref(page);
	}
	assert_true(last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_behind_is_written_within_a_lap),
		TEST(after_a_restart_they_go_on_where_their_due_times_are),
		TEST(after_a_long_rest_none_is_decided_twice_and_none_is_left_out),
		TEST(a_row_that_is_behind_fires_nothing_twice),
		TEST(a_job_whose_row_is_deleted_meanwhile_goes_on),
		TEST(what_could_not_be_written_is_written_again),
		TEST(the_list_of_jobs_shows_when_they_are_due),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
