/* SPDX-License-Identifier: MIT */
#pragma once
/* What client.c, gate.c and transfer.c share. Private to common/http. */
#include "base/list.h"
#include "http/http.h"
#include <curl/curl.h>

enum {
	DNS_CACHE_MS = 300000,
	POOL_MAX = 64,
	HEADER_BYTES_MAX = 256 * 1024,
};

/* A name and its addresses: gate.c */
struct host;
struct http_decoder;

struct http_transfer {
	struct list node; /* in client->transfers, starting, failing, pool, or host's waiting */
	struct http_client *client;
	CURL *easy;
	struct loop_timer *idle;
	struct curl_slist *headers, *resolve;
	struct http_ops ops;
	void *arg;
	struct host *host; /* for whose addresses it waits; NULL: it does not */
	long port;
	bool added;  /* to the multi handle */
	bool doomed; /* cancelled from inside one of its callbacks */
	bool once, allow_private, refused_private, refused_resend, stopped, idled;
	bool proxied, forwarded; /* through a proxy; which makes the call itself, of plain http */
	bool held, paused;	 /* is not to be read on; libcurl knows */
	bool has_body;
	struct http_decoder *decoder; /* NULL: the body is as it is */
	char broken[96];	      /* words: of the decoder; "": nothing */
	const char *too_large;	      /* words: what of the answer; NULL: nothing */
	int64_t sendings, received, decoded, header_bytes, max_body, ratio_max, idle_ms;
	int64_t started_us, heard_ms, answered_us, dns_ttl_ms, connect_ms, total_ms;
	const char *failed; /* words of one that failed before it was added */
	char error[CURL_ERROR_SIZE];
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	char *user_agent;
	struct list transfers, starting, failing, pool;
	size_t active, pooled;
	struct host *hosts;
	bool inside;   /* libcurl is on the stack: it must not be called */
	bool settling; /* a settle is deferred */
};

/* client.c */
/** Adds it to the multi handle, now or as soon as libcurl is off the stack. */
void client_start(struct http_client *client, struct http_transfer *t);
/** done() with `words`, from the loop. */
void client_fail(struct http_client *client, struct http_transfer *t, const char *words);
/** Takes the transfer off the multi handle and back into the pool. */
void client_retire(struct http_client *client, struct http_transfer *t);
/** Whose address is looked for; is_proxy: of another scheme. *host is for curl_free(). */
int client_host_of(
	const char *url, bool is_proxy, char **host, long *port, struct err *err) MUST_CHECK;
/* gate.c */
/** Starts t, or lets it wait for the addresses of its host. @return 0, -ENOMEM */
int gate_enter(struct http_client *client, struct http_transfer *t, const char *host) MUST_CHECK;
/** t goes away without a word. */
void gate_leave(struct http_transfer *t);
void gate_finish(struct http_client *client);
/* transfer.c */
struct http_transfer *transfer_new(struct http_client *client);
void transfer_free(struct http_transfer *t);
void transfer_reset(struct http_transfer *t);
int transfer_set_up(
	struct http_transfer *t, const struct http_request *request, struct err *err) MUST_CHECK;
/** What libcurl need not look up; the time that was waited for it counts. @return 0, -ENOMEM */
int transfer_know(struct http_transfer *t, const char *name, const char *addresses) MUST_CHECK;
/** It waits for its name, as long as a connection may take. */
void transfer_wait(struct http_transfer *t);
void transfer_report(struct http_transfer *t, CURLcode code);
/* proxy.c */
int transfer_set_proxy(
	struct http_transfer *t, const struct http_request *request, struct err *err) MUST_CHECK;
/** The proxy, not the server, is why it failed; its words are in t->error. */
bool transfer_failed_at_proxy(struct http_transfer *t, CURLcode code, enum http_outcome *out);
