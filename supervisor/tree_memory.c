/* SPDX-License-Identifier: MIT */
#include "tree_memory.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "base/sys.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sum {
	const struct contain_target *target;
	bool exact;
	int64_t own, shared; /* shared: the largest that one has */
	int64_t main_bytes;
	int processes;
};

static bool read_text(const char *path, char *text, size_t size)
{
	CLEANUP(closep) int fd = sys_open(path, O_RDONLY, 0);
	ssize_t n = fd == -1 ? -1 : read(fd, text, size - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

static bool read_of(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return read_text(path, text, size);
}

/* "Pss:      1234 kB" in bytes; -1: no such line. */
static int64_t kilobytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? (int64_t)strtoll(at + strlen(key), NULL, 10) * 1024 : -1;
}

static bool add_share(struct sum *s, pid_t pid)
{
	char text[2048];
	int64_t bytes = read_of(pid, "smaps_rollup", text, sizeof(text)) ? kilobytes(text, "\nPss:")
									 : -1;
	if (bytes < 0)
		return false;
	s->own += bytes;
	return true;
}

static void add(void *arg, pid_t pid)
{
	struct sum *s = arg;
	char text[256];
	long long resident, shared;
	int64_t page = sysconf(_SC_PAGESIZE);
	if (!read_of(pid, "statm", text, sizeof(text)) ||
		sscanf(text, "%*u %lld %lld", &resident, &shared) != 2)
		return;
	s->processes++;
	if (pid == s->target->main_pid)
		s->main_bytes = resident * page;
	if (s->exact && add_share(s, pid))
		return;
	s->own += (resident - shared) * page;
	s->shared = MAX(s->shared, shared * page);
}

static bool look(struct contain *contain, const struct contain_target *target, bool exact,
	struct tree_memory *out)
{
	struct sum s = { .target = target, .exact = exact };
	contain_each(contain, target, add, &s);
	if (!s.processes)
		return false;
	*out = (struct tree_memory) {
		.bytes = s.own + s.shared, .main_bytes = s.main_bytes, .processes = s.processes
	};
	return true;
}

bool tree_memory_look(
	struct contain *contain, const struct contain_target *target, struct tree_memory *out)
{
	return look(contain, target, false, out);
}

bool tree_memory_look_exactly(
	struct contain *contain, const struct contain_target *target, struct tree_memory *out)
{
	return look(contain, target, true, out);
}

bool tree_memory_machine(int64_t *used, int64_t *total)
{
	char text[4096];
	if (!read_text("/proc/meminfo", text, sizeof(text)))
		return false;
	int64_t all = kilobytes(text, "MemTotal:"), available = kilobytes(text, "MemAvailable:");
	if (all <= 0 || available < 0)
		return false;
	*used = all - available;
	*total = all;
	return true;
}
