/* SPDX-License-Identifier: MIT */
#include "schedule/due.h"
#include "base/mutant.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>

static int every_next(const struct schedule *s, int64_t after_ms, bool inclusive, int64_t *out)
{
	int64_t from, gone, due;
	if (s->every_ms < 1)
		return -EINVAL;
	if (inclusive)
		from = after_ms;
	else if (__builtin_add_overflow(after_ms, 1, &from))
		return -ENOENT;
	if (from <= s->start_ms) {
		*out = s->start_ms;
		return 0;
	}
	if (__builtin_sub_overflow(from, s->start_ms, &gone))
		return -ENOENT;
	/* ceil(gone / every): from the start each time, so a late run shifts nothing */
	int64_t n = gone / s->every_ms + (gone % s->every_ms != 0);
	if (__builtin_mul_overflow(n, s->every_ms, &due) ||
		__builtin_add_overflow(due, s->start_ms, &due))
		return -ENOENT;
	*out = due;
	return 0;
}

int schedule_next(const struct schedule *s, int64_t after_ms, bool inclusive, int64_t *out)
{
	switch (s->kind) {
	case SCHEDULE_CRON: return cron_next(&s->cron, s->zone, after_ms, inclusive, &s->dst, out);
	case SCHEDULE_EVERY: return every_next(s, after_ms, inclusive, out);
	case SCHEDULE_AT:
		if (s->at_ms < after_ms || (s->at_ms == after_ms && !inclusive))
			return -ENOENT;
		*out = s->at_ms;
		return 0;
	case SCHEDULE_NONE: break;
	}
	return -ENOENT;
}

int64_t schedule_count(
	const struct schedule *s, int64_t after_ms, int64_t until_ms, int64_t limit, int64_t *last)
{
	int64_t n = 0, due;
	if (limit < 1 || schedule_next(s, after_ms, false, &due) < 0 || due > until_ms)
		return 0;
	if (s->kind == SCHEDULE_EVERY) {
		n = MIN((until_ms - due) / s->every_ms + 1, limit);
		*last = due + (n - 1) * s->every_ms;
		return n;
	}
	do {
		n++;
		*last = due;
	} while (n < limit && schedule_next(s, *last, false, &due) == 0 && due <= until_ms);
	return n;
}

/* Mixes all bits into all bits (splitmix64's finisher): due instants differ in a few bits only. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

int64_t schedule_jitter_ms(const char *job, int64_t due_ms, int64_t jitter_ms)
{
	if (jitter_ms < 1)
		return 0;
	uint64_t instant = MUTANT(JITTER_OF_THE_JOB_ALONE) ? 0 : (uint64_t)due_ms;
	uint64_t draw = mix(str_hash(job, strlen(job)) + mix(instant + 0x9e3779b97f4a7c15u));
	/* The high half of draw * jitter: as even as 64 bits are, without a division. */
	return (int64_t)(((unsigned __int128)draw * (uint64_t)jitter_ms) >> 64);
}
