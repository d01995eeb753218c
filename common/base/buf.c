/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_finish(struct buf *b)
{
	size_t max = b->max;
	free(b->data);
	*b = (struct buf) { .max = max };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t len)
{
	if (b->failed)
		return NULL;
	if (len > SIZE_MAX / 4 || b->len > SIZE_MAX / 4 || (b->max && b->len + len > b->max)) {
		b->failed = true;
		return NULL;
	}
	size_t need = b->len + len + 1;
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 64;
		while (cap < need)
			cap *= 2;
		char *grown = realloc(b->data, cap);
		if (!grown) {
			b->failed = true;
			return NULL;
		}
		b->data = grown;
		b->cap = cap;
	}
	b->data[b->len] = '\0';
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *at = buf_reserve(b, len);
	if (!at)
		return;
	if (len)
		memcpy(at, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	char *at = buf_reserve(b, 1);
	if (!at)
		return;
	*at = c;
	b->len++;
	at[1] = '\0';
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	/* Mostly what is there is room enough. */
	char *at = buf_reserve(b, 0);
	size_t room = at ? b->cap - b->len : 0;
	int n = vsnprintf(at, room, fmt, ap);
	if (n >= 0 && (size_t)n >= room && (at = buf_reserve(b, (size_t)n)))
		vsnprintf(at, (size_t)n + 1, fmt, again);
	if (n >= 0 && at && !(b->max && b->len + (size_t)n > b->max))
		b->len += (size_t)n;
	else
		b->failed = true;
	if (b->data)
		b->data[b->len] = '\0';
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		b->len = 0;
	} else {
		memmove(b->data, b->data + len, b->len - len);
		b->len -= len;
	}
	if (b->data)
		b->data[b->len] = '\0';
}

char *buf_detach(struct buf *b)
{
	if (!b->failed && !b->data)
		buf_reserve(b, 0);
	if (b->failed) {
		buf_finish(b);
		return NULL;
	}
	char *data = b->data;
	*b = (struct buf) { .max = b->max };
	return data;
}
