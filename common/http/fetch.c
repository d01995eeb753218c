/* SPDX-License-Identifier: MIT */
#include "http/fetch.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "http/budget.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>

enum { LIMITS_MAX = 8, RESENDS_MAX = 3, POOL_POLL_MS = 25 };

/* Fetches under the same limits, in the order in which they came: only the first asks. */
struct group {
	UT_hash_handle hh;
	struct fetcher *fetcher;
	struct loop_timer *timer;
	struct list waiting;
	size_t users; /* fetches, and a pump that runs */
	char name[];
};

struct fetch {
	struct list node; /* in the group's waiting; in no list while it is sent or sleeps */
	struct list all;
	struct fetcher *fetcher;
	struct group *group;
	struct fetch_spec spec; /* its limits: those of this hop */
	const struct limit_spec *own_limits;
	size_t own_count;
	struct limit_spec sets[LIMITS_MAX]; /* own_limits and the host's */
	struct host_set host;
	struct pool *pool; /* NULL: none */
	bool pooled;	   /* it is counted there */
	struct hop hop;
	struct fetch_ops ops;
	void *arg;
	struct http_transfer *transfer;
	struct loop_timer *sleep; /* between tries */
	struct limit_permit permits[LIMITS_MAX], resend_permits[LIMITS_MAX];
	int64_t tries, resends, requests, wait_since_ms, sent_us;
	struct token_wait token_wait;
	bool granted; /* it has its places, and waits for fetch_go() */
	bool renewed; /* a token that was refused has been replaced once */
	bool had_body;
	bool unsure;   /* as in struct fetch_result, of the last call */
	bool received; /* a request that may not be received twice was, and led on to this one */
};

struct fetcher {
	struct loop *loop;
	struct http_client *client;
	struct limits *limits;
	struct stats_slot *stats;
	struct slow_log *slow;
	const struct fetch_tap *tap;
	void *tap_arg;
	struct list all;
	struct group *groups;
	struct pool *pools;
	size_t active, unsent;
};

int fetcher_new(
	struct fetcher **out, struct loop *loop, struct http_client *client, struct limits *limits)
{
	struct fetcher *fetcher = NEW(struct fetcher);
	if (!fetcher)
		return -ENOMEM;
	if (slow_log_new(&fetcher->slow, loop) < 0) {
		free(fetcher);
		return -ENOMEM;
	}
	fetcher->loop = loop;
	fetcher->client = client;
	fetcher->limits = limits;
	list_init(&fetcher->all);
	*out = fetcher;
	return 0;
}

void fetcher_free(struct fetcher *fetcher)
{
	if (!fetcher)
		return;
	for (struct fetch *f; (f = LIST_FIRST(&fetcher->all, struct fetch, all));)
		fetch_cancel(f);
	slow_log_free(fetcher->slow);
	free(fetcher);
}

void fetcher_set_stats(struct fetcher *fetcher, struct stats_slot *slot)
{
	fetcher->stats = slot;
}

void fetcher_set_tap(struct fetcher *fetcher, const struct fetch_tap *tap, void *arg)
{
	fetcher->tap = tap;
	fetcher->tap_arg = arg;
}

size_t fetcher_active(const struct fetcher *fetcher)
{
	return fetcher->active;
}

bool fetch_under_way(const struct fetch *f)
{
	return f && (f->transfer || f->received);
}

const char *fetch_header(const struct fetch *f, const char *name)
{
	return f->transfer ? http_transfer_header(f->transfer, name) : NULL;
}

void fetch_hold(struct fetch *f, bool on)
{
	if (f->transfer)
		http_hold(f->transfer, on);
}

long fetch_status(const struct fetch *f)
{
	return f->transfer ? http_transfer_status(f->transfer) : 0;
}

/* ---- groups ---- */

static void pump(void *arg);

static void group_leave(struct group *g)
{
	if (--g->users > 0)
		return;
	HASH_DEL(g->fetcher->groups, g);
	loop_timer_free(g->timer);
	free(g);
}

