/* SPDX-License-Identifier: MIT */
#include "base/mutant.h"
#include "schedule/civil.h"
#include "schedule/cron.h"
#include "schedule/cron_days.h"
#include "schedule/zone.h"
#include <errno.h>
#include <string.h>

/* One month, with what is needed to judge its days. */
struct month {
	int64_t year, first; /* days since 1970 of its first day */
	int number, length;
};

static struct month month_of(int64_t days)
{
	struct civil_date date = civil_date(days);
	return (struct month) {
		.year = date.year,
		.first = days - date.day + 1,
		.number = date.month,
		.length = civil_month_length(date.year, date.month),
	};
}

/* The weekday nearest to `day` that is in the same month, 0 when the month has no such day. */
static int nearest_workday(const struct month *m, int day)
{
	if (day < 1 || day > m->length)
		return 0;
	int weekday = civil_weekday(m->first + day - 1);
	if (weekday == 6)
		return day > 1 ? day - 1 : day + 2;
	if (weekday == 0)
		return day < m->length ? day + 1 : day - 2;
	return day;
}

static _Thread_local uint64_t judged;

uint64_t cron_days_judged(void)
{
	return judged;
}

static bool day_matches(const struct cron *c, const struct month *m, int day)
{
	judged++;
	int weekday = civil_weekday(m->first + day - 1);
	bool by_day = (c->days >> day & 1) || (c->days_from_end >> (m->length - day) & 1) ||
		      (c->workday && nearest_workday(m, c->workday) == day) ||
		      (c->workday_from_end &&
			      nearest_workday(m, m->length - c->workday_from_end + 1) == day);
	bool by_weekday = (c->weekdays >> weekday & 1) ||
			  ((c->last_weekdays >> weekday & 1) && day + 7 > m->length) ||
			  (c->nth_weekdays[(day - 1) / 7] >> weekday & 1);
	if (c->days_star || c->weekdays_star)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

bool cron_some_day_matches(const struct cron *c)
{
	/* There are fourteen kinds of years: 28 in a row hold them all (2001-2028). */
	int64_t end = civil_days(2029, 1, 1);
	for (int64_t d = civil_days(2001, 1, 1); d < end;) {
		struct month m = month_of(d);
		for (int day = 1; (c->months >> m.number & 1) && day <= m.length; day++)
			if (day_matches(c, &m, day))
				return true;
		d += m.length;
	}
	return false;
}

/* The lowest set bit at or above `from`, -1 when there is none. */
static int next_bit(uint64_t bits, int from)
{
	uint64_t rest = from < 64 ? bits >> from << from : 0;
	return rest ? __builtin_ctzll(rest) : -1;
}

/* The first matching second of a day at or after `from`, -1 when there is none. */
static int next_in_day(const struct cron *c, int from)
{
	int hour = from / 3600, minute = from / 60 % 60, second = from % 60;
	int h = next_bit(c->hours, hour);
	if (h == hour) {
		int m = next_bit(c->minutes, minute);
		int s = m == minute ? next_bit(c->seconds, second) : -1;
		if (s >= 0)
			return h * 3600 + m * 60 + s;
		if (m == minute)
			m = next_bit(c->minutes, minute + 1);
		if (m >= 0)
			return h * 3600 + m * 60 + next_bit(c->seconds, 0);
		h = next_bit(c->hours, hour + 1);
	}
	if (h < 0)
		return -1;
	return h * 3600 + next_bit(c->minutes, 0) * 60 + next_bit(c->seconds, 0);
}

/* The first match in [from, limit) of local time, in seconds as if local time were UTC. */
static bool next_local(const struct cron *c, int64_t from, int64_t limit, int64_t *out)
{
	int64_t day = floor_div(from, DAY_S);
	int second = (int)floor_mod(from, DAY_S);
	while (day * DAY_S + second < limit) {
		struct month m = month_of(day);
		int first = (int)(day - m.first) + 1;
		for (int d = first; (c->months >> m.number & 1) && d <= m.length; d++, second = 0) {
			int found = day_matches(c, &m, d) ? next_in_day(c, second) : -1;
			if (found < 0)
				continue;
			*out = (m.first + d - 1) * DAY_S + found;
			return *out < limit;
		}
		day = m.first + m.length;
		second = 0;
	}
	return false;
}

/* A span of local time without jumps, and the one before it. */
struct stretch {
	struct zone_span span;
	int32_t before_s; /* offset of the span before; the same when there is none */
};

static void stretch_at(const struct zone *zone, int64_t utc_s, struct stretch *out)
{
	zone_span_at(zone, utc_s, &out->span);
	out->before_s = out->span.offset_s;
	if (out->span.start_s != INT64_MIN) {
		struct zone_span before;
		zone_span_at(zone, out->span.start_s - 1, &before);
		out->before_s = before.offset_s;
	}
}

/* A gap ends at the stretch's beginning, and swallowed a time that has no other. */
static bool has_substitute(
	const struct cron *c, const struct stretch *st, const struct dst_policy *policy)
{
	int64_t local, start = st->span.start_s;
	int32_t offset = st->span.offset_s;
	return policy->gap == DST_GAP_AFTER && !c->hour_repeats && offset > st->before_s &&
	       !MUTANT(CRON_GAP_LOST) &&
	       next_local(c, start + st->before_s, start + offset, &local);
}

/* The first due second in [from_s, until_s), which lies in the stretch. */
static bool next_in_stretch(const struct cron *c, const struct stretch *st, int64_t from_s,
	int64_t until_s, const struct dst_policy *policy, int64_t *out)
{
	int32_t offset = st->span.offset_s;
	int64_t local;
	if (from_s == st->span.start_s && has_substitute(c, st, policy)) {
		*out = from_s; /* what the gap swallowed fires when the gap ends, once */
		return true;
	}
	int64_t first = from_s + offset;
	bool once = policy->overlap == DST_OVERLAP_FIRST && !c->repeats;
	if (MUTANT(CRON_OVERLAP_TWICE))
		once = false;
	if (once && offset < st->before_s && first < st->span.start_s + st->before_s)
		first = st->span.start_s +
			st->before_s; /* up to here local time is being repeated */
	if (first >= until_s + offset || !next_local(c, first, until_s + offset, &local))
		return false;
	*out = local - offset;
	return true;
}

static const struct dst_policy by_default;

int cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, bool inclusive,
	const struct dst_policy *policy, int64_t *out)
{
	const int64_t year_1 = -62135596800, year_10000 = 253402300800;
	if (cron->never)
		return -ENOENT;
	int64_t from = inclusive ? -floor_div(-MAX(after_ms, -INT64_MAX), 1000)
				 : floor_div(after_ms, 1000) + 1;
	from = MAX(from, year_1);
	int64_t horizon = MIN(year_10000, from + (int64_t)CRON_HORIZON_YEARS * 366 * DAY_S);
	while (from < horizon) {
		struct stretch st;
		int64_t due;
		stretch_at(zone, from, &st);
		int64_t until = MIN(st.span.end_s, horizon);
		if (next_in_stretch(cron, &st, from, until, policy ? policy : &by_default, &due)) {
			*out = due * 1000;
			return 0;
		}
		from = until;
	}
	return -ENOENT;
}

enum cron_mark cron_mark(const struct cron *cron, const struct zone *zone,
	const struct dst_policy *policy, int64_t at_ms)
{
	struct stretch st;
	struct zone_span next;
	int64_t at = floor_div(at_ms, 1000);
	stretch_at(zone, at, &st);
	int64_t local = at + st.span.offset_s;
	if (at == st.span.start_s && has_substitute(cron, &st, policy ? policy : &by_default))
		return CRON_GAP;
	if (st.span.start_s != INT64_MIN && local < st.span.start_s + st.before_s)
		return CRON_SECOND;
	if (st.span.end_s == INT64_MAX)
		return CRON_PLAIN;
	zone_span_at(zone, st.span.end_s, &next);
	return local >= st.span.end_s + next.offset_s ? CRON_FIRST : CRON_PLAIN;
}

const char *cron_mark_name(enum cron_mark mark)
{
	static const char *const names[] = { NULL, "gap", "first", "second" };
	return names[mark];
}
