/* SPDX-License-Identifier: MIT */
#include "json/record.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "json/path.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/*
 * jansson is given a copy in which each number has become a text: 1.10 -> "n1.10". So that nothing
 * can be taken for a number that is none, each text is marked too: "abc" -> "sabc". Names stay.
 */
enum { TAG_NUMBER = 'n', TAG_TEXT = 's' };

struct json_record {
	json_t *root;
	struct arena *arena; /* what columns of type json point to */
	bool single_is_list;
};

static size_t end_of_text(const char *data, size_t len, size_t at)
{
	for (at++; at < len && data[at] != '"'; at++)
		at += data[at] == '\\';
	return MIN(at + 1, len);
}

static bool is_name(const char *data, size_t len, size_t at)
{
	while (at < len &&
		(data[at] == ' ' || data[at] == '\n' || data[at] == '\r' || data[at] == '\t'))
		at++;
	return at < len && data[at] == ':';
}

static int tag(struct buf *out, const char *data, size_t len, struct err *err)
{
	for (size_t at = 0, end; at < len; at = end) {
		char c = data[at];
		end = at + 1;
		if (c == '"') {
			end = end_of_text(data, len, at);
			buf_add_char(out, '"');
			if (!is_name(data, len, end))
				buf_add_char(out, TAG_TEXT);
			buf_add(out, data + at + 1, end - at - 1);
		} else if (c == '-' || (c >= '0' && c <= '9')) {
			while (end < len && memchr("+-.0123456789eE", data[end], 15))
				end++;
			if (!json_number_sound(data + at, end - at))
				return err_set(err, -EINVAL, "not a number at byte %zu", at);
			buf_addf(out, "\"%c%.*s\"", TAG_NUMBER, (int)(end - at), data + at);
		} else {
			buf_add_char(out, c);
		}
	}
	return buf_failed(out) ? err_set(err, -ENOMEM, "record: out of memory") : 0;
}

