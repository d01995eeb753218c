/* SPDX-License-Identifier: MIT */
#pragma once
/* Which days of the calendar an expression matches. For this room only. */
#include <stdbool.h>
#include <stdint.h>

struct cron;

/** Days judged by this thread since it began: the measure of work, for tests. */
uint64_t cron_days_judged(void);
/** False when no day of any year matches, whatever the time. */
bool cron_some_day_matches(const struct cron *cron);
