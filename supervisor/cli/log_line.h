/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What one line of a log says of itself: its time, its level, its run. drover's records and other
 * JSON objects by their members; text by what most programs write: a date and time at the beginning
 * ("2026-11-21 08:45:00,123", a "T", a zone or the local one), a level as a word near it ("ERROR").
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { LOG_LINE_NO_LEVEL = -1 };

struct log_line {
	int64_t time_ms; /* since 1970; 0: says none */
	int level;	 /* enum log_level or LOG_LINE_NO_LEVEL */
	int64_t run;	 /* 0: none */
};
void log_line_read(struct log_line *out, const char *line, size_t len);

/** debug, info, warn, error and the usual other words for them ("warning", "CRITICAL"), in any
 * case. @return enum log_level or LOG_LINE_NO_LEVEL */
int log_line_level(const char *word, size_t len);
/**
 * A time for --since: "10m" (so long ago), "2026-11-21T08:45:00Z", "2026-11-21", "2026-11-21
 * 08:45[:00]", "08:45[:00]" (today); without a zone in local time.
 * @return 0; -EINVAL with words
 */
int log_line_since(const char *text, int64_t now_ms, int64_t *out_ms, struct err *err) MUST_CHECK;
