/* SPDX-License-Identifier: MIT */
#pragma once
/* Text for people: what came from outside made harmless, widths and cuts in columns, spans of time.
 * Needs LC_CTYPE UTF-8. */
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Appends len bytes with everything that could steer a terminal written out: control characters as
 * \n, \t or \x1b, C1 controls, line separators and bidirectional overrides as \u202e, invalid UTF-8
 * as U+FFFD.
 */
void text_escape(struct buf *out, const char *s, size_t len);
/** The same, but line ends and tabs stay. */
void text_escape_lines(struct buf *out, const char *s, size_t len);
/** Columns that an escaped UTF-8 string takes. */
size_t text_width(const char *s);
/** Appends s, cut to `columns` with `ellipsis` at its end when it is longer. */
void text_cut(struct buf *out, const char *s, size_t columns, const char *ellipsis);

enum { TEXT_SPAN = 24 };
/** The two largest units: "250ms", "5.3s", "12m5s", "3h12m", "2d3h". Negative counts as 0. @return
 * dst */
char *text_span(char *dst, size_t size, int64_t ms);
/** 7910 -> "7,910". @return dst */
char *text_count(char *dst, size_t size, int64_t n);
/** 4711 -> "4711". @return dst */
char *text_number(char *dst, size_t size, int64_t n);
/** 18874368 -> "18.0 MiB"; "" for 0. @return dst */
char *text_bytes(char *dst, size_t size, int64_t bytes);
/** RFC 3339 text to ms since 1970; 0 when it is NULL or no time. */
int64_t text_time(const char *rfc3339);
/** "in 1m48s", "3m12s ago", "now"; "-" for at_ms 0. @return dst */
char *text_when(char *dst, size_t size, int64_t at_ms, int64_t now_ms);
