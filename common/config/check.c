/* SPDX-License-Identifier: MIT */
/* What one value can be asked without looking at others. */
#include "config/check.h"

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"
#include "config/context.h"
#include "url/url.h"
#include "json/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static bool hidden(struct config_context *ctx, const void *member)
{
	for (size_t i = 0; i < ctx->secret_count; i++)
		if (ctx->secrets[i] == member)
			return true;
	return false;
}

const char *check_shown(struct config_context *ctx, const void *member)
{
	return hidden(ctx, member) ? "***" : *(const char *const *)member;
}

const char *check_shown_words(struct config_context *ctx, const void *member, const char *words)
{
	return hidden(ctx, member) ? "it is wrong, and is not shown" : words;
}

void check_http_url(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	CLEANUP(url_freep) struct url *url = NULL;
	struct err err = { 0 };
	if (url_parse(&url, text, URL_MAX_DEFAULT, &err) < 0)
		config_error(ctx, mark, "\"%.200s\" is no http or https URL: %s",
			check_shown(ctx, value), check_shown_words(ctx, value, err.text));
	else if (url->user.len || url->password.len)
		config_error(ctx, mark, "a URL cannot hold a user or a password");
	else if (url->has_fragment)
		config_error(ctx, mark, "a URL cannot have a fragment here");
}

void check_absolute_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *path = *(const char *const *)value;
	if (*path != '/')
		config_error(ctx, mark, "%s must be an absolute path, not \"%.200s\"", ctx->path,
			check_shown(ctx, value));
	else if (strchr(path, '\n') || strlen(path) > 4000)
		config_error(ctx, mark, "%s is no usable path", ctx->path);
}

void check_runtime_dir(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *path = *(const char *const *)value;
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/control.sock");
	check_absolute_path(ctx, mark, value);
	if (strlen(path) > max)
		config_error(ctx, mark,
			"%s must have at most %zu bytes: the control socket is in it", ctx->path,
			max);
}

void check_status(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	struct str_statuses set;
	if (!str_statuses(&set, text) || strchr(text, ','))
		config_error(ctx, mark, "\"%.60s\" is no status (200) and no class of them (2xx)",
			check_shown(ctx, value));
}

void check_body(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	size_t len = strlen(*(const char *const *)value);
	if (len == 0 || len > PROBE_BODY_MAX)
		config_error(ctx, mark, "a text to look for has 1 to %d bytes", PROBE_BODY_MAX);
}

void check_address(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value, *colon = strrchr(text, ':');
	struct in6_addr v6;
	char host[URL_HOST_MAX];
	int64_t port;
	if (!colon || str_to_i64(colon + 1, 1, 65535, &port) < 0) {
		config_error(ctx, mark, "\"%.100s\" has no port: write 127.0.0.1:5432",
			check_shown(ctx, value));
		return;
	}
	size_t len = (size_t)(colon - text);
	bool bracket = len > 2 && *text == '[' && colon[-1] == ']';
	len -= bracket ? 2 : 0;
	bool fits = len > 0 && len < sizeof(host);
	memcpy(host, text + bracket, fits ? len : 0);
	host[fits ? len : 0] = '\0';
	bool named = fits && strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					  "0123456789.-_") == len;
	if (bracket ? inet_pton(AF_INET6, host, &v6) != 1 : !named)
		config_error(ctx, mark,
			"\"%.100s\" is no HOST:PORT: write 127.0.0.1:5432, [::1]:5432 or "
			"db.example.org:5432",
			check_shown(ctx, value));
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT" */
void check_listen(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value, *colon = strrchr(text, ':');
	char host[64];
	struct in_addr v4;
	struct in6_addr v6;
	int64_t port;
	if (!colon || str_to_i64(colon + 1, 0, 65535, &port) < 0) {
		config_error(ctx, mark, "\"%.100s\" has no port: write 127.0.0.1:8470",
			check_shown(ctx, value));
		return;
	}
	size_t len = (size_t)(colon - text);
	bool bracket = len > 2 && *text == '[' && colon[-1] == ']';
	str_copy(host, MIN(bracket ? len - 1 : len + 1, sizeof(host)), bracket ? text + 1 : text);
	bool loopback = bracket ? inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6)
				: inet_pton(AF_INET, host, &v4) == 1 &&
					  ntohl(v4.s_addr) >> 24 == 127;
	if (!loopback)
		config_error(ctx, mark,
			"\"%.100s\" is no loopback address: without a token only 127.0.0.1 or "
			"[::1] may be listened on",
			check_shown(ctx, value));
}

/* Whether the account exists is asked at the start: `check` works on another machine. */
void check_account(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *name = *(const char *const *)value;
	if (!str_is_name(name) || strlen(name) > 32)
		config_error(
			ctx, mark, "\"%.60s\" is no name of an account", check_shown(ctx, value));
}

