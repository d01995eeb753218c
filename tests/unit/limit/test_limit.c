/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "limit/limit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* This program's clock: it stands still unless told otherwise. */
static int64_t now_us = 1000000000;
static const char *boot = "11111111-1111-1111-1111-111111111111";
int64_t clock_boot_us(void)
{
	return now_us;
}
const char *clock_boot_id(void)
{
	return boot;
}
static void pass_ms(int64_t ms)
{
	now_us += ms * 1000;
}

static char dir[64], path[96];
static struct limits *limits;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/drover-limit-XXXXXX"); /* NOLINT: a fixed text */
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/limits", dir);
	boot = "11111111-1111-1111-1111-111111111111";
	struct err err;
	assert_int_equal(limits_open(&limits, path, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	limits_close(limits);
	limits = NULL;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void reopen(void)
{
	struct err err;
	limits_close(limits);
	assert_int_equal(limits_open(&limits, path, &err), 0);
}

#define SPEC(k, ...)                                                              \
	(&(struct limit_spec) { .key = (k),                                       \
		.windows = (const struct limit_window[]) { __VA_ARGS__ },         \
		.window_count = sizeof((struct limit_window[]) { __VA_ARGS__ }) / \
				sizeof(struct limit_window) })

/* Calls that end at once. @return how many were let through before the first refusal */
static int calls(const struct limit_spec *spec, int most)
{
	for (int i = 0; i < most; i++) {
		struct limit_permit permit = { 0 };
		if (limits_acquire(limits, spec, &permit) != 0)
			return i;
		limits_release(limits, &permit);
		assert_int_equal(permit.id, 0);
	}
	return most;
}

static void a_window_lets_its_count_through_and_then_says_when(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 10, 60000 });
	assert_int_equal(calls(spec, 100), 10);
	struct limit_permit permit = { 0 };
	int64_t wait = limits_acquire(limits, spec, &permit);
	assert_int_equal(permit.id, 0);
	assert_in_range(wait, 59000, 60000);
	pass_ms(60000);
	assert_true(limits_acquire(limits, spec, &permit) > 0);
	pass_ms(62);
	assert_int_equal(calls(spec, 100), 10);
	assert_int_equal(calls(SPEC("provider/b", { 10, 60000 }), 100), 10);
}

static void a_place_is_held_until_one_period_after_the_end_of_its_call(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 1, 1000 });
	struct limit_permit permit = { 0 };
	assert_int_equal(limits_acquire(limits, spec, &permit), 0);
	pass_ms(5000);
	assert_int_equal(calls(spec, 1), 0);
	limits_release(limits, &permit);
	pass_ms(999);
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(4);
	assert_int_equal(calls(spec, 2), 1);
}

static void a_place_of_concurrency_is_free_when_its_call_ends(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 2, 0 });
	struct limit_permit first = { 0 }, second = { 0 }, third = { 0 };
	assert_int_equal(limits_acquire(limits, spec, &first), 0);
	assert_int_equal(limits_acquire(limits, spec, &second), 0);
	int64_t wait = limits_acquire(limits, spec, &third);
	assert_in_range(wait, 1, 1000);
	limits_release(limits, &first);
	assert_int_equal(limits_acquire(limits, spec, &third), 0);
	limits_release(limits, &second);
	limits_release(limits, &third);
}

static void a_call_takes_a_place_in_every_window_or_in_none(void **state)
{
	(void)state;
	const struct limit_spec *both = SPEC("provider/a", { 100, 1000 }, { 3, 60000 });
	assert_int_equal(calls(both, 100), 3);
	for (int i = 0; i < 200; i++)
		assert_int_equal(calls(both, 1), 0);
	struct limit_usage usage[8];
	assert_int_equal(limits_usage(limits, both, usage), 2);
	assert_int_equal(usage[0].used, 3);
	assert_int_equal(usage[1].used, 3);
	assert_int_equal(usage[1].count, 3);
	assert_in_range(usage[1].reopens_in_ms, 59000, 60062);
}

