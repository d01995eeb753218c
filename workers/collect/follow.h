/* SPDX-License-Identifier: MIT */
#pragma once
/* What a page says beside its records: cursor or next URL, total, whether there is more. Reads the
 * body as it comes. */
#include "base/buf.h"
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collect_paginate;
struct err;
struct follow;

/** @return 0; -EINVAL with words: a path is none; -ENOMEM */
int follow_new(
	struct follow **out, const struct collect_paginate *paginate, struct err *err) MUST_CHECK;
void follow_free(struct follow *follow); /* NULL is fine */
/** Forgets the page so far. */
void follow_restart(struct follow *follow);
/** A piece of the body; malformed text is left to whoever reads the records. @return 0, -ENOMEM */
int follow_feed(struct follow *follow, const char *data, size_t len, struct err *err) MUST_CHECK;

struct follow_words {
	const char *token; /* NULL: none */
	int64_t total;	   /* -1: not said */
	int more;	   /* -1: not said */
};
/** The body is complete. *out is valid until the restart. @return 0; -EINVAL: a value is not what
 * it should be, with words; -ENOMEM */
int follow_end(struct follow *follow, struct follow_words *out, struct err *err) MUST_CHECK;
