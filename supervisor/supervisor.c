/* SPDX-License-Identifier: MIT */
#include "supervisor.h"

#include "accept.h"
#include "adopt.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "children.h"
#include "config/kind.h"
#include "control.h"
#include "groups.h"
#include "hand_over.h"
#include "instance.h"
#include "ipc/messages.h"
#include "log_room.h"
#include "loop/loop.h"
#include "memory.h"
#include "order.h"
#include "owners.h"
#include "place.h"
#include "records.h"
#include "relay.h"
#include "reload.h"
#include "reserve.h"
#include "service_manager.h"
#include "spawn.h"
#include "stats/stats.h"
#include "status.h"
#include "summary.h"
#include "task_slot.h"
#include "together.h"
#include "upgrade.h"
#include "worker_link.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	HURRY_MS = 1000,
	MANY = 32,     /* that end at the same time */
	GATHER_MS = 3, /* what ends within it is told at once then */
};

static void on_signal(void *arg, int signo);
static bool is_own(void *arg, int pid);
static void look(void *arg);

/* --- slots --- */

struct process *supervisor_process(const struct supervisor *sv, const char *name)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (str_eq(p->name, name))
			return p;
	}
	return NULL;
}

struct process *supervisor_worker(const struct supervisor *sv, const char *kind_name)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->kind && str_eq(p->kind->name, kind_name) && instance_ready(p) &&
			p->state == PROCESS_RUNNING)
			return p;
	}
	return NULL;
}

/* Workers have a place each in the shared statistics; it stays with the name. */
static uint32_t free_stats_slot(const struct supervisor *sv, const char *name)
{
	uint32_t unused = STATS_SLOTS;
	for (uint32_t i = 0; i < STATS_SLOTS; i++) {
		const struct stats_slot *s = stats_peek(sv->stats, i);
		if (s && str_eq(stats_slot_name(s), name))
			return i;
		bool taken = s && supervisor_process(sv, stats_slot_name(s));
		LIST_FOR_EACH (node, &sv->processes) {
			const struct process *p = LIST_ENTRY(node, struct process, node);
			taken = taken || (p->kind && p->stats_slot == i);
		}
		if (!taken && unused == STATS_SLOTS)
			unused = i;
	}
	return unused;
}

/* "collect:2" that is no longer configured was a worker too. */
static const struct worker_kind *kind_of_name(const char *name)
{
	for (size_t i = 0; worker_kinds[i]; i++) {
		size_t len = strlen(worker_kinds[i]->name);
		if (worker_kinds[i]->program && strncmp(name, worker_kinds[i]->name, len) == 0 &&
			(name[len] == '\0' || name[len] == ':'))
			return worker_kinds[i];
	}
	return NULL;
}

struct process *supervisor_add(struct supervisor *sv, const char *name,
	const struct config_worker *worker, const struct config_service *service, struct err *err)
{
	const struct config_supervision *rules = worker	   ? &worker->supervision
						 : service ? &service->supervision
							   : &sv->config->supervisor.supervision;
	uint32_t index = worker ? free_stats_slot(sv, name) : STATS_SLOTS;
	if (worker && index == STATS_SLOTS) {
		err_set(err, -E2BIG, "more than %d workers", STATS_SLOTS);
		return NULL;
	}
	/* Its log is opened when it is started: what is not to be had then is that start's matter.
	 */
	struct process *p = process_new(sv->loop, &instance_ops, sv, name, rules);
	if (!p) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	p->worker = worker;
	p->service = service;
	p->kind = worker ? worker->kind : service ? NULL : kind_of_name(name);
	p->stats_slot = index;
	if (worker)
		stats_slot(sv->stats, index, name);
	list_add_tail(&sv->processes, &p->node);
	if (!worker && !service) {
		p->wanted = false;
		process_orphan(p);
	}
	return p;
}

static int add_slots(struct supervisor *sv, struct err *err)
{
	struct slots slots = { 0 };
	int rc = slots_of(sv->config, SLOTS_MAX, &slots, err);
	for (size_t i = 0; i < slots.count && rc == 0; i++) {
		const struct slot *s = &slots.items[i];
		if (!supervisor_add(sv, s->name, s->worker, s->service, err))
			rc = err->code;
	}
	slots_finish(&slots);
	return rc;
}

/* A sweep: the slots are there only for how they want to be stopped. */
static void want_nothing(struct supervisor *sv)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		p->wanted = false;
		process_orphan(p);
	}
}

