/* SPDX-License-Identifier: MIT */
#include "children.h"

#include "unit.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t turn;

/* A child that sleeps; with `then` it forks one that sleeps and ends itself. */
static pid_t sleeper(bool then)
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGUSR1, SIG_DFL);
		if (then && fork() != 0)
			_exit(0);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct children *children(void)
{
	struct children *c = children_new();
	assert_non_null(c);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return c;
}

static void add(struct children *c, pid_t pid)
{
	assert_int_equal(children_reserve(c), 0);
	children_add(c, pid);
}

static void numbers_come_and_go_in_any_order(void **state UNUSED)
{
	struct children *c = children();
	for (pid_t pid = 1; pid <= 1000; pid++)
		add(c, (pid * 379) % 1009);
	for (pid_t pid = 1; pid <= 1000; pid++)
		assert_true(children_has(c, (pid * 379) % 1009));
	children_remove(c, 5000);
	for (pid_t pid = 1; pid <= 1000; pid += 2)
		children_remove(c, (pid * 379) % 1009);
	for (pid_t pid = 1; pid <= 1000; pid++)
		assert_int_equal(children_has(c, (pid * 379) % 1009), pid % 2 == 0);
	children_free(c);
}

static void a_living_child_that_was_not_added_is_unknown(void **state UNUSED)
{
	struct children *c = children();
	pid_t known = sleeper(false), other = sleeper(false);
	add(c, known);
	assert_false(children_are_known(c, ++turn, NULL, NULL));
	end(other);
	assert_true(children_are_known(c, ++turn, NULL, NULL));
	end(known);
	children_free(c);
}

static void what_was_read_serves_the_turn_and_no_longer(void **state UNUSED)
{
	struct children *c = children();
	assert_true(children_are_known(c, ++turn, NULL, NULL));
	pid_t other = sleeper(false);
	assert_true(children_are_known(c, turn, NULL, NULL));
	assert_false(children_are_known(c, ++turn, NULL, NULL));
	end(other);
	children_free(c);
}

static void a_zombie_is_no_living_child(void **state UNUSED)
{
	struct children *c = children();
	pid_t other = sleeper(false);
	siginfo_t info;
	kill(other, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
	assert_true(children_are_known(c, ++turn, NULL, NULL));
	waitpid(other, NULL, 0);
	children_free(c);
}

static void who_lost_its_parent_is_seen_as_soon_as_the_parent_is_dead(void **state UNUSED)
{
	struct children *c = children();
	for (int i = 0; i < 200; i++) {
		siginfo_t info;
		pid_t parent = sleeper(true);
		add(c, parent);
		assert_int_equal(waitid(P_PID, (id_t)parent, &info, WEXITED | WNOWAIT), 0);
		assert_false(children_are_known(c, ++turn, NULL, NULL));
		children_remove(c, parent);
		assert_int_equal(waitpid(parent, NULL, 0), parent);
		assert_false(children_are_known(c, ++turn, NULL, NULL));
		kill(0, SIGUSR1); /* of our group nobody else hears it */
		assert_true(waitpid(-1, NULL, 0) > 0);
		assert_true(children_are_known(c, ++turn, NULL, NULL));
	}
	children_free(c);
}

static bool is_the_one(void *arg, pid_t pid)
{
	return pid == *(const pid_t *)arg;
}

static void one_that_is_known_otherwise_is_no_stranger(void **state UNUSED)
{
	struct children *c = children();
	pid_t known = sleeper(false);
	assert_true(children_are_known(c, ++turn, is_the_one, &known));
	pid_t other = sleeper(false);
	assert_false(children_are_known(c, ++turn, is_the_one, &known));
	end(other);
	end(known);
	children_free(c);
}

static void nobody_is_left_but_one(void **state UNUSED)
{
	struct children *c = children();
	pid_t known = sleeper(false), one = sleeper(false);
	assert_false(children_none_but(c, one));
	add(c, known);
	assert_false(children_none_but(c, one));
	end(known);
	assert_false(children_none_but(c, one));
	children_remove(c, known);
	assert_true(children_none_but(c, one));
	assert_false(children_none_but(c, known));
	pid_t other = sleeper(false);
	assert_false(children_none_but(c, one));
	end(other);
	end(one);
	assert_true(children_none_but(c, 0));
	children_free(c);
}

static void more_children_than_one_read_tells(void **state UNUSED)
{
	enum { MANY = 1500 };
	static pid_t pids[MANY];
	struct children *c = children();
	for (int i = 0; i < MANY; i++) {
		pids[i] = sleeper(false);
		add(c, pids[i]);
	}
	assert_true(children_are_known(c, ++turn, NULL, NULL));
	children_remove(c, pids[MANY - 1]);
	assert_false(children_are_known(c, ++turn, NULL, NULL));
	for (int i = 0; i < MANY; i++)
		end(pids[i]);
	children_free(c);
}

int main(void)
{
	setpgid(0, 0);
	signal(SIGUSR1, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_come_and_go_in_any_order),
		cmocka_unit_test(a_living_child_that_was_not_added_is_unknown),
		cmocka_unit_test(what_was_read_serves_the_turn_and_no_longer),
		cmocka_unit_test(a_zombie_is_no_living_child),
		cmocka_unit_test(who_lost_its_parent_is_seen_as_soon_as_the_parent_is_dead),
		cmocka_unit_test(one_that_is_known_otherwise_is_no_stranger),
		cmocka_unit_test(nobody_is_left_but_one),
		cmocka_unit_test(more_children_than_one_read_tells),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
