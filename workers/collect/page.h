/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One page as it comes in: records become rows, rows become batches of at most store.batch, each
 * with the position that it brings the task to. Batches are held back until the page is whole, or
 * HELD_BYTES are held: a page that turns out to be a repetition, or breaks off, has stored nothing.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "collect/paginate.h"
#include "collect/position.h"
#include "collect/row.h"
#include "store/store.h"
#include <xxhash.h>

struct follow;
struct json_record;
struct record_charset;
struct record_reader;
struct plan;

enum { BATCH_ERRORS = 5, HELD_BYTES = 4 * 1024 * 1024 };

struct batch {
	struct list node;
	struct arena *arena; /* what values point to */
	struct store_value *values;
	size_t rows, cap;
	int64_t rejected, requests, bytes;
	char *errors[BATCH_ERRORS]; /* why the first were rejected */
	size_t error_count;
	struct position after; /* its token lives in the arena */
	bool closes;	       /* its page is whole with it */
	/* Tasks that it makes, and where the windows begin that they stand for; in the arena. */
	const char **children;
	size_t child_count;
	int64_t *windows;
	size_t window_count;
	bool fresh; /* windows of earlier runs are void */
};
struct batch *batch_new(void); /* NULL: no memory */
void batch_free(struct batch *batch);

struct page {
	const struct plan *plan;
	struct record_reader *reader;
	struct json_record *record;	/* the one at hand */
	struct record_charset *charset; /* before it */
	bool begun;			/* the body has */
	bool undeclared;		/* an XML that has not said what it is: */
	struct buf head;		/* its first bytes */
	struct row_context context;	/* set by the task */
	struct follow *follow;		/* NULL: nothing but records is looked at */
	struct position at;
	char *token;		/* at.token, when it is ours */
	int64_t seen;		/* records of the page so far */
	int64_t high, high_out; /* highest cursor so far, and of what was given out */
	int64_t cap;		/* what lies behind it is not believed */
	int64_t released; /* of these lie in batches that were given out, or are stored already */
	size_t held_bytes;
	struct batch *filling;
	struct list held;
	struct list *out; /* where batches go when they need not be held any longer */
	XXH64_state_t *hash;
	struct buf whole;	 /* of a planted bug: the body */
	struct err err;		 /* why reading stopped */
	struct err why;		 /* the record at hand is rejected */
	enum paginate_stop stop; /* which rule made it the last */
};

/** What comes with a page beside its body. */
struct page_origin {
	const char *url;   /* it was asked for here */
	const char *token; /* from the answer's headers; NULL: none there */
};

/** @param out  gets the batches, in order */
int page_init(
	struct page *page, const struct plan *plan, struct list *out, struct err *err) MUST_CHECK;
void page_finish(struct page *page);
/** at's token is copied. @return 0, -ENOMEM */
int page_begin(struct page *page, const struct position *at, struct err *err) MUST_CHECK;
/** A new try of the same page: what was not given out is forgotten. */
void page_restart(struct page *page);
/** What the answer says it is: before the first page_body(); without, it says nothing. */
void page_type(struct page *page, const char *content_type);
/** @return false: it makes no sense to read on, page->err says why */
bool page_body(struct page *page, const char *data, size_t len);
enum page_end {
	PAGE_MORE,     /* page->at is the next one */
	PAGE_LAST,     /* was the last one */
	PAGE_CUT,      /* the last one by max_pages */
	PAGE_STUCK,    /* is good, but leads back to an earlier one: page->err */
	PAGE_REPEATED, /* the same records as an earlier page; nothing of it was given out */
	PAGE_REFUSED,  /* page->err, and to ask again would not help */
	PAGE_BAD,      /* page->err */
};
/** The body is complete: gives the rest out, at least one batch (without rows perhaps) unless
 * REPEATED, REFUSED or BAD. page->stop is the rule that ends the task. */
enum page_end page_end(struct page *page, const struct page_origin *origin);