static void several_keys_are_granted_together_or_not_at_all(void **state)
{
	(void)state;
	const struct limit_spec full[] = { *SPEC("provider/a", { 5, 60000 }),
		*SPEC("host/x", { 2, 60000 }) };
	struct limit_permit permits[2] = { { 0 }, { 0 } };
	for (int i = 0; i < 2; i++)
		assert_int_equal(limits_acquire_all(limits, full, 2, permits), 0);
	for (int i = 0; i < 9; i++)
		assert_true(limits_acquire_all(limits, full, 2, permits) > 0);
	assert_int_equal(calls(&full[0], 100), 3);
	const struct limit_spec twice[] = { full[0], full[0] };
	assert_int_equal(limits_acquire_all(limits, twice, 2, permits), -EINVAL);
}

static void sendings_keep_their_distance(void **state)
{
	(void)state;
	struct limit_spec spec = *SPEC("host/x", { 5, 0 });
	spec.min_delay_ms = 200;
	assert_int_equal(calls(&spec, 5), 1);
	pass_ms(150);
	struct limit_permit permit = { 0 };
	assert_int_equal(limits_acquire(limits, &spec, &permit), 50);
	pass_ms(50);
	assert_int_equal(calls(&spec, 5), 1);
}

static void what_was_kept_before_its_sending_keeps_its_distance_too(void **state)
{
	(void)state;
	struct limit_spec spec = *SPEC("host/x", { 5, 0 });
	struct limit_permit kept = { 0 }, next = { 0 }, last = { 0 };
	spec.min_delay_ms = 200;
	assert_int_equal(limits_acquire(limits, &spec, &kept), 0);
	pass_ms(250);
	assert_int_equal(limits_acquire(limits, &spec, &next), 0);
	pass_ms(50);
	assert_int_equal(limits_sends(limits, &kept, 1), 150);
	pass_ms(150);
	assert_int_equal(limits_sends(limits, &kept, 1), 0);
	assert_int_equal(limits_acquire(limits, &spec, &last), 200);
	/* Nobody went before it: it goes, however long it was kept. */
	pass_ms(200);
	assert_int_equal(limits_acquire(limits, &spec, &last), 0);
	pass_ms(10);
	assert_int_equal(limits_sends(limits, &last, 1), 0);
	assert_int_equal(limits_acquire(limits, &spec, &kept), 200);
}

static void a_closed_key_stays_shut_for_every_process(void **state)
{
	(void)state;
	struct err err;
	struct limits *other;
	assert_int_equal(limits_open(&other, path, &err), 0);
	const struct limit_spec *spec = SPEC("provider/a", { 5, 100 });
	limits_close_until(other, "provider/a", 3000);
	limits_close_until(other, "provider/a", 10);
	limits_close(other);
	struct limit_permit permit = { 0 };
	assert_int_equal(limits_acquire(limits, spec, &permit), 3000);
	pass_ms(2999);
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(1);
	assert_int_equal(calls(spec, 1), 1);
}

static void places_of_a_killed_process_end_with_it(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 3, 1000 }, { 3, 0 });
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct limits *mine;
		struct limit_permit permit;
		int bad = limits_open(&mine, path, NULL) != 0;
		for (int i = 0; i < 3; i++)
			bad |= limits_acquire(mine, spec, &permit) != 0;
		if (write(ready[1], bad ? "x" : "y", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	char said = 0;
	assert_int_equal(read(ready[0], &said, 1), 1);
	assert_int_equal(said, 'y');
	pass_ms(10000);
	assert_int_equal(calls(spec, 1), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(calls(spec, 1), 0); /* here its end is seen */
	pass_ms(3001);			     /* what it sent last may arrive 2 s later */
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(2);
	assert_int_equal(calls(spec, 9), 3);
}

static void after_another_boot_every_window_counts_as_used_up(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 5, 1000 }, { 50, 60000 });
	boot = "22222222-2222-2222-2222-222222222222";
	now_us = 5000000; /* the clock began anew */
	reopen();
	assert_int_equal(calls(SPEC("never/seen", { 5, 1000 }), 1), 0);
	pass_ms(1003);
	assert_int_equal(calls(SPEC("never/seen", { 5, 1000 }), 1), 1);
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(59100);
	assert_int_equal(calls(spec, 9), 5);
	reopen(); /* the same boot: nothing is used up */
	pass_ms(1003);
	assert_int_equal(calls(spec, 9), 5);
}

