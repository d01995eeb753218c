/* SPDX-License-Identifier: MIT */
#pragma once
/* jobs.NAME of kind crawl. */
#include "config/config.h"

enum crawl_robots { ROBOTS_OBEY, ROBOTS_IGNORE };
struct crawl_follow {
	struct config_strings domains; /* empty: the hosts of the start URLs */
	int64_t depth, max_pages;
	int nofollow; /* enum crawl_robots: obey or ignore rel=nofollow and meta robots nofollow */
	bool is_private; /* private and loopback addresses may be visited */
};
struct crawl_politeness {
	int64_t delay_ms, per_host;
};
struct crawl_extract {
	const char *match;	    /* POSIX extended regular expression over the URL */
	struct config_array fields; /* struct config_column, with xpath */
};
struct crawl_job {
	struct config_strings start;
	struct crawl_follow follow;
	int robots; /* enum crawl_robots */
	struct crawl_politeness politeness;
	struct config_proxy proxy;
	struct config_array extract; /* struct crawl_extract; the first that matches is used */
};

extern const struct worker_kind worker_kind_crawl;
