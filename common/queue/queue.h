/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Runs and tasks in the store. What belongs together is one transaction: rows, checkpoint, fence
 * check, completion, child tasks. The functions named queue_tx_* append statements to the caller's
 * transaction; the first of them is queue_tx_guard(), which aborts everything (STORE_CONFLICT) when
 * the task is no longer ours.
 *
 * An attempt is counted at the claim, so that a task that kills its worker is counted too. A
 * checkpoint that moves sets the attempts back to 1: they count tries without progress. At
 * max_attempts the task becomes a dead letter.
 */
#include "base/compiler.h"
#include "base/list.h"
#include "queue/schema.h"
#include "schedule/due.h" /* enum overlap */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_backoff;
struct err;
struct loop;
struct store;
struct store_result;
struct store_tx;

struct queue;
struct queue_options {
	const char *owner;   /* "node/epoch/slot/incarnation", never reused */
	const char *kind;    /* whose tasks are claimed here; NULL: none (scheduler, monitor) */
	int64_t lease_ms;    /* 30 s; renewed by each guard and by queue_renew */
	int64_t concurrency; /* claimed tasks of our kind, whoever's; 0: no bound */
};
int queue_open(
	struct queue **out, struct store *store, const struct queue_options *options) MUST_CHECK;
void queue_set_concurrency(struct queue *queue, int64_t concurrency);
void queue_close(struct queue *queue); /* NULL is fine; the store stays */

/* A claimed task; one block, free with task_free(). Until then it is held: its lease is renewed. */
struct task {
	struct list node; /* of those that its queue holds */
	int64_t id, run_id, fence;
	const char *job, *kind, *payload, *checkpoint; /* checkpoint "" at first */
	int64_t attempt, max_attempts, timeout_ms, depth, priority;
	int64_t run_created_at, run_started_at;
	int64_t claimed_mono_ms; /* on this process's clock */
};
void task_free(struct task *task);

/* QUEUE_BUSY: of an answer, what it would change is in use. */
enum queue_status { QUEUE_OK, QUEUE_LOST, QUEUE_UNAVAILABLE, QUEUE_FAILED, QUEUE_BUSY };
/** What a transaction's outcome means here: a conflict is a lost task. */
enum queue_status queue_status_of(const struct store_result *r);
/** Words for the callback that runs now, "" when all is well. Of the loop's thread. */
const char *queue_error(void);

/** tasks[] belongs to the callback, which takes each of them (task_free). */
typedef void (*queue_claimed)(
	void *arg, enum queue_status status, struct task **tasks, size_t count);
/** Claims at most `max` (up to 1000) ready tasks of our kind, 6:3:1 by priority; within one the
 * runs in turn, whoever holds least first; of a run the oldest first. Never more than the bounds of
 * kind and job leave: they are judged in the same statement, by what is claimed in the database.
 * One claim at a time. */
void queue_claim(struct queue *queue, size_t max, queue_claimed cb, void *arg);
/** The same as the last words of a transaction that acknowledges: one commit for both. cb comes
 * before the transaction's done, also when that is forgotten; nothing is claimed when the
 * transaction fails. */
void queue_tx_claim(
	struct queue *queue, struct store_tx *tx, size_t max, queue_claimed cb, void *arg);
bool queue_is_claiming(const struct queue *queue);

/** Fence check, lease and checkpoint (NULL: unchanged) in one statement; must come first. */
void queue_tx_guard(
	struct queue *queue, struct store_tx *tx, const struct task *task, const char *checkpoint);
/** Another checkpoint, which is no progress: the attempts go on counting. After the guard. */
void queue_tx_mark(const struct queue *queue, struct store_tx *tx, const struct task *task,
	const char *checkpoint);
struct run_counts {
	int64_t requests, rows, rejected, bytes;
};
/** Adds to the run's counters. */
void queue_tx_count(struct store_tx *tx, const struct task *task, const struct run_counts *counts);
/** Adds one line to the run's errors (bounded: the first 20 are kept, each cut at 300 bytes). */
void queue_tx_error(struct store_tx *tx, const struct task *task, const char *text);
/** Completion: the task leaves the hot table; the last task of a run ends the run. */
void queue_tx_done(struct store_tx *tx, const struct task *task);
/** Gives up for good: counted failed, kept in drover_dead with the error, which also enters the
 * run's errors; the last task of a run ends the run. */
void queue_tx_dead(struct store_tx *tx, const struct task *task, const char *error);
/** Not this time: tried again after delay_ms unless its attempts are used up, then dead (counted
 * so, with the error in the run's errors). */
void queue_tx_retry(
	struct store_tx *tx, const struct task *task, const char *error, int64_t delay_ms);
