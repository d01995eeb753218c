/* SPDX-License-Identifier: MIT */
#pragma once
/* What is asked for: URLs, and the place that a task has reached. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct plan;

/**
 * How far a task is: every page before `page` is stored, and so are the first `records` records of
 * it. As a checkpoint:
 * {"page":3,"records":40,"last":"0123456789abcdef","mark":"0123456789abcdef"}.
 */
struct position {
	int64_t page, records;
	char last[17]; /* hash of the page before, "" on the first */
	char mark[17]; /* of the first, second, fourth, eighth... page: whoever goes in a circle
			  meets it again */
};
enum { POSITION_TEXT = 128 };
/** A task without a checkpoint begins at the job's first page; a bare number is a page. @return 0,
 * -EINVAL */
int position_read(struct position *out, const char *checkpoint, int64_t first_page,
	struct err *err) MUST_CHECK;
char *position_write(char dst[POSITION_TEXT], const struct position *position);

/** A task's value, for {{NAME}}; NULL when the job has no for_each. Caller frees.
 * @return 0; -EINVAL: the task is of another configuration; -ENOMEM */
int request_value(
	char **out, const struct plan *plan, const char *payload, struct err *err) MUST_CHECK;
/** Appends text as it stands in a query or a form: percent-encoded but for the unreserved. */
void request_add_encoded(struct buf *out, const char *text);
/** The URL of a page; value NULL: none; caller frees. @return 0; -EINVAL with words that hold no
 * secret; -ENOMEM */
int request_url(char **out, const struct plan *plan, const char *value, int64_t page,
	struct err *err) MUST_CHECK;
/** "GET kto /areaBasedList2 type=12 page 3": for people; the URL itself may hold secrets. @return
 * dst */
char *request_name(
	char *dst, size_t size, const struct plan *plan, const char *value, int64_t page);
