/* SPDX-License-Identifier: MIT */
#include "stats/stats.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Log-linear: 64 linear sub-buckets in each power of two, in microseconds, up to about 19 hours.
 * The worst relative error of a bucket's middle is 1/128.
 */
enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, OCTAVES = 31, BUCKETS = SUBS * OCTAVES };

struct histogram {
	_Atomic uint64_t count, sum_us, min_us_plus_1, max_us;
	_Atomic uint32_t buckets[BUCKETS];
};

struct stats_slot {
	char name[80];
	_Atomic uint64_t counters[STAT_COUNTERS];
	_Atomic int64_t gauges[STAT_GAUGES];
	struct histogram histograms[STAT_HISTOGRAMS];
};

struct segment_head {
	char magic[8];
	uint64_t layout;
	uint64_t size;
};
struct segment {
	struct segment_head head;
	struct stats_slot slots[STATS_SLOTS];
};

struct stats {
	struct segment *segment;
	int fd;
	bool owns_fd;
};

struct metric {
	const char *name, *help;
};

#define SKIP(name, help)
#define ROW(name, help) { #name, help },
static const struct metric counters[] = {
#define COUNTER	  ROW
#define GAUGE	  SKIP
#define HISTOGRAM SKIP
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};
static const struct metric gauges[] = {
#define COUNTER	  SKIP
#define GAUGE	  ROW
#define HISTOGRAM SKIP
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};
static const struct metric histograms[] = {
#define COUNTER	  SKIP
#define GAUGE	  SKIP
#define HISTOGRAM ROW
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

static const char magic[8] = "drover\1";

/* Names and sizes: whatever changes the meaning of a byte changes the hash. */
static uint64_t layout_hash(void)
{
	uint64_t h = sizeof(struct segment) ^ ((uint64_t)BUCKETS << 32) ^
		     ((uint64_t)STATS_SLOTS << 48);
	const struct metric *lists[] = { counters, gauges, histograms };
	size_t sizes[] = { ARRAY_SIZE(counters), ARRAY_SIZE(gauges), ARRAY_SIZE(histograms) };
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < sizes[l]; i++)
			h = h * 31 + str_hash(lists[l][i].name, strlen(lists[l][i].name)) + l;
	return h;
}

static int map(struct stats **out, int fd, bool owns_fd, struct err *err)
{
	void *p = mmap(NULL, sizeof(struct segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct stats *stats = NEW(struct stats);
	if (p == MAP_FAILED || !stats) {
		int rc = p == MAP_FAILED ? -errno : -ENOMEM;
		if (p != MAP_FAILED)
			munmap(p, sizeof(struct segment));
		free(stats);
		return err_sys(err, rc, "map the statistics segment");
	}
	*stats = (struct stats) { .segment = p, .fd = fd, .owns_fd = owns_fd };
	*out = stats;
	return 0;
}

static bool fits(int fd)
{
	struct stat st;
	struct segment_head head;
	return fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct segment) &&
	       pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	       memcmp(head.magic, magic, sizeof(magic)) == 0 && head.layout == layout_hash();
}

static int make_new(const char *path, struct err *err)
{
	/* A new file, not the old one truncated: a process that still maps the old one must not get
	 * SIGBUS. */
	if (unlink(path) == -1 && errno != ENOENT)
		return err_sys(err, -errno, "remove %s", path);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(err, -errno, "create %s", path);
	struct segment_head head = { .layout = layout_hash(), .size = sizeof(struct segment) };
	memcpy(head.magic, magic, sizeof(magic));
	if (ftruncate(fd, sizeof(struct segment)) == -1 ||
		pwrite(fd, &head, sizeof(head), 0) == -1) {
		int rc = -errno;
		close(fd);
		return err_sys(err, rc, "write %s", path);
	}
	return fd;
}

int stats_create(struct stats **out, const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && !fits(fd)) {
		close(fd);
		fd = -1;
	}
	if (fd == -1)
		fd = make_new(path, err);
	if (fd < 0)
		return fd;
	int rc = map(out, fd, true, err);
	if (rc < 0)
		close(fd);
	return rc;
}

int stats_attach(struct stats **out, int fd, struct err *err)
{
	if (!fits(fd))
		return err_set(err, -EPROTO, "the statistics segment has another layout");
	return map(out, fd, false, err);
}

void stats_close(struct stats *stats)
{
	if (!stats)
		return;
	munmap(stats->segment, sizeof(struct segment));
	if (stats->owns_fd)
		close(stats->fd);
	free(stats);
}

int stats_fd(const struct stats *stats)
{
	return stats->fd;
}

