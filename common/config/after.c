/* SPDX-License-Identifier: MIT */
/* jobs.*.schedule.after: names become marks of who is followed; no job may follow itself, however
 * far round. */
#include "config/context.h"

#include "base/arena.h"
#include "base/str.h"
#include "config/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_SHOWN = 8, RING_WORDS = 400 };

struct chain {
	struct config_context *ctx;
	struct config_job *jobs;
	size_t count;
	struct config_job **by_name;
	size_t **parents; /* of each job: those it follows, as places in jobs */
	size_t *parent_count, *unmet;
};

static int compare_names(const void *a, const void *b)
{
	const struct config_job *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static struct config_job *find(const struct chain *c, const char *name)
{
	struct config_job key = { .name = name }, *wanted = &key;
	struct config_job **hit = bsearch(
		&wanted, c->by_name, c->count, sizeof(c->by_name[0]), compare_names);
	return hit ? *hit : NULL;
}

static struct config_mark mark_of(const struct chain *c, const struct config_job *job, size_t i)
{
	char path[40];
	/* Of `after: NAME` the node is the list's. */
	snprintf(path, sizeof(path), "schedule.after.%zu", i);
	if (!context_node(c->ctx, job, path))
		str_copy(path, sizeof(path), "schedule.after");
	return config_mark_of(c->ctx, job, path);
}

static void report_unknown(const struct chain *c, const struct config_job *job, size_t i)
{
	const char *const *member = &job->due.after.items[i];
	const char *shown = check_shown(c->ctx, member), *near = NULL;
	const char **names = arena_alloc(c->ctx->scratch, c->count * sizeof(char *));
	for (size_t k = 0; names && k < c->count; k++)
		names[k] = c->jobs[k].name;
	if (names && shown == *member)
		near = str_nearest(shown, names, c->count);
	struct config_mark mark = mark_of(c, job, i);
	config_error(c->ctx, &mark, "no job is named \"%.60s\"%s%s%s", shown,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Only what is there and is not the job itself is an edge. */
static void resolve(struct chain *c, size_t at)
{
	struct config_job *job = &c->jobs[at];
	const struct config_strings *after = &job->due.after;
	c->parents[at] = arena_alloc(c->ctx->scratch, (after->count + 1) * sizeof(size_t));
	for (size_t i = 0; c->parents[at] && i < after->count; i++) {
		struct config_job *other = find(c, after->items[i]);
		struct config_mark mark = mark_of(c, job, i);
		bool twice = false;
		for (size_t k = 0; other && k < c->parent_count[at]; k++)
			twice = twice || &c->jobs[c->parents[at][k]] == other;
		if (!other)
			report_unknown(c, job, i);
		else if (other == job)
			config_error(c->ctx, &mark, "a job cannot run after itself");
		else if (twice)
			config_error(c->ctx, &mark, "\"%s\" stands twice in after", other->name);
		else
			c->parents[at][c->parent_count[at]++] = (size_t)(other - c->jobs);
	}
}

static size_t next_in_ring(const struct chain *c, size_t at)
{
	for (size_t k = 0; k < c->parent_count[at]; k++)
		if (c->unmet[c->parents[at][k]])
			return c->parents[at][k];
	return at;
}

static void report_ring(const struct chain *c, size_t first)
{
	char words[RING_WORDS];
	size_t shown = 0, at = first, of = 0;
	size_t len = (size_t)snprintf(words, sizeof(words), "%.40s", c->jobs[first].name);
	do {
		size_t next = next_in_ring(c, at);
		if (next == first || shown < RING_SHOWN)
			len += (size_t)snprintf(words + len, sizeof(words) - len, " after %.30s",
				c->jobs[next].name);
		else if (shown == RING_SHOWN)
			len += (size_t)snprintf(words + len, sizeof(words) - len, " after ...");
		shown++;
		at = next;
	} while (at != first);
	const struct config_strings *after = &c->jobs[first].due.after;
	for (size_t i = 0; i < after->count; i++)
		if (str_eq(after->items[i], c->jobs[next_in_ring(c, first)].name))
			of = i;
	struct config_mark mark = mark_of(c, &c->jobs[first], of);
	config_error(c->ctx, &mark, "jobs run after each other in a ring: %s", words);
}

/* Takes away, round by round along the edges, whoever follows nobody that is left; what remains
 * leads into rings, and a ring is told by the walk that was the first in it. */
static void find_rings(struct chain *c, size_t *order, size_t *first, size_t *links, size_t *walk)
{
	size_t done = 0, edges = 0;
	/* links: pairs (who follows, the next link of the same parent), from 1 */
	for (size_t i = 0; i < c->count; i++) {
		c->unmet[i] = c->parent_count[i];
		if (!c->unmet[i])
			order[done++] = i;
		for (size_t k = 0; k < c->parent_count[i]; k++) {
			size_t parent = c->parents[i][k];
			links[2 * edges] = i;
			links[2 * edges + 1] = first[parent];
			first[parent] = ++edges;
		}
	}
	for (size_t at = 0; at < done; at++)
		for (size_t e = first[order[at]]; e; e = links[2 * (e - 1) + 1])
			if (--c->unmet[links[2 * (e - 1)]] == 0)
				order[done++] = links[2 * (e - 1)];
	for (size_t i = 0; done < c->count && i < c->count; i++) {
		size_t at = i;
		if (!c->unmet[i])
			continue;
		while (!walk[at]) {
			walk[at] = i + 1;
			at = next_in_ring(c, at);
		}
		if (walk[at] == i + 1)
			report_ring(c, at);
	}
}

static bool judge(struct chain *c)
{
	struct arena *scratch = c->ctx->scratch;
	size_t edges = 0, size = (c->count + 1) * sizeof(size_t);
	for (size_t i = 0; i < c->count; i++)
		resolve(c, i);
	for (size_t i = 0; i < c->count; i++) {
		if (!c->parents[i])
			return false;
		edges += c->parent_count[i];
	}
	size_t *order = arena_alloc(scratch, size), *first = arena_alloc(scratch, size);
	size_t *walk = arena_alloc(scratch, size);
	size_t *links = arena_alloc(scratch, (2 * edges + 1) * sizeof(size_t));
	if (!order || !first || !walk || !links)
		return false;
	memset(first, 0, size);
	memset(walk, 0, size);
	find_rings(c, order, first, links, walk);
	return true;
}

static void mark_followed(const struct chain *c)
{
	for (size_t i = 0; i < c->count; i++)
		for (size_t k = 0; k < c->jobs[i].due.after.count; k++) {
			struct config_job *other = find(c, c->jobs[i].due.after.items[k]);
			if (other)
				other->followed = true;
		}
}

void check_after(struct config_context *ctx)
{
	size_t count = ctx->config->job_count, size = (count + 1) * sizeof(size_t);
	struct arena *scratch = ctx->handed_over ? ctx->arena : ctx->scratch;
	struct chain c = { .ctx = ctx, .jobs = ctx->config->jobs, .count = count };
	bool any = false;
	for (size_t i = 0; i < count; i++)
		any = any || c.jobs[i].due.after.count;
	if (!any)
		return;
	c.by_name = arena_alloc(scratch, (count + 1) * sizeof(c.by_name[0]));
	for (size_t i = 0; c.by_name && i < count; i++)
		c.by_name[i] = &c.jobs[i];
	if (!c.by_name) {
		context_no_memory(ctx);
		return;
	}
	qsort(c.by_name, count, sizeof(c.by_name[0]), compare_names);
	mark_followed(&c);
	if (ctx->handed_over)
		return;
	c.parents = arena_alloc(scratch, (count + 1) * sizeof(c.parents[0]));
	c.parent_count = arena_alloc(scratch, size);
	c.unmet = arena_alloc(scratch, size);
	if (c.parent_count)
		memset(c.parent_count, 0, size);
	if (!c.parents || !c.parent_count || !c.unmet || !judge(&c))
		context_no_memory(ctx);
}
