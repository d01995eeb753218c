/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The scheduler: decides when, turns due times into runs and tasks, frees the tasks of the dead,
 * answers for jobs, runs and tasks. It fetches nothing. State is in the store alone: a scheduler
 * may die between any two statements.
 */
#include "base/list.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>

struct answers;
struct clock_steps;
struct chain;
struct commands;
struct config;
struct loop;
struct stats;
struct tables;
struct keeper;
struct leases;
struct ticker;
struct worker;
struct worker_ops;
struct zones;

extern const struct worker_ops scheduler_ops;

struct scheduler {
	struct worker *worker;
	struct loop *loop;
	struct store *store;
	struct ticker *ticker;
	struct clock_steps *clock_steps;
	struct keeper *keeper;
	struct zones *zones;
	struct chain *chain;
	struct answers *answers;
	struct tables *tables;
	struct commands *commands;
	struct stats *stats;	  /* of all processes here */
	struct loop_timer *retry; /* of the start-up steps */
	struct leases *leases;
	struct list gone;  /* dead owners whose tasks are being freed */
	char trouble[256]; /* what the store said last, "" while all is well */
	bool ready;	   /* schema is there, earlier owners' tasks are free */
};

/** Tells those who take the tasks of a kind that there is work. */
void scheduler_wake(struct scheduler *s, const char *kind);
/** Of the droverd that started us. */
void scheduler_epoch(const struct scheduler *s, char *epoch, size_t size);
/** What came of a transaction: logged when it changes; a store that refuses what was right before
 * is taken for a new one, whose tables are made again. */
void scheduler_store_said(struct scheduler *s, enum store_status status, const char *error);
