/* SPDX-License-Identifier: MIT */
#include "story.h"

#include "base/clock.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void timers_fire_in_the_order_of_their_due_times(void **state UNUSED)
{
	struct loop_timer *a = loop_timer_new(loop, tell_letter, LETTER(a));
	struct loop_timer *b = loop_timer_new(loop, tell_letter, LETTER(b));
	struct loop_timer *c = loop_timer_new(loop, tell_letter, LETTER(c));
	loop_timer_start(a, 30);
	loop_timer_start(b, 5);
	loop_timer_start(c, 15);
	assert_true(loop_timer_armed(a));
	run_for(60);
	assert_false(loop_timer_armed(a));
	assert_string_equal(story, "bca");
	loop_timer_free(a);
	loop_timer_free(b);
	loop_timer_free(c);
}

static struct loop_timer *own_timer;
static int64_t armed_at_ms, fired_at_ms;

static void note_time(void *arg UNUSED)
{
	fired_at_ms = loop_now_ms(loop);
	if (fired_at_ms < armed_at_ms + 7)
		tell('!');
	if (strlen(story) < 20) {
		tell('.');
		armed_at_ms = fired_at_ms;
		loop_timer_start(own_timer, 7);
	} else {
		loop_stop(loop);
	}
}

static void a_timer_never_fires_before_the_loops_own_time_says_so(void **state UNUSED)
{
	own_timer = loop_timer_new(loop, note_time, NULL);
	armed_at_ms = loop_now_ms(loop);
	loop_timer_start(own_timer, 7);
	loop_run(loop);
	assert_null(strchr(story, '!'));
	loop_timer_free(own_timer);
}

static void time_spent_before_the_loop_runs_does_not_shorten_a_timer(void **state UNUSED)
{
	usleep(60000);
	int64_t before = clock_mono_ms();
	run_for(50);
	assert_true(clock_mono_ms() - before >= 50);
}

static struct loop_timer *suicidal;
static void free_own_timer(void *arg)
{
	tell('x');
	loop_timer_free(suicidal);
	suicidal = NULL;
	loop_stop(arg);
}

static void a_callback_may_free_its_own_timer(void **state UNUSED)
{
	suicidal = loop_timer_new(loop, free_own_timer, loop);
	loop_timer_start(suicidal, 0);
	loop_run(loop);
	assert_string_equal(story, "x");
}

static void defer_more(void *arg)
{
	tell('1');
	loop_defer(loop, tell_letter, arg);
	loop_defer(loop, stop, NULL);
	tell('2');
}

static void defer_first(void *arg)
{
	loop_defer(loop, defer_more, arg);
	tell('0');
}

static void what_is_deferred_runs_after_the_present_callback(void **state UNUSED)
{
	struct loop_timer *t = loop_timer_new(loop, defer_first, LETTER(d));
	loop_timer_start(t, 0);
	loop_run(loop);
	assert_string_equal(story, "012d");
	loop_timer_free(t);
}

static void cancelled_calls_are_never_made(void **state UNUSED)
{
	static char gone[] = "g";
	loop_defer(loop, tell_letter, gone);
	loop_defer(loop, tell_letter, LETTER(k));
	loop_defer(loop, tell_letter, gone);
	loop_cancel_deferred(loop, gone);
	run_for(5);
	assert_string_equal(story, "k");
}

static int rounds;
static void defer_for_ever(void *arg)
{
	rounds++;
	loop_defer(loop, defer_for_ever, arg);
}

static void endless_deferring_does_not_starve_timers(void **state UNUSED)
{
	rounds = 0;
	loop_defer(loop, defer_for_ever, LETTER(e));
	run_for(20);
	assert_true(rounds > 2);
	loop_cancel_deferred(loop, LETTER(e));
}

static void io_says_what_is_ready(void *arg UNUSED, int fd, unsigned events)
{
	char c;
	if (events & LOOP_WRITE)
		tell('w');
	if (!(events & LOOP_READ))
		return;
	assert_int_equal(read(fd, &c, 1), 1);
	tell(c);
	if (c == 'q')
		loop_stop(loop);
}

