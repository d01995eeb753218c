/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/kind.h"
#include "ipc/messages.h"
#include "order.h"
#include "process_memory.h"
#include "supervisor.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum goal { GOAL_START, GOAL_STOP, GOAL_RESTART, GOAL_DRAIN, GOAL_TRIM };

struct item {
	char name[SLOT_NAME_SIZE];
	uint64_t incarnation, attempts;	      /* when the command came */
	uint64_t trims;			      /* the number of ours; 0: it was not told */
	const struct config_service *service; /* only while the command is made */
	bool settled, ok;
	enum process_state state;
	char detail[256];
};

struct command {
	struct supervisor *sv;
	enum goal goal;
	bool all;
	struct item *items;
	void *array;
	size_t count, cap;
};

void command_unknown(const struct supervisor *sv, const char *name, struct err *err)
{
	CLEANUP(freep) void *array = NULL;
	const char **names = NULL;
	size_t count = 0, cap = 0;
	LIST_FOR_EACH (node, &sv->processes) {
		if (mem_grow(&array, &cap, count, sizeof(char *)) < 0)
			break;
		names = array;
		names[count++] = LIST_ENTRY(node, struct process, node)->name;
	}
	const char *near = count ? str_nearest(name, names, count) : NULL;
	if (near)
		err_set(err, -ENOENT, "no process is named \"%s\"; did you mean \"%s\"?", name,
			near);
	else
		err_set(err, -ENOENT, "no process is named \"%s\"", name);
}

static int add(struct command *c, const struct process *p)
{
	for (size_t i = 0; i < c->count; i++)
		if (str_eq(c->items[i].name, p->name))
			return 0;
	if (mem_grow(&c->array, &c->cap, c->count, sizeof(struct item)) < 0)
		return -ENOMEM;
	c->items = c->array;
	struct item *item = &c->items[c->count++];
	memset(item, 0, sizeof(*item));
	str_copy(item->name, sizeof(item->name), p->name);
	item->incarnation = p->incarnation;
	item->attempts = p->attempts;
	item->service = p->service;
	return 0;
}

/* What is meant when nothing is named: who can do it. */
static bool can(enum goal goal, const struct process *p)
{
	/* A job's command is started by its task alone. */
	if (p->task)
		return goal == GOAL_STOP && p->state != PROCESS_FAILED &&
		       p->state != PROCESS_STOPPED;
	return goal == GOAL_TRIM ? p->kind != NULL
				 : goal != GOAL_DRAIN || (p->kind && p->kind->takes_tasks);
}

static bool concerns_workers(const struct command *c)
{
	return c->goal == GOAL_DRAIN || c->goal == GOAL_TRIM;
}

