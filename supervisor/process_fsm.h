/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The life of a slot as a pure table: (state, event) -> (next state, action). No I/O, no clock, no
 * memory. What has to be judged (strikes, intervals, what is wanted) was judged before, the verdict
 * is the event.
 */
enum process_state {
	PROCESS_INVALID, /* an unlisted cell: our bug */
	PROCESS_STOPPED,
	PROCESS_STARTING, /* forked; not yet executed, or a worker not yet configured */
	PROCESS_RUNNING,
	PROCESS_WAITING,  /* down, its start is due at a known time */
	PROCESS_STOPPING, /* its tree is being ended, whoever wanted that */
	PROCESS_STUCK,	  /* killed, and the kernel does not let it die */
	PROCESS_FAILED,	  /* ended, and the policy says no more */
	PROCESS_STATES
};

enum process_event {
	EV_START,	  /* operator or configuration want it up */
	EV_STOP,	  /* they want it down */
	EV_RESTART,	  /* they want a new instance */
	EV_LEFTOVER,	  /* an earlier supervisor left something of this slot that has to go */
	EV_ADOPTED,	  /* an earlier supervisor's instance lives and goes on as ours */
	EV_ADOPTED_EARLY, /* the same, and it was not ready yet */
	EV_DUE,		  /* the time of a waiting start has come */
	EV_SPAWN_FAILED,  /* no process could be made at all */
	EV_READY,
	EV_LATE,	/* the time to become ready is over */
	EV_EXIT,	/* the main process ended; others of its tree may live */
	EV_LAST_STRIKE, /* too many failed probes, or too much memory; it goes down now */
	EV_HELD,	/* the same, but it runs on until its restart is due */
	EV_WELL,	/* what its restart was held for is over */
	EV_HELD_DUE,	/* the held restart's time has come */
	EV_KILL_DUE,	/* the time to stop by itself is over */
	EV_UNKILLABLE,	/* killed long ago, still there */
	EV_GONE_DOWN,	/* nothing of the tree is left; nobody wants it up */
	EV_GONE_AGAIN,	/* nothing is left; it is to be started again */
	EV_GONE_FINAL,	/* nothing is left; the policy says no more */
	PROCESS_EVENTS
};

enum process_action {
	ACT_NONE,
	ACT_START_NOW,	 /* wait zero time: not bound by the interval */
	ACT_START_LATER, /* wait for the time that the policy says */
	ACT_RETRY_LATER, /* nothing was started: try again soon */
	ACT_FORGET,	 /* no start is due any more */
	ACT_SPAWN,
	ACT_WATCH,     /* it is up: begin to probe */
	ACT_ADOPT,     /* it was up before us: the same, and what was held stays held */
	ACT_AWAIT,     /* it was started before us: it has until its deadline to get ready */
	ACT_TERMINATE, /* ask the tree to end, with a deadline */
	ACT_SWEEP,     /* the main process ended by itself: kill the rest */
	ACT_LINGER,    /* the main process obeyed: the rest may use the time that is left */
	ACT_KILL,      /* kill the whole tree, with a deadline */
	ACT_REPORT_STUCK,
	ACT_HOLD,
	ACT_UNHOLD,
};

struct process_step {
	enum process_state next;
	enum process_action action;
};

/** The cell; next is PROCESS_INVALID when the event may not happen in this state. */
struct process_step process_step(enum process_state state, enum process_event event);
/** "running" */
const char *process_state_name(enum process_state state);
const char *process_event_name(enum process_event event);
