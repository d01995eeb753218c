/* SPDX-License-Identifier: MIT */
/* What the limits of a provider say about each other. */
#include "base/str.h"
#include "config/check.h"
#include "config/context.h"

#include <stdio.h>

/* Two windows of one period would be one and the same. */
static void check_rates(struct config_context *ctx, const void *object, const char *path,
	const struct config_rates *rates)
{
	char at[64];
	for (size_t i = 1; i < rates->count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (!rates->items[i].period_ms ||
				rates->items[k].period_ms != rates->items[i].period_ms)
				continue;
			snprintf(at, sizeof(at), "%s.%zu", path, i);
			context_error_at(ctx, object, at,
				"two rates of the same time: the smaller one is enough");
			break;
		}
	}
}

static void check_endpoints(struct config_context *ctx, const struct config_provider *p)
{
	const struct config_endpoint *endpoints = p->limits.endpoints.items;
	if (p->limits.endpoints.count > CONFIG_ENDPOINTS_MAX)
		context_error_at(
			ctx, p, "limits.endpoints", "at most %d endpoints", CONFIG_ENDPOINTS_MAX);
	for (size_t i = 0; i < p->limits.endpoints.count; i++) {
		const struct config_endpoint *e = &endpoints[i];
		if (!e->rate.items && !e->concurrency && !e->min_delay_ms &&
			!context_node(ctx, e, "rate"))
			context_error_at(ctx, e, "",
				"an endpoint needs a rate, a concurrency or a min_delay");
		check_rates(ctx, e, "rate", &e->rate);
		for (size_t k = 0; k < i; k++)
			if (e->match && endpoints[k].match && str_eq(endpoints[k].match, e->match))
				context_error_at(ctx, e, "match",
					"another endpoint has the same match: their limits would "
					"be one");
	}
}

void check_limits(struct config_context *ctx, const struct config_provider *p)
{
	check_rates(ctx, p, "limits.rate", &p->limits.rate);
	check_endpoints(ctx, p);
}
