/* SPDX-License-Identifier: MIT */
/* Steps of the wall clock and suspends, over the fake loop and clocks; the descriptor is real. */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include <unistd.h>

static struct loop *loop;
static struct loop_clock *watch;
static int fd, calls;
static int64_t set_ms, slept_ms;

static void on_clock(void *arg UNUSED, int64_t set, int64_t slept)
{
	calls++;
	set_ms = set;
	slept_ms = slept;
}

static int begin(void **state UNUSED)
{
	fake_clock_reset();
	calls = 0;
	if (loop_new(&loop, NULL) < 0)
		return -1;
	fd = dup(STDIN_FILENO); /* the next one that is free */
	close(fd);
	watch = loop_clock_new(loop, on_clock, NULL);
	return watch ? 0 : -1;
}

static int end(void **state UNUSED)
{
	loop_clock_free(watch);
	int left = (int)fake_loop_watchers(loop);
	loop_free(loop);
	return left;
}

/* The kernel cancels the timer. */
static void cancelled(void)
{
	assert_int_equal(fake_loop_fd(loop, fd, LOOP_READ), 1);
}

static void a_step_of_the_wall_clock_is_told_with_its_size(void **state UNUSED)
{
	fake_clock_advance_ms(5000);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS + 5000 + 3600000);
	cancelled();
	assert_int_equal(calls, 1);
	assert_int_equal(set_ms, 3600000);
	assert_int_equal(slept_ms, 0);
	fake_clock_advance_ms(1000);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS);
	cancelled();
	assert_int_equal(calls, 2);
	assert_int_equal(set_ms, -3606000);
}

static void a_suspend_is_told_with_its_length(void **state UNUSED)
{
	fake_clock_suspend_ms(7200000);
	cancelled();
	assert_int_equal(calls, 1);
	assert_int_equal(set_ms, 0);
	assert_int_equal(slept_ms, 7200000);
}

static void a_clock_that_was_set_while_the_machine_slept_is_told_once(void **state UNUSED)
{
	fake_clock_suspend_ms(60000);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS);
	cancelled();
	assert_int_equal(calls, 1);
	assert_int_equal(set_ms, -60000);
	assert_int_equal(slept_ms, 60000);
}

static void what_moves_nothing_is_not_told(void **state UNUSED)
{
	fake_clock_advance_ms(86400000);
	cancelled();
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS + 86400000 + 4);
	cancelled();
	assert_int_equal(calls, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_step_of_the_wall_clock_is_told_with_its_size),
		TEST(a_suspend_is_told_with_its_length),
		TEST(a_clock_that_was_set_while_the_machine_slept_is_told_once),
		TEST(what_moves_nothing_is_not_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
