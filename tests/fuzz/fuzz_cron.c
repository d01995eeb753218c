/* SPDX-License-Identifier: MIT */
/*
 * Any text is a cron expression or refused at a byte of it; what is due is due in order, at whole
 * seconds, and asking from the millisecond before gives the same. Input: one byte of settings, four
 * of time, the expression. The same bytes are read as a zone file, whose spans must follow each
 * other.
 */
#include "base/err.h"
#include "schedule/cron_days.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

/* However rare the days are and however often the zone's clock jumps. */
static int next_bounded(const struct cron *cron, const struct zone *zone, int64_t after,
	bool inclusive, const struct dst_policy *policy, int64_t *due)
{
	const uint64_t most = (uint64_t)CRON_HORIZON_YEARS * 367 + UINT64_C(5) * 4200;
	uint64_t before = cron_days_judged();
	int rc = cron_next(cron, zone, after, inclusive, policy, due);
	demand(cron_days_judged() - before <= most);
	return rc;
}

/* Hours by elapsed time, a fixed one and a rare one, under whatever rules. */
static void judge_under(const struct zone *zone)
{
	static const char *const texts[] = { "*/7 * * * *", "30 2 * * *", "0 0 29 2 0#5" };
	static const struct dst_policy policy;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct cron cron;
		int64_t at = 0, due;
		demand(cron_parse(&cron, texts[i], NULL, NULL) == 0);
		for (int n = 0; n < 10; n++) {
			if (next_bounded(&cron, zone, at, false, &policy, &due) < 0)
				break;
			demand(due > at && due % 1000 == 0);
			(void)cron_mark_name(cron_mark(&cron, zone, &policy, due));
			at = due;
		}
	}
}

static void judge_zone(const uint8_t *data, size_t size)
{
	struct zone *zone = NULL;
	struct err err = { 0 };
	if (zone_parse(&zone, "fuzz", data, size, &err) < 0) {
		demand(zone == NULL && err.text[0]);
		return;
	}
	struct zone_span span;
	int64_t at = -4102444800;
	zone_span_at(zone, at, &span);
	for (int i = 0; i < 50 && span.end_s < 4102444800; i++) {
		int64_t end = span.end_s;
		zone_span_at(zone, end, &span);
		demand(span.start_s == end && span.end_s > end);
	}
	judge_under(zone);
	zone_free(zone);
}

static void judge_due(const struct cron *cron, const struct zone *zone, int64_t after,
	const struct dst_policy *policy)
{
	int64_t due, again;
	if (next_bounded(cron, zone, after, true, policy, &due) < 0)
		return;
	demand(!cron_never_due(cron));
	for (int i = 0; i < 20; i++) {
		demand(due >= after && due % 1000 == 0);
		demand(cron_next(cron, zone, due, true, policy, &again) == 0 && again == due);
		demand(cron_next(cron, zone, due - 1, false, policy, &again) == 0 && again == due);
		(void)cron_mark_name(cron_mark(cron, zone, policy, due));
		after = due + 1;
		if (next_bounded(cron, zone, due, false, policy, &due) < 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "UTC", "America/New_York", "Australia/Lord_Howe",
		"Africa/Casablanca", "Pacific/Apia", "Europe/Berlin", "Asia/Seoul",
		"America/Santiago" };
	static struct zone_cache *zones;
	const struct zone *zone;
	struct cron cron;
	struct err err = { 0 };
	size_t bad_at = SIZE_MAX;
	uint32_t after_s;
	int64_t ms;
	judge_zone(data, size);
	if (size < 6)
		return 0;
	if (!zones)
		zones = zone_cache_new();
	demand(zone_cache_get(zones, names[data[0] & 7], &zone, NULL) == 0);
	struct dst_policy policy = { data[0] & 8 ? DST_GAP_SKIP : DST_GAP_AFTER,
		data[0] & 16 ? DST_OVERLAP_BOTH : DST_OVERLAP_FIRST };
	memcpy(&after_s, data + 1, 4);
	char *text = strndup((const char *)data + 5, size - 5);
	demand(text != NULL);
	if (cron_parse(&cron, text, &bad_at, &err) == 0)
		judge_due(&cron, zone, (int64_t)after_s * 1000 + data[0], &policy);
	else
		demand(err.text[0] && bad_at <= strlen(text));
	if (time_parse_rfc3339(text, &ms, NULL, NULL) == 0) {
		char shown[TIME_TEXT];
		int64_t again;
		demand(ms < 0 ||
			(time_parse_rfc3339(
				 time_format_rfc3339(shown, ms, zone), &again, NULL, NULL) == 0 &&
				again == ms) ||
			ms > 253402214400000);
	}
	free(text);
	return 0;
}
