/* SPDX-License-Identifier: MIT */
#pragma once
/* Programs that `up` and `demo` start: ended with them, signalled by handle. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

struct child {
	pid_t pid;
	int pidfd; /* -1: none */
};
#define CHILD_NONE          \
	{                   \
		.pidfd = -1 \
	}

struct child_spec {
	char *const *argv;	/* argv[0] is the path */
	char *const *environ;	/* NULL: ours */
	const char *output;	/* file that gets stdout and stderr, appended; NULL: ours */
	int signal_when_orphan; /* what it gets when this process dies */
};

/** Starts it in a session of its own, with no signal blocked and no input. @return 0; negative
 * errno with words */
int child_start(struct child *child, const struct child_spec *spec, struct err *err) MUST_CHECK;
void child_signal(const struct child *child, int signo);
/** Whether it has ended; then *code is its exit code, or 128 + the signal. */
bool child_ended(struct child *child, int *code);
/** Waits for the end at most wait_ms. @return false when it still lives */
bool child_wait(struct child *child, int64_t wait_ms, int *code);
/** Sends `signo`, waits, then SIGKILL; nothing when there is none. */
void child_stop(struct child *child, int signo, int64_t wait_ms);
