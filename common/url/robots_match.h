/* SPDX-License-Identifier: MIT */
#pragma once
/* Patterns of robots.txt rules. For this room only. */
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>

/**
 * Appends a rule's value in the form that is compared: %XX as url_canonical() has it, and bytes
 * that no URI holds encoded; `*` stays special, a `$` that is not the last character becomes %24.
 */
void robots_pattern_add(struct buf *out, const char *value, size_t len);
/** The same for a path with query: `*` and `$` are ordinary there, so they become %2A and %24. */
void robots_target_add(struct buf *out, const char *target, size_t len);
/** Both in the form above, NUL-terminated. Linear in the target for each part between two `*`. */
bool robots_matches(const char *pattern, size_t pattern_len, const char *target, size_t target_len);
