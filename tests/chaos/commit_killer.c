/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD, for tests only: ends its own process with SIGKILL inside a commit of SQLite, where no
 * killer from outside could aim. A ticket in shared memory ($CHAOS_TICKET) says who (a bit of
 * $CHAOS_KIND), at which of the commits to come and where in it; the first that gets there takes
 * it. The database's write-ahead log is known by its name, a commit by the size of the database in
 * its frame's header.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FRAME_HEADER = 24 };
enum place {
	NOWHERE,
	HEADER_ONLY, /* the frame's header is written, its page is not */
	HALF_A_PAGE,
	BEFORE_SYNC, /* all is written: it happened, though nobody was told */
	AFTER_SYNC,
	CHECKPOINT, /* a commit that also moves the log's pages: half of one is in the database */
};

/* As tests/chaos/queue_faults.py has it. */
struct ticket {
	_Atomic uint32_t place; /* 0 when nobody shall die, or somebody does */
	uint32_t kinds;		/* bits of those who may */
	_Atomic uint32_t pass;	/* so many commits first */
	_Atomic uint32_t victim;
};

static struct ticket *ticket;
static uint32_t kind;
static enum place dying; /* of the only thread that writes */
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_sync)(int);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CHAOS_TICKET"), *bit = getenv("CHAOS_KIND");
	*(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
	*(void **)&real_sync = dlsym(RTLD_NEXT, "fdatasync");
	int fd = path && bit ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd == -1)
		return;
	void *memory = mmap(NULL, sizeof(*ticket), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	ticket = memory == MAP_FAILED ? NULL : memory;
	kind = (uint32_t)strtoul(bit, NULL, 10);
	unsetenv("LD_PRELOAD"); /* not for its children */
}

static bool is_armed(void)
{
	return ticket && (dying || (ticket->place && (ticket->kinds & kind)));
}

static bool ends_with(int fd, const char *end)
{
	char link[64], name[4096];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, name, sizeof(name) - 1);
	size_t tail = strlen(end);
	return len > (ssize_t)tail && memcmp(name + len - tail, end, tail) == 0;
}

static _Noreturn void die(void)
{
	ticket->victim = (uint32_t)getpid();
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void take(bool checkpoint)
{
	uint32_t place = ticket->place;
	if (place == NOWHERE || (place == CHECKPOINT) != checkpoint)
		return;
	uint32_t pass = ticket->pass;
	while (pass > 0)
		if (atomic_compare_exchange_weak(&ticket->pass, &pass, pass - 1))
			return;
	if (atomic_compare_exchange_strong(&ticket->place, &place, NOWHERE))
		dying = (enum place)place;
}

static bool is_commit_frame(const void *data, size_t size)
{
	static const char zero[4];
	return size == FRAME_HEADER && memcmp((const char *)data + 4, zero, 4) != 0;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	if (!is_armed())
		return real_pwrite(fd, data, size, offset);
	if (ends_with(fd, ".db-wal")) {
		if (dying == HALF_A_PAGE) {
			(void)real_pwrite(fd, data, size / 2, offset);
			die();
		}
		if (!dying && is_commit_frame(data, size))
			take(false);
	} else if (!dying && ends_with(fd, ".db")) {
		take(true);
	}
	if (dying == CHECKPOINT) {
		(void)real_pwrite(fd, data, size / 2, offset);
		die();
	}
	ssize_t n = real_pwrite(fd, data, size, offset);
	if (dying == HEADER_ONLY)
		die();
	return n;
}

int fdatasync(int fd)
{
	if (dying == BEFORE_SYNC)
		die();
	int rc = real_sync(fd);
	if (dying == AFTER_SYNC)
		die();
	return rc;
}
