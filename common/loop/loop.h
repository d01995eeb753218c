/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The event loop: the only room that sees <ev.h>, signals and waitpid. One loop a process, made by
 * main and lent downwards. Callbacks return within milliseconds. A module frees its own watchers in
 * its *_stop. A callback may free its own watcher; what else it frees of itself goes through
 * loop_defer(). Unit tests link tests/unit/fakes/loop.c, whose time moves only when the script says
 * so.
 */
#include "base/compiler.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct loop;

int loop_new(struct loop **out, struct err *err) MUST_CHECK;
void loop_free(struct loop *loop);
/** Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/** From now on a turn begins at the earliest ms after the one before, unless a timer is due: what
 * comes in hundreds is taken together. 0, as it begins: at once. */
void loop_gather(struct loop *loop, int64_t ms);
/** CLOCK_MONOTONIC in ms as of this turn; after long work call loop_update_now() first. */
int64_t loop_now_ms(struct loop *loop);
void loop_update_now(struct loop *loop);
/** Grows with each turn: events of one turn had all come when its first callback was called. */
uint64_t loop_turn(const struct loop *loop);
/** Calls cb(arg) once, after the present callback has returned. */
void loop_defer(struct loop *loop, void (*cb)(void *arg), void *arg);
/** Drops what was deferred with this arg: for an object that goes away first. */
void loop_cancel_deferred(struct loop *loop, void *arg);

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_io;
typedef void (*loop_io_cb)(void *arg, int fd, unsigned events);
/** Watches fd (borrowed) for `events` (may be 0: paused). NULL when out of memory. */
struct loop_io *loop_io_new(struct loop *loop, int fd, unsigned events, loop_io_cb cb, void *arg);
/** Changes what is watched; 0 pauses. */
void loop_io_set(struct loop_io *io, unsigned events);
void loop_io_free(struct loop_io *io); /* NULL is fine */

struct loop_timer;
typedef void (*loop_timer_cb)(void *arg);
/** A timer at rest. NULL when out of memory. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_cb cb, void *arg);
/** (Re)arms it to fire once, after_ms from now (0: next turn); CLOCK_MONOTONIC. */
void loop_timer_start(struct loop_timer *timer, int64_t after_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_armed(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer); /* NULL is fine */

struct loop_signal;
typedef void (*loop_signal_cb)(void *arg, int signo);
/** Also unblocks the signal: one that waited since before is delivered now. */
struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_cb cb, void *arg);
void loop_signal_free(struct loop_signal *sig);

/* Wakes the loop from another thread: loop_wake() is the one function here that other threads may
 * call. */
struct loop_waker;
struct loop_waker *loop_waker_new(struct loop *loop, void (*cb)(void *arg), void *arg);
void loop_wake(struct loop_waker *waker);
void loop_waker_free(struct loop_waker *waker);

/* Told at once when the wall clock was set or the machine was suspended. */
struct loop_clock;
/** set_ms: by how much CLOCK_REALTIME was moved (back: below 0); slept_ms: how long CLOCK_MONOTONIC
 * stood still. One of them is not 0. */
typedef void (*loop_clock_cb)(void *arg, int64_t set_ms, int64_t slept_ms);
/** NULL when out of memory or descriptors. */
struct loop_clock *loop_clock_new(struct loop *loop, loop_clock_cb cb, void *arg);
void loop_clock_free(struct loop_clock *clock); /* NULL is fine */

/* The end of a process, by its pidfd (borrowed). `info` is NULL when it was not our child (no exit
 * code known). */
struct loop_exit;
typedef void (*loop_exit_cb)(void *arg, const siginfo_t *info);
struct loop_exit *loop_exit_new(struct loop *loop, int pidfd, loop_exit_cb cb, void *arg);
void loop_exit_free(struct loop_exit *watch);

/**
 * On SIGCHLD reaps children that no loop_exit watches (PID 1 of a container, a subreaper's
 * strangers), leaving own pids to their pidfd. is_own(arg, pid) says which are ours.
 */
struct loop_reaper;
struct loop_reaper *loop_reaper_new(
	struct loop *loop, bool (*is_own)(void *arg, int pid), void *arg);
void loop_reaper_free(struct loop_reaper *reaper);
