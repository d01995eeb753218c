/* SPDX-License-Identifier: MIT */
#pragma once
/* The real world behind a slot: one started process with its pidfd, channel and record. */
#include "contain.h"
#include "process.h"
#include "spawn.h"
#include <stdbool.h>
#include <stdint.h>

struct channel;
struct loop_exit;
struct loop_io;
struct loop_timer;
struct probe_exec;
struct probe_notify;
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
	struct channel *channel;     /* workers, while it is open */
	struct loop_timer *lost;     /* the channel closed: soon its end must be told */
	bool greeted, configured;    /* HELLO came; a CONFIG_RESULT was good */
	bool child;		     /* stands in sv->children */
	bool to_go_on;		     /* was told to end, and may be stopped */
	bool told;		     /* by instance_tell_end() */
	bool inherited;		     /* an earlier supervisor started it */
	int looks;		     /* how often we looked whether it is executed */
	struct probe_exec *exec;     /* services that are asked by a command; NULL: not yet */
	struct probe_notify *notify; /* services that speak for themselves */
};

/* A service's own, and what we add ourselves. */
enum { INSTANCE_ENVIRONMENT_MAX = ENVIRONMENT_MAX + 8 };
/* What a command of a slot is started with: the service's own, and its probe's. */
struct instance_plan {
	struct spawn_spec spec; /* without output, channel and record */
	const char **argv, **groups;
	struct spawn_variable environment[INSTANCE_ENVIRONMENT_MAX];
	char mark[64];
};
/**
 * @param label    whose marks it carries; borrowed until the plan is finished
 * @param command  borrowed alike; NULL: the worker's program
 * @return 0, -ENOMEM
 */
int instance_plan(struct instance_plan *plan, const struct process *p, const char *label,
	const struct config_strings *command) MUST_CHECK;
void instance_plan_finish(struct instance_plan *plan);
void instance_add_variable(struct instance_plan *plan, const char *name, const char *value);
/**
 * Every child that droverd has is known, and none of those that came to it can be of the tree with
 * this label: so nothing is left of what this droverd has started there, if its main process ended.
 */
bool instance_is_alone(const struct process *p, const char *label);
/** Where the present instance's tree is. */
struct contain_target instance_target(const struct process *p);

extern const struct process_ops instance_ops;

/** What is left of an instance of an earlier supervisor, as its record (or NULL: only marks) tells.
 * @return 0; -EMFILE, -ENFILE, -ENOMEM: whether it lives cannot be known */
int instance_adopt(struct process *p, const struct record *record);
/** Its main process's group gets the signal that ends it, now; terminate() knows that then. */
void instance_tell_end(struct process *p);
/** Told to end a while ago: lets it go on if it is stopped. */
void instance_go_on(struct process *p);
/** A service's child that we have no pipe from: tells process_ready() when it is executed. */
void instance_await_exec(struct process *p);
/** Signals and channel for others of the room. */
static inline bool instance_ready(const struct process *p)
{
	return p->instance && p->instance->configured && p->instance->channel;
}
/** Sends to the worker; false when it is away. */
bool instance_send(struct process *p, int id, const void *body, const int *fds, size_t fd_count);
void instance_owner(const struct process *p, char *out, size_t size);
