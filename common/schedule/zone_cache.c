/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "schedule/zone.h"
#include "schedule/zone_inside.h"
#include <errno.h>
#include <sys/stat.h>

/* Which file a zone was read from: all zero when there was none. */
struct file_id {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

/* A configuration names a handful of zones: a list is enough, and it is bounded by the database's
 * ~600 names. */
struct zone_cache {
	struct entry {
		struct entry *next;
		struct zone *zone;
		struct file_id file;
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

static struct file_id file_of(const char *name)
{
	struct stat st;
	struct file_id id = { .size = 0 };
	if (zone_stat(name, &st)) {
		id.device = st.st_dev;
		id.inode = st.st_ino;
		id.size = st.st_size;
		id.changed = st.st_mtim;
	}
	return id;
}

static bool is_same_file(const struct file_id *a, const struct file_id *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

size_t zone_cache_refresh(struct zone_cache *cache, zone_told told, void *arg)
{
	size_t changed = 0;
	for (struct entry *e = cache->first; e; e = e->next) {
		struct file_id file = file_of(zone_name(e->zone));
		struct zone *zone;
		struct err err;
		if (is_same_file(&file, &e->file))
			continue;
		/* Of the file before it was read: one that changes meanwhile is read again. */
		e->file = file;
		if (MUTANT(ZONES_READ_ONCE))
			continue;
		if (zone_load(&zone, zone_name(e->zone), &err) < 0) {
			told(arg, e->zone, &err);
		} else if (zone_take_over(e->zone, zone)) {
			changed++;
			told(arg, e->zone, NULL);
		}
	}
	return changed;
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
	e->file = file_of(name);
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
