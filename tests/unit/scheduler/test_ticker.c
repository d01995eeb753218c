/* SPDX-License-Identifier: MIT */
#include "scheduler/world.h"

#include "config/config.h"
#include "config/kind.h"
#include "scheduler/chain.h"
#include "scheduler/job_run.h"
#include "scheduler/ticker.h"

#define T0	  FAKE_CLOCK_REAL_MS /* 2027-01-15T08:00:00Z */
#define SECOND	  INT64_C(1000)
#define HOUR	  (3600 * SECOND)
#define DAY	  (24 * HOUR)

#define DUES	  "SELECT COUNT(*) FROM drover_due"
#define FIRED	  DUES " WHERE outcome = 'fired'"
#define COALESCED DUES " WHERE outcome = 'coalesced'"
#define MISSED	  DUES " WHERE outcome = 'missed'"
#define SKIPPED	  DUES " WHERE outcome = 'skipped'"
#define RUNS	  "SELECT COUNT(*) FROM drover_run"
#define NEXT	  "SELECT next_due_at FROM drover_job WHERE name = 'tick'"
#define GAPS(every)                                                                            \
	"SELECT COUNT(*) FROM drover_due a WHERE NOT EXISTS (SELECT 1 FROM drover_due b WHERE" \
	" b.due_at = a.due_at + " every ") AND a.due_at < (SELECT MAX(due_at) FROM drover_due)"

static void of_several_due_times_the_last_stands_for_the_others(void **state UNUSED)
{
	const struct config_due last = { .catch_up = CATCH_UP_LAST, .catch_up_window_ms = DAY };
	assert_string_equal(ticker_judge(&last, 1000, 5000, true).outcome, "coalesced");
	assert_string_equal(ticker_judge(&last, 5000, 5000, false).outcome, "fired");
	assert_string_equal(ticker_judge(&last, 5000, 5000 + DAY, false).outcome, "fired");
	const struct due_verdict v = ticker_judge(&last, 5000, 5001 + DAY, false);
	assert_string_equal(v.outcome, "missed");
	assert_string_not_equal(v.reason, "");
}

static void every_begins_when_the_job_is_first_seen_and_a_late_tick_shifts_nothing(
	void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	assert_int_equal(world_number(FIRED), 1);
	assert_int_equal(world->wakes, 1);
	world_finish_runs();
	world_advance(10 * SECOND + 700);
	world_finish_runs();
	world_advance(9 * SECOND + 900);
	assert_int_equal(world_number(FIRED), 3);
	assert_int_equal(world_number(DUES " WHERE (due_at - 1800000000000) % 10000 = 0"), 3);
	assert_int_equal(world_number(NEXT), T0 + 30 * SECOND);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), T0 + 30 * SECOND);
}

static void cron_is_first_due_after_the_job_was_seen(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"0 3 * * *\", timezone: Asia/Seoul}"));
	assert_int_equal(world_number(DUES), 0);
	assert_int_equal(world_number(NEXT), T0 + 10 * HOUR); /* 03:00+09:00 */
	world_advance(10 * HOUR);
	assert_int_equal(world_number(FIRED " AND due_at = 1800036000000"), 1);
	assert_int_equal(world_number(NEXT), T0 + 34 * HOUR);
}

static void jitter_puts_the_beginning_off_and_leaves_the_key(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"0 9 * * *\", jitter: 10m}"));
	int64_t due = T0 + HOUR, late = schedule_jitter_ms("tick", due, 600 * SECOND);
	assert_in_range(late, 1, 600 * SECOND - 1);
	world_advance(HOUR + late - 1);
	assert_int_equal(world_number(DUES), 0);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), due);
	world_restart_ticker(); /* it is the same delay then */
	assert_int_equal(world_number(DUES), 0);
	world_advance(1);
	assert_int_equal(world_number(FIRED " AND due_at = 1800003600000"), 1);
	assert_int_equal(world_number(NEXT), due + DAY);
	assert_int_equal(world_number("SELECT due_at FROM drover_run"), due);
}

