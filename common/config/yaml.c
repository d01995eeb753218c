/* SPDX-License-Identifier: MIT */
/*
 * libyaml's events -> tree. libyaml bounds nothing and is quadratic in nesting (200 KB of `[` took
 * it 63.7 s), so depth and nodes are counted here, while events come, and reading stops at the
 * bound.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/report.h"
#include "config/source.h"
#include "config/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct anchor {
	const char *name;
	struct node *node; /* NULL: still open, an alias would contain itself */
};

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const struct source *source;
	struct report *report;
	size_t *budget;
	size_t depth;
	yaml_mark_t open[TREE_MAX_DEPTH]; /* where the collections that are being read began */
	struct anchor anchors[TREE_MAX_ANCHORS];
	size_t anchor_count;
	bool stopped; /* reported: nothing more can be read */
};

/* The children of the collection that is being read. */
struct children {
	struct node_pair *items; /* of a sequence: values only */
	size_t count, cap;
};

static struct node *read_node(struct reader *r, yaml_event_t *event);

static struct config_mark mark_of(
	const struct reader *r, const yaml_mark_t *start, const yaml_mark_t *end)
{
	struct config_mark mark = { .file = r->source->name,
		.line = start->line + 1,
		.column = start->column + 1,
		.width = 1 };
	if (end && end->line == start->line && end->column > start->column)
		mark.width = end->column - start->column;
	return mark;
}

static void stop(struct reader *r, const yaml_mark_t *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void stop(struct reader *r, const yaml_mark_t *at, const char *fmt, ...)
{
	struct config_mark mark = mark_of(r, at, NULL);
	va_list ap;
	va_start(ap, fmt);
	if (!r->stopped)
		report_addv(r->report, &mark, fmt, ap);
	va_end(ap);
	r->stopped = true;
}

static void no_memory(struct reader *r)
{
	r->report->out_of_memory = true;
	r->stopped = true;
}

/* The source from a mark on. */
static const char *text_at(const struct reader *r, const yaml_mark_t *mark, size_t *left)
{
	size_t len;
	const char *p = source_line(r->source, mark->line + 1, &len);
	for (size_t column = 0; column < mark->column && len; column++) {
		size_t n = source_char_bytes(p, len);
		p += n;
		len -= n;
	}
	*left = (size_t)(r->source->data + r->source->len - p);
	return p;
}

static bool only_blanks_follow(const struct reader *r, const yaml_mark_t *mark)
{
	size_t left;
	const char *p = text_at(r, mark, &left);
	while (left && strchr(" \t\r\n", *p)) {
		p++;
		left--;
	}
	return left == 0;
}

/* libyaml's words name its own machinery; these name what to do. */
static void syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "cannot be read";
	const char *context = p->context ? p->context : "";
	size_t left;
	const char *at = text_at(r, &p->problem_mark, &left);
	if (p->error == YAML_MEMORY_ERROR) {
		no_memory(r);
	} else if (strstr(context, "quoted scalar")) {
		stop(r, &p->context_mark, "this quote is not closed");
	} else if (strstr(context, "scanning an alias") || strstr(context, "scanning an anchor")) {
		stop(r, &p->context_mark, "%s begins %s here: quote the value",
			strstr(context, "alias") ? "\"*\"" : "\"&\"",
			strstr(context, "alias") ? "an alias" : "an anchor");
	} else if (strstr(problem, "tab character") ||
		   (left && *at == '\t' && strstr(problem, "cannot start"))) {
		stop(r, &p->problem_mark, "a tab cannot indent: use spaces");
	} else if (strstr(problem, "cannot start any token") && left) {
		stop(r, &p->problem_mark, "\"%c\" cannot begin a value: quote it", *at);
	} else if (strstr(context, "flow ") && r->depth &&
		   only_blanks_follow(r, &p->problem_mark)) {
		stop(r, &r->open[r->depth - 1], "this bracket is not closed");
	} else if (strstr(context, "flow ")) {
		stop(r, &p->problem_mark, "%s (of the bracket at line %zu, column %zu)", problem,
			p->context_mark.line + 1, p->context_mark.column + 1);
	} else if (strstr(problem, "mapping values are not allowed")) {
		stop(r, &p->problem_mark,
			"a \":\" cannot stand here: wrong indentation, or a value that needs "
			"quotes");
	} else {
		stop(r, &p->problem_mark, "%s%s%s", problem, *context ? " " : "", context);
	}
}

