/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The files of one log, read while drover-log rotates and compresses them: PATH, PATH.1, PATH.2
 * ..., each but the first perhaps as PATH.n.zst. A file is known again by its inode and the time of
 * its making (a number alone is soon another file's), a compressed one by those that it had before
 * (drover-compress writes them in front).
 */
#include "base/compiler.h"
#include "base/mutant.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct log_id {
	ino_t inode;
	int64_t born_ns; /* 0: this file system does not know */
};
static inline bool log_id_eq(const struct log_id *a, const struct log_id *b)
{
	return a->inode == b->inode && (a->born_ns == b->born_ns || MUTANT(LOG_KNOWN_BY_INODE));
}

struct log_file {
	int fd; /* -1: none */
	struct log_id id;
	unsigned number; /* 0: PATH itself */
	bool packed;	 /* fd is of the compressed file: log_file_unpack() before reading */
	bool unpacked;	 /* fd is of a copy */
	struct timespec written;
};
void log_file_close(struct log_file *f);
/** Was it written to after that? */
bool log_file_is_younger(const struct log_file *f, const struct timespec *than);
/** What has that name now. @return 0; negative errno */
int log_file_named(struct log_id *out, const char *path) MUST_CHECK;
/** fd becomes that of an unlinked copy that is not compressed. @return 0; negative errno */
int log_file_unpack(struct log_file *f) MUST_CHECK;

/*
 * From the youngest to the oldest. A rotation meanwhile only moves files further along this way, so
 * none is missed; what was seen already is passed over, and so are files that came since and were
 * moved past us, when it rotates faster than we go.
 */
struct log_walk {
	const char *path; /* borrowed */
	unsigned next;
	int error; /* errno: PATH itself may not be read */
	struct log_id *seen;
	size_t count, cap;
	struct log_id first; /* what had the name PATH at the beginning */
	struct log_id last;  /* of the file that was handed out last */
	struct timespec last_written;
	bool any; /* there was one */
};
void log_walk_init(struct log_walk *walk, const char *path);
void log_walk_finish(struct log_walk *walk);
/** @return true and *out, which the caller closes; false: no more */
bool log_walk_next(struct log_walk *walk, struct log_file *out);
