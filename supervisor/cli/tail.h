/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The last lines of a log and of its rotated predecessors, and what is added to it: across rotation
 * and compression, no line is missed and none comes twice.
 */
#include "base/compiler.h"
#include "log_files.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
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
	struct log_file file; /* fd -1: not there yet */
	off_t at;
	bool all_is_new; /* there was nothing when we began */
	bool missed;	 /* our file was gone, so lines may be; the caller takes it back */
	int unreadable;	 /* negative errno of a file that was passed over; likewise */
	char *half;	 /* what has no line end yet */
	size_t half_len, half_cap;
};
/** From its beginning, or from the end of the log's last whole line. @return 0, -ENOMEM */
int follow_init(struct follow *f, const char *path, bool from_end) MUST_CHECK;
void follow_finish(struct follow *f);
/** Hands whole lines that were added since to `each`. @return true when there is more */
bool follow_read(struct follow *f, tail_line each, void *arg);

/* Which lines are wanted. A line without a time has that of the line before it. */
struct tail_filter {
	/** Also tells the line's time, where it has one, wanted or not. NULL: every line. */
	bool (*wanted)(void *arg, const char *line, size_t len, int64_t *time_ms);
	void *arg;
	int64_t since_ms; /* nothing that is older, where there is a time; 0: no bound */
	bool times;	  /* those of the lines found are to be known */
};
struct tail_found {
	unsigned file; /* of tail.files */
	size_t len;
	off_t from;
	int64_t time_ms; /* 0: unknown */
};
/* Lines as places in open files: however many, they take little memory. */
struct tail {
	struct log_file *files;
	size_t file_count, file_cap;
	struct tail_found *lines; /* the youngest first */
	size_t count, cap;
	/* Backups that could not be read and are left out, the number and why of the last one. */
	unsigned bad_files, bad_number;
	int bad_errno;
};
/**
 * Finds the last `lines` lines that are wanted. Into a zeroed struct.
 * @param before  NULL, or who follows the log: only what is before its place
 * @return 0; negative with words
 */
int tail_find(struct tail *t, const char *path, size_t lines, const struct tail_filter *filter,
	const struct follow *before, struct err *err) MUST_CHECK;
/** Appends the text of lines[i]. */
void tail_text(const struct tail *t, size_t i, struct buf *out);
void tail_finish(struct tail *t);
