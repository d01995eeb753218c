/* SPDX-License-Identifier: MIT */
#pragma once
/* Memory for things that die together: one configuration, one message, one page. */
#include "base/compiler.h"
#include <stddef.h>

struct arena;

/** @param max_bytes  allocations beyond this total fail (bounds input, X1); 0 = no bound. NULL on
 * failure. */
struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena *arena);
DEFINE_FREEP(struct arena, arena)
/** Zeroed, aligned for any type; NULL when out of memory or over the bound. */
void *arena_alloc(struct arena *arena, size_t size);
/** The same, for what is filled in at once: its content is undefined. */
void *arena_alloc_raw(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *s);
/** Copies len bytes and adds a NUL. */
char *arena_strndup(struct arena *arena, const char *s, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Bytes handed out so far. */
size_t arena_used(const struct arena *arena);
