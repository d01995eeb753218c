/* SPDX-License-Identifier: MIT */
#pragma once
/* The real world behind a slot: one started process with its pidfd, channel and record. */
#include "process.h"
#include <stdbool.h>
#include <stdint.h>

struct channel;
struct loop_exit;
struct loop_io;
struct loop_timer;
struct record;
struct supervisor;

struct instance {
	struct process *process;
	struct supervisor *sv;
	pid_t pid; /* 0: an earlier supervisor's whose main process is gone */
	uint64_t start_time;
	char epoch[20]; /* of the supervisor that started it */
	int pidfd, error_fd;
	struct loop_exit *exit;
	struct loop_io *error_io;
	struct channel *channel;  /* workers, while it is open */
	struct loop_timer *lost;  /* the channel closed: soon its end must be told */
	bool greeted, configured; /* HELLO came; a CONFIG_RESULT was good */
};

extern const struct process_ops instance_ops;

/** What is left of an instance of an earlier supervisor, as its record (or NULL: only marks) tells.
 */
int instance_adopt(struct process *p, const struct record *record);
/** Signals and channel for others of the room. */
static inline bool instance_ready(const struct process *p)
{
	return p->instance && p->instance->configured && p->instance->channel;
}
/** Sends to the worker; false when it is away. */
bool instance_send(struct process *p, int id, const void *body, const int *fds, size_t fd_count);
void instance_owner(const struct process *p, char *out, size_t size);
