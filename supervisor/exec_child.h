/* SPDX-License-Identifier: MIT */
#pragma once
/* What a child does between its birth and its exec. */
#include "base/compiler.h"
#include "spawn.h"
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct arena;

/* And the step: the name of a child until it is executed. */
#define EXEC_CHILD_TITLE "droverd:"

struct identity {
	uid_t uid;
	gid_t gid;
	const char *name, *home;
};

struct exec_child {
	struct spawn_spec spec;
	int error_fd;		/* takes struct spawn_failure */
	struct rlimit fd_limit; /* rlim_max 0: ours */
	/* sys_boot_ticks() before its birth, and after it as soon as its parent knows; 0, NULL: it
	 * does not. */
	uint64_t before;
	const atomic_uint_least64_t *after;
	/* Ours, which it is born with; NULL: it has to look. */
	const int64_t *oom_score_adjust;
	/* NULL: found out by the child, which may block and allocate, so its memory must be its
	 * own. With both it may share its parent's. */
	const struct identity *identity;
	char *const *environment;
};

/** Who spec's child is to be, by the account databases, which may block and allocate. @return 0, -1
 * and errno */
int exec_child_identity(const struct spawn_spec *spec, struct identity *out);
/** "NAME=value" of all, ends with NULL, in the arena; NULL: out of memory */
char **exec_child_environment(
	const struct spawn_spec *spec, const struct identity *id, struct arena *arena);
/** Ends as the program, or with 127 and a failure in error_fd. */
NORETURN void exec_child(const struct exec_child *c);
/** With SPAWN_SETUP of errno. */
NORETURN void exec_child_give_up(const struct exec_child *c);
