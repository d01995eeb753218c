/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * When a slot may be started again, and when it must be: strikes, minimum interval, jitter, held
 * restarts. Pure arithmetic; all times are CLOCK_BOOTTIME in ms, so that they hold over a crash of
 * the supervisor.
 */
#include <stdbool.h>
#include <stdint.h>

struct config_restart;

/* Why a slot is started, or why its instance ended. */
enum start_cause {
	CAUSE_NONE, /* the first start, or nothing ended yet */
	CAUSE_EXIT,
	CAUSE_SIGNAL,
	CAUSE_PROBE,
	CAUSE_OPERATOR,
	CAUSE_CONFIG,
	CAUSE_LOST,	/* it ended, or has to, because its supervisor was lost; how is unknown */
	CAUSE_SHUTDOWN, /* droverd itself ends */
	CAUSE_UPGRADE,	/* a new droverd replaces its workers */
	CAUSE_MEMORY,	/* its tree reached its memory_limit */
	CAUSE_TIMEOUT,	/* a job's command took longer than the job allows */
	START_CAUSES
};

struct start_history {
	int64_t last_automatic_ms; /* -1: none in this boot */
	int64_t last_start_ms;	   /* of any cause; -1: none */
	int64_t now_ms;
};

/* min_interval may be 0: even then a command that cannot live is not started in a busy loop. */
enum { RESTART_FLOOR_MS = 100 };

enum strike_verdict {
	STRIKE_NOTHING, /* go on */
	STRIKE_RESTART, /* the number is full: restart it, now or when due */
	STRIKE_OVER,	/* a success that cancels what was held */
};

/** "exit", "probe" ...; "first" for CAUSE_NONE. */
const char *start_cause_name(enum start_cause cause);
/** Bound by the minimum interval and counted for it: exit, signal, probe, lost, memory. */
bool start_is_automatic(enum start_cause cause);
/** May an instance that ended for this cause be followed by another? `failed`: exit code not 0, or
 * unknown. */
bool restart_allowed(const struct config_restart *rules, enum start_cause cause, bool failed);
/**
 * When the start may begin; never before history->now_ms.
 * @param draw  0..UINT32_MAX, spreads starts that were held over rules->jitter_ms
 */
int64_t restart_due_ms(const struct config_restart *rules, const struct start_history *history,
	enum start_cause cause, uint32_t draw);
/** When to try again after the n-th attempt (from 1) that did not even make a process. */
int64_t retry_delay_ms(unsigned attempts);
/** Takes one probe's outcome into *strikes. `held`: a restart already waits. */
enum strike_verdict strike_count(int64_t *strikes, int64_t failures, bool ok, bool held);
