/* SPDX-License-Identifier: MIT */
#include "restart_policy.h"

#include "base/compiler.h"
#include "base/mutant.h"
#include "config/config.h"

enum {
	RETRY_MS = 1000,
	RETRY_MAX_MS = 30000,
};

const char *start_cause_name(enum start_cause cause)
{
	static const char *const names[START_CAUSES] = { "first", "exit", "signal", "probe",
		"operator", "config", "lost", "shutdown", "upgrade", "memory", "timeout" };
	return names[cause];
}

bool start_is_automatic(enum start_cause cause)
{
	return cause == CAUSE_EXIT || cause == CAUSE_SIGNAL || cause == CAUSE_PROBE ||
	       cause == CAUSE_LOST || cause == CAUSE_MEMORY;
}

bool restart_allowed(const struct config_restart *rules, enum start_cause cause, bool failed)
{
	if (!start_is_automatic(cause))
		return true;
	if (rules->policy == RESTART_ALWAYS)
		return true;
	/* How it ended is unknown, and the unknown counts as a failure. */
	return rules->policy == RESTART_ON_FAILURE && (failed || cause == CAUSE_LOST);
}

int64_t restart_due_ms(const struct config_restart *rules, const struct start_history *history,
	enum start_cause cause, uint32_t draw)
{
	int64_t due_ms = history->now_ms;
	if (!start_is_automatic(cause))
		return due_ms;
	if (history->last_start_ms >= 0)
		due_ms = MAX(due_ms, history->last_start_ms + RESTART_FLOOR_MS);
	if (history->last_automatic_ms < 0)
		return due_ms;
	int64_t earliest_ms = history->last_automatic_ms + rules->min_interval_ms;
	if (earliest_ms <= history->now_ms)
		return due_ms;
	int64_t jitter_ms = (int64_t)(((uint64_t)rules->jitter_ms * draw) >> 32);
	return MAX(due_ms, earliest_ms + jitter_ms);
}

int64_t retry_delay_ms(unsigned attempts)
{
	int64_t delay_ms = RETRY_MS;
	for (unsigned i = 1; i < attempts && delay_ms < RETRY_MAX_MS; i++)
		delay_ms *= 2;
	return MIN(delay_ms, (int64_t)RETRY_MAX_MS);
}

enum strike_verdict strike_count(int64_t *strikes, int64_t failures, bool ok, bool held)
{
	if (ok) {
		*strikes = 0;
		return held ? STRIKE_OVER : STRIKE_NOTHING;
	}
	++*strikes;
	return *strikes >= failures + MUTANT(FOUR_STRIKES) && !held ? STRIKE_RESTART
								    : STRIKE_NOTHING;
}