static void write_at(off_t at, const char *bytes, size_t len)
{
	CLEANUP(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
}

static void a_damaged_file_is_replaced_and_counts_as_used_up(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 5, 1000 });
	for (int kind = 0; kind < 4; kind++) {
		assert_int_equal(calls(spec, 9), 5);
		limits_close(limits);
		if (kind == 0)
			write_at(0, "garbage", 7);
		else if (kind == 1)
			assert_int_equal(truncate(path, 100), 0);
		else if (kind == 2)
			assert_int_equal(truncate(path, 512 * 1024), 0);
		else
			for (off_t at = 4096; at < 900000; at += 4096) /* entries and rings */
				write_at(at, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
		assert_int_equal(limits_open(&limits, path, NULL), 0);
		assert_int_equal(calls(spec, 1), 0);
		pass_ms(990);
		assert_int_equal(calls(spec, 1), 0);
		pass_ms(13);
		assert_int_equal(calls(spec, 9), 5);
		pass_ms(1003);
	}
	write_at(0, "garbage", 7); /* while it is open */
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(1003);
	assert_int_equal(calls(spec, 9), 5);
}

static void a_file_removed_under_us_counts_as_used_up(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 5, 1000 });
	struct limit_permit permit = { 0 };
	assert_int_equal(limits_acquire(limits, spec, &permit), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(calls(spec, 1), 0);
	limits_release(limits, &permit);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	pass_ms(1003);
	assert_int_equal(calls(spec, 9), 5);
}

static void a_lowered_limit_counts_the_calls_of_the_larger_one(void **state)
{
	(void)state;
	assert_int_equal(calls(SPEC("provider/a", { 10, 60000 }), 8), 8);
	pass_ms(30000);
	assert_int_equal(calls(SPEC("provider/a", { 10, 60000 }), 2), 2);
	pass_ms(31000); /* of the ten, two remain */
	assert_int_equal(calls(SPEC("provider/a", { 5, 60000 }), 9), 3);
	assert_int_equal(calls(SPEC("provider/a", { 7, 60000 }), 9), 2);
	assert_int_equal(calls(SPEC("provider/a", { 300, 60000 }), 999), 293);
}

static void a_new_window_remembers_what_was_called_before_it_was_configured(void **state)
{
	(void)state;
	assert_int_equal(calls(SPEC("provider/a", { 10, 1000 }), 10), 10);
	pass_ms(2000);
	const struct limit_spec *both = SPEC("provider/a", { 10, 1000 }, { 15, 60000 });
	assert_int_equal(calls(both, 99), 5);
}

static void idle_keys_make_room_and_busy_ones_do_not(void **state)
{
	(void)state;
	struct limit_permit held = { 0 };
	const struct limit_spec *busy = SPEC("host/busy", { 1, 60000 });
	assert_int_equal(limits_acquire(limits, busy, &held), 0);
	for (int i = 0; i < 9000; i++) {
		char key[32];
		snprintf(key, sizeof(key), "host/%d", i);
		assert_int_equal(calls(SPEC(key, { 2, 1 }), 1), 1);
		pass_ms(3);
	}
	assert_int_equal(calls(busy, 1), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 1, 4 * 1024 * 1024);
	/* All keys busy: the next one has to wait, and none is lost. */
	int made = 0;
	for (int i = 0; i < 5000; i++) {
		char key[32];
		snprintf(key, sizeof(key), "full/%d", i);
		made += calls(SPEC(key, { 1, 60000 }), 1);
	}
	assert_int_equal(made, 4095);
	assert_int_equal(calls(SPEC("full/0", { 1, 60000 }), 1), 0);
	limits_release(limits, &held);
}

