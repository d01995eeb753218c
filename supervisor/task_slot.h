/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Commands of jobs, which the scheduler has us run: each in a slot of its own that lives as long as
 * its task needs it. It is an ordinary slot that is started once; its record keeps how it ended
 * until the scheduler has committed that.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_job;
struct message;
struct process;
struct record;
struct supervisor;

/** EXEC_START, EXEC_STOP, EXEC_FORGET, EXEC_SYNC */
void task_slot_message(struct supervisor *sv, const struct message *m);
/** Once a turn: the ends that are new are told. */
void task_slots_look(struct supervisor *sv);
/** The configuration is another one: their commands go on. */
void task_slots_configure(struct supervisor *sv);
/** An earlier droverd's record is of such a slot: makes it. @return NULL: it is none, or there is
 * no memory for it */
struct process *task_slot_restore(struct supervisor *sv, const struct record *r);
/** What was left of it: lives, is to be started still, or ended. r NULL: all ended in order. */
void task_slot_settle(struct process *p, const struct record *r);
/** Before its command is started: its log says so. */
void task_slot_say_start(const struct process *p);
/** It ended, and waits to be forgotten: shown to nobody. */
bool task_slot_is_over(const struct process *p);
/** The job of this name, if its runs are commands; NULL. */
const struct config_job *task_slot_job(const struct supervisor *sv, const char *name);
