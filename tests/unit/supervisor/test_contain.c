/* SPDX-License-Identifier: MIT */
/* Real processes: a tree that hides in the ways that trees hide. */
#include "unit.h"

#include "base/err.h"
#include "contain.h"
#include "spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EPOCH "00000000feedbeef"

static struct contain *contain;
static struct spawned main_process;
static struct contain_target target;

static void start(const char *script, const char *slot, int ready_fds[2])
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const struct spawn_variable environment[] = { { MARK_SLOT, slot },
		{ MARK_INSTANCE, EPOCH ":1" } };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pipe2(ready_fds, O_CLOEXEC), 0);
	struct spawn_spec spec = { .argv = argv,
		.environment = environment,
		.environment_count = 2,
		.stdin_fd = null,
		.output_fd = ready_fds[1],
		.channel_fd = -1,
		.record_fd = -1 };
	assert_int_equal(spawn_child(&spec, &main_process, NULL), 0);
	close(null);
	close(main_process.error_fd);
	contain_started(contain);
	target = (struct contain_target) { .slot = slot,
		.main_pid = main_process.pid,
		.main_start = contain_start_time(main_process.pid) };
}

/* Each member writes one byte when it is where it should be. */
static void wait_for(int ready_fds[2], int bytes)
{
	char c;
	close(ready_fds[1]);
	for (int i = 0; i < bytes; i++)
		assert_int_equal(read(ready_fds[0], &c, 1), 1);
	close(ready_fds[0]);
}

static void end_all(void)
{
	for (int i = 0; i < 500 && contain_count(contain, &target) > 0; i++) {
		contain_signal(contain, &target, SIGKILL, CONTAIN_TREE);
		usleep(10000);
	}
	assert_int_equal(contain_count(contain, &target), 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	close(main_process.pidfd);
}

static void a_tree_is_found_whatever_it_does_to_hide(void **state)
{
	int ready[2];
	(void)state;
	/* main; a child; one in a session of its own; one that is daemonized too; one whose
	 * environment is wiped but whose parent lives; one that is wiped but stays in the session
	 */
	start("printf a; (printf b; sleep 1000) & setsid sh -c 'printf c; sleep 1000' &"
	      "(setsid sh -c 'printf d; sleep 1000' &) ; env -i setsid /bin/sh -c 'printf e; sleep "
	      "1000' &"
	      "(env -i /bin/sh -c 'printf f; sleep 1000' &); wait",
		"tree", ready);
	wait_for(ready, 6);
	assert_true(contain_count(contain, &target) >= 6);
	end_all();
}

static void the_group_alone_can_be_asked(void **state)
{
	int ready[2];
	(void)state;
	start("trap 'exit 0' TERM; setsid sh -c 'printf c; sleep 1000' & printf a; wait", "group",
		ready);
	wait_for(ready, 2);
	int status;
	assert_true(contain_signal(contain, &target, SIGTERM, CONTAIN_GROUP) >= 1);
	assert_int_equal(waitpid(main_process.pid, &status, 0), main_process.pid);
	assert_true(WIFEXITED(status));
	/* the one in a session of its own was not asked */
	assert_true(contain_count(contain, &target) >= 1);
	end_all();
}

static void another_slots_tree_is_left_alone(void **state)
{
	int ready[2];
	(void)state;
	start("printf a; exec sleep 1000", "one", ready);
	wait_for(ready, 1);
	struct contain_target other = { .slot = "other" };
	assert_int_equal(contain_count(contain, &other), 0);
	assert_int_equal(contain_signal(contain, &other, SIGKILL, CONTAIN_TREE), 0);
	assert_int_equal(contain_count(contain, &target), 1);
	end_all();
}

static void a_number_that_was_used_again_is_not_hit(void **state)
{
	int ready[2];
	(void)state;
	start("printf a; exec sleep 1000", "reuse", ready);
	wait_for(ready, 1);
	struct contain_target old = {
		.slot = "old", .main_pid = target.main_pid, .main_start = target.main_start - 1
	};
	assert_int_equal(contain_signal(contain, &old, SIGKILL, CONTAIN_TREE), 0);
	assert_int_equal(contain_open(target.main_pid, target.main_start + 1), -1);
	assert_int_equal(contain_count(contain, &target), 1);
	end_all();
}

static void count_found(void *arg, const char *slot)
{
	if (strcmp(slot, "marked") == 0)
		++*(int *)arg;
}

static void marks_tell_what_an_earlier_supervisor_left(void **state)
{
	int ready[2], found = 0;
	(void)state;
	start("printf a; sleep 1000 & sleep 1000", "marked", ready);
	wait_for(ready, 1);
	usleep(30000);
	contain_marked(contain, count_found, &found);
	assert_true(found >= 1);
	struct contain_target by_mark = { .slot = "marked" };
	assert_true(contain_count(contain, &by_mark) >= 2);
	end_all();
}

static void a_stopped_process_is_ended(void **state)
{
	int ready[2], status;
	(void)state;
	start("printf a; exec sleep 1000", "stopped", ready);
	wait_for(ready, 1);
	contain_signal(contain, &target, SIGTERM, CONTAIN_GROUP);
	assert_int_equal(waitpid(main_process.pid, &status, 0), main_process.pid);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	end_all();
}

static int set_up(void **state)
{
	(void)state;
	/* what is left without a parent comes to us, as it comes to droverd */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	struct err err;
	if (contain_new(&contain, &err) < 0)
		return -1;
	contain_add_epoch(contain, EPOCH);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	contain_free(contain);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_is_found_whatever_it_does_to_hide),
		cmocka_unit_test(the_group_alone_can_be_asked),
		cmocka_unit_test(another_slots_tree_is_left_alone),
		cmocka_unit_test(a_number_that_was_used_again_is_not_hit),
		cmocka_unit_test(marks_tell_what_an_earlier_supervisor_left),
		cmocka_unit_test(a_stopped_process_is_ended),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
