/* SPDX-License-Identifier: MIT */
#pragma once
/* Allocation helpers. A failed malloc is returned as NULL; overflow of n * size counts as failure.
 */
#include "base/compiler.h"
#include <stdlib.h>
#include <unistd.h>

static inline void freep(void *p)
{
	free(*(void **)p);
}
static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
/* CLEANUP(freep) char *s; CLEANUP(closep) int fd = -1; */

/** Zeroed object of a type, NULL on failure. */
#define NEW(type) ((type *)calloc(1, sizeof(type)))
/** Makes room for n + 1 elements, doubling. @return 0 or -ENOMEM; *array and *cap change on success
 * only. */
int mem_grow(void **array, size_t *cap, size_t n, size_t element_size) MUST_CHECK;
/** Wipes secrets in a way the compiler may not remove, then frees. NULL is fine. */
void mem_wipe_free(char *secret);
