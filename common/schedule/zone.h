/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Time zones from the IANA database (TZif, RFC 8536, with the POSIX TZ rule of its footer for later
 * years). The process's own TZ is neither read nor changed. A zone is immutable once made: share it
 * between threads, but for zone_cache_refresh().
 */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

struct err;
struct zone;
struct zone_cache;

/** A stretch of time with one offset: [start_s, end_s) in seconds since 1970 UTC; local time = UTC
 * + offset_s. */
struct zone_span {
	int64_t start_s, end_s; /* INT64_MIN and INT64_MAX when it has no bound */
	int32_t offset_s;
	char abbr[8]; /* "CET" */
};

/**
 * Reads NAME ("Asia/Seoul") from /usr/share/zoneinfo; "UTC" needs no file. Blocks for one small
 * file.
 * @return 0 and *out for zone_free(); -EINVAL a name that cannot be one, or a damaged file; -ENOENT
 * no such zone
 */
MUST_CHECK
int zone_load(struct zone **out, const char *name, struct err *err);
/** The same from memory: len bytes of TZif, borrowed. For tests and the fuzzer. */
MUST_CHECK
int zone_parse(struct zone **out, const char *name, const void *data, size_t len, struct err *err);
void zone_free(struct zone *zone);
DEFINE_FREEP(struct zone, zone)
/** The name it was loaded by; "UTC" for NULL. */
const char *zone_name(const struct zone *zone);
/** The span that holds utc_s. zone NULL = UTC. */
void zone_span_at(const struct zone *zone, int64_t utc_s, struct zone_span *out);

/** Zones by name, each loaded once. Not for two threads at a time; the zones live as long as the
 * cache. */
struct zone_cache *zone_cache_new(void);
void zone_cache_free(struct zone_cache *cache);
DEFINE_FREEP(struct zone_cache, zone_cache)
typedef void (*zone_told)(void *arg, const struct zone *zone, const struct err *trouble);
/**
 * Looks whether the files of the zones are other ones now (a new tzdata): one stat for each. What
 * changed is read again, in place: pointers from zone_cache_get() stay and answer anew, so nobody
 * may ask meanwhile. A file that vanished or is damaged leaves the zone as it was.
 * @param told  called for each zone that changed (trouble NULL), and once for each trouble
 * @return how many changed
 */
size_t zone_cache_refresh(struct zone_cache *cache, zone_told told, void *arg);
/** Where zones are read from; NULL: /usr/share/zoneinfo. Borrowed. For tests. */
void zone_set_folder(const char *folder);

/** Like zone_load(), but *out is borrowed from the cache. */
MUST_CHECK
int zone_cache_get(
	struct zone_cache *cache, const char *name, const struct zone **out, struct err *err);