static void the_dst_policy_of_the_job_is_obeyed(void **state UNUSED)
{
	/* America/New_York, 14 March 2027: 02:30 does not exist, the gap ends at 07:00Z. */
	fake_clock_set_real_ms(INT64_C(1804964400000)); /* 13 March, 19:00Z */
	world_configure(tick_config("{cron: \"30 2 * * *\", timezone: America/New_York}"));
	assert_int_equal(world_number(NEXT), INT64_C(1805007600000));
	world_configure(tick_config("{cron: \"30 2 * * *\", timezone: America/New_York, "
				    "dst: {gap: skip}}"));
	assert_int_equal(world_number(NEXT), INT64_C(1805092200000)); /* the 15th, 06:30Z */
}

static void a_job_without_schedule_is_never_due(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	world_advance(DAY);
	assert_int_equal(world_number(DUES), 0);
	assert_int_equal(
		world_number("SELECT COUNT(*) FROM drover_job WHERE next_due_at IS NULL"), 1);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), 0);
}

static void each_due_time_of_a_pause_has_one_row(void **state UNUSED)
{
	world_configure(tick_config("{every: 50ms}"));
	world_finish_runs();
	/* More than one transaction takes. */
	world_advance(60 * SECOND);
	assert_int_equal(world_number(DUES), 1201);
	assert_int_equal(world_number(GAPS("50")), 0);
	assert_int_equal(world_number(FIRED), 2);
	assert_int_equal(world_number(COALESCED), 1199);
	assert_int_equal(world_number(RUNS), 2);
	assert_int_equal(world_number(COALESCED " AND reason = ''"), 0);
}

static void a_job_does_not_wait_for_the_backlogs_of_others(void **state UNUSED)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "x-job: &j {kind: crawl, start: [\"https://a.example.org/\"],"
			   " store: {table: t, key: [url]}}\n"
			   "jobs:\n"
			   "  z: {<<: *j, schedule: {cron: \"* * * * *\"}}\n");
	for (int i = 0; i < 12; i++)
		buf_addf(&yaml, "  b%d: {<<: *j, schedule: {every: 100ms}}\n", i);
	world_configure(must_load(buf_str(&yaml)));
	buf_finish(&yaml);
	assert_int_equal(world_number(DUES), 12);
	assert_ok(run_sql(world->f, "CREATE TABLE before_z (n BIGINT)"));
	assert_ok(run_sql(world->f,
		"CREATE TRIGGER z AFTER INSERT ON drover_due WHEN NEW.job = 'z' BEGIN"
		" INSERT INTO before_z SELECT COUNT(*) FROM drover_due; END"));
	world_advance(60 * SECOND + 1);
	assert_int_equal(world_number(DUES), 12 + 12 * 600 + 1);
	/* Each of the twelve has had its turn, in two transactions. */
	assert_in_range(world_number("SELECT n FROM before_z"), 1, 12 + 1000 + 1);
}

static void runs_of_many_tasks_are_made_in_several_transactions(void **state UNUSED)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "providers:\n"
			   "  p: {base_url: \"https://api.example.org/\"}\n"
			   "x-job: &j\n"
			   "  kind: collect\n"
			   "  schedule: {cron: \"0 * * * *\"}\n"
			   "  request: {provider: p, path: /x, query: {v: \"{{v}}\"}}\n"
			   "  fields: {id: id}\n"
			   "  store: {table: t, key: [id]}\n"
			   "  for_each: {as: v, values: [0");
	for (int i = 1; i < 6000; i++)
		buf_addf(&yaml, ",%d", i);
	buf_add_str(&yaml, "]}\njobs: {a: *j, b: *j}\n");
	world_configure(must_load(buf_str(&yaml)));
	buf_finish(&yaml);
	fake_clock_advance_ms(HOUR);
	ticker_look(world->s.ticker);
	/* A writer, so that it comes right behind the first of them. */
	struct store_tx *tx = store_tx_new(world->f->store, 0);
	store_tx_sql(tx, "SELECT COUNT(*) FROM drover_task", NULL, 0);
	assert_int_equal(run_tx(world->f, tx)->value, 6000);
	world_settle();
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task"), 12000);
	assert_int_equal(world_number(FIRED), 2);
}

static void what_is_longer_ago_than_the_window_is_missed(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"0 3 * * 5\"}")); /* 15 January is a Friday */
	world_advance(9 * DAY);
	assert_int_equal(world_number(DUES), 1);
	assert_int_equal(world_number(MISSED), 1);
	assert_int_equal(world_number(RUNS), 0);
}

