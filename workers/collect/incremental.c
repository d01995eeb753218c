/* SPDX-License-Identifier: MIT */
#include "collect/incremental.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include <inttypes.h>
#include <time.h>

enum { AHEAD_MS = 86400000 }; /* clocks differ, and times without a zone by half a day */

int64_t incremental_since(const struct collect_incremental *inc, const int64_t *cursor)
{
	return cursor ? MAX(inc->first, *cursor - inc->lookback_ms) : inc->first;
}

int64_t incremental_cap(const struct collect_incremental *inc, int64_t now_ms)
{
	return inc->type == CURSOR_TIME ? now_ms + AHEAD_MS : INT64_MAX;
}

static void add_part(struct buf *out, char what, const struct tm *tm)
{
	switch (what) {
	case 'Y': buf_addf(out, "%04d", tm->tm_year + 1900); break;
	case 'm': buf_addf(out, "%02d", tm->tm_mon + 1); break;
	case 'd': buf_addf(out, "%02d", tm->tm_mday); break;
	case 'H': buf_addf(out, "%02d", tm->tm_hour); break;
	case 'M': buf_addf(out, "%02d", tm->tm_min); break;
	case 'S': buf_addf(out, "%02d", tm->tm_sec); break;
	default: buf_add_char(out, what); break;
	}
}

static const char *pattern_of(const char *format)
{
	if (str_eq(format, "rfc3339"))
		return "%Y-%m-%dT%H:%M:%SZ";
	return str_eq(format, "date") ? "%Y-%m-%d" : format;
}

void incremental_write(struct buf *out, const struct collect_incremental *inc, int64_t value)
{
	struct tm tm;
	time_t seconds = value / 1000;
	if (inc->type == CURSOR_INTEGER || str_eq(inc->format, "unix_ms")) {
		buf_addf(out, "%" PRId64, value);
		return;
	}
	if (str_eq(inc->format, "unix")) {
		buf_addf(out, "%" PRId64, value / 1000);
		return;
	}
	if (!gmtime_r(&seconds, &tm))
		return;
	for (const char *p = pattern_of(inc->format); *p; p++) {
		if (*p == '%')
			add_part(out, *++p, &tm);
		else
			buf_add_char(out, *p);
	}
}

size_t incremental_cut(const struct collect_incremental *inc, int64_t *since, int64_t until,
	int64_t *begins, size_t max)
{
	size_t n = 0;
	for (; n < max && *since < until; n++) {
		begins[n] = *since;
		*since = until - *since > inc->step_ms ? *since + inc->step_ms : until;
	}
	return n;
}
