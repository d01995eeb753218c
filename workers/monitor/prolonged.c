/* SPDX-License-Identifier: MIT */
#include "monitor/prolonged.h"

#include "base/clock.h"
#include "base/mutant.h"
#include "log/log.h"
#include "monitor/health.h"
#include "monitor/monitor.h"
#include "monitor/sampler.h"

enum { GAP_MS = 3 * SAMPLE_MS };

static void recommend(struct prolonged *p, const struct health_trouble *t, int64_t now_ms)
{
	p->counted = true;
	p->told = true;
	p->told_since_ms = p->since_ms;
	log_warn(HEALTH, "RESTART_RECOMMENDED", KV_STR("reason", "prolonged_unhealthy_state"),
		KV_STR("health", health_level_name(HEALTH_CRITICAL)), KV_STR("metric", t->metric),
		KV_REAL("value", t->value), KV_STR("detail", t->detail),
		KV_INT("critical_ms", now_ms - p->since_ms));
}

static void get_well(struct prolonged *p, const struct monitor *m, int64_t now_ms)
{
	p->critical = false;
	if (!p->told)
		return;
	p->told = false;
	log_info(HEALTH, "RESTART_RECOMMENDATION_OVER",
		KV_STR("health", health_level_name(health_level(m))),
		KV_INT("duration_ms", now_ms - p->told_since_ms));
}

void prolonged_sample(struct prolonged *p, const struct monitor *m)
{
	struct health_trouble trouble;
	/* Boot time goes on while the machine sleeps: that is a gap, too. */
	int64_t now = clock_mono_ms(), boot = clock_boot_ms();
	bool gap = boot - p->sampled_boot_ms > GAP_MS && !MUTANT(UNHEALTHY_ACROSS_GAPS);
	p->sampled_boot_ms = boot;
	if (!health_trouble(m, &trouble)) {
		get_well(p, m, now);
		return;
	}
	if (!p->critical || gap) {
		p->critical = true;
		p->counted = false;
		p->since_ms = now;
	}
	if (!p->counted && now - p->since_ms >= PROLONGED_MS)
		recommend(p, &trouble, now);
}
