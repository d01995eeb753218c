/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * robots.txt as RFC 9309 has it: groups by product token, longest match, allow wins a tie, `*` and
 * `$`; besides Crawl-delay and Sitemap. Pure. Matching is linear in the path for each rule,
 * whatever the rule holds.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct robots;

/* RFC 9309 2.5: at least 500 KiB are read; what lies behind is not. */
enum { ROBOTS_BYTES_MAX = 500 * 1024, ROBOTS_DELAY_MAX_MS = 3600 * 1000 };

/**
 * Parses any bytes: a file that makes no sense has no rules. The text is copied.
 * @return NULL only when out of memory
 */
MUST_CHECK
struct robots *robots_parse(const char *data, size_t len);
void robots_free(struct robots *robots);
DEFINE_FREEP(struct robots, robots)
/** Memory that it takes, in bytes: up to ten times the text. */
size_t robots_bytes(const struct robots *robots);

struct robots_verdict {
	bool allowed;
	int line;	  /* of the rule that decided, from 1; 0 = no rule matched */
	const char *rule; /* "Disallow: /private", as parsed; NULL when line is 0; lives as long as
			     the robots */
};
/**
 * @param agent   product token ("drover"); of "drover/1.0 (+http://x)" only the token counts; case
 * does not
 * @param target  path with query as url_target() gives it; "/robots.txt" is always allowed
 */
struct robots_verdict robots_check(
	const struct robots *robots, const char *agent, const char *target);

/** Crawl-delay of the agent's group in ms, -1 when none or not a number; at most
 * ROBOTS_DELAY_MAX_MS. */
int64_t robots_crawl_delay_ms(const struct robots *robots, const char *agent);
/** The n-th Sitemap line's URL, from 0; NULL when there are no more. Valid for all agents. */
const char *robots_sitemap(const struct robots *robots, size_t n);

enum robots_access {
	ROBOTS_RULES,	       /* parse the body */
	ROBOTS_ALLOW_ALL,      /* there is no robots.txt */
	ROBOTS_DISALLOW_RETRY, /* unreachable: nothing may be fetched; ask again later */
	ROBOTS_REDIRECT,       /* follow, at most ROBOTS_REDIRECTS_MAX, then ROBOTS_ALLOW_ALL */
};
enum { ROBOTS_REDIRECTS_MAX = 5 };
/**
 * What the answer to GET /robots.txt means (RFC 9309 2.3.1).
 * @param status     HTTP status; 0 = no answer (refused, timeout, name not found)
 * @param redirects  how many were followed to get here
 */
enum robots_access robots_from_status(int status, int redirects);