static void a_due_time_while_the_run_before_is_not_finished_is_skipped(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	world_advance(10 * SECOND);
	assert_int_equal(world_number(SKIPPED " AND reason = 'overlap'"), 1);
	assert_int_equal(world_number(RUNS), 1);
	assert_int_equal(world->wakes, 1);
	world_finish_runs();
	world_advance(10 * SECOND);
	assert_int_equal(world_number(FIRED), 2);
}

/* ---- catching up ---- */

static void without_catch_up_what_was_not_seen_in_time_is_missed(void **state UNUSED)
{
	world_configure(tick_config("{every: 10m, catch_up: none}"));
	world_finish_runs();
	world_advance(65 * 60 * SECOND);
	assert_int_equal(world_number(MISSED " AND reason LIKE '%catch_up is none'"), 6);
	assert_int_equal(world_number(RUNS), 1);
	/* A little late is in time. */
	world_advance(5 * 60 * SECOND + 30 * SECOND);
	assert_int_equal(world_number(FIRED), 2);
}

static void the_window_bounds_what_is_caught_up(void **state UNUSED)
{
	world_configure(tick_config("{every: 10m, catch_up_window: 30m}"));
	world_finish_runs();
	world_advance(65 * 60 * SECOND);
	assert_int_equal(world_number(MISSED " AND reason LIKE '%window%'"), 3);
	assert_int_equal(world_number(COALESCED), 2);
	assert_int_equal(world_number(FIRED), 2);
	assert_int_equal(
		world_number("SELECT COUNT(*) FROM drover_run WHERE trigger = 'catch_up'"), 1);
}

/* Until nothing more is due. */
static void catch_up(int steps)
{
	for (int i = 0; i < steps; i++)
		world_advance(300);
}

static void all_are_caught_up_oldest_first_one_after_the_other(void **state UNUSED)
{
	world_configure(tick_config("{every: 10m, catch_up: all}"));
	world_finish_runs();
	world_advance(65 * 60 * SECOND);
	catch_up(3);
	for (int i = 1; i <= 6; i++) {
		/* The next one waits for the end of this one: none is skipped. */
		assert_int_equal(world_number(RUNS), i + 1);
		assert_int_equal(world_number("SELECT due_at FROM drover_run ORDER BY id DESC"
					      " LIMIT 1"),
			T0 + i * 600 * SECOND);
		world_finish_runs();
		catch_up(3);
	}
	assert_int_equal(world_number(FIRED), 7);
	assert_int_equal(world_number(DUES), 7);
	assert_int_equal(world_number(GAPS("600000")), 0);
}

static struct config *many_jobs(int count, const char *schedule)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "jobs:\n");
	for (int i = 0; i < count; i++)
		buf_addf(&yaml,
			"  j%02d: {kind: crawl, schedule: %s, start: [\"https://a.example.org/\"],"
			" store: {table: t%02d, key: [url]}}\n",
			i, schedule, i);
	struct config *config = must_load(buf_str(&yaml));
	buf_finish(&yaml);
	return config;
}

static void what_is_caught_up_is_spread_and_bounded(void **state UNUSED)
{
	world_configure(many_jobs(40, "{cron: \"0 * * * *\"}"));
	assert_int_equal(world_number(RUNS), 0);
	world_advance(2 * HOUR + HOUR / 2);
	/* One at once, the others after it. */
	assert_int_equal(world_number(RUNS), 1);
	for (int i = 0; i < 60; i++)
		world_advance(20);
	assert_int_equal(world_number(RUNS), 16);
	assert_int_equal(world_number(DUES " WHERE outcome = 'coalesced'"), 40);
	world_finish_runs();
	catch_up(60);
	assert_int_equal(world_number(RUNS), 32);
	world_finish_runs();
	catch_up(30);
	assert_int_equal(world_number(RUNS), 40);
	assert_int_equal(world_number(DUES), 80);
}

static void a_paused_job_s_due_times_are_skipped_and_nothing_fires_on_resume(void **state UNUSED)
{
	world_configure(tick_config("{every: 10m, catch_up: all}"));
	world_finish_runs();
	assert_ok(run_sql(world->f, "UPDATE drover_job SET paused = 1"));
	ticker_set_paused(world->s.ticker, "tick", true);
	world_advance(HOUR);
	assert_int_equal(world_number(SKIPPED " AND reason = 'paused'"), 6);
	fake_clock_advance_ms(600 * SECOND);
	assert_ok(
		run_sql(world->f, "UPDATE drover_job SET paused = 0, resumed_at = 1800004200000"));
	ticker_set_paused(world->s.ticker, "tick", false);
	world_settle();
	catch_up(3);
	assert_int_equal(world_number(SKIPPED), 7);
	assert_int_equal(world_number(RUNS), 1);
	world_advance(600 * SECOND);
	assert_int_equal(world_number(RUNS), 2);
}

