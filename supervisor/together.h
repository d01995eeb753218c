/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Hundreds whose turn to end comes at the same time, in a shutdown: all are put on record by one
 * write and told to end before anything else is done for any of them, so that they die beside that
 * work and not behind it.
 */
#include <stdbool.h>
#include <stddef.h>

struct process;

/** process_ops.end_together. Those that cannot go along are ended by themselves when they take
 * their turn. */
void together_end(struct process *const *processes, size_t count);
/** While hundreds die: the processor that we are on is ours before theirs, if we may ask for that.
 */
void together_hurry(bool on);