/** Waits for a limit: back into the queue, the attempt is not counted. */
void queue_tx_put_back(struct store_tx *tx, const struct task *task, int64_t delay_ms);

struct frontier_url {
	const char *url, *referrer;
	int64_t depth;
	const char
		*skip_reason; /* NULL: to be fetched; else recorded as skipped with this reason */
};
/**
 * Adds URLs to the run's frontier; those not seen before in the run become tasks (payload: the
 * URL), as long as fewer than max_pages of the run are to be fetched or fetched; the others are
 * recorded as skipped: "max_pages".
 */
void queue_tx_frontier(struct store_tx *tx, const struct task *task,
	const struct frontier_url *urls, size_t count, int64_t max_pages);
/** What became of this task's URL: state fetched, failed or skipped, with HTTP status and reason.
 */
void queue_tx_url_state(struct store_tx *tx, const struct task *task, const char *state,
	int64_t status, const char *reason);

/** The wait after this attempt: min(max, initial * factor^(attempt - 1)) ms, or with jitter
 * uniform in 0..that (full jitter). */
int64_t queue_backoff_ms(const struct config_backoff *backoff, int64_t attempt);

/** After QUEUE_LOST: should the task's run have been cancelled, this was the last that it waited
 * for.
 */
void queue_let_go(struct queue *queue, const struct task *task);

/** Extends the leases of the tasks that are held in memory. One of our owner that is not, and whose
 * lease has ended, is given up: the scheduler frees it. */
void queue_renew(struct queue *queue);
/** The store refuses the task's ending: a dead letter, in a transaction of its own that says little
 * else. Should that fail too, the task's lease runs out once it is freed. `why` is copied. */
void queue_give_up(struct queue *queue, const struct task *task, const char *why);
/** Puts back all tasks of our owner, attempts not counted (drain, lost channel); cb when it is
 * durable. */
void queue_release_mine(
	struct queue *queue, void (*cb)(void *arg, enum queue_status status), void *arg);

/* ---- the scheduler's side ----
 * arg is the one that store_forget() knows: forgetting it drops the callback, not the work. */

typedef void (*queue_cb)(void *arg, enum queue_status status);
/** Creates or migrates drover's tables; others poll queue_check_schema, which is QUEUE_UNAVAILABLE
 * until then. QUEUE_FAILED: the tables are of a newer drover; queue_error() says so. */
void queue_migrate(struct store *store, queue_cb cb, void *arg);
void queue_check_schema(struct store *store, queue_cb cb, void *arg);
/** Frees the tasks of a dead owner: ready at once, or dead letters when their attempts are used up.
 */
void queue_free_owner(struct store *store, const char *owner, queue_cb cb, void *arg);
/** The same for all owners of this node whose epoch is not `epoch`: an earlier supervisor's
 * workers. */
void queue_free_other_epochs(
	struct store *store, const char *node, const char *epoch, queue_cb cb, void *arg);
/** The same for claims whose lease ended before now, but not for the known owners of this node and
 * epoch: their deaths are told, and until then the clock may have been set, or the store away. What
 * an owner itself gave up is freed in any case. */
void queue_free_expired(struct store *store, const char *node, const char *epoch, int64_t now_ms,
	queue_cb cb, void *arg);

/* A walk over what is too old, step by step. */
struct queue_prune {
	int64_t before_ms;	     /* older than this leaves */
	int64_t finished_at, run_id; /* where it has come to; 0 at first */
	bool more;		     /* another step would find something */
	int64_t runs, rows;	     /* removed so far; rows: of other tables */
};
/**
 * One step, a few milliseconds of the database's time: ended runs with their URLs, but not the
 * newest of a job nor those with dead letters nor whose end is still to be told; due times; the
 * history of tasks. `prune` stays the caller's until cb.
 */
void queue_prune(struct store *store, struct queue_prune *prune, queue_cb cb, void *arg);

