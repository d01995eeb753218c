/* SPDX-License-Identifier: MIT */
#include "task_slot.h"

#include "adopt.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/kind.h"
#include "instance.h"
#include "ipc/messages.h"
#include "log_room.h"
#include "loop/loop.h"
#include "records.h"
#include "supervisor.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TASK_SLOTS_MAX = 1000, SETTLE_AGAIN_MS = 20, LINE = 400 };

static void on_timer(void *arg);

/* ---- finding and making ---- */

static struct process *find(const struct supervisor *sv, uint64_t task, uint64_t fence)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->task && p->task->id == task && p->task->fence == fence)
			return p;
	}
	return NULL;
}

/* "report:2" is of the job report, too. */
const struct config_job *task_slot_job(const struct supervisor *sv, const char *name)
{
	char stem[SLOT_NAME_SIZE];
	str_copy(stem, sizeof(stem), name);
	stem[strcspn(stem, ":")] = '\0';
	const struct config_job *job = config_job(sv->config, stem);
	return job && job->kind && job->kind->runs_commands ? job : NULL;
}

/* Two runs of one job at a time have two slots, and two logs. */
static bool choose_name(const struct supervisor *sv, const char *job, char name[SLOT_NAME_SIZE])
{
	for (int n = 1; n <= TASK_SLOTS_MAX; n++) {
		if (n == 1)
			str_copy(name, SLOT_NAME_SIZE, job);
		else
			snprintf(name, SLOT_NAME_SIZE, "%.64s:%d", job, n);
		if (!supervisor_process(sv, name))
			return true;
	}
	return false;
}

static struct process *make(
	struct supervisor *sv, const char *name, const struct process_task *task, struct err *err)
{
	const struct config_job *job = task_slot_job(sv, name);
	struct process_task *copy = NEW(struct process_task);
	struct process *p = copy ? supervisor_add(sv, name, NULL, job ? job->spec : NULL, err)
				 : NULL;
	if (!p) {
		free(copy);
		return NULL;
	}
	*copy = *task;
	p->task = copy;
	p->removed = false;
	copy->timer = loop_timer_new(sv->loop, on_timer, p);
	if (copy->timer)
		return p;
	err_set(err, -ENOMEM, "out of memory");
	process_free(p);
	return NULL;
}

/* ---- what the scheduler is told ---- */

bool task_slot_is_over(const struct process *p)
{
	return p->task && (p->state == PROCESS_FAILED || p->state == PROCESS_STOPPED);
}

static void send_ended(struct supervisor *sv, const struct msg_exec_ended *body)
{
	struct process *scheduler = supervisor_worker(sv, "scheduler");
	if (scheduler)
		instance_send(scheduler, MSG_EXEC_ENDED, body, NULL, 0);
}

/* Nothing of it is here. */
static void refuse(
	struct supervisor *sv, const struct msg_exec_start *m, const char *reason, const char *why)
{
	const struct msg_exec_ended body = { .task = m->task,
		.fence = m->fence,
		.reason = reason,
		.code = -1,
		.signal = -1,
		.detail = why };
	send_ended(sv, &body);
}

static const char *reason_of(const struct process *p)
{
	enum start_cause stopped = p->task->stopped_for;
	return p->last_exit.reason     ? p->last_exit.reason
	       : stopped != CAUSE_NONE ? start_cause_name(stopped)
				       : start_cause_name(CAUSE_SHUTDOWN);
}

static void tell(struct process *p)
{
	struct supervisor *sv = p->owner;
	struct process *scheduler = supervisor_worker(sv, "scheduler");
	const struct msg_exec_task runs = { .task = p->task->id, .fence = p->task->fence };
	const struct msg_exec_ended ended = { .task = p->task->id,
		.fence = p->task->fence,
		.started = p->last_exit.reason && !p->start_error[0],
		.reason = reason_of(p),
		.code = p->last_exit.code,
		.signal = p->last_exit.signal,
		.detail = p->start_error };
	if (!scheduler)
		return;
	if (!task_slot_is_over(p))
		instance_send(scheduler, MSG_EXEC_STARTED, &runs, NULL, 0);
	else if (p->task->said)
		p->task->told = instance_send(scheduler, MSG_EXEC_ENDED, &ended, NULL, 0);
}

