/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One slot and the instance in it: drives the lifecycle table, owns its timers, strikes, history
 * and what its record must keep. The real world (fork, signals, channels) is behind struct
 * process_ops, so that unit tests replay whole lives on the fake loop.
 */
#include "base/list.h"
#include "config/config.h"
#include "history.h"
#include "memory_policy.h"
#include "probe.h"
#include "process_fsm.h"
#include "restart_policy.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct instance;
struct loop;
struct loop_timer;
struct process;
struct worker_kind;

enum { SLOT_NAME_SIZE = 80, PROCESS_DETAIL = HISTORY_DETAIL, SAID_EXTEND_MAX_MS = 3600000 };

struct process_ops {
	/** Makes the instance; its outcome comes later by process_ready() or process_exited(). */
	int (*spawn)(struct process *p, struct err *err);
	/** Asks the instance to end by itself within deadline_ms; once more for the rest when its
	 * main process has ended. */
	void (*terminate)(struct process *p, int64_t deadline_ms);
	/** These take their turn next, all at once: puts on record together that they are ended,
	 * and asks them to. NULL: each by itself. */
	void (*end_together)(struct process *const *processes, size_t count);
	/** KILL to everything of the tree. */
	void (*kill_tree)(struct process *p);
	/** How much of the tree lives. */
	int (*living)(struct process *p);
	/** Nothing of the tree is left: lets go of its handles. */
	void (*gone)(struct process *p);
	bool (*probe)(struct process *p, uint64_t seq);
	/** Of what an instance that is started now is started with. NULL: 0 */
	uint64_t (*fingerprint)(const struct process *p);
	/** Writes what must survive a crash; called before a start and whenever it changed. */
	void (*save)(struct process *p);
	/** Something that status shows has changed. */
	void (*changed)(struct process *p);
	/** A start is due: may it begin? Else `why` says what it waits for. NULL: always. */
	bool (*may_start)(const struct process *p, char *why, size_t size);
	/** False: what the earlier instance wrote is not put away yet; process_go_on() or a short
	 * time tells. NULL: true */
	bool (*may_spawn)(const struct process *p);
	/** The question has its verdict, or is not of interest any more: what was begun for it
	 * ends. NULL: nothing is begun. */
	void (*probe_over)(struct process *p);
	/** Tells a worker to give memory back; process_trimmed() answers. False: it is away. */
	bool (*trim)(struct process *p, uint64_t seq);
	/** Tells a worker to take no new tasks, or to take them again; process_rests() answers. */
	bool (*hold_tasks)(struct process *p, bool hold);
	/** The step of its start that it has not got over, NULL: it was executed. NULL: always. */
	const char *(*stands_at)(const struct process *p);
};

/* A service that is to go down, or anew, once what depends on it is down: order.h. */
enum process_turn { TURN_NONE, TURN_STOP, TURN_RESTART };

struct process_exit {
	const char *reason; /* NULL: none ended yet */
	enum start_cause cause;
	int code, signal; /* -1: none or unknown */
	int64_t at_ms;
};

/* A transient slot's: the task whose command it is for. */
struct process_task {
	uint64_t id, fence, run, attempt;
	int64_t deadline_ms; /* CLOCK_BOOTTIME */
	enum start_cause stopped_for;
	bool said, told; /* its end: in its log, to the scheduler */
	struct loop_timer *timer;
	char run_text[24], attempt_text[24]; /* for its environment */
};

/* There may be thousands: what is small stands together, and what few have is allocated. */
struct process {
	struct list node;
	enum process_state state;
	enum process_turn turn;
	bool removed; /* no longer configured: goes away when nothing is left of it */
	bool blocked; /* waiting, and due, but what it depends on is not ready */
	bool wanted;
	bool stay_down;	   /* the operator stopped it: the next supervisor leaves it down too */
	bool held, probed; /* probed: the present instance is asked */
	bool ready;    /* what depends on it may start: it said so, its first probe went well, or it
			  was executed and has no probe */
	bool outdated; /* its stop is noted, and its configuration changed since it was started */
	bool turn_after_workers;
	bool again; /* the next start follows an end: a restart */
	bool main_ended;
	bool parted;	  /* a worker that is being ended, and works no more */
	bool end_awaited; /* killed, and nothing of it lives, but its end was not told yet */
	bool end_failed;  /* the last end was no success */
	bool end_saved;	  /* record_is_of_shutdown() of the record on file */
	bool listed;	  /* the list of a shutdown says so: endings.h */
	pid_t pid;	  /* of the main process; 0 while there is none */
	uint32_t stats_slot;
	enum start_cause next_cause; /* why the next instance will be started */
	enum start_cause end_cause;  /* why the present one is being ended; CAUSE_NONE: by itself */
	enum start_cause turn_cause;
	enum process_event deadline_event;
	unsigned spawn_failures;

