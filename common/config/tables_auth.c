/* SPDX-License-Identifier: MIT */
/* providers.NAME: auth, tls, connections. */
#include "base/str.h"
#include "config/check.h"
#include "config/config.h"
#include "config/tables.h"

#include <string.h>

static void check_argument(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const struct config_pair *pair = value;
	if (!*pair->name)
		config_error(ctx, mark, "an argument has a name");
}

static void check_secret(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	if (!*text)
		config_error(ctx, mark, "it is empty");
	else if (strpbrk(text, "\r\n"))
		config_error(ctx, mark, "it cannot hold a line end");
}

static void check_user(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	if (strchr(text, ':'))
		config_error(ctx, mark, "a user of basic cannot hold a colon");
}

#define AT(member) offsetof(struct config_auth, basic.member)
static const struct config_field basic_fields[] = {
	{ "user", CONFIG_STRING, AT(user), .required = true, .check = check_user, .doc = "name" },
	{ "password", CONFIG_STRING, AT(password), .required = true, .secret = true,
		.doc = "best from ${file:PATH}" },
	{ 0 },
};
#undef AT

static const char *const grants[] = { "client_credentials", "refresh_token", NULL };
static const char *const client_auths[] = { "basic", "body", NULL };
#define AT(member) offsetof(struct config_oauth2, member)
static const struct config_field oauth2_fields[] = {
	{ "grant", CONFIG_ENUM, AT(grant), .def = "client_credentials", .names = grants,
		.doc = "what a token is asked for with" },
	{ "token_url", CONFIG_STRING, AT(token_url), .required = true, .check = check_http_url,
		.doc = "asked with POST, within the provider's limits" },
	{ "client_id", CONFIG_STRING, AT(client_id), .required = true, .check = check_secret,
		.doc = "name of the client" },
	{ "client_secret", CONFIG_STRING, AT(client_secret), .secret = true, .check = check_secret,
		.doc = "best from ${file:PATH}" },
	{ "scope", CONFIG_STRING, AT(scope), .doc = "what the token is for" },
	{ "refresh_token", CONFIG_STRING, AT(refresh_token), .secret = true, .check = check_secret,
		.doc = "the first one; what the server gives instead is kept in STATE_DIR/tokens" },
	{ "client_auth", CONFIG_ENUM, AT(client_auth), .def = "basic", .names = client_auths,
		.doc = "where id and secret stand: basic (in a header) or body" },
	{ "params", CONFIG_STRING_MAP, AT(params), .secret = true, .check = check_argument,
		.doc = "more fields for token_url, as audience" },
	{ 0 },
};
#undef AT

static bool has_oauth2(const void *auth)
{
	return ((const struct config_auth *)auth)->oauth2.token_url;
}

#define AT(member) offsetof(struct config_auth, member)
const struct config_field auth_fields[] = {
	{ "query", CONFIG_STRING_MAP, AT(query), .secret = true, .check = check_argument,
		.doc = "arguments added to each URL" },
	{ "header", CONFIG_STRING_MAP, AT(header), .secret = true, .check = check_header,
		.doc = "headers added to each call" },
	{ "bearer", CONFIG_STRING, AT(bearer), .secret = true, .check = check_secret,
		.doc = "a token: Authorization: Bearer TOKEN" },
	{ "basic", CONFIG_STRUCT, 0, .fields = basic_fields,
		.doc = "a user and a password: Authorization: Basic ..." },
	{ "oauth2", CONFIG_STRUCT, AT(oauth2), .fields = oauth2_fields, .applies = has_oauth2,
		.doc = "a token of OAuth 2.0, replaced before it ends" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_tls, member)
const struct config_field tls_fields[] = {
	{ "ca", CONFIG_STRING, AT(ca), .check = check_absolute_path,
		.doc = "PEM file of the CAs that are trusted instead of the system's" },
	{ "certificate", CONFIG_STRING, AT(certificate), .check = check_absolute_path,
		.doc = "PEM file that shows who we are" },
	{ "certificate_key", CONFIG_STRING, AT(certificate_key), .check = check_absolute_path,
		.doc = "PEM file of its key, when that is not beside it" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_connections, member)
const struct config_field connections_fields[] = {
	{ "total", CONFIG_INT, AT(total), .def = "0", .min = 0, .max = 10000,
		.doc = "calls at a time in each process, a connection each or part of one; 0: no "
		       "bound" },
	{ "per_host", CONFIG_INT, AT(per_host), .def = "0", .min = 0, .max = 1000,
		.doc = "calls at a time to one host, of all providers and processes together; 0: "
		       "no bound" },
	{ "dns_ttl", CONFIG_DURATION_MS, AT(dns_ttl_ms), .def = "5m", .min = 1000, .max = 86400000,
		.doc = "a name's addresses are kept this long" },
	{ "keepalive", CONFIG_DURATION_MS, AT(keepalive_ms), .def = "30s", .min = 1000,
		.max = 3600000, .doc = "a connection that was idle for longer is not used again" },
	{ "tcp_keepalive", CONFIG_DURATION_MS, AT(tcp_keepalive_ms), .def = "60s", .min = 1000,
		.max = 3600000, .doc = "time after which a quiet peer is asked whether it lives" },
	{ "http2", CONFIG_BOOL, AT(http2), .def = "true",
		.doc = "offered over TLS; calls at a time then share a connection" },
	{ 0 },
};
#undef AT