/* The next event; nothing to be freed when false. */
static bool next_event(struct reader *r, yaml_event_t *event)
{
	if (r->stopped)
		return false;
	if (yaml_parser_parse(&r->parser, event))
		return true;
	syntax_error(r);
	return false;
}

static bool spend(struct reader *r, size_t nodes, const yaml_mark_t *at)
{
	if (nodes > *r->budget) {
		stop(r, at, "more than %d nodes, aliases written out", TREE_MAX_NODES);
		return false;
	}
	*r->budget -= nodes;
	return true;
}

static bool too_deep(struct reader *r, size_t depth, const yaml_mark_t *at)
{
	if (depth <= TREE_MAX_DEPTH)
		return false;
	stop(r, at, "nested deeper than %d", TREE_MAX_DEPTH);
	return true;
}

static struct node *new_node(struct reader *r, enum node_kind kind, const yaml_event_t *event)
{
	if (!spend(r, 1, &event->start_mark))
		return NULL;
	struct node *node = arena_alloc(r->arena, sizeof(*node));
	if (!node) {
		no_memory(r);
		return NULL;
	}
	node->kind = kind;
	node->height = 1;
	node->weight = 1;
	node->mark = mark_of(r, &event->start_mark, kind == NODE_SCALAR ? &event->end_mark : NULL);
	node->text = "";
	return node;
}

/* NULL: no anchor; SIZE_MAX is no answer: errors stop the reader. */
static struct anchor *open_anchor(struct reader *r, const yaml_char_t *name, const yaml_mark_t *at)
{
	if (!name)
		return NULL;
	if (r->anchor_count == TREE_MAX_ANCHORS) {
		stop(r, at, "more than %d anchors", TREE_MAX_ANCHORS);
		return NULL;
	}
	struct anchor *anchor = &r->anchors[r->anchor_count];
	*anchor = (struct anchor) { .name = arena_strdup(r->arena, (const char *)name) };
	if (!anchor->name) {
		no_memory(r);
		return NULL;
	}
	r->anchor_count++;
	return anchor;
}

static void refuse_tag(
	struct reader *r, struct node *node, const yaml_char_t *tag, const yaml_mark_t *at)
{
	struct config_mark mark = mark_of(r, at, NULL);
	if (!tag)
		return;
	report_add(r->report, &mark, "tags are not allowed: %.60s", (const char *)tag);
	node->reported = true;
}

/* `&name 5`: the place of the value is the 5. */
static void skip_anchor(struct reader *r, struct config_mark *mark, const yaml_event_t *event)
{
	size_t left, len, column = 0;
	const char *p = text_at(r, &event->start_mark, &left);
	const char *nl = memchr(p, '\n', left);
	len = nl ? (size_t)(nl - p) : left;
	while (len > column && !strchr(" \t\r", p[column]))
		column++;
	while (len > column && strchr(" \t", p[column]))
		column++;
	if (column == len || event->end_mark.line != event->start_mark.line)
		return; /* the value stands on a line below */
	mark->column += column;
	mark->width = mark->width > column ? mark->width - column : 1;
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *event)
{
	const yaml_char_t *value = event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct node *node = new_node(r, NODE_SCALAR, event);
	if (!node)
		return NULL;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	refuse_tag(r, node, event->data.scalar.tag, &event->start_mark);
	struct anchor *anchor = open_anchor(r, event->data.scalar.anchor, &event->start_mark);
	if (r->stopped)
		return NULL;
	if (anchor) {
		skip_anchor(r, &node->mark, event);
		anchor->node = node;
	}
	for (size_t i = 0; i < len; i++) {
		if ((value[i] < 0x20 && value[i] != '\n' && value[i] != '\t') || value[i] == 0x7f) {
			report_add(r->report, &node->mark,
				"control character 0x%02x cannot stand in a value", value[i]);
			return node;
		}
	}
	node->text = arena_strndup(r->arena, (const char *)value, len);
	if (!node->text)
		no_memory(r);
	return r->stopped ? NULL : node;
}

