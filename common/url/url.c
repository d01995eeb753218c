/* SPDX-License-Identifier: MIT */
#include "url/url.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "url/url_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The standard's state machine, for the two special schemes only, reads its parts in the order in
 * which they are serialised: so each is written to `out` as soon as it is read.
 */
struct reader {
	const char *s, *end; /* what is left of the input, without tabs and line ends */
	const struct url *base;
	struct buf out;
	struct url url; /* parts found so far */
	bool lenient;
	struct err *err;
};

/* --- the way in ------------------------------------------------------------------------------- */

static bool is_dropped(char c)
{
	return c == '\t' || c == '\n' || c == '\r';
}

static bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

/* The length of "scheme:" at the beginning with the name in lower case, 0 when there is none. */
static size_t scan_scheme(const char *s, size_t len, char name[8])
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
		bool letter = c >= 'a' && c <= 'z';
		if (is_dropped(c))
			continue;
		if (c == ':' && n > 0) {
			name[MIN(n, (size_t)7)] = '\0';
			return i + 1;
		}
		if (!letter &&
			(n == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
			return 0;
		if (n < 7)
			name[n] = c;
		n++;
	}
	return 0;
}

static int read_all(struct reader *r, const char *scheme);

int url_read(struct url **out, const struct url *base, const char *href, size_t len, size_t max_len,
	bool lenient, struct err *err)
{
	char scheme[8] = "";
	const char *end = href + len;
	while (href < end && (unsigned char)*href <= ' ')
		href++;
	while (end > href && (unsigned char)end[-1] <= ' ')
		end--;
	size_t scheme_len = scan_scheme(href, (size_t)(end - href), scheme);
	/* First of all: a data: URL of a megabyte is not copied, only told apart. */
	if (scheme_len > 0 && !str_eq(scheme, "http") && !str_eq(scheme, "https"))
		return err_set(err, -EPROTONOSUPPORT, "\"%.*s\" is no http or https URL",
			(int)MIN((size_t)(end - href), (size_t)60), href);
	if ((size_t)(end - href) > max_len)
		return err_set(err, -E2BIG, "URL is longer than %zu bytes", max_len);
	CLEANUP(freep) char *input = malloc((size_t)(end - href) + 1);
	if (!input)
		return err_set(err, -ENOMEM, "URL");
	char *to = input;
	for (const char *s = href + scheme_len; s < end; s++)
		if (!is_dropped(*s))
			*to++ = *s;
	struct reader r = { .s = input,
		.end = to,
		.base = base,
		.out = { .max = max_len },
		.lenient = lenient,
		.err = err };
	int rc = read_all(&r, scheme_len > 0 ? scheme : NULL);
	if (rc == 0 && buf_failed(&r.out))
		rc = err_set(err, -E2BIG, "URL is longer than %zu bytes", max_len);
	struct url *url = rc == 0 ? NEW(struct url) : NULL;
	if (rc == 0 && !url)
		rc = err_set(err, -ENOMEM, "URL");
	if (rc == 0) {
		*url = r.url;
		url->len = r.out.len;
		url->text = buf_detach(&r.out);
		*out = url;
	}
	buf_finish(&r.out);
	return rc;
}

int url_resolve(struct url **out, const struct url *base, const char *href, size_t len,
	size_t max_len, struct err *err)
{
	return url_read(out, base, href, len, max_len, false, err);
}

int url_parse(struct url **out, const char *text, size_t max_len, struct err *err)
{
	return url_read(out, NULL, text, strlen(text), max_len, false, err);
}

void url_free(struct url *url)
{
	if (!url)
		return;
	free(url->text);
	free(url);
}

/* --- parts ------------------------------------------------------------------------------------ */

static struct url_part part_from(const struct reader *r, size_t at)
{
	return (struct url_part) { (uint32_t)at, (uint32_t)(r->out.len - at) };
}

/* From the end of the host to the end of the authority: ":8080". Without it, or with the default,
 * there is no port. */
static int read_port(struct reader *r, const char *s, const char *end)
{
	uint16_t standard = r->url.scheme.len == 5 ? 443 : 80;
	unsigned port = 0;
	r->url.port = standard;
	if (s == end)
		return 0;
	for (const char *d = s + 1; d < end; d++) {
		port = port * 10 + (unsigned)(*d - '0');
		if (*d < '0' || *d > '9' || port > UINT16_MAX)
			return err_set(r->err, -EINVAL, "port \"%.*s\" is no number up to 65535",
				(int)MIN(end - s - 1, (ptrdiff_t)40), s + 1);
	}
	if (s + 1 == end || port == standard)
		return 0;
	r->url.port = (uint16_t)port;
	buf_addf(&r->out, ":%u", port);
	return 0;
}

