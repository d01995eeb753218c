/* SPDX-License-Identifier: MIT */
/* services.*.depends_on: names become pointers, and no service may need itself, however far round.
 */
#include "config/context.h"

#include "base/arena.h"
#include "base/str.h"
#include "config/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_WORDS = 400, RING_SHOWN = 8 };

struct edge {
	size_t from, next; /* next: as graph.first */
};
struct graph {
	struct config_context *ctx;
	struct config_service *services;
	size_t count;
	const struct config_service **by_name;
	size_t *unmet;	     /* of each service: what it needs and what is not sorted yet */
	size_t *order, done; /* sorted: each behind all that it needs */
	size_t *first;	     /* of each service: the edge of one that needs it, from 1; 0: none */
	struct edge *edges;
	size_t *walk; /* of each service: who walked over it first, from 1 */
};

static int compare_names(const void *a, const void *b)
{
	const struct config_service *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static const struct config_service *find(const struct graph *g, const char *name)
{
	const struct config_service key = { .name = name }, *wanted = &key;
	const struct config_service *const *hit = bsearch(
		&wanted, g->by_name, g->count, sizeof(g->by_name[0]), compare_names);
	return hit ? *hit : NULL;
}

static void report_unknown(const struct graph *g, const struct config_service *s, size_t i)
{
	const char *const *member = &s->depends_on.items[i];
	const char *shown = check_shown(g->ctx, member), *near = NULL;
	const char **names = arena_alloc(g->ctx->scratch, g->count * sizeof(char *));
	char path[40];
	for (size_t k = 0; names && k < g->count; k++)
		names[k] = g->services[k].name;
	if (names && shown == *member)
		near = str_nearest(shown, names, g->count);
	snprintf(path, sizeof(path), "depends_on.%zu", i);
	struct config_mark mark = config_mark_of(g->ctx, s, path);
	config_error(g->ctx, &mark, "no service is named \"%.60s\"%s%s%s", shown,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Only what is there and is not the service itself is an edge. */
static void resolve(const struct graph *g, struct config_service *s)
{
	char path[40];
	s->needs = context_alloc(g->ctx, (s->depends_on.count + 1) * sizeof(s->needs[0]));
	for (size_t i = 0; s->needs && i < s->depends_on.count; i++) {
		const struct config_service *other = find(g, s->depends_on.items[i]);
		snprintf(path, sizeof(path), "depends_on.%zu", i);
		struct config_mark mark = config_mark_of(g->ctx, s, path);
		bool twice = false;
		for (size_t k = 0; k < s->need_count; k++)
			twice = twice || s->needs[k] == other;
		if (!other)
			report_unknown(g, s, i);
		else if (other == s)
			config_error(g->ctx, &mark, "a service cannot depend on itself");
		else if (twice)
			config_error(
				g->ctx, &mark, "\"%s\" stands twice in depends_on", other->name);
		else
			s->needs[s->need_count++] = other;
	}
}

/* Who needs whom, the other way round. */
static bool link_edges(struct graph *g)
{
	size_t total = 0, n = 0;
	for (size_t i = 0; i < g->count; i++)
		total += g->services[i].need_count;
	g->edges = arena_alloc(g->ctx->scratch, (total + 1) * sizeof(g->edges[0]));
	for (size_t i = 0; g->edges && i < g->count; i++) {
		for (size_t k = 0; k < g->services[i].need_count; k++) {
			size_t to = (size_t)(g->services[i].needs[k] - g->services);
			g->edges[n] = (struct edge) { i, g->first[to] };
			g->first[to] = ++n;
		}
	}
	return g->edges;
}

/* What needs nothing that is unsorted comes next; a ring is never reached. */
static void sort(struct graph *g)
{
	for (size_t i = 0; i < g->count; i++) {
		g->unmet[i] = g->services[i].need_count;
		if (!g->unmet[i])
			g->order[g->done++] = i;
	}
	for (size_t at = 0; at < g->done; at++)
		for (size_t e = g->first[g->order[at]]; e; e = g->edges[e - 1].next)
			if (--g->unmet[g->edges[e - 1].from] == 0)
				g->order[g->done++] = g->edges[e - 1].from;
}

static const struct config_service *next_in_ring(
	const struct graph *g, const struct config_service *s)
{
	for (size_t k = 0; k < s->need_count; k++)
		if (g->unmet[s->needs[k] - g->services])
			return s->needs[k];
	return NULL;
}

static struct config_mark mark_of_need(
	const struct graph *g, const struct config_service *s, const struct config_service *need)
{
	char path[40] = "depends_on";
	for (size_t i = 0; i < s->depends_on.count; i++)
		if (str_eq(s->depends_on.items[i], need->name))
			snprintf(path, sizeof(path), "depends_on.%zu", i);
	return config_mark_of(g->ctx, s, path);
}

static void report_ring(const struct graph *g, const struct config_service *first)
{
	char words[RING_WORDS];
	const struct config_service *s = first, *need = next_in_ring(g, first);
	struct config_mark mark = mark_of_need(g, first, need);
	size_t len = (size_t)snprintf(words, sizeof(words), "%.64s", first->name), shown = 0;
	for (;; s = need, need = next_in_ring(g, s)) {
		struct config_mark at = mark_of_need(g, s, need);
		if (need == first || shown < RING_SHOWN)
			len += (size_t)snprintf(words + len, sizeof(words) - len,
				" -> %.20s (line %zu)", need->name, at.line);
		else if (shown == RING_SHOWN)
			len += (size_t)snprintf(words + len, sizeof(words) - len, " -> ...");
		shown++;
		if (need == first)
			break;
	}
	config_error(g->ctx, &mark, "depends_on goes round in a ring: %s", words);
}

/* Every unsorted service leads into a ring; a ring is told by the walk that was the first in it. */
static void report_rings(struct graph *g)
{
	for (size_t i = 0; i < g->count; i++) {
		size_t at = i;
		if (!g->unmet[i])
			continue;
		while (!g->walk[at]) {
			g->walk[at] = i + 1;
			at = (size_t)(next_in_ring(g, &g->services[at]) - g->services);
		}
		if (g->walk[at] == i + 1)
			report_ring(g, &g->services[at]);
	}
}

static bool graph_init(struct graph *g, struct config_context *ctx)
{
	size_t count = ctx->config->service_count, size = (count + 1) * sizeof(size_t);
	*g = (struct graph) { .ctx = ctx, .services = ctx->config->services, .count = count };
	g->by_name = arena_alloc(ctx->scratch, (count + 1) * sizeof(g->by_name[0]));
	g->unmet = arena_alloc(ctx->scratch, size);
	g->order = arena_alloc(ctx->scratch, size);
	g->first = arena_alloc(ctx->scratch, size);
	g->walk = arena_alloc(ctx->scratch, size);
	if (!g->by_name || !g->unmet || !g->order || !g->first || !g->walk)
		return false;
	memset(g->first, 0, size);
	memset(g->walk, 0, size);
	for (size_t i = 0; i < count; i++)
		g->by_name[i] = &g->services[i];
	qsort(g->by_name, count, sizeof(g->by_name[0]), compare_names);
	return true;
}

void check_depends(struct config_context *ctx)
{
	struct graph g;
	bool ok = graph_init(&g, ctx);
	for (size_t i = 0; ok && i < g.count; i++)
		resolve(&g, &g.services[i]);
	if (!ok || !link_edges(&g)) {
		context_no_memory(ctx);
		return;
	}
	sort(&g);
	report_rings(&g);
}