int json_record_new(struct json_record **out, const char *data, size_t len, struct err *err)
{
	struct buf tagged = BUF_INIT;
	CLEANUP(json_record_freep) struct json_record *record = NEW(struct json_record);
	if (!record)
		return err_set(err, -ENOMEM, "record: out of memory");
	int rc = tag(&tagged, data, len, err);
	if (rc == 0) {
		json_error_t why;
		record->root = json_loadb(buf_str(&tagged), tagged.len,
			JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
		if (!record->root)
			rc = err_set(err, -EINVAL, "%s", why.text);
	}
	buf_finish(&tagged);
	if (rc < 0)
		return rc;
	*out = TAKE(record);
	return 0;
}

void json_record_free(struct json_record *record)
{
	if (!record)
		return;
	json_decref(record->root);
	arena_free(record->arena);
	free(record);
}

void json_record_single_is_list(struct json_record *record)
{
	record->single_is_list = true;
}

bool json_record_is_object(const struct json_record *record)
{
	return json_is_object(record->root);
}

/* ---- following a path ---- */

struct walk {
	const struct json_path *path;
	bool single_is_list;
	void (*found)(void *arg, const json_t *value);
	void *arg;
};

static void follow(const struct walk *walk, const json_t *value, size_t at)
{
	if (at == walk->path->count) {
		walk->found(walk->arg, value);
		return;
	}
	const struct json_step *step = &walk->path->steps[at];
	if (walk->single_is_list && !json_is_array(value) &&
		(step->kind == JSON_STEP_INDEX
				? step->index == 0 || step->index == -1
				: step->kind == JSON_STEP_ALL && !json_is_object(value))) {
		follow(walk, value, at + 1);
		return;
	}
	if (step->kind == JSON_STEP_ALL && json_is_object(value)) {
		const char *name;
		json_t *member;
		json_object_foreach((json_t *)value, name, member) follow(walk, member, at + 1);
	} else if (step->kind == JSON_STEP_ALL) {
		for (size_t i = 0; i < json_array_size(value); i++)
			follow(walk, json_array_get(value, i), at + 1);
	} else if (step->kind == JSON_STEP_INDEX) {
		int64_t size = (int64_t)json_array_size(value);
		int64_t i = step->index < 0 ? size + step->index : step->index;
		if (i >= 0 && i < size)
			follow(walk, json_array_get(value, (size_t)i), at + 1);
	} else {
		const json_t *member = json_object_get(value, step->name);
		if (member)
			follow(walk, member, at + 1);
	}
}

static void write_value(struct json_out *out, const char *key, const json_t *value)
{
	if (json_is_string(value)) {
		const char *text = json_string_value(value);
		size_t len = json_string_length(value);
		if (*text == TAG_NUMBER)
			json_raw(out, key, text + 1, len - 1);
		else
			json_strn(out, key, text + 1, len - 1);
	} else if (json_is_array(value)) {
		json_open_array(out, key);
		for (size_t i = 0; i < json_array_size(value); i++)
			write_value(out, NULL, json_array_get(value, i));
		json_close_array(out);
	} else if (json_is_object(value)) {
		const char *name;
		json_t *member;
		json_open_object(out, key);
		json_object_foreach((json_t *)value, name, member) write_value(out, name, member);
		json_close_object(out);
	} else if (json_is_null(value)) {
		json_none(out, key);
	} else {
		json_bool(out, key, json_is_true(value));
	}
}

struct select {
	struct json_out *out;
	size_t count;
};

static void write_found(void *arg, const json_t *value)
{
	struct select *select = arg;
	write_value(select->out, NULL, value);
	select->count++;
}

size_t json_record_select(
	const struct json_record *record, const struct json_path *path, struct json_out *out)
{
	struct select select = { .out = out };
	follow(&(struct walk) { path, record->single_is_list, write_found, &select }, record->root,
		0);
	return select.count;
}

/* ---- columns ---- */

struct only {
	const json_t *value;
	size_t count;
};

static void keep_only(void *arg, const json_t *value)
{
	struct only *only = arg;
	only->value = value;
	only->count++;
}

static bool has_wildcard(const struct json_path *path)
{
	for (size_t i = 0; i < path->count; i++)
		if (path->steps[i].kind == JSON_STEP_ALL)
			return true;
	return false;
}

/* As text in the record's arena. */
static int json_column(struct json_record *record, const struct json_path *path, const json_t *one,
	struct json_value *out)
{
	struct buf buf = BUF_INIT;
	struct json_out json;
	json_out_init(&json, &buf);
	if (one) {
		write_value(&json, NULL, one);
	} else {
		json_open_array(&json, NULL);
		(void)json_record_select(record, path, &json);
		json_close_array(&json);
	}
	if (!record->arena)
		record->arena = arena_new(0);
	char *text = buf_failed(&buf) || !record->arena
			     ? NULL
			     : arena_strndup(record->arena, buf_str(&buf), buf.len);
	*out = (struct json_value) { .type = JSON_VALUE_TEXT, .text = text, .len = buf.len };
	buf_finish(&buf);
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

static int refuse(struct err *err, const struct config_column *column, const json_t *value, int rc)
{
	struct buf shown = BUF_INIT;
	struct json_out json;
	if (json_is_object(value) || json_is_array(value))
		return err_set(err, -EINVAL, "field %s: %s is not %s", column->name,
			json_is_object(value) ? "an object" : "a list",
			json_type_words(column->type));
	json_out_init(&json, &shown);
	write_value(&json, NULL, value);
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

static void find_value(void *arg, const json_t *value)
{
	if (!json_is_null(value))
		*(bool *)arg = true;
}

bool json_record_has(const struct json_record *record, const struct json_path *path)
{
	bool found = false;
	follow(&(struct walk) { path, record->single_is_list, find_value, &found }, record->root,
		0);
	return found;
}

int json_record_column(struct json_record *record, const struct config_column *column,
	const struct json_path *path, struct json_value *out, struct err *err)
{
	struct only only = { 0 };
	follow(&(struct walk) { path, record->single_is_list, keep_only, &only }, record->root, 0);
	*out = (struct json_value) { .type = JSON_VALUE_NULL };
	if (column->type == COLUMN_JSON) {
		bool list = has_wildcard(path);
		if (only.count == 0 || (!list && json_is_null(only.value)))
			return 0;
		int rc = json_column(record, path, list ? NULL : only.value, out);
		return rc < 0 ? err_set(err, rc, "field %s: out of memory", column->name) : 0;
	}
	if (only.count > 1)
		return err_set(err, -EINVAL, "field %s: the path leads to %zu values, not to one",
			column->name, only.count);
	if (only.count == 0 || json_is_null(only.value))
		return 0;
	int rc = -EINVAL;
	bool bare = column->type == COLUMN_BYTES && json_is_string(only.value) &&
		    *json_string_value(only.value) == TAG_NUMBER;
	if (json_is_string(only.value) && !bare)
		rc = json_value_from_text(out, column->type, json_string_value(only.value) + 1,
			json_string_length(only.value) - 1);
	else if (json_is_boolean(only.value) &&
		 (column->type == COLUMN_TEXT || column->type == COLUMN_BOOLEAN))
		rc = json_value_from_text(out, column->type,
			json_is_true(only.value) ? "true" : "false",
			json_is_true(only.value) ? 4 : 5);
	return rc < 0 ? refuse(err, column, only.value, rc) : 0;
}
