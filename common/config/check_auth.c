/* SPDX-License-Identifier: MIT */
/* What providers.NAME.auth says beside the provider's headers. */
#include "base/str.h"
#include "config/context.h"

static const struct config_pair *authorization(const struct config_pairs *headers)
{
	for (size_t i = 0; i < headers->count; i++)
		if (str_eq_nocase(headers->items[i].name, "Authorization"))
			return &headers->items[i];
	return NULL;
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
	};
	const char *first = NULL;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (ways[i].here && first)
			context_error_at(ctx, p, ways[i].path,
				"there is one Authorization, and %s gives it already", first);
		first = first ? first : ways[i].here ? ways[i].path : NULL;
	}
}