/* user:password@ up to the last @ of the authority; an earlier @ belongs to the password. */
static void read_credentials(struct reader *r, const char *s, const char *at)
{
	const char *colon = memchr(s, ':', (size_t)(at - s));
	const char *user_end = colon ? colon : at;
	size_t start = r->out.len;
	encode_add(&r->out, s, (size_t)(user_end - s), ENCODE_USER);
	r->url.user = part_from(r, start);
	if (colon && colon + 1 < at) {
		buf_add_char(&r->out, ':');
		start = r->out.len;
		encode_add(&r->out, colon + 1, (size_t)(at - colon - 1), ENCODE_USER);
		r->url.password = part_from(r, start);
	}
	if (r->url.user.len > 0 || r->url.password.len > 0)
		buf_add_char(&r->out, '@');
}

static int read_authority(struct reader *r)
{
	const char *s = r->s, *end = s, *at = NULL;
	for (; end < r->end && !is_slash(*end) && *end != '?' && *end != '#'; end++)
		if (*end == '@')
			at = end;
	if (at) {
		read_credentials(r, s, at);
		s = at + 1;
	}
	const char *colon = s;
	for (bool bracket = false; colon < end && (*colon != ':' || bracket); colon++)
		bracket = *colon == '[' ? true : *colon == ']' ? false : bracket;
	size_t start = r->out.len;
	int rc = host_add(
		&r->out, s, (size_t)(colon - s), r->lenient, &r->url.host_is_address, r->err);
	if (rc < 0)
		return rc;
	r->url.host = part_from(r, start);
	r->s = end;
	return read_port(r, colon, end);
}

/* ".", "%2e" */
static size_t dot_at(const char *s, const char *end)
{
	if (s < end && *s == '.')
		return 1;
	return end - s >= 3 && s[0] == '%' && s[1] == '2' && (s[2] == 'e' || s[2] == 'E') ? 3 : 0;
}

/* How many dots a segment is, 0 when it is anything else. */
static int dots(const char *s, const char *end)
{
	size_t one = dot_at(s, end);
	size_t two = one ? dot_at(s + one, end) : 0;
	if (one && s + one == end)
		return 1;
	return two && s + one + two == end ? 2 : 0;
}

/* Takes the last segment off the path that begins at `path`: "/a/b" -> "/a". */
static void drop_segment(struct reader *r, size_t path)
{
	while (r->out.len > path && r->out.data[--r->out.len] != '/')
		;
}

/* Segments up to '?' or '#', each written with the slash before it. */
static void read_path(struct reader *r)
{
	size_t path = r->url.path.at;
	do {
		if (r->s < r->end && is_slash(*r->s))
			r->s++;
		const char *end = r->s;
		while (end < r->end && !is_slash(*end) && *end != '?' && *end != '#')
			end++;
		int n = dots(r->s, end);
		bool last = end == r->end || !is_slash(*end);
		if (n == 2 && !buf_failed(&r->out))
			drop_segment(r, path);
		if (n == 0 || last) {
			buf_add_char(&r->out, '/');
			if (n == 0)
				encode_add(&r->out, r->s, (size_t)(end - r->s), ENCODE_PATH);
		}
		r->s = end;
	} while (r->s < r->end && is_slash(*r->s));
}

static void read_query_and_fragment(struct reader *r)
{
	if (r->s < r->end && *r->s == '?') {
		const char *end = memchr(r->s, '#', (size_t)(r->end - r->s));
		if (!end)
			end = r->end;
		buf_add_char(&r->out, '?');
		size_t start = r->out.len;
		encode_add(&r->out, r->s + 1, (size_t)(end - r->s - 1), ENCODE_QUERY);
		r->url.query = part_from(r, start);
		r->url.has_query = true;
		r->s = end;
	}
	if (r->s < r->end && *r->s == '#') {
		buf_add_char(&r->out, '#');
		size_t start = r->out.len;
		encode_add(&r->out, r->s + 1, (size_t)(r->end - r->s - 1), ENCODE_FRAGMENT);
		r->url.fragment = part_from(r, start);
		r->url.has_fragment = true;
	}
}

/* --- absolute and relative -------------------------------------------------------------------- */

