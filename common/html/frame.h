/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a crawl worker and its parser child say to each other over their socket pair: frames of a
 * length (32 bits, little endian, of what follows), a type byte and fields. One page is in flight
 * at a time. The child's answers are read as bytes from outside: every length is checked, and more
 * than PARSE_FRAME_MAX is refused.
 */
#include "base/compiler.h"
#include "html/page.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;
struct err;

enum {
	PARSE_BODY_MAX = 10 << 20,  /* bytes of a page before it is decoded */
	PARSE_FRAME_MAX = 24 << 20, /* of either direction */
	PARSE_VALUE_MAX = 1 << 20,  /* of one field's text; longer ones are cut */
	PARSE_VALUES_MAX = 4 << 20, /* of all fields of a page together */
	PARSE_XPATHS_MAX = 1024,    /* of a configuration */
	PARSE_HEADER = 5,	    /* length and type */
	PARSE_DEPTH_MAX = 512,	    /* of elements inside each other */
};
enum parse_frame {
	PARSE_SETUP = 1,  /* to the child: the expressions of a configuration */
	PARSE_READY = 2,  /* from it: compiled, closed off, waiting */
	PARSE_PAGE = 3,	  /* to it: take this apart */
	PARSE_ANSWER = 4, /* from it */
};

struct parse_setup {
	const char *const *xpaths;
	size_t count;
};
struct parse_page {
	const char *url, *content_type;
	const uint16_t *xpaths; /* indices into the setup's list */
	size_t xpath_count;
	const char *body;
	size_t body_len;
};
enum parse_outcome {
	PARSE_OK,
	PARSE_NO_HTML, /* the answer had no type and does not look like HTML */
	PARSE_PARTLY, /* links were read, no tree was made: `error` says why, all values are NULL */
};
struct parse_answer {
	enum parse_outcome outcome;
	const char *error; /* "" when fine */
	const char *charset;
	struct html_page page;
	const char **values; /* of each asked expression; NULL: it found nothing */
	size_t value_count;
};

/* Appends a whole frame. A failed buffer says that it did not fit. */
void parse_put_setup(struct buf *out, const struct parse_setup *setup);
void parse_put_ready(struct buf *out, const char *error);
void parse_put_page(struct buf *out, const struct parse_page *page);
void parse_put_answer(struct buf *out, const struct parse_answer *answer);

/**
 * Looks at the head of a frame. @return 1 whole (*type, *body and *body_len set), 0 more bytes are
 * needed, -EPROTO too long
 */
int parse_frame_peek(const char *data, size_t len, enum parse_frame *type, const char **body,
	size_t *body_len) MUST_CHECK;
/* Read what follows the header; strings are copied to the arena, a page's body is borrowed. @return
 * 0; -EPROTO; -ENOMEM */
int parse_get_setup(
	struct parse_setup *out, struct arena *arena, const char *body, size_t len) MUST_CHECK;
int parse_get_ready(
	const char **error, struct arena *arena, const char *body, size_t len) MUST_CHECK;
int parse_get_page(
	struct parse_page *out, struct arena *arena, const char *body, size_t len) MUST_CHECK;
int parse_get_answer(
	struct parse_answer *out, struct arena *arena, const char *body, size_t len) MUST_CHECK;
