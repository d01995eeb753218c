/* SPDX-License-Identifier: MIT */
#pragma once
/* How far a task is, as its checkpoint keeps it. */
#include "base/compiler.h"
#include <stdint.h>

struct buf;
struct err;

/* A token is a cursor, or the URL of a page. */
enum { TOKEN_MAX = 8192, POSITION_HASH = 17, POSITION_NONE = -1 };

/**
 * Every page before `page` is stored, and so are the first `records` records of it. As a
 * checkpoint: {"page":3,"records":40,"seen":200,"last":"0123456789abcdef",...}; what is empty or 0
 * is left out.
 */
struct position {
	int64_t page, records;
	int64_t seen;		  /* records of all pages before */
	char last[POSITION_HASH]; /* hash of the page before, "" on the first */
	char mark[POSITION_HASH]; /* of the first, second, fourth, eighth... page: whoever goes in
				     a circle meets it again */
	char token_mark[POSITION_HASH]; /* of the token that led from there, in the same way */
	/* Of incremental jobs, POSITION_NONE: not known; until: the window's end, POSITION_NONE:
	   there is none; high: the highest cursor so far. */
	int64_t since, until, high;
	const char *token; /* that leads to `page`; NULL: none. Borrowed, but for position_read() */
};

/** A task without a checkpoint begins at the job's first page; a bare number is a page. *token is
 * what out->token points to, for free(). @return 0, -EINVAL, -ENOMEM */
int position_read(struct position *out, char **token, const char *checkpoint, int64_t first_page,
	struct err *err) MUST_CHECK;
void position_write(struct buf *out, const struct position *position);