static void a_stopped_holder_of_the_lock_stops_nobody_else(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 1, 0 });
	struct limit_permit permit = { 0 }, next = { 0 };
	assert_int_equal(limits_acquire(limits, spec, &permit), 0);
	CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)1 << 40, .l_len = 1 };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_in_range(limits_acquire(limits, spec, &next), 1, 1000);
	limits_release(limits, &permit);
	limits_close_until(limits, "provider/shut", 5000);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_in_range(
		(to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, 0, 1000);
	struct limits *third = NULL;
	assert_int_equal(limits_open(&third, path, NULL), -EAGAIN); /* after some seconds */
	lock.l_type = F_UNLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(limits_acquire(limits, spec, &next), 0);
	assert_int_equal(calls(SPEC("provider/shut", { 1, 0 }), 1), 0);
	limits_release(limits, &next);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	struct limit_permit permit = { 0 };
	assert_int_equal(limits_acquire(limits, SPEC("a", { 0, 1000 }), &permit), -EINVAL);
	assert_int_equal(limits_acquire(limits, SPEC("a", { 100001, 1000 }), &permit), -EINVAL);
	struct limits *none = NULL;
	struct err err;
	assert_true(limits_open(&none, dir, &err) < 0);
	assert_null(none);
	assert_non_null(strstr(err.text, dir));
	assert_true(limits_open(&none, "/nonexistent/limits", &err) < 0);
}

static void a_hundred_thousand_places_fit(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 100000, 3600000 });
	assert_int_equal(calls(spec, 100000), 100000);
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(3603602);
	assert_int_equal(calls(spec, 3), 3);
}

static void end(
	struct limit_permit *permit, enum limit_end how, int64_t remaining, int64_t reset_ms)
{
	limits_end(limits, permit,
		&(struct limit_ending) { .how = how,
			.has_budget = reset_ms > 0,
			.remaining = remaining,
			.reset_ms = reset_ms });
}

static size_t begin(const struct limit_spec *spec, struct limit_permit *permits, size_t most)
{
	size_t n = 0;
	while (n < most && limits_acquire(limits, spec, &permits[n]) == 0)
		n++;
	return n;
}

static void what_was_never_sent_gives_its_place_back(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 1, 1000 });
	struct limit_permit permit;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(begin(spec, &permit, 1), 1);
		end(&permit, LIMIT_UNSENT, 0, 0);
	}
}

static void a_call_without_an_answer_may_still_arrive(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 1, 1000 });
	struct limit_permit permit;
	assert_int_equal(begin(spec, &permit, 1), 1);
	end(&permit, LIMIT_UNANSWERED, 0, 0);
	pass_ms(3001);
	assert_int_equal(calls(spec, 1), 0);
	pass_ms(2);
	assert_int_equal(calls(spec, 1), 1);
}

static void a_call_has_arrived_when_its_answer_begins(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 1, 1000 }, { 1, 0 });
	struct limit_permit permit;
	assert_int_equal(begin(spec, &permit, 1), 1);
	int64_t seen = now_us + 100000;
	pass_ms(5000);
	assert_int_equal(calls(spec, 1), 0); /* one at a time */
	limits_end(limits, &permit, &(struct limit_ending) { .seen_us = seen });
	assert_int_equal(calls(spec, 1), 1);
}

