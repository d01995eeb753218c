/* SPDX-License-Identifier: MIT */
#include "config/tree.h"

#include "base/str.h"

const struct node_pair *node_get_pair(const struct node *mapping, const char *key)
{
	if (!mapping || mapping->kind != NODE_MAPPING)
		return NULL;
	for (size_t i = 0; i < mapping->count; i++)
		if (str_eq(mapping->pairs[i].key->text, key))
			return &mapping->pairs[i];
	return NULL;
}

struct node *node_get(const struct node *mapping, const char *key)
{
	const struct node_pair *pair = node_get_pair(mapping, key);
	return pair ? pair->value : NULL;
}

bool node_is_null(const struct node *node)
{
	if (!node)
		return true;
	if (node->kind != NODE_SCALAR || !node->plain)
		return false;
	return !*node->text || str_eq(node->text, "~") || str_eq(node->text, "null");
}

const char *node_kind_name(const struct node *node)
{
	return node->kind == NODE_MAPPING    ? "a mapping"
	       : node->kind == NODE_SEQUENCE ? "a list"
					     : "text";
}
