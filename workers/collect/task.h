/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One claimed task: fetches page after page, gives the batches to the store one transaction at a
 * time, in order, and ends in one of the ways of enum ending. Private to workers/collect.
 */
#include "base/list.h"
#include "collect/call.h"
#include "collect/limits.h"
#include "collect/on_error.h"
#include "collect/page.h"
#include "http/fetch.h"
#include "queue/queue.h"

struct collector;
struct worker_ticket;

enum ending {
	ENDING_NONE,
	ENDING_DONE,
	ENDING_RETRY,	 /* after delay_ms, if attempts are left */
	ENDING_DEAD,	 /* trying again would not help */
	ENDING_PUT_BACK, /* after delay_ms, the attempt does not count */
};

struct collect_task {
	struct list node; /* in collector->tasks */
	struct collector *collector;
	struct task *task;
	const struct plan *plan;
	struct worker_ticket *ticket;
	struct loop_timer *timeout, *store_wait;
	struct page page;
	struct fetch *fetch;
	struct call_limits limits; /* of fetch */
	struct error_watch watch;
	bool page_failed; /* the answer cannot be read; on_error may still have a word */
	struct call call;
	/*
	 * Of a call that must not be received twice. marking: the queue is to know of it before it
	 * is sent; marked: it knows, until the whole page is stored; unmarking: it is to forget it,
	 * as it was refused; unsure: it may have been received, and the answer is not whole.
	 */
	bool marking, marked, unmarking, unsure;
	bool renewed;	  /* the call was repeated with another token */
	char *value;	  /* of for_each; NULL: the job has none */
	char *partition;  /* of an incremental job: whose cursor it moves */
	bool windowed;	  /* it has a window of the partition, and not all of it */
	bool makes_tasks; /* instead of calls */
	bool cut;	  /* some of its windows are made */
	struct values_file *values;
	bool reading;	   /* from the store, what it must know before it goes on */
	struct list ready; /* batches to be written */
	struct batch *writing;
	bool in_store;	    /* a transaction is on its way */
	bool marks_there;   /* and it holds the mark */
	bool unmarks_there; /* and it takes the mark off */
	bool ends_there;    /* and it holds the ending */
	enum ending ending;
	int64_t delay_ms;
	char *reason, *note;	 /* of RETRY and DEAD; one more line for the run's errors */
	const char *stop;	 /* the rule by which it is DONE, "short page"; NULL: none */
	int64_t requests, bytes; /* not yet counted in the run */
	int64_t store_tries;
};

/** Takes task. It runs by itself and frees itself at its end (collector_task_over). */
void collect_task_start(struct collector *c, struct task *task);
/** Gives it back to the queue now, without waiting for anything: rows that were not written yet are
 * fetched again by whoever takes it. */
void collect_task_abandon(struct collect_task *t);
/** Ends at its next page. */
void collect_task_wind_up(struct collect_task *t);

/* task.c, for commit.c */
void collect_task_free(struct collect_task *t);
void collect_task_end(struct collect_task *t, enum ending ending, int64_t delay_ms, const char *fmt,
	...) PRINTF_LIKE(4, 5);
void collect_task_go_on(struct collect_task *t); /* fetches the next page if it is time */
/** The queue knows of the call: it goes out. */
void collect_task_marked(struct collect_task *t);
/* commit.c */
/** Before a checkpoint: the page that it leads to was asked for, and its answer not stored. */
#define ASKED "asked:"
/** Writes what is ready, if nothing is on its way; when all is written and the task has ended, says
 * so. */
void collect_commit(struct collect_task *t);
/** Adds the place that the task has reached, as asked for or not. */
void collect_commit_mark(struct store_tx *tx, const struct collect_task *t, bool asked);
/** Adds the task's ending to a transaction. */
void collect_commit_ending(struct store_tx *tx, const struct collect_task *t);