	const char *name; /* at most SLOT_NAME_SIZE with its end */
	const struct process_ops *ops;
	void *owner;		   /* the supervisor, for ops */
	struct process_task *task; /* NULL: an ordinary slot. Its command is started once */
	struct loop *loop;
	const struct worker_kind *kind; /* NULL: a service */
	const struct config_worker *worker;
	const struct config_service *service;
	const struct config_supervision *rules; /* of the present configuration; never NULL */
	struct config_supervision *kept_rules;	/* of one that is no longer configured; NULL: not */

	uint64_t incarnation;
	int64_t last_start_ms, last_automatic_ms; /* CLOCK_BOOTTIME, -1 none */
	int64_t before_automatic_ms; /* last_automatic_ms of before the last try to start it */
	int64_t started_at_ms;	     /* CLOCK_REALTIME, 0 while down */
	int64_t due_ms;		     /* CLOCK_BOOTTIME of a waiting or held restart, -1 none */
	int64_t due_at_ms;	     /* the same as CLOCK_REALTIME, for showing */
	int64_t strikes;
	const char *waits_for;	     /* this and the other words: process_words() */
	size_t rank;		     /* of one that is no longer configured: config_service.rank */
	uint64_t restarts, attempts; /* instances that followed an end; starts tried */
	uint64_t fingerprint;	     /* of what the last instance of a service was started with */
	struct process_exit last_exit;
	const char *start_error;
	struct {
		const char *step; /* "": the last start went well */
		int error;
		int64_t at_ms;
	} failed_start;
	struct {
		int64_t at_ms, latency_ms;
		enum probe_verdict verdict;
		const char *detail;
	} last_probe;
	int64_t told_interval_ms; /* notify: how often the instance was told to speak */
	int64_t extend_until_ms; /* notify: loop time that a late READY=1 may reach; 0: not asked */
	const char *said;	 /* notify: its STATUS=, "" none */

	struct probe probe;
	struct loop_timer *start_timer, *deadline_timer, *sweep_timer;
	int64_t deadline_ms; /* loop time */
	struct history history;
	struct {
		int64_t bytes;		 /* what the tree held at the last look */
		int64_t before, after;	 /* what the last trim found and left, bytes */
		uint32_t round;		 /* of the last look at its tree */
		uint32_t trims, trimmed; /* told, and answered */
		enum memory_level level;
		bool machine_critical;
		bool drained;		 /* the operator lets it take no tasks */
		bool told_hold, resting; /* a worker: told to take none; it holds none either */
	} memory;

	uint64_t saved;		   /* record_sum() of the record on file; 0: none is ours */
	struct instance *instance; /* the real ops' own; NULL while down */
	struct {		   /* between two looks at /proc, for status */
		int64_t looked_ms;
		uint64_t ticks;
		double percent;
		int64_t memory; /* of the main process */
		int64_t others; /* what the rest of its tree held beyond that, at the last look */
	} usage;
};

/** A slot at rest. @return NULL when out of memory */
struct process *process_new(struct loop *loop, const struct process_ops *ops, void *owner,
	const char *name, const struct config_supervision *rules);
/** Puts a copy of text, at most PROCESS_DETAIL bytes with its end, in the place of *words, ""
 * without text or memory. What is empty, as mostly, takes nothing. */
void process_words(const char **words, const char *text);
/** Its tree must be gone. */
void process_free(struct process *p);

