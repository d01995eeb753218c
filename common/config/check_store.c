/* SPDX-License-Identifier: MIT */
/*
 * The store's URL, checked without libpq, which the supervisor does not have: the grammar of
 * libpq's conninfo_uri_parse(), and what PQconnectStart() would find in it. A unit test of the
 * store has both judge the same texts.
 */
#include "base/str.h"
#include "config/check.h"
#include "config/context.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const options[] = { "application_name", "channel_binding", "client_encoding",
	"connect_timeout", "dbname", "fallback_application_name", "gssencmode", "gsslib", "host",
	"hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
	"krbsrvname", "options", "passfile", "password", "port", "replication", "requirepeer",
	"service", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert",
	"sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslpassword", "sslrootcert",
	"sslsni", "target_session_attrs", "tcp_user_timeout", "user" };

struct reader {
	const char *at;
	char words[160];
	bool has_password;
};

static bool bad(struct reader *r, const char *words)
{
	if (!r->words[0])
		str_copy(r->words, sizeof(r->words), words);
	return false;
}

/* Up to one of `ends`; every % begins the number of a character. */
static bool read_part(struct reader *r, const char *ends, size_t *len)
{
	const char *start = r->at;
	for (; *r->at && !strchr(ends, *r->at); r->at++) {
		if (*r->at != '%')
			continue;
		if (!isxdigit((unsigned char)r->at[1]) || !isxdigit((unsigned char)r->at[2]) ||
			(r->at[1] == '0' && r->at[2] == '0'))
			return bad(r, "a % is followed by two hexadecimal digits that are not 00");
	}
	*len = (size_t)(r->at - start);
	return true;
}

static bool skip(struct reader *r, char c)
{
	return *r->at == c ? ++r->at, true : false;
}

static bool read_port(struct reader *r, const char *text, size_t len)
{
	int64_t port;
	char digits[8];
	if (len == 0)
		return true;
	snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
	return (len < sizeof(digits) && str_to_i64(digits, 1, 65535, &port) == 0) ||
	       bad(r, "a port is a number from 1 to 65535");
}

static bool read_host(struct reader *r)
{
	size_t len;
	if (skip(r, '[')) {
		const char *end = strchr(r->at, ']');
		if (!end || end == r->at || !strchr(":/?,", end[1]))
			return bad(r, "an address in [ ] ends there, before : or / or ?");
		r->at = end + 1;
	} else if (!read_part(r, ":/?,", &len)) {
		return false;
	}
	if (!skip(r, ':'))
		return true;
	const char *port = r->at;
	return read_part(r, "/?,", &len) && read_port(r, port, len);
}

/* USER[:PASSWORD]@, if there is an @ before anything else ends them. */
static bool read_user(struct reader *r)
{
	size_t len;
	const char *start = r->at, *end = start + strcspn(start, "@/");
	if (*end != '@')
		return true;
	if (!read_part(r, ":@", &len))
		return false;
	if (skip(r, ':')) {
		if (!read_part(r, "@", &len))
			return false;
		r->has_password = len > 0;
	}
	return skip(r, '@') || bad(r, "what is before the @ is USER:PASSWORD");
}

static bool read_option(struct reader *r)
{
	const char *name = r->at;
	size_t len, value_len;
	bool known = false;
	if (!read_part(r, "=&", &len))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		known = known || (strlen(options[i]) == len && memcmp(options[i], name, len) == 0);
	if (!known)
		return bad(r, "after the ? are options of PostgreSQL (sslmode, host, ...)");
	if (!skip(r, '='))
		return bad(r, "an option is NAME=VALUE");
	const char *value = r->at;
	if (!read_part(r, "&=", &value_len) || *r->at == '=')
		return bad(r, "an option is NAME=VALUE, an = in the value is %3D");
	r->has_password = r->has_password || (len == 8 && memcmp(name, "password", 8) == 0) ||
			  (len == 11 && memcmp(name, "sslpassword", 11) == 0);
	return !(len == 4 && memcmp(name, "port", 4) == 0) || strchr(value, ',') ||
	       read_port(r, value, value_len);
}

static bool read_url(struct reader *r)
{
	size_t len;
	if (!read_user(r))
		return false;
	do {
		if (!read_host(r))
			return false;
	} while (skip(r, ','));
	if (skip(r, '/') && !read_part(r, "?", &len))
		return false;
	if (skip(r, '?'))
		do {
			if (!read_option(r))
				return false;
		} while (skip(r, '&'));
	return !*r->at || bad(r, "it is USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE");
}

static const char *after_scheme(const char *text)
{
	static const char *const schemes[] = { "postgresql://", "postgres://" };
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (str_starts(text, schemes[i]))
			return text + strlen(schemes[i]);
	return NULL;
}

bool check_postgresql_url(const char *text, char *words, size_t size, bool *has_password)
{
	struct reader r = { .at = after_scheme(text) };
	bool good = r.at && !strpbrk(text, "\r\n\t ") && read_url(&r);
	*has_password = r.has_password;
	snprintf(words, size, "%s", r.words[0] ? r.words : "no spaces");
	return good;
}

void check_store_url(struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	char words[160];
	bool has_password;
	if (str_starts(text, "sqlite:")) {
		if (!text[strlen("sqlite:")] || strpbrk(text, "?#\n"))
			config_error(ctx, mark, "the store is sqlite:PATH, not \"%.200s\"",
				check_shown(ctx, value));
		return;
	}
	if (!after_scheme(text)) {
		config_error(
			ctx, mark, "the store is sqlite:PATH or postgresql://USER@HOST/DATABASE");
		return;
	}
	/* The text is not repeated: its password may be where we do not look for it. */
	if (!check_postgresql_url(text, words, sizeof(words), &has_password))
		config_error(ctx, mark, "the store's URL is not as PostgreSQL has it: %s", words);
	/* Also when it was written down here, not taken from a file. */
	if (has_password)
		context_add_secret(ctx, value);
}
