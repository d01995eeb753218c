/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The children that we started, and whether there are others. droverd is the subreaper of all that
 * it starts: who loses its parent comes to it. So when a main process that we started has ended and
 * we have no child but those that we know, nothing of its tree lives; that costs one read instead
 * of a look at every process there is. Whoever was started by an earlier supervisor is not ours,
 * and of it this proves nothing.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct children;

/** @return NULL when out of memory */
struct children *children_new(void);
void children_free(struct children *children); /* NULL is fine */
/** Room for one more: children_add() cannot fail after it. @return 0, -ENOMEM */
int children_reserve(struct children *children) MUST_CHECK;
void children_add(struct children *children, pid_t pid);
/** Its end was told, or it is none of ours; one that is unknown is fine. */
void children_remove(struct children *children, pid_t pid);
bool children_has(const struct children *children, pid_t pid);
/**
 * Is every living child known? Asked for after ends that were told in this turn of the loop or
 * before it: what was read in the same turn serves all of them.
 * @param turn   loop_turn()
 * @param known  of one that was not added: is it known otherwise? May be NULL
 * @return false also when it cannot be told
 */
bool children_are_known(
	struct children *children, uint64_t turn, bool (*known)(void *arg, pid_t pid), void *arg);
/** Is this the only living child at most, and of those that we added the end told of each? @return
 * false also when it cannot be told */
bool children_none_but(struct children *children, pid_t pid);
