/* SPDX-License-Identifier: MIT */
#pragma once
/* The arguments of a question (ipc/control.def): a JSON object, judged key by key. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	ARGS_TIMES_MAX = 1000,
	ARGS_TIMES_DEFAULT = 5,
	ARGS_RUNS_MAX = 10000,
	ARGS_RUNS_DEFAULT = 20
};

struct args {
	void *json;		/* what the texts below live in */
	const char *job;	/* NULL: not given; the name of a job */
	const char *request_id; /* 1..128 printable ASCII characters */
	const char *partition;	/* NULL: not given; a value of for_each */
	int64_t id;		/* 0: not given */
	int64_t before;		/* 0: not given */
	int64_t n, limit;	/* limit of dead 0: none */
	int64_t from_ms;	/* INT64_MIN: not given */
	bool all;
};

/**
 * Takes an empty text for {}. Unknown keys, keys given twice, wrong types and ranges are errors,
 * and so is the absence of what the verb needs.
 * @return 0 and *out for args_finish(); -EINVAL with words
 */
int args_parse(struct args *out, const char *verb, const char *text, size_t len,
	struct err *err) MUST_CHECK;
void args_finish(struct args *args);
