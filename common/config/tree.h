/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A YAML document as a tree with places. Aliases share their node, so the tree may be a graph
 * without cycles; what it would be when written out is bounded: at most TREE_MAX_NODES nodes (all
 * files of a load together), at most TREE_MAX_DEPTH deep.
 */
#include "base/compiler.h"
#include "config/field.h"
#include <stdbool.h>
#include <stddef.h>

struct arena;
struct report;
struct source;

enum {
	TREE_MAX_DEPTH = 32,
	TREE_MAX_NODES = 100000, /* 1,000 jobs of 60 keys and values fit; nine to the power of five
				    does not */
	TREE_MAX_ANCHORS = 256,
};

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

struct node;
struct node_pair {
	struct node *key, *value; /* the key is a scalar */
};
struct node {
	enum node_kind kind;
	bool plain;	 /* a scalar without quotes */
	bool reported;	 /* has had its error: a shared node has only one */
	unsigned height; /* 1: a leaf */
	size_t weight;	 /* nodes when written out */
	struct config_mark mark;
	const char *text; /* of a scalar, NUL-terminated, without control characters */
	union {
		struct node **items;
		struct node_pair *pairs;
	};
	size_t count;
};

/**
 * Reads one document. Keys are unique, `<<` is merged, anchors are resolved.
 * @param budget  nodes that may still be made; shared by the files of a load
 * @return NULL when the text is no YAML that could be read to its end: reported. Other errors
 * (tags, duplicate keys, unknown anchors) are reported too, but give a tree. *out stays NULL for an
 * empty document.
 */
MUST_CHECK
bool tree_read(struct node **out, struct arena *arena, const struct source *source, size_t *budget,
	struct report *report);
/** The value of a key, NULL when absent or not a mapping. */
struct node *node_get(const struct node *mapping, const char *key);
const struct node_pair *node_get_pair(const struct node *mapping, const char *key);
/** Absent, `~`, `null` or nothing at all. */
bool node_is_null(const struct node *node);
/** "a list", "a mapping", "text": for messages. */
const char *node_kind_name(const struct node *node);
