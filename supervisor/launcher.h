/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Children that share our memory until they execute cost no copy of it (see ARCHITECTURE.md,
 * Decisions). Nobody stands still for them, as vfork's parent does: each has a seat, a stack and
 * what a thread calls its own (errno), lent by a thread that sleeps. One that hangs in chdir or
 * exec on a dead mount keeps its seat and nothing else.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <sys/types.h>

struct launcher;
struct seat;
enum { LAUNCHER_SEATS = 8, LAUNCHER_FDS = 5 };

/** NULL: out of memory, threads or descriptors. Open it early: low numbers make it cheap. */
struct launcher *launcher_new(void);
/** Ends what nobody sits on; what a child that hangs shares with us stays. */
void launcher_free(struct launcher *l);

/** A free seat; NULL: each child of LAUNCHER_SEATS has not executed yet. Never waits. */
struct seat *launcher_seat(struct launcher *l);
/** 0 to LAUNCHER_SEATS - 1: what is kept for its child is free again when it is. */
size_t launcher_number(const struct launcher *l, const struct seat *seat);
/** @return false: its child has not executed yet. */
bool launcher_is_free(const struct launcher *l, size_t number);

struct launch {
	void (*run)(void *arg); /* in the child, all signals blocked; must not return */
	void *arg;		/* must stay until the seat is free */
	int cgroup_fd;		/* the group that it is born into; -1: ours */
	/* In: what the child needs; -1: none. Out, before it runs: their numbers in the child. Ours
	 * may be closed at once, but ends of pipes stay open until launcher_settle(). */
	int *fds[LAUNCHER_FDS];
};
/**
 * @return pid and *pidfd (the caller closes it); -1 and errno: ENOSYS when machine or sandbox do
 *         not know how
 */
pid_t launcher_start(struct seat *seat, const struct launch *launch, int *pidfd);
/** The child's first act: a table of descriptors of its own. @return -1 with errno: it is still
 * ours, and the child must end at once. */
int launcher_part(struct seat *seat);
/**
 * Closes what was kept open for children that have parted, or ended. With `wait` for all of them:
 * each parts as soon as it is on a processor, for its group is ours or a new one that nobody froze.
 * @return false: there are some left
 */
bool launcher_settle(struct launcher *l, bool wait);