void supervisor_remove(struct supervisor *sv, struct process *p)
{
	log_info(MAIN, "process_removed", KV_STR("name", p->name));
	/* A job's next run writes there. */
	if (!p->task || !task_slot_job(sv, p->name) || strchr(p->name, ':'))
		log_room_close(sv->logs, p->name);
	record_remove(sv->slots_fd, p->name);
	process_free(p);
}

static void remove_slots(struct supervisor *sv)
{
	LIST_FOR_EACH_SAFE (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->removed && process_is_down(p))
			supervisor_remove(sv, p);
	}
}

static bool is_own(void *arg, int pid)
{
	struct supervisor *sv = arg;
	return pid == log_room_pid(sv->logs) || children_has(sv->children, pid);
}

static bool log_is_used(void *arg, const char *name)
{
	return supervisor_process(arg, name) || task_slot_job(arg, name);
}

/* --- what follows from a change, once a turn --- */

static void look_soon(void *arg)
{
	const struct supervisor *sv = arg;
	if (!loop_timer_armed(sv->look_timer))
		loop_timer_start(sv->look_timer, sv->gather_ms);
}

void supervisor_changed(struct supervisor *sv, struct process *p)
{
	look_soon(sv);
	/* The last few are not gathered, nor is what follows them. */
	if (sv->gather_ms && p && process_is_down(p) && --sv->gathered < MANY)
		loop_timer_start(sv->look_timer, 0);
	summary_changed(sv);
}

static void look_ready(struct supervisor *sv)
{
	char status[128];
	if (sv->state == SUPERVISOR_STARTING) {
		LIST_FOR_EACH (node, &sv->processes) {
			const struct process *p = LIST_ENTRY(node, struct process, node);
			/* One that was started twice has had its first round; of many that crash
			 * and start again, some would always be on their way. */
			if (p->attempts > 1)
				continue;
			if (p->state == PROCESS_STARTING || p->state == PROCESS_STOPPING ||
				(p->state == PROCESS_WAITING && !p->blocked &&
					p->due_ms <= clock_boot_ms()))
				return;
		}
		sv->state = SUPERVISOR_RUNNING;
		const struct status_counts counts = status_count(sv);
		log_info(MAIN, "supervisor_ready", KV_INT("pid", getpid()),
			KV_INT("count", counts.up));
		status_write_counts(sv, &counts, status, sizeof(status));
		service_manager_ready(sv->manager, status);
		/* What the start took and does not need any more. */
		malloc_trim(0);
	}
}

static void stop_next(struct supervisor *sv, const struct status_counts *counts);

/* Each turn reads the list of our children once, and of hundreds that is long; their lines of log
 * are few writes. */
static void gather(struct supervisor *sv, int64_t ms)
{
	if (sv->gather_ms != ms) {
		loop_gather(sv->loop, ms);
		log_hold(ms > 0 ? look_soon : NULL, sv);
		together_hurry(ms > 0);
	}
	sv->gather_ms = ms;
}

static void look(void *arg)
{
	struct supervisor *sv = arg;
	char status[128];
	/* One look at all slots mostly. */
	struct status_counts counts = status_count(sv);
	log_flush();
	if (sv->state == SUPERVISOR_STOPPING && counts.waiting >= MANY)
		gather(sv, GATHER_MS);
	if (counts.waiting) {
		order_settle(&sv->processes);
		counts = status_count(sv);
	}
	task_slots_look(sv);
	control_settle(sv->control);
	upgrade_look(sv->upgrade);
	if (counts.leaving) {
		remove_slots(sv);
		counts = status_count(sv);
	}
	if (sv->state == SUPERVISOR_STOPPING) {
		sv->gathered = counts.starting;
		gather(sv, counts.starting >= MANY ? GATHER_MS : 0);
		stop_next(sv, &counts);
	} else {
		look_ready(sv);
	}
	status_write_counts(sv, &counts, status, sizeof(status));
	service_manager_status(sv->manager, status);
}

/* --- shutting down: workers first, for they may need the services; then services in their order,
 * last started first --- */

static void on_logger_ended(void *arg)
{
	struct supervisor *sv = arg;
	loop_stop(sv->loop);
}

