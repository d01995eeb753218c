/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A JSON text a line. A line that is none is rejected whole, with its reason; the next one is read.
 */
#include "record/reader.h"

struct ndjson;
/** @return 0; -EINVAL with words, of the path; -ENOMEM */
int ndjson_new(struct ndjson **out, const struct json_path *path, const struct record_ops *ops,
	void *arg, struct err *err) MUST_CHECK;
void ndjson_free(struct ndjson *ndjson);
void ndjson_restart(struct ndjson *ndjson);
/** As record_reader_feed(), _end(). */
int ndjson_feed(struct ndjson *ndjson, const char *data, size_t len, struct err *err) MUST_CHECK;
int ndjson_end(struct ndjson *ndjson, struct err *err) MUST_CHECK;

enum { NDJSON_LINE_MAX = 1024 * 1024 };
