/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What robots.txt of a host allows. Fetched through the fetcher under the limits of whoever asks
 * first, kept for a day in this process; at most ROBOTS_HOSTS hosts and ROBOTS_CACHE_BYTES of
 * rules are remembered.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetcher;
struct loop;
struct plan;
struct robots_cache;
struct url;

enum { ROBOTS_HOSTS = 1024, ROBOTS_CACHE_BYTES = 16 << 20 };

int robots_cache_new(
	struct robots_cache **out, struct loop *loop, struct fetcher *fetcher) MUST_CHECK;
/** Who waits is dropped without a callback. NULL is fine. */
void robots_cache_free(struct robots_cache *cache);

/** Forgets the rules of all hosts that nobody waits for. */
void robots_cache_trim(struct robots_cache *cache);

enum robots_say {
	ROBOTS_SAY_YES,
	ROBOTS_SAY_NO,	    /* a rule forbids it: `reason` names rule and line */
	ROBOTS_SAY_PRIVATE, /* the host's address is private */
	ROBOTS_SAY_RETRY,   /* unreachable (5xx, 429, no answer): `reason`, at the earliest after
			       wait_ms */
	ROBOTS_SAY_LATER,   /* a limit opens after wait_ms */
};
struct robots_saying {
	enum robots_say say;
	const char *reason;
	int64_t wait_ms;
	int64_t delay_ms; /* Crawl-delay, -1: none */
	int64_t requests; /* calls made for this asker */
};
struct robots_wait;
typedef void (*robots_cb)(void *arg, const struct robots_saying *saying);
/**
 * @param plan  whose politeness and follow.private count; borrowed until the callback
 * @return 0: the callback comes later, once (never from within); -ENOMEM
 */
int robots_ask(struct robots_wait **out, struct robots_cache *cache, const struct plan *plan,
	const struct url *url, robots_cb cb, void *arg) MUST_CHECK;
void robots_forget(struct robots_wait *wait); /* without a callback; NULL is fine */
