/* SPDX-License-Identifier: MIT */
/* The fake is a tool that other tests stand on, so it has tests of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/sys.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "fakes/sys.h"
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static char story[64];

static void tell(void *arg)
{
	strncat(story, arg, 1);
}

static int setup(void **state UNUSED)
{
	story[0] = '\0';
	fake_clock_reset();
	fake_sys_reset();
	return loop_new(&loop, NULL);
}

static int teardown(void **state UNUSED)
{
	assert_int_equal(fake_loop_watchers(loop), 0);
	loop_free(loop);
	fake_sys_reset();
	return 0;
}

static char a[] = "a", b[] = "b", c[] = "c";

static void timers_fire_by_due_time_then_by_arming(void **state UNUSED)
{
	struct loop_timer *ta = loop_timer_new(loop, tell, a);
	struct loop_timer *tb = loop_timer_new(loop, tell, b);
	struct loop_timer *tc = loop_timer_new(loop, tell, c);
	loop_timer_start(tb, 20);
	loop_timer_start(tc, 10);
	loop_timer_start(ta, 20);
	assert_int_equal(fake_loop_next_ms(loop), 10);
	fake_loop_advance(loop, 9);
	assert_string_equal(story, "");
	fake_loop_advance(loop, 1);
	assert_string_equal(story, "c");
	fake_loop_advance(loop, 100);
	assert_string_equal(story, "cba");
	assert_int_equal(loop_now_ms(loop), FAKE_LOOP_START_MS + 110);
	assert_int_equal(clock_mono_ms(), FAKE_CLOCK_MONO_MS + 110);
	assert_int_equal(fake_loop_next_ms(loop), -1);
	loop_timer_free(ta);
	loop_timer_free(tb);
	loop_timer_free(tc);
}

static struct loop_timer *ticker;
static int64_t tick_at_ms[4];
static int ticks;

static void tick(void *arg UNUSED)
{
	tick_at_ms[ticks++] = loop_now_ms(loop) - FAKE_LOOP_START_MS;
	if (ticks < 3)
		loop_timer_start(ticker, 10);
}

static void a_timer_that_rearms_itself_sees_each_of_its_instants(void **state UNUSED)
{
	ticks = 0;
	ticker = loop_timer_new(loop, tick, NULL);
	loop_timer_start(ticker, 10);
	fake_loop_advance(loop, 100);
	assert_int_equal(ticks, 3);
	assert_int_equal(tick_at_ms[2], 30);
	ticks = 2;
	loop_timer_start(ticker, 10);
	fake_loop_stall(loop, 500);
	assert_int_equal(tick_at_ms[2], 600);
	loop_timer_free(ticker);
}

static struct loop_io *own_io;
static void free_own_io(void *arg UNUSED, int fd UNUSED, unsigned events)
{
	assert_int_equal(events, LOOP_READ);
	loop_io_free(own_io);
	loop_defer(loop, tell, b);
	tell(a);
}

static void descriptors_are_ready_when_the_script_says_so(void **state UNUSED)
{
	own_io = loop_io_new(loop, 77, LOOP_READ, free_own_io, NULL);
	assert_int_equal(fake_loop_watched(loop, 77), LOOP_READ);
	assert_int_equal(fake_loop_fd(loop, 77, LOOP_WRITE), 0);
	assert_int_equal(fake_loop_fd(loop, 77, LOOP_READ | LOOP_WRITE), 1);
	assert_int_equal(fake_loop_fd(loop, 77, LOOP_READ), 0);
	assert_string_equal(story, "ab");
}

static void on_exit_tell(void *arg, const siginfo_t *info)
{
	tell(info && info->si_status == 3 ? arg : c);
}

static void processes_end_when_the_script_says_so(void **state UNUSED)
{
	int pidfd = -1;
	siginfo_t info = { 0 };
	assert_int_equal(sys_fork_pidfd(&pidfd), FAKE_SYS_FIRST_PID);
	assert_int_equal(sys_pidfd_send_signal(pidfd, SIGTERM), 0);
	assert_int_equal(fake_sys_last_signal(pidfd), SIGTERM);
	struct loop_exit *watch = loop_exit_new(loop, pidfd, on_exit_tell, a);
	assert_int_equal(sys_wait_pidfd(pidfd, &info), 0);
	fake_sys_set_ended(pidfd, CLD_EXITED, 3);
	assert_int_equal(sys_wait_pidfd(pidfd, &info), 1);
	assert_int_equal(sys_pidfd_send_signal(pidfd, SIGTERM), -1);
	assert_true(fake_loop_exit(loop, pidfd, &info));
	assert_false(fake_loop_exit(loop, pidfd, &info));
	assert_string_equal(story, "a");
	loop_exit_free(watch);
}

static void the_kernel_fails_where_the_script_says_so(void **state UNUSED)
{
	int p[2];
	char got[8];
	assert_int_equal(pipe(p), 0);
	fake_sys_fail(FAKE_SYS_WRITE, 1, ENOSPC);
	fake_sys_limit(FAKE_SYS_READ, 0, 2);
	assert_int_equal(sys_write(p[1], "abcd", 4), 4);
	assert_int_equal(sys_write(p[1], "abcd", 4), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(sys_read(p[0], got, sizeof(got)), 2);
	assert_int_equal(sys_read(p[0], got, sizeof(got)), 2);
	assert_int_equal(fake_sys_count(FAKE_SYS_WRITE), 2);
	close(p[0]);
	close(p[1]);
}

static void clocks_part_on_suspend_and_step(void **state UNUSED)
{
	int64_t mono = clock_mono_ms(), boot = clock_boot_ms(), real = clock_real_ms();
	fake_clock_suspend_ms(1000);
	assert_int_equal(clock_mono_ms(), mono);
	assert_int_equal(clock_boot_ms(), boot + 1000);
	fake_clock_set_real_ms(real - 5);
	assert_int_equal(clock_real_ms(), real - 5);
	fake_clock_reboot();
	assert_string_equal(clock_boot_id(), "fake-boot-2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(timers_fire_by_due_time_then_by_arming),
		T(a_timer_that_rearms_itself_sees_each_of_its_instants),
		T(descriptors_are_ready_when_the_script_says_so),
		T(processes_end_when_the_script_says_so),
		T(the_kernel_fails_where_the_script_says_so),
		T(clocks_part_on_suspend_and_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
