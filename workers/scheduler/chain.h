/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the end of a run sets going: the job's next run that waits for it, and jobs that run after
 * it. Ends stand in the store until they are read here, a moment later, so that no crash loses one.
 */
struct chain;
struct scheduler;

struct chain *chain_new(struct scheduler *s); /* NULL: out of memory */
void chain_free(struct chain *chain);
/** The ticker has another configuration; the one before may be freed now. */
void chain_configure(struct chain *chain);
/** The store is ready; the ticker has its configuration. */
void chain_start(struct chain *chain);
void chain_stop(struct chain *chain);
/** Looks now, not only a moment later. */
void chain_look(struct chain *chain);
