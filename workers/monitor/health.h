/* SPDX-License-Identifier: MIT */
#pragma once
/* Grades what the monitor knows: normal, warning, critical (spec section 11), and says why. */
#include "base/compiler.h"
#include <stdbool.h>

struct buf;
struct monitor;

enum health_level { HEALTH_NORMAL, HEALTH_WARNING, HEALTH_CRITICAL };
const char *health_level_name(enum health_level level);
/** Below `warning` normal, from there warning, above `critical` critical; a negative value is
 * unknown: normal. */
enum health_level health_grade(double value, double warning, double critical);
/** The worst of all checks. */
enum health_level health_level(const struct monitor *m);

/** What is critical now. */
struct health_trouble {
	const char *metric; /* "processes", "cpu", "memory" or "disk": the first that is critical */
	double value;	    /* percent; of processes: how many failed or are stuck */
	char detail[256];   /* all that is critical, in words */
};
/** @return false: nothing is critical, `out` is as it was */
bool health_trouble(const struct monitor *m, struct health_trouble *out);
/** {"health": {"level", "address", "checks": {name: {level, value?, detail?}}}} */
void health_json(const struct monitor *m, struct buf *out);
/** /health: short. */
void health_short(const struct monitor *m, struct buf *out);
/** True when every process is up or waiting by design and the store answers; else `why` gets words.
 */
bool health_ready(const struct monitor *m, struct buf *why);