/* ---- jobs that follow, runs that wait ---- */

static struct config *chain_config(const char *of_c)
{
	char yaml[1024];
	snprintf(yaml, sizeof(yaml),
		"x-job: &j {kind: crawl, start: [\"https://a.example.org/\"],"
		" store: {table: t, key: [url]}}\n"
		"jobs:\n"
		"  a: {<<: *j, schedule: {every: 1h, overlap: queue}}\n"
		"  b: {<<: *j, schedule: {every: 1h}}\n"
		"  c: {<<: *j, schedule: %s}\n",
		of_c);
	return must_load(yaml);
}

static void end_runs_of(const char *job, const char *state)
{
	char sql[256];
	snprintf(sql, sizeof(sql), "DELETE FROM drover_task WHERE state = 0 AND job = '%s'", job);
	assert_ok(run_sql(world->f, sql));
	snprintf(sql, sizeof(sql),
		"UPDATE drover_run SET state = '%s', finished_at = %lld WHERE job = '%s' AND"
		" finished_at IS NULL AND waiting IS NULL",
		state, (long long)clock_real_ms(), job);
	assert_ok(run_sql(world->f, sql));
	world_look();
}

#define RUNS_OF(job) "SELECT COUNT(*) FROM drover_run WHERE job = '" job "'"

static void a_job_runs_when_all_it_follows_have_succeeded(void **state UNUSED)
{
	world_configure(chain_config("{after: [a, b]}"));
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	end_runs_of("a", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	end_runs_of("b", "failed");
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	world_advance(HOUR);
	end_runs_of("b", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c") " AND trigger = 'after'"), 1);
	assert_int_equal(world_number(FIRED " AND job = 'c' AND due_at = 1800003600000"), 1);
	end_runs_of("c", "succeeded");
	end_runs_of("a", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 1);
	world_advance(HOUR);
	end_runs_of("b", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 2);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run WHERE followed > 0 AND"
				      " finished_at IS NOT NULL"),
		0);
}

static void a_configuration_at_the_address_of_the_one_before_is_another_one(void **state UNUSED)
{
	world_configure(chain_config("{after: a}"));
	world_look();
	struct config *other = chain_config("{after: b}"), swap = *other;
	*other = *world->config;
	*world->config = swap;
	world_advance(0);
	end_runs_of("a", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	end_runs_of("b", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 1);
	/* Each lies in memory of its own, which it names. */
	swap = *other;
	*other = *world->config;
	*world->config = swap;
	config_free(other);
}

static void an_end_that_nobody_saw_is_told_after_a_restart(void **state UNUSED)
{
	world_configure(chain_config("{after: a, on: failure}"));
	ticker_stop(world->s.ticker);
	chain_stop(world->s.chain);
	end_runs_of("a", "failed");
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	world_restart_ticker();
	world_look();
	assert_int_equal(world_number(RUNS_OF("c")), 1);
	end_runs_of("c", "failed");
	world_look();
	assert_int_equal(world_number(RUNS_OF("c")), 1);
}

static void a_due_time_that_was_set_and_not_decided_is_decided_after_a_restart(void **state UNUSED)
{
	world_configure(chain_config("{after: a, on: end}"));
	/* What queue_tx_follow() leaves when the scheduler dies then. */
	assert_ok(run_sql(world->f, "UPDATE drover_job SET next_due_at = 5 WHERE name = 'c'"));
	world_restart_ticker();
	assert_int_equal(world_number(FIRED " AND job = 'c' AND due_at = 5"), 1);
	assert_int_equal(world_number(RUNS_OF("c")), 1);
}

/* Ends of `job` that nobody was told of yet. */
static void add_ends(const char *job, int count)
{
	char sql[512];
	snprintf(sql, sizeof(sql),
		"WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		" INSERT INTO drover_run (job, trigger, token, created_at, state, finished_at,"
		" followed) SELECT '%s', 'manual', '%s' || i, 1, 'succeeded', 1000 + i, 1 FROM n",
		count, job, job);
	assert_ok(run_sql(world->f, sql));
}

static void a_chain_that_is_slow_does_not_hold_up_another(void **state UNUSED)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "x-job: &j {kind: crawl, start: [\"https://a.example.org/\"],"
			   " store: {table: t, key: [url]}}\n"
			   "jobs:\n"
			   "  quick-parent: *j\n"
			   "  quick: {<<: *j, schedule: {after: quick-parent}}\n");
	for (int i = 0; i < ENDED_RUNS_MAX + 1; i++)
		buf_addf(&yaml,
			"  p%d: *j\n"
			"  slow%d: {<<: *j, schedule: {after: p%d, jitter: 2h}}\n",
			i, i, i);
	world_configure(must_load(buf_str(&yaml)));
	buf_finish(&yaml);
	for (int i = 0; i < ENDED_RUNS_MAX + 1; i++) {
		char parent[16];
		snprintf(parent, sizeof(parent), "p%d", i);
		add_ends(parent, i == 0 ? 2 * ENDED_RUNS_MAX : 2);
	}
	fake_clock_set_real_ms(1000);
	world_look();
	add_ends("quick-parent", 1);
	world_look();
	assert_int_equal(world_number(RUNS_OF("quick")), 1);
}