static struct group *group_enter(struct fetcher *fetcher, const struct fetch_spec *spec)
{
	struct group *g = NULL;
	size_t len = 0;
	for (size_t i = 0; i < spec->limit_count; i++)
		len += strlen(spec->limits[i].key) + 1;
	CLEANUP(freep) char *name = malloc(len + 1);
	if (!name)
		return NULL;
	len = 0;
	for (size_t i = 0; i < spec->limit_count; i++) {
		size_t n = strlen(spec->limits[i].key);
		memcpy(name + len, spec->limits[i].key, n);
		name[len + n] = '\n';
		len += n + 1;
	}
	HASH_FIND(hh, fetcher->groups, name, len, g);
	if (!g) {
		g = calloc(1, sizeof(*g) + len + 1);
		if (!g)
			return NULL;
		memcpy(g->name, name, len);
		g->fetcher = fetcher;
		list_init(&g->waiting);
		g->timer = loop_timer_new(fetcher->loop, pump, g);
		if (!g->timer) {
			free(g);
			return NULL;
		}
		HASH_ADD_KEYPTR(hh, fetcher->groups, g->name, len, g);
	}
	g->users++;
	return g;
}

/* Each hop has the sets of its host, and waits among those that have the same. */
static bool take_up_sets(struct fetch *f)
{
	f->spec.limits = f->own_limits;
	f->spec.limit_count = f->own_count;
	if (host_set_of(&f->host, &f->spec.places, hop_url(&f->hop))) {
		for (size_t i = 0; i < f->own_count; i++)
			f->sets[i] = f->own_limits[i];
		f->sets[f->own_count] = f->host.spec;
		f->spec.limits = f->sets;
		f->spec.limit_count = f->own_count + 1;
	}
	struct group *g = group_enter(f->fetcher, &f->spec);
	if (!g)
		return false;
	if (f->group)
		group_leave(f->group);
	f->group = g;
	return true;
}

static bool is_shared(const struct fetch *f)
{
	return f->pool || f->spec.limit_count > f->own_count;
}

/* A place is free, and if it is shared, others may wait for it too: who waits longest asks first.
 */
static void wake(struct group *own, bool shared)
{
	struct group *g, *next, *oldest = own;
	const struct fetch *first = LIST_FIRST(&own->waiting, struct fetch, node), *f;
	HASH_ITER (hh, own->fetcher->groups, g, next) {
		if (!shared)
			break;
		f = LIST_FIRST(&g->waiting, struct fetch, node);
		if (g == own || !f || !is_shared(f))
			continue;
		loop_timer_start(g->timer, 1);
		if (first && f->wait_since_ms >= first->wait_since_ms)
			continue;
		oldest = g;
		first = f;
	}
	if (!list_empty(&own->waiting))
		loop_timer_start(own->timer, oldest == own ? 0 : 1);
	if (oldest != own)
		loop_timer_start(oldest->timer, 0);
}

static void set_unsent(struct fetcher *fetcher, int change)
{
	fetcher->unsent = (size_t)((int64_t)fetcher->unsent + change);
	stats_set(fetcher->stats, STAT_requests_waiting, (int64_t)fetcher->unsent);
}

/* ---- one fetch ---- */

/* What the limits should know of a call that has ended. */
static struct limit_ending ending_of(const struct http_result *http)
{
	struct limit_ending ending = { .seen_us = http->answered_us };
	struct http_budget budget;
	if (http->sendings == 0)
		ending.how = LIMIT_UNSENT;
	else if (http->answered_us == 0)
		ending.how = LIMIT_UNANSWERED;
	else if (http->status == 429)
		ending.how = LIMIT_SLOWED;
	else if (http->status >= 500 || http->outcome == HTTP_TIMEOUT ||
		 http->outcome == HTTP_BROKEN)
		ending.how = LIMIT_TROUBLE;
	else
		ending.how = LIMIT_ANSWERED;
	if (http->answered_us && http_budget_read(&budget, http, clock_real_ms())) {
		ending.has_budget = true;
		ending.remaining = budget.remaining;
		ending.reset_ms = budget.reset_ms;
	}
	return ending;
}

