/* SPDX-License-Identifier: MIT */
/* D3 from the server's side: several processes, killed at random, under the real clock. */
#include "unit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "limit/limit.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 5, ARRIVALS = 20000, MOST_MS = 60000 };

/* What the server saw; shared with the processes. */
struct server {
	atomic_int count, active, most_active;
	atomic_llong arrivals_us[ARRIVALS];
};

static void sleep_us(long us)
{
	nanosleep(&(struct timespec) { us / 1000000, us % 1000000 * 1000 }, NULL);
}

static void arrive(struct server *server)
{
	int at = atomic_fetch_add(&server->count, 1);
	if (at < ARRIVALS)
		atomic_store(&server->arrivals_us[at], clock_boot_us());
}

/* Sends for ever; the server sees a call some time after its sending and before its end. */
NORETURN static void work(const char *path, const struct limit_spec *spec, struct server *server)
{
	struct limits *limits = NULL;
	unsigned seed = (unsigned)getpid();
	if (limits_open(&limits, path, NULL) < 0)
		_exit(1);
	for (;;) {
		struct limit_permit permit = { 0 };
		int64_t wait = limits_acquire(limits, spec, &permit);
		if (wait < 0)
			_exit(2);
		if (wait > 0) {
			sleep_us((long)wait * 1000);
			continue;
		}
		sleep_us(rand_r(&seed) % 120000);
		arrive(server);
		sleep_us(rand_r(&seed) % 20000);
		limits_release(limits, &permit);
	}
}

static int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

static void no_window_of_the_server_holds_more_than_the_limit(void **state)
{
	(void)state;
	enum { LIMIT = 6, PERIOD_MS = 150 };
	const struct limit_window window = { LIMIT, PERIOD_MS };
	const struct limit_spec spec = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char dir[] = "/tmp/drover-limit-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/limits", dir);
	struct server *server = mmap(
		NULL, sizeof(*server), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(server, MAP_FAILED);
	pid_t pids[WORKERS];
	unsigned seed = 42;
	int kills = 0;
	for (int i = 0; i < WORKERS; i++)
		if ((pids[i] = fork()) == 0)
			work(path, &spec, server);
	/* As long as it takes a busy machine. */
	for (int64_t end = clock_boot_ms() + MOST_MS;
		(kills <= 20 || atomic_load(&server->count) < 10 * LIMIT) && clock_boot_ms() < end;
		kills++) {
		sleep_us(40000 + rand_r(&seed) % 120000);
		int victim = rand_r(&seed) % WORKERS, status = 0;
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], &status, 0);
		assert_true(WIFSIGNALED(status)); /* not an exit of its own: 1 and 2 are errors */
		if ((pids[victim] = fork()) == 0)
			work(path, &spec, server);
	}
	for (int i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	int count = atomic_load(&server->count), over = 0;
	assert_in_range(count, 10 * LIMIT, ARRIVALS);
	qsort(server->arrivals_us, (size_t)count, sizeof(long long), compare);
	for (int i = 0; i + LIMIT < count; i++)
		over += atomic_load(&server->arrivals_us[i + LIMIT]) -
				atomic_load(&server->arrivals_us[i]) <=
			PERIOD_MS * 1000;
	printf("%d calls, %d kills, %d windows over the limit\n", count, kills, over);
	assert_true(kills > 20);
	assert_int_equal(over, 0);
	munmap(server, sizeof(*server));
	unlink(path);
	rmdir(dir);
}

static void never_more_calls_at_once_than_the_concurrency(void **state)
{
	(void)state;
	const struct limit_window window = { 2, 0 };
	const struct limit_spec spec = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char dir[] = "/tmp/drover-limit-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/limits", dir);
	struct server *server = mmap(
		NULL, sizeof(*server), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(server, MAP_FAILED);
	pid_t pids[WORKERS];
	for (int i = 0; i < WORKERS; i++) {
		if ((pids[i] = fork()) != 0)
			continue;
		struct limits *limits = NULL;
		if (limits_open(&limits, path, NULL) < 0)
			_exit(1);
		for (int n = 0; n < 100;) {
			struct limit_permit permit = { 0 };
			int64_t wait = limits_acquire(limits, &spec, &permit);
			if (wait < 0)
				_exit(2);
			if (wait > 0) {
				sleep_us(500);
				continue;
			}
			int active = atomic_fetch_add(&server->active, 1) + 1;
			int most = atomic_load(&server->most_active);
			while (active > most &&
				!atomic_compare_exchange_weak(&server->most_active, &most, active))
				;
			sleep_us(500);
			atomic_fetch_sub(&server->active, 1);
			limits_release(limits, &permit);
			n++;
		}
		_exit(0);
	}
	for (int i = 0; i < WORKERS; i++) {
		int status = -1;
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(atomic_load(&server->most_active), 2);
	munmap(server, sizeof(*server));
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_window_of_the_server_holds_more_than_the_limit),
		cmocka_unit_test(never_more_calls_at_once_than_the_concurrency),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
