/* SPDX-License-Identifier: MIT */
/* What providers.NAME.auth says beside the provider's headers. */
#include "base/str.h"
#include "config/check.h"
#include "config/context.h"

static const struct config_pair *authorization(const struct config_pairs *headers)
{
	for (size_t i = 0; i < headers->count; i++)
		if (str_eq_nocase(headers->items[i].name, "Authorization"))
			return &headers->items[i];
	return NULL;
}

static void check_oauth2(struct config_context *ctx, const struct config_provider *p)
{
	const struct config_oauth2 *o = &p->auth.oauth2;
	if (!o->token_url || context_is_faulty(ctx, p))
		return;
	check_private(
		ctx, o->token_url, p->is_private, p, "auth.oauth2.token_url", "private: true");
	if (o->grant == GRANT_REFRESH_TOKEN && !o->refresh_token)
		context_error_at(ctx, p, "auth.oauth2.grant",
			"the grant refresh_token needs a refresh_token to begin with");
	if (o->grant == GRANT_CLIENT_CREDENTIALS && o->refresh_token)
		context_error_at(ctx, p, "auth.oauth2.refresh_token",
			"a refresh_token belongs to grant: refresh_token");
	if (o->grant == GRANT_CLIENT_CREDENTIALS && !o->client_secret)
		context_error_at(ctx, p, "auth.oauth2",
			"the grant client_credentials needs a client_secret");
}

void check_auth(struct config_context *ctx, const struct config_provider *p)
{
	const struct {
		const char *path;
		bool here;
	} ways[] = {
		{ "headers", authorization(&p->headers) },
		{ "auth.header", authorization(&p->auth.header) },
		{ "auth.bearer", p->auth.bearer },
		{ "auth.basic", p->auth.basic.user },
		{ "auth.oauth2", p->auth.oauth2.token_url },
	};
	const char *first = NULL;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (ways[i].here && first)
			context_error_at(ctx, p, ways[i].path,
				"there is one Authorization, and %s gives it already", first);
		first = first ? first : ways[i].here ? ways[i].path : NULL;
	}
	check_oauth2(ctx, p);
	if (p->tls.certificate_key && !p->tls.certificate)
		context_error_at(ctx, p, "tls.certificate_key", "a key belongs to a certificate");
}
