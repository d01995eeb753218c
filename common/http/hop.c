/* SPDX-License-Identifier: MIT */
#include "http/hop.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "http/http.h"
#include "url/url.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { URL_MAX = 16384 };

void hop_init(struct hop *hop, const struct http_request *first, const struct fetch_auth *auth)
{
	*hop = (struct hop) {
		.first = first, .auth = auth, .method = first->method, .has_body = first->body
	};
}

static void wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void hop_finish(struct hop *hop)
{
	wipe(&hop->sent_url);
	wipe(&hop->url);
	wipe(&hop->authorization);
	free(hop->pairs);
	hop->pairs = NULL;
}

const char *hop_url(const struct hop *hop)
{
	return hop->url ? hop->url : hop->first->url;
}

/* ---- arguments of a URL ---- */

static void add_encoded(struct buf *out, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_add_char(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned char)*text);
	}
}

static int hex_of(char c)
{
	return c >= '0' && c <= '9'			? c - '0'
	       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
							: -1;
}

/* Whether len bytes of a query mean the text. */
static bool means(const char *encoded, size_t len, const char *text)
{
	const char *end = encoded + len;
	for (; encoded < end; text++) {
		int c = (unsigned char)*encoded++;
		if (c == '+') {
			c = ' ';
		} else if (c == '%' && end - encoded >= 2 && hex_of(encoded[0]) >= 0 &&
			   hex_of(encoded[1]) >= 0) {
			c = hex_of(encoded[0]) << 4 | hex_of(encoded[1]);
			encoded += 2;
		}
		if (!*text || (unsigned char)*text != c)
			return false;
	}
	return !*text;
}

/* The argument that begins at `at` is this one; value NULL: whatever its value. */
static bool is_argument(const char *at, size_t len, const char *name, const char *value)
{
	const char *equals = memchr(at, '=', len);
	size_t name_len = equals ? (size_t)(equals - at) : len;
	if (!means(at, name_len, name))
		return false;
	return !value || means(equals ? equals + 1 : "", equals ? len - name_len - 1 : 0, value);
}

static bool has_argument(const char *url, const char *name)
{
	const char *at = strchr(url, '?');
	while (at && *at && *at != '#') {
		size_t len = strcspn(++at, "&#");
		if (is_argument(at, len, name, NULL))
			return true;
		at += len;
	}
	return false;
}

char *hop_without(const char *url, const struct config_pairs *secrets)
{
	struct buf out = { .max = URL_MAX };
	size_t head = strcspn(url, "?#");
	char separator = '?';
	buf_add(&out, url, head);
	const char *at = url + head;
	while (*at && *at != '#') {
		size_t len = strcspn(++at, "&#");
		bool secret = false;
		for (size_t i = 0; i < secrets->count; i++)
			secret |= is_argument(
				at, len, secrets->items[i].name, secrets->items[i].value);
		if (!secret) {
			buf_add_char(&out, separator);
			buf_add(&out, at, len);
			separator = '&';
		}
		at += len;
	}
	return buf_detach(&out);
}

static int add_arguments(struct hop *hop, struct err *err)
{
	const struct config_pairs *query = &hop->auth->query;
	struct buf out = { .max = URL_MAX };
	buf_add_str(&out, hop_url(hop));
	for (size_t i = 0; i < query->count; i++) {
		if (has_argument(hop_url(hop), query->items[i].name))
			continue;
		buf_add_char(&out, strchr(buf_str(&out), '?') ? '&' : '?');
		add_encoded(&out, query->items[i].name);
		buf_add_char(&out, '=');
		add_encoded(&out, query->items[i].value);
	}
	wipe(&hop->sent_url);
	hop->sent_url = buf_detach(&out);
	return hop->sent_url ? 0 : err_set(err, -ENOMEM, "HTTP: no memory, or too long a URL");
}

/* ---- one call ---- */

/* What any server may know. Others may be keys, whatever their name. */
static bool is_harmless(const struct hop *hop, const char *name)
{
	static const char *const harmless[] = { "Accept", "Accept-Language", "Accept-Charset" };
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (str_eq_nocase(name, harmless[i]))
			return true;
	return hop->has_body && str_eq_nocase(name, "Content-Type");
}

static bool is_there(const struct config_pairs *headers, const char *name)
{
	for (size_t i = 0; i < headers->count; i++)
		if (str_eq_nocase(headers->items[i].name, name))
			return true;
	return false;
}

