/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "stats/stats.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/drover-stats-%d", (int)getpid());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void numbers_written_by_one_process_are_read_by_another_after_its_death(void **state)
{
	(void)state;
	struct stats *stats;
	struct err err;
	assert_int_equal(stats_create(&stats, path, &err), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct stats *child;
		if (stats_attach(&child, stats_fd(stats), &err) < 0)
			_exit(1);
		struct stats_slot *slot = stats_slot(child, 3, "collect:1");
		stats_add(slot, STAT_requests, 5);
		stats_add(slot, STAT_requests, 2);
		stats_set(slot, STAT_tasks_held, -4);
		raise(SIGKILL);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	const struct stats_slot *slot = stats_peek(stats, 3);
	assert_non_null(slot);
	assert_string_equal(stats_slot_name(slot), "collect:1");
	assert_int_equal(stats_counter(slot, STAT_requests), 7);
	assert_int_equal(stats_gauge(slot, STAT_tasks_held), -4);
	assert_null(stats_peek(stats, 4));
	stats_close(stats);
}

static void a_slot_of_another_name_starts_from_zero_and_the_same_name_goes_on(void **state)
{
	(void)state;
	struct stats *stats;
	struct err err;
	assert_int_equal(stats_create(&stats, path, &err), 0);
	stats_add(stats_slot(stats, 0, "collect:1"), STAT_rows, 9);
	assert_int_equal(stats_counter(stats_slot(stats, 0, "collect:1"), STAT_rows), 9);
	assert_int_equal(stats_counter(stats_slot(stats, 0, "crawl:1"), STAT_rows), 0);
	assert_null(stats_slot(stats, STATS_SLOTS, "x"));
	stats_close(stats);
}

static void a_segment_of_another_layout_is_refused_and_made_anew(void **state)
{
	(void)state;
	struct stats *stats;
	struct err err;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(fd, "another program's file", 22), 22);
	assert_int_equal(stats_attach(&stats, fd, &err), -EPROTO);
	close(fd);
	assert_int_equal(stats_create(&stats, path, &err), 0);
	stats_add(stats_slot(stats, 1, "a"), STAT_rows, 1);
	stats_close(stats);
	/* The right layout is kept over a restart. */
	assert_int_equal(stats_create(&stats, path, &err), 0);
	assert_int_equal(stats_counter(stats_peek(stats, 1), STAT_rows), 1);
	stats_close(stats);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void quantiles_are_within_one_percent_of_the_sorted_truth(void **state)
{
	(void)state;
	enum { N = 20000 };
	static int64_t samples[N];
	struct stats *stats;
	struct err err;
	struct stats_summary s;
	uint64_t x = 42;
	assert_int_equal(stats_create(&stats, path, &err), 0);
	struct stats_slot *slot = stats_slot(stats, 0, "q");
	for (int i = 0; i < N; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		samples[i] = (int64_t)(1 + ((x >> 33) % 1000) * ((x >> 13) % 5000));
		stats_sample(slot, STAT_request_seconds, samples[i]);
	}
	qsort(samples, N, sizeof(samples[0]), compare);
	stats_summarise(slot, STAT_request_seconds, &s);
	assert_int_equal(s.count, N);
	const double truth[] = { (double)samples[N / 2], (double)samples[N * 95 / 100],
		(double)samples[N * 99 / 100] };
	const double got[] = { s.p50_s * 1e6, s.p95_s * 1e6, s.p99_s * 1e6 };
	for (int i = 0; i < 3; i++)
		assert_true(got[i] > truth[i] * 0.99 && got[i] < truth[i] * 1.01);
	assert_true(s.min_s * 1e6 == (double)samples[0] && s.max_s * 1e6 == (double)samples[N - 1]);
	stats_sample(slot, STAT_store_seconds, INT64_MAX); /* beyond the last bucket */
	stats_sample(slot, STAT_store_seconds, -1);
	stats_summarise(slot, STAT_store_seconds, &s);
	assert_int_equal(s.count, 2);
	stats_close(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			numbers_written_by_one_process_are_read_by_another_after_its_death, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_slot_of_another_name_starts_from_zero_and_the_same_name_goes_on, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_segment_of_another_layout_is_refused_and_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(
			quantiles_are_within_one_percent_of_the_sorted_truth, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
