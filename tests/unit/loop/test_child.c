/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first */
#include "base/compiler.h"
#include "base/err.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static int own_pid;

static int setup(void **state UNUSED)
{
	struct err err = { 0 };
	own_pid = 0;
	return loop_new(&loop, &err);
}

static int teardown(void **state UNUSED)
{
	loop_free(loop);
	return 0;
}

static bool is_own(void *arg UNUSED, int pid)
{
	return pid == own_pid;
}

static void on_exit_stop(void *arg, const siginfo_t *info)
{
	siginfo_t *out = arg;
	if (info)
		*out = *info;
	else
		out->si_pid = -1;
	loop_stop(loop);
}

static pid_t child_that_exits(int code, int *pidfd)
{
	int fd = -1;
	pid_t pid = sys_fork_pidfd(&fd);
	if (pid == 0)
		_exit(code);
	assert_true(pid > 0);
	if (pidfd)
		*pidfd = fd;
	else
		close(fd);
	return pid;
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static bool still_there(pid_t pid)
{
	siginfo_t info;
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void the_end_of_a_child_comes_with_its_code(void **state UNUSED)
{
	int pidfd = -1;
	siginfo_t info = { 0 };
	pid_t pid = child_that_exits(7, &pidfd);
	struct loop_exit *watch = loop_exit_new(loop, pidfd, on_exit_stop, &info);
	loop_run(loop);
	assert_int_equal(info.si_pid, pid);
	assert_int_equal(info.si_code, CLD_EXITED);
	assert_int_equal(info.si_status, 7);
	assert_false(still_there(pid));
	loop_exit_free(watch);
	close(pidfd);
}

static void the_end_of_a_process_that_is_no_child_has_no_code(void **state UNUSED)
{
	/* The middle process ends at once: the grandchild is not ours, init or a subreaper gets it.
	 */
	int to_us[2], to_it[2];
	pid_t grandchild = 0;
	siginfo_t info = { 0 };
	assert_int_equal(pipe(to_us), 0);
	assert_int_equal(pipe(to_it), 0);
	pid_t middle = fork();
	if (middle == 0) {
		pid_t inner = fork();
		char c;
		if (inner > 0) {
			_exit(write(to_us[1], &inner, sizeof(inner)) != (ssize_t)sizeof(inner));
		}
		_exit(read(to_it[0], &c, 1) == 1 ? 0 : 1);
	}
	assert_int_equal(read(to_us[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	int pidfd = sys_pidfd_open(grandchild);
	assert_true(pidfd >= 0);
	struct loop_exit *watch = loop_exit_new(loop, pidfd, on_exit_stop, &info);
	assert_int_equal(write(to_it[1], "x", 1), 1);
	loop_run(loop);
	assert_int_equal(info.si_pid, -1);
	loop_exit_free(watch);
	close(pidfd);
	for (int i = 0; i < 2; i++) {
		close(to_us[i]);
		close(to_it[i]);
	}
}

static struct loop_timer *poll_timer;
static pid_t stranger;

static void until_stranger_is_gone(void *arg UNUSED)
{
	if (still_there(stranger))
		loop_timer_start(poll_timer, 5);
	else
		loop_stop(loop);
}

static void strangers_are_reaped_and_own_children_left(void **state UNUSED)
{
	own_pid = child_that_exits(1, NULL);
	await_zombie(own_pid);
	struct loop_reaper *reaper = loop_reaper_new(loop, is_own, NULL);
	/* Comes later, so it stands behind the own zombie. */
	stranger = child_that_exits(2, NULL);
	poll_timer = loop_timer_new(loop, until_stranger_is_gone, NULL);
	loop_timer_start(poll_timer, 0);
	loop_run(loop);
	assert_true(still_there(own_pid));
	assert_int_equal(waitpid(own_pid, NULL, 0), own_pid);
	loop_timer_free(poll_timer);
	loop_reaper_free(reaper);
}

static void a_thousand_strangers_are_reaped(void **state UNUSED)
{
	for (int i = 0; i < 1000; i++)
		stranger = child_that_exits(0, NULL);
	struct loop_reaper *reaper = loop_reaper_new(loop, is_own, NULL);
	poll_timer = loop_timer_new(loop, until_stranger_is_gone, NULL);
	loop_timer_start(poll_timer, 0);
	loop_run(loop);
	/* The last one may have been seen ending first. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	loop_timer_free(poll_timer);
	loop_reaper_free(reaper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(the_end_of_a_child_comes_with_its_code),
		T(the_end_of_a_process_that_is_no_child_has_no_code),
		T(strangers_are_reaped_and_own_children_left),
		T(a_thousand_strangers_are_reaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
