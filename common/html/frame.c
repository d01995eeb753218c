/* SPDX-License-Identifier: MIT */
#include "html/frame.h"

#include "base/arena.h"
#include "base/buf.h"
#include <errno.h>
#include <string.h>

static void put_int(struct buf *out, uint64_t value, size_t bytes)
{
	char text[8];
	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)(value >> (8 * i));
	buf_add(out, text, bytes);
}

/* NULL is kept apart from "". */
static void put_str(struct buf *out, const char *s)
{
	size_t len = s ? strlen(s) : 0;
	put_int(out, s ? len : UINT32_MAX, 4);
	buf_add(out, s, len);
}

static size_t put_head(struct buf *out, enum parse_frame type)
{
	size_t at = out->len;
	put_int(out, 0, 4);
	put_int(out, type, 1);
	return at;
}

static void put_length(struct buf *out, size_t at)
{
	if (buf_failed(out))
		return;
	size_t len = out->len - at - 4;
	for (size_t i = 0; i < 4; i++)
		out->data[at + i] = (char)(len >> (8 * i));
}

void parse_put_setup(struct buf *out, const struct parse_setup *setup)
{
	size_t at = put_head(out, PARSE_SETUP);
	put_int(out, setup->count, 4);
	for (size_t i = 0; i < setup->count; i++)
		put_str(out, setup->xpaths[i]);
	put_length(out, at);
}

void parse_put_ready(struct buf *out, const char *error)
{
	size_t at = put_head(out, PARSE_READY);
	put_str(out, error);
	put_length(out, at);
}

void parse_put_page(struct buf *out, const struct parse_page *page)
{
	size_t at = put_head(out, PARSE_PAGE);
	put_str(out, page->url);
	put_str(out, page->content_type);
	put_int(out, page->xpath_count, 4);
	for (size_t i = 0; i < page->xpath_count; i++)
		put_int(out, page->xpaths[i], 2);
	buf_add(out, page->body, page->body_len);
	put_length(out, at);
}

void parse_put_answer(struct buf *out, const struct parse_answer *answer)
{
	const struct html_page *page = &answer->page;
	size_t at = put_head(out, PARSE_ANSWER);
	put_int(out, answer->outcome, 1);
	put_str(out, answer->error);
	put_str(out, answer->charset);
	put_int(out, (page->cut ? 1 : 0) | (page->nofollow ? 2 : 0) | (page->noindex ? 4 : 0), 1);
	put_str(out, page->base);
	put_str(out, page->canonical);
	put_int(out, page->link_count, 4);
	for (size_t i = 0; i < page->link_count; i++) {
		put_int(out, page->links[i].kind, 1);
		put_int(out, page->links[i].nofollow, 1);
		put_str(out, page->links[i].url);
	}
	put_int(out, answer->value_count, 4);
	for (size_t i = 0; i < answer->value_count; i++)
		put_str(out, answer->values[i]);
	put_length(out, at);
}

struct reader {
	const char *p, *end;
	struct arena *arena;
	int error; /* 0, -EPROTO, -ENOMEM */
};

static uint64_t get_int(struct reader *r, size_t bytes)
{
	uint64_t value = 0;
	if ((size_t)(r->end - r->p) < bytes) {
		r->error = -EPROTO;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)(unsigned char)r->p[i] << (8 * i);
	r->p += bytes;
	return value;
}

/* NULL when it is one, and on an error. */
static const char *get_optional(struct reader *r)
{
	size_t len = get_int(r, 4);
	if (r->error || len == UINT32_MAX)
		return NULL;
	if ((size_t)(r->end - r->p) < len || memchr(r->p, '\0', len)) {
		r->error = -EPROTO;
		return NULL;
	}
	const char *s = arena_strndup(r->arena, r->p, len);
	if (!s)
		r->error = -ENOMEM;
	r->p += len;
	return s;
}

static const char *get_str(struct reader *r)
{
	const char *s = get_optional(r);
	if (!s && !r->error)
		r->error = -EPROTO;
	return s;
}

/* A list of at most max elements, each of at least min bytes in the frame; NULL on an error. */
static void *get_list(struct reader *r, size_t *count, size_t max, size_t min, size_t element_size)
{
	*count = get_int(r, 4);
	if (!r->error && (*count > max || *count > (size_t)(r->end - r->p) / min))
		r->error = -EPROTO;
	if (r->error)
		return NULL;
	void *list = arena_alloc(r->arena, (*count + 1) * element_size);
	if (!list)
		r->error = -ENOMEM;
	return list;
}

