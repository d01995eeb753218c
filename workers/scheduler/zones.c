/* SPDX-License-Identifier: MIT */
#include "scheduler/zones.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "log/log.h"
#include "loop/loop.h"
#include "schedule/zone.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker.h"
#include <stdlib.h>

enum { LOOK_EVERY_MS = 60000 };

struct zones {
	struct scheduler *scheduler;
	struct loop_timer *timer;
};

static void on_timer(void *arg)
{
	zones_look(arg);
}

struct zones *zones_new(struct scheduler *s)
{
	struct zones *z = NEW(struct zones);
	if (!z)
		return NULL;
	z->scheduler = s;
	z->timer = loop_timer_new(s->loop, on_timer, z);
	if (!z->timer) {
		free(z);
		return NULL;
	}
	loop_timer_start(z->timer, LOOK_EVERY_MS);
	return z;
}

void zones_free(struct zones *z)
{
	if (!z)
		return;
	loop_timer_free(z->timer);
	free(z);
}

static void on_told(void *arg UNUSED, const struct zone *zone, const struct err *trouble)
{
	if (trouble)
		log_warn(MAIN, "time_zone_kept", KV_STR("value", zone_name(zone)),
			KV_STR("error", trouble->text));
	else
		log_info(MAIN, "time_zone_changed", KV_STR("value", zone_name(zone)));
}

void zones_look(struct zones *z)
{
	const struct config *config = ticker_config(z->scheduler->ticker);
	loop_timer_start(z->timer, LOOK_EVERY_MS);
	if (config && zone_cache_refresh(config_zones(config), on_told, z) > 0)
		ticker_recount(z->scheduler->ticker);
}
