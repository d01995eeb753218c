/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A thread that stands still in droverd's place. A child that shares our memory until it executes
 * costs no copy of it (see ARCHITECTURE.md, Decisions), but its parent thread waits for that, and
 * chdir and exec may hang for ever on a dead mount: so the parent is this thread, and while it is
 * held by one child, others are forked without it.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <sys/types.h>

struct launcher;

/** NULL: out of memory, threads or descriptors. Open it early: low numbers make it cheap. */
struct launcher *launcher_new(void);
/** Ends the thread, unless a child holds it: then it and what that child needs stay. */
void launcher_free(struct launcher *l);

/** @return false: the child before has not executed yet. Never waits. */
bool launcher_is_free(struct launcher *l);

enum { LAUNCHER_FDS = 5 };
struct launch {
	void (*run)(void *arg); /* in the child, all signals blocked; must not return */
	void *arg;		/* must stay until launcher_is_free() */
	int cgroup_fd;		/* the group that it is born into; -1: ours */
	/* In: what the child needs; -1: none. Out, before it runs: their numbers in the child. */
	int *fds[LAUNCHER_FDS];
};
/**
 * Only after launcher_is_free(). Returns when the child has run its first instructions and has a
 * table of descriptors of its own, or is dead.
 * @return pid and *pidfd (the caller closes it); -1 and errno: ENOSYS when machine or sandbox do
 *         not know how
 */
pid_t launcher_start(struct launcher *l, const struct launch *launch, int *pidfd);
/** The child's first act. @return -1 with errno: the table is still ours, it must end at once. */
int launcher_part(struct launcher *l);
