/* SPDX-License-Identifier: MIT */
#pragma once
/* Owns all slots of one droverd and what they share; turns the loop's events into process events.
 */
#include "base/compiler.h"
#include "base/list.h"
#include "config/config.h"
#include "contain.h"
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct control;
struct groups_watch;
struct hand_over;
struct log_room;
struct memory_watch;
struct loop;
struct children;
struct loop_reaper;
struct loop_signal;
struct loop_timer;
struct owners;
struct process;
struct relay;
struct service_manager;
struct stats;
struct upgrade;

enum supervisor_state { SUPERVISOR_STARTING, SUPERVISOR_RUNNING, SUPERVISOR_STOPPING };
enum { SUPERVISOR_SIGNALS = 6, SLOTS_MAX = 2000, NODE_SIZE = 65, PROGRAM_PATH = 4200 };

/* What we listen to. */
extern const int supervisor_signals[SUPERVISOR_SIGNALS];

struct supervisor {
	struct loop *loop;
	struct config_options options; /* for reloads; borrowed */
	struct config *config;
	uint32_t generation; /* of the configuration that workers get */
	char *logger_program;
	char *config_error;		/* of the last reload, NULL when it was good */
	char epoch[CONTAIN_EPOCH_SIZE]; /* ours alone: what we start is told from what others did */
	char mark[CONTAIN_EPOCH_SIZE];	/* of the runtime directory: all instances carry it */
	char node[NODE_SIZE];
	char program_dir[PROGRAM_PATH - 100];
	char *runtime_dir, *state_dir, *log_dir; /* fixed for life */
	int64_t started_at_ms;
	enum supervisor_state state;
	int runtime_fd, slots_fd, empty_fd, lock_fd;
	int signals_to_stop; /* how often we were told */
	bool sweep;	     /* only ends what an earlier one left */
	bool ended;
	int exit_code;

	struct list processes; /* struct process, in order of configuration */
	struct contain *contain;
	struct children *children;
	struct groups_watch *groups; /* NULL: no cgroup is ours */
	struct stats *stats;
	struct log_room *logs;
	struct memory_watch *memory;
	struct owners *owners;
	struct relay *relay;
	struct control *control;
	struct upgrade *upgrade;
	struct hand_over *hand_over; /* of the droverd whose place we took; NULL */
	uint64_t upgrades;	     /* how often this pid took another droverd's place */
	char *upgrade_error;	     /* of the last try, NULL when it went well */
	struct service_manager *manager;
	struct loop_reaper *reaper;
	struct loop_signal *signals[SUPERVISOR_SIGNALS];
	struct loop_timer *summary_timer;
	struct loop_timer *look_timer;	 /* at what follows from changes, once a turn */
	struct loop_timer *go_on_timer;	 /* see instance_go_on() */
	struct loop_timer *settle_timer; /* see spawn_settle_by() */
	int64_t gather_ms;		 /* see loop_gather() */
	int gathered;			 /* meanwhile: about how many have still to end */
	int64_t summary_ms;		 /* when the monitor was told last */
	int64_t watched_until_ms; /* somebody reads what it knows: it is told anew and anew */
	bool summary_soon;	  /* it will be told of what changed */
};

/**
 * Takes the runtime directory, adopts or ends what an earlier supervisor left, starts the
 * rest.
 * @param config  takes it when 0 is returned
 * @param hand_over  of the droverd whose place we took, or NULL; takes it
 * @param sweep  starts no slot: ends everything that an earlier supervisor left, then stops the
 * loop
 * @return 0; -EBUSY another droverd is there (err says its pid); negative errno
 */
int supervisor_start(struct supervisor **out, struct loop *loop, struct config *config,
	const struct config_options *options, struct hand_over *hand_over, bool sweep,
	struct err *err) MUST_CHECK;
/** After the loop has ended. @return the exit code */
int supervisor_stop(struct supervisor *sv);

/* For the rooms of the supervisor. */
struct process *supervisor_process(const struct supervisor *sv, const char *name);
/** The ready worker of this kind's name, NULL when it is away. */
struct process *supervisor_worker(const struct supervisor *sv, const char *kind_name);
/** Makes a slot at rest; without worker and service one that is only to be ended. NULL: err says
 * why. */
struct process *supervisor_add(struct supervisor *sv, const char *name,
	const struct config_worker *worker, const struct config_service *service, struct err *err);
/** Nothing is left of it: it, its record and its log go. */
void supervisor_remove(struct supervisor *sv, struct process *p);
/** A slot's state changed, or what status shows of it. */
void supervisor_changed(struct supervisor *sv, struct process *p);
/** Somebody reads the summary: for a while it is sent every few seconds. */
void supervisor_watched(struct supervisor *sv);
/** Sends the summary unless the monitor has a young one. */
void supervisor_refresh_summary(struct supervisor *sv);
/** Begins to stop everything; again: shortens it to 1 s. */
void supervisor_shut_down(struct supervisor *sv);
/** Reads the configuration again and takes it up, or says why not; nothing changes then. */
void supervisor_reload(struct supervisor *sv);
