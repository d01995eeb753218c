/* SPDX-License-Identifier: MIT */
#include "children.h"

#include "base/mem.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 4096 };

struct pids {
	void *array;
	size_t count, cap;
};

struct children {
	struct pids own;   /* sorted */
	struct pids other; /* living, as of the last read */
	uint64_t turn;
	bool read; /* in that turn, and whole */
};

struct children *children_new(void)
{
	return NEW(struct children);
}

void children_free(struct children *c)
{
	if (!c)
		return;
	free(c->own.array);
	free(c->other.array);
	free(c);
}

/* The place of pid, or where it would be. */
static size_t place_of(const struct pids *pids, pid_t pid)
{
	const pid_t *array = pids->array;
	size_t low = 0, high = pids->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (array[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int children_reserve(struct children *c)
{
	return mem_grow(&c->own.array, &c->own.cap, c->own.count, sizeof(pid_t));
}

bool children_has(const struct children *c, pid_t pid)
{
	size_t at = place_of(&c->own, pid);
	return at < c->own.count && ((const pid_t *)c->own.array)[at] == pid;
}

void children_add(struct children *c, pid_t pid)
{
	size_t at = place_of(&c->own, pid);
	pid_t *array = c->own.array;
	if (children_has(c, pid))
		return;
	memmove(array + at + 1, array + at, (c->own.count - at) * sizeof(pid_t));
	array[at] = pid;
	c->own.count++;
}

void children_remove(struct children *c, pid_t pid)
{
	size_t at = place_of(&c->own, pid);
	pid_t *array = c->own.array;
	if (!children_has(c, pid))
		return;
	c->own.count--;
	memmove(array + at, array + at + 1, (c->own.count - at) * sizeof(pid_t));
}

/* What had children has lost them to us before it became one. */
static bool is_dead(pid_t pid)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	CLEANUP(closep) int fd = sys_open(path, O_RDONLY, 0);
	if (fd == -1)
		return false; /* a child of ours is there until we wait for it: no descriptor */
	ssize_t n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	const char *rest = strrchr(text, ')');
	int threads = 0;
	/* A dead leader whose threads live is no zombie to us. */
	return rest && (rest[2] == 'Z' || rest[2] == 'X') &&
	       sscanf(rest + 3,
		       "%*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
		       &threads) == 1 &&
	       threads <= 1;
}

static int note(struct children *c, pid_t pid)
{
	if (children_has(c, pid) || is_dead(pid))
		return 0;
	int rc = mem_grow(&c->other.array, &c->other.cap, c->other.count, sizeof(pid_t));
	if (rc == 0)
		((pid_t *)c->other.array)[c->other.count++] = pid;
	return rc;
}

/*
 * "17 204 3001 ": a space after each. The kernel goes on where a read ended as long as nobody waits
 * for a child meanwhile, and only we do; who comes to us meanwhile is put at the end.
 */
static int read_list(struct children *c, int fd)
{
	char text[READ_SIZE];
	pid_t pid = 0;
	ssize_t n;
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			int rc = pid > 0 ? note(c, pid) : 0;
			pid = 0;
			if (rc < 0)
				return rc;
		}
	return n == -1 ? -errno : 0;
}

/* Those of our first thread: it starts all, and whoever loses its parent comes to it. */
static bool look(struct children *c)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	c->other.count = 0;
	CLEANUP(closep) int fd = sys_open(path, O_RDONLY, 0);
	return fd != -1 && read_list(c, fd) == 0;
}

bool children_are_known(
	struct children *c, uint64_t turn, bool (*known)(void *arg, pid_t pid), void *arg)
{
	if (!c->read || c->turn != turn)
		c->read = look(c);
	c->turn = turn;
	if (!c->read)
		return false;
	for (size_t i = 0; i < c->other.count; i++)
		if (!known || !known(arg, ((const pid_t *)c->other.array)[i]))
			return false;
	return true;
}

static bool is_the_one(void *arg, pid_t pid)
{
	return pid == *(const pid_t *)arg;
}

bool children_none_but(struct children *c, pid_t pid)
{
	/* Read anew: who came in this turn counts too. */
	c->read = false;
	return c->own.count == 0 && children_are_known(c, c->turn, is_the_one, &pid);
}