/** Goes down (anew: and up again) when its turn comes (order.h); until then that is only noted. */
void process_stop_in_turn(struct process *p, enum start_cause cause, bool anew, bool after_workers);
void process_take_turn(struct process *p);
/** What it waits for may be ready now. */
void process_try_start(struct process *p);
/** Wanted up, down, or anew. The operator's and the configuration's starts are not held. */
void process_start(struct process *p, enum start_cause cause);
void process_stop(struct process *p, enum start_cause cause);
void process_restart(struct process *p, enum start_cause cause);
/**
 * An earlier supervisor's instance lives and becomes ours; what its record told stands in *p.
 * @param up  it was running then; else it still has to get ready
 */
void process_adopt(struct process *p, bool up);
/** An earlier supervisor left something that has to go: ends it, then starts anew if wanted. The
 * causes in *p say why. */
void process_fence(struct process *p);
/** Its instance ended while no supervisor lived: how is unknown. */
void process_lost(struct process *p);
/** It was down under an earlier supervisor: the start that p->next_cause asks for, at due_ms
 * (CLOCK_BOOTTIME; -1: when the policy says, at the latest then). */
void process_resume(struct process *p, int64_t due_ms);
/** It was down under an earlier supervisor, and the policy said no more. */
void process_rest(struct process *p);
/** KILL at once, no start follows. */
void process_quit(struct process *p);
/** The deadline of a stop that is under way becomes at most ms from now. */
void process_hurry(struct process *p, int64_t ms);

/** A worker that was told to end needs nobody any more: services need not wait for its end. */
void process_parts(struct process *p);
/** What may_spawn() waited for is there. */
void process_go_on(struct process *p);

/** What the real world reports. */
void process_ready(struct process *p);
/** It ended before it was executed: at this step, with this errno. */
void process_start_failed(struct process *p, const char *step, int error);
/** The kernel refused this of what it was to get; it runs without. */
void process_degraded(struct process *p, const char *what, int error);
/** The main process ended; info NULL: how is unknown. */
void process_exited(struct process *p, const siginfo_t *info);
/** A worker broke the protocol or refused its configuration: it is ended and counts as failed. */
void process_fail(struct process *p, const char *why);
bool process_probe_answer(
	struct process *p, uint64_t seq, bool ok, int64_t latency_ms, const char *detail);
/** A service that speaks for itself said READY=1. */
void process_said_ready(struct process *p);
/** WATCHDOG=1, or WATCHDOG=trigger. */
void process_said_well(struct process *p, bool well);
/** STOPPING=1: nothing may depend on it any more; its end, or its silence, is what counts. */
void process_said_stopping(struct process *p);
/** EXTEND_TIMEOUT_USEC=: more time to become ready, at most SAID_EXTEND_MAX_MS after its start. */
void process_said_extend(struct process *p, uint64_t usec);
/** STATUS=; the text is cut and made fit for a terminal. */
void process_said_status(struct process *p, const char *text);
/** New rules after a reload: live, nothing is armed again, no strike is lost. */
void process_adjust(struct process *p, const struct config_supervision *rules);
/** No longer configured: goes on without a configuration, until nothing is left of it. Without
 * memory for its own rules it is stopped as one that has none. */
void process_orphan(struct process *p);
/** The tree may be empty now: look at once instead of at the next sweep. */
void process_look(struct process *p);

static inline bool process_is_down(const struct process *p)
{
	return p->state == PROCESS_STOPPED || p->state == PROCESS_FAILED ||
	       p->state == PROCESS_WAITING;
}
/** Is this its name, or that of its kind or service, of which there may be several? */
bool process_is_of(const struct process *p, const char *name);
/** How it is asked: workers by beat. */
static inline enum probe_kind process_probe_kind(const struct process *p)
{
	return p->kind ? PROBE_BEAT : config_probe_kind(&p->rules->probe);
}
/** Its being ready is more than its being executed: workers, and services that speak for
 * themselves.
 */
static inline bool process_must_speak(const struct process *p)
{
	return p->kind || process_probe_kind(p) == PROBE_NOTIFY;
}
/** "worker" kinds' name, or "service". */
const char *process_kind_name(const struct process *p);
