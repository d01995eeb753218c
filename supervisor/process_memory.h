/* SPDX-License-Identifier: MIT */
#pragma once
/* What a slot is told because of memory, or because the operator wants it to rest. */
#include "memory_policy.h"
#include "process.h"
#include <stdbool.h>
#include <stdint.h>

/** Bytes that its tree may hold; 0: any. */
int64_t process_memory_limit(const struct process *p);
/** A look at its tree while it runs. Workers are told what follows from it and from the machine's
 * level; what has reached its limit is restarted. */
void process_judge_memory(
	struct process *p, int64_t bytes, enum memory_level level, enum memory_level machine);
/** A worker gives memory back; process_trimmed() tells that it has. False: it is away. */
bool process_trim(struct process *p);
void process_trimmed(struct process *p, uint64_t seq, int64_t before, int64_t after);
/** By the operator: takes no new tasks, over restarts too, until told otherwise. */
void process_drain(struct process *p, bool drain);
/** A worker's instance is there, and has no configuration yet: what the slot is told counts for it
 * too, from its first task on. */
void process_greets(struct process *p);
/** A worker says that it takes no tasks and holds none (any more). */
void process_rests(struct process *p, bool rests);
/** It holds no task and will take none: what a drain wants. */
bool process_is_drained(const struct process *p);
