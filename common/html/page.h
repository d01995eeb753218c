/* SPDX-License-Identifier: MIT */
#pragma once
/* What a crawl wants of a page: its links as absolute URLs, and what it says of itself. */
#include "html/links.h"

struct err;

struct html_page_link {
	enum html_link_kind kind;
	bool nofollow;	 /* of the link, or of the page's meta robots */
	const char *url; /* absolute */
};
struct html_page {
	struct html_page_link *links; /* in document order */
	size_t link_count;
	bool cut; /* there were more than HTML_LINKS_MAX, or longer ones than URL_MAX_DEFAULT */
	bool nofollow, noindex;
	const char *base;      /* what links are resolved against, with <base> */
	const char *canonical; /* NULL: none, or no URL */
	double refresh_s;      /* -1: none */
	size_t most_attrs;     /* the largest number of attributes on one tag */
};

/**
 * Reads html (UTF-8) that lies at `url`. With HTML_LINKS_UNIQUE the links are identities
 * (url_canonical), each once, the page itself left out; without, all of them as written, fragments
 * too. Links of other schemes than http and https, and those that are no URL or longer than
 * URL_MAX_DEFAULT, are left out.
 * @return 0; -EINVAL url is no URL; -ENOMEM
 */
int html_page_read(struct html_page *out, struct arena *arena, const char *html, size_t len,
	const char *url, unsigned flags, struct err *err) MUST_CHECK;