static void end(struct supervisor *sv)
{
	sv->ended = true;
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		sv->exit_code = p->state == PROCESS_STUCK ? 1 : sv->exit_code;
		p->ops->save(p);
	}
	/* Mostly nobody is left, and not every process of the machine has to be looked at. */
	if (!children_none_but(sv->children, log_room_pid(sv->logs)))
		contain_kill_descendants(sv->contain, log_room_pid(sv->logs));
	log_info(
		MAIN, "supervisor_stopped", KV_INT("pid", getpid()), KV_INT("code", sv->exit_code));
	log_room_end(sv->logs, on_logger_ended, sv);
}

static void stop_next(struct supervisor *sv, const struct status_counts *counts)
{
	if (!sv->ended && counts->up + counts->starting == 0)
		end(sv);
}

/* One after the other, at worst. */
static int64_t longest_stop(const struct supervisor *sv)
{
	int64_t workers_ms = 0;
	LIST_FOR_EACH (node, &sv->processes) {
		const struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->kind)
			workers_ms = MAX(workers_ms, p->rules->stop.timeout_ms);
	}
	return workers_ms + order_longest_stop(&sv->processes) + 10000;
}

/* No order any more: it would take as many times as a chain is long. */
static void hurry(struct supervisor *sv)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		process_take_turn(p);
		process_hurry(p, HURRY_MS);
	}
}

void supervisor_shut_down(struct supervisor *sv)
{
	sv->signals_to_stop++;
	if (sv->state == SUPERVISOR_STOPPING) {
		hurry(sv);
		return;
	}
	sv->state = SUPERVISOR_STOPPING;
	log_info(MAIN, "supervisor_stopping", KV_INT("pid", getpid()));
	service_manager_stopping(sv->manager, longest_stop(sv));
	LIST_FOR_EACH (node, &sv->processes)
		order_stop(LIST_ENTRY(node, struct process, node), CAUSE_SHUTDOWN, false, true);
	supervisor_changed(sv, NULL);
}

static void quit(struct supervisor *sv)
{
	sv->state = SUPERVISOR_STOPPING;
	service_manager_stopping(sv->manager, longest_stop(sv));
	log_warn(MAIN, "supervisor_stopping", KV_INT("pid", getpid()), KV_STR("signal", "QUIT"));
	LIST_FOR_EACH (node, &sv->processes)
		process_quit(LIST_ENTRY(node, struct process, node));
	supervisor_changed(sv, NULL);
}

/* --- reload --- */

static int change_slot(
	struct supervisor *sv, const struct slot *slot, enum reload_change change, struct err *err)
{
	struct process *p = supervisor_process(sv, slot->name);
	/* An earlier reload may have had no room for it. */
	bool added = !p;
	if (p && p->task)
		return err_set(err, -EBUSY, "a command of the job that had this name runs still");
	if (added)
		p = supervisor_add(sv, slot->name, slot->worker, slot->service, err);
	if (!p)
		return err->code;
	bool back = p->removed || added;
	p->removed = false;
	p->worker = slot->worker;
	p->service = slot->service;
	if (p->kind != (slot->worker ? slot->worker->kind : NULL)) {
		p->kind = slot->worker ? slot->worker->kind : NULL;
		p->stats_slot = slot->worker ? free_stats_slot(sv, p->name) : STATS_SLOTS;
	}
	process_adjust(p, slot->worker ? &slot->worker->supervision : &slot->service->supervision);
	p->outdated = p->outdated || change == RELOAD_RESTART || back;
	if (back)
		process_start(p, CAUSE_CONFIG);
	else if (change == RELOAD_RESTART && p->wanted)
		process_restart(p, CAUSE_CONFIG);
	else if (p->kind && p->instance && p->instance->greeted)
		worker_link_configure(p);
	return 0;
}

static enum reload_change change_of(const struct reload_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++)
		if (str_eq(plan->steps[i].name, name))
			return plan->steps[i].change;
	return RELOAD_LIVE;
}

/* What needs a new droverd stays as it is, and so each reload says anew what the file says
 * otherwise. */
static void keep_places(const struct supervisor *sv, struct config *fresh)
{
	fresh->supervisor.state_dir = sv->state_dir;
	fresh->supervisor.runtime_dir = sv->runtime_dir;
	fresh->logs.dir = sv->log_dir;
}

