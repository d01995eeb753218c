/* SPDX-License-Identifier: MIT */
#include "instance.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "children.h"
#include "config/config.h"
#include "config/kind.h"
#include "contain.h"
#include "ipc/channel.h"
#include "log/log.h"
#include "log_room.h"
#include "loop/loop.h"
#include "order.h"
#include "owners.h"
#include "probe_exec.h"
#include "probe_notify.h"
#include "records.h"
#include "relay.h"
#include "reserve.h"
#include "spawn.h"
#include "supervisor.h"
#include "task_slot.h"
#include "together.h"
#include "upgrade.h"
#include "worker_link.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LOST_MS = 1000, /* from a closed channel to the end of its worker */
	EXEC_LOOK_MS = 20,
	EXEC_LOOKS = 150,
	GO_ON_MS = 50,		/* from the signal that ends until that to go on */
	DRAIN_MARGIN_MS = 1500, /* a worker gives up draining this long before it would be killed */
};

static void on_ended(void *arg, const siginfo_t *info);
static void on_error_pipe(void *arg, int fd, unsigned events);
static void on_lost(void *arg);
static void on_closed(void *arg, const char *why);
static void on_message(void *arg, struct message *m);

/* --- records --- */

static void fill_record(const struct process *p, struct record *r)
{
	const struct supervisor *sv = p->owner;
	*r = (struct record) { .incarnation = p->incarnation,
		.last_start_ms = p->last_start_ms,
		.last_automatic_ms = p->last_automatic_ms,
		.before_automatic_ms = p->before_automatic_ms,
		.due_ms = p->due_ms,
		.started_at_ms = p->started_at_ms,
		.strikes = p->strikes,
		.told_interval_ms = p->told_interval_ms,
		.restarts = p->restarts,
		.fingerprint = p->fingerprint,
		.state = p->state,
		.next_cause = p->next_cause,
		.end_cause = p->end_cause,
		.last_exit = { .cause = p->last_exit.cause,
			.code = p->last_exit.code,
			.signal = p->last_exit.signal,
			.at_ms = p->last_exit.at_ms },
		.wanted = !p->stay_down,
		.closed = sv->state == SUPERVISOR_STOPPING && process_is_down(p),
		.held = p->held,
		.ready = p->ready,
		.end_failed = p->end_failed,
		.drained = p->memory.drained };
	str_copy(r->name, sizeof(r->name), p->name);
	str_copy(r->mark, sizeof(r->mark), sv->mark);
	str_copy(r->epoch, sizeof(r->epoch), p->instance ? p->instance->epoch : sv->epoch);
	if (p->task) {
		r->task.id = p->task->id;
		r->task.fence = p->task->fence;
		r->task.run = p->task->run;
		r->task.attempt = p->task->attempt;
		r->task.deadline_ms = p->task->deadline_ms;
	}
	if (p->instance) {
		r->pid = p->instance->pid;
		r->start_time = p->instance->start_time;
	}
}

/* With a full table too: what the next supervisor must know is not left out. */
static int open_record(const struct supervisor *sv, const char *name, struct err *err)
{
	struct reserve *reserve = contain_reserve(sv->contain);
	int fd = record_open(sv->slots_fd, name, err);
	if (fd != -EMFILE && fd != -ENFILE)
		return fd;
	reserve_give(reserve, 1);
	return record_open(sv->slots_fd, name, err);
}