static void a_closed_set_reopens_without_a_burst(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 100, 60000 }, { 50, 0 });
	struct limit_permit permits[64] = { 0 };
	assert_int_equal(begin(spec, permits, 3), 3);
	limits_close_until(limits, "provider/a", 1000);
	assert_int_equal(begin(spec, &permits[3], 1), 0);
	pass_ms(1000);
	for (int i = 0; i < 3; i++) /* they began before, and say nothing */
		end(&permits[i], LIMIT_ANSWERED, 0, 0);
	reopen();
	assert_int_equal(begin(spec, permits, 64), 1);
	end(&permits[0], LIMIT_TROUBLE, 0, 0);
	assert_int_equal(begin(spec, permits, 64), 1);
	end(&permits[0], LIMIT_ANSWERED, 0, 0);
	assert_int_equal(begin(spec, permits, 64), 2);
	end(&permits[0], LIMIT_ANSWERED, 0, 0);
	end(&permits[1], LIMIT_ANSWERED, 0, 0);
	assert_int_equal(begin(spec, permits, 64), 4);
	for (int i = 0; i < 4; i++)
		end(&permits[i], LIMIT_ANSWERED, 0, 0);
	assert_int_equal(calls(spec, 60), 60);
	assert_int_equal(begin(spec, permits, 64), 29); /* all but what was called */
}

static void the_servers_own_budget_is_kept(void **state)
{
	(void)state;
	const struct limit_spec *spec = SPEC("provider/a", { 50, 0 });
	struct limit_permit permits[64] = { 0 };
	assert_int_equal(begin(spec, permits, 2), 2);
	end(&permits[1], LIMIT_ANSWERED, 3, 20000);
	/* One is under way: nobody knows whether it is among those that were counted. */
	assert_int_equal(begin(spec, &permits[1], 9), 2);
	end(&permits[0], LIMIT_ANSWERED, 4, 20000); /* it was: this one was overtaken */
	assert_int_equal(begin(spec, &permits[0], 1), 1);
	end(&permits[0], LIMIT_ANSWERED, 2, 20000);
	end(&permits[1], LIMIT_TROUBLE, 0, 0); /* says nothing, and counts */
	assert_int_equal(begin(spec, permits, 1), 0);
	end(&permits[2], LIMIT_ANSWERED, 0, 20000);
	int64_t wait = limits_acquire(limits, spec, &permits[0]);
	assert_in_range(wait, 19000, 20000);
	pass_ms(20000);
	assert_int_equal(begin(spec, permits, 64), 1); /* it reopens without a burst */
	end(&permits[0], LIMIT_ANSWERED, 99, 60000);
	assert_int_equal(calls(spec, 80), 80);
}

static void all_processes_share_one_controller(void **state)
{
	(void)state;
	struct limit_spec spec = *SPEC("provider/a", { 20, 0 });
	struct limit_permit permits[64] = { 0 };
	spec.adaptive = true;
	size_t allowed = begin(&spec, permits, 64);
	assert_int_equal(allowed, 2);
	for (int i = 0; i < 300; i++) {
		pass_ms(50); /* however many there are: each takes as long */
		for (size_t k = 0; k < allowed; k++)
			end(&permits[k], LIMIT_ANSWERED, 0, 0);
		if (i % 10 == 0)
			reopen();
		allowed = begin(&spec, permits, 64);
	}
	assert_int_equal(allowed, 20);
	pass_ms(50);
	end(&permits[0], LIMIT_SLOWED, 0, 0);
	for (size_t k = 1; k < allowed; k++)
		end(&permits[k], LIMIT_SLOWED, 0, 0); /* one cut for all that were under way */
	assert_int_equal(begin(&spec, permits, 64), 10);
}

