/* SPDX-License-Identifier: MIT */
#include "base/json_out.h"

#include "base/clock.h"
#include "base/str.h"
#include <math.h>
#include <string.h>

void json_out_init(struct json_out *j, struct buf *buf)
{
	*j = (struct json_out) { .buf = buf };
}

/* Bytes that stand for themselves: nearly all that is ever written, so they go in one piece. */
static size_t plain_span(const unsigned char *p, size_t len)
{
	size_t n = 0;
	while (n < len && p[n] >= ' ' && p[n] < 127 && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

void json_escape(struct buf *buf, const char *text, size_t len)
{
	static const char shorthand[] = "\b\t\n\f\r\"\\";
	static const char letters[] = "btnfr\"\\";
	const unsigned char *p = (const unsigned char *)text;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t cp = 0;
		n = plain_span(p + i, len - i);
		if (n) {
			buf_add(buf, p + i, n);
			continue;
		}
		n = str_utf8_decode((const char *)p + i, len - i, &cp);
		if (n == 0) {
			buf_add_str(buf, "\xEF\xBF\xBD");
			n = 1;
			continue;
		}
		const char *at = cp && cp < 128 ? strchr(shorthand, (int)cp) : NULL;
		if (at)
			buf_addf(buf, "\\%c", letters[at - shorthand]);
		else if (str_steers_terminal(cp))
			buf_addf(buf, "\\u%04x", (unsigned)cp);
		else
			buf_add(buf, p + i, n);
	}
}

static void lead(struct json_out *j, const char *key)
{
	if (j->comma)
		buf_add_char(j->buf, ',');
	j->comma = true;
	if (!key)
		return;
	buf_add_char(j->buf, '"');
	json_escape(j->buf, key, strlen(key));
	buf_add_str(j->buf, "\":");
}

void json_open_object(struct json_out *j, const char *key)
{
	lead(j, key);
	buf_add_char(j->buf, '{');
	j->comma = false;
}

void json_open_array(struct json_out *j, const char *key)
{
	lead(j, key);
	buf_add_char(j->buf, '[');
	j->comma = false;
}

void json_close_object(struct json_out *j)
{
	buf_add_char(j->buf, '}');
	j->comma = true;
}

void json_close_array(struct json_out *j)
{
	buf_add_char(j->buf, ']');
	j->comma = true;
}

void json_strn(struct json_out *j, const char *key, const char *value, size_t len)
{
	lead(j, key);
	buf_add_char(j->buf, '"');
	json_escape(j->buf, value, len);
	buf_add_char(j->buf, '"');
}

void json_str(struct json_out *j, const char *key, const char *value)
{
	if (value)
		json_strn(j, key, value, strlen(value));
	else
		json_none(j, key);
}

void json_int(struct json_out *j, const char *key, int64_t value)
{
	enum { DIGITS = 20 };
	char text[DIGITS + 1], *at = text + sizeof(text);
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	/* Of every line of log: printf would cost more than all the rest of it. */
	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		*--at = '-';
	lead(j, key);
	buf_add(j->buf, at, (size_t)(text + sizeof(text) - at));
}

void json_double(struct json_out *j, const char *key, double value)
{
	if (!isfinite(value)) {
		json_none(j, key);
		return;
	}
	lead(j, key);
	buf_addf(j->buf, "%.6g", value);
}

void json_bool(struct json_out *j, const char *key, bool value)
{
	lead(j, key);
	buf_add_str(j->buf, value ? "true" : "false");
}

void json_none(struct json_out *j, const char *key)
{
	lead(j, key);
	buf_add_str(j->buf, "null");
}

void json_time(struct json_out *j, const char *key, int64_t real_ms)
{
	char text[CLOCK_TEXT];
	json_str(j, key, real_ms > 0 ? clock_rfc3339(text, real_ms) : NULL);
}

void json_raw(struct json_out *j, const char *key, const char *json, size_t len)
{
	lead(j, key);
	buf_add(j->buf, json, len);
}
