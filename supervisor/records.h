/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One small file a slot in runtime_dir/slots/: what the next supervisor must know after a crash of
 * this one. Of fixed length, versioned and checksummed; a record that does not check out is as good
 * as none. It dies with the boot, as the processes do.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { RECORD_NAME_SIZE = 80 };

struct record {
	char name[RECORD_NAME_SIZE];
	char epoch[20]; /* of the supervisor that wrote it */
	uint64_t incarnation;
	int64_t pid;				  /* 0: none was started, or its tree is gone */
	uint64_t start_time;			  /* of pid, clock ticks since boot */
	int64_t last_start_ms, last_automatic_ms; /* CLOCK_BOOTTIME, -1 none */
	int64_t strikes;
	bool wanted;
	bool closed; /* the supervisor ended in order: nothing of this slot was left */
};

/** Opens (makes) runtime_dir/slots. @return a directory descriptor or negative errno */
int records_open(int runtime_fd, struct err *err) MUST_CHECK;
/** The slot's file, open for writing, close-on-exec. @return fd or negative errno */
int record_open(int slots_fd, const char *name, struct err *err) MUST_CHECK;
/**
 * Writes the whole record at once; may be called by the child between fork and exec.
 * @return 0 or negative errno
 */
int record_write(int fd, const struct record *record);
void record_remove(int slots_fd, const char *name);
/** Calls `found` for each sound record of this boot; removes the others. */
void records_read(int slots_fd, void (*found)(void *arg, const struct record *record), void *arg);
/** @return 0; -EBADMSG: another length, version, checksum or boot */
int record_read(int fd, struct record *out) MUST_CHECK;
