/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "url/url.h"
#include "url/url_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct argument {
	const char *s;
	size_t len;
};

/* By name, then by value: "a=50&b=2&b=5". */
static int compare_arguments(const void *pa, const void *pb)
{
	const struct argument *a = pa, *b = pb;
	const char *ea = memchr(a->s, '=', a->len), *eb = memchr(b->s, '=', b->len);
	size_t na = ea ? (size_t)(ea - a->s) : a->len, nb = eb ? (size_t)(eb - b->s) : b->len;
	int order = memcmp(a->s, b->s, MIN(na, nb));
	if (order == 0 && na != nb)
		return na < nb ? -1 : 1;
	if (order == 0)
		order = memcmp(a->s + na, b->s + nb, MIN(a->len - na, b->len - nb));
	if (order == 0 && a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return order;
}

static int add_sorted(struct buf *out, const char *query, size_t len)
{
	size_t n = 1, i = 0;
	for (size_t k = 0; k < len; k++)
		n += query[k] == '&';
	CLEANUP(freep) struct argument *list = calloc(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (const char *s = query, *end = query + len;; i++) {
		const char *next = memchr(s, '&', (size_t)(end - s));
		list[i] = (struct argument) { s, (size_t)((next ? next : end) - s) };
		if (!next)
			break;
		s = next + 1;
	}
	qsort(list, n, sizeof(*list), compare_arguments);
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(out, '&');
		buf_add(out, list[i].s, list[i].len);
	}
	return 0;
}

static int add_query(struct buf *out, const struct url *url, bool sort)
{
	struct buf query = BUF_INIT;
	int rc = 0;
	normalize_percent(&query, url->text + url->query.at, url->query.len);
	buf_add_char(out, '?');
	if (buf_failed(&query))
		rc = -ENOMEM;
	else if (sort)
		rc = add_sorted(out, buf_str(&query), query.len);
	else
		buf_add(out, buf_str(&query), query.len);
	buf_finish(&query);
	return rc;
}

int url_canonical(char **out, const char *text, unsigned flags, size_t max_len, struct err *err)
{
	/* The parser has done case, port, dot segments (also as %2E) and encoded what must be; %XX
	 * is left. */
	CLEANUP(url_freep) struct url *url = NULL;
	int rc = url_read(&url, NULL, text, strlen(text), max_len, true, err);
	if (rc < 0)
		return rc;
	struct buf b = { .max = max_len };
	size_t user_at = url->scheme.len +
			 strlen("://"); /* "user:password@" or nothing, up to the host */
	buf_add(&b, url->text, user_at);
	normalize_percent(&b, url->text + user_at, url->host.at - user_at);
	buf_add(&b, url->text + url->host.at, url->path.at - url->host.at);
	normalize_percent(&b, url->text + url->path.at, url->path.len);
	if (url->has_query)
		rc = add_query(&b, url, flags & URL_SORT_QUERY);
	if ((flags & URL_KEEP_FRAGMENT) && url->has_fragment) {
		buf_add_char(&b, '#');
		normalize_percent(&b, url->text + url->fragment.at, url->fragment.len);
	}
	if (rc == 0 && !buf_failed(&b))
		*out = buf_detach(&b);
	else
		rc = rc < 0 ? err_set(err, rc, "URL")
			    : err_set(err, -E2BIG, "URL is longer than %zu bytes", max_len);
	buf_finish(&b);
	return rc;
}
