/* SPDX-License-Identifier: MIT */
#include "config/report.h"

#include "base/buf.h"
#include "base/str.h"
#include "config/source.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A longer line is shown in part. */
enum { SHOWN_CHARACTERS = 160, SHOWN_BEFORE = 60 };

void report_finish(struct report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->items[i].text);
	*report = (struct report) { 0 };
}

static bool same_place(const struct config_mark *a, const struct config_mark *b)
{
	return a->file == b->file && a->line == b->line && a->column == b->column;
}

void report_addv(struct report *report, const struct config_mark *mark, const char *fmt, va_list ap)
{
	char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0) {
		report->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < report->count; i++) {
		const struct report_entry *old = &report->items[i];
		if (same_place(&old->mark, mark) && str_eq(old->text, text)) {
			free(text);
			return;
		}
	}
	if (report->count == REPORT_MAX) {
		report->dropped++;
		free(text);
		return;
	}
	report->items[report->count] =
		(struct report_entry) { .mark = *mark, .text = text, .order = report->count };
	report->count++;
}

void report_add(struct report *report, const struct config_mark *mark, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_addv(report, mark, fmt, ap);
	va_end(ap);
}

/* Columns on a terminal; the caret must stand below wide characters too. */
static int cells(const char *p, size_t bytes)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t c = u[0];
	if (bytes == 2)
		c = (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	else if (bytes == 3)
		c = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	else if (bytes == 4)
		c = (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
		    (u[3] & 0x3fu);
	if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f))
		return 0;
	return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
			       (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
			       (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
			       (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
			       (c >= 0x20000 && c <= 0x3fffd)
		       ? 2
		       : 1;
}

/* One character of a file that nobody has vouched for: nothing may steer the terminal (X4). */
static int add_character(struct buf *out, const char *p, size_t bytes)
{
	unsigned char c = (unsigned char)*p, d = bytes > 1 ? (unsigned char)p[1] : 0;
	bool bidi =
		bytes == 3 && c == 0xe2 &&
		((d == 0x80 && (unsigned char)p[2] >= 0xa8 && (unsigned char)p[2] <= 0xae) ||
			(d == 0x81 && (unsigned char)p[2] >= 0xa6 && (unsigned char)p[2] <= 0xa9));
	if (c < 0x20 || c == 0x7f || (bytes == 1 && c >= 0x80) || (c == 0xc2 && d < 0xa0) || bidi) {
		buf_add_char(out, c == '\t' ? ' ' : '?');
		return 1;
	}
	buf_add(out, p, bytes);
	return cells(p, bytes);
}

static void add_excerpt(
	struct buf *out, const struct config_mark *mark, const char *line, size_t len, bool color)
{
	size_t skip = mark->column > SHOWN_CHARACTERS - 20 ? mark->column - SHOWN_BEFORE : 0;
	size_t column = 1, before = 0, under = 0;
	buf_addf(out, "%5zu | %s", mark->line, skip ? "..." : "");
	before = skip ? 3 : 0;
	for (size_t i = 0, n; i < len; i += n, column++) {
		n = source_char_bytes(line + i, len - i);
		if (column <= skip)
			continue;
		if (column > skip + SHOWN_CHARACTERS) {
			buf_add_str(out, "...");
			break;
		}
		size_t wide = (size_t)add_character(out, line + i, n);
		if (column < mark->column)
			before += wide;
		else if (column - mark->column < mark->width)
			under += wide;
	}
	buf_addf(out, "\n      | %*s%s^", (int)before, "", color ? "\033[1;32m" : "");
	for (size_t i = 1; i < under; i++)
		buf_add_char(out, '~');
	buf_addf(out, "%s\n", color ? "\033[0m" : "");
}

static void add_text(struct buf *out, const char *text)
{
	for (size_t len = strlen(text), i = 0, n; i < len; i += n) {
		n = source_char_bytes(text + i, len - i);
		add_character(out, text + i, n);
	}
}

void report_write_one(struct buf *out, const struct config_mark *mark, const char *text,
	const char *line, size_t len, bool color)
{
	buf_add_str(out, color ? "\033[1m" : "");
	add_text(out, mark->file ? mark->file : "");
	if (mark->line)
		buf_addf(out, ":%zu:%zu", mark->line, mark->column);
	buf_add_str(out, color ? ": \033[31merror:\033[39m " : ": error: ");
	add_text(out, text);
	buf_add_str(out, color ? "\033[0m\n" : "\n");
	if (line && mark->line)
		add_excerpt(out, mark, line, len, color);
}

static const struct source *source_of(
	const struct report_entry *e, const struct source *sources, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sources[i].name == e->mark.file)
			return &sources[i];
	return NULL;
}

struct sort_key {
	const struct source *sources;
	size_t count;
};

static int by_place(const void *a, const void *b, void *arg)
{
	const struct report_entry *x = a, *y = b;
	const struct sort_key *key = arg;
	const struct source *s = source_of(x, key->sources, key->count);
	const struct source *t = source_of(y, key->sources, key->count);
	if (s != t)
		return !s ? 1 : !t ? -1 : s < t ? -1 : 1;
	if (x->mark.line != y->mark.line)
		return x->mark.line < y->mark.line ? -1 : 1;
	if (x->mark.column != y->mark.column)
		return x->mark.column < y->mark.column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void report_write(struct report *report, const struct source *sources, size_t count, bool color,
	struct buf *out)
{
	struct sort_key key = { sources, count };
	qsort_r(report->items, report->count, sizeof(report->items[0]), by_place, &key);
	for (size_t i = 0; i < report->count; i++) {
		const struct report_entry *e = &report->items[i];
		const struct source *s = source_of(e, sources, count);
		size_t len = 0;
		const char *line = s && s->len ? source_line(s, e->mark.line, &len) : NULL;
		report_write_one(out, &e->mark, e->text, line, len, color);
	}
	if (report->dropped)
		buf_addf(out, "and %zu more errors\n", report->dropped);
	if (report->out_of_memory)
		buf_add_str(out, "drover: error: out of memory while reading the configuration\n");
}
