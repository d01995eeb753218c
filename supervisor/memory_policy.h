/* SPDX-License-Identifier: MIT */
#pragma once
/* How much memory is too much: pure arithmetic. Sizes in bytes. */
#include <stdbool.h>
#include <stdint.h>

struct config_memory;

enum memory_level {
	MEMORY_NORMAL,
	MEMORY_WARNING,	 /* give memory back */
	MEMORY_CRITICAL, /* and take no tasks */
	MEMORY_OVER,	 /* and be restarted: the limit is reached */
};

/** "normal", "warning", "critical", "over" */
const char *memory_level_name(enum memory_level level);
/** Of one slot. @param limit  0: it has none, and no level either */
enum memory_level memory_level_of(const struct config_memory *rules, int64_t bytes, int64_t limit);
/** Of the machine, which has no limit: at most MEMORY_CRITICAL. A level that is given as a size is
 * a slot's only. */
enum memory_level memory_level_of_machine(
	const struct config_memory *rules, int64_t used, int64_t total);
