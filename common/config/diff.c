/* SPDX-License-Identifier: MIT */
/* What a reload changes, by the tables' word on each field. */
#include "config/config.h"

#include "base/arena.h"
#include "base/str.h"
#include "config/kind.h"
#include "config/tables.h"

#include <string.h>

static enum config_change diff_fields(
	const struct config_field *fields, const void *old_object, const void *new_object);

static enum config_change change_of(enum config_apply apply)
{
	return apply == APPLY_LIVE	? CHANGE_LIVE
	       : apply == APPLY_RESTART ? CHANGE_RESTART
					: CHANGE_SUPERVISOR;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static bool same_strings(const struct config_strings *a, const struct config_strings *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (!str_eq(a->items[i], b->items[i]))
			return false;
	return a->count == b->count;
}

static bool holds_pair(const struct config_pairs *pairs, const char *name, const char *value)
{
	for (size_t i = 0; i < pairs->count; i++)
		if (str_eq(pairs->items[i].name, name))
			return str_eq(pairs->items[i].value, value);
	return false;
}

/* A map has no order, and no name is in it twice. */
static bool same_pairs(const struct config_pairs *a, const struct config_pairs *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (!holds_pair(b, a->items[i].name, a->items[i].value))
			return false;
	return a->count == b->count;
}

static bool same_rates(const struct config_rates *a, const struct config_rates *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (a->items[i].count != b->items[i].count ||
			a->items[i].period_ms != b->items[i].period_ms)
			return false;
	return a->count == b->count;
}

static bool same_elements(const struct config_field *field, const struct config_array *a,
	const struct config_array *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++) {
		const char *x = (const char *)a->items + i * field->element_size;
		const char *y = (const char *)b->items + i * field->element_size;
		bool named = field->type == CONFIG_STRUCT_MAP;
		if (named && !str_eq(*(const char *const *)x, *(const char *const *)y))
			return false;
		if (diff_fields(field->fields, x, y) != CHANGE_NONE)
			return false;
	}
	return a->count == b->count;
}

static bool same_retry_when(const struct config_retry_when *a, const struct config_retry_when *b)
{
	return a->timeout == b->timeout && a->connect == b->connect &&
	       memcmp(a->status, b->status, sizeof(a->status)) == 0;
}

static bool same(const struct config_field *field, const void *a, const void *b)
{
	switch (field->type) {
	case CONFIG_BOOL: return *(const bool *)a == *(const bool *)b;
	case CONFIG_INT:
	case CONFIG_DURATION_MS:
	case CONFIG_SIZE: return *(const int64_t *)a == *(const int64_t *)b;
	case CONFIG_ENUM:
	case CONFIG_SIGNAL: return *(const int *)a == *(const int *)b;
	case CONFIG_STRING:
	case CONFIG_XPATH: return same_text(*(const char *const *)a, *(const char *const *)b);
	case CONFIG_STRING_LIST: return same_strings(a, b);
	case CONFIG_STRING_MAP: return same_pairs(a, b);
	case CONFIG_RATES: return same_rates(a, b);
	case CONFIG_RETRY_WHEN: return same_retry_when(a, b);
	case CONFIG_STRUCT_LIST:
	case CONFIG_STRUCT_MAP: return same_elements(field, a, b);
	default: return true;
	}
}

static enum config_change diff_fields(
	const struct config_field *fields, const void *old_object, const void *new_object)
{
	enum config_change strongest = CHANGE_NONE;
	for (const struct config_field *f = fields; f->name; f++) {
		const char *a = (const char *)old_object + f->offset;
		const char *b = (const char *)new_object + f->offset;
		enum config_change change = CHANGE_NONE;
		if (f->type == CONFIG_STRUCT)
			change = diff_fields(f->fields, a, b);
		else if (!same(f, a, b))
			change = change_of(f->apply);
		strongest = MAX(strongest, change);
	}
	return strongest;
}

static enum config_change diff_present(
	const struct config_field *fields, const void *a, const void *b)
{
	if (!a || !b)
		return a == b ? CHANGE_NONE : CHANGE_RESTART;
	return diff_fields(fields, a, b);
}

static enum config_change diff_workers(const struct config_worker *a, const struct config_worker *b)
{
	if (!a || !b)
		return a == b ? CHANGE_NONE : CHANGE_RESTART;
	struct arena *arena = arena_new(0);
	const struct config_field *fields = arena ? worker_fields(arena, b->kind) : NULL;
	/* Without memory the safe answer is that it may have changed. */
	enum config_change change = fields ? diff_fields(fields, a, b) : CHANGE_LIVE;
	arena_free(arena);
	return change;
}

static enum config_change diff_jobs(const struct config_job *a, const struct config_job *b)
{
	enum config_change common = diff_present(job_fields, a, b);
	if (!a || !b || a->kind != b->kind || !a->kind)
		return common;
	enum config_change own = diff_fields(a->kind->job_fields, a->spec, b->spec);
	return MAX(common, own);
}

enum config_change config_diff(
	const struct config *old_config, const struct config *new_config, const char *path)
{
	const struct config *a = old_config, *b = new_config;
	const char *name = strchr(path, '.');
	name = name ? name + 1 : "";
	for (const struct config_section *s = config_sections; s->name; s++)
		if (str_eq(path, s->name))
			return diff_fields(s->fields, (const char *)a + s->offset,
				(const char *)b + s->offset);
	if (str_starts(path, "workers."))
		return diff_workers(config_worker(a, name), config_worker(b, name));
	if (str_starts(path, "services."))
		return diff_present(
			service_fields, config_service(a, name), config_service(b, name));
	if (str_starts(path, "providers."))
		return diff_present(
			provider_fields, config_provider(a, name), config_provider(b, name));
	if (str_starts(path, "jobs."))
		return diff_jobs(config_job(a, name), config_job(b, name));
	return CHANGE_NONE;
}
