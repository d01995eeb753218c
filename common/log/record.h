/* SPDX-License-Identifier: MIT */
#pragma once
/* Turns an event and its fields into text: for this room only. */
#include "log/log.h"

struct buf;

/** Appends one readable line, newline included: what a terminal gets. */
void record_text(struct buf *out, enum log_level level, int64_t real_ms, const char *event,
	const struct kv *fields);
