/* SPDX-License-Identifier: MIT */
#include "schedule/zone.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "schedule/zone_inside.h"
#include "schedule/zone_rule.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
static const char *zone_folder = ZONE_FOLDER;

enum {
	ZONE_FILE_MAX = 64 * 1024,
	ZONE_NAME_MAX = 64,
	ZONE_PATH_MAX = 512,
	ZONE_TRANSITIONS_MAX = 4096,
	HEADER = 44
};

struct zone_type {
	int32_t offset_s;
	char abbr[8];
};

struct zone {
	char name[ZONE_NAME_MAX + 1];
	size_t count; /* of transitions */
	int64_t *at_s;
	uint8_t *to; /* type from that transition on */
	struct zone_type types[256];
	bool has_rule; /* for times after the last transition */
	struct zone_rule rule;
	uint64_t digest; /* of the file's bytes */
};

/* One block of a TZif file: the counts of its header, in the file's order. */
struct block {
	uint32_t isut, isstd, leap, times, types, chars;
	size_t time_size; /* 4 or 8 */
	const unsigned char *data;
};

static bool name_is_possible(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
	size_t len = strnlen(name, ZONE_NAME_MAX + 1);
	/* Without a dot there is no way out of the folder. */
	return len > 0 && len <= ZONE_NAME_MAX && strspn(name, letters) == len && name[0] != '/' &&
	       name[len - 1] != '/';
}

static int read_file(const char *name, char *dst, size_t size, size_t *len, struct err *err)
{
	char path[ZONE_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", zone_folder, name);
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, -ENOENT,
			"no time zone \"%s\" in %s (package tzdata), expected a name like "
			"Europe/Berlin",
			name, zone_folder);
	if (fd == -1)
		return err_sys(err, -errno, "open %s", path);
	for (*len = 0; *len < size;) {
		ssize_t n = read(fd, dst + *len, size - *len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EISDIR)
			return err_set(err, -ENOENT,
				"\"%s\" is a group of time zones, expected one like %s/...", name,
				name);
		if (n == -1)
			return err_sys(err, -errno, "read %s", path);
		if (n == 0)
			return 0;
		*len += (size_t)n;
	}
	return err_set(err, -EINVAL, "%s is larger than a time zone can be", path);
}

int zone_load(struct zone **out, const char *name, struct err *err)
{
	if (!name_is_possible(name))
		return err_set(err, -EINVAL,
			"\"%.80s\" is no time zone, expected a name like Europe/Berlin", name);
	CLEANUP(freep) char *data = malloc(ZONE_FILE_MAX);
	if (!data)
		return err_set(err, -ENOMEM, "load time zone %s", name);
	size_t len;
	int rc = read_file(name, data, ZONE_FILE_MAX, &len, err);
	if (rc == -ENOENT &&
		str_eq(name, "UTC")) { /* drover runs without tzdata as long as it is UTC */
		struct zone *utc = NEW(struct zone);
		if (!utc)
			return err_set(err, -ENOMEM, "load time zone UTC");
		memcpy(utc->name, "UTC", 4);
		memcpy(utc->types[0].abbr, "UTC", 4);
		*out = utc;
		return 0;
	}
	return rc < 0 ? rc : zone_parse(out, name, data, len, err);
}

void zone_set_folder(const char *folder)
{
	zone_folder = folder ? folder : ZONE_FOLDER;
}

