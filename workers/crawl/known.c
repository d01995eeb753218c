/* SPDX-License-Identifier: MIT */
#include "crawl/known.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SETS = 16384, WAYS = 4 };

struct known {
	XXH128_hash_t slots[SETS][WAYS];
};

struct known *known_new(void)
{
	return NEW(struct known);
}

void known_free(struct known *known)
{
	free(known);
}

static XXH128_hash_t name(int64_t run_id, bool skipped, const char *url)
{
	return XXH3_128bits_withSeed(url, strlen(url), (XXH64_hash_t)run_id * 2 + skipped);
}

bool known_has(const struct known *known, int64_t run_id, bool skipped, const char *url)
{
	XXH128_hash_t hash = name(run_id, skipped, url);
	const XXH128_hash_t *set = known->slots[hash.low64 % SETS];
	for (size_t i = 0; i < WAYS; i++)
		if (XXH128_isEqual(set[i], hash))
			return true;
	return false;
}

void known_add(struct known *known, int64_t run_id, bool skipped, const char *url)
{
	XXH128_hash_t hash = name(run_id, skipped, url);
	XXH128_hash_t *set = known->slots[hash.low64 % SETS];
	if (known_has(known, run_id, skipped, url))
		return;
	memmove(set + 1, set, (WAYS - 1) * sizeof(*set)); /* the oldest falls out */
	set[0] = hash;
}
