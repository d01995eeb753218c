/* SPDX-License-Identifier: MIT */
/*
 * When expressions are due, for a judge that knows nothing of us
 * (tests/integration/cron_oracle.py). Each line of standard input: zone, first second, count of
 * units, seconds of a unit, gap (after, skip), overlap (first, both), expression, separated by
 * tabs. The answer: E (refused), N (never due), X (due between two units), or B and a bit for each
 * unit, lowest first, in whole bytes.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "schedule/cron.h"
#include "schedule/zone.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 7, UNITS_MAX = 600000 };

static bool split(char *line, char *words[WORDS])
{
	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < WORDS; i++) {
		if (!line)
			return false;
		words[i] = line;
		line = i + 1 < WORDS ? strchr(line, '\t') : NULL;
		if (line)
			*line++ = '\0';
	}
	return true;
}

static void answer(char *words[WORDS], struct zone_cache *zones)
{
	static unsigned char bits[UNITS_MAX / 8 + 1];
	const struct zone *zone;
	struct cron cron;
	struct err err;
	int64_t from = strtoll(words[1], NULL, 10), units = strtoll(words[2], NULL, 10),
		unit = strtoll(words[3], NULL, 10), at = from * 1000;
	const struct dst_policy policy = { str_eq(words[4], "skip") ? DST_GAP_SKIP : DST_GAP_AFTER,
		str_eq(words[5], "both") ? DST_OVERLAP_BOTH : DST_OVERLAP_FIRST };
	if (units < 1 || units > UNITS_MAX || unit < 1 ||
		zone_cache_get(zones, words[0], &zone, &err) < 0)
		abort();
	if (cron_parse(&cron, words[6], NULL, &err) < 0) {
		putchar('E');
		return;
	}
	if (cron_never_due(&cron)) {
		putchar('N');
		return;
	}
	memset(bits, 0, (size_t)(units + 7) / 8);
	for (bool inclusive = true; cron_next(&cron, zone, at, inclusive, &policy, &at) == 0;
		inclusive = false) {
		int64_t n = (at / 1000 - from) / unit;
		if (n >= units)
			break;
		if ((at / 1000 - from) % unit) {
			putchar('X');
			return;
		}
		bits[n / 8] |= (unsigned char)(1u << n % 8);
	}
	putchar('B');
	(void)fwrite(bits, 1, (size_t)(units + 7) / 8, stdout);
}

int main(void)
{
	CLEANUP(zone_cache_freep) struct zone_cache *zones = zone_cache_new();
	CLEANUP(freep) char *line = NULL;
	size_t size = 0;
	char *words[WORDS];
	while (zones && getline(&line, &size, stdin) > 0) {
		if (!split(line, words))
			return 2;
		answer(words, zones);
		fflush(stdout);
	}
	return 0;
}
