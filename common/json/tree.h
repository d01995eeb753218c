/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A JSON value taken apart in one pass into an array of nodes, in the order of the text: no memory
 * for each, and a tree that is read into again and again keeps what it has. Texts and numbers stay
 * where they are; only texts with escapes are written anew.
 *
 * Strict as RFC 8259, UTF-8 included; names that come twice in an object, lone surrogates and names
 * with a NUL are refused, a NUL in a text is not.
 */
#include "base/buf.h"
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { JSON_TREE_DEPTH = 2048 };

enum json_node_kind {
	JSON_NODE_NULL,
	JSON_NODE_FALSE,
	JSON_NODE_TRUE,
	JSON_NODE_NUMBER,
	JSON_NODE_TEXT,
	JSON_NODE_LIST,	 /* its elements follow */
	JSON_NODE_OBJECT /* its members follow: name, value, name, value */
};
struct json_node {
	uint32_t at;  /* NUMBER, TEXT: of its first byte, in the source or among the decoded */
	uint32_t len; /* NUMBER, TEXT: bytes; LIST: elements; OBJECT: members */
	uint32_t end; /* the node behind it and all that is in it */
	uint8_t kind; /* enum json_node_kind */
	bool decoded;
};
struct json_tree {
	struct json_node *nodes; /* the first is the value */
	size_t count, cap;
	const char *source; /* borrowed */
	struct buf decoded;
};

void json_tree_finish(struct json_tree *tree); /* a zeroed one is fine */
/**
 * Reads the value that stands at the front of data, behind blanks. What follows it is not looked
 * at, but for a number alone, which ends with the data.
 * @param data  borrowed as long as the tree is used
 * @param depth  so many containers in each other at most
 * @return its bytes, with the blanks; -EAGAIN it goes on behind the data; -EINVAL with words and
 * byte; -ENOMEM
 */
int64_t json_tree_read(struct json_tree *tree, const char *data, size_t len, size_t depth,
	struct err *err) MUST_CHECK;
/** Of a NUMBER or TEXT; not NUL-terminated. */
static inline const char *json_tree_text(const struct json_tree *tree, const struct json_node *node)
{
	return (node->decoded ? tree->decoded.data : tree->source) + node->at;
}
