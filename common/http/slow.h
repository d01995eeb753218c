/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * SLOW_REQUEST: a record in the category performance for each request that took SLOW_REQUEST_MS or
 * longer, at most SLOW_RECORDS in any minute; what is over that is counted, and the count is told.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Where the warning grade of response time begins (spec section 11). */
enum { SLOW_REQUEST_MS = 2000, SLOW_RECORDS = 60, SLOW_MINUTE_MS = 60000 };

/* On whose behalf a request is made; NULL and 0: not told. */
struct request_context {
	const char *job, *provider;
	int64_t run, task;
};
struct slow_request {
	const char *method, *url;
	struct request_context context;
	long status;	     /* 0: no answer */
	const char *failure; /* what went wrong, as one word; NULL: nothing */
	const char *error;   /* and as a sentence */
	int64_t duration_us;
};

struct slow_log;
int slow_log_new(struct slow_log **out, struct loop *loop) MUST_CHECK;
/** Tells what is counted and not told yet. NULL is fine. */
void slow_log_free(struct slow_log *slow);
/** A request is over. Nothing happens when it was not slow. */
void slow_log_request(struct slow_log *slow, const struct slow_request *request);

enum { SLOW_URL_MAX = 2048 };
/** Scheme, host, port and path of an absolute URL: secrets live in the rest. Cut to fit; "" for
 * what is no URL. @return dst */
char *slow_url(char *dst, size_t size, const char *url);