void check_environment(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const struct config_pair *pair = value;
	if (!str_is_identifier(pair->name))
		config_error(
			ctx, mark, "\"%.60s\" is no name of an environment variable", pair->name);
}

void check_umask(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	size_t len = strlen(text);
	if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && *text != '0'))
		config_error(ctx, mark, "\"%.60s\" is no umask: write three octal digits, as 022",
			check_shown(ctx, value));
}

unsigned config_umask(const char *text)
{
	unsigned bits = 0;
	for (const char *c = text; *c; c++)
		bits = bits * 8 + (unsigned)(*c - '0');
	return bits;
}

static bool percent_of(const char *text, int64_t *out)
{
	char digits[4];
	size_t len = strlen(text);
	if (len < 2 || len > sizeof(digits) || text[len - 1] != '%')
		return false;
	str_copy(digits, len, text);
	return str_to_i64(digits, 1, 100, out) == 0;
}

void check_share(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	int64_t n;
	if (!percent_of(text, &n) && (str_to_size(text, &n) < 0 || n <= 0))
		config_error(ctx, mark, "\"%.60s\" is neither 1%% to 100%% nor a size as 400MB",
			check_shown(ctx, value));
}

int64_t config_share(const char *text, int64_t whole)
{
	int64_t n = 0;
	if (percent_of(text, &n))
		return whole / 100 * n;
	return str_to_size(text, &n) < 0 ? whole : n;
}

void check_header(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	static const char *const ours[] = { "Host", "Content-Length", "Transfer-Encoding",
		"Connection", "Proxy-Connection", "Proxy-Authorization" };
	const struct config_pair *pair = value;
	size_t len = strlen(pair->name);
	size_t token = strspn(pair->name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
					  "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (!len || token != len)
		config_error(ctx, mark, "\"%.60s\" is no name of a header", pair->name);
	if (strchr(pair->value, '\n'))
		config_error(ctx, mark, "a header's value cannot hold a line end");
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (str_eq_nocase(pair->name, ours[i]))
			config_error(ctx, mark, "header \"%s\" is set by drover", ours[i]);
}

void check_table_name(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *name = *(const char *const *)value;
	if (!str_is_identifier(name))
		config_error(ctx, mark, "\"%.60s\" is no name of a table: letters, digits and _",
			check_shown(ctx, value));
	else if (strncasecmp(name, "drover_", 7) == 0 || strncasecmp(name, "sqlite_", 7) == 0)
		config_error(
			ctx, mark, "tables that begin with drover_ or sqlite_ are not for jobs");
}

void check_dotted_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	struct json_path *path = NULL;
	struct err err;
	if (json_path_new(&path, *(const char *const *)value, &err) < 0)
		config_error(ctx, mark, "%s", check_shown_words(ctx, value, err.text));
	json_path_free(path);
}

void check_regex(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	char words[128];
	regex_t regex;
	int rc = strlen(text) > CONFIG_REGEX_MAX ? REG_ESPACE
						 : regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
	if (rc) {
		regerror(rc, NULL, words, sizeof(words));
		config_error(ctx, mark, "\"%.100s\" is no regular expression: %s",
			check_shown(ctx, value), words);
	} else {
		regfree(&regex);
	}
}

void check_column(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	static const char *const taken[] = { "ctid", "xmin", "cmin", "xmax", "cmax", "tableoid" };
	const struct config_column *column = value;
	if (!str_is_identifier(column->name))
		config_error(ctx, mark,
			"\"%.60s\" is no name of a column: letters, digits and _, at most 63",
			column->name);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (str_eq_nocase(column->name, taken[i]))
			config_error(ctx, mark,
				"PostgreSQL has a column \"%s\" of its own in each table",
				taken[i]);
}

void check_private(struct config_context *ctx, const char *text, bool is_private,
	const void *object, const char *path, const char *permission)
{
	CLEANUP(url_freep) struct url *url = NULL;
	if (!text || is_private || url_parse(&url, text, URL_MAX_DEFAULT, NULL) < 0)
		return;
	struct config_mark mark = config_mark_of(ctx, object, path);
	if (url_is_private(url))
		config_error(ctx, &mark, "a private or loopback address is visited with %s only",
			permission);
}

const struct config_provider *check_provider(struct config_context *ctx,
	const struct config *config, const char *const *member, const void *object,
	const char *path)
{
	const char *name = *member;
	const struct config_provider *found = name ? config_provider(config, name) : NULL;
	if (found || !name || ctx->handed_over)
		return found;
	struct config_mark mark = config_mark_of(ctx, object, path);
	const char *near = NULL;
	for (size_t i = 0; i < config->provider_count; i++) {
		const char *both[] = { config->providers[i].name, near };
		near = str_nearest(name, both, near ? 2 : 1);
	}
	if (hidden(ctx, member))
		near = NULL;
	config_error(ctx, &mark, "no provider \"%.60s\"%s%s%s", check_shown(ctx, member),
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return NULL;
}
