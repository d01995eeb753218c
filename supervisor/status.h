/* SPDX-License-Identifier: MIT */
#pragma once
/* What status shows (spec section 12), as JSON without secrets. */
#include <stddef.h>

struct json_out;
struct process;
struct supervisor;

/** Member "supervisor". */
void status_supervisor(struct json_out *j, const struct supervisor *sv);
/** One element of "processes". */
void status_process(struct json_out *j, struct process *p);
/** Member "history": the slot's last events, oldest first. */
void status_history(struct json_out *j, const struct process *p);

struct status_counts {
	int up;
	int starting; /* or stopping */
	int down;
	int failing; /* failed or stuck */
	int leaving; /* down, and no longer configured */
	int waiting; /* for their turn to go down, or for what they need to come up */
};
/** How many slots are in which state; is asked after every change. */
struct status_counts status_count(const struct supervisor *sv);
/** In words, for the service manager. */
void status_write_counts(
	const struct supervisor *sv, const struct status_counts *counts, char *out, size_t size);
