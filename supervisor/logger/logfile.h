/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One log file with its backups: FILE, FILE.1 (the youngest) .. FILE.N. Holds no state that a
 * SIGKILL could lose: what was written, and whether the last line is ended, is read from the file.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOGFILE_NAME_MAX = 200 };

struct logfile {
	int dir; /* borrowed */
	int fd;	 /* -1: not open */
	char name[LOGFILE_NAME_MAX + 1];
	int64_t max_size; /* bytes; 0: never rotates by size */
	int64_t max_line; /* bytes that a line may reach beyond max_size */
	unsigned backups;
	int64_t left; /* the offset after our last write */
};

/** A plain name within its directory: not empty, hidden, longer than LOGFILE_NAME_MAX or with a
 * slash. */
bool logfile_is_name(const char *name);
/** Neither opens nor makes anything. @param dir  descriptor of the directory, borrowed until
 * logfile_finish() */
void logfile_init(struct logfile *lf, int dir, const char *name);
void logfile_finish(struct logfile *lf);
/**
 * Opens (makes) the file if need be, also anew when somebody deleted it, and stands at its end,
 * wherever another hand has put that since (`> x.log`, `>> x.log`). @return the size; negative
 * errno
 */
int64_t logfile_seek_end(struct logfile *lf) MUST_CHECK;
/** True when the last byte is a newline or the file is empty. @param size  what logfile_seek_end()
 * returned */
bool logfile_ends_line(const struct logfile *lf, int64_t size);
/** Appends a text whole or not at all. @return 0; negative errno */
int logfile_append(struct logfile *lf, const char *text, size_t len) MUST_CHECK;
/**
 * FILE becomes FILE.1 and so on; the next logfile_seek_end() makes a new one. Renames only. What
 * would be older than `backups` goes, and the oldest also when the backups together hold more than
 * backups * max_size + max_line bytes (L2). Killed between two renames it leaves a gap in the
 * numbers that the next rotation fills. @return 0; negative errno
 */
int logfile_rotate(struct logfile *lf) MUST_CHECK;
