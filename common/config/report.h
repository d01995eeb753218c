/* SPDX-License-Identifier: MIT */
#pragma once
/* Collects errors with their places and writes them in a compiler's style, in the order of the
 * files. */
#include "base/compiler.h"
#include "config/field.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct source;

enum { REPORT_MAX = 100 };

struct report_entry {
	struct config_mark mark; /* line 0: the file as a whole */
	char *text;
	size_t order;
};
/* {0} is an empty one. */
struct report {
	struct report_entry items[REPORT_MAX];
	size_t count;
	size_t dropped; /* beyond REPORT_MAX */
	bool out_of_memory;
};

void report_finish(struct report *report);
/** The same words at the same place count once: aliases bring a node several times. */
void report_addv(struct report *report, const struct config_mark *mark, const char *fmt, va_list ap)
	PRINTF_LIKE(3, 0);
void report_add(struct report *report, const struct config_mark *mark, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
static inline bool report_failed(const struct report *report)
{
	return report->count || report->out_of_memory;
}
/** sources: where the lines stand; a mark whose file is none of them is shown without its line. */
void report_write(struct report *report, const struct source *sources, size_t count, bool color,
	struct buf *out);
/** One entry: "FILE:LINE:COL: error: text", the line, the caret. line NULL: not shown. */
void report_write_one(struct buf *out, const struct config_mark *mark, const char *text,
	const char *line, size_t len, bool color);
