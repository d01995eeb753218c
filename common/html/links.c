/* SPDX-License-Identifier: MIT */
#include "html/links.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/scan.h"
#include "html/seen.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

_Static_assert((int)HTML_LINKS_MAX <= (int)SEEN_MAX, "all links of a page must fit");

struct scan {
	struct html_links *out;
	struct arena *arena;
	struct html_link *items;
	size_t cap;
	size_t bytes;	   /* of all hrefs kept */
	struct seen *seen; /* where in items; NULL: doubles are kept */
	struct buf text;
};

static void take_tag(struct scan *scan, const struct html_tag *tag);

const char *html_link_kind_name(enum html_link_kind kind)
{
	static const char *const names[] = { "a", "area", "frame", "iframe", "refresh" };
	return names[kind];
}

int html_links_scan(
	struct html_links *out, struct arena *arena, const char *html, size_t len, unsigned flags)
{
	struct html_links found = { .refresh_s = -1 };
	struct scan scan = {
		.out = &found, .arena = arena, .text = { .max = (size_t)4 * HTML_VALUE_MAX }
	};
	CLEANUP(html_scanner_freep) struct html_scanner *scanner = html_scanner_new(html, len);
	if (flags & HTML_LINKS_UNIQUE)
		scan.seen = seen_new();
	if (!scanner || ((flags & HTML_LINKS_UNIQUE) && !scan.seen)) {
		seen_free(scan.seen);
		return -ENOMEM;
	}
	const struct html_tag *tag;
	while ((tag = html_scanner_next(scanner)))
		if (!tag->end)
			take_tag(&scan, tag);
	found.items = arena_alloc(arena, (found.count + 1) * sizeof(*found.items));
	if (found.items && found.count)
		memcpy(found.items, scan.items, found.count * sizeof(*found.items));
	free(scan.items);
	seen_free(scan.seen);
	buf_finish(&scan.text);
	if (!found.items)
		return -ENOMEM;
	*out = found;
	return 0;
}

/* The decoded value, NULL when absent; valid until the next call. */
static char *value_of(struct scan *scan, const struct html_attr *attr)
{
	if (!attr)
		return NULL;
	buf_reset(&scan->text);
	html_attr_value(attr, &scan->text);
	buf_add(&scan->text, "", 0); /* an empty value has memory too */
	return buf_failed(&scan->text) ? NULL : scan->text.data;
}

/* Is `word` one of the words of text, ASCII case aside? */
static bool has_word(const char *text, const char *separators, const char *word)
{
	for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
		size_t len = strcspn(p, separators);
		if (len == strlen(word) && strncasecmp(p, word, len) == 0)
			return true;
		p += len;
	}
	return false;
}

static void keep_link(struct scan *scan, enum html_link_kind kind, const char *href, bool nofollow)
{
	size_t len = strlen(href), n = scan->out->count;
	struct seen_slot *slot = scan->seen ? seen_find(scan->seen, href) : NULL;
	if (slot && slot->text) {
		scan->items[slot->value].nofollow &= nofollow;
		return;
	}
	const char *kept = NULL;
	if (n < HTML_LINKS_MAX && scan->bytes + len <= HTML_LINKS_BYTES &&
		mem_grow((void **)&scan->items, &scan->cap, n, sizeof(*scan->items)) == 0)
		kept = arena_strndup(scan->arena, href, len);
	if (!kept) {
		scan->out->cut = true;
		return;
	}
	scan->bytes += len;
	scan->items[n] = (struct html_link) { .kind = kind, .nofollow = nofollow, .href = kept };
	scan->out->count++;
	if (slot)
		*slot = (struct seen_slot) { kept, n };
}

static void add_link(struct scan *scan, enum html_link_kind kind, char *href, bool nofollow)
{
	href += strspn(href, " \t\n\f\r");
	if (scan->seen)
		href[strcspn(href, "#")] = '\0';
	if (strlen(href) > HTML_HREF_MAX)
		scan->out->cut = true;
	else
		keep_link(scan, kind, href, nofollow);
}

