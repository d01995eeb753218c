/* SPDX-License-Identifier: MIT */
#pragma once
/* The last lines of a log and of its rotated predecessors, and what is added to it, across
 * rotation. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* One line without its end; borrowed. */
typedef void (*tail_line)(void *arg, const char *line, size_t len);

/**
 * Hands the last `lines` lines to `each`, oldest first; a half line at the end counts as one. Goes
 * back into PATH.1, PATH.2, ... when PATH has fewer.
 * @return 0; negative with words when PATH cannot be read (a log that is not there yet has no
 * lines)
 */
int tail_last(
	const char *path, size_t lines, tail_line each, void *arg, struct err *err) MUST_CHECK;

/* Follows one file that another process writes and rotates by renaming. */
struct follow {
	char *path;
	int fd; /* -1: not there yet */
	ino_t inode;
	off_t at;
	char *half; /* what has no line end yet */
	size_t half_len, half_cap;
};
/** From its beginning, or from its present end. @return 0, -ENOMEM */
int follow_init(struct follow *f, const char *path, bool from_end) MUST_CHECK;
void follow_finish(struct follow *f);
/** Hands each whole line that was added since to `each`. */
void follow_read(struct follow *f, tail_line each, void *arg);
