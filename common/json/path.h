/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Dotted paths into JSON: `response.body.items.item`, `a.b[0].c`, `list[-1]`, `list[*].id`, `$` or
 * "" for the whole. A name is any text without `.`, `[`, `]`, quotes, control characters or blanks
 * at its ends; `*` alone is every member.
 */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

struct err;

enum { JSON_PATH_STEPS = 32, JSON_PATH_NAME = 255 };

enum json_step_kind { JSON_STEP_NAME, JSON_STEP_INDEX, JSON_STEP_ALL };
struct json_step {
	enum json_step_kind kind;
	const char *name; /* NUL-terminated, UTF-8 */
	size_t name_len;
	int64_t index; /* negative: from the end */
};
struct json_path {
	size_t count;
	struct json_step steps[JSON_PATH_STEPS];
	char *text; /* as it was given */
	char *names;
};

/** NULL is the whole document. @return 0, -EINVAL with words, -ENOMEM. Free with json_path_free().
 */
int json_path_new(struct json_path **out, const char *text, struct err *err) MUST_CHECK;
/** One step by a name that is taken as it is, dots and brackets too; NULL, "" and "$" are the
 * whole.
 */
int json_path_of_name(struct json_path **out, const char *name, struct err *err) MUST_CHECK;
void json_path_free(struct json_path *path); /* NULL is fine */
DEFINE_FREEP(struct json_path, json_path)
