/* SPDX-License-Identifier: MIT */
#include "crawl/request.h"

#include "base/err.h"
#include "base/str.h"
#include "crawl/plan.h"

#include <errno.h>
#include <string.h>

int crawl_request_init(struct crawl_request *request, const struct plan *plan, const char *url,
	int64_t delay_ms, struct err *err)
{
	static struct config_pair headers[] = {
		{ "Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1" },
	};
	CLEANUP(url_freep) struct url *parsed = NULL;
	int r = url_parse(&parsed, url, URL_MAX_DEFAULT, err);
	if (r < 0)
		return r;
	str_copy(request->url, sizeof(request->url), parsed->text);
	memcpy(request->key, "host/", 5);
	url_host_key(request->key + 5, parsed);
	request->window = (struct limit_window) { .count = plan->per_host, .period_ms = 0 };
	request->limit = (struct limit_spec) {
		.key = request->key,
		.windows = &request->window,
		.window_count = 1,
		.min_delay_ms = MAX(plan->delay_ms, delay_ms),
	};
	request->spec = (struct fetch_spec) {
		.request = {
			.method = "GET",
			.url = request->url,
			.headers = { headers, ARRAY_SIZE(headers) },
			.profile = { .proxy = plan->proxy.url ? &plan->proxy : NULL },
			.connect_ms = CRAWL_CONNECT_MS,
			.idle_ms = CRAWL_IDLE_MS,
			.total_ms = CRAWL_TOTAL_MS,
			.max_body = CRAWL_BODY_MAX,
			.allow_private = plan->is_private,
		},
		.limits = &request->limit,
		.limit_count = 1,
		.retry = { .attempts = 1 }, /* the queue retries: it outlives us */
		.max_wait_ms = CRAWL_WAIT_MS,
	};
	return 0;
}