static void io_is_seen_paused_and_resumed(void **state UNUSED)
{
	int p[2];
	assert_int_equal(pipe(p), 0);
	struct loop_io *io = loop_io_new(loop, p[0], 0, io_says_what_is_ready, NULL);
	assert_int_equal(write(p[1], "abq", 3), 3);
	run_for(10);
	assert_string_equal(story, "");
	loop_io_set(io, LOOP_READ);
	loop_run(loop);
	assert_string_equal(story, "abq");
	loop_io_free(io);
	close(p[0]);
	close(p[1]);
}

static int gather_pipe[2];

static void write_one_more(void *arg UNUSED, int fd, unsigned events UNUSED)
{
	char c;
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(write(gather_pipe[1], "x", 1), 1);
	tell('.');
	if (strlen(story) == 4)
		loop_stop(loop);
}

static void what_comes_is_gathered(void **state UNUSED)
{
	assert_int_equal(pipe(gather_pipe), 0);
	struct loop_io *io = loop_io_new(loop, gather_pipe[0], LOOP_READ, write_one_more, NULL);
	assert_int_equal(write(gather_pipe[1], "x", 1), 1);
	loop_gather(loop, 20);
	int64_t before = clock_mono_ms();
	loop_run(loop);
	assert_string_equal(story, "....");
	/* The first may come at once. */
	assert_true(clock_mono_ms() - before >= 50);
	loop_io_free(io);
	close(gather_pipe[0]);
	close(gather_pipe[1]);
}

static void timers_do_not_wait_for_what_is_gathered(void **state UNUSED)
{
	loop_gather(loop, 60000);
	run_for(10);
}

static void on_usr1(void *arg UNUSED, int signo)
{
	assert_int_equal(signo, SIGUSR1);
	tell('s');
	loop_stop(loop);
}

static void signals_come_as_callbacks(void **state UNUSED)
{
	struct loop_signal *sig = loop_signal_new(loop, SIGUSR1, on_usr1, NULL);
	raise(SIGUSR1);
	loop_run(loop);
	assert_string_equal(story, "s");
	loop_signal_free(sig);
}

static void a_signal_that_was_blocked_and_waits_is_delivered(void **state UNUSED)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	struct loop_signal *sig = loop_signal_new(loop, SIGUSR1, on_usr1, NULL);
	loop_run(loop);
	assert_string_equal(story, "s");
	loop_signal_free(sig);
}

static void *wake_from_thread(void *arg)
{
	usleep(5000);
	loop_wake(arg);
	return NULL;
}

static void woken(void *arg)
{
	tell('w');
	loop_stop(arg);
}

static void another_thread_wakes_the_loop(void **state UNUSED)
{
	pthread_t thread;
	struct loop_waker *waker = loop_waker_new(loop, woken, loop);
	assert_int_equal(pthread_create(&thread, NULL, wake_from_thread, waker), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	assert_string_equal(story, "w");
	loop_waker_free(waker);
}

static void a_stop_before_the_run_is_not_lost(void **state UNUSED)
{
	loop_stop(loop);
	loop_run(loop);
	run_for(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(timers_fire_in_the_order_of_their_due_times),
		T(a_timer_never_fires_before_the_loops_own_time_says_so),
		T(time_spent_before_the_loop_runs_does_not_shorten_a_timer),
		T(a_callback_may_free_its_own_timer),
		T(what_is_deferred_runs_after_the_present_callback),
		T(cancelled_calls_are_never_made),
		T(endless_deferring_does_not_starve_timers),
		T(io_is_seen_paused_and_resumed),
		T(what_comes_is_gathered),
		T(timers_do_not_wait_for_what_is_gathered),
		T(signals_come_as_callbacks),
		T(a_signal_that_was_blocked_and_waits_is_delivered),
		T(another_thread_wakes_the_loop),
		T(a_stop_before_the_run_is_not_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
