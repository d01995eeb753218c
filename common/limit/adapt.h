/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How many calls at a time a provider can stand: pure arithmetic over the ends of calls, between 1
 * and a cap. Up while calls succeed and more at a time bring more in all, down when they do not;
 * halved when less than 80% succeed or the server asks for patience. Below one call at a time it
 * goes on with a delay between calls. The state lies in the file of limits: whoever knows it last
 * goes on, whatever process that is. Times in microseconds of one clock.
 *
 * Whether more at a time bring more is told by how long they take (Little's law: calls a second =
 * calls at a time / time of a call), so calls of different lengths only need more of them.
 */
#include <stdbool.h>
#include <stdint.h>

/* How a call ended, as far as it says something about the server. */
enum limit_end {
	LIMIT_ANSWERED,	  /* it had an answer that it wanted to give */
	LIMIT_TROUBLE,	  /* an answer of failure (5xx) */
	LIMIT_SLOWED,	  /* the server asks for patience (429) */
	LIMIT_UNANSWERED, /* timeout, broken connection: it may have arrived, and may still do */
	LIMIT_UNSENT,	  /* nothing was sent: no call at all */
};

/* What was measured at one level. Mean and variance of how long good calls took. */
struct adapt_sample {
	int64_t level, count;
	double mean_us, m2; /* Welford's */
};

struct adapt {
	int64_t allowed;	  /* calls at a time; 0: nothing is known yet */
	int64_t delay_us;	  /* from one call to the next, when one at a time is too much */
	int64_t mode;		  /* enum adapt_mode */
	int64_t ceiling;	  /* this many were too many; 0: nothing known */
	int64_t ceiling_until_us; /* when that is doubted */
	int64_t doubt_us;	  /* how long it is believed next time */
	int64_t look_down_us;	  /* when fewer are tried */
	int64_t down_wait_us;	  /* how long after a try in vain the next comes */
	int64_t changed_us;	  /* calls that began before this say nothing about `allowed` */
	int64_t good, bad;	  /* ends since then */
	int64_t skip;		  /* ends that still show the level before */
	int64_t measured_us;	  /* since when `now` is measured */
	int64_t busy_us;	  /* how long all calls took that ended since then */
	int64_t best_us;	  /* mean of the level that was kept, when it was */
	struct adapt_sample now, kept; /* kept: of the level that a try is compared with */
};

/** How many may be under way; cap when nothing is known against it. */
int64_t adapt_allowed(struct adapt *a, int64_t cap, int64_t now_us);
void adapt_ended(
	struct adapt *a, int64_t cap, enum limit_end how, int64_t began_us, int64_t now_us);