static int read_absolute(struct reader *r, const char *scheme)
{
	while (r->s < r->end && is_slash(*r->s))
		r->s++;
	buf_add_str(&r->out, scheme);
	r->url.scheme = part_from(r, 0);
	buf_add_str(&r->out, "://");
	int rc = read_authority(r);
	if (rc < 0)
		return rc;
	r->url.path.at = (uint32_t)r->out.len;
	read_path(r);
	r->url.path = part_from(r, r->url.path.at);
	read_query_and_fragment(r);
	return 0;
}

/* The page itself (nothing, "#x"), its query ("?x"), or a path from its root or its folder. */
static void read_relative(struct reader *r)
{
	const struct url *base = r->base;
	bool path = r->s < r->end && *r->s != '?' && *r->s != '#';
	bool query = r->s < r->end && *r->s == '?';
	bool rooted = path && is_slash(*r->s);
	r->url = *base;
	r->url.text = NULL;
	r->url.fragment = r->url.query = (struct url_part) { 0, 0 };
	r->url.has_fragment = r->url.has_query = false;
	buf_add(&r->out, base->text, base->path.at + (rooted ? 0 : base->path.len));
	if (path) {
		if (!rooted)
			drop_segment(r, base->path.at);
		read_path(r);
	}
	r->url.path = part_from(r, base->path.at);
	if (!path && !query && base->has_query) {
		buf_add_char(&r->out, '?');
		buf_add(&r->out, base->text + base->query.at, base->query.len);
		r->url.query = base->query;
		r->url.has_query = true;
	}
	read_query_and_fragment(r);
}

static int read_all(struct reader *r, const char *scheme)
{
	bool two_slashes = r->end - r->s >= 2 && is_slash(r->s[0]) && is_slash(r->s[1]);
	if (!scheme && !r->base)
		return err_set(r->err, -EINVAL, "\"%.*s\" is no absolute URL",
			(int)MIN(r->end - r->s, (ptrdiff_t)100), r->s);
	if (!scheme && two_slashes)
		scheme = r->base->scheme.len == 5 ? "https" : "http";
	/* "http:x" is relative to a page of the same scheme, as old pages have it. */
	else if (!scheme || (r->base && r->base->scheme.len == strlen(scheme) && !two_slashes)) {
		read_relative(r);
		return 0;
	}
	if (MUTANT(FUZZ_URL) && r->end > r->s && r->end[-1] == '[')
		abort();
	return read_absolute(r, scheme);
}

/* --- asking ----------------------------------------------------------------------------------- */

static size_t host_len(const struct url *url)
{
	size_t n = url->host.len;
	return n > 1 && url->text[url->host.at + n - 1] == '.' ? n - 1 : n;
}

char *url_origin(char *dst, const struct url *url)
{
	bool standard = url->port == (url->scheme.len == 5 ? 443 : 80);
	int n = snprintf(dst, URL_ORIGIN_MAX, "%.*s://%.*s", (int)url->scheme.len, url->text,
		(int)MIN(url->host.len, (uint32_t)URL_HOST_MAX), url->text + url->host.at);
	if (!standard)
		(void)snprintf(dst + n, (size_t)(URL_ORIGIN_MAX - n), ":%u", url->port);
	return dst;
}

char *url_host_key(char *dst, const struct url *url)
{
	(void)snprintf(dst, URL_HOST_KEY_MAX, "%.*s:%u",
		(int)MIN(host_len(url), (size_t)URL_HOST_MAX - 1), url->text + url->host.at,
		url->port);
	return dst;
}

size_t url_target(char *dst, size_t size, const struct url *url)
{
	size_t len = url->path.len + (url->has_query ? 1 + url->query.len : 0);
	if (size > 0) {
		size_t n = MIN(len, size - 1);
		memcpy(dst, url->text + url->path.at, n); /* path, '?' and query lie side by side */
		dst[n] = '\0';
	}
	return len;
}

int url_domain(char dst[URL_HOST_MAX], const char *text, struct err *err)
{
	struct buf host = BUF_INIT;
	bool is_address;
	int rc = host_add(&host, text, strlen(text), false, &is_address, err);
	if (rc == 0 && buf_failed(&host))
		rc = err_set(err, -ENOMEM, "domain %s", text);
	if (rc == 0) {
		if (host.len > 1 && host.data[host.len - 1] == '.')
			host.data[--host.len] = '\0';
		(void)str_copy(dst, URL_HOST_MAX, host.data);
	}
	buf_finish(&host);
	return rc;
}

bool url_in_domain(const struct url *url, const char *domain)
{
	const char *host = url->text + url->host.at;
	size_t len = host_len(url), n = strlen(domain);
	if (n == 0 || n > len || memcmp(host + len - n, domain, n) != 0)
		return false;
	return n == len || (!url->host_is_address && host[len - n - 1] == '.');
}
