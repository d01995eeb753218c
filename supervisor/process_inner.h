/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of process.h share with each other and with nobody else. */
#include "process_fsm.h"
#include "restart_policy.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct process;

/* process.c */
/** Drives the table. */
void process_feed(struct process *p, enum process_event event);
void process_remember(struct process *p, const char *event, const char *reason, const char *detail);
/** It is ended for a failure. On record with the next step: the next supervisor may find it dead.
 */
void process_end_for(struct process *p, enum start_cause cause);
/** The main process ended; info NULL: how is unknown. */
void process_note_end(struct process *p, const siginfo_t *info);

/* process_left.c */
/** ACT_ADOPT */
void process_take_up(struct process *p);

/* process_due.c */
/** The stamp of a start that begins now: CLOCK_BOOTTIME, ms. */
int64_t process_interval_stamp_ms(void);
/** The start for this cause is due when the policy says. */
void process_schedule(struct process *p, enum start_cause cause);
/** due_ms was drawn and shown before (-1: not) and holds, unless the rules are others now. */
void process_keep_due(struct process *p, enum start_cause cause, int64_t due_ms);
void process_wait_until_due(struct process *p);
void process_say_held(struct process *p, enum start_cause cause);
/** ACT_START_LATER */
void process_start_later(struct process *p);
/** ACT_RETRY_LATER */
void process_retry_later(struct process *p);
/** It runs, and must not for long: ends it now, or holds its restart for this cause. */
void process_replace(struct process *p, enum start_cause cause);
/** Its restart is held; next_cause says what for. */
bool process_held_for(const struct process *p, enum start_cause cause);
/** The interval was old_interval_ms, p->rules are the new ones. */
void process_adjust_due(struct process *p, int64_t old_interval_ms);

/* process_trouble.c */
/** The time to become ready is over: says what it did not get over. @return false: it is executed,
 * and that is all that is asked of it */
bool process_note_late(struct process *p);
