/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts: each is looked up once, whoever waits for it, and those that are known ahead
 * again before their time ends. libcurl would start a thread for each handle whose name is not in
 * its cache, and join it; so it gets the addresses with each transfer (CURLOPT_RESOLVE).
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "http/client.h"
#include "http/resolve.h"
#include "log/log.h"
#include "loop/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

enum { HOSTS_MAX = 4096, AGAIN_MS = 10000 };

struct host {
	UT_hash_handle hh;
	struct http_client *client;
	char *addresses; /* NULL: none; good until known_until_ms */
	int64_t known_until_ms, ttl_ms;
	struct resolver *resolver; /* it is being looked up */
	struct list waiting;
	/* of one that is looked up ahead */
	char *provider; /* whose it is, for records; NULL: it is not */
	struct loop_timer *again;
	bool failing; /* that was told */
	char name[];
};

static void ask(struct host *h);

static void forget(struct http_client *client, struct host *h)
{
	HASH_DEL(client->hosts, h);
	loop_cancel_deferred(client->loop, h);
	resolver_forget(h->resolver);
	loop_timer_free(h->again);
	free(h->addresses);
	free(h->provider);
	free(h);
}

static void make_room(struct http_client *client)
{
	struct host *h, *next;
	if (HASH_COUNT(client->hosts) < HOSTS_MAX)
		return;
	HASH_ITER (hh, client->hosts, h, next)
		if (!h->resolver && !h->provider && list_empty(&h->waiting))
			forget(client, h);
}

static struct host *find(struct http_client *client, const char *name)
{
	struct host *h = NULL;
	size_t len = strlen(name);
	HASH_FIND(hh, client->hosts, name, len, h);
	if (h)
		return h;
	make_room(client);
	h = calloc(1, sizeof(*h) + len + 1);
	if (!h)
		return NULL;
	memcpy(h->name, name, len + 1);
	h->client = client;
	list_init(&h->waiting);
	HASH_ADD_KEYPTR(hh, client->hosts, h->name, len, h);
	return h;
}

/* Nobody need be asked: an address, or the name that libcurl knows itself (RFC 6761). */
static bool needs_no_look_up(const char *host)
{
	struct in_addr v4;
	size_t len = strlen(host);
	const size_t local = strlen(".localhost");
	return *host == '[' || inet_pton(AF_INET, host, &v4) == 1 ||
	       str_eq_nocase(host, "localhost") ||
	       (len > local && str_eq_nocase(host + len - local, ".localhost"));
}

/* ---- transfers ---- */

static void start(struct host *h, struct http_transfer *t)
{
	if (transfer_know(t, h->name, h->addresses) < 0)
		client_fail(h->client, t, "out of memory");
	else
		client_start(h->client, t);
}

static struct http_transfer *take_waiting(struct host *h)
{
	struct http_transfer *t = LIST_FIRST(&h->waiting, struct http_transfer, node);
	if (t) {
		list_remove(&t->node);
		t->host = NULL;
		loop_timer_stop(t->idle);
	}
	return t;
}

static void tell_waiting(struct host *h, const char *problem)
{
	char words[CURL_ERROR_SIZE];
	snprintf(words, sizeof(words), "Could not resolve host: %.100s (%s)", h->name,
		problem ? problem : "");
	for (struct http_transfer *t; (t = take_waiting(h));) {
		if (problem)
			client_fail(h->client, t, words);
		else
			start(h, t);
	}
}

int gate_enter(struct http_client *client, struct http_transfer *t, const char *name)
{
	t->host = NULL;
	if (needs_no_look_up(name)) {
		client_start(client, t);
		return 0;
	}
	struct host *h = find(client, name);
	if (!h)
		return -ENOMEM;
	if (h->addresses && clock_mono_ms() < h->known_until_ms) {
		start(h, t);
		return 0;
	}
	t->host = h;
	list_remove(&t->node);
	list_add_tail(&h->waiting, &t->node);
	transfer_wait(t);
	if (!h->provider && !h->resolver)
		h->ttl_ms = t->dns_ttl_ms;
	ask(h);
	return 0;
}

