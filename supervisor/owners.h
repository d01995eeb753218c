/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Dead owners of tasks. Each is told to the scheduler until it says that the owner's tasks are
 * free; what the scheduler never hears of is freed when its leases end.
 */
struct owners;
struct supervisor;

struct owners *owners_new(struct supervisor *sv);
void owners_free(struct owners *owners);
/** An owner's whole tree is gone. */
void owners_gone(struct owners *owners, const char *owner);
/** The scheduler freed its tasks. */
void owners_freed(struct owners *owners, const char *owner);
/** A scheduler is ready: it hears of all that are not freed. */
void owners_tell_all(struct owners *owners);
