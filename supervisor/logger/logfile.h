/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One log file with its backups: FILE, FILE.1 (the youngest) .. FILE.N, each of these perhaps as
 * FILE.n.zst. Holds no state that a SIGKILL could lose: what was written, and whether the last line
 * is ended, is read from the file. All is done through the directory's descriptor; what lies there
 * under our names and is no plain file is neither followed nor written to.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { LOGFILE_NAME_MAX = 200 };

/* When a backup was last written, on CLOCK_BOOTTIME (before the boot: negative). */
struct logfile_birth {
	ino_t inode;
	int64_t boot_ms;
};

struct logfile {
	int dir;	    /* borrowed */
	int fd;		    /* -1: not open */
	const char *name;   /* borrowed */
	int64_t max_size;   /* bytes; 0: never rotates by size */
	int64_t max_line;   /* bytes that a line may reach beyond max_size */
	int64_t max_age_ms; /* of backups; 0: no bound */
	int64_t left;	    /* the offset after our last write */
	struct logfile_birth *births;
	unsigned backups, birth_count;
};

/** A plain name within its directory: not empty, hidden, longer than LOGFILE_NAME_MAX or with a
 * slash. */
bool logfile_is_name(const char *name);
/** Neither opens nor makes anything. @param dir  descriptor of the directory
 * @param name  a logfile_is_name(); both are borrowed until logfile_finish() */
void logfile_init(struct logfile *lf, int dir, const char *name);
/** Closes the file; logfile_seek_end() would open it again. */
void logfile_close(struct logfile *lf);
void logfile_finish(struct logfile *lf);
/**
 * Opens (makes) the file if need be, also anew when somebody deleted it, and stands at its end,
 * wherever another hand has put that since (`> x.log`, `>> x.log`). @return the size; -ENOENT: the
 * directory was removed; another negative errno
 */
int64_t logfile_seek_end(struct logfile *lf) MUST_CHECK;
/** False: it is sure that there is no such file. */
bool logfile_is_there(const struct logfile *lf);
/** True when the last byte is a newline or the file is empty. @param size  what logfile_seek_end()
 * returned */
bool logfile_ends_line(const struct logfile *lf, int64_t size);
/** Appends a text whole or not at all. @return 0; negative errno */
int logfile_append(struct logfile *lf, const char *text, size_t len) MUST_CHECK;

/* --- backups: logfile_backups.c --- */

/**
 * FILE becomes FILE.1 and so on; the next logfile_seek_end() makes a new one. Renames only. What
 * would be older than `backups` goes, and the oldest also when the backups together hold more than
 * backups * max_size + max_line bytes (L2). Killed between two renames it leaves a gap in the
 * numbers that the next rotation fills. @return 0; negative errno
 */
int logfile_rotate(struct logfile *lf) MUST_CHECK;
/**
 * Removes, from the oldest on, backups that were last written more than max_age_ms ago. A backup's
 * age is read from its mtime and the wall clock once, when we see it first, and then counted on
 * CLOCK_BOOTTIME: a step of the wall clock makes nothing old, nor does a clock that was not set
 * yet.
 */
void logfile_expire(struct logfile *lf);
/** What an earlier drover-log that was killed while it compressed has left: a part, or a backup
 * twice. */
void logfile_tidy(struct logfile *lf);

/* A backup that is being compressed: `from` is read, `to` (a hidden name) is written. */
struct logfile_packing {
	int from, to; /* -1: none */
	ino_t inode;  /* of the backup: its number changes when the log rotates meanwhile */
};
/** The youngest backup that is not compressed yet. @return 0; -ENOENT: there is none; negative
 * errno
 */
int logfile_pack(struct logfile *lf, struct logfile_packing *out) MUST_CHECK;
/**
 * Ends it: with `whole` the compressed file takes the backup's place, else it is removed. Closes
 * both. Killed in between, the backup may be there twice; the plain one is the true one then.
 * @return 0; -ESTALE: the backup is gone meanwhile; negative errno
 */
int logfile_packed(struct logfile *lf, struct logfile_packing *packing, bool whole) MUST_CHECK;
