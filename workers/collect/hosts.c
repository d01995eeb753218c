/* SPDX-License-Identifier: MIT */
#include "collect/hosts.h"

#include "base/mem.h"
#include "base/str.h"
#include "collect/plan.h"
#include "config/config.h"
#include "http/http.h"
#include <stdlib.h>

enum { BASE_MAX = 16384 };

struct hosts {
	unsigned refs;
	size_t count;
	struct fetch_host *items;
	char (*keys)[URL_HOST_KEY_MAX];
};

struct hosts *hosts_new(const struct config *config)
{
	struct hosts *h = NEW(struct hosts);
	if (!h)
		return NULL;
	h->refs = 1;
	h->items = calloc(config->provider_count + 1, sizeof(*h->items));
	h->keys = calloc(config->provider_count + 1, sizeof(*h->keys));
	if (!h->items || !h->keys) {
		hosts_drop(h);
		return NULL;
	}
	for (size_t i = 0; i < config->provider_count; i++) {
		const struct config_provider *p = &config->providers[i];
		CLEANUP(url_freep) struct url *url = NULL;
		if (!p->connections.per_host || url_parse(&url, p->base_url, BASE_MAX, NULL) < 0)
			continue;
		h->items[h->count] = (struct fetch_host) {
			.key = url_host_key(h->keys[h->count], url), .most = p->connections.per_host
		};
		h->count++;
	}
	return h;
}

struct hosts *hosts_hold(struct hosts *h)
{
	h->refs++;
	return h;
}

void hosts_drop(struct hosts *h)
{
	if (!h || --h->refs > 0)
		return;
	free(h->items);
	free(h->keys);
	free(h);
}

struct fetch_places hosts_places(const struct hosts *h, const struct config_provider *p)
{
	return (struct fetch_places) {
		.hosts = h->items,
		.host_count = h->count,
		.per_host = p->connections.per_host,
		.pool = p->connections.total ? p->name : NULL,
		.total = p->connections.total,
	};
}

static struct http_name name_of(const struct config_provider *p, const char *url)
{
	return (struct http_name) {
		.url = http_proxied(&p->proxy, url) ? p->proxy.url : url,
		.provider = p->name,
		.ttl_ms = p->connections.dns_ttl_ms,
	};
}

void hosts_look_ahead(struct http_client *client, struct plan *const *plans, size_t count)
{
	struct http_name *names = calloc(2 * count + 1, sizeof(*names));
	size_t n = 0;
	for (size_t i = 0; names && i < count; i++) {
		const struct config_provider *p = plans[i]->provider;
		names[n++] = name_of(p, p->base_url);
		if (p->auth.oauth2.token_url)
			names[n++] = name_of(p, p->auth.oauth2.token_url);
	}
	/* Without memory the first call looks it up. */
	http_client_look_ahead(client, names, n);
	free(names);
}
