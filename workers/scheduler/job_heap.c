/* SPDX-License-Identifier: MIT */
#include "scheduler/job_heap.h"

#include "scheduler/ticker_inside.h"
#include <errno.h>
#include <stdlib.h>

/* Four children each: fewer levels, and the four lie side by side, with their keys: the jobs
 * themselves lie anywhere. */
enum { ARITY = 4 };

int job_heap_reserve(struct job_heap *h, size_t count)
{
	if (count <= h->cap)
		return 0;
	struct job_heap_item *items = reallocarray(h->items, count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	h->items = items;
	h->cap = count;
	return 0;
}

static void place(struct job_heap *h, size_t at, int64_t key, struct timed_job *j)
{
	h->items[at] = (struct job_heap_item) { key, j };
	j->place = at;
}

static void sift_up(struct job_heap *h, size_t at, int64_t key, struct timed_job *j)
{
	while (at > 0) {
		size_t parent = (at - 1) / ARITY;
		if (h->items[parent].key <= key)
			break;
		place(h, at, h->items[parent].key, h->items[parent].job);
		at = parent;
	}
	place(h, at, key, j);
}

static void sift_down(struct job_heap *h, size_t at, int64_t key, struct timed_job *j)
{
	for (;;) {
		size_t first = at * ARITY + 1, least = first;
		for (size_t c = first + 1; c < first + ARITY && c < h->count; c++)
			if (h->items[c].key < h->items[least].key)
				least = c;
		if (first >= h->count || h->items[least].key >= key)
			break;
		place(h, at, h->items[least].key, h->items[least].job);
		at = least;
	}
	place(h, at, key, j);
}

void job_heap_remove(struct timed_job *j)
{
	struct job_heap *h = j->heap;
	if (!h)
		return;
	size_t at = j->place;
	struct job_heap_item last = h->items[--h->count];
	j->heap = NULL;
	if (last.job == j)
		return;
	if (at > 0 && last.key < h->items[(at - 1) / ARITY].key)
		sift_up(h, at, last.key, last.job);
	else
		sift_down(h, at, last.key, last.job);
}

void job_heap_put(struct job_heap *h, struct timed_job *j, int64_t key)
{
	job_heap_remove(j);
	j->heap = h;
	j->key = key;
	sift_up(h, h->count++, key, j);
}

struct timed_job *job_heap_first(const struct job_heap *h)
{
	return h->count ? h->items[0].job : NULL;
}

void job_heap_finish(struct job_heap *h)
{
	free(h->items);
	*h = (struct job_heap) { 0 };
}
