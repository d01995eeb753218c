/* SPDX-License-Identifier: MIT */
#include "http/places.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { URL_MAX = 16384 };

struct pool {
	UT_hash_handle hh;
	size_t users, used;
	char name[];
};

static int64_t least(int64_t a, int64_t b)
{
	return a > 0 && b > 0 ? MIN(a, b) : MAX(a, b);
}

bool host_set_of(struct host_set *set, const struct fetch_places *places, const char *text)
{
	CLEANUP(url_freep) struct url *url = NULL;
	int64_t most = places->per_host;
	if ((!most && !places->host_count) || url_parse(&url, text, URL_MAX, NULL) < 0)
		return false;
	char *host = stpcpy(set->key, "calls/");
	url_host_key(host, url);
	for (size_t i = 0; i < places->host_count; i++)
		if (str_eq(places->hosts[i].key, host))
			most = least(most, places->hosts[i].most);
	if (!most || MUTANT(HOSTS_NOT_BOUND))
		return false;
	set->window = (struct limit_window) { .count = most };
	set->spec =
		(struct limit_spec) { .key = set->key, .windows = &set->window, .window_count = 1 };
	return true;
}

struct pool *pool_enter(struct pool **pools, const char *name)
{
	struct pool *pool = NULL;
	size_t len = strlen(name);
	HASH_FIND(hh, *pools, name, len, pool);
	if (!pool) {
		pool = calloc(1, sizeof(*pool) + len + 1);
		if (!pool)
			return NULL;
		memcpy(pool->name, name, len);
		HASH_ADD_KEYPTR(hh, *pools, pool->name, len, pool);
	}
	pool->users++;
	return pool;
}

void pool_leave(struct pool **pools, struct pool *pool)
{
	if (!pool || --pool->users > 0)
		return;
	HASH_DEL(*pools, pool);
	free(pool);
}

size_t pool_used(const struct pool *pool)
{
	return pool->used;
}

void pool_use(struct pool *pool, int change)
{
	pool->used = (size_t)((int64_t)pool->used + change);
}
