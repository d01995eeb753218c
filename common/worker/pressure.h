/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Whether the machine has memory left for another task. What counts is the fuller of two: the
 * machine, by what the kernel calls available, and any cgroup around this process that has a limit
 * (a container), whose page cache does not count as used. Above PRESSURE_HIGH per cent no task is
 * taken; again below PRESSURE_LOW at once, or after PRESSURE_CALM_MS in between.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

enum { PRESSURE_HIGH = 85, PRESSURE_LOW = 82, PRESSURE_CALM_MS = 30000 };

struct memory_use {
	int64_t used, limit; /* bytes */
};
/**
 * Reads proc/meminfo, proc/self/cgroup and sys/fs/cgroup. Does not block.
 * @param root  "", or a folder in which a test has these files
 * @return false: the machine does not say
 */
bool memory_use_read(const char *root, struct memory_use *out) MUST_CHECK;

struct pressure {
	bool high;
	int64_t looked_ms, calm_ms; /* 0: never; not */
};
/** Pure. @return the state has changed */
bool pressure_judge(struct pressure *pressure, const struct memory_use *use, int64_t now_ms);

struct stats_slot;
/** Looks if it is time for it; tells a change of `name` in the log and in the slot. @return a task
 * may be taken */
bool pressure_allows(struct pressure *pressure, const char *name, struct stats_slot *slot);
