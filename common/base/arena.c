/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8192, ALIGNMENT = 16 };

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(ALIGNMENT) char data[];
};

struct arena {
	struct block *head;
	size_t used, max;
};

struct arena *arena_new(size_t max_bytes)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	if (arena)
		arena->max = max_bytes;
	return arena;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	for (struct block *b = arena->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(arena);
}

static size_t rounded(size_t size)
{
	return MAX((size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1), (size_t)ALIGNMENT);
}

static bool fits(const struct arena *arena, size_t size)
{
	return size <= SIZE_MAX / 2 &&
	       (!arena->max || rounded(size) <= arena->max - MIN(arena->max, arena->used));
}

/* A big one goes behind the head, which may still have room for small ones. */
static void add_block(struct arena *arena, struct block *b, size_t size)
{
	struct block **at = arena->head && size > BLOCK_BYTES / 2 ? &arena->head->next
								  : &arena->head;
	b->next = *at;
	*at = b;
}

void *arena_alloc_raw(struct arena *arena, size_t size)
{
	if (!fits(arena, size))
		return NULL;
	size = rounded(size);
	struct block *b = arena->head;
	if (!b || b->size - b->used < size) {
		size_t room = MAX(size, (size_t)BLOCK_BYTES);
		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		b->size = room;
		b->used = 0;
		add_block(arena, b, size);
	}
	void *p = b->data + b->used;
	b->used += size;
	arena->used += size;
	return p;
}

/* A piece is zeroed, not its block: mostly little of that gets used. */
void *arena_alloc(struct arena *arena, size_t size)
{
	void *p = arena_alloc_raw(arena, size);
	return p ? memset(p, 0, rounded(size)) : NULL;
}

char *arena_strndup(struct arena *arena, const char *s, size_t len)
{
	char *copy = arena_alloc_raw(arena, len + 1);
	if (copy) {
		memcpy(copy, s, len);
		copy[len] = '\0';
	}
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_strndup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = NULL;
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	char *copy = arena_strndup(arena, text, (size_t)n);
	free(text);
	return copy;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
