/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "loop/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <uthash.h>

enum { HOSTS_MAX = 4096 };

struct host {
	UT_hash_handle hh;
	int64_t known_until_ms;
	struct http_transfer *first;
	struct list waiting;
	char name[];
};

static bool idle(const struct host *h)
{
	return !h->first && list_empty(&h->waiting);
}

static void forget(struct http_client *client, struct host *h)
{
	HASH_DEL(client->hosts, h);
	free(h);
}

static void make_room(struct http_client *client)
{
	struct host *h, *next;
	if (HASH_COUNT(client->hosts) < HOSTS_MAX)
		return;
	HASH_ITER (hh, client->hosts, h, next)
		if (idle(h))
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
	list_init(&h->waiting);
	HASH_ADD_KEYPTR(hh, client->hosts, h->name, len, h);
	return h;
}

static bool is_address(const char *host)
{
	struct in_addr v4;
	return *host == '[' || inet_pton(AF_INET, host, &v4) == 1;
}

int gate_enter(struct http_client *client, struct http_transfer *t, const char *name)
{
	t->host = NULL;
	if (!is_address(name)) {
		struct host *h = find(client, name);
		if (!h)
			return -ENOMEM;
		if (h->first) {
			t->host = h;
			list_remove(&t->node);
			list_add_tail(&h->waiting, &t->node);
			return 0;
		}
		if (clock_mono_ms() >= h->known_until_ms) {
			t->host = h;
			h->first = t;
		}
	}
	client_start(client, t);
	return 0;
}

static struct http_transfer *take_waiting(struct host *h)
{
	struct http_transfer *t = LIST_FIRST(&h->waiting, struct http_transfer, node);
	if (t) {
		list_remove(&t->node);
		t->host = NULL;
	}
	return t;
}

/* libcurl forgets an answer after its time; a little earlier somebody is first again. */
static int64_t known_ms(const struct http_transfer *t)
{
	return t->dns_ttl_ms - MIN(t->dns_ttl_ms / 10, (int64_t)10000);
}

void gate_open(struct http_transfer *t, bool known, const char *words)
{
	struct host *h = t->host;
	if (!h || h->first != t)
		return;
	t->host = NULL;
	h->first = NULL;
	h->known_until_ms = known ? clock_mono_ms() + known_ms(t) : 0;
	for (struct http_transfer *w = take_waiting(h); w; w = take_waiting(h)) {
		if (known)
			client_start(w->client, w);
		else
			client_fail(w->client, w, words);
	}
}

void gate_leave(struct http_transfer *t)
{
	struct host *h = t->host;
	t->host = NULL;
	if (!h || h->first != t)
		return; /* waiting: its list node is the caller's to remove */
	h->first = NULL;
	struct http_transfer *next = take_waiting(h);
	if (!next)
		return;
	next->host = h;
	h->first = next;
	client_start(next->client, next);
}

void gate_finish(struct http_client *client)
{
	struct host *h, *next;
	HASH_ITER (hh, client->hosts, h, next)
		forget(client, h);
}
