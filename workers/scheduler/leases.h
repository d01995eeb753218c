/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Frees tasks whose lease ended, every 5 s. Leases are instants of the wall clock: after it was
 * set, or the machine slept, holders elsewhere, to whom the same may have happened, first get the
 * time to renew theirs.
 */
struct leases;
struct scheduler;

/** NULL: out of memory. */
struct leases *leases_new(struct scheduler *scheduler);
void leases_free(struct leases *leases); /* NULL is fine */
void leases_start(struct leases *leases);
void leases_stop(struct leases *leases);
/** What the timer does, for tests too. */
void leases_look(struct leases *leases);
