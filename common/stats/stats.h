/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Numbers in shared memory: the supervisor makes one segment, each worker owns one slot of it,
 * monitor reads all. A layout hash heads the segment: a reader or writer of another layout refuses
 * it, the supervisor then makes a new one. Counters and log-linear histograms (64 sub-buckets an
 * octave, within 0.8%) are atomic; a dead worker's last numbers stay.
 */
#include "base/compiler.h"
#include <stdint.h>

struct err;
struct stats;
struct stats_slot;

enum stat_counter {
#define COUNTER(name, help) STAT_##name,
#define GAUGE(name, help)
#define HISTOGRAM(name, help)
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
	STAT_COUNTERS
};
enum stat_gauge {
#define COUNTER(name, help)
#define GAUGE(name, help) STAT_##name,
#define HISTOGRAM(name, help)
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
	STAT_GAUGES
};
enum stat_histogram {
#define COUNTER(name, help)
#define GAUGE(name, help)
#define HISTOGRAM(name, help) STAT_##name,
#include "stats/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
	STAT_HISTOGRAMS
};

enum { STATS_SLOTS = 256 };

/** Makes or reopens runtime_dir's segment; another layout is replaced by a new file. */
int stats_create(struct stats **out, const char *path, struct err *err) MUST_CHECK;
/** Maps a segment received as a descriptor (borrowed). -EPROTO: another layout. */
int stats_attach(struct stats **out, int fd, struct err *err) MUST_CHECK;
void stats_close(struct stats *stats);
int stats_fd(const struct stats *stats);
/** Claims slot `index` for a slot name ("collect:2"); a slot of another name is emptied first. */
struct stats_slot *stats_slot(struct stats *stats, uint32_t index, const char *name);
/** For reading; NULL when the slot was never used. */
const struct stats_slot *stats_peek(const struct stats *stats, uint32_t index);
const char *stats_slot_name(const struct stats_slot *slot);

void stats_add(struct stats_slot *slot, enum stat_counter counter,
	uint64_t n); /* slot may be NULL: nothing happens */
void stats_set(struct stats_slot *slot, enum stat_gauge gauge, int64_t value);
void stats_sample(struct stats_slot *slot, enum stat_histogram histogram, int64_t us);
uint64_t stats_counter(const struct stats_slot *slot, enum stat_counter counter);
int64_t stats_gauge(const struct stats_slot *slot, enum stat_gauge gauge);
struct stats_summary {
	uint64_t count;
	double sum_s, mean_s, min_s, max_s, p50_s, p95_s, p99_s;
};
void stats_summarise(
	const struct stats_slot *slot, enum stat_histogram histogram, struct stats_summary *out);
const char *stats_counter_name(enum stat_counter c);
const char *stats_counter_help(enum stat_counter c);
const char *stats_gauge_name(enum stat_gauge g);
const char *stats_gauge_help(enum stat_gauge g);
const char *stats_histogram_name(enum stat_histogram h);
const char *stats_histogram_help(enum stat_histogram h);
