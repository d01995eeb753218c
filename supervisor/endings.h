/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One file in runtime_dir: which instances a shutdown is ending. A write for all whose turn comes
 * at the same time stands for a slot record of each; what it says of an instance that its own
 * record takes for running is as good as one. Blocks are appended, each checksummed, and all that
 * follows one that does not check out counts for nothing. Entries carry the incarnation, so one
 * that is old says nothing of the next instance.
 */
#include "base/compiler.h"
#include "records.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ending {
	char name[RECORD_NAME_SIZE];
	uint64_t incarnation;
};
struct endings {
	struct ending *list; /* sorted */
	size_t count;
};

/** Adds these, of which the bytes behind a name are 0, to the file at once.
 * @param mark  of the runtime directory
 * @return 0 or negative errno: none of them counts as noted */
int endings_note(
	int runtime_fd, const char *mark, const struct ending *list, size_t count) MUST_CHECK;
/** All that were noted in this boot. @return 0; -EMFILE, -ENFILE, -ENOMEM: it could not be read.
 * endings_finish() frees them. */
int endings_read(struct endings *out, int runtime_fd, const char *mark) MUST_CHECK;
bool endings_has(const struct endings *endings, const char *name, uint64_t incarnation);
/** Makes what the record says what it would say, had it been written at its end's beginning. */
void endings_apply(const struct endings *endings, struct record *record);
void endings_finish(struct endings *endings);
/** Every slot record says by itself what counts. */
void endings_forget(int runtime_fd);
