/* SPDX-License-Identifier: MIT */
#pragma once
/* {{NAME}} in the texts of a job, which each task replaces by its own value. Pure. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct buf;

/* {{record.PATH}} of a field's value: what the record has there. */
#define TEMPLATE_RECORD "record."

/* One {{NAME}} of a text; blanks inside the braces do not count. */
struct template_place {
	const char *begin, *end; /* from the first brace to behind the last */
	const char *name;
	size_t len; /* of name, 0: there is none */
};
/** The first place in text; NULL text is fine. What has no closing braces is plain text. */
bool template_find(const char *text, struct template_place *out);
bool template_is(const struct template_place *place, const char *name);
/**
 * Appends text with the value instead of each {{name}}; `add` writes the value as its place demands
 * (buf_add_str: as it is). name NULL: text is copied.
 */
void template_expand(struct buf *out, const char *text, const char *name, const char *value,
	void (*add)(struct buf *out, const char *value));