static void one_at_a_time_may_be_too_many(void **state)
{
	(void)state;
	struct limit_spec spec = *SPEC("provider/a", { 1, 0 });
	struct limit_permit permit;
	spec.adaptive = true;
	for (int i = 0; i < 3; i++) {
		int64_t wait = limits_acquire(limits, &spec, &permit);
		if (wait > 0) {
			pass_ms(wait);
			assert_int_equal(begin(&spec, &permit, 1), 1);
		}
		end(&permit, LIMIT_SLOWED, 0, 0);
	}
	assert_int_equal(limits_acquire(limits, &spec, &permit), 1000); /* 250, 500, 1000 */
	for (int i = 0; i < 40; i++) {
		int64_t wait = limits_acquire(limits, &spec, &permit);
		if (wait > 0) {
			pass_ms(wait);
			assert_int_equal(begin(&spec, &permit, 1), 1);
		}
		end(&permit, LIMIT_ANSWERED, 0, 0);
	}
	assert_int_equal(calls(&spec, 10), 10);
}

static void the_file_tells_what_is_left(void **state)
{
	(void)state;
	struct limit_state states[4];
	struct limit_permit permits[4];
	size_t cursor = 0;
	assert_int_equal(limits_list(limits, &cursor, states, 4), 0);
	assert_int_equal(begin(SPEC("provider/a", { 3, 60000 }, { 2, 0 }), permits, 4), 2);
	assert_int_equal(calls(SPEC("host/b:80", { 1, 1000 }), 2), 1);
	end(&permits[0], LIMIT_ANSWERED, 7, 9000);
	cursor = 0;
	assert_int_equal(limits_list(limits, &cursor, states, 1), 1);
	assert_int_equal(limits_list(limits, &cursor, &states[1], 3), 1);
	assert_int_equal(limits_list(limits, &cursor, &states[2], 2), 0);
	assert_string_equal(states[0].key, "provider/a");
	assert_int_equal(states[0].window_count, 2);
	assert_int_equal(states[0].active, 1);
	assert_int_equal(states[0].remaining, 7);
	assert_int_equal(states[0].remaining_ms, 9000);
	assert_int_equal(states[0].opens_ms, 0);
	for (size_t i = 0; i < 2; i++) {
		bool rate = states[0].windows[i].period_ms;
		assert_int_equal(states[0].windows[i].period_ms, rate ? 60000 : 0);
		assert_int_equal(states[0].windows[i].count, rate ? 3 : 2);
		assert_int_equal(states[0].windows[i].used, rate ? 2 : 1);
	}
	assert_string_equal(states[1].key, "host/b:80");
	assert_int_equal(states[1].active, -1);
	assert_in_range(states[1].opens_ms, 1000, 1003);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_window_lets_its_count_through_and_then_says_when),
		TEST(a_place_is_held_until_one_period_after_the_end_of_its_call),
		TEST(a_place_of_concurrency_is_free_when_its_call_ends),
		TEST(a_call_takes_a_place_in_every_window_or_in_none),
		TEST(several_keys_are_granted_together_or_not_at_all),
		TEST(sendings_keep_their_distance),
		TEST(what_was_kept_before_its_sending_keeps_its_distance_too),
		TEST(a_closed_key_stays_shut_for_every_process),
		TEST(places_of_a_killed_process_end_with_it),
		TEST(after_another_boot_every_window_counts_as_used_up),
		TEST(a_damaged_file_is_replaced_and_counts_as_used_up),
		TEST(a_file_removed_under_us_counts_as_used_up),
		TEST(a_lowered_limit_counts_the_calls_of_the_larger_one),
		TEST(a_new_window_remembers_what_was_called_before_it_was_configured),
		TEST(idle_keys_make_room_and_busy_ones_do_not),
		TEST(a_stopped_holder_of_the_lock_stops_nobody_else),
		TEST(what_was_never_sent_gives_its_place_back),
		TEST(a_call_without_an_answer_may_still_arrive),
		TEST(a_call_has_arrived_when_its_answer_begins),
		TEST(a_closed_set_reopens_without_a_burst),
		TEST(the_servers_own_budget_is_kept),
		TEST(all_processes_share_one_controller),
		TEST(one_at_a_time_may_be_too_many),
		TEST(the_file_tells_what_is_left),
		TEST(nonsense_is_refused),
		TEST(a_hundred_thousand_places_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
