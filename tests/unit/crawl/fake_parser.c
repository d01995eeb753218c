/* SPDX-License-Identifier: MIT */
/* Stands in for drover-parser: what becomes of it depends on the page's first letter. */
#include "base/arena.h"
#include "base/buf.h"
#include "html/frame.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void answer(const struct parse_page *page, const struct parse_setup *setup, struct buf *out)
{
	const char *values[PARSE_XPATHS_MAX];
	for (size_t i = 0; i < page->xpath_count; i++)
		values[i] = setup->xpaths[page->xpaths[i]]; /* shows which setup it has */
	parse_put_answer(out, &(struct parse_answer) {
				      .error = "",
				      .charset = "fake",
				      .values = values,
				      .value_count = page->xpath_count,
			      });
}

static void do_page(const struct parse_page *page, const struct parse_setup *setup, struct buf *out)
{
	switch (page->body_len ? page->body[0] : '\0') {
	case 'c': /* crash */
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case 'h': /* hang */
		for (;;)
			pause();
	case 'n': /* nonsense */ buf_add(out, "\x05\0\0\0\x04\xFF\xFF\xFF\xFF", 9); break;
	case 't': /* out of turn */ parse_put_ready(out, ""); break;
	case 'e': /* end */ exit(3);
	default: answer(page, setup, out);
	}
}

int main(void)
{
	static char in[1 << 20];
	size_t have = 0;
	struct arena *arena = arena_new(0);
	struct parse_setup setup = { 0 };
	for (;;) {
		struct buf out = BUF_INIT;
		struct parse_page page;
		enum parse_frame type;
		const char *body;
		size_t len;
		while (parse_frame_peek(in, have, &type, &body, &len) == 0) {
			ssize_t n = read(3, in + have, sizeof(in) - have);
			if (n <= 0)
				return 0;
			have += (size_t)n;
		}
		if (type == PARSE_SETUP && parse_get_setup(&setup, arena, body, len) == 0)
			parse_put_ready(&out, "");
		else if (type == PARSE_PAGE && parse_get_page(&page, arena, body, len) == 0)
			do_page(&page, &setup, &out);
		if (write(3, buf_str(&out), out.len) != (ssize_t)out.len)
			return 1;
		have = 0;
		buf_finish(&out);
	}
}
