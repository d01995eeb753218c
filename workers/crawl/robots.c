/* SPDX-License-Identifier: MIT */
#include "crawl/robots.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "crawl/plan.h"
#include "crawl/request.h"
#include "loop/loop.h"
#include "url/robots.h"
#include "url/url.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
	KEEP_MS = 24 * 3600 * 1000,
	FAILED_MS = 5000, /* an unreachable host is not asked again for this long */
	TARGET_MAX = URL_MAX_DEFAULT + 2,
	KEY_MAX = URL_ORIGIN_MAX + 18,
};

enum entry_state { ENTRY_FETCHING, ENTRY_RULES, ENTRY_ALLOW_ALL, ENTRY_FAILED };

struct entry {
	UT_hash_handle hh;
	struct list lru, waits;
	struct robots_cache *cache;
	char key[KEY_MAX]; /* '+' or '-' for private allowed or not, through what, the origin */
	enum entry_state state;
	int64_t until_ms; /* on the monotonic clock */
	struct robots *robots;
	int redirects;
	struct crawl_request request;
	struct plan_set *set; /* from which the request borrows */
	struct fetch *fetch;
	struct buf body;
	/* The last failure. */
	enum robots_say say;
	char reason[160];
	int64_t wait_ms, requests;
};
struct robots_wait {
	struct list node;
	struct entry *entry;
	const struct plan *plan;
	char target[TARGET_MAX];
	robots_cb cb;
	void *arg;
	int64_t requests;
};
struct robots_cache {
	struct loop *loop;
	struct fetcher *fetcher;
	struct entry *entries; /* uthash by key */
	struct list lru;       /* longest unused first */
	size_t bytes;	       /* of all rules */
};

static int ask_host(struct entry *entry, const struct plan *plan, const char *url);
static void make_room(struct robots_cache *cache);

int robots_cache_new(struct robots_cache **out, struct loop *loop, struct fetcher *fetcher)
{
	struct robots_cache *cache = NEW(struct robots_cache);
	if (!cache)
		return -ENOMEM;
	cache->loop = loop;
	cache->fetcher = fetcher;
	list_init(&cache->lru);
	*out = cache;
	return 0;
}

void robots_forget(struct robots_wait *wait)
{
	if (!wait)
		return;
	loop_cancel_deferred(wait->entry->cache->loop, wait);
	list_remove(&wait->node);
	free(wait);
}

static void drop_rules(struct entry *entry)
{
	if (entry->robots)
		entry->cache->bytes -= robots_bytes(entry->robots);
	robots_free(entry->robots);
	entry->robots = NULL;
}

static void entry_free(struct entry *entry)
{
	HASH_DEL(entry->cache->entries, entry);
	list_remove(&entry->lru);
	LIST_FOR_EACH_SAFE (node, &entry->waits)
		robots_forget(LIST_ENTRY(node, struct robots_wait, node));
	fetch_cancel(entry->fetch);
	plan_set_drop(entry->set);
	drop_rules(entry);
	buf_finish(&entry->body);
	free(entry);
}

void robots_cache_free(struct robots_cache *cache)
{
	if (!cache)
		return;
	for (struct entry *e; (e = LIST_FIRST(&cache->lru, struct entry, lru));)
		entry_free(e);
	free(cache);
}

void robots_cache_trim(struct robots_cache *cache)
{
	LIST_FOR_EACH_SAFE (node, &cache->lru) {
		struct entry *e = LIST_ENTRY(node, struct entry, lru);
		if ((e->state == ENTRY_RULES || e->state == ENTRY_ALLOW_ALL) &&
			list_empty(&e->waits))
			entry_free(e);
	}
}

/* ---- answers ---- */

static void judge(
	const struct robots_wait *wait, struct robots_saying *out, char *reason, size_t size)
{
	const struct entry *entry = wait->entry;
	struct robots_verdict verdict;
	*out = (struct robots_saying) { .say = ROBOTS_SAY_YES, .reason = "", .delay_ms = -1 };
	switch (entry->state) {
	case ENTRY_RULES:
		verdict = robots_check(entry->robots, CRAWL_AGENT, wait->target);
		out->delay_ms = robots_crawl_delay_ms(entry->robots, CRAWL_AGENT);
		if (!verdict.allowed) {
			snprintf(
				reason, size, "robots.txt line %d: %s", verdict.line, verdict.rule);
			out->say = ROBOTS_SAY_NO;
			out->reason = reason;
		}
		break;
	case ENTRY_FAILED:
		out->say = entry->say;
		out->reason = entry->reason;
		/* Asking before it is over would cost an attempt and learn nothing. */
		out->wait_ms = MAX(entry->wait_ms, entry->until_ms - clock_mono_ms());
		break;
	default: break;
	}
}

