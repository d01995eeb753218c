/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The scheduler: decides when, turns due times into runs and tasks, frees the tasks of the dead,
 * answers for jobs, runs and tasks. It fetches nothing. State is in the store alone: a scheduler
 * may die between any two statements.
 */
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>

struct answers;
struct config;
struct config_job;
struct loop;
struct store;
struct ticker;
struct worker;
struct worker_ops;

extern const struct worker_ops scheduler_ops;

struct scheduler {
	struct worker *worker;
	struct loop *loop;
	struct store *store;
	struct ticker *ticker;
	struct answers *answers;
	struct loop_timer *retry;  /* of the start-up steps */
	struct loop_timer *leases; /* looks for expired ones */
	struct list gone;	   /* dead owners whose tasks are being freed */
	bool ready;		   /* schema is there, earlier owners' tasks are free */
};

/** Tells the workers of a kind that there is work. */
void scheduler_wake(struct scheduler *s, const char *kind);
