/* SPDX-License-Identifier: MIT */
#include "record/xml_tree.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "record/xml.h"
#include <string.h>

enum node_kind { NODE_ELEMENT, NODE_ATTRIBUTE, NODE_TEXT };
struct node {
	enum node_kind kind;
	bool written; /* among its brothers */
	const char *name, *text;
	size_t name_len, len;
	struct node *parent, *first, *last, *next;
};
struct xml_tree {
	struct arena *arena;
	struct node *root, *open;
	size_t nodes, bytes;
	const char *bad;
	bool no_memory;
};

struct xml_tree *xml_tree_new(void)
{
	return NEW(struct xml_tree);
}

void xml_tree_free(struct xml_tree *t)
{
	if (!t)
		return;
	arena_free(t->arena);
	free(t);
}

void xml_tree_restart(struct xml_tree *t)
{
	arena_free(t->arena);
	*t = (struct xml_tree) { 0 };
}

bool xml_tree_is_empty(const struct xml_tree *t)
{
	return !t->root && !t->bad;
}

const char *xml_tree_bad(const struct xml_tree *t, bool *no_memory)
{
	*no_memory = t->no_memory;
	return t->bad;
}

static void fail(struct xml_tree *t, const char *why, bool no_memory)
{
	if (!t->bad)
		t->bad = why;
	t->no_memory |= no_memory;
}

void xml_tree_too_large(struct xml_tree *t)
{
	fail(t, "larger than 1048576 bytes", false);
}

static const char *copy(struct xml_tree *t, const char *text, size_t len)
{
	if (!str_is_utf8(text, len, NULL))
		fail(t, "not valid UTF-8", false);
	t->bytes += len;
	if (t->bytes > XML_RECORD_MAX)
		xml_tree_too_large(t);
	const char *kept = t->bad ? NULL : arena_strndup(t->arena, text, len);
	if (!kept && !t->bad)
		fail(t, "no memory", true);
	return kept;
}

static struct node *add(struct xml_tree *t, enum node_kind kind)
{
	if (!t->arena && !t->bad)
		t->arena = arena_new(0);
	if (++t->nodes > XML_RECORD_NODES)
		fail(t, "more than 10000 elements, attributes and texts", false);
	if (t->bad)
		return NULL;
	struct node *node = t->arena ? arena_alloc(t->arena, sizeof(*node)) : NULL;
	if (!node) {
		fail(t, "no memory", true);
		return NULL;
	}
	*node = (struct node) { .kind = kind, .parent = t->open };
	if (!t->open)
		t->root = node;
	else if (t->open->last)
		t->open->last->next = node;
	else
		t->open->first = node;
	if (t->open)
		t->open->last = node;
	return node;
}

void xml_tree_open(struct xml_tree *t, const char *name, size_t len)
{
	struct node *node = t->bad ? NULL : add(t, NODE_ELEMENT);
	if (!node)
		return;
	node->name = copy(t, name, len);
	node->name_len = len;
	t->open = node;
}

void xml_tree_attribute(
	struct xml_tree *t, const char *name, size_t name_len, const char *value, size_t len)
{
	struct node *node = t->bad ? NULL : add(t, NODE_ATTRIBUTE);
	if (!node)
		return;
	node->name = copy(t, name, name_len);
	node->name_len = name_len;
	node->text = copy(t, value, len);
	node->len = len;
}

void xml_tree_text(struct xml_tree *t, const char *text, size_t len)
{
	struct node *node = t->bad ? NULL : add(t, NODE_TEXT);
	if (!node)
		return;
	node->text = copy(t, text, len);
	node->len = len;
}

void xml_tree_close(struct xml_tree *t)
{
	if (t->open)
		t->open = t->open->parent;
}

/* ---- as JSON ---- */

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r\n", text[i]) || !text[i])
			return false;
	return true;
}

static void gather_text(const struct node *element, struct buf *out)
{
	for (const struct node *n = element->first; n; n = n->next)
		if (n->kind == NODE_TEXT)
			buf_add(out, n->text, n->len);
}

static bool same_name(const struct node *a, const struct node *b)
{
	return a->kind == b->kind && a->name_len == b->name_len &&
	       memcmp(a->name, b->name, a->name_len) == 0;
}

static bool has_members(const struct node *element)
{
	for (const struct node *n = element->first; n; n = n->next)
		if (n->kind != NODE_TEXT)
			return true;
	return false;
}

static void write_element(struct json_out *out, const char *key, struct node *element, bool object);

/* All that are named so, in the place of the first. */
static void write_named(struct json_out *out, struct node *first)
{
	struct node *n = first->next;
	while (n && !same_name(n, first))
		n = n->next;
	if (!n) {
		write_element(out, first->name, first, false);
		return;
	}
	json_open_array(out, first->name);
	for (n = first; n; n = n->next) {
		if (!same_name(n, first))
			continue;
		n->written = true;
		write_element(out, NULL, n, false);
	}
	json_close_array(out);
}

static void write_members(struct json_out *out, const struct node *element)
{
	for (struct node *n = element->first; n; n = n->next) {
		if (n->kind == NODE_ATTRIBUTE) {
			char key[XML_NAME_MAX + 2] = "@";
			memcpy(key + 1, n->name, n->name_len + 1);
			json_strn(out, key, n->text, n->len);
		} else if (n->kind == NODE_ELEMENT && !n->written) {
			write_named(out, n);
		}
	}
}

/* Not deeper than XML_DEPTH. */
static void write_element(struct json_out *out, const char *key, struct node *element, bool object)
{
	struct buf text = BUF_INIT;
	bool members = has_members(element);
	gather_text(element, &text);
	if (!members && !object) {
		if (text.len)
			json_strn(out, key, text.data, text.len);
		else
			json_none(out, key);
	} else {
		json_open_object(out, key);
		write_members(out, element);
		if (!is_blank(buf_str(&text), text.len))
			json_strn(out, "#text", text.data, text.len);
		json_close_object(out);
	}
	out->buf->failed |= buf_failed(&text);
	buf_finish(&text);
}

void xml_tree_write(struct xml_tree *t, struct buf *buf)
{
	struct json_out out;
	json_out_init(&out, buf);
	write_element(&out, NULL, t->root, true);
}
