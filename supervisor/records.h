/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One small file a slot in runtime_dir/slots/: what the next supervisor must know after a crash of
 * this one. Of fixed length, versioned and checksummed; a record that does not check out is as good
 * as none. It dies with the boot, as the processes do.
 *
 * A record has two parts. The supervisor writes the first, before each fork and whenever something
 * of it changes. The child writes the second, its claim, between fork and exec: "the start of this
 * number is me". Neither writes over the other's word, and a start without a claim never was.
 */
#include "base/compiler.h"
#include "process_fsm.h"
#include "restart_policy.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { RECORD_NAME_SIZE = 80, RECORD_EPOCH_SIZE = 20 };

struct record {
	char name[RECORD_NAME_SIZE];
	char mark[RECORD_EPOCH_SIZE];  /* of the runtime directory it belongs to */
	char epoch[RECORD_EPOCH_SIZE]; /* of the supervisor that started the instance */
	uint64_t incarnation;
	int64_t pid;				  /* 0: none was started, or its tree is gone */
	uint64_t start_time;			  /* of pid, clock ticks since boot */
	int64_t last_start_ms, last_automatic_ms; /* CLOCK_BOOTTIME, -1 none */
	int64_t before_automatic_ms; /* last_automatic_ms, should this start never have been */
	int64_t due_ms;		     /* CLOCK_BOOTTIME of a waiting or held restart, -1 none */
	int64_t started_at_ms;	     /* CLOCK_REALTIME */
	int64_t strikes;
	int64_t told_interval_ms; /* what one that speaks for itself was told */
	uint64_t restarts;
	uint64_t fingerprint; /* config_fingerprint() of what it was started with */
	enum process_state state;
	enum start_cause next_cause, end_cause;
	struct {
		enum start_cause cause; /* CAUSE_NONE: none ended yet */
		int32_t code, signal;	/* -1: none or unknown */
		int64_t at_ms;
	} last_exit;
	struct {
		uint64_t id, fence, run, attempt;
		int64_t deadline_ms; /* CLOCK_BOOTTIME */
	} task;			     /* of a transient slot; id 0: none */
	bool wanted;
	bool closed; /* the supervisor ended in order: nothing of this slot was left */
	bool held, ready, end_failed;
	bool drained; /* a worker that the operator lets take no tasks */
};

/** Opens (makes) runtime_dir/slots. @return a directory descriptor or negative errno */
int records_open(int runtime_fd, struct err *err) MUST_CHECK;
/** The slot's file, open for writing, close-on-exec. @return fd or negative errno */
int record_open(int slots_fd, const char *name, struct err *err) MUST_CHECK;
/** Writes the supervisor's part at once. @return 0 or negative errno */
int record_write(int fd, const struct record *record);
/** Its instance was being ended because the supervisor was: when that came to its end in order,
 * nothing of the slot was left. */
static inline bool record_is_of_shutdown(const struct record *r)
{
	return r->state == PROCESS_STOPPING && r->end_cause == CAUSE_SHUTDOWN;
}
/** A number that differs when what record_write() would write differs. */
uint64_t record_sum(const struct record *record);
/** Writes the claim of the calling process; for the child between fork and exec.
 * @param start_time  of the process; 0: looked up in /proc */
int record_claim(int fd, uint64_t incarnation, uint64_t start_time);
void record_remove(int slots_fd, const char *name);
/**
 * Calls `found` for each sound record of this boot; removes the others.
 * @return 0; -EMFILE, -ENFILE, -ENOMEM: some could not be read, and were left
 */
int records_read(int slots_fd, void (*found)(void *arg, const struct record *record), void *arg);
/** Copies the sound records of this boot into another directory. @return how many; negative errno
 */
int records_copy(int slots_fd, int to_fd) MUST_CHECK;
/** Changes nothing. @return how many records of this boot cannot be read; *sound: how many can */
int records_check(int slots_fd, int *sound);
/**
 * pid and start_time are those of the supervisor's part, or of a claim of the same incarnation.
 * @return 0; -EBADMSG: another length, version, checksum or boot, or values that cannot be
 */
int record_read(int fd, struct record *out) MUST_CHECK;
