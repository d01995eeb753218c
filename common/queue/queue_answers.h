/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The reading side: pages of JSON for the command line (shapes: ipc/control.def, spec section 12)
 * and numbers for /metrics. Reading goes through read-only transactions of a few rows each, page
 * after page, so that an answer of any size holds up nothing and takes little memory.
 */
#include "base/compiler.h"
#include "queue/queue.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum { QUEUE_PAGE_MAX = 32 * 1024 };

/**
 * One page: a whole JSON object of at most QUEUE_PAGE_MAX bytes, valid during the call; the client
 * joins pages by appending arrays of the same key. Called once or more, until `last`.
 * @param status  QUEUE_OK; else json is {"error": words} and last: QUEUE_LOST no such run or dead
 *                letter, QUEUE_UNAVAILABLE the database is away, QUEUE_FAILED, QUEUE_BUSY
 */
typedef void (*queue_page)(
	void *arg, enum queue_status status, const char *json, size_t len, bool last);

/* A question in work; valid until its last page has been called. */
struct queue_answer;
/** No page comes any more; what a change has begun is finished. Before store_close(), for each one
 * that is in work. NULL is fine. */
void queue_answer_cancel(struct queue_answer *answer);

/* All of these return NULL when out of memory; then no page comes. */

/** {"jobs": [{name, kind, state, next_due_at, follows, last_run}]} by name, of drover_job; state:
 * paused, running, waiting, idle. names (copied): only these; NULL: all. */
struct queue_answer *queue_answer_jobs(
	struct store *store, const char *const *names, size_t count, queue_page page, void *arg);
/** Before its first page: asks next_due(of, job) too, whose rows may be written behind (0: not
 * known). */
void queue_answer_next_due(struct queue_answer *answer,
	int64_t (*next_due)(const void *of, const char *job), const void *of);

struct runs_question {
	const char *job;	/* NULL: of all */
	const char *request_id; /* the one that was asked for with it; NULL: any */
	int64_t id;		/* 0: any */
	int64_t before;		/* 0: any; else ids below this one */
	int64_t limit;		/* 0: no limit */
	bool one;		/* {"run": {...}} instead of {"runs": [...]}; none: QUEUE_LOST */
};
/** {"runs": [...]}, newest first. */
struct queue_answer *queue_answer_runs(
	struct store *store, const struct runs_question *question, queue_page page, void *arg);

/** {"queue": {ready, claimed, delayed, dead}} */
struct queue_answer *queue_answer_counts(struct store *store, queue_page page, void *arg);

enum dead_verb {
	DEAD_LIST,  /* payload and error cut to what a table shows */
	DEAD_SHOW,  /* with checkpoint and times */
	DEAD_RETRY, /* ready again with attempt 0 and its checkpoint; its run is running again */
	DEAD_DROP   /* forgotten; its run stays as it ended */
};
struct dead_question {
	enum dead_verb verb;
	const char *job; /* NULL: of all */
	int64_t id;	 /* 0: any */
	int64_t before;	 /* only older ones, 0: no bound */
	int64_t limit;	 /* 0: no limit; of DEAD_LIST alone */
};
/** {"dead": [{id, run, job, kind, payload, attempt, error, failed_at}]}, newest first: those shown,
 * retried or dropped. */
struct queue_answer *queue_answer_dead(
	struct store *store, const struct dead_question *question, queue_page page, void *arg);

struct cursors_question {
	const char *job;
	const char *partition; /* as a task's payload has it; NULL: all of the job's */
	bool times;	       /* cursors are ms since 1970, else numbers */
};
/** {"cursors": [{job, partition, cursor, reached, windows, updated_at, run}]} by partition;
 * windows: so many of them are not done, and the cursor stays before the first. */
struct queue_answer *queue_answer_cursors(
	struct store *store, const struct cursors_question *question, queue_page page, void *arg);
/**
 * Forgets cursors and windows: {"reset": {job, cursors: N}}. QUEUE_LOST: no such partition;
 * QUEUE_BUSY: a run of the job has not ended: it would put the old cursor back.
 */
struct queue_answer *queue_answer_reset_cursors(
	struct store *store, const struct cursors_question *question, queue_page page, void *arg);

struct queue_metrics {
	int64_t ready, claimed, delayed, dead;
	int64_t oldest_ready_ms; /* age of the task that has been ready longest, 0: none */
};
typedef void (*queue_metrics_cb)(
	void *arg, enum queue_status status, const struct queue_metrics *metrics);
/** arg is the one that store_forget() knows. metrics is NULL unless QUEUE_OK. */
void queue_metrics(struct store *store, queue_metrics_cb cb, void *arg);
