/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "config/tables.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *reload_change_name(enum reload_change change)
{
	static const char *const names[] = { "live", "restart", "start", "stop",
		"needs a new droverd" };
	return names[change];
}

static void name_slot(struct slot *slot, const char *name, int64_t processes, int64_t i)
{
	if (processes == 1)
		str_copy(slot->name, SLOT_NAME_SIZE, name);
	else
		snprintf(slot->name, SLOT_NAME_SIZE, "%.64s:%d", name, (int)i);
}

int slots_of(const struct config *config, size_t max, struct slots *out, struct err *err)
{
	size_t total = 0, n = 0;
	for (size_t w = 0; w < config->worker_count; w++)
		total += (size_t)config->workers[w].processes;
	for (size_t s = 0; s < config->service_count; s++)
		total += (size_t)config->services[s].processes;
	if (total > max)
		return err_set(err, -E2BIG, "%zu processes are asked for, at most %zu are possible",
			total, max);
	struct slot *items = calloc(total + 1, sizeof(*items));
	if (!items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t w = 0; w < config->worker_count; w++) {
		const struct config_worker *worker = &config->workers[w];
		for (int64_t i = 1; i <= worker->processes; i++, n++) {
			items[n].worker = worker;
			name_slot(&items[n], worker->kind->name, worker->processes, i);
		}
	}
	for (size_t s = 0; s < config->service_count; s++) {
		const struct config_service *service = &config->services[s];
		for (int64_t i = 1; i <= service->processes; i++, n++) {
			items[n].service = service;
			name_slot(&items[n], service->name, service->processes, i);
		}
	}
	*out = (struct slots) { items, n };
	return 0;
}

void slots_finish(struct slots *slots)
{
	free(slots->items);
	*slots = (struct slots) { 0 };
}

static const struct slot *find(const struct slots *slots, const char *name)
{
	for (size_t i = 0; i < slots->count; i++)
		if (str_eq(slots->items[i].name, name))
			return &slots->items[i];
	return NULL;
}

static int add(struct reload_plan *plan, const char *name, enum reload_change change)
{
	if (mem_grow(&plan->array, &plan->cap, plan->count, sizeof(struct reload_step)) < 0)
		return -ENOMEM;
	plan->steps = plan->array;
	struct reload_step *step = &plan->steps[plan->count++];
	str_copy(step->name, sizeof(step->name), name);
	step->change = change;
	return 0;
}

/* The sections that a worker's own process depends on, beside its own. */
static enum config_change of_sections(
	const struct config *from, const struct config *to, const struct worker_kind *kind)
{
	enum config_change change = CHANGE_NONE;
	if (kind->needs_store)
		change = MAX(change, config_diff(from, to, "store"));
	if (str_eq(kind->name, "monitor"))
		change = MAX(change, config_diff(from, to, "http"));
	return change;
}

static enum config_change of_slot(
	const struct config *from, const struct config *to, const struct slot *slot)
{
	char path[SLOT_NAME_SIZE + 16];
	const struct worker_kind *kind = slot->worker ? slot->worker->kind : NULL;
	snprintf(path, sizeof(path), "%s.%s", kind ? "workers" : "services",
		kind ? kind->name : slot->service->name);
	enum config_change change = config_diff(from, to, path);
	if (kind)
		change = MAX(change, of_sections(from, to, kind));
	return change;
}

/* A service that was a worker before, or the other way round, only shares the name. */
static bool same_kind(const struct slot *a, const struct slot *b)
{
	return (a->worker ? a->worker->kind : NULL) == (b->worker ? b->worker->kind : NULL);
}

static int compare(const struct config *from, const struct config *to, const struct slots *before,
	const struct slots *after, struct reload_plan *plan)
{
	int rc = 0;
	for (size_t i = 0; i < before->count && rc == 0; i++)
		if (!find(after, before->items[i].name))
			rc = add(plan, before->items[i].name, RELOAD_STOP);
	for (size_t i = 0; i < after->count && rc == 0; i++) {
		const struct slot *slot = &after->items[i];
		const struct slot *old = find(before, slot->name);
		enum config_change change = old ? of_slot(from, to, slot) : CHANGE_NONE;
		if (!old)
			rc = add(plan, slot->name, RELOAD_START);
		else if (change >= CHANGE_RESTART || !same_kind(old, slot))
			rc = add(plan, slot->name, RELOAD_RESTART);
		else if (change == CHANGE_LIVE)
			rc = add(plan, slot->name, RELOAD_LIVE);
	}
	for (const struct config_section *s = config_sections; s->name && rc == 0; s++)
		if (config_diff(from, to, s->name) == CHANGE_SUPERVISOR)
			rc = add(plan, s->name, RELOAD_SUPERVISOR);
	return rc;
}

int reload_plan(const struct config *old_config, const struct config *new_config, size_t max,
	struct reload_plan *out, struct err *err)
{
	struct slots before = { 0 }, after = { 0 };
	*out = (struct reload_plan) { 0 };
	int rc = slots_of(old_config, max, &before, err);
	if (rc == 0)
		rc = slots_of(new_config, max, &after, err);
	if (rc == 0 && compare(old_config, new_config, &before, &after, out) < 0)
		rc = err_set(err, -ENOMEM, "out of memory");
	slots_finish(&before);
	slots_finish(&after);
	if (rc < 0)
		reload_plan_finish(out);
	return rc;
}

void reload_plan_finish(struct reload_plan *plan)
{
	free(plan->array);
	*plan = (struct reload_plan) { 0 };
}
