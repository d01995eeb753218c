/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Health that stays critical: one RESTART_RECOMMENDED when it has been so for PROLONGED_MS in one
 * piece, RESTART_RECOMMENDATION_OVER when it is no more. It recommends; who restarts what is
 * decided elsewhere.
 */
#include <stdbool.h>
#include <stdint.h>

struct monitor;

enum { PROLONGED_MS = 300000 };
/* One episode; zeroed at first. */
struct prolonged {
	bool critical;	       /* at the last sample */
	bool told;	       /* recommended, and not yet said to be over */
	bool counted;	       /* recommended in the piece that runs since since_ms */
	int64_t since_ms;      /* monotonic: the piece's first critical sample */
	int64_t told_since_ms; /* the same of the piece that was told */
	int64_t sampled_boot_ms;
};
/**
 * After each sample. Time without samples is not known to have been critical: after a gap of three
 * intervals, suspend included, counting starts over.
 */
void prolonged_sample(struct prolonged *p, const struct monitor *m);