/* A slot's own name, its kind's or service's (all of "collect"), or all. */
static int add_named(struct command *c, const char *name, struct err *err)
{
	bool found = false;
	LIST_FOR_EACH (node, &c->sv->processes) {
		const struct process *p = LIST_ENTRY(node, struct process, node);
		bool all = str_eq(name, "all") && can(c->goal, p);
		if (p->removed || !(all || process_is_of(p, name)) || (p->task && !can(c->goal, p)))
			continue;
		found = true;
		if (add(c, p) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	c->all = c->all || str_eq(name, "all");
	if (found || str_eq(name, "all"))
		return 0;
	command_unknown(c->sv, name, err);
	return -ENOENT;
}

static int add_names(struct command *c, const char *names, struct err *err)
{
	CLEANUP(freep) char *copy = strdup(names);
	char *rest = NULL;
	int rc = copy ? 0 : err_set(err, -ENOMEM, "out of memory");
	for (char *name = copy ? strtok_r(copy, "\n", &rest) : NULL; name && rc == 0;
		name = strtok_r(NULL, "\n", &rest))
		rc = add_named(c, name, err);
	bool none = c->count == 0 && strspn(names, "\n") == strlen(names);
	if (rc == 0 && none && concerns_workers(c))
		rc = add_named(c, "all", err);
	else if (rc == 0 && none)
		rc = err_set(err, -EINVAL, "name at least one process, or all");
	return rc;
}

static bool needs(const struct config_service *a, const struct config_service *b)
{
	for (size_t i = 0; a && b && i < a->need_count; i++)
		if (a->needs[i] == b)
			return true;
	return false;
}

/*
 * What must start before, and what cannot go on without: a start brings up what it needs and is
 * down, a stop takes down all that depends on it, a restart takes what is up of that along.
 */
static bool goes_along(const struct command *c, const struct process *p)
{
	bool up = p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING;
	bool down = p->state == PROCESS_STOPPED || p->state == PROCESS_FAILED;
	bool concerned = c->goal == GOAL_START	? !(up && p->wanted)
			 : c->goal == GOAL_STOP ? !down
						: up && (p->wanted || MUTANT(RESTART_REVIVES));
	if (!p->service || p->removed || !concerned)
		return false;
	for (size_t i = 0; i < c->count; i++) {
		const struct config_service *other = c->items[i].service;
		if (c->goal == GOAL_START ? needs(other, p->service) : needs(p->service, other))
			return true;
	}
	return false;
}

static int add_related(struct command *c)
{
	size_t before;
	if (concerns_workers(c))
		return 0;
	do {
		before = c->count;
		LIST_FOR_EACH (node, &c->sv->processes) {
			const struct process *p = LIST_ENTRY(node, struct process, node);
			if (goes_along(c, p) && add(c, p) < 0)
				return -ENOMEM;
		}
	} while (c->count > before);
	return 0;
}

static enum goal goal_of(const char *verb)
{
	static const char *const verbs[] = { "start", "stop", "restart", "drain", "trim" };
	for (int goal = GOAL_START; goal < GOAL_TRIM; goal++)
		if (str_eq(verb, verbs[goal]))
			return (enum goal)goal;
	return GOAL_TRIM;
}

int command_new(struct command **out, struct supervisor *sv, const char *verb, const char *names,
	struct err *err)
{
	struct command *c = NEW(struct command);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->sv = sv;
	c->goal = goal_of(verb);
	int rc = add_names(c, names, err);
	if (rc == 0 && add_related(c) < 0)
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc < 0) {
		command_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void command_free(struct command *c)
{
	if (!c)
		return;
	free(c->array);
	free(c);
}

static void begin(struct command *c, struct item *item, struct process *p)
{
	/* Whoever is to be up anew is to work, too. */
	if (c->goal == GOAL_START || c->goal == GOAL_RESTART)
		process_drain(p, false);
	switch (c->goal) {
	case GOAL_START: process_start(p, CAUSE_OPERATOR); break;
	case GOAL_STOP: order_stop(p, CAUSE_OPERATOR, false, c->all); break;
	case GOAL_RESTART: order_stop(p, CAUSE_OPERATOR, true, c->all); break;
	case GOAL_DRAIN:
		if (can(c->goal, p))
			process_drain(p, true);
		break;
	case GOAL_TRIM: item->trims = process_trim(p) ? p->memory.trims : 0; break;
	}
}

void command_begin(struct command *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct process *p = supervisor_process(c->sv, c->items[i].name);
		if (p)
			begin(c, &c->items[i], p);
	}
}

static void settle(struct item *item, const struct process *p, bool ok, const char *detail)
{
	item->settled = true;
	item->ok = ok;
	item->state = p ? p->state : PROCESS_STOPPED;
	str_copy(item->detail, sizeof(item->detail), detail);
}

static void judge_stop(struct item *item, const struct process *p)
{
	if (p->state == PROCESS_STOPPED || (p->task && p->state == PROCESS_FAILED))
		settle(item, p, true, "stopped");
	else if (p->state == PROCESS_STUCK)
		settle(item, p, false, "killed, and the kernel does not let it die");
	else if (p->wanted && p->state != PROCESS_STOPPING)
		settle(item, p, false, "started again by a later command");
}

/* What it waits for does not come by itself. */
static void judge_blocked(struct item *item, const struct process *p)
{
	char words[sizeof(item->detail)];
	const struct supervisor *sv = p->owner;
	if (order_is_coming(&sv->processes, p))
		return;
	snprintf(words, sizeof(words), "waits for %s", p->waits_for);
	settle(item, p, false, words);
}

static void judge_start(struct item *item, const struct process *p, bool anew)
{
	bool tried = p->attempts > item->attempts;
	if (p->state == PROCESS_RUNNING && (!anew || p->incarnation > item->incarnation))
		settle(item, p, true, "running");
	else if (p->state == PROCESS_RUNNING && p->turn == TURN_NONE)
		settle(item, p, false, "kept running by a later command");
	else if (p->state == PROCESS_STUCK)
		settle(item, p, false, "the last instance is stuck; nothing starts over it");
	else if (p->state == PROCESS_FAILED && tried)
		settle(item, p, false, "it ended, and its policy says no more");
	else if (p->state == PROCESS_STOPPED && !p->wanted)
		settle(item, p, false, "stopped by a later command");
	else if (p->state == PROCESS_WAITING && p->blocked)
		judge_blocked(item, p);
	else if (p->state == PROCESS_WAITING && tried)
		settle(item, p, false, p->start_error[0] ? p->start_error : "it ended at once");
}

static void judge_drain(struct item *item, const struct process *p)
{
	if (!can(GOAL_DRAIN, p))
		settle(item, p, false, "it takes no tasks");
	else if (!p->memory.drained)
		settle(item, p, false, "started again by a later command");
	else if (process_is_down(p))
		settle(item, p, true, "down; it will take no tasks until it is started");
	else if (process_is_drained(p))
		settle(item, p, true, "drained");
}

static void judge_trim(struct item *item, const struct process *p)
{
	char words[sizeof(item->detail)];
	bool answered = item->trims && p->memory.trimmed >= item->trims;
	snprintf(words, sizeof(words), "%" PRId64 " KiB before, %" PRId64 " KiB now",
		p->memory.before / 1024, p->memory.after / 1024);
	if (answered)
		settle(item, p, true, words);
	else if (!p->kind)
		settle(item, p, false, "it is a service: only drover's workers can be told");
	else if (!item->trims)
		settle(item, p, false, "it does not run");
	else if (p->state != PROCESS_RUNNING || p->incarnation != item->incarnation)
		settle(item, p, false, "it ended meanwhile");
}

static void judge(const struct command *c, struct item *item, const struct process *p)
{
	switch (c->goal) {
	case GOAL_START: judge_start(item, p, false); break;
	case GOAL_RESTART: judge_start(item, p, true); break;
	case GOAL_STOP: judge_stop(item, p); break;
	case GOAL_DRAIN: judge_drain(item, p); break;
	case GOAL_TRIM: judge_trim(item, p); break;
	}
}

bool command_settled(struct command *c)
{
	bool all = true;
	for (size_t i = 0; i < c->count; i++) {
		struct item *item = &c->items[i];
		const struct process *p = supervisor_process(c->sv, item->name);
		if (item->settled)
			continue;
		if (!p || p->removed)
			settle(item, p, c->goal == GOAL_STOP, "removed by a reload");
		else
			judge(c, item, p);
		all = all && item->settled;
	}
	return all;
}

int command_exit_code(const struct command *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (!c->items[i].ok)
			return 1;
	return 0;
}

bool command_page(const struct command *c, size_t *at, struct buf *json)
{
	struct json_out j;
	json_out_init(&j, json);
	json_open_object(&j, NULL);
	json_open_array(&j, "results");
	for (; *at < c->count && json->len < PAGE_MAX / 2; ++*at) {
		const struct item *item = &c->items[*at];
		json_open_object(&j, NULL);
		json_str(&j, "name", item->name);
		json_bool(&j, "ok", item->ok);
		json_str(&j, "state", process_state_name(item->state));
		json_str(&j, "detail", item->detail);
		json_close_object(&j);
	}
	json_close_array(&j);
	json_close_object(&j);
	return *at < c->count;
}
