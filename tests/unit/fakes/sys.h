/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Plays the kernel. A call of sys_* is first looked up in the script; what the script says nothing
 *of goes to the real kernel, except fork, pidfd and close_range calls, which are only played (fork
 *hands out pids from FAKE_SYS_FIRST_PID on, and pidfds that are real descriptors of /dev/null, so
 *that they can be closed).
 *
 *	fake_sys_fail(FAKE_SYS_SPLICE, 2, ENOSPC);      // the third splice from now fails
 *	fake_sys_limit(FAKE_SYS_WRITE, 0, 10);          // the next write takes 10 bytes at most
 */
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

enum fake_sys_call {
	FAKE_SYS_OPEN,
	FAKE_SYS_OPENAT,
	FAKE_SYS_CLOSE,
	FAKE_SYS_READ,
	FAKE_SYS_WRITE,
	FAKE_SYS_FSYNC,
	FAKE_SYS_RENAMEAT,
	FAKE_SYS_UNLINKAT,
	FAKE_SYS_SPLICE,
	FAKE_SYS_TEE,
	FAKE_SYS_FORK,
	FAKE_SYS_PIDFD_OPEN,
	FAKE_SYS_SEND_SIGNAL,
	FAKE_SYS_WAIT,
	FAKE_SYS_CLOSE_RANGE,
	FAKE_SYS_MEMFD,
	FAKE_SYS_CALLS
};
enum { FAKE_SYS_FIRST_PID = 100001 };

/** Forgets script, counts, forked children and signals. */
void fake_sys_reset(void);
/** After `skip` more calls that go well, one fails with errno `code`. */
void fake_sys_fail(enum fake_sys_call call, unsigned skip, int code);
/** From the call after `skip` more, every one fails until fake_sys_reset(). */
void fake_sys_fail_all(enum fake_sys_call call, unsigned skip, int code);
/** After `skip` more, one read, write, splice or tee moves at most `bytes`. */
void fake_sys_limit(enum fake_sys_call call, unsigned skip, size_t bytes);
/** Calls made since the reset, failed ones included. */
size_t fake_sys_count(enum fake_sys_call call);

/** Number of children forked; the pid and pidfd of the latest process (-1 when none). */
size_t fake_sys_forks(void);
pid_t fake_sys_last_pid(void);
int fake_sys_last_pidfd(void);
/** The pid behind a pidfd that the fake gave out, -1 when unknown. */
pid_t fake_sys_pid_of(int pidfd);
/** The last signal sent to pidfd's process since the reset, 0 when none, and how many. */
int fake_sys_last_signal(int pidfd);
size_t fake_sys_signals(int pidfd);
/** What sys_wait_pidfd() finds: the process ended with this si_code (CLD_EXITED ..) and status. */
void fake_sys_set_ended(int pidfd, int si_code, int status);
/** It is not a child of ours: sys_wait_pidfd() fails with ECHILD. */
void fake_sys_set_foreign(int pidfd);
