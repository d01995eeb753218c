/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Access tokens of OAuth 2.0 (RFC 6749): client credentials, and a refresh token that may rotate.
 * All processes of a host share a provider's token: it lies in a file (0600) under the state
 * directory, whose lock is held by the one that asks for the next. A token is replaced before it
 * ends; a new refresh token is durable before it is used. Asking counts in the provider's limits.
 */
#include "base/compiler.h"
#include "config/config.h"
#include "http/fetch.h"
#include "limit/limit.h"

struct err;
struct fetcher;
struct hosts;
struct loop;

struct oauth; /* one a provider, in each process */
struct oauth_place {
	struct loop *loop;
	struct fetcher *fetcher;
	const char *state_dir;
	struct hosts *hosts;
};
/** @param provider  has auth.oauth2; borrowed, as limit is, until oauth_free()
 * @return 0, -ENOMEM, or what mkdir() of the tokens' folder said */
int oauth_new(struct oauth **out, const struct oauth_place *place,
	const struct config_provider *provider, const struct limit_spec *limit,
	struct err *err) MUST_CHECK;
/** NULL is fine. A call that is on its way is lost. */
void oauth_free(struct oauth *oauth);
/** Its token is being asked for. */
bool oauth_busy(const struct oauth *oauth);
/** For fetch_spec.tokens; its arg is the oauth. */
extern const struct fetch_tokens oauth_tokens;
