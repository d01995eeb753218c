/* SPDX-License-Identifier: MIT */
#pragma once
/* One record of an XML answer, element by element, and then as JSON. For xml.c. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct buf;

struct xml_tree;
struct xml_tree *xml_tree_new(void); /* NULL: no memory */
void xml_tree_free(struct xml_tree *tree);
/** Nothing is open, nothing is there; memory is kept as far as it is not much. */
void xml_tree_restart(struct xml_tree *tree);
bool xml_tree_is_empty(const struct xml_tree *tree);
/* Bounds and lack of memory stick: xml_tree_bad() says. */
void xml_tree_open(struct xml_tree *tree, const char *name, size_t len);
void xml_tree_attribute(
	struct xml_tree *tree, const char *name, size_t name_len, const char *value, size_t len);
void xml_tree_text(struct xml_tree *tree, const char *text, size_t len);
void xml_tree_too_large(struct xml_tree *tree);
void xml_tree_close(struct xml_tree *tree);
/** Why it is no record, NULL: it is one. -ENOMEM is told by *no_memory. */
const char *xml_tree_bad(const struct xml_tree *tree, bool *no_memory);
/** Appends the record as JSON. */
void xml_tree_write(struct xml_tree *tree, struct buf *out);
