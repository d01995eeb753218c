/* SPDX-License-Identifier: MIT */
#include "store/job_table.h"

#include "base/arena.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"

static const char *const *copy_names(struct arena *arena, const struct config_strings *names)
{
	const char **copy = arena_alloc(arena, (names->count + 1) * sizeof(*copy));
	for (size_t i = 0; copy && i < names->count; i++)
		if (!(copy[i] = arena_strdup(arena, names->items[i])))
			return NULL;
	return copy;
}

static bool add_columns(struct arena *arena, struct store_table *t, const struct config_job *job)
{
	size_t most = job->kind->job_columns(job, NULL, 0);
	struct config_column *all = arena_alloc(arena, (most + 1) * sizeof(*all));
	struct store_column *columns = arena_alloc(arena, (most + 1) * sizeof(*columns));
	size_t count = all && columns ? job->kind->job_columns(job, all, most) : 0;
	t->columns = columns;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < t->column_count && !str_eq(columns[k].name, all[i].name))
			k++;
		if (k < t->column_count)
			continue;
		columns[k] = (struct store_column) { arena_strdup(arena, all[i].name),
			all[i].type };
		if (!columns[k].name)
			return false;
		t->column_count++;
	}
	return t->column_count > 0;
}

static bool add_indexes(struct arena *arena, struct store_table *t, const struct config_job *job)
{
	const struct config_index *from = job->store.indexes.items;
	size_t count = job->store.indexes.count;
	struct store_index *indexes = arena_alloc(arena, (count + 1) * sizeof(*indexes));
	for (size_t i = 0; indexes && i < count; i++) {
		indexes[i].columns = copy_names(arena, &from[i].columns);
		indexes[i].column_count = from[i].columns.count;
		if (!indexes[i].columns)
			return false;
	}
	t->indexes = indexes;
	t->index_count = count;
	return indexes;
}

const struct store_table *job_table(struct arena *arena, const struct config_job *job)
{
	if (!job->store.table || !job->kind || !job->spec || !job->kind->job_columns)
		return NULL;
	struct store_table *t = arena_alloc(arena, sizeof(*t));
	return t && job_table_fill(t, arena, job) && add_columns(arena, t, job) ? t : NULL;
}

bool job_table_fill(struct store_table *t, struct arena *arena, const struct config_job *job)
{
	t->name = arena_strdup(arena, job->store.table);
	t->key = copy_names(arena, &job->store.key);
	t->key_count = job->store.key.count;
	t->append = job->store.mode == STORE_APPEND;
	t->history = job->store.history == HISTORY_MONTH;
	return t->name && t->key && add_indexes(arena, t, job);
}
