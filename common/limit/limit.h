/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Exact sliding windows in a shared file (D3). A call holds its place from its sending until one
 * period after its end (answer, error, or death of its holder), so that in no window of a period
 * the server sees more than the limit: stamps of sending alone let it see 107 calls in a window of
 * 100. One OFD lock guards the file; each process holds an OFD lock on a byte of its own, whose
 * absence tells its death. Stamps are CLOCK_BOOTTIME with the boot id; after a reboot every window
 * counts as used up for one period.
 *
 * Beside its windows a set may have a controller of how many calls at a time the server can stand
 * (adapt.h), keeps to the budget that the server's headers tell of, and reopens with one call at a
 * time after it was closed. These three need a window of concurrency, by which calls under way are
 * counted.
 */
#include "base/compiler.h"
#include "limit/adapt.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct limits;

struct limit_window {
	int64_t count;	   /* calls, 1..100000 */
	int64_t period_ms; /* 0: concurrency (a place is free again when its call ended) */
};
struct limit_spec {
	const char *key; /* "provider/kto", "host/docs.example.org:443": one name, one set of
			    windows for all processes */
	const struct limit_window *windows;
	size_t window_count;  /* at most 8 */
	int64_t min_delay_ms; /* from one sending to the next, 0: none */
	bool adaptive;	      /* below its window of concurrency, as the server can stand */
};
struct limit_permit {
	uint64_t id;	   /* 0: holds nothing */
	uint32_t place[8]; /* window << 28 | place in its ring */
	uint32_t windows;
	uint64_t entry;
	int64_t start_us, cap; /* cap: of an adaptive set; 0: it is none */
};
/* How a call ended, and what its answer said about those to come. */
struct limit_ending {
	enum limit_end how;
	int64_t seen_us;   /* CLOCK_BOOTTIME at which its answer began: the server had seen it by
			      then; 0: now */
	bool has_budget;   /* the two below */
	int64_t remaining; /* calls that the server will still take */
	int64_t reset_ms;  /* until it counts anew */
};

/** Opens or creates the file (0660). A file of another layout or a damaged one is replaced, counted
 * as used up. */
int limits_open(struct limits **out, const char *path, struct err *err) MUST_CHECK;
void limits_close(
	struct limits *limits); /* held permits end as if their holder died; NULL is fine */
/**
 * Takes a place in every window, or in none. Never blocks beyond the file lock.
 * @return 0 granted and *permit; > 0 milliseconds after which to try again (at most 60 s); negative
 * errno
 */
int64_t limits_acquire(struct limits *limits, const struct limit_spec *spec,
	struct limit_permit *permit) MUST_CHECK;
/** limits_acquire for several sets at once: a place in every window of all of them, or in none. */
int64_t limits_acquire_all(struct limits *limits, const struct limit_spec *specs, size_t count,
	struct limit_permit *permits) MUST_CHECK;
/**
 * Of permits of limits_acquire_all that were kept a while before the call goes out: it would now.
 * @return 0: it goes; > 0: others went meanwhile, milliseconds after which to ask again
 */
int64_t limits_sends(struct limits *limits, struct limit_permit *permits, size_t count) MUST_CHECK;
/** The call ended now with an answer. Safe on an empty permit; empties it. */
void limits_release(struct limits *limits, struct limit_permit *permit);
void limits_end(
	struct limits *limits, struct limit_permit *permit, const struct limit_ending *ending);
/** Closes the key for `ms` from now for all processes (429, Retry-After): limits_acquire says how
 * long. Then it opens for one call, and for one more with each good answer. */
void limits_close_until(struct limits *limits, const char *key, int64_t ms);
struct limit_usage {
	int64_t used, count, period_ms, reopens_in_ms;
};
/** What is left, for status. @return windows written, at most 8 */
size_t limits_usage(
	struct limits *limits, const struct limit_spec *spec, struct limit_usage out[8]);

enum { LIMIT_NAME_MAX = 128 };
/* One set as it lies in the file. */
struct limit_state {
	char key[LIMIT_NAME_MAX]; /* cut when longer */
	struct limit_usage windows[8];
	size_t window_count;
	int64_t active;	      /* calls under way; -1: not counted */
	int64_t allowed;      /* by the controller; 0: it has none */
	int64_t delay_ms;     /* the controller's */
	int64_t closed_ms;    /* closed for so long; 0: open */
	int64_t reopening;    /* calls at a time for now; 0: no bound by this */
	int64_t remaining;    /* by the server's headers; -1: unknown */
	int64_t remaining_ms; /* until it counts anew */
	int64_t opens_ms;     /* when the next call may go at the earliest; 0: now */
};
/** Sets that were used, from `*cursor` (0 first) on. @return how many were written, 0 at the end;
 * negative errno */
int limits_list(
	struct limits *limits, size_t *cursor, struct limit_state *out, size_t max) MUST_CHECK;
