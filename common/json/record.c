/* SPDX-License-Identifier: MIT */
#include "json/record.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "json/path.h"
#include "json/tree.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct json_record {
	struct json_tree tree;
	struct arena *arena; /* what columns of type json point to, and texts with a NUL behind */
	char *copy;	     /* the source, when it is ours */
	uint32_t hint;	     /* the member after the one that was found last */
	bool single_is_list;
};

struct json_record *json_record_empty(void)
{
	return NEW(struct json_record);
}

static void forget(struct json_record *record)
{
	arena_free(record->arena);
	record->arena = NULL;
	free(record->copy);
	record->copy = NULL;
	record->hint = 1;
}

int64_t json_record_read_front(
	struct json_record *record, const char *data, size_t len, size_t depth, struct err *err)
{
	forget(record);
	return json_tree_read(&record->tree, data, len, depth, err);
}

int json_record_read(struct json_record *record, const char *data, size_t len, struct err *err)
{
	int64_t end = json_record_read_front(record, data, len, JSON_TREE_DEPTH, err);
	if (end < 0)
		return end == -EAGAIN ? -EINVAL : (int)end;
	while ((size_t)end < len && strchr(" \t\r\n", data[end]) && data[end])
		end++;
	return (size_t)end == len ? 0
				  : err_set(err, -EINVAL,
					    "something follows the value, at byte %" PRId64, end);
}

int json_record_new(struct json_record **out, const char *data, size_t len, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = json_record_empty();
	CLEANUP(freep) char *copy = malloc(len + 1);
	if (!record || !copy)
		return err_set(err, -ENOMEM, "record: out of memory");
	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	int rc = json_record_read(record, copy, len, err);
	if (rc < 0)
		return rc;
	record->copy = TAKE(copy);
	*out = TAKE(record);
	return 0;
}

void json_record_free(struct json_record *record)
{
	if (!record)
		return;
	forget(record);
	json_tree_finish(&record->tree);
	free(record);
}

void json_record_single_is_list(struct json_record *record)
{
	record->single_is_list = true;
}

bool json_record_is_object(const struct json_record *record)
{
	return record->tree.nodes[0].kind == JSON_NODE_OBJECT;
}

/* ---- following a path ---- */

struct walk {
	const struct json_tree *tree;
	const struct json_path *path;
	bool single_is_list;
	void (*found)(void *arg, const struct json_node *value);
	void *arg;
};

static const struct json_node *node_at(const struct json_tree *tree, uint32_t at)
{
	return &tree->nodes[at];
}

static bool has_name(const struct json_tree *tree, uint32_t at, const struct json_step *step)
{
	const struct json_node *name = node_at(tree, at);
	if (name->len != step->name_len)
		return false;
	const char *text = json_tree_text(tree, name);
	return name->len == 0 ||
	       (text[0] == step->name[0] && memcmp(text, step->name, name->len) == 0);
}

/* The name of a member among the nodes [from, to), which begin with one. @return to: none is */
static uint32_t find_name(
	const struct json_tree *tree, uint32_t from, uint32_t to, const struct json_step *step)
{
	while (from < to && !has_name(tree, from, step))
		from = node_at(tree, from + 1)->end;
	return from;
}

static void follow(const struct walk *walk, const struct json_node *value, size_t at);

static void follow_all(const struct walk *walk, const struct json_node *value, size_t at)
{
	bool object = value->kind == JSON_NODE_OBJECT;
	uint32_t next = (uint32_t)(value - walk->tree->nodes) + 1 + object;
	for (uint32_t i = 0; i < value->len; i++) {
		const struct json_node *member = node_at(walk->tree, next);
		follow(walk, member, at);
		next = member->end + object;
	}
}

static void follow_index(
	const struct walk *walk, const struct json_node *value, int64_t index, size_t at)
{
	uint32_t next = (uint32_t)(value - walk->tree->nodes) + 1;
	int64_t i = index < 0 ? (int64_t)value->len + index : index;
	if (i < 0 || i >= (int64_t)value->len)
		return;
	while (i-- > 0)
		next = node_at(walk->tree, next)->end;
	follow(walk, node_at(walk->tree, next), at);
}

static void follow(const struct walk *walk, const struct json_node *value, size_t at)
{
	if (at == walk->path->count) {
		walk->found(walk->arg, value);
		return;
	}
	const struct json_step *step = &walk->path->steps[at];
	bool object = value->kind == JSON_NODE_OBJECT, list = value->kind == JSON_NODE_LIST;
	if (walk->single_is_list && !list &&
		(step->kind == JSON_STEP_INDEX ? step->index == 0 || step->index == -1
					       : step->kind == JSON_STEP_ALL && !object)) {
		follow(walk, value, at + 1);
	} else if (step->kind == JSON_STEP_ALL && (object || list)) {
		follow_all(walk, value, at + 1);
	} else if (step->kind == JSON_STEP_INDEX && list) {
		follow_index(walk, value, step->index, at + 1);
	} else if (step->kind == JSON_STEP_NAME && object) {
		uint32_t first = (uint32_t)(value - walk->tree->nodes) + 1;
		uint32_t name = find_name(walk->tree, first, value->end, step);
		if (name < value->end)
			follow(walk, node_at(walk->tree, name + 1), at + 1);
	}
}

