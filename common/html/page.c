/* SPDX-License-Identifier: MIT */
#include "html/page.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/seen.h"
#include "url/url.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the arena; NULL when it is no URL, of another scheme, or (*too_long) over URL_MAX_DEFAULT. */
static const char *resolve(struct arena *arena, const struct url *base, const char *href,
	unsigned flags, bool *too_long)
{
	CLEANUP(url_freep) struct url *url = NULL;
	CLEANUP(freep) char *canonical = NULL;
	int r = url_resolve(&url, base, href, strlen(href), URL_MAX_DEFAULT, NULL);
	if (r == 0 && flags & HTML_LINKS_UNIQUE)
		r = url_canonical(&canonical, url->text, 0, URL_MAX_DEFAULT, NULL);
	*too_long |= r == -E2BIG;
	return r < 0 ? NULL : arena_strdup(arena, canonical ? canonical : url->text);
}

static void add_link(
	struct html_page *page, struct seen *seen, const struct html_link *link, const char *url)
{
	struct seen_slot *slot = seen ? seen_find(seen, url) : NULL;
	bool nofollow = link->nofollow || page->nofollow;
	if (slot && slot->text) {
		page->links[slot->value].nofollow &= nofollow;
		return;
	}
	if (slot)
		*slot = (struct seen_slot) { url, page->link_count };
	page->links[page->link_count++] =
		(struct html_page_link) { .kind = link->kind, .nofollow = nofollow, .url = url };
}

static int read_base(
	struct url **out, const struct html_links *links, const char *url, struct err *err)
{
	CLEANUP(url_freep) struct url *own = NULL;
	struct url *declared;
	int r = url_parse(&own, url, URL_MAX_DEFAULT, err);
	if (r < 0)
		return err_wrap(err, "page %s", url);
	/* A base that is no URL counts as absent. */
	if (links->base && url_resolve(&declared, own, links->base, strlen(links->base),
				   URL_MAX_DEFAULT, NULL) == 0) {
		*out = declared;
		return 0;
	}
	*out = TAKE(own);
	return 0;
}

int html_page_read(struct html_page *out, struct arena *arena, const char *html, size_t len,
	const char *url, unsigned flags, struct err *err)
{
	struct html_links links;
	CLEANUP(url_freep) struct url *base = NULL;
	CLEANUP(seen_freep) struct seen *seen = flags & HTML_LINKS_UNIQUE ? seen_new() : NULL;
	if (((flags & HTML_LINKS_UNIQUE) && !seen) ||
		html_links_scan(&links, arena, html, len, flags) < 0)
		return err_set(err, -ENOMEM, "page %s: no memory", url);
	int r = read_base(&base, &links, url, err);
	if (r < 0)
		return r;
	struct html_page page = {
		.nofollow = links.nofollow,
		.noindex = links.noindex,
		.refresh_s = links.refresh_s,
		.most_attrs = links.most_attrs,
		.base = arena_strdup(arena, links.base ? base->text : url),
		.links = arena_alloc(arena, (links.count + 1) * sizeof(*page.links)),
	};
	if (!page.base || !page.links)
		return err_set(err, -ENOMEM, "page %s: no memory", url);
	bool too_long = false;
	if (links.canonical)
		page.canonical = resolve(
			arena, base, links.canonical, HTML_LINKS_UNIQUE, &too_long);
	const char *self = seen ? resolve(arena, base, url, flags, &too_long) : NULL;
	too_long = links.cut;
	size_t bytes = 0; /* a long base makes long URLs of short references */
	for (size_t i = 0; i < links.count && !page.cut; i++) {
		const char *target = resolve(arena, base, links.items[i].href, flags, &too_long);
		bytes += target ? strlen(target) : 0;
		page.cut = bytes > (size_t)2 * HTML_LINKS_BYTES;
		if (target && !(self && str_eq(target, self)) && !page.cut)
			add_link(&page, seen, &links.items[i], target);
	}
	page.cut |= too_long;
	*out = page;
	return 0;
}
