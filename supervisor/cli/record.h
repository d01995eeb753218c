/* SPDX-License-Identifier: MIT */
#pragma once
/* A log line for reading: drover's JSON records as text, other lines as they are, both made
 * harmless. */
#include <stdbool.h>
#include <stddef.h>

struct buf;

/**
 * Appends one line (without its end; borrowed) as "08:45:00.123 warn  crawl:1  process_restarted
 * reason=probe". A line that is no record is appended escaped.
 */
void record_show(struct buf *out, const char *line, size_t len, bool color);