/* The new configuration is in place when this returns; the old one is freed. */
static void take_over(struct supervisor *sv, struct config *fresh, const struct reload_plan *plan)
{
	struct config *old = sv->config;
	struct slots slots = { 0 };
	struct err err = { 0 };
	if (slots_of(fresh, SLOTS_MAX, &slots, &err) < 0) {
		log_error(MAIN, "reload_failed", KV_STR("error", err.text));
		return;
	}
	for (size_t i = 0; i < plan->count; i++) {
		struct process *p = supervisor_process(sv, plan->steps[i].name);
		if (!p || plan->steps[i].change != RELOAD_STOP)
			continue;
		process_orphan(p);
		order_stop(p, CAUSE_CONFIG, false, false);
	}
	keep_places(sv, fresh);
	sv->config = fresh;
	sv->generation++;
	for (size_t i = 0; i < slots.count; i++)
		if (change_slot(sv, &slots.items[i], change_of(plan, slots.items[i].name), &err) <
			0)
			log_error(MAIN, "process_not_added", KV_STR("name", slots.items[i].name),
				KV_STR("error", err.text));
	slots_finish(&slots);
	log_set_level((enum log_level)fresh->logs.level);
	task_slots_configure(sv);
	log_room_configure(sv->logs, &fresh->logs);
	log_room_tidy(sv->logs, log_is_used, sv);
	memory_watch_configure(sv->memory);
	config_free(old);
	malloc_trim(0);
}

static void write_steps(const struct reload_plan *plan, struct buf *json)
{
	struct json_out j;
	json_out_init(&j, json);
	json_open_array(&j, NULL);
	for (size_t i = 0; i < plan->count && json->len < PAGE_MAX / 2; i++) {
		json_open_object(&j, NULL);
		json_str(&j, "name", plan->steps[i].name);
		json_str(&j, "change", reload_change_name(plan->steps[i].change));
		json_close_object(&j);
	}
	json_close_array(&j);
}

static void reject(struct supervisor *sv, struct buf *report)
{
	free(sv->config_error);
	sv->config_error = strndup(buf_str(report), PAGE_MAX / 8);
	log_error(MAIN, "config_rejected", KV_STR("file", sv->options.file),
		KV_STR("error", buf_str(report)));
	control_reloaded(sv->control, false, buf_str(report), "[]");
}

static void reload_with(struct supervisor *sv, struct config *fresh, struct buf *report)
{
	CLEANUP(buf_finish) struct buf steps = BUF_INIT;
	struct reload_plan plan = { 0 };
	struct err err = { 0 };
	bool swapped = MUTANT(CONFIG_SWAPPED_BEFORE_CHECKS);
	int rc = reload_plan(sv->config, fresh, SLOTS_MAX, &plan, &err);
	if (rc < 0)
		buf_addf(report, "%s: error: %s\n", sv->options.file, err.text);
	if (rc == 0 && swapped)
		take_over(sv, fresh, &plan);
	if (rc == 0)
		rc = accept_config(fresh, sv->program_dir, SLOTS_MAX, report);
	if (rc < 0) {
		if (!swapped)
			config_free(fresh);
		reject(sv, report);
	} else {
		if (!swapped)
			take_over(sv, fresh, &plan);
		free(sv->config_error);
		sv->config_error = NULL;
		write_steps(&plan, &steps);
		log_info(MAIN, "config_reloaded", KV_STR("file", sv->options.file),
			KV_INT("count", plan.count));
		control_reloaded(sv->control, true, "", buf_str(&steps));
	}
	reload_plan_finish(&plan);
}

void supervisor_reload(struct supervisor *sv)
{
	CLEANUP(buf_finish) struct buf report = BUF_INIT;
	struct config *fresh = NULL;
	char status[128];
	if (sv->state == SUPERVISOR_STOPPING) {
		log_warn(MAIN, "config_rejected", KV_STR("file", sv->options.file),
			KV_STR("error", "the supervisor is stopping"));
		control_reloaded(sv->control, false, "the supervisor is stopping", "[]");
		return;
	}
	service_manager_reloading(sv->manager);
	sv->options.refuse_empty = true;
	/* With a full table too: the new configuration may be what empties it. */
	reserve_give(contain_reserve(sv->contain), RESERVE_FDS);
	if (config_load(&fresh, &sv->options, &report) < 0)
		reject(sv, &report);
	else
		reload_with(sv, fresh, &report);
	reserve_take(contain_reserve(sv->contain));
	loop_update_now(sv->loop);
	const struct status_counts counts = status_count(sv);
	status_write_counts(sv, &counts, status, sizeof(status));
	service_manager_reloaded(sv->manager, status);
	supervisor_changed(sv, NULL);
}

/* --- signals --- */