/* The sending before a resend had no answer; of its budget only the first set hears. */
static void release(struct fetch *f, struct limit_ending ending)
{
	const struct limit_ending lost = { .how = LIMIT_UNANSWERED };
	if (f->pooled)
		pool_use(f->pool, -1);
	f->pooled = false;
	for (size_t i = 0; i < f->spec.limit_count; i++) {
		bool resent = f->resend_permits[i].id;
		limits_end(f->fetcher->limits, &f->permits[i], resent ? &lost : &ending);
		limits_end(f->fetcher->limits, &f->resend_permits[i], &ending);
		ending.has_budget = false;
	}
}

static void fetch_free(struct fetch *f)
{
	struct fetcher *fetcher = f->fetcher;
	if (!f->transfer)
		set_unsent(fetcher, -1);
	list_remove(&f->node);
	list_remove(&f->token_wait.node);
	list_remove(&f->all);
	loop_timer_free(f->sleep);
	hop_finish(&f->hop);
	fetcher->active--;
	group_leave(f->group);
	pool_leave(&fetcher->pools, f->pool);
	free(f);
}

static void finish(struct fetch *f, enum fetch_outcome outcome, int64_t wait_ms,
	const struct http_result *http)
{
	const struct fetch_result result = {
		.outcome = outcome,
		.wait_ms = wait_ms,
		.requests = f->requests,
		.unsure = f->unsure || f->received,
		.renewed = f->renewed,
		.http = http,
	};
	void (*done)(void *arg, const struct fetch_result *result) = f->ops.done;
	void *arg = f->arg;
	/* Gone first: done() may start another, or end the fetcher's world. */
	fetch_free(f);
	done(arg, &result);
}

static void finish_failed(struct fetch *f, enum http_outcome outcome, const char *words)
{
	const struct http_result http = {
		.outcome = outcome,
		.content_type = "",
		.location = "",
		.retry_after_ms = -1,
		.error = words,
	};
	finish(f, FETCH_FAILED, 0, &http);
}

/* @return false: it waits for one */
static bool has_token(struct fetch *f)
{
	const struct fetch_tokens *tokens = f->spec.tokens;
	if (!tokens || f->hop.foreign)
		return true;
	bool looked_at = f->fetcher->tap && f->fetcher->tap->keeps;
	const char *header = looked_at ? "Bearer ***" : tokens->header(f->spec.tokens_arg);
	free(f->hop.authorization);
	f->hop.authorization = header ? strdup(header) : NULL;
	if (f->hop.authorization)
		return true;
	list_remove(&f->token_wait.node);
	tokens->want(f->spec.tokens_arg, &f->token_wait);
	return false;
}

static void enqueue(struct fetch *f);

static void on_token(void *arg, const char *problem)
{
	struct fetch *f = arg;
	if (problem)
		finish_failed(f, HTTP_BROKEN, problem);
	else
		enqueue(f);
}

/* With a token that a retry's sleep cannot outlast, it joins the queue of its group; what may go
 * goes in the loop's next turn. */
static void enqueue(struct fetch *f)
{
	if (!has_token(f))
		return;
	f->wait_since_ms = clock_mono_ms();
	list_remove(&f->node);
	list_add_tail(&f->group->waiting, &f->node);
	loop_timer_start(f->group->timer, 0);
}

static void send_now(struct fetch *f);

static void on_wake(void *arg)
{
	struct fetch *f = arg;
	if (!f->granted) {
		enqueue(f);
		return;
	}
	int64_t wait = limits_sends(f->fetcher->limits, f->permits, f->spec.limit_count);
	f->granted = wait > 0;
	if (f->granted)
		loop_timer_start(f->sleep, wait);
	else
		send_now(f);
}

void fetch_go(struct fetch *f)
{
	if (f->granted)
		loop_timer_start(f->sleep, 0);
}

