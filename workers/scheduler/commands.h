/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Tasks of kind exec: claimed and owned here, their commands run by droverd. A task stays claimed
 * until droverd has told how its command ended and that is committed; only then droverd forgets it.
 * The next scheduler takes over what this one leaves.
 */
#include "base/compiler.h"
#include "ipc/messages.h"

struct commands;
struct config;
struct scheduler;

struct commands *commands_new(struct scheduler *s); /* NULL: out of memory */
void commands_free(struct commands *c);		    /* NULL is fine */
/** Takes up a configuration. */
void commands_configure(struct commands *c, const struct config *config);
/** The store is ready: takes over what an earlier scheduler left, then claims. */
void commands_start(struct commands *c);
/** The tables are gone: nothing is known until commands_start(). */
void commands_stop(struct commands *c);
/** There may be tasks. */
void commands_wake(struct commands *c);
/** Claims no more; done(arg) when no claim is under way. */
void commands_drain(struct commands *c, void (*done)(void *arg), void *arg);
/** EXEC_STARTED, EXEC_ENDED */
void commands_message(struct commands *c, const struct message *m);