/* The instant is half of the key by which two schedulers know that it was decided. */
static void a_clock_that_is_set_back_leaves_the_instant_of_an_end(void **state UNUSED)
{
	world_configure(chain_config("{after: a, jitter: 10m}"));
	fake_clock_advance_ms(HOUR);
	end_runs_of("a", "succeeded");
	assert_int_equal(world_number(RUNS_OF("c")), 0);
	world_set_clock(T0 - 30 * DAY);
	assert_int_equal(
		world_number("SELECT next_due_at FROM drover_job WHERE name = 'c'"), T0 + HOUR);
	/* It begins all the same, as long after the clock was set as it was to begin after the end.
	 */
	for (int i = 0; i < 60; i++) {
		fake_clock_advance_ms(10 * SECOND);
		ticker_look(world->s.ticker);
		world_settle();
	}
	assert_int_equal(world_number(FIRED " AND job = 'c' AND due_at = 1800003600000"), 1);
	assert_int_equal(world_number(RUNS_OF("c")), 1);
}

static void a_run_that_waits_begins_when_the_one_before_has_ended(void **state UNUSED)
{
	world_configure(chain_config("{every: 9h}"));
	world_advance(HOUR);
	world_advance(HOUR);
	assert_int_equal(world_number(RUNS_OF("a")), 2);
	assert_int_equal(world_number(COALESCED " AND reason LIKE '%waits already'"), 1);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task WHERE job = 'a'"
				      " AND state = 0"),
		1);
	int wakes = world->wakes;
	end_runs_of("a", "failed");
	assert_int_equal(world_number("SELECT run_id FROM drover_task WHERE job = 'a' AND state ="
				      " 0"),
		world_number("SELECT MAX(id) FROM drover_run WHERE job = 'a'"));
	assert_true(world->wakes > wakes);
}

static void at_fires_once_and_not_again_after_a_restart(void **state UNUSED)
{
	world_configure(tick_config("{at: \"2027-01-15T09:00:00Z\"}"));
	assert_int_equal(world_number(DUES), 0);
	world_advance(HOUR);
	assert_int_equal(world_number(FIRED " AND due_at = 1800003600000"), 1);
	world_finish_runs();
	world_restart_ticker();
	world_advance(DAY);
	assert_int_equal(world_number(DUES), 1);
	assert_int_equal(world_number(RUNS), 1);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), 0);
}

static void at_that_was_over_when_first_seen_fires_within_the_window_only(void **state UNUSED)
{
	world_configure(tick_config("{at: \"2027-01-15T07:00:00Z\"}"));
	assert_int_equal(world_number(FIRED " AND due_at = 1799996400000"), 1);
	world_finish_runs();
	world_configure(tick_config("{at: \"2027-01-13T07:00:00Z\"}"));
	assert_int_equal(world_number(MISSED " AND due_at = 1799823600000"), 1);
	/* Back again: that instant is accounted for. */
	world_configure(tick_config("{at: \"2027-01-15T07:00:00Z\"}"));
	assert_int_equal(world_number(DUES), 2);
	assert_int_equal(world_number(RUNS), 1);
}

