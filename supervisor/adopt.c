/* SPDX-License-Identifier: MIT */
#include "adopt.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "contain.h"
#include "endings.h"
#include "instance.h"
#include "log/log.h"
#include "log_room.h"
#include "order.h"
#include "probe_exec.h"
#include "records.h"
#include "reserve.h"
#include "supervisor.h"
#include "task_slot.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define MARK_FILE "mark"

/* A slot and what its record says. */
struct left {
	struct process *process;
	struct record record;
};
struct take_over {
	struct supervisor *sv;
	void *array;
	size_t count, cap;
	int rc; /* of what could not even be looked at */
	struct endings endings;
};

/* --- marks --- */

static int draw(char out[CONTAIN_EPOCH_SIZE], struct err *err)
{
	unsigned char random[(CONTAIN_EPOCH_SIZE - 1) / 2];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(err, -errno, "get random bytes");
	str_hex(out, random, sizeof(random));
	return 0;
}

static bool is_mark(const char *text)
{
	for (int i = 0; i < CONTAIN_EPOCH_SIZE - 1; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	return true;
}

/*
 * Instances outlive any number of supervisors, so their mark is the runtime directory's and not a
 * supervisor's: else the next one would have to know the marks of all that ever were.
 */
int adopt_marks(struct supervisor *sv, struct err *err)
{
	char text[CONTAIN_EPOCH_SIZE] = "";
	int rc = draw(sv->epoch, err);
	if (rc < 0)
		return rc;
	CLEANUP(closep)
	int fd = sys_openat(sv->runtime_fd, MARK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(err, -errno, "open %s in the runtime directory", MARK_FILE);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n == (ssize_t)sizeof(text) - 1 && is_mark(text)) {
		memcpy(sv->mark, text, sizeof(text));
	} else {
		rc = draw(sv->mark, err);
		if (rc < 0)
			return rc;
		if (pwrite(fd, sv->mark, sizeof(text) - 1, 0) != (ssize_t)sizeof(text) - 1)
			return err_sys(err, -errno, "write %s in the runtime directory", MARK_FILE);
	}
	contain_add_epoch(sv->contain, sv->mark);
	return 0;
}

/* --- finding --- */

/* A mark was written by us and may have been written over by anybody; its name becomes a file's. */
static bool is_slot_name(const char *name)
{
	char stem[SLOT_NAME_SIZE];
	size_t len = strcspn(name, ":");
	if (len >= sizeof(stem))
		return false;
	memcpy(stem, name, len);
	stem[len] = '\0';
	return str_is_name(stem) &&
	       (!name[len] || strspn(name + len + 1, "0123456789") == strlen(name + len + 1));
}

static struct process *slot_for(struct supervisor *sv, const char *name)
{
	struct err err = { 0 };
	if (!is_slot_name(name))
		return NULL;
	struct process *p = supervisor_process(sv, name);
	if (!p)
		p = supervisor_add(sv, name, NULL, NULL, &err);
	if (!p)
		log_error(MAIN, "leftover_not_ended", KV_STR("name", name),
			KV_STR("error", err.text));
	return p;
}

static void take_instance(struct take_over *t, struct process *p, const struct record *r)
{
	int rc = instance_adopt(p, r);
	if (rc < 0)
		t->rc = rc;
}

static void restore_exit(struct process *p, const struct record *r)
{
	if (r->last_exit.cause == CAUSE_NONE)
		return;
	p->last_exit = (struct process_exit) { .reason = start_cause_name(r->last_exit.cause),
		.cause = r->last_exit.cause,
		.code = r->last_exit.code,
		.signal = r->last_exit.signal,
		.at_ms = r->last_exit.at_ms };
}

/* drover-log is the last that is ended: when it was not left, all came to its end in order. */
static bool is_closed(const struct supervisor *sv, const struct record *r)
{
	return r->closed || (record_is_of_shutdown(r) && !log_room_was_left(sv->logs));
}

static void restore(struct process *p, const struct record *r)
{
	p->incarnation = r->incarnation;
	p->last_start_ms = r->last_start_ms;
	p->last_automatic_ms = p->before_automatic_ms = r->last_automatic_ms;
	/* A start that nobody claimed never was, so it takes up no interval. */
	if (!r->pid && r->state == PROCESS_STARTING)
		p->last_automatic_ms = p->before_automatic_ms = r->before_automatic_ms;
	/* Of a command that is what its task waits for, however droverd went. */
	if (p->task)
		restore_exit(p, r);
	if (is_closed(p->owner, r))
		return;
	/* The operator stopped it before the crash: it stays down. */
	p->stay_down = !r->wanted && !MUTANT(WANTED_STATE_FORGOTTEN);
	p->wanted = !p->stay_down && !p->removed;
	p->restarts = r->restarts;
	p->memory.drained = r->drained && p->kind;
	p->next_cause = r->next_cause;
	p->fingerprint = r->fingerprint;
	p->end_failed = r->end_failed;
	restore_exit(p, r);
}

static void on_record(void *arg, const struct record *on_file)
{
	struct take_over *t = arg;
	struct record whole = *on_file, *r = &whole;
	if (r->name[0] == ':')
		return;
	endings_apply(&t->endings, r);
	/* A copy from elsewhere tells of processes that are not ours. */
	if (!str_eq(r->mark, t->sv->mark)) {
		record_remove(t->sv->slots_fd, r->name);
		return;
	}
	struct process *p = task_slot_restore(t->sv, r);
	if (!p)
		p = slot_for(t->sv, r->name);
	if (!p)
		return;
	restore(p, r);
	/* Its half line was to be ended with all others, and that did not come. */
	if (r->closed && log_room_was_left(t->sv->logs))
		log_room_half_line(t->sv->logs, p->name, false);
	if (is_closed(t->sv, r))
		return;
	if (mem_grow(&t->array, &t->cap, t->count, sizeof(struct left)) < 0) {
		/* Without its record the safe end is that of what is only marked. */
		take_instance(t, p, NULL);
		return;
	}
	struct left *left = (struct left *)t->array + t->count++;
	left->process = p;
	left->record = *r;
	take_instance(t, p, r);
}

static void on_mark(void *arg, const char *slot)
{
	char name[SLOT_NAME_SIZE];
	probe_exec_slot(name, slot);
	struct take_over *t = arg;
	struct process *p = slot_for(t->sv, name);
	if (p && !p->instance)
		take_instance(t, p, NULL);
}

/* --- going on --- */

static bool is_as_configured(const struct process *p, const struct record *r)
{
	const struct supervisor *sv = p->owner;
	return r->fingerprint && p->service &&
	       config_fingerprint(sv->config, p->service->name) == r->fingerprint;
}

/* What was on its way down goes on down, and then to where it was to go. */
static bool was_ending(const struct record *r)
{
	return r->state != PROCESS_STARTING && r->state != PROCESS_RUNNING;
}

void adopt_fence(struct process *p, const struct record *r)
{
	bool ending = r && was_ending(r);
	log_warn(MAIN, "leftover_found", KV_STR("name", p->name), KV_INT("pid", p->pid),
		KV_INT("incarnation", p->incarnation));
	if (r && r->pid && !ending && p->main_ended) {
		p->pid = (pid_t)r->pid;
		process_lost(p);
		p->pid = 0;
	}
	p->end_cause = ending && r->end_cause != CAUSE_NONE ? r->end_cause : CAUSE_LOST;
	if (!ending || r->next_cause == CAUSE_NONE)
		p->next_cause = CAUSE_LOST;
	process_fence(p);
}

void adopt_as_it_is(struct process *p, const struct record *r)
{
	p->strikes = r->strikes;
	p->told_interval_ms = MUTANT(TOLD_INTERVAL_FORGOTTEN) ? 0 : r->told_interval_ms;
	p->held = r->held;
	p->due_ms = r->held ? r->due_ms : -1;
	p->started_at_ms = r->started_at_ms;
	p->ready = r->ready;
	process_adopt(p, r->state == PROCESS_RUNNING);
	if (p->state == PROCESS_STARTING)
		instance_await_exec(p);
}

static void adopt(struct process *p, const struct record *r)
{
	adopt_as_it_is(p, r);
	p->outdated = !is_as_configured(p, r);
	if (p->removed)
		order_stop(p, CAUSE_CONFIG, false, false);
	else if (!p->wanted)
		order_stop(p, CAUSE_OPERATOR, false, false);
	else if (p->outdated)
		process_restart(p, CAUSE_CONFIG);
}

/* Nothing of it lives, and it is wanted. */
static void go_on_down(struct process *p, const struct record *r)
{
	bool died = r->pid && !was_ending(r);
	if (died) {
		p->pid = (pid_t)r->pid;
		process_lost(p);
		p->pid = 0;
	}
	/* A start that waited was allowed before; a worker's end was not its own. */
	bool asked = r->state != PROCESS_WAITING && !(died && p->kind);
	bool over = r->state == PROCESS_FAILED ||
		    (asked && !restart_allowed(&p->rules->restart, p->next_cause, p->end_failed));
	if (over && (p->kind || is_as_configured(p, r)))
		process_rest(p);
	else if (over)
		process_start(p, CAUSE_CONFIG);
	else
		process_resume(p, r->state == PROCESS_WAITING ? r->due_ms : -1);
}

static void settle(struct process *p, const struct record *r)
{
	bool lives = p->instance && !p->main_ended;
	if (p->task) {
		task_slot_settle(p, r);
		return;
	}
	if (lives && r && !p->kind && !was_ending(r)) {
		adopt(p, r);
		return;
	}
	if (p->instance && p->ops->living(p) > 0) {
		adopt_fence(p, r);
		return;
	}
	if (p->instance)
		p->ops->gone(p);
	p->pid = 0;
	p->main_ended = false;
	if (p->removed)
		supervisor_changed(p->owner, p);
	else if (p->wanted && r)
		go_on_down(p, r);
	else if (p->wanted)
		process_start(p, CAUSE_NONE);
	else
		p->ops->save(p);
}

static const struct record *record_of(const struct take_over *t, const struct process *p)
{
	const struct left *left = t->array;
	for (size_t i = 0; i < t->count; i++)
		if (left[i].process == p)
			return &left[i].record;
	return NULL;
}

int adopt_and_start(struct supervisor *sv, struct err *err)
{
	struct take_over t = { .sv = sv };
	reserve_give(contain_reserve(sv->contain), RESERVE_FDS);
	int rc = endings_read(&t.endings, sv->runtime_fd, sv->mark);
	if (rc == 0)
		rc = records_read(sv->slots_fd, on_record, &t);
	if (rc == 0)
		contain_marked(sv->contain, on_mark, &t);
	if (rc == 0)
		rc = t.rc;
	/* With nothing left to answer with, nobody could tell us to end something. */
	if (rc == 0 && !reserve_lend(contain_reserve(sv->contain)))
		rc = -EMFILE;
	/* What we cannot look at is not dead: it lives on until a droverd comes that can. */
	if (rc < 0)
		err_sys(err, rc, "take over what an earlier droverd left, which was not touched");
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (rc == 0)
			settle(p, record_of(&t, p));
	}
	if (rc == 0)
		endings_forget(sv->runtime_fd);
	endings_finish(&t.endings);
	free(t.array);
	return rc;
}
