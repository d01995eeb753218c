/* SPDX-License-Identifier: MIT */
#pragma once
/* A growing byte buffer, always NUL-terminated once it holds anything. Errors stick: check
 * buf_failed() once at the end. */
#include "base/compiler.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL while empty and never grown */
	size_t len, cap;
	size_t max; /* bytes it may hold, 0 = no bound */
	bool failed;
};

#define BUF_INIT  \
	{         \
		0 \
	}

void buf_finish(struct buf *b); /* frees the memory; b can be used again */
/** Empties it, keeps the memory, forgets an error. */
void buf_reset(struct buf *b);
/** Appends. On no memory or over max nothing is appended and `failed` is set. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_addv(struct buf *b, const char *fmt, va_list ap);
/** Makes room for len more bytes and returns where they go; the caller then adds what it wrote to
 * b->len. NULL on failure. */
char *buf_reserve(struct buf *b, size_t len);
/** Drops len bytes from the front. */
void buf_consume(struct buf *b, size_t len);
static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}
/** The text, "" when empty; valid until the next change. */
static inline const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}
/** Ownership of the memory leaves; NULL when it failed. The buffer is empty afterwards. Caller
 * frees. */
char *buf_detach(struct buf *b);
