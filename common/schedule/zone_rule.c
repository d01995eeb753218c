/* SPDX-License-Identifier: MIT */
#include "schedule/zone_rule.h"
#include "schedule/civil.h"
#include "schedule/zone.h"
#include <errno.h>
#include <string.h>

struct reader {
	const char *s, *end;
};

static bool take(struct reader *r, char c)
{
	if (r->s == r->end || *r->s != c)
		return false;
	r->s++;
	return true;
}

static bool take_number(struct reader *r, int max, int *out)
{
	const char *s = r->s;
	int n = 0;
	while (s < r->end && *s >= '0' && *s <= '9' && n <= max)
		n = n * 10 + (*s++ - '0');
	if (s == r->s || n > max)
		return false;
	r->s = s;
	*out = n;
	return true;
}

/* "CET", or "<+0530>" for names that are not letters. */
static bool take_name(struct reader *r, char out[8])
{
	bool quoted = take(r, '<');
	size_t n = 0;
	while (r->s < r->end) {
		char c = *r->s;
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		bool other = quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-');
		if (!letter && !other)
			break;
		if (n < 7)
			out[n++] = c;
		r->s++;
	}
	out[n] = '\0';
	return n >= 3 && (!quoted || take(r, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct reader *r, int max_hours, int32_t *out)
{
	int sign = 1, h, m = 0, s = 0;
	if (take(r, '-'))
		sign = -1;
	else
		(void)take(r, '+');
	if (!take_number(r, max_hours, &h))
		return false;
	if (take(r, ':')) {
		if (!take_number(r, 59, &m))
			return false;
		if (take(r, ':') && !take_number(r, 59, &s))
			return false;
	}
	*out = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool take_date(struct reader *r, struct zone_rule_time *out)
{
	*out = (struct zone_rule_time) { .time_s = 2 * 3600 };
	if (take(r, 'M')) {
		out->form = RULE_MONTH;
		if (!take_number(r, 12, &out->month) || !take(r, '.') ||
			!take_number(r, 5, &out->week) || !take(r, '.') ||
			!take_number(r, 6, &out->day))
			return false;
		if (out->month < 1 || out->week < 1)
			return false;
	} else {
		out->form = take(r, 'J') ? RULE_JULIAN : RULE_DAY;
		if (!take_number(r, 365, &out->day) || (out->form == RULE_JULIAN && out->day < 1))
			return false;
	}
	return !take(r, '/') || take_time(r, 167, &out->time_s);
}

int zone_rule_parse(struct zone_rule *out, const char *text, size_t len)
{
	struct reader r = { text, text + len };
	struct zone_rule rule = { .has_daylight = false };
	int32_t west;
	if (!take_name(&r, rule.standard) || !take_time(&r, 24, &west))
		return -EINVAL;
	rule.standard_s = -west; /* POSIX counts westwards */
	if (r.s < r.end) {
		rule.has_daylight = true;
		rule.daylight_s = rule.standard_s + 3600;
		if (!take_name(&r, rule.daylight))
			return -EINVAL;
		if (r.s < r.end && *r.s != ',') {
			if (!take_time(&r, 24, &west))
				return -EINVAL;
			rule.daylight_s = -west;
		}
		if (!take(&r, ',') || !take_date(&r, &rule.start) || !take(&r, ',') ||
			!take_date(&r, &rule.end) || r.s != r.end)
			return -EINVAL;
	}
	*out = rule;
	return 0;
}

/* The local second, as if local time were UTC, at which the rule applies in that year. */
static int64_t rule_local_s(const struct zone_rule_time *t, int64_t year)
{
	int64_t day = 0;
	switch (t->form) {
	case RULE_JULIAN: /* day 60 is always 1 March */
		day = civil_days(year, 1, 1) + t->day - 1 +
		      (t->day >= 60 && civil_month_length(year, 2) == 29);
		break;
	case RULE_DAY: day = civil_days(year, 1, 1) + t->day; break;
	case RULE_MONTH: {
		int64_t first = civil_days(year, t->month, 1);
		int64_t d = (t->day - civil_weekday(first) + 7) % 7 + (t->week - 1) * 7;
		while (d >= civil_month_length(year, t->month))
			d -= 7;
		day = first + d;
		break;
	}
	}
	return day * DAY_S + t->time_s;
}

struct change {
	int64_t at_s;
	bool daylight; /* from then on */
};

void zone_rule_span_at(const struct zone_rule *rule, int64_t utc_s, struct zone_span *out)
{
	/* Far from any year that matters, and away from overflow. */
	int64_t bound = INT64_C(1) << 55, at = utc_s > bound	? bound
					       : utc_s < -bound ? -bound
								: utc_s;
	struct change changes[6] = { { 0, false } };
	size_t n = 0;
	bool daylight = false;
	*out = (struct zone_span) { .start_s = INT64_MIN, .end_s = INT64_MAX };
	if (rule->has_daylight) {
		int64_t year = civil_date(floor_div(at + rule->standard_s, DAY_S)).year;
		for (int64_t y = year - 1; y <= year + 1; y++) {
			struct change pair[2] = {
				{ rule_local_s(&rule->end, y) - rule->daylight_s, false },
				{ rule_local_s(&rule->start, y) - rule->standard_s, true },
			};
			for (size_t i = 0; i < 2;
				i++) { /* insertion keeps the end first on a tie */
				size_t k = n++;
				for (; k > 0 && changes[k - 1].at_s > pair[i].at_s; k--)
					changes[k] = changes[k - 1];
				changes[k] = pair[i];
			}
		}
		for (size_t i = 0; i < n; i++) {
			if (changes[i].at_s > at) {
				out->end_s = changes[i].at_s;
				break;
			}
			out->start_s = changes[i].at_s;
			daylight = changes[i].daylight;
		}
	}
	out->offset_s = daylight ? rule->daylight_s : rule->standard_s;
	memcpy(out->abbr, daylight ? rule->daylight : rule->standard, sizeof(out->abbr));
}