static struct node *unknown_anchor(struct reader *r, const char *name, const yaml_event_t *event)
{
	const char *names[TREE_MAX_ANCHORS];
	struct config_mark mark = mark_of(r, &event->start_mark, &event->end_mark);
	for (size_t i = 0; i < r->anchor_count; i++)
		names[i] = r->anchors[i].name;
	const char *near = str_nearest(name, names, r->anchor_count);
	report_add(r->report, &mark, "no anchor \"%.60s\"%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	/* Null in its place, so that the other errors are found too. */
	struct node *node = new_node(r, NODE_SCALAR, event);
	if (node)
		node->plain = node->reported = true;
	return node;
}

static struct node *read_alias(struct reader *r, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	size_t i = r->anchor_count;
	while (i > 0 && !str_eq(r->anchors[i - 1].name, name))
		i--;
	if (i == 0)
		return unknown_anchor(r, name, event);
	struct node *node = r->anchors[i - 1].node;
	if (!node) {
		stop(r, &event->start_mark, "alias \"%.60s\" stands inside what it names", name);
		return NULL;
	}
	if (too_deep(r, r->depth + node->height, &event->start_mark) ||
		!spend(r, node->weight, &event->start_mark))
		return NULL;
	return node;
}

static bool add_child(struct reader *r, struct children *c, struct node *key, struct node *value)
{
	void *items = c->items;
	if (mem_grow(&items, &c->cap, c->count, sizeof(c->items[0])) < 0) {
		no_memory(r);
		return false;
	}
	c->items = items;
	c->items[c->count++] = (struct node_pair) { key, value };
	return true;
}

static void weigh(struct node *parent, const struct node *child)
{
	if (!child)
		return;
	parent->weight += child->weight;
	if (child->height >= parent->height)
		parent->height = child->height + 1;
}

static void finish_sequence(struct reader *r, struct node *node, const struct children *c)
{
	node->items = arena_alloc(r->arena, c->count * sizeof(node->items[0]));
	if (!node->items) {
		no_memory(r);
		return;
	}
	node->count = c->count;
	for (size_t i = 0; i < c->count; i++) {
		node->items[i] = c->items[i].value;
		weigh(node, c->items[i].value);
	}
}

/* A pair on its way into a mapping: written there, or merged from another. */
struct candidate {
	struct node_pair pair;
	size_t order;
	bool merged;
};
struct candidates {
	struct candidate *items;
	size_t count, cap;
};

static bool add_candidate(
	struct reader *r, struct candidates *list, const struct node_pair *pair, bool merged)
{
	void *items = list->items;
	if (mem_grow(&items, &list->cap, list->count, sizeof(list->items[0])) < 0) {
		no_memory(r);
		return false;
	}
	list->items = items;
	list->items[list->count] =
		(struct candidate) { .pair = *pair, .order = list->count, .merged = merged };
	list->count++;
	return true;
}

static bool is_merge(const struct node *key)
{
	return key->plain && str_eq(key->text, "<<");
}

static void merge(struct reader *r, struct candidates *list, const struct node *value)
{
	yaml_mark_t at = { .line = value->mark.line - 1, .column = value->mark.column - 1 };
	if (value->kind != NODE_MAPPING) {
		if (!value->reported)
			report_add(r->report, &value->mark,
				"<< merges a mapping or a list of mappings, not %s",
				node_kind_name(value));
		return;
	}
	for (size_t i = 0; i < value->count && !r->stopped; i++)
		if (spend(r, value->pairs[i].key->weight + value->pairs[i].value->weight, &at))
			add_candidate(r, list, &value->pairs[i], true);
}

static int by_key(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = strcmp(x->pair.key->text, y->pair.key->text);
	return order ? order : x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return x->order < y->order ? -1 : 1;
}

/* Keeps the first of each key: what is written comes before what is merged. */
static void drop_duplicates(struct reader *r, struct candidates *list)
{
	size_t kept = 0;
	qsort(list->items, list->count, sizeof(list->items[0]), by_key);
	for (size_t i = 0; i < list->count; i++) {
		const struct candidate *c = &list->items[i];
		const struct candidate *last = kept ? &list->items[kept - 1] : NULL;
		if (!last || !str_eq(last->pair.key->text, c->pair.key->text)) {
			list->items[kept++] = *c;
			continue;
		}
		if (!c->merged)
			report_add(r->report, &c->pair.key->mark,
				"\"%.60s\" is given twice, first at line %zu", c->pair.key->text,
				last->pair.key->mark.line);
	}
	list->count = kept;
	qsort(list->items, list->count, sizeof(list->items[0]), by_order);
}

static void finish_mapping(struct reader *r, struct node *node, const struct children *c)
{
	struct candidates list = { 0 };
	const struct node *merged_at = NULL;
	for (size_t i = 0; i < c->count && !r->stopped; i++)
		if (!is_merge(c->items[i].key))
			add_candidate(r, &list, &c->items[i], false);
	for (size_t i = 0; i < c->count && !r->stopped; i++) {
		const struct node *value = c->items[i].value;
		if (!is_merge(c->items[i].key))
			continue;
		if (merged_at)
			report_add(r->report, &c->items[i].key->mark,
				"\"<<\" is given twice: merge a list, <<: [*a, *b]");
		merged_at = value;
		if (value->kind != NODE_SEQUENCE)
			merge(r, &list, value);
		for (size_t k = 0; value->kind == NODE_SEQUENCE && k < value->count && !r->stopped;
			k++)
			merge(r, &list, value->items[k]);
	}
	if (!r->stopped && list.count)
		drop_duplicates(r, &list);
	node->pairs = arena_alloc(r->arena, list.count * sizeof(node->pairs[0]));
	if (!node->pairs)
		no_memory(r);
	for (size_t i = 0; i < list.count && node->pairs; i++) {
		node->pairs[node->count++] = list.items[i].pair;
		weigh(node, list.items[i].pair.key);
		weigh(node, list.items[i].pair.value);
	}
	free(list.items);
}

/* Reads the children up to the end event; a mapping's come as key and value. */
static void read_children(struct reader *r, struct node *node, struct children *c)
{
	struct node *key = NULL;
	yaml_event_t event;
	while (next_event(r, &event)) {
		bool end = event.type == YAML_SEQUENCE_END_EVENT ||
			   event.type == YAML_MAPPING_END_EVENT;
		struct node *child = end ? NULL : read_node(r, &event);
		yaml_event_delete(&event);
		if (end || !child)
			return;
		if (node->kind == NODE_SEQUENCE) {
			add_child(r, c, NULL, child);
		} else if (!key) {
			key = child;
			if (child->kind != NODE_SCALAR)
				report_add(r->report, &child->mark, "a key must be text, not %s",
					node_kind_name(child));
		} else {
			if (key->kind == NODE_SCALAR)
				add_child(r, c, key, child);
			key = NULL;
		}
	}
}

static struct node *read_collection(struct reader *r, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = is_map ? event->data.mapping_start.tag
					: event->data.sequence_start.tag;
	const yaml_char_t *name = is_map ? event->data.mapping_start.anchor
					 : event->data.sequence_start.anchor;
	if (too_deep(r, r->depth + 1, &event->start_mark))
		return NULL;
	struct node *node = new_node(r, is_map ? NODE_MAPPING : NODE_SEQUENCE, event);
	struct anchor *anchor = node ? open_anchor(r, name, &event->start_mark) : NULL;
	if (r->stopped)
		return NULL;
	refuse_tag(r, node, tag, &event->start_mark);
	struct children children = { 0 };
	r->open[r->depth++] = event->start_mark;
	read_children(r, node, &children);
	r->depth--;
	if (!r->stopped && is_map)
		finish_mapping(r, node, &children);
	else if (!r->stopped)
		finish_sequence(r, node, &children);
	free(children.items);
	if (anchor)
		anchor->node = node;
	return r->stopped ? NULL : node;
}

static struct node *read_node(struct reader *r, yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT: return read_alias(r, event);
	case YAML_SCALAR_EVENT: return read_scalar(r, event);
	default: return read_collection(r, event);
	}
}

