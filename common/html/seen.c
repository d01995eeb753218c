/* SPDX-License-Identifier: MIT */
#include "html/seen.h"

#include "base/mem.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 16384 }; /* a power of two above SEEN_MAX: a search ends */

struct seen {
	struct seen_slot slots[SLOTS];
};

struct seen *seen_new(void)
{
	return NEW(struct seen);
}

void seen_free(struct seen *seen)
{
	free(seen);
}

struct seen_slot *seen_find(struct seen *seen, const char *text)
{
	uint64_t hash = str_hash(text, strlen(text));
	size_t slot = (hash ^ hash >> 32) & (SLOTS - 1);
	while (seen->slots[slot].text && strcmp(seen->slots[slot].text, text) != 0)
		slot = (slot + 1) & (SLOTS - 1);
	return &seen->slots[slot];
}
