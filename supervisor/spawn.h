/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Starts one child process; knows nothing of restart policy. What may hang (chdir, user, exec on a
 * dead mount) happens in the child (exec_child.h).
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* 0: as droverd's own, but of core, which is then 0. Bytes, but nofile and nproc. */
struct spawn_limits {
	int64_t nofile, nproc, core, memory;
};
struct spawn_variable {
	const char *name, *value;
};

struct spawn_spec {
	const char *const *argv;  /* ends with NULL; argv[0] without '/' is looked for in PATH */
	const char *directory;	  /* NULL: "/" */
	const char *user, *group; /* NULL: droverd's own */
	const struct spawn_variable *environment;
	size_t environment_count;  /* added to PATH, HOME, USER, LOGNAME, LANG */
	const char *const *groups; /* supplementary, ends with NULL; NULL: those of the user */
	const char *log_group;	   /* may open the output too; NULL: none */
	const char *umask;	   /* octal; NULL: 022 */
	struct spawn_limits limits;
	int64_t nice, oom_score_adjust;
	uint64_t limit_mark;	 /* becomes the soft MARK_LIMIT of contain.h; 0: left as it is */
	int stdin_fd, output_fd; /* become 0, and 1 and 2; output_fd -1: 1 and 2 stay */
	int own_output;		 /* the output is a FIFO that is given to the user */
	const char *own_path;	 /* a socket that is given to the user too; NULL: none */
	int channel_fd;		 /* becomes 3; -1: none */
	int cgroup_fd;		 /* the group that it is born into; 0 or -1: ours */
	int record_fd; /* the child writes its claim to this incarnation there; -1: none */
	uint64_t incarnation;
};

struct spawned {
	pid_t pid;
	uint64_t start_time; /* as contain_start_time(); 0: not known from here */
	int pidfd;
	/* Read end, non-blocking: any number of struct spawn_failure that are warnings, then EOF
	 * when executed, else one that is none. */
	int error_fd;
};

enum spawn_step {
	SPAWN_EXECUTED,
	SPAWN_SETUP,
	SPAWN_USER,
	SPAWN_DIRECTORY,
	SPAWN_EXEC,
	SPAWN_WARNINGS, /* from here on: the kernel refused, and the child goes on without */
	SPAWN_NICE = SPAWN_WARNINGS,
	SPAWN_OOM,
	SPAWN_LIMIT,
};
struct spawn_failure {
	int32_t step, error;
};

/**
 * Forks. Waits for nothing that may hang.
 * @return 0 and *out (the caller closes both descriptors); -EAGAIN process limit, -EMFILE, -ENOMEM:
 *         nothing was started, err->text is the step's name
 */
int spawn_child(const struct spawn_spec *spec, struct spawned *out, struct err *err) MUST_CHECK;
/** Before the first spawn_child(): looks up our own account, for all that is started without a user
 * of its own (may block, as account databases do), and makes their starts cheap. What fails here
 * only costs time later. */
void spawn_prepare(void);
/** Of children that share our memory descriptors are kept open until they have their own, which
 * spawn_child() waits for; or it calls soon(arg), and spawn_settle() is called by then. */
void spawn_settle_by(void (*soon)(void *arg), void *arg);
void spawn_settle(void);
/** Gives back what spawn_prepare() took. */
void spawn_finish(void);
/** Raises our own limit of descriptors; children get the one that we were given. */
void spawn_raise_fd_limit(void);
/** Back to what we were given: for an exec of ourselves. */
void spawn_lower_fd_limit(void);
static inline bool spawn_is_warning(const struct spawn_failure *failure)
{
	return failure->step >= SPAWN_WARNINGS;
}
/** "user" */
const char *spawn_step_name(int step);
/**
 * The step that a child has not got over yet; what it does there may hang for ever (a dead mount).
 * @return SPAWN_EXECUTED when it was executed, or is gone
 */
enum spawn_step spawn_stands_at(pid_t pid);
