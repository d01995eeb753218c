/* SPDX-License-Identifier: MIT */
/* Cross-checks of jobs' tables: key, indexes, history, and what two jobs say about one table. */
#include "config/check.h"
#include "config/context.h"

#include "base/str.h"
#include "config/kind.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NAMES_MAX = 32, INDEXES_MAX = 32 };

struct columns {
	struct config_column items[CONFIG_COLUMNS_MAX];
	size_t count;
};

static void columns_of(const struct config_job *job, struct columns *out)
{
	out->count = MIN(job->kind->job_columns(job, out->items, CONFIG_COLUMNS_MAX),
		(size_t)CONFIG_COLUMNS_MAX);
}

static const struct config_column *column(const struct columns *columns, const char *name)
{
	for (size_t i = 0; i < columns->count; i++)
		if (str_eq(columns->items[i].name, name))
			return &columns->items[i];
	return NULL;
}

static bool same_names(const struct config_strings *a, const struct config_strings *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (!str_eq(a->items[i], b->items[i]))
			return false;
	return a->count == b->count;
}

/* `path` is that of a list of column names, which `what` calls by its name. */
static void check_names(struct config_context *ctx, const struct config_job *job,
	const struct config_strings *names, const char *list, const char *what)
{
	char path[64];
	if (names->count > NAMES_MAX)
		context_error_at(ctx, job, list, "%s has at most %d columns", what, NAMES_MAX);
	for (size_t i = 0; i < names->count && names->count <= NAMES_MAX; i++) {
		snprintf(path, sizeof(path), "%s.%zu", list, i);
		for (size_t k = 0; k < i; k++)
			if (str_eq(names->items[k], names->items[i]))
				context_error_at(ctx, job, path, "\"%.60s\" stands twice in %s",
					check_shown(ctx, &names->items[i]), what);
	}
}

