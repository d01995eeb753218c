/* SPDX-License-Identifier: MIT */
#include "collect/json_place.h"

#include "base/buf.h"
#include "base/err.h"
#include "json/path.h"
#include "json/scan.h"
#include <string.h>

/* How far a path leads. */
struct place {
	const char *begin, *end; /* of the last value on the way */
	size_t depth;		 /* steps that led there */
};

static const char *past_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *past_text(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return at + (*at == '"');
}

static const char *past_value(const char *at)
{
	unsigned depth = 0;
	if (*at != '{' && *at != '[')
		return *at == '"' ? past_text(at) : at + strcspn(at, ",]} \t\r\n");
	do {
		depth += *at == '{' || *at == '[';
		depth -= *at == '}' || *at == ']';
		at = *at == '"' ? past_text(at) : at + 1;
	} while (depth && *at);
	return at;
}

static const char *member(const char *object, const struct json_step *step)
{
	const char *at = past_blanks(object + 1);
	while (*at == '"') {
		const char *colon = past_text(at);
		size_t len = (size_t)(colon - at) - 2;
		const char *value = past_blanks(past_blanks(colon) + 1);
		if (len == step->name_len && memcmp(at + 1, step->name, len) == 0)
			return value;
		at = past_blanks(past_value(value));
		at = *at == ',' ? past_blanks(at + 1) : at;
	}
	return NULL;
}

static struct place find(const char *json, const struct json_path *path)
{
	struct place found = { .begin = past_blanks(json) };
	while (found.depth < path->count && *found.begin == '{') {
		const char *next = member(found.begin, &path->steps[found.depth]);
		if (!next)
			break;
		found.begin = next;
		found.depth++;
	}
	found.end = past_value(found.begin);
	return found;
}

const char *json_place_problem(const char *json, const struct json_path *path)
{
	for (size_t i = 0; i < path->count; i++)
		if (path->steps[i].kind != JSON_STEP_NAME || strchr(path->steps[i].name, '\\'))
			return "in a body a place is named by members only, as variables.after";
	if (!path->count)
		return "a place in a body has a name";
	const struct place found = find(json, path);
	if (found.depth == path->count)
		return *found.begin == '{' || *found.begin == '['
			       ? "an object or a list stands there"
			       : NULL;
	return *found.begin == '{' || *found.begin == 'n' ? NULL
							  : "what is on the way is no object";
}

void json_place_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_addf(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			buf_addf(out, "\\u%04x", (unsigned char)*text);
		else
			buf_add_char(out, *text);
	}
}

static bool is_number(const char *value)
{
	size_t at;
	struct err unheard;
	return *value && strchr("-0123456789", *value) &&
	       json_check(value, strlen(value), &at, &unheard) == 0;
}

/* What is still to be made of the way, and the value at its end. */
static void add_rest(
	struct buf *out, const struct json_path *path, size_t from, const char *value, bool number)
{
	for (size_t i = from; i < path->count; i++)
		buf_addf(out, "%s\"%s\":", i > from ? "{" : "", path->steps[i].name);
	if (number && is_number(value)) {
		buf_add_str(out, value);
	} else {
		buf_add_char(out, '"');
		json_place_escape(out, value);
		buf_add_char(out, '"');
	}
	for (size_t i = from + 1; i < path->count; i++)
		buf_add_char(out, '}');
}

void json_place_put(struct buf *out, const char *json, const struct json_path *path,
	const char *value, bool number)
{
	const struct place found = find(json, path);
	bool inside = found.depth < path->count, nothing = *found.begin == 'n';
	buf_add(out, json, (size_t)(found.begin - json));
	if (!inside) {
		add_rest(out, path, path->count, value,
			nothing ? number : *found.begin != '"' && is_number(value));
		buf_add_str(out, found.end);
		return;
	}
	/* null is as good as an object without members. */
	const char *rest = nothing ? found.end : past_blanks(found.begin + 1);
	buf_add_char(out, '{');
	add_rest(out, path, found.depth, value, number);
	if (nothing)
		buf_add_char(out, '}');
	else if (*rest != '}')
		buf_add_char(out, ',');
	buf_add_str(out, rest);
}
