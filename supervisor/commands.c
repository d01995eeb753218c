/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/kind.h"
#include "ipc/messages.h"
#include "process.h"
#include "supervisor.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum goal { GOAL_START, GOAL_STOP, GOAL_RESTART };

struct item {
	char name[SLOT_NAME_SIZE];
	uint64_t incarnation, attempts; /* when the command came */
	bool settled, ok;
	enum process_state state;
	char detail[256];
};

struct command {
	struct supervisor *sv;
	enum goal goal;
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
	return 0;
}

/* A slot's own name, its kind's or service's (all of "collect"), or all. */
static int add_named(struct command *c, const char *name, struct err *err)
{
	bool found = false;
	LIST_FOR_EACH (node, &c->sv->processes) {
		const struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->removed || !(str_eq(name, "all") || process_is_of(p, name)))
			continue;
		found = true;
		if (add(c, p) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
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
	if (rc == 0 && c->count == 0 && strspn(names, "\n") == strlen(names))
		rc = err_set(err, -EINVAL, "name at least one process, or all");
	return rc;
}

int command_new(struct command **out, struct supervisor *sv, const char *verb, const char *names,
	struct err *err)
{
	struct command *c = NEW(struct command);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->sv = sv;
	c->goal = str_eq(verb, "start")	 ? GOAL_START
		  : str_eq(verb, "stop") ? GOAL_STOP
					 : GOAL_RESTART;
	int rc = add_names(c, names, err);
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

void command_begin(struct command *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct process *p = supervisor_process(c->sv, c->items[i].name);
		if (!p)
			continue;
		switch (c->goal) {
		case GOAL_START: process_start(p, CAUSE_OPERATOR); break;
		case GOAL_STOP: process_stop(p, CAUSE_OPERATOR); break;
		case GOAL_RESTART: process_restart(p, CAUSE_OPERATOR); break;
		}
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
	if (p->state == PROCESS_STOPPED)
		settle(item, p, true, "stopped");
	else if (p->state == PROCESS_STUCK)
		settle(item, p, false, "killed, and the kernel does not let it die");
	else if (p->wanted && p->state != PROCESS_STOPPING)
		settle(item, p, false, "started again by a later command");
}

static void judge_start(struct item *item, const struct process *p, bool anew)
{
	bool tried = p->attempts > item->attempts;
	if (p->state == PROCESS_RUNNING && (!anew || p->incarnation > item->incarnation))
		settle(item, p, true, "running");
	else if (p->state == PROCESS_STUCK)
		settle(item, p, false, "the last instance is stuck; nothing starts over it");
	else if (p->state == PROCESS_FAILED && tried)
		settle(item, p, false, "it ended, and its policy says no more");
	else if (p->state == PROCESS_STOPPED && !p->wanted)
		settle(item, p, false, "stopped by a later command");
	else if (p->state == PROCESS_WAITING && tried)
		settle(item, p, false, p->start_error[0] ? p->start_error : "it ended at once");
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
		else if (c->goal == GOAL_STOP)
			judge_stop(item, p);
		else
			judge_start(item, p, c->goal == GOAL_RESTART);
		all = all && item->settled;
	}
	return all;
}

int command_results(struct command *c, struct buf *json)
{
	struct json_out j;
	int exit_code = 0;
	json_out_init(&j, json);
	json_open_object(&j, NULL);
	json_open_array(&j, "results");
	for (size_t i = 0; i < c->count; i++) {
		const struct item *item = &c->items[i];
		if (!item->ok)
			exit_code = 1;
		/* One page holds all but absurd numbers of slots; failures are never left out. */
		if (item->ok && json->len > PAGE_MAX / 2)
			continue;
		json_open_object(&j, NULL);
		json_str(&j, "name", item->name);
		json_bool(&j, "ok", item->ok);
		json_str(&j, "state", process_state_name(item->state));
		json_str(&j, "detail", item->detail);
		json_close_object(&j);
	}
	json_close_array(&j);
	json_close_object(&j);
	return exit_code;
}