static void tell(void *arg)
{
	struct robots_wait *wait = arg;
	struct robots_saying saying;
	char reason[256];
	robots_cb cb = wait->cb;
	void *cb_arg = wait->arg;
	loop_cancel_deferred(wait->entry->cache->loop, wait);
	if (wait->entry->state == ENTRY_FETCHING) /* what was known is over: settle() tells */
		return;
	judge(wait, &saying, reason, sizeof(reason));
	saying.requests = wait->requests;
	list_remove(&wait->node);
	free(wait);
	cb(cb_arg, &saying);
}

static void settle(struct entry *entry, enum entry_state state, int64_t keep_ms)
{
	struct robots_wait *first = LIST_FIRST(&entry->waits, struct robots_wait, node);
	entry->state = state;
	entry->until_ms = clock_mono_ms() + keep_ms;
	if (first)
		first->requests = entry->requests;
	entry->requests = 0;
	/* Later, since a callback may ask again or end everything. */
	LIST_FOR_EACH (node, &entry->waits)
		loop_defer(entry->cache->loop, tell, LIST_ENTRY(node, struct robots_wait, node));
}

static void fail(struct entry *entry, enum robots_say say, int64_t wait_ms, const char *reason)
{
	entry->say = say;
	entry->wait_ms = wait_ms;
	snprintf(entry->reason, sizeof(entry->reason), "robots.txt: %s", reason);
	settle(entry, ENTRY_FAILED, say == ROBOTS_SAY_LATER ? 0 : MAX(wait_ms, (int64_t)FAILED_MS));
}

/* ---- the fetch ---- */

static bool on_body(void *arg, const char *data, size_t len)
{
	struct entry *entry = arg;
	buf_add(&entry->body, data, MIN(len, (size_t)ROBOTS_BYTES_MAX - entry->body.len));
	return !buf_failed(&entry->body);
}

static void on_restart(void *arg)
{
	struct entry *entry = arg;
	buf_reset(&entry->body);
}

static void take_rules(struct entry *entry)
{
	drop_rules(entry);
	entry->robots = robots_parse(buf_str(&entry->body), entry->body.len);
	buf_finish(&entry->body);
	if (entry->robots)
		entry->cache->bytes += robots_bytes(entry->robots);
	make_room(entry->cache);
	if (entry->robots)
		settle(entry, ENTRY_RULES, KEEP_MS);
	else
		fail(entry, ROBOTS_SAY_RETRY, FAILED_MS, "no memory");
}

/* A redirect that leads nowhere counts as no robots.txt. */
static void follow(struct entry *entry, const char *location)
{
	CLEANUP(url_freep) struct url *from = NULL;
	CLEANUP(url_freep) struct url *to = NULL;
	struct robots_wait *first = LIST_FIRST(&entry->waits, struct robots_wait, node);
	entry->redirects++;
	if (!first) { /* nobody waits any more */
		entry->until_ms = 0;
		entry->state = ENTRY_FAILED;
		return;
	}
	if (url_parse(&from, entry->request.url, URL_MAX_DEFAULT, NULL) < 0 ||
		url_resolve(&to, from, location, strlen(location), URL_MAX_DEFAULT, NULL) < 0)
		settle(entry, ENTRY_ALLOW_ALL, KEEP_MS);
	else if (ask_host(entry, first->plan, to->text) < 0)
		fail(entry, ROBOTS_SAY_RETRY, FAILED_MS, "no memory");
}

static void take_answer(struct entry *entry, const struct http_result *http)
{
	char words[64];
	bool answered = http->outcome == HTTP_OK || http->outcome == HTTP_TOO_LARGE;
	if (http->outcome == HTTP_PRIVATE) {
		fail(entry, ROBOTS_SAY_PRIVATE, 0, "private address");
		return;
	}
	switch (robots_from_status(answered ? (int)http->status : 0, entry->redirects)) {
	case ROBOTS_RULES: take_rules(entry); break;
	case ROBOTS_ALLOW_ALL: settle(entry, ENTRY_ALLOW_ALL, KEEP_MS); break;
	case ROBOTS_REDIRECT: {
		CLEANUP(freep) char *location = strdup(http->location);
		follow(entry, location ? location : "");
		break;
	}
	case ROBOTS_DISALLOW_RETRY:
		snprintf(words, sizeof(words), "HTTP %ld", http->status);
		fail(entry, ROBOTS_SAY_RETRY, MAX(http->retry_after_ms, (int64_t)0),
			answered ? words : http->error);
		break;
	}
}