/* As it was first asked for: what a redirect made a GET of may be sent as often as it likes. */
static bool is_once(const struct fetch *f)
{
	return f->spec.request.once && str_eq(f->hop.method, f->spec.request.method);
}

static void tell_refused(struct fetch *f)
{
	if (is_once(f) && f->ops.refused)
		f->ops.refused(f->arg);
}

static int64_t backoff_ms(const struct fetch_retry *retry, int64_t tries)
{
	int64_t ms = MIN(retry->backoff_initial_ms, retry->backoff_max_ms);
	for (int64_t i = 1; i < tries && ms < retry->backoff_max_ms; i++)
		ms = MIN(ms * MAX(retry->backoff_factor, 1), retry->backoff_max_ms);
	uint64_t random = 0;
	if (!retry->jitter || ms <= 0 ||
		getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return ms;
	return (int64_t)(random % (uint64_t)(ms + 1));
}

static bool retried_status(const struct fetch *f, long status)
{
	const struct config_retry_when *when = f->spec.retry.when;
	return when && status >= 100 && status < 700 &&
	       (when->status[(status - 100) / 8] >> (status - 100) % 8 & 1);
}

/*
 * The server says that it did nothing (RFC 9110 15.5.2 and 15.6.4, RFC 6585 4, RFC 8470 5.2). So it
 * does, in words of its own, where the caller reads that the token is stale: a server looks at that
 * before all else. Even what may not be received twice is sent again then.
 */
static bool was_refused(const struct http_result *http, enum fetch_verdict verdict)
{
	if (verdict == FETCH_NEW_TOKEN || http->outcome == HTTP_PROXY)
		return true;
	return http->outcome == HTTP_OK &&
	       (http->status == 429 || http->status == 425 || http->status == 401 ||
		       (http->status == 503 && http->retry_after_ms >= 0));
}

static bool worth_a_try(const struct fetch *f, const struct http_result *http)
{
	if (f->unsure)
		return false;
	const struct config_retry_when *when = f->spec.retry.when;
	switch (http->outcome) {
	case HTTP_OK: return retried_status(f, http->status);
	case HTTP_TIMEOUT: return when && when->timeout;
	case HTTP_CONNECT:
	case HTTP_BROKEN: return when && when->connect; /* a connection that broke, too */
	default: return false;
	}
}

/* The server asks for a pause: it holds for every process and every request of its provider. */
static bool slow_down(struct fetch *f, const struct http_result *http, enum fetch_verdict verdict,
	int64_t *delay_ms)
{
	bool asks = verdict == FETCH_SLOW_DOWN;
	if (verdict == FETCH_AS_USUAL && http->outcome == HTTP_OK)
		asks = http->status == 429 || (http->status == 503 && http->retry_after_ms > 0);
	if (!asks)
		return false;
	/* A random part of the backoff may be nothing at all. */
	*delay_ms = MAX(
		*delay_ms, MIN(f->spec.retry.backoff_initial_ms, f->spec.retry.backoff_max_ms));
	*delay_ms = MAX(*delay_ms, http->retry_after_ms);
	if (f->spec.limit_count && !MUTANT(SLOWED_ALONE))
		limits_close_until(f->fetcher->limits, f->spec.limits[0].key, *delay_ms);
	return true;
}

static void count(struct fetch *f, const struct http_result *http)
{
	struct stats_slot *stats = f->fetcher->stats;
	f->requests += http->sendings;
	stats_add(stats, STAT_requests, (uint64_t)http->sendings);
	stats_add(stats, STAT_request_bytes, (uint64_t)http->body_bytes);
	if (http->outcome != HTTP_OK || http->status >= 400)
		stats_add(stats, STAT_request_errors, 1);
	if (http->sendings > 0)
		stats_sample(stats, STAT_request_seconds, http->duration_us);
}

static void tell_if_slow(const struct fetch *f, long status, const char *failure, const char *error,
	int64_t duration_us)
{
	const struct slow_request request = {
		.method = f->hop.method,
		.url = hop_url(&f->hop),
		.context = f->spec.context,
		.status = status,
		.failure = failure,
		.error = error,
		.duration_us = duration_us,
	};
	slow_log_request(f->fetcher->slow, &request);
}

static void try_again(struct fetch *f, int64_t delay_ms)
{
	set_unsent(f->fetcher, 1);
	tell_refused(f);
	if (f->had_body && f->ops.restart)
		f->ops.restart(f->arg);
	f->had_body = false;
	if (delay_ms > 0)
		loop_timer_start(f->sleep, delay_ms);
	else
		enqueue(f);
}

static bool leads_on(const struct fetch *f, const struct http_result *http)
{
	return f->spec.redirects && http->outcome == HTTP_OK && hop_is_redirect(http->status);
}

static void follow(struct fetch *f, const struct http_result *http)
{
	struct err err;
	set_unsent(f->fetcher, 1);
	if (hop_follow(&f->hop, http->status, http->location, &err) < 0) {
		finish_failed(f, HTTP_REDIRECT, err.text);
		return;
	}
	if (!take_up_sets(f)) {
		finish_failed(f, HTTP_BROKEN, "out of memory");
		return;
	}
	/* After 307 and 308 it was not taken, and goes elsewhere. */
	f->received |= f->spec.request.once && !str_eq(f->hop.method, f->spec.request.method);
	f->unsure = false;
	tell_refused(f);
	enqueue(f);
}

/* A token may end before its time: once, another is tried. */
static bool renews(struct fetch *f, const struct http_result *http, enum fetch_verdict verdict)
{
	bool wanted = verdict == FETCH_NEW_TOKEN ||
		      (verdict == FETCH_AS_USUAL && http->status == 401);
	/* Whoever has judged has seen enough of the answer, though he may not have read it all. */
	bool whole = http->outcome == HTTP_OK || http->outcome == HTTP_CANCELLED;
	if (!f->hop.authorization || f->hop.foreign || f->renewed || !whole || f->unsure || !wanted)
		return false;
	f->renewed = true;
	f->spec.tokens->refuse(f->spec.tokens_arg, f->hop.authorization);
	return true;
}

/* A second answer of this kind is one: another token does not help. */
static bool is_final(enum fetch_verdict verdict)
{
	return verdict == FETCH_IS_ANSWER || verdict == FETCH_NEW_TOKEN;
}

static void judge(struct fetch *f, const struct http_result *http, enum fetch_verdict verdict,
	int64_t wait_ms)
{
	f->unsure = is_once(f) && http->sendings > 0 && !was_refused(http, verdict);
	if (leads_on(f, http)) {
		follow(f, http);
		return;
	}
	if (renews(f, http, verdict)) {
		try_again(f, 0);
		return;
	}
	if (http->outcome == HTTP_RESENT && !f->unsure && f->resends++ < RESENDS_MAX) {
		try_again(f, 0); /* libcurl's idea, not a try of ours */
		return;
	}
	int64_t delay = backoff_ms(&f->spec.retry, ++f->tries);
	delay = MAX(delay, wait_ms);
	bool slowed = slow_down(f, http, verdict, &delay);
	bool again = verdict == FETCH_AS_USUAL ? worth_a_try(f, http)
					       : !is_final(verdict) && !f->unsure;
	if (again && !(slowed && delay > f->spec.max_wait_ms) &&
		f->tries < f->spec.retry.attempts) {
		try_again(f, delay);
		return;
	}
	set_unsent(f->fetcher, 1); /* it has no transfer any more: fetch_free() takes it back */
	if (slowed && again && delay > f->spec.max_wait_ms)
		finish(f, FETCH_LATER, delay, http);
	else if (is_final(verdict) || (http->outcome == HTTP_OK && !again &&
					      !(f->unsure && retried_status(f, http->status))))
		finish(f, FETCH_ANSWER, 0, http);
	else
		finish(f, FETCH_FAILED, 0, http);
}

static bool on_body(void *arg, const char *data, size_t len)
{
	struct fetch *f = arg;
	const struct fetch_tap *tap = f->fetcher->tap;
	long status = http_transfer_status(f->transfer);
	if (tap && tap->body)
		tap->body(f->fetcher->tap_arg, data, len);
	bool hops = f->spec.redirects && hop_is_redirect(status);
	if (f->ops.peek && !hops)
		f->ops.peek(f->arg, data, len);
	if (!f->ops.body || retried_status(f, status) || hops)
		return true;
	f->had_body = true;
	return f->ops.body(f->arg, data, len);
}

static bool on_resend(void *arg)
{
	struct fetch *f = arg;
	if (f->spec.limit_count && f->resend_permits[0].id)
		return false;
	return limits_acquire_all(f->fetcher->limits, f->spec.limits, f->spec.limit_count,
		       f->resend_permits) == 0;
}

static void on_done(void *arg, const struct http_result *http)
{
	struct fetch *f = arg;
	struct group *g = f->group;
	const struct fetch_tap *tap = f->fetcher->tap;
	enum fetch_verdict verdict = FETCH_AS_USUAL;
	int64_t wait_ms = 0;
	bool shared = is_shared(f);
	f->transfer = NULL;
	if (f->ops.judge && http->status > 0 && !leads_on(f, http))
		verdict = f->ops.judge(f->arg, http, &wait_ms);
	struct limit_ending ending = ending_of(http);
	if (verdict == FETCH_SLOW_DOWN)
		ending.how = LIMIT_SLOWED;
	release(f, ending);
	count(f, http);
	if (tap && tap->answered)
		tap->answered(f->fetcher->tap_arg, http);
	tell_if_slow(f, http->status,
		http->outcome == HTTP_OK ? NULL : http_outcome_name(http->outcome), http->error,
		http->duration_us);
	g->users++;
	judge(f, http, verdict, wait_ms);
	wake(g, shared);
	group_leave(g);
}

static void send_now(struct fetch *f)
{
	static const struct http_ops ops = {
		.body = on_body, .resend = on_resend, .done = on_done
	};
	struct err err;
	struct http_request request;
	f->sent_us = clock_mono_us();
	int rc = hop_request(&f->hop, &request, &err);
	if (rc == 0)
		rc = http_send(&f->transfer, f->fetcher->client, &request, &ops, f, &err);
	if (rc < 0) {
		f->transfer = NULL;
		release(f, (struct limit_ending) { .how = LIMIT_UNSENT });
		finish_failed(f, HTTP_BROKEN, err.text);
		return;
	}
	set_unsent(f->fetcher, -1);
}

/* The first may not go for wait_ms: who cannot wait so long goes now, the rest ask again then. What
 * could not be asked for anew has all patience. */
static void wait_or_leave(struct group *g, int64_t now, int64_t wait_ms)
{
	struct list leaving;
	list_init(&leaving);
	LIST_FOR_EACH_SAFE (node, &g->waiting) {
		struct fetch *f = LIST_ENTRY(node, struct fetch, node);
		int64_t patience = f->wait_since_ms + f->spec.max_wait_ms - now;
		if (patience < wait_ms && !f->received) {
			list_remove(&f->node);
			list_add_tail(&leaving, &f->node);
		}
	}
	if (!list_empty(&g->waiting))
		loop_timer_start(g->timer, wait_ms);
	for (struct fetch *f; (f = LIST_FIRST(&leaving, struct fetch, node));)
		finish(f, FETCH_LATER, wait_ms, NULL);
}

/* Whoever looks sees what would go out. */
static bool may_go(struct fetch *f)
{
	const struct fetch_tap *tap = f->fetcher->tap;
	struct fetch_spec shown = f->spec;
	struct err err;
	return !tap || hop_request(&f->hop, &shown.request, &err) < 0 ||
	       tap->sending(f->fetcher->tap_arg, &shown);
}

/* As limits_acquire_all(), of the pool too. */
static int64_t acquire(struct fetch *f)
{
	int64_t total = f->spec.places.total;
	if (f->pool && total > 0 && pool_used(f->pool) >= (size_t)total && !MUTANT(POOL_NOT_BOUND))
		return POOL_POLL_MS;
	int64_t wait = limits_acquire_all(
		f->fetcher->limits, f->spec.limits, f->spec.limit_count, f->permits);
	f->pooled = f->pool && wait == 0;
	if (f->pooled)
		pool_use(f->pool, 1);
	return wait;
}

static void pump(void *arg)
{
	struct group *g = arg;
	struct fetch *f;
	g->users++;
	while ((f = LIST_FIRST(&g->waiting, struct fetch, node))) {
		if (!may_go(f))
			break;
		int64_t wait = acquire(f);
		if (wait == 0) {
			list_remove(&f->node);
			f->granted = is_once(f) && f->ops.going && !f->ops.going(f->arg);
			if (!f->granted)
				send_now(f);
		} else if (wait < 0) {
			char words[128];
			snprintf(words, sizeof(words), "the shared limits fail: %s",
				strerror((int)-wait));
			finish_failed(f, HTTP_BROKEN, words);
		} else {
			wait_or_leave(g, clock_mono_ms(), wait);
			break;
		}
	}
	group_leave(g);
}

int fetch_start(struct fetch **out, struct fetcher *fetcher, const struct fetch_spec *spec,
	const struct fetch_ops *ops, void *arg, struct err *err)
{
	bool hosts = spec->places.per_host || spec->places.host_count;
	if (spec->limit_count + hosts > LIMITS_MAX)
		return err_set(err, -EINVAL, "too many limits");
	struct fetch *f = NEW(struct fetch);
	if (!f)
		return err_set(err, -ENOMEM, "fetch: out of memory");
	list_init(&f->node);
	list_init(&f->all);
	list_init(&f->token_wait.node);
	f->token_wait.came = on_token;
	f->token_wait.arg = f;
	f->fetcher = fetcher;
	f->spec = *spec;
	f->own_limits = spec->limits;
	f->own_count = spec->limit_count;
	hop_init(&f->hop, &f->spec.request, &f->spec.auth);
	f->ops = *ops;
	f->arg = arg;
	f->sleep = loop_timer_new(fetcher->loop, on_wake, f);
	if (spec->places.pool)
		f->pool = pool_enter(&fetcher->pools, spec->places.pool);
	if (!f->sleep || (spec->places.pool && !f->pool) || !take_up_sets(f)) {
		pool_leave(&fetcher->pools, f->pool);
		loop_timer_free(f->sleep);
		free(f);
		return err_set(err, -ENOMEM, "fetch: out of memory");
	}
	list_add_tail(&fetcher->all, &f->all);
	fetcher->active++;
	set_unsent(fetcher, 1);
	*out = f;
	enqueue(f);
	return 0;
}

int64_t fetch_cancel(struct fetch *f)
{
	if (!f)
		return 0;
	int64_t requests = f->requests;
	if (f->transfer) {
		int64_t sendings = http_transfer_sendings(f->transfer);
		requests += sendings;
		stats_add(f->fetcher->stats, STAT_requests, (uint64_t)sendings);
		/* One that hangs is often ended from above: by its task's timeout. */
		tell_if_slow(f, http_transfer_status(f->transfer),
			http_outcome_name(HTTP_CANCELLED), "given up while it was under way",
			clock_mono_us() - f->sent_us);
		bool answered = http_transfer_status(f->transfer) > 0;
		http_cancel(f->transfer);
		f->transfer = NULL;
		set_unsent(f->fetcher, 1);
		release(f, (struct limit_ending) {
				   .how = answered ? LIMIT_ANSWERED : LIMIT_UNANSWERED });
	} else if (f->granted) {
		release(f, (struct limit_ending) { .how = LIMIT_UNSENT });
	}
	wake(f->group, is_shared(f));
	fetch_free(f);
	return requests;
}
