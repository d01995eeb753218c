/* SPDX-License-Identifier: MIT */
#pragma once
/* What the cache knows of zones and their files. For this room only. */
#include <stdbool.h>

struct stat;
struct zone;

/** The file of a zone; false when it is not there. */
bool zone_stat(const char *name, struct stat *out);
/** Has `zone` answer as `from` does, and frees `from`. @return whether that is anything new */
bool zone_take_over(struct zone *zone, struct zone *from);
