/* SPDX-License-Identifier: MIT */
/*
 * Whatever a page holds: the scanner stays inside it, links are bounded and are URLs, an answer
 * with them survives its frame. Input: one byte of settings (unique, charset), then the page.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "html/charset.h"
#include "html/frame.h"
#include "url/url.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

static void judge_links(const struct html_page *page, unsigned flags)
{
	demand(page->link_count <= HTML_LINKS_MAX);
	for (size_t i = 0; i < page->link_count; i++) {
		char *canonical;
		size_t len = strlen(page->links[i].url);
		demand(len > 0 && len <= URL_MAX_DEFAULT);
		if (!(flags & HTML_LINKS_UNIQUE))
			continue;
		demand(url_canonical(&canonical, page->links[i].url, 0, URL_MAX_DEFAULT, NULL) ==
			0);
		demand(strcmp(canonical, page->links[i].url) == 0);
		free(canonical);
	}
}

static void judge_frame(const struct html_page *page, struct arena *arena)
{
	struct buf frame = BUF_INIT;
	struct parse_answer sent = { .error = "", .charset = "utf-8", .page = *page }, got;
	enum parse_frame type;
	const char *body;
	size_t len;
	parse_put_answer(&frame, &sent);
	demand(parse_frame_peek(buf_str(&frame), frame.len, &type, &body, &len) == 1);
	demand(parse_get_answer(&got, arena, body, len) == 0);
	demand(got.page.link_count == page->link_count);
	buf_finish(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT;
	struct html_page page;
	if (size < 1)
		return 0;
	unsigned flags = data[0] & 1 ? HTML_LINKS_UNIQUE : 0;
	const char *html = (const char *)data + 1;
	const char *charset = html_charset_detect(html, size - 1, "");
	struct arena *arena = arena_new(0);
	struct parse_answer ignored;
	demand(arena != NULL);
	demand(html_charset_to_utf8(charset, html, size - 1, &text) == 0);
	if (html_page_read(&page, arena, buf_str(&text), text.len, "http://h.example/d/p?q", flags,
		    NULL) == 0) {
		judge_links(&page, flags);
		judge_frame(&page, arena);
	}
	int r = parse_get_answer(
		&ignored, arena, html, size - 1); /* the bytes as a hostile child's answer */
	(void)r;
	arena_free(arena);
	buf_finish(&text);
	return 0;
}
