/* SPDX-License-Identifier: MIT */
#include "memory_policy.h"

#include "config/config.h"
#include <string.h>

const char *memory_level_name(enum memory_level level)
{
	static const char *const names[] = { "normal", "warning", "critical", "over" };
	return names[level];
}

enum memory_level memory_level_of(const struct config_memory *rules, int64_t bytes, int64_t limit)
{
	if (limit <= 0)
		return MEMORY_NORMAL;
	if (bytes >= limit)
		return MEMORY_OVER;
	if (bytes >= config_share(rules->critical, limit))
		return MEMORY_CRITICAL;
	return bytes >= config_share(rules->warning, limit) ? MEMORY_WARNING : MEMORY_NORMAL;
}

static bool reaches(const char *share, int64_t used, int64_t total)
{
	return strchr(share, '%') && used >= config_share(share, total);
}

enum memory_level memory_level_of_machine(
	const struct config_memory *rules, int64_t used, int64_t total)
{
	if (total <= 0)
		return MEMORY_NORMAL;
	if (reaches(rules->critical, used, total))
		return MEMORY_CRITICAL;
	return reaches(rules->warning, used, total) ? MEMORY_WARNING : MEMORY_NORMAL;
}
