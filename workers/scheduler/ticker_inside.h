/* SPDX-License-Identifier: MIT */
#pragma once
/* What the ticker's files share: ticker.c has the jobs and the clock, ticker_jobs.c what the store
 * knows of them, ticker_due.c decides, ticker_behind.c writes what it learns later. */
#include "queue/queue.h"
#include "scheduler/job_heap.h"
#include "scheduler/job_run.h"
#include "scheduler/ticker.h"
#include <uthash.h>

struct config_job;
struct loop_timer;
struct store_result;

enum {
	/* The clock may be set at any time: nothing sleeps longer than this. */
	TICK_MAX_MS = 1000,
	RETRY_MS = 500,
	/* However many due times there are, one transaction carries no more of them. */
	DUES_A_TRANSACTION = 500,
	/* When jobs fall due at this rate, transactions begin so long after each other: one commit
	 * for what falls due meanwhile. */
	MANY_A_WINDOW = 20,
	WINDOW_MS = 100,
	PACE_MS = 15,
	/* Rows that are written behind are so old at most. */
	LAP_MS = 10000,
	LAP_STEPS = 40,
	/* So many of one job: the others do not wait for its backlog. */
	DUES_OF_A_JOB = 50,
	/* Its runs have no more tasks than this, unless one run alone has. */
	PAYLOADS_A_TRANSACTION = 10000,
	/* Jobs that are new are written so many at once. */
	JOBS_A_TRANSACTION = 200,
	/* A wall clock that lost this much against the monotonic one between two ticks was set. */
	CLOCK_STEP_MS = 1000,
	/* What begins later than this was not seen in time: it is caught up. */
	ON_TIME_MS = 60000,
	/* Runs that are caught up begin this long after each other, at least. */
	SPREAD_MS = 20,
	/* How long after that many of them found no room the next ones are tried. */
	NO_ROOM_TRIES = 8,
	NO_ROOM_MS = 250,
	/* A job that only the store knows, untouched for so long, is nobody's. */
	STRANGER_MS = 3600000,
	STRANGER_LOOK_MS = 600000,
};

struct timed_job {
	struct ticker *ticker;
	const struct config_job *job; /* NULL: gone from the configuration */
	char *name;
	char hash[17];
	int64_t next_due;   /* 0: none */
	int64_t go_on_at;   /* its row was deleted: this one and those after it are not decided */
	bool kept;	    /* while a configuration is taken up: it is in there */
	bool known;	    /* read from the store, or written to it */
	bool busy;	    /* a transaction of this job is under way */
	bool recount;	    /* the clock was set back meanwhile */
	bool paused;	    /* as far as we know: the store decides */
	bool behind;	    /* its row in drover_job: ticker_behind.c */
	int64_t decided_at; /* while the store is read: the last due time that has a row; 0: none */
	/* of job_heap.c */
	struct job_heap *heap;
	size_t place;
	int64_t key;
	size_t decided; /* while busy: its place in the transaction */
	UT_hash_handle hh;
	struct timed_job *next_gone;
};

struct planned {
	int64_t due_at;
	const char *outcome, *reason;
};

struct ticker {
	struct scheduler *scheduler;
	const struct config *config;
	struct loop_timer *timer;
	struct timed_job **jobs; /* one block each: transactions point at them */
	size_t count;
	struct timed_job *by_name;
	struct timed_job *gone;		  /* still in a transaction */
	struct job_heap due, late, aside; /* known jobs: by when they begin; to be caught up, by
					     their due time; those that found no room */
	int64_t clock_offset;		  /* real - monotonic time at the last tick */
	int64_t catch_up_mono;		  /* not before */
	int64_t decide_mono;		  /* not before */
	int64_t window_mono;		  /* when this window began */
	size_t decided_lately, decided_before; /* jobs: in this window, in the one before */
	int64_t strangers_mono; /* then they are looked at again; 0: there are none */
	int no_room;		/* in a row */
	bool started, reading, writing, unknown, deciding, catching;
	bool many;		     /* fall due after each other: MANY_A_WINDOW */
	size_t behind_count, lap_at; /* of jobs */
	int64_t lap_mono;	     /* not before */
	bool catching_up_rows;
	struct planned plan[DUES_A_TRANSACTION];
	size_t planned;
	/* of the transaction that is being made */
	struct due_decision decisions[DUES_A_TRANSACTION];
	size_t decision_count;
	struct job_run runs[DUES_A_TRANSACTION];
	size_t run_count;
};

struct timed_job *ticker_find(const struct ticker *t, const char *name);
/** When what is due at that instant begins. */
int64_t ticker_begins_at(const struct timed_job *j, int64_t due);
/** The due time after one; 0: none. */
int64_t ticker_after(const struct timed_job *j, int64_t due);
/** Into the heap it belongs to, or out of all. */
void ticker_enqueue(struct timed_job *j);
/** The transaction it was in has ended. @return false when the job is gone, and j with it */
bool ticker_unbusy(struct timed_job *j);
void ticker_tick(struct ticker *t);
/** What could not be written or read is tried again a little later. */
bool ticker_store_failed(struct ticker *t, const struct store_result *r);

/* ticker_jobs.c */
void ticker_hash_schedule(const struct config_job *job, char hash[17]);
/** Reads what the store knows of the jobs, writes those that are new. */
void ticker_read_jobs(struct ticker *t);
/** It was in our configuration: its due times end, what it has queued is done. */
void ticker_forget_job(struct ticker *t, const char *name);
/** After the clock was set back: due times that were only passed over lie ahead again. */
void ticker_count_anew(struct timed_job *j, int64_t now);

/* ticker_behind.c */
void ticker_set_behind(struct timed_job *j, bool behind);
/** Writes some of the rows that are behind, when it is time. */
void ticker_write_behind(struct ticker *t);

/* ticker_due.c */
/** Decides what is due, as much as one transaction carries, if none is under way. */
void ticker_decide(struct ticker *t, int64_t now);
/** Begins one run that is to be caught up, when it is time. */
void ticker_catch_up(struct ticker *t, int64_t now);
