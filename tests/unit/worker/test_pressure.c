/* SPDX-License-Identifier: MIT */
/* How full memory is, of machines that are files in a folder, and what follows from it. */
#include "unit.h"

#include "base/compiler.h"
#include "worker/pressure.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static char root[64];

/* Folders on the way are made. */
static void put(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void drop(const char *folder)
{
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (const struct dirent *e; (e = readdir(dir));) {
		char path[512];
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (e->d_type == DT_DIR)
			drop(path);
		else
			unlink(path);
	}
	closedir(dir);
	rmdir(folder);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/drover-pressure-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	drop(root);
	return 0;
}

static void reads(int64_t used, int64_t limit)
{
	struct memory_use use;
	assert_true(memory_use_read(root, &use));
	assert_int_equal(use.used, used);
	assert_int_equal(use.limit, limit);
}

#define MACHINE                                               \
	"MemTotal:        1000 kB\nMemFree:          50 kB\n" \
	"MemAvailable:     400 kB\nBuffers: 1 kB\n"

static void what_the_kernel_calls_available_is_not_used(void **state)
{
	(void)state;
	struct memory_use use;
	assert_false(memory_use_read(root, &use));
	put("proc/meminfo", "MemTotal: 1000 kB\n");
	assert_false(memory_use_read(root, &use));
	put("proc/meminfo", MACHINE);
	reads(600 * 1024, 1000 * 1024);
	/* cgroup v1, or none. */
	put("proc/self/cgroup", "4:memory:/a\n");
	reads(600 * 1024, 1000 * 1024);
}

static void a_container_that_is_fuller_than_the_machine_counts(void **state)
{
	(void)state;
	put("proc/meminfo", MACHINE);
	put("proc/self/cgroup", "4:memory:/a\n0::/\n");
	put("sys/fs/cgroup/memory.max", "1000\n");
	put("sys/fs/cgroup/memory.current", "950\n");
	reads(950, 1000);
	/* Its cache of files goes before it is full. */
	put("sys/fs/cgroup/memory.stat",
		"anon 1\nfile 999\ninactive_file 40\nactive_file 200\nslab_reclaimable 10\n");
	reads(700, 1000);
	put("sys/fs/cgroup/memory.current", "800\n");
	reads(600 * 1024, 1000 * 1024);
	put("sys/fs/cgroup/memory.max", "max\n");
	put("sys/fs/cgroup/memory.current", "9999999\n");
	reads(600 * 1024, 1000 * 1024);
}

static void a_limit_of_any_group_above_counts(void **state)
{
	(void)state;
	put("proc/meminfo", MACHINE);
	put("proc/self/cgroup", "0::/system.slice/drover.service/collect\n");
	put("sys/fs/cgroup/system.slice/drover.service/collect/memory.max", "max\n");
	put("sys/fs/cgroup/system.slice/drover.service/memory.max", "2000\n");
	put("sys/fs/cgroup/system.slice/drover.service/memory.current", "1800\n");
	put("sys/fs/cgroup/system.slice/memory.max", "5000\n");
	put("sys/fs/cgroup/system.slice/memory.current", "4000\n");
	reads(1800, 2000);
	put("sys/fs/cgroup/system.slice/memory.current", "4900\n");
	reads(4900, 5000);
}

static bool changes(struct pressure *p, int percent, int64_t now_ms)
{
	const struct memory_use use = { .used = (int64_t)percent * MIB, .limit = 100 * MIB };
	return pressure_judge(p, &use, now_ms);
}

static void above_85_per_cent_it_is_high_and_not_at_it(void **state)
{
	(void)state;
	struct pressure p = { 0 };
	assert_false(changes(&p, 85, 1000));
	assert_false(p.high);
	assert_true(changes(&p, 86, 2000));
	assert_true(p.high);
	assert_false(changes(&p, 99, 3000));
	const struct memory_use large = { .used = INT64_MAX / 100 * 86,
		.limit = INT64_MAX / 100 * 100 };
	p = (struct pressure) { 0 };
	assert_true(pressure_judge(&p, &large, 1));
}

static void it_is_over_below_82_or_after_a_calm_time(void **state)
{
	(void)state;
	struct pressure p = { 0 };
	assert_true(changes(&p, 90, 1000));
	assert_false(changes(&p, 84, 2000));
	assert_true(changes(&p, 82, 3000));
	assert_false(p.high);
	assert_true(changes(&p, 90, 4000));
	assert_false(changes(&p, 84, 5000));
	assert_false(changes(&p, 86, 6000)); /* the calm begins anew */
	assert_false(changes(&p, 84, 7000));
	assert_false(changes(&p, 85, 7000 + PRESSURE_CALM_MS - 1));
	assert_true(changes(&p, 85, 7000 + PRESSURE_CALM_MS));
	assert_false(p.high);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_the_kernel_calls_available_is_not_used),
		TEST(a_container_that_is_fuller_than_the_machine_counts),
		TEST(a_limit_of_any_group_above_counts),
		cmocka_unit_test(above_85_per_cent_it_is_high_and_not_at_it),
		cmocka_unit_test(it_is_over_below_82_or_after_a_calm_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