static void save(struct process *p)
{
	const struct supervisor *sv = p->owner;
	struct record record;
	struct err err = { 0 };
	if (p->removed && process_is_down(p)) {
		record_remove(sv->slots_fd, p->name);
		p->saved = 0;
		return;
	}
	/* On record it goes down with all others, and drover-log's will say that all are down: the
	 * next supervisor asks for no more (adopt.c). */
	if (p->end_saved && p->state == PROCESS_STOPPED && !p->task)
		return;
	fill_record(p, &record);
	uint64_t sum = record_sum(&record);
	if (sum == p->saved)
		return;
	if (p->listed && record_is_of_shutdown(&record)) {
		p->saved = sum;
		p->end_saved = true;
		p->listed = false;
		return;
	}
	int fd = open_record(sv, p->name, &err);
	int rc = fd < 0 ? fd : record_write(fd, &record);
	if (fd >= 0)
		sys_close(fd);
	reserve_take(contain_reserve(sv->contain));
	p->saved = rc < 0 ? 0 : sum;
	p->end_saved = rc == 0 && record_is_of_shutdown(&record);
	if (rc < 0)
		log_error(
			MAIN, "record_not_written", KV_STR("name", p->name), KV_INT("errno", -rc));
}

void instance_owner(const struct process *p, char *out, size_t size)
{
	const struct supervisor *sv = p->owner;
	snprintf(out, size, "%s/%s/%s/%llu", sv->node, p->instance ? p->instance->epoch : sv->epoch,
		p->name, (unsigned long long)p->incarnation);
}

/* --- start --- */

static struct instance *instance_new(struct process *p, bool inherited)
{
	struct instance *i = NEW(struct instance);
	if (!i)
		return NULL;
	i->process = p;
	i->sv = p->owner;
	i->pidfd = i->error_fd = -1;
	str_copy(i->epoch, sizeof(i->epoch), i->sv->epoch);
	i->inherited = inherited;
	/* Workers lose their channel, and of what we did not start we look whether it is executed.
	 */
	if (p->kind || inherited)
		i->lost = loop_timer_new(p->loop, on_lost, i);
	if ((p->kind || inherited) && !i->lost) {
		free(i);
		return NULL;
	}
	return i;
}

/* Once: after its end was told, another child of ours may have the number. */
static void forget_child(struct instance *i)
{
	if (i->child)
		children_remove(i->sv->children, i->pid);
	i->child = false;
}

static void instance_free(struct instance *i)
{
	if (!i)
		return;
	forget_child(i);
	loop_exit_free(i->exit);
	loop_io_free(i->error_io);
	loop_timer_free(i->lost);
	probe_exec_free(i->exec);
	probe_notify_free(i->notify);
	channel_free(i->channel);
	if (i->pidfd >= 0)
		sys_close(i->pidfd);
	if (i->error_fd >= 0)
		sys_close(i->error_fd);
	free(i);
}

void instance_add_variable(struct instance_plan *plan, const char *name, const char *value)
{
	if (plan->spec.environment_count < INSTANCE_ENVIRONMENT_MAX)
		plan->environment[plan->spec.environment_count++] = (struct spawn_variable) { name,
			value };
}

/* For its own records, and for who wants to do a run's work only once. */
static void plan_task(struct instance_plan *plan, const struct process *p)
{
	struct process_task *t = p->task;
	snprintf(t->run_text, sizeof(t->run_text), "%llu", (unsigned long long)t->run);
	snprintf(t->attempt_text, sizeof(t->attempt_text), "%llu", (unsigned long long)t->attempt);
	instance_add_variable(plan, "DROVER_JOB", p->service->name);
	instance_add_variable(plan, "DROVER_RUN", t->run_text);
	instance_add_variable(plan, "DROVER_ATTEMPT", t->attempt_text);
}

static void plan_environment(struct instance_plan *plan, const struct process *p, const char *label)
{
	const struct supervisor *sv = p->owner;
	snprintf(plan->mark, sizeof(plan->mark), "%s:%llu", sv->mark,
		(unsigned long long)p->incarnation);
	for (size_t i = 0; p->service && i < p->service->environment.count; i++)
		instance_add_variable(plan, p->service->environment.items[i].name,
			p->service->environment.items[i].value);
	if (p->task)
		plan_task(plan, p);
	instance_add_variable(plan, MARK_SLOT, label);
	instance_add_variable(plan, MARK_INSTANCE, plan->mark);
#ifdef DROVER_MUTANTS
	if (mutant_name())
		instance_add_variable(plan, "DROVER_MUTANT", mutant_name());
	if (p->kind && getenv("DROVER_MACHINE"))
		instance_add_variable(plan, "DROVER_MACHINE", getenv("DROVER_MACHINE"));
#endif
}

