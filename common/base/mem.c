/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int mem_grow(void **array, size_t *cap, size_t n, size_t element_size)
{
	if (n < *cap)
		return 0;
	size_t want = *cap ? *cap * 2 : 8;
	if (want <= n)
		want = n + 1;
	if (want > SIZE_MAX / element_size)
		return -ENOMEM;
	void *grown = realloc(*array, want * element_size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = want;
	return 0;
}

void mem_wipe_free(char *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}
