/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Drives the fake loop: time moves, descriptors become ready and processes end only when the script
 *says so.
 *
 *	struct loop *loop;                      // loop_new() as ever; it starts at
 *FAKE_LOOP_START_MS supervisor_start(.., loop, ..); fake_loop_advance(loop, 100);           // 100
 *ms pass: timers fire in order of due time, then of arming fake_loop_fd(loop, fd, LOOP_READ);  //
 *fd can be read fake_loop_exit(loop, pidfd, &info);     // that process ended
 *
 * What was deferred runs after each callback. Signals, exits and wake-ups are delivered at once.
 *loop_run() advances from timer to timer until loop_stop() and fails the test when nothing is left
 *that could happen. When fakes/clock.c is linked too, its clocks move with the loop.
 */
#include "loop/loop.h"
#include <stddef.h>

enum { FAKE_LOOP_START_MS = 1000000 };

/** Lets `ms` pass; timers armed meanwhile fire too if they fall due. 0: what is due now. */
void fake_loop_advance(struct loop *loop, int64_t ms);
/** Moves time at once, then fires all that fell due: a process that was stopped or starved. */
void fake_loop_stall(struct loop *loop, int64_t ms);
/** Ms until the next timer, -1 when none is armed. */
int64_t fake_loop_next_ms(const struct loop *loop);
/** Makes fd ready once, as far as it is watched. @return how many callbacks were made */
size_t fake_loop_fd(struct loop *loop, int fd, unsigned events);
/** The events that fd is watched for at present. */
unsigned fake_loop_watched(const struct loop *loop, int fd);
/** @return true when somebody listened */
bool fake_loop_signal(struct loop *loop, int signo);
/** The process of pidfd ended; info NULL: not a child of ours. @return true when somebody watched
 * it */
bool fake_loop_exit(struct loop *loop, int pidfd, const siginfo_t *info);
/** True while pidfd is watched for its end. */
bool fake_loop_awaits(const struct loop *loop, int pidfd);
/** Watchers of all kinds that exist, and calls that are deferred: 0 at the end of a clean script.
 */
size_t fake_loop_watchers(const struct loop *loop);
