/* SPDX-License-Identifier: MIT */
#pragma once
/* Jobs by when they come up next: the first is found at once, however many there are. A job lies in
 * one heap at most, and knows in which. */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

struct timed_job;
struct job_heap_item {
	int64_t key;
	struct timed_job *job;
};
struct job_heap {
	struct job_heap_item *items;
	size_t count, cap;
};

/** Room for `count` jobs, so that job_heap_put() cannot fail. @return 0, -ENOMEM */
int job_heap_reserve(struct job_heap *heap, size_t count) MUST_CHECK;
/** Puts it in with its new key; takes it out of where it was. */
void job_heap_put(struct job_heap *heap, struct timed_job *job, int64_t key);
/** Takes it out of the heap it is in, if any. */
void job_heap_remove(struct timed_job *job);
/** The first, NULL when there is none; it stays in. */
struct timed_job *job_heap_first(const struct job_heap *heap);
void job_heap_finish(struct job_heap *heap);
