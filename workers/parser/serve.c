/* SPDX-License-Identifier: MIT */
#include "parser/serve.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "html/charset.h"
#include "html/frame.h"
#include "html/scan.h"
#include "parser/extract.h"
#include "parser/sandbox.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHECK_INPUT_MAX = 8 << 20, READ_BYTES = 65536, KEEP_BYTES = 1 << 20 };

struct server {
	int fd;
	struct buf in, out;
	struct extract_set *set;
};

static ssize_t read_some(int fd, struct buf *in, size_t want)
{
	char *at = buf_reserve(in, want);
	if (!at)
		return -1;
	ssize_t n;
	do {
		n = read(fd, at, want);
	} while (n == -1 && errno == EINTR);
	if (n > 0)
		in->len += (size_t)n;
	return n;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Decodes, finds links, evaluates; what cannot be done is said in the answer. */
static int take_apart(struct server *s, const struct parse_page *page, struct arena *arena,
	struct parse_answer *answer)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	struct err err = { 0 };
	if (!*page->content_type && !html_sniff(page->body, page->body_len)) {
		answer->outcome = PARSE_NO_HTML;
		return 0;
	}
	answer->charset = html_charset_detect(page->body, page->body_len, page->content_type);
	if (html_charset_to_utf8(answer->charset, page->body, page->body_len, &text) < 0)
		return err_set(&err, -ENOMEM, "no memory");
	int r = html_page_read(
		&answer->page, arena, buf_str(&text), text.len, page->url, HTML_LINKS_UNIQUE, &err);
	if (r < 0)
		return r;
	if (page->xpath_count == 0)
		return 0;
	if (answer->page.most_attrs > HTML_ATTRS_MAX)
		r = err_set(&err, -E2BIG, "a tag with more than %d attributes", HTML_ATTRS_MAX);
	else
		r = extract_values(s->set, page->xpaths, page->xpath_count, buf_str(&text),
			text.len, page->url, arena, answer->values, &err);
	if (r < 0) {
		answer->outcome = PARSE_PARTLY;
		answer->error = arena_strdup(arena, err.text);
	}
	return answer->error ? 0 : -ENOMEM;
}

static int do_page(struct server *s, const char *body, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct parse_page page;
	if (!arena || !s->set || parse_get_page(&page, arena, body, len) < 0)
		return -EPROTO;
	sandbox_rearm();
	struct parse_answer answer = {
		.outcome = PARSE_OK,
		.error = "",
		.charset = "",
		.values = arena_alloc(arena, (page.xpath_count + 1) * sizeof(*answer.values)),
		.value_count = page.xpath_count,
	};
	if (!answer.values || take_apart(s, &page, arena, &answer) < 0)
		return -ENOMEM;
	parse_put_answer(&s->out, &answer);
	return buf_failed(&s->out) ? -ENOMEM : 0;
}

static int do_setup(struct server *s, const char *body, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct parse_setup setup;
	struct err err = { 0 };
	if (!arena || parse_get_setup(&setup, arena, body, len) < 0)
		return -EPROTO;
	sandbox_rearm();
	extract_set_free(TAKE(s->set));
	s->set = extract_compile(setup.xpaths, setup.count, &err);
	if (!s->set)
		return -ENOMEM;
	parse_put_ready(&s->out, err.text);
	return 0;
}

static int answer_frame(struct server *s, enum parse_frame type, const char *body, size_t len)
{
	int r = -EPROTO;
	buf_reset(&s->out);
	if (type == PARSE_SETUP)
		r = do_setup(s, body, len);
	else if (type == PARSE_PAGE)
		r = do_page(s, body, len);
	return r < 0 ? r : write_all(s->fd, buf_str(&s->out), s->out.len);
}

/* The frame is done with. A page of 10 MB must not stay for the life of the process. */
static void give_back(struct server *s, size_t frame)
{
	buf_consume(&s->in, frame);
	if (s->in.len || s->in.cap + s->out.cap < KEEP_BYTES)
		return;
	buf_finish(&s->in);
	buf_finish(&s->out);
	malloc_trim(0);
}

int serve(int fd)
{
	struct server s = { .fd = fd,
		.in = { .max = PARSE_FRAME_MAX + READ_BYTES },
		.out = { .max = PARSE_FRAME_MAX } };
	enum parse_frame type;
	const char *body;
	size_t body_len;
	int code = 1;
	for (;;) {
		int r = parse_frame_peek(buf_str(&s.in), s.in.len, &type, &body, &body_len);
		if (r < 0)
			break;
		if (r > 0) {
			if (answer_frame(&s, type, body, body_len) < 0)
				break;
			give_back(&s, PARSE_HEADER + body_len);
			continue;
		}
		ssize_t n = read_some(fd, &s.in, READ_BYTES);
		code = n == 0 && s.in.len == 0 ? 0 : 1;
		if (n <= 0)
			break;
	}
	buf_finish(&s.in);
	buf_finish(&s.out);
	extract_set_free(s.set);
	return code;
}

int serve_check(int in, int out)
{
	CLEANUP(buf_finish) struct buf text = { .max = CHECK_INPUT_MAX };
	CLEANUP(buf_finish) struct buf answer = BUF_INIT;
	ssize_t n;
	while ((n = read_some(in, &text, READ_BYTES)) > 0)
		;
	if (n < 0 || (text.len && text.data[text.len - 1] != '\0'))
		return 1;
	for (const char *p = buf_str(&text), *end = p + text.len; p < end; p += strlen(p) + 1) {
		struct err err = { 0 };
		size_t offset;
		if (extract_check(p, &offset, &err) == 0)
			buf_add_str(&answer, "ok\n");
		else
			buf_addf(&answer, "error %zu %s\n", offset, err.text);
	}
	return buf_failed(&answer) || write_all(out, buf_str(&answer), answer.len) < 0;
}