/* ---- its log ---- */

static void say(const struct process *p, const char *what)
{
	const struct supervisor *sv = p->owner;
	char at[CLOCK_TEXT], line[LINE];
	clock_rfc3339(at, clock_real_ms());
	snprintf(line, sizeof(line), "%s drover: run %" PRIu64 ", attempt %" PRIu64 ", %s\n", at,
		p->task->run, p->task->attempt, what);
	log_room_say(sv->logs, p->name, line);
}

void task_slot_say_start(const struct process *p)
{
	say(p, "begins");
}

static void say_end(const struct process *p)
{
	char how[LINE / 2];
	const struct process_exit *e = &p->last_exit;
	if (p->start_error[0])
		snprintf(how, sizeof(how), "was not started: %.150s", p->start_error);
	else if (!e->reason)
		snprintf(how, sizeof(how), "was not started (%s)", reason_of(p));
	else if (e->code >= 0)
		snprintf(how, sizeof(how), "ended: exit code %d (%s)", e->code, e->reason);
	else if (e->signal > 0)
		snprintf(how, sizeof(how), "ended: signal %d (%s)", e->signal, e->reason);
	else
		snprintf(how, sizeof(how), "ended: nobody saw how (%s)", e->reason);
	say(p, how);
}

/* ---- its life ---- */

static void stop(struct process *p, enum start_cause cause)
{
	if (task_slot_is_over(p))
		return;
	p->task->stopped_for = cause;
	process_stop(p, cause);
}

static void begin(struct process *p, const struct config_job *job)
{
	p->task->deadline_ms = clock_boot_ms() + job->timeout_ms;
	loop_timer_start(p->task->timer, job->timeout_ms);
	process_start(p, CAUSE_NONE);
}

static void on_start(struct supervisor *sv, const struct msg_exec_start *m)
{
	char name[SLOT_NAME_SIZE];
	struct err err = { 0 };
	const struct process_task task = {
		.id = m->task, .fence = m->fence, .run = m->run, .attempt = m->attempt
	};
	const struct config_job *job = task_slot_job(sv, m->job);
	struct process *p = find(sv, m->task, m->fence);
	if (p) {
		tell(p);
		return;
	}
	if (!m->may_start)
		refuse(sv, m, start_cause_name(CAUSE_LOST), "");
	else if (sv->state == SUPERVISOR_STOPPING)
		refuse(sv, m, start_cause_name(CAUSE_SHUTDOWN), "");
	else if (!job || !str_eq(job->name, m->job))
		refuse(sv, m, start_cause_name(CAUSE_CONFIG), "the job is no longer configured");
	else if (!choose_name(sv, m->job, name))
		refuse(sv, m, start_cause_name(CAUSE_EXIT), "too many of its commands run");
	else if (!(p = make(sv, name, &task, &err)))
		refuse(sv, m, start_cause_name(CAUSE_EXIT), err.text);
	else
		begin(p, job);
}

/* Its time is over; or it ended, and its log may be settled now. */
static void on_timer(void *arg)
{
	struct process *p = arg;
	struct supervisor *sv = p->owner;
	if (!task_slot_is_over(p) && clock_boot_ms() < p->task->deadline_ms)
		loop_timer_start(p->task->timer, p->task->deadline_ms - clock_boot_ms());
	else
		stop(p, CAUSE_TIMEOUT);
	supervisor_changed(sv, p);
}

static void forget(struct supervisor *sv, struct process *p)
{
	if (!p || !task_slot_is_over(p))
		return;
	/* At once: the next run of its job, which may be asked for in this turn, has its name. */
	supervisor_remove(sv, p);
	supervisor_changed(sv, NULL);
}

