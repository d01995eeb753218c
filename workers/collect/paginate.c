/* SPDX-License-Identifier: MIT */
#include "collect/paginate.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "url/url.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *paginate_stop_name(enum paginate_stop stop)
{
	static const char *const names[] = {
		[STOP_NOT] = "",
		[STOP_ONE_PAGE] = "one page",
		[STOP_SHORT_PAGE] = "short page",
		[STOP_EMPTY_PAGE] = "empty page",
		[STOP_TOTAL] = "total",
		[STOP_NO_MORE] = "no more",
		[STOP_NO_TOKEN] = "no next page",
		[STOP_MAX_PAGES] = "max_pages",
		[STOP_REPEATED_PAGE] = "repeated page",
		[STOP_REPEATED_TOKEN] = "repeated token",
	};
	return names[stop];
}

static bool has_tokens(const struct collect_paginate *p)
{
	return p->by == PAGINATE_CURSOR || p->by == PAGINATE_NEXT || p->by == PAGINATE_LINK;
}

static void hash_token(char dst[POSITION_HASH], const char *token)
{
	snprintf(dst, POSITION_HASH, "%016" PRIx64, str_hash(token, strlen(token)));
}

/* Pages are counted from 1 here, whatever their numbers are. */
static int64_t ordinal(const struct collect_paginate *p, const struct position *at)
{
	return at->page - p->start + 1;
}

/* The last of the first, second, fourth, eighth... page that lies before this one. */
static int64_t marked_page(const struct collect_paginate *p, const struct position *at)
{
	int64_t n = 1;
	while (n * 2 < ordinal(p, at))
		n *= 2;
	return p->start + n - 1;
}

static bool is_to_be_marked(const struct collect_paginate *p, const struct position *at)
{
	int64_t n = ordinal(p, at);
	return (n & (n - 1)) == 0;
}

static bool leads_back(const struct position *at, const struct page_facts *facts)
{
	char hash[POSITION_HASH];
	if (!facts->token)
		return false;
	hash_token(hash, facts->token);
	return (at->token && str_eq(facts->token, at->token)) || str_eq(hash, at->token_mark);
}

/* A token that leads somewhere, or says that there is no more. */
static enum paginate_stop by_token(const struct position *at, const struct page_facts *facts)
{
	if (!facts->token)
		return STOP_NO_TOKEN;
	/* A page of nothing is no end while its token is a new one; some give the last token for
	 * ever. */
	return facts->seen == 0 && leads_back(at, facts) ? STOP_EMPTY_PAGE : STOP_NOT;
}

static enum paginate_stop by_count(const struct collect_paginate *p, const struct page_facts *facts,
	const struct position *next)
{
	if (facts->seen == 0)
		return STOP_EMPTY_PAGE;
	if (facts->more == 1)
		return STOP_NOT;
	if (facts->total == next->seen)
		return STOP_TOTAL;
	/* A page may be shorter than was asked for while more are to come. A total that is smaller
	 * than what has come is wrong: then the other rules decide. */
	if (facts->total > next->seen || p->until == UNTIL_EMPTY)
		return STOP_NOT;
	return facts->seen < p->size ? STOP_SHORT_PAGE : STOP_NOT;
}

static bool repeats_page(const struct collect_paginate *p, const struct position *at,
	const struct page_facts *facts, struct err *why)
{
	bool last = str_eq(facts->hash, at->last);
	if (facts->seen == 0 || (!last && !str_eq(facts->hash, at->mark)))
		return false;
	const char *what = p->by == PAGINATE_LINK   ? "Link"
			   : p->by == PAGINATE_NEXT ? p->next
						    : p->param;
	err_set(why, -EINVAL,
		"page %" PRId64 " is page %" PRId64 " again: the provider seems to ignore \"%s\"",
		at->page, last ? at->page - 1 : marked_page(p, at), what ? what : "");
	return true;
}

static void set_next(const struct collect_paginate *p, const struct position *at,
	const struct page_facts *facts, struct position *next)
{
	*next = *at;
	next->page++;
	next->records = 0;
	next->seen += facts->seen;
	next->token = facts->token;
	bool mark = is_to_be_marked(p, at);
	/* Of pages with nothing on them none is like another. */
	memcpy(next->last, facts->seen ? facts->hash : at->last, sizeof(next->last));
	memcpy(next->mark, mark && facts->seen ? facts->hash : at->mark, sizeof(next->mark));
	memcpy(next->token_mark, at->token_mark, sizeof(next->token_mark));
	if (mark && facts->token)
		hash_token(next->token_mark, facts->token);
}

enum paginate_stop paginate_next(const struct collect_paginate *p, const struct position *at,
	const struct page_facts *facts, struct position *next, struct err *why)
{
	set_next(p, at, facts, next);
	if (p->by == PAGINATE_NONE)
		return STOP_ONE_PAGE;
	enum paginate_stop stop = has_tokens(p) ? by_token(at, facts) : by_count(p, facts, next);
	if (stop == STOP_NOT && facts->more == 0)
		stop = STOP_NO_MORE;
	if (stop != STOP_NOT)
		return stop;
	if (repeats_page(p, at, facts, why))
		return STOP_REPEATED_PAGE;
	if (leads_back(at, facts)) {
		err_set(why, -EINVAL,
			"page %" PRId64 " leads back to an earlier one: its token was there before",
			at->page);
		return STOP_REPEATED_TOKEN;
	}
	return ordinal(p, at) >= p->max_pages ? STOP_MAX_PAGES : STOP_NOT;
}

/* ---- the URL of the next page ---- */

static bool is_https(const struct url *url)
{
	return url->scheme.len == 5;
}

/* Behind a proxy many an application takes itself for http. */
static int to_https(struct url **url, struct err *err)
{
	char *text = NULL;
	if (asprintf(&text, "https%s", (*url)->text + (*url)->scheme.len) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	url_free(*url);
	*url = NULL;
	int rc = url_parse(url, text, TOKEN_MAX, err);
	free(text);
	return rc;
}

int paginate_resolve(
	char **out, const char *base_url, const char *from, const char *token, struct err *err)
{
	CLEANUP(url_freep) struct url *base = NULL;
	CLEANUP(url_freep) struct url *page = NULL;
	CLEANUP(url_freep) struct url *next = NULL;
	struct err ignored;
	char want[URL_ORIGIN_MAX], got[URL_ORIGIN_MAX];
	/* url_parse's words may hold the URL, and that a key. */
	int rc = url_parse(&base, base_url, TOKEN_MAX * 2, &ignored);
	if (rc == 0)
		rc = url_parse(&page, from, TOKEN_MAX * 2, &ignored);
	if (rc == 0)
		rc = url_resolve(&next, page, token, strlen(token), TOKEN_MAX, &ignored);
	if (rc == 0 && is_https(base) && !is_https(next) && next->port == 80)
		rc = to_https(&next, &ignored);
	if (rc == -ENOMEM)
		return err_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return err_set(err, -EINVAL,
			"the provider's next page is no URL of at most %d bytes", TOKEN_MAX);
	if (strcmp(url_origin(want, base), url_origin(got, next)) != 0 || next->user.len ||
		next->password.len)
		return err_set(err, -EINVAL,
			"the provider's next page is at %s: only %s is asked, for whose host "
			"credentials and limits are meant",
			got, want);
	*out = strndup(next->text, next->has_fragment ? next->fragment.at - 1 : next->len);
	return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
}