static void follow_path(const struct json_record *record, const struct json_path *path,
	void (*found)(void *arg, const struct json_node *value), void *arg)
{
	follow(&(struct walk) { &record->tree, path, record->single_is_list, found, arg },
		record->tree.nodes, 0);
}

static void write_value(struct json_out *out, const char *key, const struct json_tree *tree,
	const struct json_node *value);

static void write_container(
	struct json_out *out, const struct json_tree *tree, const struct json_node *value)
{
	CLEANUP(buf_finish) struct buf name = BUF_INIT;
	uint32_t at = (uint32_t)(value - tree->nodes) + 1;
	for (uint32_t i = 0; i < value->len; i++) {
		bool named = value->kind == JSON_NODE_OBJECT;
		if (named) {
			buf_reset(&name);
			buf_add(&name, json_tree_text(tree, node_at(tree, at)),
				node_at(tree, at)->len);
			at++;
		}
		write_value(out, named ? buf_str(&name) : NULL, tree, node_at(tree, at));
		at = node_at(tree, at)->end;
	}
}

static void write_value(struct json_out *out, const char *key, const struct json_tree *tree,
	const struct json_node *value)
{
	switch ((enum json_node_kind)value->kind) {
	case JSON_NODE_NULL: json_none(out, key); break;
	case JSON_NODE_FALSE:
	case JSON_NODE_TRUE: json_bool(out, key, value->kind == JSON_NODE_TRUE); break;
	case JSON_NODE_NUMBER: json_raw(out, key, json_tree_text(tree, value), value->len); break;
	case JSON_NODE_TEXT: json_strn(out, key, json_tree_text(tree, value), value->len); break;
	case JSON_NODE_LIST:
		json_open_array(out, key);
		write_container(out, tree, value);
		json_close_array(out);
		break;
	case JSON_NODE_OBJECT:
		json_open_object(out, key);
		write_container(out, tree, value);
		json_close_object(out);
		break;
	}
}

struct select {
	const struct json_tree *tree;
	struct json_out *out;
	size_t count;
};

static void write_found(void *arg, const struct json_node *value)
{
	struct select *select = arg;
	write_value(select->out, NULL, select->tree, value);
	select->count++;
}

size_t json_record_select(
	const struct json_record *record, const struct json_path *path, struct json_out *out)
{
	struct select select = { .tree = &record->tree, .out = out };
	follow_path(record, path, write_found, &select);
	return select.count;
}

/* ---- columns ---- */

struct only {
	const struct json_node *value;
	size_t count;
};

static void keep_only(void *arg, const struct json_node *value)
{
	struct only *only = arg;
	only->value = value;
	only->count++;
}

/* Fields mostly come in the order of the members: each is looked for behind the last one. */
static struct only find_member(struct json_record *record, const struct json_step *step)
{
	const struct json_tree *tree = &record->tree;
	uint32_t end = tree->nodes[0].end, from = MIN(record->hint, end);
	uint32_t name = find_name(tree, from, end, step);
	if (name == end && (name = find_name(tree, 1, from, step)) == from)
		return (struct only) { 0 };
	const struct json_node *value = node_at(tree, name + 1);
	record->hint = value->end;
	return (struct only) { value, 1 };
}

static struct only find_value(struct json_record *record, const struct json_path *path)
{
	struct only only = { 0 };
	if (path->count == 1 && path->steps[0].kind == JSON_STEP_NAME)
		return json_record_is_object(record) ? find_member(record, path->steps) : only;
	follow_path(record, path, keep_only, &only);
	return only;
}

static bool has_wildcard(const struct json_path *path)
{
	for (size_t i = 0; i < path->count; i++)
		if (path->steps[i].kind == JSON_STEP_ALL)
			return true;
	return false;
}

static const char *keep_text(struct json_record *record, const char *text, size_t len)
{
	if (!record->arena)
		record->arena = arena_new(0);
	return record->arena ? arena_strndup(record->arena, text, len) : NULL;
}

/* As text in the record's arena. */
static int json_column(struct json_record *record, const struct json_path *path,
	const struct json_node *one, struct json_value *out)
{
	CLEANUP(buf_finish) struct buf buf = BUF_INIT;
	struct json_out json;
	json_out_init(&json, &buf);
	if (one) {
		write_value(&json, NULL, &record->tree, one);
	} else {
		json_open_array(&json, NULL);
		(void)json_record_select(record, path, &json);
		json_close_array(&json);
	}
	const char *text = buf_failed(&buf) ? NULL : keep_text(record, buf_str(&buf), buf.len);
	*out = (struct json_value) { .type = JSON_VALUE_TEXT, .text = text, .len = buf.len };
	return text ? 0 : -ENOMEM;
}