static void tell_all(struct supervisor *sv)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->task && !p->removed)
			tell(p);
	}
}

void task_slot_message(struct supervisor *sv, const struct message *m)
{
	const struct msg_exec_task *t = &m->body.exec_task;
	struct process *p = NULL;
	if (m->id == MSG_EXEC_STOP || m->id == MSG_EXEC_FORGET)
		p = find(sv, t->task, t->fence);
	switch (m->id) {
	case MSG_EXEC_START: on_start(sv, &m->body.exec_start); break;
	case MSG_EXEC_FORGET: forget(sv, p); break;
	case MSG_EXEC_SYNC: tell_all(sv); break;
	case MSG_EXEC_STOP:
		if (p)
			stop(p, CAUSE_OPERATOR);
		break;
	default: break;
	}
}

static void look(struct process *p)
{
	const struct supervisor *sv = p->owner;
	if (!p->task->said && !log_room_settled(sv->logs, p->name)) {
		loop_timer_start(p->task->timer, SETTLE_AGAIN_MS);
		return;
	}
	loop_timer_stop(p->task->timer);
	if (!p->task->said)
		say_end(p);
	p->task->said = true;
	if (!p->task->told)
		tell(p);
}

void task_slots_look(struct supervisor *sv)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->task && !p->removed && task_slot_is_over(p))
			look(p);
	}
}

void task_slots_configure(struct supervisor *sv)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (!p->task || p->removed)
			continue;
		const struct config_job *job = task_slot_job(sv, p->name);
		if (job) {
			p->service = job->spec;
			process_adjust(p, &p->service->supervision);
			continue;
		}
		/* It ends as it began; only what has not begun does not begin any more. */
		process_orphan(p);
		p->removed = false;
		if (p->state == PROCESS_WAITING)
			stop(p, CAUSE_CONFIG);
	}
}

/* ---- after an earlier droverd ---- */

struct process *task_slot_restore(struct supervisor *sv, const struct record *r)
{
	struct err err = { 0 };
	const struct process_task task = { .id = r->task.id,
		.fence = r->task.fence,
		.run = r->task.run,
		.attempt = r->task.attempt,
		.deadline_ms = r->task.deadline_ms };
	if (!task.id || supervisor_process(sv, r->name))
		return NULL;
	struct process *p = make(sv, r->name, &task, &err);
	if (!p)
		return NULL;
	p->wanted = true;
	return p;
}

static bool never_began(const struct process *p, const struct record *r)
{
	return r && !r->pid && p->last_exit.cause == CAUSE_NONE && p->service && p->wanted &&
	       (r->state == PROCESS_WAITING || r->state == PROCESS_STARTING);
}

/* Nothing of it lives. */
static void settle_down(struct process *p, const struct record *r)
{
	if (p->instance)
		p->ops->gone(p);
	p->pid = 0;
	p->main_ended = false;
	if (never_began(p, r)) {
		process_resume(p, -1);
		return;
	}
	if (r && r->pid && !p->last_exit.reason) {
		p->pid = (pid_t)r->pid;
		process_lost(p);
		p->pid = 0;
	}
	process_rest(p);
}

void task_slot_settle(struct process *p, const struct record *r)
{
	struct supervisor *sv = p->owner;
	bool lives = p->instance && !p->main_ended;
	bool up = r && (r->state == PROCESS_STARTING || r->state == PROCESS_RUNNING);
	if (lives && up)
		adopt_as_it_is(p, r);
	else if (p->instance && p->ops->living(p) > 0)
		adopt_fence(p, r);
	else
		settle_down(p, r);
	if (sv->sweep)
		stop(p, CAUSE_SHUTDOWN);
	else if (!task_slot_is_over(p) && p->task->deadline_ms)
		loop_timer_start(
			p->task->timer, MAX(p->task->deadline_ms - clock_boot_ms(), (int64_t)0));
}