static void check_known(struct config_context *ctx, const struct config_job *job,
	const struct columns *columns, const struct config_strings *names, const char *list)
{
	const char *known[CONFIG_COLUMNS_MAX];
	char path[64];
	for (size_t k = 0; k < columns->count; k++)
		known[k] = columns->items[k].name;
	for (size_t i = 0; i < names->count && names->count <= NAMES_MAX; i++) {
		if (column(columns, names->items[i]))
			continue;
		const char *shown = check_shown(ctx, &names->items[i]);
		const char *near = shown == names->items[i]
					   ? str_nearest(shown, known, columns->count)
					   : NULL;
		snprintf(path, sizeof(path), "%s.%zu", list, i);
		context_error_at(ctx, job, path, "no column \"%.60s\" among the fields%s%s%s",
			shown, near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
	}
}

static void check_key(
	struct config_context *ctx, const struct config_job *job, const struct columns *columns)
{
	const struct config_strings *key = &job->store.key;
	if (!key->count && !context_is_faulty(ctx, job)) {
		if (context_node(ctx, job, "store.key"))
			context_error_at(
				ctx, job, "store.key", "the key of a table cannot be empty");
		else if (job->store.mode == STORE_UPSERT)
			context_error_at(ctx, job, "store",
				"\"key\" is missing: mode upsert needs the columns that make a "
				"row unique");
	}
	check_names(ctx, job, key, "store.key", "the key");
	if (!context_is_faulty(ctx, job->spec))
		check_known(ctx, job, columns, key, "store.key");
}

/* Written as a list of columns or as a mapping: where its names stand. */
static const char *index_path(
	struct config_context *ctx, const struct config_job *job, size_t i, char path[64])
{
	snprintf(path, 64, "store.indexes.%zu.columns", i);
	if (!context_node(ctx, job, path))
		snprintf(path, 64, "store.indexes.%zu", i);
	return path;
}

static void check_indexes(
	struct config_context *ctx, const struct config_job *job, const struct columns *columns)
{
	const struct config_index *indexes = job->store.indexes.items;
	size_t count = job->store.indexes.count;
	char path[64];
	if (count > INDEXES_MAX)
		context_error_at(
			ctx, job, "store.indexes", "a table has at most %d indexes", INDEXES_MAX);
	for (size_t i = 0; i < count && count <= INDEXES_MAX; i++) {
		const struct config_strings *names = &indexes[i].columns;
		index_path(ctx, job, i, path);
		if (!names->count && !context_is_faulty(ctx, job))
			context_error_at(ctx, job, path, "an index needs columns");
		check_names(ctx, job, names, path, "the index");
		if (!context_is_faulty(ctx, job->spec))
			check_known(ctx, job, columns, names, path);
		for (size_t k = 0; k < i && names->count; k++)
			if (same_names(&indexes[k].columns, names))
				context_error_at(
					ctx, job, path, "the same index stands there already");
	}
}

static void check_history(
	struct config_context *ctx, const struct config_job *job, const struct columns *columns)
{
	if (job->store.history == HISTORY_NONE)
		return;
	if (job->store.mode == STORE_APPEND)
		context_error_at(ctx, job, "store.history",
			"mode append keeps each record already: it needs no history");
	if (strlen(job->store.table) > TABLE_WITH_HISTORY_MAX)
		context_error_at(ctx, job, "store.table",
			"a table with a history has a name of at most %d letters",
			TABLE_WITH_HISTORY_MAX);
	if (column(columns, HISTORY_TIME))
		context_error_at(ctx, job, "store.history",
			"the history has a column \"%s\" of its own", HISTORY_TIME);
}

static void check_column_count(struct config_context *ctx, const struct config_job *job)
{
	struct config_column one;
	if (job->kind->job_columns(job, &one, 0) > CONFIG_COLUMNS_MAX)
		context_error_at(ctx, job, "", "more than %d columns", CONFIG_COLUMNS_MAX);
}

/* Both write one table: what job lacks or has otherwise than first. */
static void check_agreement(struct config_context *ctx, const struct config_job *first,
	const struct config_job *job, const struct columns *theirs, const struct columns *ours)
{
	const char *table = check_shown(ctx, &job->store.table);
	for (size_t i = 0; i < ours->count; i++) {
		const struct config_column *other = column(theirs, ours->items[i].name);
		if (!other)
			context_error_at(ctx, job, "store.table",
				"table %s is also written by jobs.%s, which has no column \"%s\"",
				table, first->name, ours->items[i].name);
		else if (other->type != ours->items[i].type)
			context_error_at(ctx, job, "store.table",
				"table %s is also written by jobs.%s, where column \"%s\" is %s, "
				"not %s",
				table, first->name, other->name, column_types[other->type],
				column_types[ours->items[i].type]);
	}
	for (size_t i = 0; i < theirs->count; i++)
		if (!column(ours, theirs->items[i].name))
			context_error_at(ctx, job, "store.table",
				"table %s is also written by jobs.%s, which has a column \"%s\" "
				"besides",
				table, first->name, theirs->items[i].name);
	if (first->store.mode != job->store.mode || first->store.history != job->store.history)
		context_error_at(ctx, job, "store.table",
			"table %s is also written by jobs.%s, with another mode or history", table,
			first->name);
	if (!same_names(&first->store.key, &job->store.key))
		context_error_at(ctx, job, "store.table",
			"table %s is also written by jobs.%s, with another key", table,
			first->name);
}

/* Another job's table must not be the place of a history. */
static void check_place(
	struct config_context *ctx, const struct config_job *a, const struct config_job *b)
{
	char place[128];
	if (!a->store.table || !b->store.table || a->store.history == HISTORY_NONE)
		return;
	snprintf(place, sizeof(place), "%.70s" HISTORY_SUFFIX, a->store.table);
	size_t len = strlen(place);
	/* On PostgreSQL the months stand beside it: TABLE_history_2026_11. */
	if (strncasecmp(place, b->store.table, len) == 0 &&
		(b->store.table[len] == '\0' || b->store.table[len] == '_'))
		context_error_at(ctx, a > b ? a : b, "store.table",
			"table %s is where the history of table %s goes (jobs.%s)",
			check_shown(ctx, &b->store.table), check_shown(ctx, &a->store.table),
			a->name);
}

static void check_shared_table(struct config_context *ctx, const struct config_job *job,
	struct columns *theirs, const struct columns *ours)
{
	bool agreed = false;
	if (context_is_faulty(ctx, job) || context_is_faulty(ctx, job->spec))
		return;
	for (const struct config_job *first = ctx->config->jobs; first < job; first++) {
		if (!first->kind || !first->store.table)
			continue;
		check_place(ctx, first, job);
		check_place(ctx, job, first);
		if (agreed || !str_eq_nocase(first->store.table, job->store.table))
			continue;
		agreed = true;
		if (context_is_faulty(ctx, first) || context_is_faulty(ctx, first->spec))
			continue;
		columns_of(first, theirs);
		check_agreement(ctx, first, job, theirs, ours);
	}
}

void check_job_table(struct config_context *ctx, const struct config_job *job)
{
	static struct columns ours,
		theirs; /* too large for the stack; one configuration at a time */
	if (!job->store.table || !job->kind->job_columns)
		return;
	columns_of(job, &ours);
	check_column_count(ctx, job);
	check_key(ctx, job, &ours);
	check_indexes(ctx, job, &ours);
	check_history(ctx, job, &ours);
	check_shared_table(ctx, job, &theirs, &ours);
}
