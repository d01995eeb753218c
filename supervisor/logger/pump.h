/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Moves one log's bytes from its FIFO to its file by splice, which a SIGKILL cannot cut in two: a
 * byte is in the pipe or in the file (L1). It looks ahead (tee) only where a file comes to its end,
 * so that rotation falls between lines.
 *
 * Long lines. A line stays in the file where it began, as far as max_line bytes beyond max_size;
 * there it is cut with a mark and goes on in the next file. The look-ahead is one pipe full (64
 * KiB); a line end further away is found as the bytes before it are moved.
 *
 * No space (or any other failure to write): the writer is not blocked. What comes is discarded and
 * counted, and once there is room the log itself says how much. Only when the whole directory is
 * gone the bytes wait a second in the pipe for another one.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logfile_packing;
struct loop;
struct pump;

enum { PUMP_WINDOW = 65536, PUMP_MAX_LINE = 1048576 };

/* What all pumps of the process share. */
struct pump_tools {
	struct loop *loop;
	int aux[2];		     /* look-ahead: bytes are in it only within one call */
	int null;		     /* /dev/null: splice of what is dropped */
	unsigned large_pipes;	     /* may still be made */
	void (*rotated)(void *arg);  /* a log has a new backup that it wants compressed */
	bool (*dir_lost)(void *arg); /* @return true: there will be another one */
	/* pump_half_line() was done; name is the log's */
	void (*line_ended)(void *arg, const char *name);
	void *arg;
	char window[PUMP_WINDOW];
};
/** Callbacks are NULL at first: not called. @return 0; negative errno */
int pump_tools_init(struct pump_tools *tools, struct loop *loop) MUST_CHECK;
void pump_tools_finish(struct pump_tools *tools);

/* Where files are. `lock` is a file open for writing; each pump holds one byte of it (OFD lock),
 * never two a file. */
struct pump_place {
	int dir, lock;
};

struct pump_settings {
	const char *name;   /* of the log, in messages */
	const char *file;   /* a logfile_is_name() */
	int64_t max_size;   /* 0: no rotation by size */
	int64_t max_line;   /* 0: PUMP_MAX_LINE */
	int64_t max_age_ms; /* of backups; 0: no bound */
	unsigned backups;
	bool compress;
	bool half_line; /* of a new one: a half line in the file is ended before anything is pumped
			 */
};

/**
 * Pumps as soon as the file's lock is free; until then bytes stay in the pipe.
 * @param fifo   takes it (also on failure). Its O_NONBLOCK is left alone: others share the open
 * description
 * @param place  borrowed until pump_free() or pump_set_place()
 * @return 0, -ENOMEM, -EINVAL (file is not a name)
 */
int pump_new(struct pump **out, struct pump_tools *tools, const struct pump_place *place,
	const struct pump_settings *settings, int fifo) MUST_CHECK;
/** Leaves the rest in the pipe. NULL is fine. */
void pump_free(struct pump *pump);
const char *pump_name(const struct pump *pump);
const char *pump_file(const struct pump *pump);
/** The FIFO, borrowed. */
int pump_fifo(const struct pump *pump);
/** Changes the settings from the next byte on. @return 0, -EINVAL, -ENOMEM */
int pump_set(struct pump *pump, const struct pump_settings *settings) MUST_CHECK;
/** Another directory: goes on in a file there. */
void pump_set_place(struct pump *pump, const struct pump_place *place);
/** Moves what is in the pipe at this moment. */
void pump_drain(struct pump *pump);
/** It has a file open, or something for one. */
bool pump_is_written(const struct pump *pump);
/** The writer died: moves what is in the pipe, then ends and marks a half line. */
void pump_half_line(struct pump *pump);
/** Rotates at the next line end (now, when the file ends with one) and opens the file by name
 * again. @return true: done */
bool pump_rotate(struct pump *pump);
/** Removes backups that are too old. */
void pump_expire(struct pump *pump);
/** The next backup to compress. @return 0; -ENOENT: there is none, or nothing is to be compressed
 * now; negative errno */
int pump_pack(struct pump *pump, struct logfile_packing *out) MUST_CHECK;
/** Ends what pump_pack() began. @param code  0; a negative errno is told in drover's own log, once
 */
void pump_packed(struct pump *pump, struct logfile_packing *packing, int code);
/** Gives it up without a word. */
void pump_unpacked(struct pump *pump, struct logfile_packing *packing);
/** Bytes dropped that the log does not tell yet. */
uint64_t pump_dropped(const struct pump *pump);
