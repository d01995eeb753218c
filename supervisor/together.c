/* SPDX-License-Identifier: MIT */
#include "together.h"

#include "base/mem.h"
#include "base/str.h"
#include "endings.h"
#include "instance.h"
#include "log/log.h"
#include "process.h"
#include "supervisor.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
	MOST_URGENT = -20,
	FEW = 8, /* of which each may as well write its own record */
};

/* A command's record says more than a list can, and a record that could not be written says too
 * little. */
static bool may_go_along(const struct process *p)
{
	return p->turn == TURN_STOP && p->turn_cause == CAUSE_SHUTDOWN && !p->task && p->saved &&
	       (p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING) && p->instance &&
	       !p->main_ended;
}

/* Whose will their ends are stands on record before any of them can end. */
static bool note(const struct supervisor *sv, struct process *const *processes, size_t count)
{
	CLEANUP(freep) struct ending *list = calloc(count, sizeof(*list));
	size_t n = 0;
	for (size_t i = 0; list && i < count; i++) {
		if (!may_go_along(processes[i]))
			continue;
		str_copy(list[n].name, sizeof(list[n].name), processes[i]->name);
		list[n++].incarnation = processes[i]->incarnation;
	}
	if (n < FEW)
		return false;
	int rc = endings_note(sv->runtime_fd, sv->mark, list, n);
	if (rc < 0)
		log_error(MAIN, "record_not_written", KV_STR("name", "the list of all that end"),
			KV_INT("errno", -rc));
	return rc == 0;
}

/*
 * Each that is woken by its signal would run before us, and all that we have to do for them would
 * be left for when they are gone and the other processors have nothing to do.
 */
void together_hurry(bool on)
{
	static int before;
	static bool raised;
	if (on == raised)
		return;
	errno = 0;
	if (on)
		before = getpriority(PRIO_PROCESS, 0);
	raised = errno == 0 && setpriority(PRIO_PROCESS, 0, on ? MOST_URGENT : before) == 0 && on;
}

void together_end(struct process *const *processes, size_t count)
{
	if (count < FEW || !note(processes[0]->owner, processes, count))
		return;
	for (size_t i = 0; i < count; i++) {
		processes[i]->listed = may_go_along(processes[i]);
		if (processes[i]->listed)
			instance_tell_end(processes[i]);
	}
}
