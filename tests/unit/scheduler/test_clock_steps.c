/* SPDX-License-Identifier: MIT */
/* The wall clock is set, the machine sleeps: no due time is lost, none is decided twice, and it is
 * decided at once. */
#include "scheduler/world.h"

#include "scheduler/clock_steps.h"
#include "scheduler/ticker.h"

#define T0	 FAKE_CLOCK_REAL_MS /* 2027-01-15T08:00:00Z */
#define MINUTE	 INT64_C(60000)
#define HOUR	 (60 * MINUTE)
#define DUES	 "SELECT COUNT(*) FROM drover_due"
#define FIRED	 DUES " WHERE outcome = 'fired'"
#define DISTINCT "SELECT COUNT(DISTINCT due_at) FROM drover_due"

static struct clock_steps *steps;

static int begin(void **state)
{
	if (world_setup(state) != 0)
		return -1;
	steps = clock_steps_new(world->s.loop, world->s.ticker);
	world_configure(tick_config("{cron: \"0 * * * *\"}"));
	return steps ? 0 : -1;
}

static int end(void **state)
{
	clock_steps_free(steps);
	return world_teardown(state);
}

/* All runs end at once; the clock is set by so much, and the kernel tells. */
static void set_by(int64_t ms)
{
	world_finish_runs();
	fake_clock_set_real_ms(clock_real_ms() + ms);
	clock_steps_told(steps, ms, 0);
	world_settle();
}

static void what_a_step_ahead_passes_over_is_decided_at_once(void **state UNUSED)
{
	set_by(HOUR + 30 * MINUTE);
	assert_int_equal(world_number(DUES), 1);
	assert_int_equal(world_number(FIRED " AND due_at = 1800003600000"), 1);
	assert_int_equal(ticker_next_due(world->s.ticker, "tick"), T0 + 2 * HOUR);
}

static void a_step_back_decides_nothing_twice(void **state UNUSED)
{
	world_advance(HOUR);
	assert_int_equal(world_number(FIRED), 1);
	set_by(-30 * MINUTE);
	assert_int_equal(world_number(DUES), 1);
	for (int i = 0; i < 4; i++) { /* it is 08:30, then 09:00 once more, and 10:00 */
		world_finish_runs();
		world_advance(30 * MINUTE);
	}
	assert_int_equal(world_number(FIRED), 2);
	assert_int_equal(world_number(DISTINCT), 2);
}

static void steps_to_and_fro_lose_and_double_nothing(void **state UNUSED)
{
	/* Days of a clock that somebody keeps setting, never by more than an hour. */
	static const int64_t by[] = { 50 * MINUTE, -50 * MINUTE, 20 * MINUTE, -10 * MINUTE, HOUR,
		-HOUR, -30 * MINUTE, 20 * MINUTE };
	for (int i = 0; i < 160; i++) {
		set_by(by[i % 8]);
		world_finish_runs();
		world_advance(10 * MINUTE);
		world_finish_runs();
		world_advance(15 * MINUTE);
	}
	int64_t hours = (clock_real_ms() - T0) / HOUR, dues = world_number(DUES);
	/* The last ones may lie ahead of a clock that was just set back. */
	assert_in_range(dues, hours, hours + 1);
	assert_int_equal(world_number(DISTINCT), dues);
	assert_int_equal(
		world_number("SELECT (MAX(due_at) - MIN(due_at)) / 3600000 + 1 FROM drover_due"),
		dues);
	assert_int_equal(world_number(DUES " WHERE due_at % 3600000 <> 0"), 0);
}

static void what_was_due_in_a_suspend_is_decided_when_it_is_over(void **state UNUSED)
{
	fake_clock_suspend_ms(5 * HOUR + MINUTE);
	clock_steps_told(steps, 0, 5 * HOUR + MINUTE);
	world_settle();
	assert_int_equal(world_number(DUES), 5);
	assert_int_equal(world_number(FIRED), 1);
	assert_int_equal(world_number(FIRED " AND due_at = 1800018000000"), 1);
}

static void it_is_said_once_a_minute_at_most(void **state UNUSED)
{
	int said = 0;
	for (int i = 0; i < 1000; i++) {
		said += clock_steps_told(steps, i % 2 ? 10000 : -10000, 0);
		fake_clock_advance_ms(100);
	}
	assert_int_equal(said, 2); /* 100 s */
	world_settle();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_a_step_ahead_passes_over_is_decided_at_once),
		TEST(a_step_back_decides_nothing_twice),
		TEST(steps_to_and_fro_lose_and_double_nothing),
		TEST(what_was_due_in_a_suspend_is_decided_when_it_is_over),
		TEST(it_is_said_once_a_minute_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