struct run_request {
	const char *job, *kind, *trigger; /* trigger: "schedule", "catch_up", "after", "manual" */
	const char *request_id;		  /* manual: idempotency key, NULL: none */
	int64_t due_at;			  /* the nominal instant; manual: 0 */
	enum overlap overlap;
	bool followed; /* its end is told to the jobs that run after it: queue_followed() */
	int64_t max_attempts, timeout_ms, priority;
	/* The first tasks: payloads; crawl's are URLs that also enter the frontier with depth 0. */
	const char *const *payloads;
	size_t payload_count;
	bool frontier;
};
/* Accounts for one due time (D2) and, when it fires, makes its run and tasks. */
struct due_decision {
	const char *job;
	int64_t due_at, next_due_at; /* next_due_at 0: never again */
	bool behind; /* the caller writes next_due_at later, by queue_tx_move(); until then the row
			of drover_due tells */
	const char *outcome, *reason; /* "fired" needs `run` */
	const struct run_request *run;
	enum due_room {
		ROOM_ANY,
		ROOM_IN_FLIGHT, /* STORE_CONFLICT when as many runs as CATCH_UP_IN_FLIGHT are being
				   caught up */
		ROOM_OF_JOB	/* and when the job's run before has not ended */
	} room;
};
enum { CATCH_UP_IN_FLIGHT = 16 };
/* The statements that tell what became of decisions. */
struct due_statements {
	size_t accounted, accounted_count; /* they return a row (enum due_column) for each due time
					      that nobody had decided before */
	size_t missing, missing_count;	   /* they return the name of each job that has no row in
					      drover_job */
};
enum due_column { DUE_OUTCOME, DUE_REASON, DUE_RUN, DUE_JOB, DUE_AT };
/**
 * Decides due times: statements for one transaction, first in it, few of them however many due
 * times there are. Those of one job lie beside each other, oldest first, and only the last of them
 * may fire; its next_due_at is the job's from then on, but one that was set behind it stays.
 *
 * Overlap is decided inside the transaction, by a unique index: a "fired" due time whose job still
 * has a run becomes "skipped", or waits, or (when one waits already) "coalesced". Of a job that is
 * paused, each is "skipped". Of a job that has no row in drover_job, nothing happens.
 * @param decisions  borrowed for the call
 * @param out  may be NULL
 */
void queue_tx_decide(struct store_tx *tx, const struct due_decision *decisions, size_t count,
	int64_t now_ms, struct due_statements *out);
/** Moves next due times on, never back. */
struct due_move {
	const char *job;
	int64_t next_due_at;
};
void queue_tx_move(struct store_tx *tx, const struct due_move *moves, size_t count, int64_t now_ms);
/**
 * Ends the run, or with run_id 0 all open runs of the job, as `cancelled`: ready tasks leave with
 * this transaction, claimed ones when their holder finds out by its next guard (QUEUE_LOST).
 * `reason` enters the run's errors. Nothing happens to a run that has ended. After
 * queue_tx_decide() or queue_tx_run() in one transaction it would cancel what they have just made.
 */
void queue_tx_cancel_run(
	struct store_tx *tx, int64_t run_id, const char *job, const char *reason, int64_t now_ms);
/** A manual run. Nothing happens when its request_id is known. A run without tasks ends at once;
 * one that the job's policy forbids is recorded as `skipped`. */
void queue_tx_run(struct store_tx *tx, const struct run_request *run, int64_t now_ms);

/* ---- runs that wait for a run, jobs that wait for jobs ---- */

/** Begins each run whose run before has ended. @return the statement that returns (run, job, kind)
 * of each task that is ready now */
size_t queue_tx_begin_waiting(struct store_tx *tx, int64_t now_ms);

/* A run that ended, and of which jobs that follow are to be told. */
struct ended_run {
	int64_t id, finished_at;
	const char *job;
	bool succeeded, failed; /* cancelled: neither */
	bool again;		/* it had ended before, and was told of then */
};
enum { ENDED_RUNS_MAX = 100 };
struct ended_runs {
	struct ended_run items[ENDED_RUNS_MAX]; /* oldest first, one of each job */
	size_t count;
	bool any_waiting; /* queue_tx_begin_waiting() has something to do */
};
typedef void (*queue_ended_cb)(void *arg, enum queue_status status, const struct ended_runs *ended);
/** What ended and was not yet told: of each job its oldest, when that comes behind after_id (0:
 * all). arg is the one that store_forget() knows; `ended` is valid during the call. */
void queue_ended_runs(struct store *store, int64_t after_id, queue_ended_cb cb, void *arg);
/** Takes the end as told; STORE_CONFLICT when somebody else has. First in the transaction. */
void queue_tx_told(struct store_tx *tx, const struct ended_run *run);
/**
 * One of the jobs that `job` follows has ended. When that was the last of `parents` since `job` was
 * due last, it is due now: its next due time is set. STORE_CONFLICT while it has one that is not
 * decided. @return the statement that returns name, next_due_at
 */
size_t queue_tx_follow(struct store_tx *tx, const char *job, size_t parents,
	const struct ended_run *run, int64_t now_ms);
/** What was known of ends for `job` is void (its list has changed); `parent`'s open runs are told
 * of from now on. */
void queue_tx_unfollow(struct store_tx *tx, const char *job);
void queue_tx_watch_parent(struct store_tx *tx, const char *parent);
/** While it is paused, due times are skipped; after it, those until now are. Expects the job's
 * row. */
void queue_tx_pause(struct store_tx *tx, const char *job, bool paused, int64_t now_ms);
