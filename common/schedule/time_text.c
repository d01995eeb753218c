/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/str.h"
#include "schedule/civil.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool digits(const char **s, int count, int min, int max, int *out)
{
	int n = 0;
	for (int i = 0; i < count; i++) {
		if ((*s)[i] < '0' || (*s)[i] > '9')
			return false;
		n = n * 10 + ((*s)[i] - '0');
	}
	if (n < min || n > max)
		return false;
	*s += count;
	*out = n;
	return true;
}

static bool one_of(const char **s, const char *set)
{
	if (!**s || !strchr(set, **s))
		return false;
	(*s)++;
	return true;
}

/* ".5" to milliseconds; what is smaller is dropped. */
static bool fraction(const char **s, int *ms)
{
	int weight = 100;
	*ms = 0;
	if (**s != '.')
		return true;
	const char *d = ++*s;
	for (; **s >= '0' && **s <= '9'; (*s)++, weight /= 10)
		*ms += (**s - '0') * weight;
	return *s != d;
}

/* "Z", "+09:00" */
static bool offset(const char **s, int *seconds)
{
	int h, m, sign = **s == '-' ? -1 : 1;
	*seconds = 0;
	if (one_of(s, "Zz"))
		return true;
	if (!one_of(s, "+-") || !digits(s, 2, 0, 23, &h) || !one_of(s, ":") ||
		!digits(s, 2, 0, 59, &m))
		return false;
	*seconds = sign * (h * 3600 + m * 60);
	return true;
}

static bool parse(const char **s, int64_t *out_ms)
{
	int year, month, day, h, m, sec, ms, off;
	if (!digits(s, 4, 1, 9999, &year) || !one_of(s, "-") || !digits(s, 2, 1, 12, &month) ||
		!one_of(s, "-") || !digits(s, 2, 1, civil_month_length(year, month), &day) ||
		!one_of(s, "Tt ") || !digits(s, 2, 0, 23, &h) || !one_of(s, ":") ||
		!digits(s, 2, 0, 59, &m) || !one_of(s, ":") || !digits(s, 2, 0, 60, &sec) ||
		!fraction(s, &ms) || !offset(s, &off) || **s)
		return false;
	int64_t local = civil_days(year, month, day) * DAY_S + h * 3600 + m * 60 + sec;
	*out_ms = (local - off) * 1000 + ms;
	return true;
}

int time_parse_rfc3339(const char *text, int64_t *out_ms, size_t *bad_at, struct err *err)
{
	const char *s = text;
	int64_t ms;
	if (parse(&s, &ms)) {
		*out_ms = ms;
		return 0;
	}
	if (bad_at)
		*bad_at = (size_t)(s - text);
	return err_set(err, -EINVAL,
		"\"%.60s\" is no point in time, expected one like 2026-12-01T09:00:00Z or "
		"2026-12-01T09:00:00+09:00",
		text);
}

char *time_format_rfc3339(char *dst, int64_t real_ms, const struct zone *zone)
{
	struct zone_span span;
	int64_t utc_s = floor_div(real_ms, 1000);
	int ms = (int)floor_mod(real_ms, 1000);
	zone_span_at(zone, utc_s, &span);
	int64_t local = utc_s + span.offset_s;
	struct civil_date d = civil_date(floor_div(local, DAY_S));
	int s = (int)floor_mod(local, DAY_S);
	char fraction_text[8] = "", offset_text[16] = "Z", text[96];
	if (ms)
		(void)snprintf(fraction_text, sizeof(fraction_text), ".%03d", ms);
	/* RFC 3339 has minutes only; the seconds of offsets before 1972 are cut. */
	int minutes = span.offset_s / 60, positive = minutes < 0 ? -minutes : minutes;
	if (zone)
		(void)snprintf(offset_text, sizeof(offset_text), "%c%02d:%02d",
			minutes < 0 ? '-' : '+', positive / 60 % 100, positive % 60);
	(void)snprintf(text, sizeof(text), "%04lld-%02d-%02dT%02d:%02d:%02d%s%s",
		(long long)floor_mod(d.year, 10000), d.month, d.day, s / 3600, s / 60 % 60, s % 60,
		fraction_text, offset_text);
	(void)str_copy(dst, TIME_TEXT, text);
	return dst;
}