static void a_changed_schedule_counts_from_now_and_an_unchanged_one_goes_on(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	world_finish_runs();
	world_advance(600 * SECOND);
	world_configure(tick_config("{every: 1h}"));
	assert_int_equal(world_number(NEXT), T0 + HOUR);
	world_configure(tick_config("{every: 2h}"));
	assert_int_equal(world_number(FIRED " AND due_at = 1800000600000"), 1);
	assert_int_equal(world_number(NEXT), T0 + 600 * SECOND + 2 * HOUR);
	world_configure(tick_config("{cron: \"30 8 * * *\"}"));
	assert_int_equal(world_number(NEXT), T0 + HOUR / 2);
	world_configure(tick_config(NULL));
	world_advance(DAY);
	assert_int_equal(world_number(DUES), 2);
}

static void a_schedule_that_changed_while_the_scheduler_was_away_counts_from_now(
	void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	world_finish_runs();
	struct config *before = world->config;
	world->config = tick_config("{cron: \"0 12 * * *\"}");
	fake_clock_advance_ms(2 * HOUR);
	world_restart_ticker();
	config_free(before);
	assert_int_equal(world_number(DUES), 1);
	assert_int_equal(world_number(NEXT), T0 + 4 * HOUR);
}

static void a_job_s_bound_follows_the_configuration(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}\n    concurrency: 3"));
	assert_int_equal(world_number("SELECT concurrency FROM drover_job"), 3);
	int64_t due = world_number("SELECT next_due_at FROM drover_job");
	world_configure(tick_config("{every: 1h}\n    concurrency: 5"));
	assert_int_equal(world_number("SELECT concurrency FROM drover_job"), 5);
	world_configure(tick_config("{every: 1h}\n    priority: low"));
	assert_int_equal(world_number("SELECT concurrency FROM drover_job"), 0);
	assert_int_equal(world_number("SELECT next_due_at FROM drover_job"), due);
	world_finish_runs();
	world_advance(3600000);
	assert_int_equal(world_number("SELECT MAX(priority) FROM drover_task"), PRIORITY_LOW);
}

static void a_job_that_left_the_configuration_fires_no_more(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	world_finish_runs();
	world_configure(must_load("logs: {level: info}\n"));
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_job"), 0);
	world_advance(HOUR);
	assert_int_equal(world_number(DUES), 1);
	/* It comes back as a new one. */
	world_configure(tick_config("{every: 10s}"));
	assert_int_equal(world_number(DUES), 2);
	assert_int_equal(world_number(FIRED), 2);
}

static void a_job_that_left_while_the_scheduler_was_away_is_forgotten(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	struct config *before = world->config;
	world->config = must_load("logs: {level: info}\n");
	world_restart_ticker();
	config_free(before);
	/* It may be another scheduler's, until nobody has touched it for a while. */
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_job"), 1);
	fake_clock_advance_ms(2 * HOUR);
	ticker_look(world->s.ticker);
	world_settle();
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_job"), 0);
}

static void a_job_of_another_scheduler_s_newer_configuration_keeps_its_row(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	for (int i = 0; i < 3; i++) {
		char sql[256];
		snprintf(sql, sizeof(sql),
			"INSERT INTO drover_job (name, kind, spec_hash, paused, updated_at) VALUES"
			" ('new', 'crawl', 'x', 1, %lld) ON CONFLICT (name) DO UPDATE SET"
			" updated_at = excluded.updated_at",
			(long long)clock_real_ms());
		assert_ok(run_sql(world->f, sql));
		world_advance(HOUR / 2);
		assert_int_equal(
			world_number("SELECT paused FROM drover_job WHERE name = 'new'"), 1);
	}
}

static void a_job_whose_row_another_scheduler_deletes_goes_on_where_it_was(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"*/10 * * * *\"}"));
	world_advance(600 * SECOND);
	world_finish_runs();
	assert_ok(run_sql(world->f, "DELETE FROM drover_job"));
	world_advance(600 * SECOND);
	world_finish_runs();
	world_advance(600 * SECOND);
	assert_int_equal(world_number(FIRED), 3);
	assert_int_equal(world_number(GAPS("600000")), 0);
	assert_int_equal(world_number(NEXT), T0 + 2400 * SECOND);
}

