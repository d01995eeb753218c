/* SPDX-License-Identifier: MIT */
#include "collect/limits.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "url/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_URL_MAX = 16384 };

static size_t add_rates(struct job_limit *l, const struct config_rates *rates)
{
	size_t n = 0;
	for (; n < rates->count && n < CONFIG_RATES_MAX; n++)
		l->windows[n] = (struct limit_window) { rates->items[n].count,
			rates->items[n].period_ms };
	return n;
}

static void set_spec(struct job_limit *l, size_t windows, int64_t min_delay_ms, bool adaptive)
{
	l->spec = (struct limit_spec) {
		.key = l->key,
		.windows = l->windows,
		.window_count = windows,
		.min_delay_ms = min_delay_ms,
		.adaptive = adaptive,
	};
}

static int init_provider(struct job_limit *l, const struct config_provider *p, struct err *err)
{
	const struct config_limits *limits = &p->limits;
	size_t n = add_rates(l, &limits->rate);
	/* There always is one: by it calls under way are counted. */
	int64_t most = limits->concurrency > 0 ? limits->concurrency
		       : limits->adaptive      ? ADAPTIVE_MAX
					       : LIMIT_ACTIVE_MAX;
	l->windows[n++] = (struct limit_window) { most, 0 };
	if (asprintf(&l->key, "provider/%s", p->name) < 0) {
		l->key = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	set_spec(l, n, limits->min_delay_ms, limits->adaptive);
	return 0;
}

static int init_endpoint(struct job_limit *l, const struct config_provider *p,
	const struct config_endpoint *e, struct err *err)
{
	size_t n = add_rates(l, &e->rate);
	if (e->concurrency > 0)
		l->windows[n++] = (struct limit_window) { e->concurrency, 0 };
	if (asprintf(&l->key, "provider/%s %s", p->name, e->match) < 0) {
		l->key = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	set_spec(l, n, e->min_delay_ms, false);
	if (regcomp(&l->match, e->match, REG_EXTENDED | REG_NOSUB))
		return err_set(err, -EINVAL, "match %.100s is no regular expression", e->match);
	l->has_match = true;
	return 0;
}

static size_t base_path(const char *base_url)
{
	CLEANUP(url_freep) struct url *url = NULL;
	if (url_parse(&url, base_url, CALL_URL_MAX, NULL) < 0)
		return 0;
	size_t len = url->path.len;
	while (len > 0 && url->text[url->path.at + len - 1] == '/')
		len--;
	return len;
}

int job_limits_init(
	struct job_limits *limits, const struct config_provider *provider, struct err *err)
{
	const struct config_endpoint *endpoints = provider->limits.endpoints.items;
	limits->base_path = base_path(provider->base_url);
	limits->count = 1;
	int rc = init_provider(&limits->items[0], provider, err);
	for (size_t i = 0; rc == 0 && i < provider->limits.endpoints.count; i++) {
		if (limits->count == CALL_LIMITS_MAX)
			return err_set(err, -EINVAL, "provider %s: at most %d endpoints",
				provider->name, CONFIG_ENDPOINTS_MAX);
		rc = init_endpoint(&limits->items[limits->count++], provider, &endpoints[i], err);
	}
	return rc;
}

void job_limits_finish(struct job_limits *limits)
{
	for (size_t i = 0; i < limits->count; i++) {
		free(limits->items[i].key);
		if (limits->items[i].has_match)
			regfree(&limits->items[i].match);
	}
	limits->count = 0;
}

/* "https://host/base/items?x=1" -> "/items"; *out is freed by the caller. */
static char *path_of(const struct job_limits *limits, const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host ? host + 3 + strcspn(host + 3, "/?#") : url;
	size_t len = strcspn(path, "?#");
	if (limits->base_path < len && path[limits->base_path] == '/') {
		path += limits->base_path;
		len -= limits->base_path;
	}
	return strndup(path, len);
}

void job_limits_of(const struct job_limits *limits, const char *url, struct call_limits *out)
{
	out->specs[0] = limits->items[0].spec;
	out->count = 1;
	if (limits->count == 1)
		return;
	CLEANUP(freep) char *path = path_of(limits, url);
	for (size_t i = 1; i < limits->count; i++)
		/* Without memory to look at the path, all are kept. */
		if (!path || regexec(&limits->items[i].match, path, 0, NULL, 0) == 0)
			out->specs[out->count++] = limits->items[i].spec;
}
