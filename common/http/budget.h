/* SPDX-License-Identifier: MIT */
#pragma once
/* What an answer's headers say about the calls that the server will still take. */
#include <stdbool.h>
#include <stdint.h>

struct http_budget {
	int64_t remaining; /* calls, at least 0 */
	int64_t reset_ms;  /* until it counts anew; 0..a day */
};
struct http_budget_headers {
	const char *ratelimit;	       /* RateLimit, of the drafts of the IETF; NULL: absent */
	const char *remaining, *reset; /* [X-]Rate[-]Limit-Remaining and -Reset; NULL: absent */
	const char *date;	       /* the server's clock; NULL: absent */
};
/**
 * Reset is a number of seconds from now, or an instant in seconds or milliseconds since 1970, told
 * apart by its size and counted from the server's own Date. One second is added, which is what a
 * server that cuts fractions off leaves out.
 * @return whether both are there and can be read
 */
bool http_budget_of(
	struct http_budget *out, const struct http_budget_headers *headers, int64_t now_ms);
struct http_result;
bool http_budget_read(struct http_budget *out, const struct http_result *result, int64_t now_ms);
