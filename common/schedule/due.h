/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * When a job is due: by cron, every so often, or once. Pure arithmetic on nominal instants
 * (milliseconds since 1970 UTC): the same question has the same answer in every process, which
 * makes (job, instant) a key.
 */
#include "base/compiler.h"
#include "schedule/cron.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* What becomes of a due time whose job still has a run that is not finished. */
enum overlap {
	OVERLAP_ALLOW, /* it runs beside */
	OVERLAP_SKIP,  /* it is skipped */
	OVERLAP_QUEUE, /* it waits; at most one does, further ones are told that they are part of it
			*/
	OVERLAP_REPLACE /* the run before is cancelled, and when it has ended this one begins */
};
/* What becomes of due times that passed while nobody was there to see. */
enum catch_up { CATCH_UP_NONE, CATCH_UP_LAST, CATCH_UP_ALL };
/* Which ends of the jobs it follows a job runs after. */
enum after_end { AFTER_SUCCESS, AFTER_FAILURE, AFTER_END };

struct schedule {
	enum schedule_kind { SCHEDULE_NONE, SCHEDULE_CRON, SCHEDULE_EVERY, SCHEDULE_AT } kind;
	/* SCHEDULE_CRON */
	struct cron cron;
	const struct zone *zone; /* borrowed; NULL = UTC */
	struct dst_policy dst;
	/* SCHEDULE_EVERY: due at start_ms + n x every_ms, n = 0, 1, ... */
	int64_t start_ms, every_ms;
	/* SCHEDULE_AT */
	int64_t at_ms;
	int64_t jitter_ms; /* of any kind: see schedule_jitter_ms() */
};

/**
 * The first due instant after after_ms (or at it, when inclusive).
 * @return 0; -ENOENT there is none (SCHEDULE_NONE, `at` is over, cron is never due); -EINVAL
 * every_ms < 1
 */
MUST_CHECK
int schedule_next(const struct schedule *schedule, int64_t after_ms, bool inclusive, int64_t *out);

/**
 * How many due instants lie in (after_ms, until_ms], counted up to `limit`; *last gets the last one
 * counted or is left alone. For catching up after a pause: the work is bounded by `limit`, for
 * `every` it is one division.
 */
int64_t schedule_count(const struct schedule *schedule, int64_t after_ms, int64_t until_ms,
	int64_t limit, int64_t *last);

/**
 * How long after the nominal instant due_ms the job begins: in [0, jitter_ms), evenly spread over
 * jobs and instants. A pure function of the three: every process, before and after a restart, gets
 * the same. The due time's key stays due_ms.
 * @param jitter_ms  below 1: no jitter, the answer is 0
 */
int64_t schedule_jitter_ms(const char *job, int64_t due_ms, int64_t jitter_ms);

/**
 * RFC 3339 with a mandatory offset ("2026-12-01T00:00:00Z", "2026-12-01 09:00:00.5+09:00"), years
 * 1970-9999. Below a millisecond it rounds down; second 60 is the same instant as the next minute.
 * @param bad_at  NULL, or gets the offset of the byte that is wrong
 * @return 0; -EINVAL with words in err; *out_ms is untouched then
 */
MUST_CHECK
int time_parse_rfc3339(const char *text, int64_t *out_ms, size_t *bad_at, struct err *err);

/** "2026-11-21T17:45:00+09:00" in the zone (NULL = UTC, "Z"); milliseconds only when there are any.
 * @return dst */
enum { TIME_TEXT = 40 };
char *time_format_rfc3339(char *dst, int64_t real_ms, const struct zone *zone);
