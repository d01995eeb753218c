/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How much memory the tree of a slot holds, from /proc. The quick look takes each process's
 * resident memory; what a process shares with files and others (its program, libraries, shared
 * segments) is counted once for the tree, not once for each. Pages that a fork has in common with
 * its parent until one of them writes cannot be told apart that way, so a tree of several looks
 * larger than it is: the exact look asks the kernel for each one's proportional share. That walks
 * its page tables and may have to wait for it, so it is for where something hangs on it.
 */
#include "contain.h"
#include <stdint.h>

struct tree_memory {
	int64_t bytes, main_bytes; /* of all; of the main process alone */
	int processes;
};

/** Living members only. @return false when there is none */
bool tree_memory_look(
	struct contain *contain, const struct contain_target *target, struct tree_memory *out);
/** The same with proportional shares; where they may not be read, resident memory. */
bool tree_memory_look_exactly(
	struct contain *contain, const struct contain_target *target, struct tree_memory *out);
/** Of the machine, in bytes. @return false when it is not known */
bool tree_memory_machine(int64_t *used, int64_t *total);
