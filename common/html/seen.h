/* SPDX-License-Identifier: MIT */
#pragma once
/* The texts of one page seen so far. */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

enum { SEEN_MAX = 10000 }; /* texts; more are not asked for */

struct seen_slot {
	const char *text; /* NULL: free; set by the caller, who keeps it alive */
	size_t value;
};
struct seen;
struct seen *seen_new(void); /* NULL: no memory */
void seen_free(struct seen *seen);
DEFINE_FREEP(struct seen, seen)
/** The slot that holds text, or the free one where it belongs. */
struct seen_slot *seen_find(struct seen *seen, const char *text);
