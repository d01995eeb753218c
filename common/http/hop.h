/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where a fetch is on its way over redirects, which are followed by our own hand: each is a call
 * under the limits, and credentials belong to the origin (scheme, host and port) of the first URL.
 * Once another origin was asked they are not shown again, wherever that leads.
 */
#include "base/compiler.h"
#include "config/field.h"
#include <stdbool.h>

struct err;
struct http_request;

/* What shows who asks. Borrowed. */
struct fetch_auth {
	struct config_pairs headers;
	struct config_pairs query; /* arguments; those that the URL has already stay as they are */
};

enum { HOPS_MAX = 10 };

struct hop {
	const struct http_request *first; /* borrowed */
	const struct fetch_auth *auth;
	char *url;	    /* NULL: the first one's */
	const char *method; /* of this hop */
	bool has_body, foreign;
	int redirects;
	char *sent_url; /* with the arguments of auth */
	struct config_pair *pairs;
	char *authorization; /* beside auth; NULL: none. Its to free */
};

void hop_init(struct hop *hop, const struct http_request *first, const struct fetch_auth *auth);
void hop_finish(struct hop *hop);
/** What is to be sent; points into the hop until the next call. @return 0, -ENOMEM */
int hop_request(struct hop *hop, struct http_request *out, struct err *err) MUST_CHECK;
/** The URL of this hop, without what auth adds. */
const char *hop_url(const struct hop *hop);
/** The URL without the arguments that are these, name and value, however they are encoded (a server
 * may repeat them), and without a fragment. Caller frees; NULL: no memory, or over 16 KiB. */
char *hop_without(const char *url, const struct config_pairs *arguments);
/** 301, 302, 303, 307, 308 */
bool hop_is_redirect(long status);
/**
 * Goes where an answer points (RFC 9110 15.4): after 303, and after 301 or 302 of a POST, with a
 * GET without body.
 * @return 0; -EINVAL with words, without the URL: it may not be followed; -ENOMEM
 */
int hop_follow(struct hop *hop, long status, const char *location, struct err *err) MUST_CHECK;