static void on_signal(void *arg, int signo)
{
	struct supervisor *sv = arg;
	switch (signo) {
	case SIGTERM:
	case SIGINT: supervisor_shut_down(sv); break;
	case SIGQUIT: quit(sv); break;
	case SIGHUP: supervisor_reload(sv); break;
	case SIGUSR1: (void)log_room_rotate(sv->logs, NULL, NULL); break;
	case SIGUSR2: upgrade_begin(sv->upgrade); break;
	default: break;
	}
}

const int supervisor_signals[SUPERVISOR_SIGNALS] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
	SIGUSR2 };

static int watch_signals(struct supervisor *sv, struct err *err)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++) {
		sv->signals[i] = loop_signal_new(sv->loop, supervisor_signals[i], on_signal, sv);
		if (!sv->signals[i])
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* --- start and end --- */

static void on_log_settled(void *arg, const char *name)
{
	struct process *p = supervisor_process(arg, name);
	if (p)
		process_go_on(p);
}

static int open_logs(struct supervisor *sv, struct err *err)
{
	char logger[PROGRAM_PATH + 256];
	str_copy(logger, sizeof(logger), worker_link_find(sv->program_dir, "drover-log"));
	sv->logger_program = strdup(logger);
	if (!sv->logger_program)
		return err_set(err, -ENOMEM, "out of memory");
	const struct log_room_place place = { .runtime_fd = sv->runtime_fd,
		.slots_fd = sv->slots_fd,
		.empty_fd = sv->empty_fd,
		.program = sv->logger_program,
		.log_dir = sv->log_dir,
		.mark = sv->mark,
		.contain = sv->contain,
		.manager = sv->manager };
	int rc = log_room_new(&sv->logs, sv->loop, &place, &sv->config->logs, err);
	if (rc < 0)
		return rc;
	log_room_watch(sv->logs, on_log_settled, sv);
	log_open("droverd", log_room_categories(sv->logs), (enum log_level)sv->config->logs.level);
	return 0;
}

static void take_logs(struct supervisor *sv)
{
	char name[HAND_OVER_NAME];
	for (int fd; (fd = hand_over_next(sv->hand_over, HAND_OVER_LOG, name)) >= 0;)
		service_manager_given(sv->manager, name, fd);
}

static int open_rooms(struct supervisor *sv, struct err *err)
{
	char path[PROGRAM_PATH];
	sv->manager = service_manager_new(sv->loop);
	if (!sv->manager)
		return err_set(err, -ENOMEM, "out of memory");
	take_logs(sv);
	int rc = open_logs(sv, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/stats", sv->runtime_dir);
	rc = stats_create(&sv->stats, path, err);
	if (rc < 0)
		return rc;
	sv->owners = owners_new(sv);
	sv->relay = relay_new(sv);
	sv->memory = memory_watch_new(sv);
	sv->summary_timer = loop_timer_new(sv->loop, summary_on_timer, sv);
	sv->upgrade = upgrade_new(sv);
	if (!sv->owners || !sv->relay || !sv->memory || !sv->summary_timer || !sv->upgrade)
		return err_set(err, -ENOMEM, "out of memory");
	rc = watch_signals(sv, err);
	if (rc < 0)
		return rc;
	sv->reaper = loop_reaper_new(sv->loop, is_own, sv);
	return sv->reaper ? control_new(&sv->control, sv, err)
			  : err_set(err, -ENOMEM, "out of memory");
}

/* All that was left open for us is taken now, or of no use. */
static void note_upgrade(struct supervisor *sv)
{
	if (!sv->hand_over)
		return;
	log_info(MAIN, "upgraded", KV_INT("pid", getpid()), KV_STR("version", DROVER_VERSION),
		KV_STR("detail", hand_over_from(sv->hand_over)), KV_INT("count", sv->upgrades));
	hand_over_free(TAKE(sv->hand_over));
}

/* In the next turn, when all that is to start in this one has a child. */
static void on_settle(void *arg UNUSED)
{
	spawn_settle();
}

static void on_go_on(void *arg)
{
	const struct supervisor *sv = arg;
	LIST_FOR_EACH (node, &sv->processes)
		instance_go_on(LIST_ENTRY(node, struct process, node));
}

static void settle_soon(void *arg)
{
	struct supervisor *sv = arg;
	if (!loop_timer_armed(sv->settle_timer))
		loop_timer_start(sv->settle_timer, 0);
}

static int begin(struct supervisor *sv, struct err *err)
{
	int rc = place_take(sv, err);
	if (rc < 0)
		return rc;
	rc = contain_new(&sv->contain, err);
	if (rc < 0)
		return rc;
	/* What loses its parent comes to us, so that it is found. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sv->children = children_new();
	if (!sv->children)
		return err_set(err, -ENOMEM, "out of memory");
	spawn_raise_fd_limit();
	spawn_prepare();
	sv->look_timer = loop_timer_new(sv->loop, look, sv);
	sv->settle_timer = loop_timer_new(sv->loop, on_settle, sv);
	sv->go_on_timer = loop_timer_new(sv->loop, on_go_on, sv);
	if (!sv->look_timer || !sv->settle_timer || !sv->go_on_timer)
		return err_set(err, -ENOMEM, "out of memory");
	spawn_settle_by(settle_soon, sv);
	rc = adopt_marks(sv, err);
	if (rc == 0)
		rc = open_rooms(sv, err);
	if (rc < 0)
		return rc;
	log_info(MAIN, sv->sweep ? "sweep_started" : "supervisor_started", KV_INT("pid", getpid()),
		KV_STR("version", DROVER_VERSION), KV_STR("file", sv->config->file));
	rc = groups_start(&sv->groups, sv, err);
	if (rc == 0)
		rc = add_slots(sv, err);
	if (rc < 0)
		return rc;
	if (sv->sweep)
		want_nothing(sv);
	rc = adopt_and_start(sv, err);
	if (rc < 0)
		return rc;
	note_upgrade(sv);
	log_room_tidy(sv->logs, log_is_used, sv);
	if (sv->sweep)
		supervisor_shut_down(sv);
	supervisor_changed(sv, NULL);
	return 0;
}

static void on_left(void *arg, const char *slot)
{
	bool *left = arg;
	*left = *left || slot[0] != ':';
}

/* After a start that failed: drover-log lives on for those whom an earlier droverd left, but
 * without them nobody would ever end it. */
static void end_needless_logger(struct supervisor *sv)
{
	bool needed = false;
	if (!sv->logs)
		return;
	contain_marked(sv->contain, on_left, &needed);
	if (needed)
		return;
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		loop_signal_free(TAKE(sv->signals[i]));
	log_room_end(sv->logs, on_logger_ended, sv);
	loop_run(sv->loop);
}

int supervisor_start(struct supervisor **out, struct loop *loop, struct config *config,
	const struct config_options *options, struct hand_over *hand_over, bool sweep,
	struct err *err)
{
	struct supervisor *sv = NEW(struct supervisor);
	if (!sv) {
		hand_over_free(hand_over);
		return err_set(err, -ENOMEM, "out of memory");
	}
	sv->loop = loop;
	sv->options = *options;
	sv->config = config;
	sv->sweep = sweep;
	sv->hand_over = hand_over;
	sv->upgrades = hand_over_upgrades(hand_over);
	sv->generation = 1;
	sv->started_at_ms = clock_real_ms();
	sv->runtime_fd = sv->slots_fd = sv->empty_fd = sv->lock_fd = -1;
	list_init(&sv->processes);
	place_program_dir(sv->program_dir, sizeof(sv->program_dir));
	int rc = begin(sv, err);
	if (rc < 0) {
		end_needless_logger(sv);
		sv->config = NULL;
		supervisor_stop(sv);
		return rc;
	}
	*out = sv;
	return 0;
}

int supervisor_stop(struct supervisor *sv)
{
	int exit_code = sv->exit_code;
	upgrade_free(sv->upgrade);
	control_free(sv->control);
	loop_cancel_deferred(sv->loop, sv);
	LIST_FOR_EACH_SAFE (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->instance)
			p->ops->gone(p);
		process_free(p);
	}
	loop_reaper_free(sv->reaper);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		loop_signal_free(sv->signals[i]);
	loop_timer_free(sv->summary_timer);
	relay_free(sv->relay);
	owners_free(sv->owners);
	memory_watch_free(sv->memory);
	stats_close(sv->stats);
	log_set_text(true);
	groups_stop(sv->groups);
	children_free(sv->children);
	spawn_finish();
	loop_timer_free(sv->settle_timer);
	loop_timer_free(sv->look_timer);
	loop_timer_free(sv->go_on_timer);
	config_free(sv->config);
	/* Meanwhile drover-log has come to its end. */
	log_room_free(sv->logs);
	service_manager_free(sv->manager);
	contain_free(sv->contain);
	place_leave(sv);
	free(sv->logger_program);
	free(sv->config_error);
	free(sv->upgrade_error);
	hand_over_free(sv->hand_over);
	free(sv);
	return exit_code;
}
