/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Asks a service by a command, which runs as the service itself does: its user, directory and
 * environment. It is a child of droverd, one at a time for a slot, and a tree of its own under a
 * label beside the slot's, so that it can be ended whole without the service. Its first line is the
 * answer's detail.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct probe_exec;
struct process;

/**
 * Starts the command of the present rules; process_probe_answer() follows when it ends.
 * @return false when it could not be started, or the last one is not gone: unknown
 */
bool probe_exec_start(struct process *p, uint64_t seq);
/** Kills what runs; its answer is not of interest any more. */
void probe_exec_kill(struct process *p);
/** How much of it lives; looks only where something may. */
int probe_exec_living(struct process *p);
/** An earlier supervisor may have left one: it is killed. */
void probe_exec_expect(struct process *p);
/** Cuts a label found as a mark to the slot's name. `name` has SLOT_NAME_SIZE bytes. */
void probe_exec_slot(char *name, const char *label);
void probe_exec_free(struct probe_exec *exec);
