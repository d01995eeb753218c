/* SPDX-License-Identifier: MIT */
#pragma once
/* All that is sent to ask for one page: URL, headers, body. It may hold secrets: nothing of it is
 * logged. */
#include "base/compiler.h"
#include "config/field.h"
#include <stdint.h>

struct arena;
struct err;
struct plan;
struct position;

struct call {
	struct arena *arena; /* of all below */
	const char *method, *url;
	struct config_pairs headers;
	const char *body; /* NULL: none */
	size_t body_len;
	bool once; /* must not be received twice */
};

/** @param value  for_each's, NULL: none
 * @return 0 and what call_finish() frees; -EINVAL with words that hold no secret; -ENOMEM */
int call_init(struct call *out, const struct plan *plan, const char *value,
	const struct position *at, struct err *err) MUST_CHECK;
void call_finish(struct call *call); /* an empty one is fine */
