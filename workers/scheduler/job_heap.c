/* SPDX-License-Identifier: MIT */
#include "scheduler/job_heap.h"

#include "scheduler/ticker_inside.h"
#include <errno.h>
#include <stdlib.h>

/* Four children each: fewer levels, and the four lie side by side. */
enum { ARITY = 4 };

int job_heap_reserve(struct job_heap *h, size_t count)
{
	if (count <= h->cap)
		return 0;
	struct timed_job **items = reallocarray(h->items, count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	h->items = items;
	h->cap = count;
	return 0;
}

static void place(struct job_heap *h, size_t at, struct timed_job *j)
{
	h->items[at] = j;
	j->place = at;
}

static void sift_up(struct job_heap *h, size_t at, struct timed_job *j)
{
	while (at > 0) {
		size_t parent = (at - 1) / ARITY;
		if (h->items[parent]->key <= j->key)
			break;
		place(h, at, h->items[parent]);
		at = parent;
	}
	place(h, at, j);
}

static void sift_down(struct job_heap *h, size_t at, struct timed_job *j)
{
	for (;;) {
		size_t first = at * ARITY + 1, least = first;
		for (size_t c = first + 1; c < first + ARITY && c < h->count; c++)
			if (h->items[c]->key < h->items[least]->key)
				least = c;
		if (first >= h->count || h->items[least]->key >= j->key)
			break;
		place(h, at, h->items[least]);
		at = least;
	}
	place(h, at, j);
}

void job_heap_remove(struct timed_job *j)
{
	struct job_heap *h = j->heap;
	if (!h)
		return;
	size_t at = j->place;
	struct timed_job *last = h->items[--h->count];
	j->heap = NULL;
	if (last == j)
		return;
	if (at > 0 && last->key < h->items[(at - 1) / ARITY]->key)
		sift_up(h, at, last);
	else
		sift_down(h, at, last);
}

void job_heap_put(struct job_heap *h, struct timed_job *j, int64_t key)
{
	job_heap_remove(j);
	j->heap = h;
	j->key = key;
	sift_up(h, h->count++, j);
}

struct timed_job *job_heap_first(const struct job_heap *h)
{
	return h->count ? h->items[0] : NULL;
}

void job_heap_finish(struct job_heap *h)
{
	free(h->items);
	*h = (struct job_heap) { 0 };
}
