/* SPDX-License-Identifier: MIT */
/* proxy: of providers and of crawl jobs. */
#include "base/err.h"
#include "base/str.h"
#include "config/check.h"
#include "config/config.h"
#include "config/context.h"
#include "config/tables.h"
#include "url/url.h"

#include <stdio.h>
#include <string.h>

/* socks5:// would look names up here, and nobody would notice that they are other names there. */
static const char *const schemes[] = { "http://", "https://", "socks5h://" };

static const char *behind_scheme(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
			return text + strlen(schemes[i]);
	return NULL;
}

static void check_url(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value, *rest = behind_scheme(text);
	struct err err;
	CLEANUP(url_freep) struct url *url = NULL;
	char place[URL_HOST_MAX + 16];
	if (!rest) {
		config_error(ctx, mark,
			"\"%.200s\" is no proxy: write http://, https:// or socks5h://HOST:PORT",
			check_shown(ctx, value));
		return;
	}
	if (strchr(rest, '@')) {
		config_error(ctx, mark,
			"a proxy's URL is shown: its user and password have fields of their own");
		return;
	}
	size_t len = strcspn(rest, "/?#");
	const char *colon = memrchr(rest, ':', len);
	int64_t port;
	char digits[8] = "";
	if (colon)
		str_copy(digits, MIN((size_t)(rest + len - colon), sizeof(digits)), colon + 1);
	bool whole = len + (rest[len] == '/') == strlen(rest);
	snprintf(place, sizeof(place), "http://%.*s/", (int)MIN(len, sizeof(place) - 16), rest);
	if (!colon || str_to_i64(digits, 1, 65535, &port) < 0)
		config_error(ctx, mark,
			"\"%.200s\" has no port, and proxies have no usual one: write "
			"http://HOST:3128",
			check_shown(ctx, value));
	else if (!whole || url_parse(&url, place, URL_MAX_DEFAULT, &err) < 0)
		config_error(ctx, mark, "\"%.200s\" is no proxy: behind the scheme is HOST:PORT",
			check_shown(ctx, value));
}

static void check_word(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	/* SOCKS counts in one byte. */
	if (!*text || strlen(text) > 255)
		config_error(ctx, mark, "it has 1 to 255 bytes");
}

static void check_user(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	check_word(ctx, mark, value);
	if (strchr(*(const char *const *)value, ':'))
		config_error(ctx, mark, "a user of a proxy cannot hold a colon");
}

static void check_direct(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	char domain[URL_HOST_MAX];
	struct err err = { 0 };
	if (strchr(text, '*'))
		config_error(ctx, mark,
			"\"%.100s\" is no domain and no address: what is below a domain is meant "
			"anyhow",
			check_shown(ctx, value));
	else if (url_domain(domain, text, &err) < 0)
		config_error(ctx, mark, "\"%.100s\" is no domain and no address: %s",
			check_shown(ctx, value), check_shown_words(ctx, value, err.text));
}

#define AT(member) offsetof(struct config_proxy, member)
const struct config_field proxy_fields[] = {
	{ "url", CONFIG_STRING, AT(url), .required = true, .check = check_url,
		.doc = "http://, https:// or socks5h://HOST:PORT; it looks names up" },
	{ "user", CONFIG_STRING, AT(user), .check = check_user,
		.doc = "shown to the proxy only, never to a server" },
	{ "password", CONFIG_STRING, AT(password), .secret = true, .check = check_word,
		.doc = "best from ${file:PATH}" },
	{ "ca", CONFIG_STRING, AT(ca), .check = check_absolute_path,
		.doc = "PEM file of the CAs that are trusted for an https:// proxy instead of the "
		       "system's" },
	{ "no_proxy", CONFIG_STRING_LIST, AT(no_proxy), .max = 100, .check = check_direct,
		.doc = "domains, with all below them, and addresses that are asked directly" },
	{ 0 },
};
#undef AT

void check_proxy(struct config_context *ctx, const struct config_proxy *proxy, const void *object,
	const char *path)
{
	char at[64];
	/* Whoever does not call gets no password. */
	if (!proxy->url || ctx->handed_over)
		return;
	if (!proxy->user != !proxy->password) {
		snprintf(at, sizeof(at), "%s.%s", path, proxy->user ? "user" : "password");
		context_error_at(ctx, object, at, "a user and a password belong together");
	}
	if (proxy->ca && strncasecmp(proxy->url, "https:", 6) != 0) {
		snprintf(at, sizeof(at), "%s.ca", path);
		context_error_at(ctx, object, at, "a ca belongs to an https:// proxy");
	}
}