static void the_same_when_its_due_times_are_caught_up(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"*/10 * * * *\", catch_up: all}"));
	assert_ok(run_sql(world->f, "DELETE FROM drover_job"));
	world_advance(25 * 60 * SECOND);
	for (int i = 0; i < 3; i++) {
		catch_up(3);
		world_finish_runs();
	}
	assert_int_equal(world_number(FIRED), 2);
	assert_int_equal(world_number(DUES), 2);
}

static void a_restart_goes_on_where_the_store_is(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	for (int i = 0; i < 20; i++) {
		world_finish_runs();
		fake_clock_advance_ms(7 * SECOND);
		world_restart_ticker();
	}
	assert_int_equal(world_number(DUES), 15);
	assert_int_equal(world_number(GAPS("10000")), 0);
	assert_int_equal(world_number(RUNS), world_number(FIRED));
}

static void two_schedulers_do_not_fire_one_due_time_twice(void **state UNUSED)
{
	struct scheduler other = world->s;
	struct err err;
	world_configure(tick_config("{every: 10s}"));
	other.ticker = ticker_new(&other);
	assert_int_equal(ticker_configure(other.ticker, world->config, &err), 0);
	ticker_start(other.ticker);
	world_settle();
	for (int i = 0; i < 5; i++) {
		world_finish_runs();
		fake_clock_advance_ms(10 * SECOND);
		assert_int_equal(ticker_configure(other.ticker, world->config, &err), 0);
		world_advance(0);
	}
	ticker_free(other.ticker);
	assert_int_equal(world_number(DUES), 6);
	assert_int_equal(world_number(RUNS), 6);
}

static void a_clock_that_is_set_back_fires_nothing_twice_and_loses_nothing(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"*/10 * * * *\"}"));
	for (int i = 0; i < 6; i++) {
		world_advance(600 * SECOND);
		world_finish_runs();
	}
	assert_int_equal(world_number(FIRED), 6);
	world_set_clock(T0 + 600 * SECOND + 1);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), T0 + 1200 * SECOND);
	for (int i = 0; i < 6; i++) {
		world_advance(600 * SECOND);
		world_finish_runs();
	}
	/* 5 known ones and 2 new ones */
	assert_int_equal(world_number(DUES), 7);
	assert_int_equal(world_number(RUNS), 7);
	assert_int_equal(world_number(GAPS("600000")), 0);
}

static void a_clock_that_was_ahead_for_a_while_does_not_silence_a_job(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	world_finish_runs();
	world_set_clock(T0 + 365 * DAY);
	world_finish_runs();
	assert_int_equal(world_number(FIRED), 2);
	world_set_clock(T0 + 600 * SECOND);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), T0 + HOUR);
	for (int i = 0; i < 3; i++) {
		world_advance(HOUR);
		world_finish_runs();
	}
	assert_int_equal(world_number(FIRED), 5);
	assert_int_equal(world_number(RUNS), 5);
}

static void the_same_when_the_scheduler_was_away_meanwhile(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"0 * * * *\"}"));
	world_set_clock(T0 + 30 * DAY);
	world_finish_runs();
	fake_clock_set_real_ms(T0 + 600 * SECOND);
	world_restart_ticker();
	assert_int_equal(world_number(NEXT), T0 + HOUR);
	world_advance(HOUR);
	assert_int_equal(world_number(FIRED " AND due_at = 1800003600000"), 1);
}

