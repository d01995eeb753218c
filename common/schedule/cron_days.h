/* SPDX-License-Identifier: MIT */
#pragma once
/* Which days of the calendar an expression matches. For this room only. */
#include <stdbool.h>

struct cron;

/** False when no day of any year matches, whatever the time. */
bool cron_some_day_matches(const struct cron *cron);