/* WHATWG 4.2.4.3 and "shared declarative refresh steps": "3; url='x'". @return the target, NULL
 * when there is none */
static char *refresh_target(char *text, double *seconds)
{
	char *p = text + strspn(text, " \t\n\f\r");
	if (*p != '.' && (*p < '0' || *p > '9'))
		return NULL;
	*seconds = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (*seconds < 1e9)
			*seconds = *seconds * 10 + (*p - '0');
	if (*p == '.')
		for (double unit = 0.1; *++p >= '0' && *p <= '9'; unit /= 10)
			*seconds += unit * (*p - '0');
	p += strspn(p, "0123456789.");
	if (*p && !strchr(";, \t\n\f\r", *p))
		return NULL;
	p += strspn(p, " \t\n\f\r");
	p += *p == ';' || *p == ',';
	p += strspn(p, " \t\n\f\r");
	if (strncasecmp(p, "url", 3) == 0) {
		char *q = p + 3 + strspn(p + 3, " \t\n\f\r");
		if (*q == '=')
			p = q + 1 + strspn(q + 1, " \t\n\f\r");
	}
	if (*p == '"' || *p == '\'') {
		char quote = *p++;
		p[strcspn(p, (char[]) { quote, '\0' })] = '\0';
	}
	return *p ? p : NULL;
}

static void take_meta(struct scan *scan, const struct html_tag *tag)
{
	const struct html_attr *content = html_tag_attr(tag, "content");
	const char *equiv = value_of(scan, html_tag_attr(tag, "http-equiv"));
	bool refresh = equiv && strcasecmp(equiv, "refresh") == 0;
	const char *name = value_of(scan, html_tag_attr(tag, "name"));
	bool robots = name && (strcasecmp(name, "robots") == 0 || strcasecmp(name, "drover") == 0);
	const char *text = refresh || robots ? value_of(scan, content) : NULL;
	if (!text)
		return;
	if (robots) {
		bool none = has_word(text, ", \t\n\f\r", "none");
		scan->out->nofollow |= none || has_word(text, ", \t\n\f\r", "nofollow");
		scan->out->noindex |= none || has_word(text, ", \t\n\f\r", "noindex");
	}
	if (refresh && scan->out->refresh_s < 0) {
		double seconds;
		char *target = refresh_target(scan->text.data, &seconds);
		if (target) {
			scan->out->refresh_s = seconds;
			add_link(scan, HTML_LINK_REFRESH, target, false);
		}
	}
}

static void take_tag(struct scan *scan, const struct html_tag *tag)
{
	static const struct {
		const char *tag, *attr;
		enum html_link_kind kind;
	} sources[] = {
		{ "a", "href", HTML_LINK_A },
		{ "area", "href", HTML_LINK_AREA },
		{ "frame", "src", HTML_LINK_FRAME },
		{ "iframe", "src", HTML_LINK_IFRAME },
	};
	struct html_links *out = scan->out;
	out->most_attrs = MAX(out->most_attrs, tag->attr_total);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (!html_tag_is(tag, sources[i].tag))
			continue;
		const char *rel = value_of(scan, html_tag_attr(tag, "rel"));
		bool nofollow = rel && has_word(rel, " \t\n\f\r", "nofollow");
		char *href = value_of(scan, html_tag_attr(tag, sources[i].attr));
		if (href)
			add_link(scan, sources[i].kind, href, nofollow);
		return;
	}
	if (html_tag_is(tag, "meta")) {
		take_meta(scan, tag);
	} else if (html_tag_is(tag, "base") && !out->base) {
		const char *href = value_of(scan, html_tag_attr(tag, "href"));
		out->base = href ? arena_strdup(scan->arena, href) : NULL;
	} else if (html_tag_is(tag, "link") && !out->canonical) {
		const char *rel = value_of(scan, html_tag_attr(tag, "rel"));
		bool canonical = rel && has_word(rel, " \t\n\f\r", "canonical");
		const char *href = value_of(scan, html_tag_attr(tag, "href"));
		out->canonical = canonical && href ? arena_strdup(scan->arena, href) : NULL;
	}
}
