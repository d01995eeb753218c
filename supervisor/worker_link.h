/* SPDX-License-Identifier: MIT */
#pragma once
/* The conversation with a worker over its channel: greeting, configuration, beats, work, checks. */
#include <stdbool.h>
#include <stdint.h>

struct message;
struct process;
struct supervisor;
struct worker_kind;

/** One message of this slot's present instance. A peer that errs is replaced. */
void worker_link_message(struct process *p, struct message *m);
/** Sends the present configuration, first or reloaded. */
void worker_link_configure(struct process *p);
/** Asks a worker for its beat. */
bool worker_link_probe(struct process *p, uint64_t seq);
/** Tells a worker to give memory back. False: it is away. */
bool worker_link_trim(struct process *p, uint64_t seq);
/** Tells a worker to take no new tasks, or to take them again. False: it is away. */
bool worker_link_hold(struct process *p, bool hold);
/** Asks monitor for a service's health over HTTP or TCP. @return false when monitor is away */
bool worker_link_ask_monitor(struct process *p, uint64_t seq);
/** Where the kind's program is; a static buffer. Beside droverd, else in libexec/drover. */
const char *worker_link_program(const struct supervisor *sv, const struct worker_kind *kind);
/** The same for any program of ours. */
const char *worker_link_find(const char *program_dir, const char *program);