bool zone_stat(const char *name, struct stat *out)
{
	char path[ZONE_PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", zone_folder, name);
	return stat(path, out) == 0;
}

bool zone_take_over(struct zone *zone, struct zone *from)
{
	bool changed = zone->digest != from->digest;
	struct zone old = *zone;
	*zone = *from;
	*from = old;
	zone_free(from);
	return changed;
}

void zone_free(struct zone *zone)
{
	if (!zone)
		return;
	free(zone->at_s);
	free(zone->to);
	free(zone);
}

const char *zone_name(const struct zone *zone)
{
	return zone ? zone->name : "UTC";
}

/* --- TZif ------------------------------------------------------------------------------------- */

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t get_time(const unsigned char *p, size_t size)
{
	if (size == 4)
		return (int32_t)get32(p);
	return (int64_t)((uint64_t)get32(p) << 32 | get32(p + 4));
}

/* Reads the header at *pos and moves *pos behind the block. */
static bool read_block(
	const unsigned char *data, size_t len, size_t *pos, size_t time_size, struct block *b)
{
	if (len - *pos < HEADER || memcmp(data + *pos, "TZif", 4) != 0)
		return false;
	const unsigned char *h = data + *pos + 20;
	*b = (struct block) { get32(h), get32(h + 4), get32(h + 8), get32(h + 12), get32(h + 16),
		get32(h + 20), time_size, data + *pos + HEADER };
	if (b->times > ZONE_TRANSITIONS_MAX || b->types < 1 || b->types > 256 || b->chars < 1 ||
		b->chars > 2048 || b->leap > 1024 || b->isut > 256 || b->isstd > 256)
		return false;
	size_t size = b->times * (time_size + 1) + b->types * 6 + b->chars +
		      b->leap * (time_size + 4) + b->isut + b->isstd;
	if (len - *pos - HEADER < size)
		return false;
	*pos += HEADER + size;
	return true;
}

static int fill(struct zone *z, const struct block *b)
{
	const unsigned char *types = b->data + b->times * (b->time_size + 1);
	const unsigned char *chars = types + b->types * 6;
	for (size_t i = 0; i < b->types; i++) {
		const unsigned char *t = types + i * 6;
		int32_t offset = (int32_t)get32(t);
		if (offset < -89999 || offset > 93599 || t[5] >= b->chars) /* RFC 8536 3.2 */
			return -EINVAL;
		z->types[i].offset_s = offset;
		for (size_t k = 0; k < 7 && t[5] + k < b->chars && chars[t[5] + k]; k++)
			z->types[i].abbr[k] = (char)chars[t[5] + k];
	}
	z->at_s = calloc(b->times + 1, sizeof(*z->at_s));
	z->to = calloc(b->times + 1, 1);
	if (!z->at_s || !z->to)
		return -ENOMEM;
	for (size_t i = 0; i < b->times; i++) {
		z->at_s[i] = get_time(b->data + i * b->time_size, b->time_size);
		z->to[i] = b->data[b->times * b->time_size + i];
		if (z->to[i] >= b->types || (i > 0 && z->at_s[i] <= z->at_s[i - 1]))
			return -EINVAL;
	}
	z->count = b->times;
	return 0;
}

/* "\nRULE\n" at the end of the file; an empty rule means that the last offset stays. */
static int read_footer(struct zone *z, const char *data, size_t len)
{
	if (len < 2 || data[0] != '\n')
		return -EINVAL;
	const char *end = memchr(data + 1, '\n', len - 1);
	if (!end)
		return -EINVAL;
	size_t rule_len = (size_t)(end - data - 1);
	z->has_rule = rule_len > 0;
	return rule_len > 0 ? zone_rule_parse(&z->rule, data + 1, rule_len) : 0;
}

int zone_parse(struct zone **out, const char *name, const void *data, size_t len, struct err *err)
{
	struct block b;
	size_t pos = 0;
	if (!read_block(data, len, &pos, 4, &b))
		return err_set(err, -EINVAL, "%s is not a time zone file", name);
	bool modern = ((const char *)data)[4] >= '2';
	if (modern && !read_block(data, len, &pos, 8, &b))
		return err_set(err, -EINVAL, "time zone %s: damaged file", name);
	if (b.leap > 0)
		return err_set(err, -EINVAL,
			"time zone %s counts leap seconds, which the system's clock does not",
			name);
	CLEANUP(zone_freep) struct zone *z = NEW(struct zone);
	if (!z)
		return err_set(err, -ENOMEM, "load time zone %s", name);
	(void)str_copy(z->name, sizeof(z->name), name);
	int rc = fill(z, &b);
	if (rc == 0 && modern)
		rc = read_footer(z, (const char *)data + pos, len - pos);
	if (rc < 0)
		return err_set(err, rc, "time zone %s: %s", name,
			rc == -ENOMEM ? "out of memory" : "damaged file");
	z->digest = str_hash(data, len);
	*out = TAKE(z);
	return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

void zone_span_at(const struct zone *zone, int64_t utc_s, struct zone_span *out)
{
	*out = (struct zone_span) { .start_s = INT64_MIN, .end_s = INT64_MAX, .abbr = "UTC" };
	if (!zone)
		return;
	/* low = how many transitions are at or before utc_s */
	size_t low = 0, high = zone->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (zone->at_s[mid] <= utc_s)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == zone->count && zone->has_rule) {
		zone_rule_span_at(&zone->rule, utc_s, out);
		if (zone->count > 0 && out->start_s < zone->at_s[zone->count - 1])
			out->start_s = zone->at_s[zone->count - 1];
		return;
	}
	const struct zone_type *type = &zone->types[low > 0 ? zone->to[low - 1] : 0];
	out->offset_s = type->offset_s;
	memcpy(out->abbr, type->abbr, sizeof(out->abbr));
	if (low > 0)
		out->start_s = zone->at_s[low - 1];
	if (low < zone->count)
		out->end_s = zone->at_s[low];
}
