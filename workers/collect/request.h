/* SPDX-License-Identifier: MIT */
#pragma once
/* What is asked for: URLs. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct collect_paginate;
struct err;
struct plan;
struct position;

/** Appends text as it stands in a query or a form: percent-encoded but for the unreserved. */
void request_add_encoded(struct buf *out, const char *text);
/** The URL of a page; value NULL: none; caller frees. @return 0; -EINVAL with words that hold no
 * secret; -ENOMEM */
int request_url(char **out, const struct plan *plan, const char *value, const struct position *at,
	struct err *err) MUST_CHECK;
/* What makes a page's request that page's, in its URL or body. */
struct page_argument {
	const char *name, *value;
	bool number; /* the value is one by its nature */
	char digits[24];
};
enum { PAGE_ARGUMENTS = 2 };
/** They point into paginate, at and themselves. @return how many */
size_t request_page(struct page_argument out[PAGE_ARGUMENTS],
	const struct collect_paginate *paginate, const struct position *at);
/** "GET kto /areaBasedList2 type=12 page 3": for people; the URL itself may hold secrets. @return
 * dst */
char *request_name(
	char *dst, size_t size, const struct plan *plan, const char *value, int64_t page);
