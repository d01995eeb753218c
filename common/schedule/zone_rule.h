/* SPDX-License-Identifier: MIT */
#pragma once
/* The POSIX TZ rule in a TZif footer ("CET-1CEST,M3.5.0,M10.5.0/3"). For this room only. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone_span;

struct zone_rule {
	struct zone_rule_time {
		enum {
			RULE_JULIAN,
			RULE_DAY,
			RULE_MONTH
		} form; /* Jn (no leap day), n (from 0), Mm.w.d */
		int month, week, day;
		int32_t time_s; /* local, -167 to 167 hours */
	} start, end;
	int32_t standard_s, daylight_s; /* local time = UTC + this */
	bool has_daylight;
	char standard[8], daylight[8];
};

/** @return 0 or -EINVAL */
MUST_CHECK
int zone_rule_parse(struct zone_rule *out, const char *text, size_t len);
void zone_rule_span_at(const struct zone_rule *rule, int64_t utc_s, struct zone_span *out);