/* The vector of a command ends with NULL; items of a configuration do not. */
static const char **build_command(const struct config_strings *command, const char *program)
{
	size_t count = command ? command->count : 1;
	const char **argv = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; argv && i < count; i++)
		argv[i] = command ? command->items[i] : program;
	return argv;
}

/* NULL: those of the user */
static const char **build_groups(const struct process *p)
{
	size_t count = p->service ? p->service->groups.count : 0;
	const char **groups = count ? calloc(count + 1, sizeof(char *)) : NULL;
	for (size_t i = 0; groups && i < count; i++)
		groups[i] = p->service->groups.items[i];
	return groups;
}

static struct spawn_limits limits_of(const struct process *p)
{
	const struct config_rlimits none = { 0 }, *r = p->service ? &p->service->rlimits : &none;
	return (struct spawn_limits) {
		.nofile = r->nofile, .nproc = r->nproc, .core = r->core, .memory = r->memory
	};
}

/* Without the right or the room for a group the sweep contains it; what only lasts a while (no
 * descriptor, no memory) is a failed start. @return the group, -1 none, other negative errno */
static int make_group(struct process *p)
{
	const struct supervisor *sv = p->owner;
	struct err err = { 0 };
	int fd = contain_make_group(sv->contain, p->name, p->incarnation, &err);
	if (fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return fd;
	if (err.code)
		log_warn(MAIN, "group_not_made", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_STR("error", err.text));
	return -1;
}

int instance_plan(struct instance_plan *plan, const struct process *p, const char *label,
	const struct config_strings *command)
{
	const struct supervisor *sv = p->owner;
	const struct config_service *s = p->service;
	plan->argv = build_command(command, p->kind ? worker_link_program(sv, p->kind) : NULL);
	plan->groups = build_groups(p);
	if (!plan->argv || (s && s->groups.count && !plan->groups)) {
		instance_plan_finish(plan);
		return -ENOMEM;
	}
	plan->spec = (struct spawn_spec) { .argv = plan->argv,
		.directory = s ? s->directory : NULL,
		.user = s ? s->user : p->worker->user,
		.group = s ? s->group : NULL,
		.environment = plan->environment,
		.groups = plan->groups,
		.log_group = s ? s->log_group : NULL,
		.umask = s ? s->umask : NULL,
		.limits = limits_of(p),
		.nice = s ? s->nice : p->worker->nice,
		.oom_score_adjust = s ? s->oom_score_adjust : p->worker->oom_score_adjust,
		.limit_mark = contain_limit_mark(sv->mark, label),
		.stdin_fd = sv->empty_fd,
		.output_fd = -1,
		.own_output = 1,
		.channel_fd = -1,
		.cgroup_fd = -1,
		.record_fd = -1 };
	plan_environment(plan, p, label);
	return 0;
}

void instance_plan_finish(struct instance_plan *plan)
{
	free(plan->argv);
	free(plan->groups);
}

static int fork_it(struct process *p, struct instance *i, int log_fd, int record_fd, int channel_fd,
	struct err *err)
{
	struct spawned child;
	struct instance_plan plan;
	if (instance_plan(&plan, p, p->name, p->service ? &p->service->command : NULL) < 0)
		return err_set(err, -ENOMEM, "memory");
	CLEANUP(closep) int group_fd = make_group(p);
	if (group_fd < -1) {
		instance_plan_finish(&plan);
		return err_set(err, group_fd, "cgroup");
	}
	if (children_reserve(i->sv->children) < 0) {
		instance_plan_finish(&plan);
		return err_set(err, -ENOMEM, "memory");
	}
	plan.spec.output_fd = log_fd;
	plan.spec.channel_fd = channel_fd;
	plan.spec.cgroup_fd = group_fd;
	plan.spec.record_fd = record_fd;
	plan.spec.incarnation = p->incarnation;
	if (i->notify)
		probe_notify_plan(i->notify, &plan);
	int rc = spawn_child(&plan.spec, &child, err);
	instance_plan_finish(&plan);
	if (rc < 0)
		return rc;
	children_add(i->sv->children, child.pid);
	i->child = true;
	i->pid = child.pid;
	i->pidfd = child.pidfd;
	i->error_fd = child.error_fd;
	i->start_time = child.start_time ? child.start_time : contain_start_time(child.pid);
	return 0;
}

static int watch(struct instance *i)
{
	i->exit = loop_exit_new(i->process->loop, i->pidfd, on_ended, i);
	if (i->error_fd >= 0)
		i->error_io = loop_io_new(
			i->process->loop, i->error_fd, LOOP_READ, on_error_pipe, i);
	return i->exit && (i->error_fd < 0 || i->error_io) ? 0 : -ENOMEM;
}

/* Each step that fails is named; nothing was started then. */
static int start(struct process *p, struct instance *i, struct err *err)
{
	static const struct channel_ops ops = { .message = on_message, .closed = on_closed };
	struct supervisor *sv = p->owner;
	struct err why = { 0 };
	int fds[2] = { -1, -1 };
	CLEANUP(closep) int log_fd = log_room_writer(sv->logs, p->name, &why);
	if (log_fd < 0)
		return err_set(err, why.code, "log");
	if (process_probe_kind(p) == PROBE_NOTIFY) {
		int open_rc = probe_notify_open(&i->notify, p, &why);
		if (open_rc < 0)
			return err_set(err, open_rc, "notify socket");
	}
	/* What is not on record might be run once more after a crash. */
	if (p->task && !p->saved)
		return err_set(err, -EIO, "record");
	if (p->task)
		task_slot_say_start(p);
	CLEANUP(closep) int record_fd = record_open(sv->slots_fd, p->name, &why);
	if (record_fd < 0)
		return err_set(err, why.code, "record");
	int rc = p->kind ? channel_pair(fds) : 0;
	if (rc < 0)
		return err_set(err, rc, "socketpair");
	CLEANUP(closep) int theirs = fds[1];
	rc = fork_it(p, i, log_fd, record_fd, theirs, err);
	if (rc < 0) {
		if (fds[0] >= 0)
			sys_close(fds[0]);
		return rc;
	}
	if (p->kind && channel_new(&i->channel, p->loop, fds[0], FROM_WORKER, &ops, i) < 0)
		rc = -ENOMEM;
	if (rc < 0 || watch(i) < 0) {
		/* It runs, and we cannot watch it: it must not. */
		sys_pidfd_send_signal(i->pidfd, SIGKILL);
		return err_set(err, -ENOMEM, "watch");
	}
	return 0;
}

/* What stays open: log, pidfd, until it is executed the error pipe; a channel or a socket. What is
 * closed again at once may come out of the reserve. */
static int start_in_room(struct process *p, struct instance *i, struct err *err)
{
	struct reserve *reserve = contain_reserve(i->sv->contain);
	int rc = reserve_room(reserve, process_must_speak(p) ? 4 : 3);
	if (rc < 0)
		return err_set(err, rc, "descriptors");
	reserve_give(reserve, RESERVE_FDS);
	rc = start(p, i, err);
	reserve_take(reserve);
	return rc;
}

static int spawn(struct process *p, struct err *err)
{
	struct instance *i = instance_new(p, false);
	if (!i)
		return err_set(err, -ENOMEM, "memory");
	bool had_log = log_room_inode(i->sv->logs, p->name) != 0;
	int rc = start_in_room(p, i, err);
	if (rc < 0) {
		contain_remove_group(i->sv->contain, p->name);
		if (!had_log)
			log_room_close(i->sv->logs, p->name);
		instance_free(i);
		return rc;
	}
	p->instance = i;
	p->pid = i->pid;
	contain_started(i->sv->contain);
	return 0;
}

/* --- what it tells --- */

static void read_error_pipe(struct instance *i)
{
	struct spawn_failure failure;
	ssize_t n;
	if (i->error_fd < 0)
		return;
	while ((n = read(i->error_fd, &failure, sizeof(failure))) == (ssize_t)sizeof(failure) &&
		spawn_is_warning(&failure))
		process_degraded(i->process, spawn_step_name(failure.step), failure.error);
	if (n == -1 && errno == EAGAIN)
		return;
	loop_io_free(i->error_io);
	i->error_io = NULL;
	sys_close(i->error_fd);
	i->error_fd = -1;
	if (n == (ssize_t)sizeof(failure))
		process_start_failed(i->process, spawn_step_name(failure.step), failure.error);
	else if (!process_must_speak(i->process))
		process_ready(i->process);
}

static void on_error_pipe(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	read_error_pipe(arg);
}

static void on_ended(void *arg, const siginfo_t *info)
{
	struct instance *i = arg;
	forget_child(i);
	/* Why it could not start is told first. */
	if (info && info->si_code == CLD_EXITED && info->si_status == 127)
		read_error_pipe(i);
	if (i->lost)
		loop_timer_stop(i->lost);
	process_exited(i->process, info);
}

static void on_message(void *arg, struct message *m)
{
	struct instance *i = arg;
	worker_link_message(i->process, m);
}

static void on_closed(void *arg, const char *why)
{
	struct instance *i = arg;
	char words[PROCESS_DETAIL]; /* `why` lies in the channel */
	snprintf(words, sizeof(words), "%s", why ? why : "");
	channel_free(i->channel);
	i->channel = NULL;
	i->configured = false;
	relay_target_away(i->sv->relay, i->process);
	if (why) {
		process_fail(i->process, words);
		return;
	}
	process_parts(i->process);
	/* Mostly it is dead and its pidfd tells next. */
	loop_timer_start(i->lost, LOST_MS);
}

static void on_lost(void *arg)
{
	struct instance *i = arg;
	if (i->process->kind)
		process_fail(i->process, "it closed its channel and lives on");
	else
		instance_await_exec(i->process);
}

bool instance_send(struct process *p, int id, const void *body, const int *fds, size_t fd_count)
{
	struct channel *channel = p->instance ? p->instance->channel : NULL;
	int rc = channel ? channel_send(channel, (enum message_id)id, body, fds, fd_count) : -EPIPE;
	/* What somebody wants it to be told is too long: that is not its fault. */
	if (rc < 0 && rc != -EPIPE && rc != -EMSGSIZE)
		process_fail(p, rc == -ENOBUFS ? "it does not read its channel"
					       : "a message could not be sent");
	return rc == 0;
}

/* --- its end --- */

struct contain_target instance_target(const struct process *p)
{
	const struct supervisor *sv = p->owner;
	const struct instance *i = p->instance;
	return (struct contain_target) { .slot = p->name,
		.main_pid = i ? i->pid : 0,
		.main_start = i ? i->start_time : 0,
		.log_inode = log_room_inode(sv->logs, p->name) };
}

static void kill_all(struct process *p)
{
	const struct supervisor *sv = p->owner;
	const struct contain_target target = instance_target(p);
	if (p->instance && p->instance->pidfd >= 0 && !p->main_ended)
		sys_pidfd_send_signal(p->instance->pidfd, SIGKILL);
	contain_signal(sv->contain, &target, SIGKILL, CONTAIN_TREE);
	probe_exec_kill(p);
}

/* The main process leads the group, so the kernel finds it without a look at /proc. */
static bool signal_group(const struct process *p)
{
	struct instance *i = p->instance;
	const struct supervisor *sv = p->owner;
	int signo = (int)p->rules->stop.signal;
	if (!i || i->pidfd < 0 || p->main_ended || sys_pidfd_signal_group(i->pidfd, signo) == -1)
		return false;
	i->to_go_on = signo != SIGKILL && signo != SIGSTOP;
	if (i->to_go_on && !loop_timer_armed(sv->go_on_timer))
		loop_timer_start(sv->go_on_timer, GO_ON_MS);
	return true;
}

void instance_tell_end(struct process *p)
{
	if (p->instance)
		p->instance->told = signal_group(p);
}

/*
 * A stopped process cannot obey until it goes on. Mostly none is: who ends at once is spared the
 * second signal, which would wait for the same locks of the kernel as the ends of the others.
 */
void instance_go_on(struct process *p)
{
	struct instance *i = p->instance;
	if (!i || !i->to_go_on)
		return;
	i->to_go_on = false;
	if (!p->main_ended)
		sys_pidfd_signal_group(i->pidfd, SIGCONT);
}

static void terminate(struct process *p, int64_t deadline_ms)
{
	const struct supervisor *sv = p->owner;
	const struct contain_target target = instance_target(p);
	if (p->kind && p->instance && p->instance->channel && !p->main_ended) {
		const struct msg_drain drain = {
			.deadline_ms = (uint64_t)MIN(p->kind->drain_ms,
				MAX(deadline_ms - DRAIN_MARGIN_MS, deadline_ms / 2))
		};
		if (instance_send(p, MSG_DRAIN, &drain, NULL, 0))
			return;
	}
	/* A worker that lost its supervisor is ending its transaction and leaves by itself. */
	if (p->kind && p->instance && p->instance->inherited && !p->main_ended)
		return;
	if (p->instance && p->instance->told)
		p->instance->told = false;
	else if (!signal_group(p))
		contain_signal(sv->contain, &target, p->rules->stop.signal,
			p->main_ended ? CONTAIN_TREE : CONTAIN_GROUP);
}

struct label {
	const struct supervisor *sv;
	const char *text;
};

static bool is_anothers(void *arg, pid_t pid)
{
	const struct label *label = arg;
	return pid == log_room_pid(label->sv->logs) ||
	       contain_is_anothers(label->sv->contain, pid, label->text);
}

bool instance_is_alone(const struct process *p, const char *label)
{
	const struct supervisor *sv = p->owner;
	struct label mine = { sv, label };
	return children_are_known(sv->children, loop_turn(p->loop), is_anothers, &mine);
}

static int living(struct process *p)
{
	const struct supervisor *sv = p->owner;
	const struct contain_target target = instance_target(p);
	bool none = p->instance && !p->instance->inherited && p->main_ended &&
		    instance_is_alone(p, p->name);
	int count = none ? 0 : contain_count(sv->contain, &target);
	return count + probe_exec_living(p);
}

static void gone(struct process *p)
{
	struct supervisor *sv = p->owner;
	char owner[256];
	instance_owner(p, owner, sizeof(owner));
	relay_target_away(sv->relay, p);
	instance_free(p->instance);
	p->instance = NULL;
	p->usage.looked_ms = 0;
	p->usage.others = 0;
	contain_remove_group(sv->contain, p->name);
	log_room_half_line(sv->logs, p->name, sv->state == SUPERVISOR_STOPPING);
	if (p->kind && p->kind->takes_tasks)
		owners_gone(sv->owners, owner);
}

int instance_adopt(struct process *p, const struct record *record)
{
	const struct supervisor *sv = p->owner;
	struct instance *i = instance_new(p, true);
	if (!i)
		return -ENOMEM;
	struct err err = { 0 };
	p->instance = i;
	p->main_ended = true;
	/* It writes there still. */
	if (log_room_open(i->sv->logs, p->name, &err) < 0)
		log_warn(
			MAIN, "log_not_opened", KV_STR("name", p->name), KV_STR("error", err.text));
	if (!p->kind)
		probe_exec_expect(p);
	if (!record)
		return 0;
	str_copy(i->epoch, sizeof(i->epoch), record->epoch);
	i->pid = (pid_t)record->pid;
	i->start_time = record->start_time;
	/* All that ran before the crash has room again, whatever else is open just now. */
	reserve_give(contain_reserve(i->sv->contain), RESERVE_FDS);
	int pidfd = record->pid > 0 ? contain_open_own(i->pid, record->start_time) : -ESRCH;
	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	i->pidfd = pidfd;
	p->pid = i->pid;
	p->main_ended = false;
	/* After an upgrade it is our child still, and how it ends is for us to ask. */
	if (contain_is_child(i->pid) && children_reserve(sv->children) == 0) {
		children_add(sv->children, i->pid);
		i->child = true;
	}
	/* It goes on speaking to the path that it was told. */
	if (process_probe_kind(p) == PROBE_NOTIFY && probe_notify_open(&i->notify, p, &err) < 0)
		log_error(MAIN, "notify_not_opened", KV_STR("name", p->name),
			KV_STR("error", err.text));
	return watch(i);
}

static const char *stands_at(const struct process *p)
{
	enum spawn_step step = p->pid > 0 ? spawn_stands_at(p->pid) : SPAWN_EXECUTED;
	return step == SPAWN_EXECUTED ? NULL : spawn_step_name(step);
}

/*
 * The pipe that tells of the exec went with the earlier supervisor. Until then the name of the
 * child tells; a service of droverd's own name is believed after a while.
 */
void instance_await_exec(struct process *p)
{
	struct instance *i = p->instance;
	if (process_must_speak(p))
		return; /* these say it themselves */
	enum spawn_step step = spawn_stands_at(i->pid);
	if (step == SPAWN_SETUP ? i->looks++ < EXEC_LOOKS : step != SPAWN_EXECUTED)
		loop_timer_start(i->lost, EXEC_LOOK_MS);
	else
		process_ready(p);
}

static uint64_t fingerprint(const struct process *p)
{
	const struct supervisor *sv = p->owner;
	return p->service ? config_fingerprint(sv->config, p->service->name) : 0;
}

static bool probe(struct process *p, uint64_t seq)
{
	switch (process_probe_kind(p)) {
	case PROBE_BEAT: return worker_link_probe(p, seq);
	case PROBE_HTTP:
	case PROBE_TCP: return worker_link_ask_monitor(p, seq);
	case PROBE_EXEC: return probe_exec_start(p, seq);
	case PROBE_NOTIFY: return true; /* it speaks unasked */
	default: return false;
	}
}

static void probe_over(struct process *p)
{
	probe_exec_kill(p);
}

static bool may_spawn(const struct process *p)
{
	const struct supervisor *sv = p->owner;
	return log_room_settled(sv->logs, p->name);
}

static void changed(struct process *p)
{
	supervisor_changed(p->owner, p);
}

static bool may_start(const struct process *p, char *why, size_t size)
{
	const struct supervisor *sv = p->owner;
	if (upgrade_holds_back(sv->upgrade, p)) {
		snprintf(why, size, "the upgrade");
		return false;
	}
	return order_may_start(&sv->processes, p, why, size);
}

const struct process_ops instance_ops = {
	.spawn = spawn,
	.terminate = terminate,
	.end_together = together_end,
	.kill_tree = kill_all,
	.living = living,
	.gone = gone,
	.probe = probe,
	.fingerprint = fingerprint,
	.save = save,
	.changed = changed,
	.may_start = may_start,
	.may_spawn = may_spawn,
	.probe_over = probe_over,
	.trim = worker_link_trim,
	.hold_tasks = worker_link_hold,
	.stands_at = stands_at,
};