/* What was refused, as far as it can be shown. */
static int refuse_shown(
	struct err *err, const struct config_column *column, struct buf *shown, int rc)
{
	const char *words = json_type_words(column->type);
	bool cut = shown->len > 60;
	while (cut && shown->len > 60)
		shown->len--;
	while (cut && shown->len && ((unsigned char)shown->data[shown->len] & 0xc0) == 0x80)
		shown->len--;
	err_set(err, -EINVAL, "field %s: %.*s%s is %s%s", column->name, (int)shown->len,
		buf_str(shown), cut ? "..." : "", rc == -ERANGE ? "out of range for " : "not ",
		words);
	buf_finish(shown);
	return -EINVAL;
}

static int refuse(struct err *err, const struct config_column *column, const struct json_tree *tree,
	const struct json_node *value, int rc)
{
	struct buf shown = BUF_INIT;
	struct json_out json;
	if (value->kind == JSON_NODE_OBJECT || value->kind == JSON_NODE_LIST)
		return err_set(err, -EINVAL, "field %s: %s is not %s", column->name,
			value->kind == JSON_NODE_OBJECT ? "an object" : "a list",
			json_type_words(column->type));
	json_out_init(&json, &shown);
	write_value(&json, NULL, tree, value);
	return refuse_shown(err, column, &shown, rc);
}

int json_text_column(const struct config_column *column, const char *text, size_t len,
	struct json_value *out, struct err *err)
{
	struct buf shown = BUF_INIT;
	struct json_out json;
	int rc = json_value_from_text(out, column->type, text, len);
	if (rc == 0)
		return 0;
	json_out_init(&json, &shown);
	json_strn(&json, NULL, text, MIN(len, (size_t)200));
	return refuse_shown(err, column, &shown, rc);
}

static void note_value(void *arg, const struct json_node *value)
{
	if (value->kind != JSON_NODE_NULL)
		*(bool *)arg = true;
}

bool json_record_has(const struct json_record *record, const struct json_path *path)
{
	bool found = false;
	follow_path(record, path, note_value, &found);
	return found;
}

/* @return -EINVAL: it has no such value */
static int scalar(const struct json_tree *tree, const struct json_node *node, int type,
	struct json_value *out)
{
	switch ((enum json_node_kind)node->kind) {
	case JSON_NODE_NUMBER:
		if (type == COLUMN_BYTES)
			return -EINVAL;
		/* fall through */
	case JSON_NODE_TEXT:
		if (type == COLUMN_TEXT && !node->decoded) {
			*out = (struct json_value) { .type = JSON_VALUE_TEXT,
				.text = json_tree_text(tree, node),
				.len = node->len };
			return 0;
		}
		return json_value_from_text(out, type, json_tree_text(tree, node), node->len);
	case JSON_NODE_FALSE:
	case JSON_NODE_TRUE:
		if (type != COLUMN_TEXT && type != COLUMN_BOOLEAN)
			return -EINVAL;
		return node->kind == JSON_NODE_TRUE ? json_value_from_text(out, type, "true", 4)
						    : json_value_from_text(out, type, "false", 5);
	default: return -EINVAL;
	}
}

int json_record_raw(struct json_record *record, const struct config_column *column,
	const struct json_path *path, struct json_value *out, struct err *err)
{
	struct only only = find_value(record, path);
	*out = (struct json_value) { .type = JSON_VALUE_NULL };
	if (column->type == COLUMN_JSON) {
		bool list = has_wildcard(path);
		if (only.count == 0 || (!list && only.value->kind == JSON_NODE_NULL))
			return 0;
		int rc = json_column(record, path, list ? NULL : only.value, out);
		return rc < 0 ? err_set(err, rc, "field %s: out of memory", column->name) : 0;
	}
	if (only.count > 1)
		return err_set(err, -EINVAL, "field %s: the path leads to %zu values, not to one",
			column->name, only.count);
	if (only.count == 0 || only.value->kind == JSON_NODE_NULL)
		return 0;
	int rc = scalar(&record->tree, only.value, column->type, out);
	return rc < 0 ? refuse(err, column, &record->tree, only.value, rc) : 0;
}

int json_record_column(struct json_record *record, const struct config_column *column,
	const struct json_path *path, struct json_value *out, struct err *err)
{
	int rc = json_record_raw(record, column, path, out, err);
	if (rc < 0 || (out->type != JSON_VALUE_TEXT && out->type != JSON_VALUE_BASE64) ||
		column->type == COLUMN_JSON)
		return rc;
	out->text = keep_text(record, out->text, out->len);
	return out->text ? 0 : err_set(err, -ENOMEM, "field %s: out of memory", column->name);
}
