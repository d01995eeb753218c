/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Starts one child process. Knows fork, descriptors, users and exec; knows nothing of restart
 * policy. What may hang (chdir, user, exec on a dead mount) happens in the child.
 */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct record;

struct spawn_variable {
	const char *name, *value;
};

struct spawn_spec {
	const char *const *argv;  /* ends with NULL; argv[0] without '/' is looked for in PATH */
	const char *directory;	  /* NULL: "/" */
	const char *user, *group; /* NULL: droverd's own */
	const struct spawn_variable *environment;
	size_t environment_count; /* added to PATH, HOME, USER, LOGNAME, LANG */
	int64_t nice;
	uint64_t limit_mark;	 /* becomes the soft MARK_LIMIT of contain.h; 0: left as it is */
	int stdin_fd, output_fd; /* become 0, and 1 and 2; output_fd -1: 1 and 2 stay */
	int own_output;		 /* the output is a FIFO that is given to the user */
	int channel_fd;		 /* becomes 3; -1: none */
	int record_fd;		 /* the child writes *record with its own pid there; -1: none */
	const struct record *record;
};

struct spawned {
	pid_t pid;
	int pidfd;
	int error_fd; /* read end, non-blocking: EOF when executed, else one struct spawn_failure */
};

enum spawn_step {
	SPAWN_EXECUTED,
	SPAWN_SETUP,
	SPAWN_USER,
	SPAWN_DIRECTORY,
	SPAWN_EXEC,
};
struct spawn_failure {
	int32_t step, error;
};

/**
 * Forks. Never blocks.
 * @return 0 and *out (the caller closes both descriptors); -EAGAIN process limit, -EMFILE, -ENOMEM:
 *         nothing was started, err->text is the step's name
 */
int spawn_child(const struct spawn_spec *spec, struct spawned *out, struct err *err) MUST_CHECK;
/** Raises our own limit of descriptors; children get the one that we were given. */
void spawn_raise_fd_limit(void);
/** "user" */
const char *spawn_step_name(int step);
