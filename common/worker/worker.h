/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The frame that every worker kind lives in: channel, setup, configuration, beats, drain, loss of
 * the supervisor. worker_main() is the whole main() of a kind.
 */
#include "base/compiler.h"
#include "ipc/messages.h"
#include <stdbool.h>
#include <stdint.h>

struct config;
struct err;
struct loop;
struct stats;
struct stats_slot;
struct worker;
struct worker_kind;

struct worker_ops {
	/* Kinds whose jobs are in the hand-over, ends with NULL; NULL: only the own kind's. */
	const struct worker_kind *const *kinds;
	/**
	 * Takes up a configuration, the first or a new one. `config` lives until the next call has
	 * returned 0.
	 * @return 0; negative with words: the first time the worker then exits, later it keeps the
	 * old one
	 */
	int (*configure)(struct worker *w, const struct config *config, struct err *err);
	/** Messages that the frame does not know: WORK, OWNER_GONE, CHECK_HTTP, QUESTION, SUMMARY.
	 * NULL: there are none. */
	void (*message)(struct worker *w, const struct message *m);
	/** Finish in-flight work within deadline_ms, put the rest back, take no more; then call
	 * worker_drained(). */
	void (*drain)(struct worker *w, int64_t deadline_ms);
	/** Finish the tasks that are held and take no new ones, then call worker_rests(); or (off)
	 * take tasks again. NULL: the kind has none. */
	void (*hold)(struct worker *w, bool on);
	/** Drop what can be had anew; the frame returns freed memory afterwards. NULL: there is
	 * nothing. */
	void (*trim)(struct worker *w);
	/** Frees everything; the loop no longer runs. */
	void (*stop)(struct worker *w);
};

/** argv is ignored; fd 3 is the channel. @return the exit code */
int worker_main(
	const struct worker_kind *kind, const struct worker_ops *ops, int argc, char **argv);

/**
 * A worker without a supervisor, for trying a job: it takes up `config` (taken, also on an error)
 * on a loop that is lent, and talks to nobody.
 * @return 0 and *out for worker_alone_free(); negative with words
 */
int worker_alone(struct worker **out, const struct worker_kind *kind, const struct worker_ops *ops,
	struct loop *loop, const char *state_dir, struct config *config,
	struct err *err) MUST_CHECK;
void worker_alone_free(struct worker *w); /* NULL is fine; the loop no longer runs */

struct loop *worker_loop(struct worker *w);
/** The kind's own state, set in configure. */
void worker_set_state(struct worker *w, void *state);
void *worker_state(struct worker *w);
const char *worker_name(const struct worker *w);  /* "collect:2" */
const char *worker_owner(const struct worker *w); /* "node/epoch/slot/incarnation" */
const char *worker_node(const struct worker *w);
const char *worker_state_dir(const struct worker *w);
const struct config *worker_config(const struct worker *w);
struct stats_slot *worker_stats(struct worker *w);
/** The whole segment, for who tells of all processes; NULL before setup. */
struct stats *worker_stats_segment(struct worker *w);
/** Work that a beat reports: each held task has a ticket; progress is a touch. limit_ms: its
 * timeout. */
struct worker_ticket;
struct worker_ticket *worker_ticket_new(struct worker *w, int64_t limit_ms);
void worker_ticket_touch(struct worker_ticket *ticket);
void worker_ticket_free(struct worker_ticket *ticket);
/** To the supervisor. */
int worker_send(struct worker *w, enum message_id id, const void *body);
/** Everything in flight is done or put back: the worker exits 0. */
void worker_drained(struct worker *w);
/** The machine has memory left for another task; asked before each claim. Without a supervisor it
 * always has. */
bool worker_may_take(struct worker *w);
/** Told to hold, and no task is held (any more). */
void worker_rests(struct worker *w);
/** Ends the worker with an exit code after logging why. */
void worker_fail(struct worker *w, const char *event, const char *error);
