/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Cron expressions: five fields, or six with seconds first (crontab(5), with L, W, #, ? as Quartz
 * has them). Pure: no clock, no global state, no allocation; everything here may be called from any
 * thread.
 *
 * Grammar of a field: a list of `*`, `?`, `N`, `A-B`, each but `?` with an optional `/STEP`; names
 * (JAN, MON, first three letters, any case) in the last two fields; `N/STEP` means N to the end. A
 * range whose end is smaller wraps (22-2, FRI-MON). Weekdays are 0-7, 0 and 7 are Sunday. Day of
 * month: L (last day), L-3 (three days before it), 15W (nearest weekday of the month), LW, L-3W; W
 * stands alone. Weekday: 5L (last Friday), 5#2 (second Friday).
 * `@yearly @annually @monthly @weekly @daily @midnight @hourly @every_minute @every_second`; there
 * is no @reboot.
 *
 * Day rule of Vixie cron: when one of the two day fields begins with `*` or is `?`, both must match
 * (AND), else one is enough (OR).
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct zone;

/** A parsed expression: plain data, copy it freely. Fill it with cron_parse() only. */
struct cron {
	uint64_t seconds, minutes; /* bit n = value n */
	uint32_t hours, days, months;
	uint32_t days_from_end;	       /* bit 0 = L, bit 3 = L-3 */
	uint8_t weekdays;	       /* bit 0 = Sunday */
	uint8_t last_weekdays;	       /* 5L: bit 5 */
	uint8_t nth_weekdays[5];       /* [1]: the second such day of a month */
	uint8_t workday;	       /* 15W: 15; 0 = none */
	uint8_t workday_from_end;      /* LW: 1; L-3W: 4; 0 = none */
	bool days_star, weekdays_star; /* field begins with `*` or is `?` */
	bool repeats; /* second, minute or hour by `*`, range or step: fires in both passes of a
			 repeated hour */
	bool hour_repeats; /* hour by `*`, range or step: needs no substitute for an hour that a gap
			      swallowed */
	bool never;	   /* no day matches in any year */
};

/** What to do when the local clock jumps (spec section 7). All zero is the default, and so is NULL
 * for a pointer to it. */
struct dst_policy {
	enum { DST_GAP_AFTER, DST_GAP_SKIP } gap;
	enum { DST_OVERLAP_FIRST, DST_OVERLAP_BOTH } overlap;
};

/**
 * Parses an expression of at most 512 bytes.
 * @param bad_at  NULL, or gets the offset in `text` of the byte that is wrong (text's length when
 * something is missing)
 * @return 0; -EINVAL and in err which field is wrong and what it may hold; *out is untouched then
 */
MUST_CHECK
int cron_parse(struct cron *out, const char *text, size_t *bad_at, struct err *err);

/** True when it can never be due ("0 0 30 2 *"): cron_next() would always return -ENOENT. */
bool cron_never_due(const struct cron *cron);

/**
 * The next due instant.
 * A time inside a gap of the local clock fires when the gap ends, unless the hour field is a
 * wildcard, range or step (then the hours around it go on by elapsed time) or the policy says skip.
 * A time in a repeated hour fires at its first pass only, unless second, minute or hour is a
 * wildcard, range or step, or the policy says both.
 * @param zone       borrowed; NULL = UTC
 * @param after_ms   milliseconds since 1970 UTC
 * @param inclusive  after_ms itself may be the answer
 * @param policy     NULL = default
 * @param out        milliseconds since 1970 UTC, a whole second
 * @return 0; -ENOENT nothing within CRON_HORIZON_YEARS. Bounded work (some thousand steps), never
 * blocks.
 */
MUST_CHECK
int cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, bool inclusive,
	const struct dst_policy *policy, int64_t *out);

/** What the local clock does around a due instant. */
enum cron_mark {
	CRON_PLAIN,
	CRON_GAP,    /* the end of a gap, instead of a time that the clock skips */
	CRON_FIRST,  /* its local time comes again */
	CRON_SECOND, /* its local time was there before */
};
/** Of an instant that cron_next() gave. zone and policy as there. */
enum cron_mark cron_mark(const struct cron *cron, const struct zone *zone,
	const struct dst_policy *policy, int64_t at_ms);
/** "gap", "first", "second"; NULL for CRON_PLAIN. */
const char *cron_mark_name(enum cron_mark mark);

/* 29 February on a given weekday can be 40 years away (over 2100). */
enum { CRON_TEXT_MAX = 512, CRON_HORIZON_YEARS = 44 };
