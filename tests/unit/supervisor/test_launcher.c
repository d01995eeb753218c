/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/sys.h"
#include "launcher.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child does is told to it in the memory that it shares with us. */
struct play {
	struct seat *seat;
	atomic_bool go_part, parted, go_end; /* go_...: it waits for them */
	atomic_int seen;
	int out; /* its end of a pipe */
	pid_t pid;
	int pidfd, in;
};

static NORETURN void child(void *arg)
{
	struct play *play = arg;
	while (!atomic_load(&play->go_part))
		sched_yield();
	if (launcher_part(play->seat) == -1)
		_exit(1);
	errno = EXDEV; /* its own */
	atomic_store(&play->parted, true);
	while (!atomic_load(&play->go_end))
		sched_yield();
	_exit(write(play->out, "x", 1) == 1 && errno == EXDEV ? 0 : 1);
}

static void begin(struct launcher *l, struct play *play)
{
	int fds[2], none = -1;
	sigset_t all, old;
	*play = (struct play) { .seat = launcher_seat(l), .pidfd = -1 };
	assert_non_null(play->seat);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	play->in = fds[0];
	play->out = fds[1];
	const struct launch launch = { .run = child,
		.arg = play,
		.cgroup_fd = -1,
		.fds = { &play->out, &none, &none, &none, &none } };
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	play->pid = launcher_start(play->seat, &launch, &play->pidfd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	assert_true(play->pid > 0);
}

static void let(atomic_bool *go)
{
	atomic_store(go, true);
}

static int end(struct play *play)
{
	int status = -1;
	let(&play->go_part);
	let(&play->go_end);
	assert_int_equal(waitpid(play->pid, &status, 0), play->pid);
	close(play->pidfd);
	close(play->in);
	return status;
}

static struct launcher *open_launcher(void)
{
	struct launcher *l = launcher_new();
#ifdef DROVER_TSAN
	assert_null(l);
	skip();
#endif
	assert_non_null(l);
	return l;
}

static void a_child_shares_memory_but_not_errno_and_nobody_waits_for_it(void **state)
{
	struct launcher *l = open_launcher();
	struct play play;
	(void)state;
	begin(l, &play);
	errno = ENOTTY;
	assert_false(launcher_is_free(l, launcher_number(l, play.seat)));
	let(&play.go_part);
	while (!atomic_load(&play.parted))
		sched_yield();
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(end(&play), 0);
	assert_true(launcher_is_free(l, launcher_number(l, play.seat)));
	assert_true(launcher_settle(l, false));
	launcher_free(l);
}

static void many_sit_at_once_and_then_nobody_else(void **state)
{
	static struct play plays[LAUNCHER_SEATS];
	struct launcher *l = open_launcher();
	(void)state;
	for (size_t i = 0; i < LAUNCHER_SEATS; i++)
		begin(l, &plays[i]);
	assert_null(launcher_seat(l));
	assert_false(launcher_settle(l, false));
	assert_int_equal(end(&plays[3]), 0);
	/* Its descriptors are still in their places. */
	assert_null(launcher_seat(l));
	assert_false(launcher_settle(l, false));
	assert_ptr_equal(launcher_seat(l), plays[3].seat);
	for (size_t i = 0; i < LAUNCHER_SEATS; i++)
		if (i != 3)
			assert_int_equal(end(&plays[i]), 0);
	assert_true(launcher_settle(l, true));
	launcher_free(l);
}

static bool is_ended(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	return poll(&wait, 1, 0) == 1 && (wait.revents & POLLHUP);
}

static void a_pipe_is_open_until_it_is_settled_and_closed_when_the_child_is_gone(void **state)
{
	struct launcher *l = open_launcher();
	struct play play;
	(void)state;
	begin(l, &play);
	let(&play.go_part);
	assert_true(launcher_settle(l, true));
	assert_true(atomic_load(&play.parted) || !is_ended(play.in));
	assert_false(is_ended(play.in)); /* the child has it */
	int in = dup(play.in);
	assert_int_equal(end(&play), 0);
	char byte;
	assert_int_equal(read(in, &byte, 1), 1);
	assert_int_equal(read(in, &byte, 1), 0);
	close(in);
	launcher_free(l);
}

static void one_that_is_killed_before_it_parts_is_not_waited_for(void **state)
{
	struct launcher *l = open_launcher();
	struct play play;
	int status;
	(void)state;
	begin(l, &play);
	assert_false(launcher_settle(l, false));
	kill(play.pid, SIGKILL);
	assert_true(launcher_settle(l, true));
	assert_ptr_equal(launcher_seat(l), play.seat);
	assert_int_equal(waitpid(play.pid, &status, 0), play.pid);
	close(play.pidfd);
	close(play.in);
	launcher_free(l);
}

static void who_is_left_on_a_seat_keeps_what_it_shares(void **state)
{
	static struct play play;
	struct launcher *l = open_launcher();
	(void)state;
	begin(l, &play);
	let(&play.go_part);
	assert_true(launcher_settle(l, true));
	launcher_free(l);
	assert_int_equal(end(&play), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_shares_memory_but_not_errno_and_nobody_waits_for_it),
		cmocka_unit_test(many_sit_at_once_and_then_nobody_else),
		cmocka_unit_test(
			a_pipe_is_open_until_it_is_settled_and_closed_when_the_child_is_gone),
		cmocka_unit_test(one_that_is_killed_before_it_parts_is_not_waited_for),
		cmocka_unit_test(who_is_left_on_a_seat_keeps_what_it_shares),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
