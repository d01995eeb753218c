/* SPDX-License-Identifier: MIT */
#include "history.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <stdlib.h>
#include <string.h>

void history_finish(struct history *history)
{
	for (size_t i = 0; i < HISTORY_LINES; i++)
		free(history->lines[i]);
	*history = (struct history) { 0 };
}

void history_add(struct history *history, const char *event, const char *reason, const char *detail)
{
	size_t len = detail ? strnlen(detail, HISTORY_DETAIL - 1) : 0;
	struct history_line *line = malloc(sizeof(*line) + len + 1);
	if (!line)
		return;
	line->at_ms = clock_real_ms();
	line->event = event;
	line->reason = reason;
	if (len)
		memcpy(line->detail, detail, len);
	line->detail[len] = '\0';
	struct history_line **place = &history->lines[history->count++ % HISTORY_LINES];
	free(*place);
	*place = line;
}

const struct history_line *history_at(const struct history *history, size_t i)
{
	size_t kept = MIN(history->count, (size_t)HISTORY_LINES);
	if (i >= kept)
		return NULL;
	return history->lines[(history->count - kept + i) % HISTORY_LINES];
}
