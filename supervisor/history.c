/* SPDX-License-Identifier: MIT */
#include "history.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <stdlib.h>
#include <string.h>

void history_finish(struct history *history)
{
	for (size_t i = 0; i < MIN(history->count, history->cap); i++)
		free(history->lines[i]);
	free(history->lines);
	*history = (struct history) { 0 };
}

/* The place for one more; NULL without memory. */
static struct history_line **place_of_next(struct history *history)
{
	if (history->count == history->cap && history->cap < HISTORY_LINES) {
		uint32_t cap = MIN(MAX(history->cap * 2, 2U), (uint32_t)HISTORY_LINES);
		struct history_line **more = reallocarray(
			history->lines, cap, sizeof(*history->lines));
		if (!more)
			return NULL;
		memset(more + history->cap, 0, (cap - history->cap) * sizeof(*more));
		history->lines = more;
		history->cap = cap;
	}
	return &history->lines[history->count++ % HISTORY_LINES];
}

void history_add(struct history *history, const char *event, const char *reason, const char *detail)
{
	size_t len = detail ? strnlen(detail, HISTORY_DETAIL - 1) : 0;
	struct history_line *line = malloc(sizeof(*line) + (len ? len + 1 : 0));
	struct history_line **place = line ? place_of_next(history) : NULL;
	if (!place) {
		free(line);
		return;
	}
	line->at_ms = clock_real_ms();
	line->event = event;
	line->reason = reason;
	line->has_detail = len > 0;
	if (len) {
		memcpy(line->detail, detail, len);
		line->detail[len] = '\0';
	}
	free(*place);
	*place = line;
}

const struct history_line *history_at(const struct history *history, size_t i)
{
	size_t kept = MIN(history->count, (uint32_t)HISTORY_LINES);
	if (i >= kept)
		return NULL;
	return history->lines[(history->count - kept + i) % HISTORY_LINES];
}
