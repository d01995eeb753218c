/* SPDX-License-Identifier: MIT */
#pragma once
/* The links of a page and what the page says of itself to crawlers; not yet resolved (page.h does).
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct arena;

enum {
	HTML_LINKS_MAX = 10000,	    /* of a page; further ones set `cut` */
	HTML_HREF_MAX = 8192,	    /* bytes; longer ones are left out and set `cut` */
	HTML_LINKS_BYTES = 4 << 20, /* of all hrefs of a page together */
};
enum html_link_kind {
	HTML_LINK_A,
	HTML_LINK_AREA,
	HTML_LINK_FRAME,
	HTML_LINK_IFRAME,
	HTML_LINK_REFRESH
};
const char *html_link_kind_name(enum html_link_kind kind);

struct html_link {
	enum html_link_kind kind;
	bool nofollow;	  /* rel=nofollow of the link itself */
	const char *href; /* decoded */
};
struct html_links {
	struct html_link *items; /* in document order */
	size_t count;
	bool cut;
	const char *base;	/* href of the first base element that has one, NULL */
	const char *canonical;	/* href of link rel=canonical, NULL */
	double refresh_s;	/* seconds of the meta refresh, -1: none; its target is a link */
	bool nofollow, noindex; /* meta robots */
	size_t most_attrs;	/* the largest number of attributes on one tag */
};

/* Fragments are cut, of doubles one stays (to be followed if one of them is). */
enum { HTML_LINKS_UNIQUE = 1 };
/**
 * a[href], area[href], frame[src], iframe[src], meta refresh; base, link rel=canonical, meta
 * robots.
 * @param html  UTF-8; strings of the result live in `arena`
 * @return 0; -ENOMEM
 */
int html_links_scan(struct html_links *out, struct arena *arena, const char *html, size_t len,
	unsigned flags) MUST_CHECK;
