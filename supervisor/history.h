/* SPDX-License-Identifier: MIT */
#pragma once
/* What happened last to one slot, for people. A line takes only what its words need: most slots
 * live quietly, and there may be thousands. */
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_LINES = 20, HISTORY_DETAIL = 160 };

struct history_line {
	int64_t at_ms : 56; /* CLOCK_REALTIME */
	uint64_t has_detail : 1;
	const char *event, *reason; /* constants; reason may be NULL */
	char detail[];		    /* when it has one */
};

/* All zero is an empty one. */
struct history {
	struct history_line **lines; /* a ring once it has HISTORY_LINES places */
	uint32_t cap, count;	     /* count: ever added */
};

/** Frees the lines. */
void history_finish(struct history *history);
/**
 * Adds a line of now; the oldest of HISTORY_LINES goes. Without memory nothing is added.
 * @param event,reason  kept as they are
 * @param detail  copied, at most HISTORY_DETAIL bytes; NULL: none
 */
void history_add(
	struct history *history, const char *event, const char *reason, const char *detail);
/** The i-th line that is kept, the oldest is 0; NULL behind the last. */
const struct history_line *history_at(const struct history *history, size_t i);
/** "" none */
static inline const char *history_detail(const struct history_line *line)
{
	return line->has_detail ? line->detail : "";
}
