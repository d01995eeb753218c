/* SPDX-License-Identifier: MIT */
#pragma once
/* Where a run begins, how that is written, how time is cut into windows. Pure. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct collect_incremental;

/** @param cursor  NULL: the partition has none yet */
int64_t incremental_since(const struct collect_incremental *inc, const int64_t *cursor);
/** As it stands in an argument. */
void incremental_write(struct buf *out, const struct collect_incremental *inc, int64_t value);
/** The highest cursor that is believed, at this time: what lies further ahead would hide all that
 * comes until then. */
int64_t incremental_cap(const struct collect_incremental *inc, int64_t now_ms);
/**
 * Cuts at most `max` windows off the front of [*since, until); *since is what is left.
 * @param begins  gets where each begins; each ends where the next one does, the last at *since
 * @return how many
 */
size_t incremental_cut(const struct collect_incremental *inc, int64_t *since, int64_t until,
	int64_t *begins, size_t max);