void gate_leave(struct http_transfer *t)
{
	t->host = NULL; /* its list node is the caller's to remove */
}

void gate_finish(struct http_client *client)
{
	struct host *h, *next;
	HASH_ITER (hh, client->hosts, h, next) {
		for (struct http_transfer *t; (t = take_waiting(h));)
			transfer_free(t);
		forget(client, h);
	}
}

/* ---- looking up ---- */

/* Before the time ends, so that no call waits for it. */
static int64_t ahead_ms(int64_t ttl_ms)
{
	return ttl_ms - MIN(ttl_ms / 10, (int64_t)10000);
}

static void note(struct host *h, const char *problem)
{
	if (problem && !h->failing)
		log_warn(MAIN, "name_not_resolved", KV_STR("provider", h->provider),
			KV_STR("error", problem));
	if (!problem && h->failing)
		log_info(MAIN, "name_resolved", KV_STR("provider", h->provider));
	h->failing = problem;
}

static void on_answer(void *arg)
{
	struct host *h = arg;
	char error[128] = "", *addresses = NULL;
	struct resolver *r = h->resolver;
	h->resolver = NULL;
	const char *problem = resolver_take(r, &addresses, error, sizeof(error)) ? NULL : error;
	if (addresses) {
		free(h->addresses);
		h->addresses = addresses;
		h->known_until_ms = clock_mono_ms() + h->ttl_ms;
	}
	if (h->provider) {
		note(h, problem);
		loop_timer_start(h->again,
			problem ? MIN(h->ttl_ms, (int64_t)AGAIN_MS) : ahead_ms(h->ttl_ms));
	}
	tell_waiting(h, problem);
}

static void fail_later(void *arg)
{
	tell_waiting(arg, "no thread for it");
}

static void ask(struct host *h)
{
	if (h->resolver)
		return;
	h->resolver = resolver_start(h->client->loop, h->name, on_answer, h);
	if (h->resolver)
		return;
	if (h->provider)
		loop_timer_start(h->again, MIN(h->ttl_ms, (int64_t)AGAIN_MS));
	loop_cancel_deferred(h->client->loop, h);
	loop_defer(h->client->loop, fail_later, h);
}

static void on_again(void *arg)
{
	ask(arg);
}

static void look_ahead(struct http_client *client, const struct http_name *name)
{
	char *host = NULL;
	struct err err;
	long port;
	if (client_host_of(name->url, true, &host, &port, &err) < 0)
		return;
	struct host *h = needs_no_look_up(host) ? NULL : find(client, host);
	curl_free(host);
	if (!h)
		return;
	h->ttl_ms = h->provider ? MIN(h->ttl_ms, name->ttl_ms) : name->ttl_ms;
	h->again = h->again ? h->again : loop_timer_new(client->loop, on_again, h);
	h->provider = h->provider ? h->provider : strdup(name->provider);
	if (!h->again || !h->provider) {
		free(h->provider);
		h->provider = NULL;
		return;
	}
	int64_t left = h->addresses ? h->known_until_ms - clock_mono_ms() : 0;
	if (left > 0)
		loop_timer_start(h->again, MIN(ahead_ms(h->ttl_ms), ahead_ms(left)));
	else
		ask(h);
}

void http_client_look_ahead(struct http_client *client, const struct http_name *names, size_t count)
{
	struct host *h, *next;
	HASH_ITER (hh, client->hosts, h, next) {
		free(h->provider);
		h->provider = NULL;
		if (h->again)
			loop_timer_stop(h->again);
	}
	for (size_t i = 0; i < count && !MUTANT(NAMES_NOT_AHEAD); i++)
		look_ahead(client, &names[i]);
}
