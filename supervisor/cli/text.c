/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "base/str.h"
#include "schedule/due.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

static void add_written_out(struct buf *out, uint32_t cp)
{
	if (cp == '\n')
		buf_add_str(out, "\\n");
	else if (cp == '\t')
		buf_add_str(out, "\\t");
	else if (cp == '\r')
		buf_add_str(out, "\\r");
	else if (cp < 0x80)
		buf_addf(out, "\\x%02x", (unsigned)cp);
	else
		buf_addf(out, "\\u%04x", (unsigned)cp);
}

static void escape(struct buf *out, const char *s, size_t len, const char *keep)
{
	const unsigned char *p = (const unsigned char *)s;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t cp = 0;
		n = str_utf8_decode((const char *)p + i, len - i, &cp);
		if (n == 0) {
			buf_add_str(out, "\xEF\xBF\xBD");
			n = 1;
		} else if (str_steers_terminal(cp) && !(cp && cp < 0x80 && strchr(keep, (int)cp))) {
			add_written_out(out, cp);
		} else {
			buf_add(out, p + i, n);
		}
	}
}

void text_escape(struct buf *out, const char *s, size_t len)
{
	escape(out, s, len, "");
}

void text_escape_lines(struct buf *out, const char *s, size_t len)
{
	escape(out, s, len, "\n\t");
}

static size_t columns_of(uint32_t cp)
{
	int w = wcwidth((wchar_t)cp);
	return w < 0 ? 1 : (size_t)w;
}

size_t text_width(const char *s)
{
	size_t len = strlen(s), width = 0;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t cp = 0;
		n = str_utf8_decode(s + i, len - i, &cp);
		width += n ? columns_of(cp) : 1;
		n = n ? n : 1;
	}
	return width;
}

void text_cut(struct buf *out, const char *s, size_t columns, const char *ellipsis)
{
	if (text_width(s) <= columns) {
		buf_add_str(out, s);
		return;
	}
	size_t room = columns - MIN(columns, text_width(ellipsis)), width = 0, len = strlen(s),
	       i = 0;
	while (i < len) {
		uint32_t cp = 0;
		size_t n = str_utf8_decode(s + i, len - i, &cp);
		size_t w = n ? columns_of(cp) : 1;
		if (width + w > room)
			break;
		width += w;
		i += n ? n : 1;
	}
	buf_add(out, s, i);
	if (columns >= text_width(ellipsis))
		buf_add_str(out, ellipsis);
}

char *text_span(char *dst, size_t size, int64_t ms)
{
	int64_t s = ms / 1000;
	if (ms < 0)
		snprintf(dst, size, "0s");
	else if (ms < 1000)
		snprintf(dst, size, "%" PRId64 "ms", ms);
	else if (s < 10)
		snprintf(dst, size, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(dst, size, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(dst, size, "%" PRId64 "m%" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(dst, size, "%" PRId64 "h%" PRId64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(dst, size, "%" PRId64 "d%" PRId64 "h", s / 86400, s % 86400 / 3600);
	return dst;
}

char *text_count(char *dst, size_t size, int64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, n);
	size_t at = 0;
	for (int i = 0; i < len && at + 2 < size; i++) {
		dst[at++] = digits[i];
		int left = len - 1 - i;
		if (left > 0 && left % 3 == 0 && digits[i] != '-')
			dst[at++] = ',';
	}
	dst[at] = '\0';
	return dst;
}

char *text_number(char *dst, size_t size, int64_t n)
{
	snprintf(dst, size, "%" PRId64, n);
	return dst;
}

char *text_bytes(char *dst, size_t size, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	if (bytes <= 0)
		*dst = '\0';
	else
		snprintf(dst, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return dst;
}

int64_t text_time(const char *rfc3339)
{
	int64_t ms = 0;
	if (!rfc3339 || time_parse_rfc3339(rfc3339, &ms, NULL, NULL) < 0)
		return 0;
	return ms;
}

char *text_when(char *dst, size_t size, int64_t at_ms, int64_t now_ms)
{
	char span[TEXT_SPAN];
	if (at_ms == 0)
		snprintf(dst, size, "-");
	else if (at_ms > now_ms)
		snprintf(dst, size, "in %s", text_span(span, sizeof(span), at_ms - now_ms));
	else if (now_ms - at_ms < 1000)
		snprintf(dst, size, "now");
	else
		snprintf(dst, size, "%s ago", text_span(span, sizeof(span), now_ms - at_ms));
	return dst;
}
