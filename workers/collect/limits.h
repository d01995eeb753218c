/* SPDX-License-Identifier: MIT */
#pragma once
/* The limits that a job's calls keep: those of its provider, and of the endpoints whose `match` is
 * in the call's path. */
#include "base/compiler.h"
#include "config/config.h"
#include "limit/limit.h"
#include <regex.h>

struct err;

enum { CALL_LIMITS_MAX = 1 + CONFIG_ENDPOINTS_MAX, LIMIT_ACTIVE_MAX = 1000, ADAPTIVE_MAX = 20 };

struct job_limit {
	char *key;
	struct limit_window windows[8];
	struct limit_spec spec;
	regex_t match; /* of an endpoint */
	bool has_match;
};
struct job_limits {
	struct job_limit items[CALL_LIMITS_MAX]; /* the provider's is the first */
	size_t count;
	size_t base_path; /* bytes of base_url's path, which `match` does not see */
};
/* Those of one call; must live until it is over. */
struct call_limits {
	struct limit_spec specs[CALL_LIMITS_MAX];
	size_t count;
};

int job_limits_init(struct job_limits *limits, const struct config_provider *provider,
	struct err *err) MUST_CHECK;
void job_limits_finish(struct job_limits *limits);
/** @param url  of the call, as it is sent */
void job_limits_of(const struct job_limits *limits, const char *url, struct call_limits *out);