struct stats_slot *stats_slot(struct stats *stats, uint32_t index, const char *name)
{
	if (index >= STATS_SLOTS)
		return NULL;
	struct stats_slot *slot = &stats->segment->slots[index];
	if (strncmp(slot->name, name, sizeof(slot->name)) != 0) {
		memset(slot, 0, sizeof(*slot));
		str_copy(slot->name, sizeof(slot->name), name);
	}
	return slot;
}

const struct stats_slot *stats_peek(const struct stats *stats, uint32_t index)
{
	if (index >= STATS_SLOTS || !stats->segment->slots[index].name[0])
		return NULL;
	return &stats->segment->slots[index];
}

const char *stats_slot_name(const struct stats_slot *slot)
{
	return slot->name;
}

void stats_add(struct stats_slot *slot, enum stat_counter counter, uint64_t n)
{
	if (slot)
		atomic_fetch_add_explicit(&slot->counters[counter], n, memory_order_relaxed);
}

void stats_set(struct stats_slot *slot, enum stat_gauge gauge, int64_t value)
{
	if (slot)
		atomic_store_explicit(&slot->gauges[gauge], value, memory_order_relaxed);
}

static size_t bucket_of(uint64_t us)
{
	if (us < SUBS)
		return (size_t)us;
	unsigned octave = 63u - (unsigned)__builtin_clzll(us) - SUB_BITS + 1;
	if (octave >= OCTAVES)
		return BUCKETS - 1;
	return octave * SUBS + (size_t)((us >> (octave - 1)) - SUBS);
}

/* The middle of a bucket, in us. */
static double bucket_value(size_t bucket)
{
	size_t octave = bucket / SUBS, sub = bucket % SUBS;
	if (octave == 0)
		return (double)sub;
	double width = (double)(1ull << (octave - 1));
	return ((double)(SUBS + sub) + 0.5) * width;
}

void stats_sample(struct stats_slot *slot, enum stat_histogram histogram, int64_t us)
{
	if (!slot)
		return;
	struct histogram *h = &slot->histograms[histogram];
	uint64_t v = us < 0 ? 0 : (uint64_t)us;
	atomic_fetch_add_explicit(&h->buckets[bucket_of(v)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, v, memory_order_relaxed);
	/* One writer a slot: no compare-and-swap is needed. */
	uint64_t min = atomic_load_explicit(&h->min_us_plus_1, memory_order_relaxed);
	if (min == 0 || v + 1 < min)
		atomic_store_explicit(&h->min_us_plus_1, v + 1, memory_order_relaxed);
	if (v > atomic_load_explicit(&h->max_us, memory_order_relaxed))
		atomic_store_explicit(&h->max_us, v, memory_order_relaxed);
}

uint64_t stats_counter(const struct stats_slot *slot, enum stat_counter counter)
{
	return atomic_load_explicit(&slot->counters[counter], memory_order_relaxed);
}

int64_t stats_gauge(const struct stats_slot *slot, enum stat_gauge gauge)
{
	return atomic_load_explicit(&slot->gauges[gauge], memory_order_relaxed);
}

static double quantile(const struct histogram *h, uint64_t total, double q)
{
	uint64_t rank = (uint64_t)((double)total * q), seen = 0;
	for (size_t i = 0; i < BUCKETS; i++) {
		seen += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		if (seen > rank)
			return bucket_value(i) / 1e6;
	}
	return (double)atomic_load_explicit(&h->max_us, memory_order_relaxed) / 1e6;
}

void stats_summarise(
	const struct stats_slot *slot, enum stat_histogram histogram, struct stats_summary *out)
{
	const struct histogram *h = &slot->histograms[histogram];
	*out = (struct stats_summary) { .count = atomic_load_explicit(
						&h->count, memory_order_relaxed) };
	uint64_t min = atomic_load_explicit(&h->min_us_plus_1, memory_order_relaxed);
	if (!out->count || !min)
		return;
	out->sum_s = (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6;
	out->mean_s = out->sum_s / (double)out->count;
	out->min_s = (double)(min - 1) / 1e6;
	out->max_s = (double)atomic_load_explicit(&h->max_us, memory_order_relaxed) / 1e6;
	out->p50_s = quantile(h, out->count, 0.50);
	out->p95_s = quantile(h, out->count, 0.95);
	out->p99_s = quantile(h, out->count, 0.99);
}

const char *stats_counter_name(enum stat_counter c)
{
	return counters[c].name;
}

const char *stats_counter_help(enum stat_counter c)
{
	return counters[c].help;
}

const char *stats_gauge_name(enum stat_gauge g)
{
	return gauges[g].name;
}

const char *stats_gauge_help(enum stat_gauge g)
{
	return gauges[g].help;
}

const char *stats_histogram_name(enum stat_histogram h)
{
	return histograms[h].name;
}

const char *stats_histogram_help(enum stat_histogram h)
{
	return histograms[h].help;
}