static void a_store_that_cannot_be_written_stops_nothing_for_good(void **state UNUSED)
{
	sqlite3 *db;
	world_configure(tick_config("{every: 10s}"));
	world_finish_runs();
	assert_int_equal(sqlite3_open(world->f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	world_advance(30 * SECOND);
	assert_int_equal(world->worst, STORE_UNAVAILABLE);
	assert_int_equal(world_number(DUES), 1);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	world_advance(0);
	assert_int_equal(world_number(DUES), 4);
	assert_int_equal(world_number(GAPS("10000")), 0);
}

static void tables_that_are_gone_are_told_and_then_all_begins_anew(void **state UNUSED)
{
	world_configure(tick_config("{every: 10s}"));
	unlink(world->f->path);
	world_advance(10 * SECOND);
	assert_int_equal(world->worst, STORE_FAILED);
	/* What scheduler.c does then. */
	ticker_stop(world->s.ticker);
	world_advance(10 * SECOND);
	assert_int_equal(WAIT(world->f, queue_migrate), QUEUE_OK);
	assert_int_equal(world_number(DUES), 0);
	ticker_start(world->s.ticker);
	world_settle();
	assert_int_equal(world_number(FIRED " AND due_at = 1800000020000"), 1);
}

static void start_urls_enter_the_frontier_by_their_identity(void **state UNUSED)
{
	world_configure(
		must_load("jobs:\n"
			  "  site:\n"
			  "    kind: crawl\n"
			  "    schedule: {every: 1h}\n"
			  "    start: [\"HTTPS://Docs.Example.org:443/a/../b/%7Ec\","
			  " \"https://docs.example.org/b/~c\", \"https://docs.example.org\"]\n"
			  "    extract: [{match: \".*\", fields: {title: {xpath: \"//h1\"}}}]\n"
			  "    store: {table: pages, key: [url]}\n"));
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task"), 2);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task t JOIN drover_url u ON"
				      " u.task_id = t.id AND u.url = t.payload AND u.run_id ="
				      " t.run_id WHERE t.unique_key = t.payload"),
		2);
	assert_string_equal(world_text("SELECT payload FROM drover_task ORDER BY id LIMIT 1"),
		"https://docs.example.org/b/~c");
	assert_string_equal(world_text("SELECT payload FROM drover_task ORDER BY id DESC LIMIT 1"),
		"https://docs.example.org/");
	assert_int_equal(world_number("SELECT pages FROM drover_run"), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_several_due_times_the_last_stands_for_the_others),
		TEST(every_begins_when_the_job_is_first_seen_and_a_late_tick_shifts_nothing),
		TEST(cron_is_first_due_after_the_job_was_seen),
		TEST(jitter_puts_the_beginning_off_and_leaves_the_key),
		TEST(the_dst_policy_of_the_job_is_obeyed),
		TEST(a_job_without_schedule_is_never_due),
		TEST(each_due_time_of_a_pause_has_one_row),
		TEST(a_job_does_not_wait_for_the_backlogs_of_others),
		TEST(runs_of_many_tasks_are_made_in_several_transactions),
		TEST(what_is_longer_ago_than_the_window_is_missed),
		TEST(a_due_time_while_the_run_before_is_not_finished_is_skipped),
		TEST(without_catch_up_what_was_not_seen_in_time_is_missed),
		TEST(the_window_bounds_what_is_caught_up),
		TEST(all_are_caught_up_oldest_first_one_after_the_other),
		TEST(what_is_caught_up_is_spread_and_bounded),
		TEST(a_paused_job_s_due_times_are_skipped_and_nothing_fires_on_resume),
		TEST(a_job_runs_when_all_it_follows_have_succeeded),
		TEST(a_configuration_at_the_address_of_the_one_before_is_another_one),
		TEST(an_end_that_nobody_saw_is_told_after_a_restart),
		TEST(a_due_time_that_was_set_and_not_decided_is_decided_after_a_restart),
		TEST(a_clock_that_is_set_back_leaves_the_instant_of_an_end),
		TEST(a_chain_that_is_slow_does_not_hold_up_another),
		TEST(a_run_that_waits_begins_when_the_one_before_has_ended),
		TEST(at_fires_once_and_not_again_after_a_restart),
		TEST(at_that_was_over_when_first_seen_fires_within_the_window_only),
		TEST(a_changed_schedule_counts_from_now_and_an_unchanged_one_goes_on),
		TEST(a_schedule_that_changed_while_the_scheduler_was_away_counts_from_now),
		TEST(a_job_s_bound_follows_the_configuration),
		TEST(a_job_that_left_the_configuration_fires_no_more),
		TEST(a_job_that_left_while_the_scheduler_was_away_is_forgotten),
		TEST(a_job_of_another_scheduler_s_newer_configuration_keeps_its_row),
		TEST(a_job_whose_row_another_scheduler_deletes_goes_on_where_it_was),
		TEST(the_same_when_its_due_times_are_caught_up),
		TEST(a_restart_goes_on_where_the_store_is),
		TEST(two_schedulers_do_not_fire_one_due_time_twice),
		TEST(a_clock_that_is_set_back_fires_nothing_twice_and_loses_nothing),
		TEST(a_clock_that_was_ahead_for_a_while_does_not_silence_a_job),
		TEST(the_same_when_the_scheduler_was_away_meanwhile),
		TEST(a_store_that_cannot_be_written_stops_nothing_for_good),
		TEST(tables_that_are_gone_are_told_and_then_all_begins_anew),
		TEST(start_urls_enter_the_frontier_by_their_identity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