/* Stream start, document start, root, document end, stream end. */
static struct node *read_document(struct reader *r)
{
	struct node *root = NULL;
	yaml_event_t event;
	while (next_event(r, &event)) {
		yaml_event_type_t type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && root)
			stop(r, &event.start_mark, "a second document: one file holds one");
		else if (type == YAML_DOCUMENT_START_EVENT &&
			 event.data.document_start.tag_directives.start !=
				 event.data.document_start.tag_directives.end)
			stop(r, &event.start_mark, "tags are not allowed");
		else if (type == YAML_ALIAS_EVENT || type == YAML_SCALAR_EVENT ||
			 type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
			root = read_node(r, &event);
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			break;
	}
	return r->stopped ? NULL : root;
}

bool tree_read(struct node **out, struct arena *arena, const struct source *source, size_t *budget,
	struct report *report)
{
	*out = NULL;
	struct reader *r = calloc(1, sizeof(*r));
	if (!r || !yaml_parser_initialize(&r->parser)) {
		free(r);
		report->out_of_memory = true;
		return false;
	}
	r->arena = arena;
	r->source = source;
	r->report = report;
	r->budget = budget;
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)source->data, source->len);
	*out = read_document(r);
	bool ok = !r->stopped;
	yaml_parser_delete(&r->parser);
	free(r);
	return ok;
}
