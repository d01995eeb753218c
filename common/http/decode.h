/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Takes Content-Encoding off a body as it comes: gzip, deflate, br, zstd, and one inside another.
 * libcurl could, but gives out what a cut off answer had as if it were whole, and fills memory when
 * it is paused. What follows the end of the packed data is ignored, as browsers do.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct err;
struct http_decoder;

/* For Accept-Encoding. */
#define HTTP_CODINGS "gzip, br, zstd, deflate"
enum { HTTP_DECODED_PIECE = 16384, HTTP_CODINGS_MAX = 3 };

/**
 * @param coding  the header's value; NULL, "" and identity: *out is NULL
 * @param sink  gets what is unpacked, at most HTTP_DECODED_PIECE bytes at a time; false: stop
 * @return 0; -EINVAL a coding that nobody asked for, with words; -ENOMEM
 */
int http_decoder_new(struct http_decoder **out, const char *coding,
	bool (*sink)(void *arg, const char *data, size_t len), void *arg,
	struct err *err) MUST_CHECK;
void http_decoder_free(struct http_decoder *decoder); /* NULL is fine */
/** @return 0; -EINVAL broken, with words; -ECANCELED the sink said so; -ENOMEM */
int http_decoder_feed(
	struct http_decoder *decoder, const char *data, size_t len, struct err *err) MUST_CHECK;
/** The body is over. @return 0; -EINVAL it ends too early */
int http_decoder_end(const struct http_decoder *decoder, struct err *err) MUST_CHECK;
