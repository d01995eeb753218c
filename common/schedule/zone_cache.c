/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "schedule/zone.h"
#include <errno.h>

/* A configuration names a handful of zones: a list is enough, and it is bounded by the database's
 * ~600 names. */
struct zone_cache {
	struct entry {
		struct entry *next;
		struct zone *zone;
	} * first;
};

struct zone_cache *zone_cache_new(void)
{
	return NEW(struct zone_cache);
}

void zone_cache_free(struct zone_cache *cache)
{
	if (!cache)
		return;
	for (struct entry *e = cache->first, *next; e; e = next) {
		next = e->next;
		zone_free(e->zone);
		free(e);
	}
	free(cache);
}

int zone_cache_get(
	struct zone_cache *cache, const char *name, const struct zone **out, struct err *err)
{
	for (struct entry *e = cache->first; e; e = e->next) {
		if (str_eq(zone_name(e->zone), name)) {
			*out = e->zone;
			return 0;
		}
	}
	struct entry *e = NEW(struct entry);
	if (!e)
		return err_set(err, -ENOMEM, "load time zone %s", name);
	int rc = zone_load(&e->zone, name, err);
	if (rc < 0) {
		free(e);
		return rc;
	}
	e->next = cache->first;
	cache->first = e;
	*out = e->zone;
	return 0;
}