int parse_frame_peek(
	const char *data, size_t len, enum parse_frame *type, const char **body, size_t *body_len)
{
	if (len < PARSE_HEADER)
		return 0;
	size_t total = 0;
	for (size_t i = 0; i < 4; i++)
		total |= (size_t)(unsigned char)data[i] << (8 * i);
	if (total == 0 || total > PARSE_FRAME_MAX)
		return -EPROTO;
	if (len < 4 + total)
		return 0;
	*type = (enum parse_frame)(unsigned char)data[4];
	*body = data + PARSE_HEADER;
	*body_len = total - 1;
	return 1;
}

int parse_get_setup(struct parse_setup *out, struct arena *arena, const char *body, size_t len)
{
	struct reader r = { body, body + len, arena, 0 };
	struct parse_setup setup = { 0 };
	const char **xpaths = get_list(&r, &setup.count, PARSE_XPATHS_MAX, 4, sizeof(*xpaths));
	for (size_t i = 0; !r.error && i < setup.count; i++)
		xpaths[i] = get_str(&r);
	setup.xpaths = xpaths;
	if (!r.error && r.p != r.end)
		r.error = -EPROTO;
	if (!r.error)
		*out = setup;
	return r.error;
}

int parse_get_ready(const char **error, struct arena *arena, const char *body, size_t len)
{
	struct reader r = { body, body + len, arena, 0 };
	const char *text = get_str(&r);
	if (!r.error && r.p != r.end)
		r.error = -EPROTO;
	if (!r.error)
		*error = text;
	return r.error;
}

int parse_get_page(struct parse_page *out, struct arena *arena, const char *body, size_t len)
{
	struct reader r = { body, body + len, arena, 0 };
	struct parse_page page = { 0 };
	page.url = get_str(&r);
	page.content_type = r.error ? NULL : get_str(&r);
	uint16_t *xpaths = r.error ? NULL : get_list(&r, &page.xpath_count, PARSE_XPATHS_MAX, 2, 2);
	for (size_t i = 0; !r.error && i < page.xpath_count; i++)
		xpaths[i] = (uint16_t)get_int(&r, 2);
	page.xpaths = xpaths;
	page.body = r.p;
	page.body_len = (size_t)(r.end - r.p);
	if (!r.error && page.body_len > PARSE_BODY_MAX)
		r.error = -EPROTO;
	if (!r.error)
		*out = page;
	return r.error;
}

static void get_html_page(struct reader *r, struct html_page *page)
{
	uint64_t flags = get_int(r, 1);
	page->cut = flags & 1;
	page->nofollow = flags & 2;
	page->noindex = flags & 4;
	page->refresh_s = -1;
	page->base = get_optional(r);
	page->canonical = r->error ? NULL : get_optional(r);
	page->links = r->error ? NULL
			       : get_list(r, &page->link_count, HTML_LINKS_MAX, 6,
					 sizeof(*page->links));
	for (size_t i = 0; !r->error && i < page->link_count; i++) {
		uint64_t kind = get_int(r, 1);
		if (kind > HTML_LINK_REFRESH)
			r->error = -EPROTO;
		page->links[i].kind = (enum html_link_kind)kind;
		page->links[i].nofollow = get_int(r, 1) != 0;
		page->links[i].url = r->error ? NULL : get_str(r);
	}
}

int parse_get_answer(struct parse_answer *out, struct arena *arena, const char *body, size_t len)
{
	struct reader r = { body, body + len, arena, 0 };
	struct parse_answer answer = { 0 };
	uint64_t outcome = get_int(&r, 1);
	if (outcome > PARSE_PARTLY)
		return -EPROTO;
	answer.outcome = (enum parse_outcome)outcome;
	answer.error = r.error ? NULL : get_str(&r);
	answer.charset = r.error ? NULL : get_str(&r);
	if (!r.error)
		get_html_page(&r, &answer.page);
	if (!r.error)
		answer.values = get_list(
			&r, &answer.value_count, PARSE_XPATHS_MAX, 4, sizeof(*answer.values));
	for (size_t i = 0; !r.error && i < answer.value_count; i++)
		answer.values[i] = get_optional(&r);
	if (!r.error && r.p != r.end)
		r.error = -EPROTO;
	if (!r.error)
		*out = answer;
	return r.error;
}
