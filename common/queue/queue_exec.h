/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Tasks of kind exec: droverd runs their commands, and a command outlives the scheduler that
 * claimed its task. So no death of an owner and no lease frees them on their own host; the next
 * scheduler there takes them over, at the same fence.
 */
#include "queue/queue.h"
#include <stdbool.h>

#define QUEUE_EXEC "exec"

struct taken_task {
	struct task *task; /* the callback's to free */
	bool same_epoch;   /* claimed under the droverd that runs now */
};
typedef void (*queue_taken)(
	void *arg, enum queue_status status, const struct taken_task *tasks, size_t count);
/** All claimed exec tasks of this node become our owner's. arg: as queue_migrate(). */
void queue_exec_take_over(
	struct queue *q, const char *node, const char *epoch, queue_taken cb, void *arg);

struct held_task {
	int64_t id, fence;
};
typedef void (*queue_held)(
	void *arg, enum queue_status status, const struct held_task *tasks, size_t count);
/** What our owner holds: a task that is missing was cancelled. */
void queue_exec_held(struct queue *q, queue_held cb, void *arg);
/** Tasks of other nodes whose lease ended: as queue_free_expired(). */
void queue_exec_free_elsewhere(
	struct store *store, const char *node, int64_t now_ms, queue_cb cb, void *arg);
