/* SPDX-License-Identifier: MIT */
#pragma once
/* How a crawl asks a host: politeness as a limit that all processes share, bounded sizes and times.
 */
#include "base/compiler.h"
#include "http/fetch.h"
#include "url/url.h"

struct err;
struct plan;

#define CRAWL_AGENT	 "drover" /* the product token that robots.txt names */
#define CRAWL_USER_AGENT "drover/" DROVER_VERSION

enum {
	CRAWL_BODY_MAX = 10 << 20,
	CRAWL_CONNECT_MS = 10000,
	CRAWL_IDLE_MS = 20000,
	CRAWL_TOTAL_MS = 30000,
	CRAWL_WAIT_MS =
		2000, /* a limit that opens later puts the task back: others want its slot */
};

/* A fetch with what it borrows. Stays where it is until the fetch is done. */
struct crawl_request {
	char url[URL_MAX_DEFAULT + 1];
	char key[URL_HOST_KEY_MAX + 8];
	struct limit_window window;
	struct limit_spec limit;
	struct fetch_spec spec;
};
/** @param delay_ms  what the host itself asks for, -1: nothing. @return 0; -EINVAL url is no URL */
int crawl_request_init(struct crawl_request *request, const struct plan *plan, const char *url,
	int64_t delay_ms, struct err *err) MUST_CHECK;
