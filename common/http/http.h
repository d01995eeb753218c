/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * HTTP requests on the loop: one curl multi handle a process. A transfer goes out at once; who may
 * send when is decided before (fetch.h). Redirects are not followed here. Bytes are counted after
 * decoding. The address about to be connected to is judged, not the URL's text; of a call through
 * a proxy the URL, as far as it is a number. Nothing comes from the environment: no proxy, no
 * .netrc, no cookies.
 */
#include "base/compiler.h"
#include "config/field.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_proxy;
struct err;
struct loop;

struct http_transfer;
struct http_client;
int http_client_new(struct http_client **out, struct loop *loop, const char *user_agent,
	struct err *err) MUST_CHECK;
void http_client_free(struct http_client *client); /* transfers are dropped without a callback */

/** Frees what is kept for transfers to come. */
void http_client_trim(struct http_client *client);

/** Connections that are kept for calls to come: at least so many, and 128. */
void http_client_keep(struct http_client *client, size_t count);

/* A host whose name is looked up before anybody asks. */
struct http_name {
	const char *url;      /* http, https, or a proxy's; only the host counts */
	const char *provider; /* whose it is, for records */
	int64_t ttl_ms;	      /* how long the addresses are good; of several for a host the least */
};
/**
 * Looks these names up now, and again before their time ends, instead of those that were given
 * before; copies. While one is looked up again calls have the addresses that are known. A failure
 * is told once (name_not_resolved), until it is over.
 */
void http_client_look_ahead(
	struct http_client *client, const struct http_name *names, size_t count);

enum http_outcome {
	HTTP_OK,	/* an answer came, whatever its status */
	HTTP_CONNECT,	/* no connection, name not resolved, TLS refused */
	HTTP_TIMEOUT,	/* connect, idle or total */
	HTTP_TOO_LARGE, /* over max_body, or over ratio_max */
	HTTP_PRIVATE,	/* the address is private and that is not allowed */
	HTTP_RESENT,	/* libcurl wanted to send a second time and had no permit */
	HTTP_BROKEN,	/* protocol error, truncated body, bad encoding */
	HTTP_REDIRECT,	/* it leads where it is not followed (fetch.h) */
	HTTP_CANCELLED, /* the body callback said stop */
	HTTP_PROXY,	/* the proxy refuses: 407, another 4xx to CONNECT, no such user */
};
const char *http_outcome_name(enum http_outcome outcome);

struct http_result {
	enum http_outcome outcome;
	long status;		  /* 0 without an answer of the server */
	const char *content_type; /* "" when absent; valid during the callback, as all here */
	const char *location;	  /* "" when absent */
	int64_t retry_after_ms;	  /* -1: none or not readable; clamped to a day; both forms (RFC
				     9110 10.2.3) */
	int64_t body_bytes, duration_us;
	int64_t sendings;    /* times that libcurl sent it: 0 when no connection came about */
	int64_t answered_us; /* CLOCK_BOOTTIME at which its answer began; 0: none came */
	const char *error;   /* words, "" when HTTP_OK */
	const struct http_transfer *transfer; /* for http_header(); NULL: there is none */
};
/** A header of the answer by its name, the index-th (from 0) that is called so; NULL: there is
 * none. Valid during the callback that got the result. */
const char *http_header(const struct http_result *result, const char *name, size_t index);
struct http_ops {
	/** Decoded body as it comes. @return false to stop (HTTP_CANCELLED). NULL: the body is
	 * thrown away. */
	bool (*body)(void *arg, const char *data, size_t len);
	/** Called for each sending. The first is permitted before http_send; a second returns
	 * whether it may go out. NULL: no. */
	bool (*resend)(void *arg);
	/** Once, last; the transfer is gone afterwards (not to be cancelled from here). */
	void (*done)(void *arg, const struct http_result *result);
};
/* How its connections are. Of other TLS files, other connections. */
struct http_profile {
	/* 0: 5 min a name's addresses, 118 s a connection that is idle, no TCP keep-alive; else at
	 * least 1 s */
	int64_t dns_ttl_ms, keepalive_ms, tcp_keepalive_ms;
	bool http1; /* HTTP/2 is not even offered */
	const char *ca, *certificate,
		*certificate_key;	  /* PEM files; NULL: the system's CAs, none */
	const struct config_proxy *proxy; /* NULL: none; borrowed until done */
};
struct http_request {
	const char *method; /* GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS */
	const char *url;    /* absolute, already canonical or at least valid */
	struct config_pairs headers;
	const char *body; /* NULL: none; borrowed until done */
	size_t body_len;
	struct http_profile profile; /* its texts are copied */
	int64_t connect_ms, idle_ms, total_ms;
	int64_t max_body;  /* decoded bytes */
	int64_t ratio_max; /* decoded : received beyond 1 MiB; 0: 100 */
	bool allow_private;
	/* May not be received twice: it goes over a new connection, as one that was kept may be
	 * dead already, and is never sent again. */
	bool once;
	bool fresh;	   /* over a connection of its own, which is not kept */
	bool connect_only; /* connects, sends nothing, and is done; status 0 */
};
/** Whether a request for this URL goes through the proxy (NULL: none). */
bool http_proxied(const struct config_proxy *proxy, const char *url);
/** Sends now. @return 0 and *out; -EINVAL with words (bad URL or scheme); -ENOMEM. done() is never
 * called from within. */
int http_send(struct http_transfer **out, struct http_client *client,
	const struct http_request *request, const struct http_ops *ops, void *arg,
	struct err *err) MUST_CHECK;
/** A header of the answer whose body is being read; NULL: it has none. Until the next call. */
const char *http_transfer_header(const struct http_transfer *transfer, const char *name);
/** Of the answer whose body is being read; 0 before. */
long http_transfer_status(const struct http_transfer *transfer);
/** How often it was sent so far: libcurl may send again when a kept connection has died. */
int64_t http_transfer_sendings(const struct http_transfer *transfer);
/** Drops it without a callback. NULL is fine. Never blocks: a transfer that is still resolving is
 * let go of, not joined. */
void http_cancel(struct http_transfer *transfer);
/**
 * Whoever cannot take more of the body says so, also from within body(): what was received may
 * still come (a buffer of 16 KiB, of TLS up to 100 of them, unpacked), then nothing until it is
 * off again. The idle time does not run meanwhile, the total time does.
 */
void http_hold(struct http_transfer *transfer, bool on);
/** Transfers under way. */
size_t http_client_active(const struct http_client *client);