static void on_done(void *arg, const struct fetch_result *result)
{
	struct entry *entry = arg;
	entry->fetch = NULL;
	plan_set_drop(entry->set);
	entry->set = NULL;
	entry->requests += result->requests;
	if (result->outcome == FETCH_LATER)
		fail(entry, ROBOTS_SAY_LATER, result->wait_ms, "waits for a limit");
	else
		take_answer(entry, result->http);
}

static int ask_host(struct entry *entry, const struct plan *plan, const char *url)
{
	static const struct fetch_ops ops = {
		.body = on_body, .restart = on_restart, .done = on_done
	};
	struct err err = { 0 };
	buf_reset(&entry->body);
	int r = crawl_request_init(&entry->request, plan, url, -1, &err);
	if (r == 0)
		r = fetch_start(&entry->fetch, entry->cache->fetcher, &entry->request.spec, &ops,
			entry, &err);
	if (r == 0)
		entry->set = plan_set_hold(plan->set);
	return r;
}

/* ---- asking ---- */

/* Room for one more: the longest unused ones that nobody waits for go. */
static void make_room(struct robots_cache *cache)
{
	LIST_FOR_EACH_SAFE (node, &cache->lru) {
		struct entry *old = LIST_ENTRY(node, struct entry, lru);
		if (HASH_COUNT(cache->entries) < ROBOTS_HOSTS && cache->bytes <= ROBOTS_CACHE_BYTES)
			return;
		if (old->state != ENTRY_FETCHING && list_empty(&old->waits))
			entry_free(old);
	}
}

static struct entry *entry_of(
	struct robots_cache *cache, const struct plan *plan, const struct url *url)
{
	char key[KEY_MAX], origin[URL_ORIGIN_MAX];
	struct entry *entry;
	snprintf(key, sizeof(key), "%c%" PRIx64 " %s", plan->is_private ? '+' : '-',
		plan->proxy_hash, url_origin(origin, url));
	HASH_FIND_STR(cache->entries, key, entry);
	if (entry) {
		list_remove(&entry->lru);
		list_add_tail(&cache->lru, &entry->lru);
		return entry;
	}
	make_room(cache);
	entry = NEW(struct entry);
	if (!entry)
		return NULL;
	entry->cache = cache;
	entry->body.max = ROBOTS_BYTES_MAX;
	entry->state = ENTRY_FAILED; /* and over: ask */
	list_init(&entry->waits);
	list_init(&entry->lru);
	list_add_tail(&cache->lru, &entry->lru);
	str_copy(entry->key, sizeof(entry->key), key);
	HASH_ADD_STR(cache->entries, key, entry);
	return entry;
}

int robots_ask(struct robots_wait **out, struct robots_cache *cache, const struct plan *plan,
	const struct url *url, robots_cb cb, void *arg)
{
	char at[URL_ORIGIN_MAX + 16];
	struct entry *entry = entry_of(cache, plan, url);
	struct robots_wait *wait = entry ? NEW(struct robots_wait) : NULL;
	if (!wait)
		return -ENOMEM;
	*wait = (struct robots_wait) { .entry = entry, .plan = plan, .cb = cb, .arg = arg };
	list_init(&wait->node);
	url_target(wait->target, sizeof(wait->target), url);
	bool known = entry->state != ENTRY_FETCHING && clock_mono_ms() < entry->until_ms;
	if (!known && entry->state != ENTRY_FETCHING) {
		url_origin(at, url);
		strncat(at, "/robots.txt", sizeof(at) - strlen(at) - 1);
		entry->redirects = 0;
		if (ask_host(entry, plan, at) < 0) {
			free(wait);
			return -ENOMEM;
		}
		entry->state = ENTRY_FETCHING;
	}
	list_add_tail(&entry->waits, &wait->node);
	if (known)
		loop_defer(cache->loop, tell, wait);
	*out = wait;
	return 0;
}
