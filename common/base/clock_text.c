/* SPDX-License-Identifier: MIT */
/* Apart from clock.c, which tests replace. */
#include "base/clock.h"
#include <stdio.h>
#include <time.h>

char *clock_rfc3339(char *dst, int64_t real_ms)
{
	int64_t ms = real_ms % 1000;
	if (ms < 0)
		ms += 1000;
	time_t seconds = (time_t)((real_ms - ms) / 1000);
	struct tm tm;
	dst[0] = '\0';
	if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
		return dst;
	snprintf(dst, CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		(tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec, (int)ms);
	return dst;
}
