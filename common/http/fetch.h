/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A fetch: one request under limits, with retries. Waiting for a permit and between tries happens
 * here, outside libcurl; a 429 or 503 with Retry-After closes the limit for all. Slow requests are
 * logged (slow.h).
 */
#include "base/list.h"
#include "http/hop.h"
#include "http/http.h"
#include "http/places.h"
#include "http/slow.h"
#include "limit/limit.h"

struct fetcher; /* one a worker: client, limits, the ones that wait */
int fetcher_new(struct fetcher **out, struct loop *loop, struct http_client *client,
	struct limits *limits) MUST_CHECK;
void fetcher_free(struct fetcher *fetcher); /* fetches are dropped without a callback */
struct stats_slot;
/** Where requests, their errors, bytes and durations are counted; NULL: nowhere. Borrowed. */
void fetcher_set_stats(struct fetcher *fetcher, struct stats_slot *slot);

struct fetch_spec;
/* Who tries a job looks over the fetcher's shoulder, and may keep it from sending. */
struct fetch_tap {
	/** Before a limit is asked. @return false: it is not sent, and waits for ever */
	bool (*sending)(void *arg, const struct fetch_spec *spec);
	/** What comes in, of whatever status; NULL is fine. */
	void (*body)(void *arg, const char *data, size_t len);
	void (*answered)(void *arg, const struct http_result *http); /* each try; NULL is fine */
	bool keeps; /* nothing is sent at all: a token is not asked for either */
};
/** tap NULL: nobody looks. Borrowed. */
void fetcher_set_tap(struct fetcher *fetcher, const struct fetch_tap *tap, void *arg);

struct fetch_retry {
	int64_t attempts;		      /* tries in all, at least 1 */
	const struct config_retry_when *when; /* NULL: never again */
	int64_t backoff_initial_ms, backoff_factor, backoff_max_ms;
	bool jitter;
};
/* Who waits for a token. */
struct token_wait {
	struct list node;
	/** Not from within want(). problem: words, NULL: it is there */
	void (*came)(void *arg, const char *problem);
	void *arg;
};
/* Where the Authorization of calls comes from when it changes; asked before each try. */
struct fetch_tokens {
	const char *(*header)(void *arg);		  /* NULL: there is none now */
	void (*want)(void *arg, struct token_wait *wait); /* whoever leaves removes its node */
	void (*refuse)(void *arg, const char *header); /* the server did not take it: not again */
};
struct fetch_spec {
	struct http_request request;	   /* borrowed until done, with all it points to */
	struct fetch_auth auth;		   /* the same; goes to the origin of request.url only */
	const struct fetch_tokens *tokens; /* NULL: none; for the same origin */
	void *tokens_arg;
	bool redirects; /* are followed, at most HOPS_MAX (hop.h) */
	/* `limit_count` sets that all must grant. What the server wishes (429, Retry-After, the
	 * headers of its budget) holds for the first. */
	const struct limit_spec *limits;
	size_t limit_count;
	struct fetch_places places; /* beside them, of each hop; borrowed until done */
	struct fetch_retry retry;
	struct request_context context; /* for records of slow requests; borrowed until done */
	int64_t max_wait_ms; /* a limit that opens later than this ends the fetch with FETCH_LATER
			      */
};
enum fetch_outcome {
	FETCH_ANSWER, /* of a status that is not in retry.when; 404 is an answer */
	FETCH_FAILED, /* no answer worth having, and no try left */
	FETCH_LATER,  /* a limit, or the server (429, 503 with Retry-After), says: not now */
};
struct fetch_result {
	enum fetch_outcome outcome;
	int64_t wait_ms;  /* FETCH_LATER: try again after this */
	int64_t requests; /* calls that were sent, retries included */
	/* Of a request that may not be received twice (http_request.once): it may have been, and
	 * nobody knows what came of it. */
	bool unsure;
	bool renewed;			/* another token was shown, after one that was refused */
	const struct http_result *http; /* the last try's; NULL for FETCH_LATER before any */
};
/* What the caller makes of an answer, before the rules of fetch_retry do. */
enum fetch_verdict {
	FETCH_AS_USUAL,
	FETCH_IS_ANSWER, /* comes back as FETCH_ANSWER, whatever its status */
	FETCH_TRY_AGAIN,
	FETCH_SLOW_DOWN, /* as a 429 */
	/* As a 401: the credential was not taken, and nothing was done. Once, with another token
	 * and at once; then, or without tokens, it comes back as FETCH_ANSWER. */
	FETCH_NEW_TOKEN,
};
struct fetch_ops {
	/** The body of each answer as it comes, even of one that will be tried again. May be NULL.
	 */
	void (*peek)(void *arg, const char *data, size_t len);
	/** Of an answer that has a status. *wait_ms: with FETCH_SLOW_DOWN, how long at least. NULL:
	 * as usual. */
	enum fetch_verdict (*judge)(void *arg, const struct http_result *http, int64_t *wait_ms);
	/** Not called for an answer that is going to be tried again; fetch_status() is known. */
	bool (*body)(void *arg, const char *data, size_t len);
	/** A new try begins: forget what body() delivered. */
	void (*restart)(void *arg);
	/**
	 * Each time that a request that may not be received twice (http_request.once) is about to
	 * go: its places in the limits are taken, nothing was sent. @return false: it goes after
	 * fetch_go(), when it is written down. NULL: it goes. Not to be cancelled from within.
	 */
	bool (*going)(void *arg);
	/** What going() saw was not received, and will be sent again: it was refused, led elsewhere
	 * as it is, or no connection came about. NULL is fine. */
	void (*refused)(void *arg);
	void (*done)(void *arg, const struct fetch_result *result);
};
struct fetch;
/** done() is never called from within. At most 8 limits, 7 where places bound hosts. */
int fetch_start(struct fetch **out, struct fetcher *fetcher, const struct fetch_spec *spec,
	const struct fetch_ops *ops, void *arg, struct err *err) MUST_CHECK;
/** After going() said false; does nothing when it does not wait for that. */
void fetch_go(struct fetch *fetch);
/**
 * Without a callback; NULL is fine. Not from within its own done().
 * @return calls that were sent for it, the one under way too
 */
int64_t fetch_cancel(struct fetch *fetch);
/** http_hold() of the answer whose body is being read. */
void fetch_hold(struct fetch *fetch, bool on);
/** http_transfer_header() of it. */
const char *fetch_header(const struct fetch *fetch, const char *name);
/** Status of the answer whose body is being read, for body(). */
long fetch_status(const struct fetch *fetch);
/** The server may have it: it is on its way, and not only waiting, or a request that may not be
 * received twice led on to what now waits. NULL: false */
bool fetch_under_way(const struct fetch *fetch);
size_t fetcher_active(const struct fetcher *fetcher); /* sent or waiting */