static int add_headers(struct hop *hop, struct config_pairs *out, struct err *err)
{
	const struct config_pairs *own = &hop->first->headers, *auth = &hop->auth->headers;
	size_t most = own->count + auth->count + 1, n = 0;
	free(hop->pairs);
	hop->pairs = calloc(most + 1, sizeof(*hop->pairs));
	if (!hop->pairs)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	for (size_t i = 0; i < own->count; i++) {
		const char *name = own->items[i].name;
		bool of_body = str_eq_nocase(name, "Content-Type") && !hop->has_body &&
			       hop->first->body;
		if (!of_body && (!hop->foreign || is_harmless(hop, name)))
			hop->pairs[n++] = own->items[i];
	}
	/* A request's own word goes before its provider's. */
	for (size_t i = 0; !hop->foreign && i < auth->count; i++)
		if (!is_there(own, auth->items[i].name))
			hop->pairs[n++] = auth->items[i];
	if (!hop->foreign && hop->authorization && !is_there(own, "Authorization"))
		hop->pairs[n++] = (struct config_pair) { "Authorization", hop->authorization };
	*out = (struct config_pairs) { hop->pairs, n };
	return 0;
}

int hop_request(struct hop *hop, struct http_request *out, struct err *err)
{
	*out = *hop->first;
	out->url = hop_url(hop);
	out->method = hop->method;
	if (!hop->has_body) {
		out->body = NULL;
		out->body_len = 0;
	}
	out->once = out->once && str_eq(hop->method, hop->first->method);
	if (!hop->foreign && hop->auth->query.count) {
		int rc = add_arguments(hop, err);
		if (rc < 0)
			return rc;
		out->url = hop->sent_url;
	}
	if (!hop->redirects && !hop->auth->headers.count && !hop->authorization)
		return 0;
	return add_headers(hop, &out->headers, err);
}

/* ---- redirects ---- */

bool hop_is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int place_of(struct url **out, const struct hop *hop, const char *location, struct err *err)
{
	CLEANUP(url_freep) struct url *base = NULL;
	CLEANUP(url_freep) struct url *to = NULL;
	int rc = url_parse(&base, hop_url(hop), URL_MAX, NULL);
	if (rc == 0)
		rc = url_resolve(&to, base, location, strlen(location), URL_MAX, NULL);
	if (rc == -ENOMEM)
		return err_set(err, rc, "HTTP: out of memory");
	if (rc < 0)
		return err_set(err, -EINVAL, "a redirect to what is no http or https URL");
	if (to->user.len || to->password.len)
		return err_set(err, -EINVAL, "a redirect that brings a user or a password along");
	*out = TAKE(to);
	return 0;
}

static bool same_origin(const struct url *a, const char *text)
{
	char left[URL_ORIGIN_MAX], right[URL_ORIGIN_MAX];
	CLEANUP(url_freep) struct url *b = NULL;
	if (url_parse(&b, text, URL_MAX, NULL) < 0)
		return false;
	return str_eq(url_origin(left, a), url_origin(right, b));
}

int hop_follow(struct hop *hop, long status, const char *location, struct err *err)
{
	CLEANUP(url_freep) struct url *to = NULL;
	bool post = str_eq(hop->method, "POST");
	bool to_get = (status == 303 && !str_eq(hop->method, "HEAD")) ||
		      ((status == 301 || status == 302) && post);
	if (!location[strspn(location, " \t\r\n")])
		return err_set(err, -EINVAL, "a redirect (HTTP %ld) without a Location", status);
	if (hop->redirects >= HOPS_MAX)
		return err_set(err, -EINVAL, "more than %d redirects", HOPS_MAX);
	int rc = place_of(&to, hop, location, err);
	if (rc < 0)
		return rc;
	bool foreign = hop->foreign ||
		       (!same_origin(to, hop->first->url) && !MUTANT(CREDENTIALS_KEPT));
	if (foreign && hop->has_body && !to_get)
		return err_set(err, -EINVAL,
			"a redirect (HTTP %ld) that would take the body to another server", status);
	char *url = hop_without(to->text, &hop->auth->query);
	if (!url)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	wipe(&hop->url);
	hop->url = url;
	hop->foreign = foreign;
	hop->redirects++;
	if (to_get) {
		hop->method = "GET";
		hop->has_body = false;
	}
	return 0;
}
