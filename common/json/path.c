/* SPDX-License-Identifier: MIT */
#include "json/path.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <string.h>

/* Integers of JSON that every reader agrees on (RFC 7493), also those of a path. */
#define INDEX_MAX ((int64_t)9007199254740991)

void json_path_free(struct json_path *path)
{
	if (!path)
		return;
	free(path->text);
	free(path->names);
	free(path);
}

static int bad(struct err *err, const struct json_path *path, const char *at, const char *why)
{
	return err_set(err, -EINVAL, "path \"%s\": %s at character %zu", path->text, why,
		(size_t)(at - path->text) + 1);
}

static int add_step(struct json_path *path, const char *at, struct json_step step, struct err *err)
{
	if (path->count == JSON_PATH_STEPS)
		return bad(err, path, at, "too many steps");
	path->steps[path->count++] = step;
	return 0;
}

/* `at` stands behind the bracket. */
static int read_index(struct json_path *path, const char **at, struct err *err)
{
	const char *s = *at, *end = strchr(s, ']');
	struct json_step step = { .kind = JSON_STEP_INDEX };
	char digits[24];
	if (!end)
		return bad(err, path, s, "no closing bracket");
	size_t len = (size_t)(end - s);
	if (len == 1 && *s == '*') {
		step.kind = JSON_STEP_ALL;
	} else {
		size_t sign = *s == '-';
		bool ok = len > sign && len < sizeof(digits) &&
			  strspn(s + sign, "0123456789") == len - sign &&
			  (s[sign] != '0' || (len == 1 && !sign));
		if (ok) {
			memcpy(digits, s, len);
			digits[len] = '\0';
			ok = str_to_i64(digits, -INDEX_MAX, INDEX_MAX, &step.index) == 0;
		}
		if (!ok)
			return bad(err, path, s, "brackets hold a whole number or *");
	}
	*at = end + 1;
	return add_step(path, s, step, err);
}

static int read_name(struct json_path *path, const char **at, char **names, struct err *err)
{
	const char *s = *at;
	size_t len = strcspn(s, ".[]\"'");
	if (len == 0)
		return bad(err, path, s, "a name is missing");
	if (s[len] == ']' || s[len] == '"' || s[len] == '\'')
		return bad(err, path, s + len, "not part of a name");
	if (len > JSON_PATH_NAME)
		return bad(err, path, s, "a name is too long");
	if (s[0] == ' ' || s[len - 1] == ' ')
		return bad(err, path, s, "a blank beside a name");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return bad(err, path, s + i, "a control character");
	struct json_step step = { .kind = JSON_STEP_ALL };
	if (len != 1 || *s != '*') {
		step = (struct json_step) {
			.kind = JSON_STEP_NAME, .name = *names, .name_len = len
		};
		memcpy(*names, s, len);
		(*names)[len] = '\0';
		*names += len + 1;
	}
	*at = s + len;
	return add_step(path, s, step, err);
}

static int read_steps(struct json_path *path, struct err *err)
{
	const char *s = path->text;
	char *names = path->names;
	bool first = true;
	if (*s == '$' && (s[1] == '\0' || s[1] == '.' || s[1] == '[')) {
		s++;
		first = false;
	}
	while (*s) {
		int rc;
		if (*s == '[') {
			s++;
			rc = read_index(path, &s, err);
		} else if (first) {
			rc = read_name(path, &s, &names, err);
		} else if (*s == '.') {
			s++;
			rc = read_name(path, &s, &names, err);
		} else {
			rc = bad(err, path, s, "a dot or a bracket is missing");
		}
		if (rc < 0)
			return rc;
		first = false;
	}
	return 0;
}

static struct json_path *new_path(const char *text)
{
	CLEANUP(json_path_freep) struct json_path *path = NEW(struct json_path);
	if (path) {
		path->text = strdup(text);
		path->names = malloc(strlen(text) + 2);
	}
	return path && path->text && path->names ? TAKE(path) : NULL;
}

int json_path_of_name(struct json_path **out, const char *name, struct err *err)
{
	if (!name || str_eq(name, "$"))
		name = "";
	struct json_path *path = new_path(name);
	if (!path)
		return err_set(err, -ENOMEM, "path: out of memory");
	if (*name) {
		memcpy(path->names, name, strlen(name) + 1);
		path->count = 1;
		path->steps[0] = (struct json_step) {
			.kind = JSON_STEP_NAME, .name = path->names, .name_len = strlen(name)
		};
	}
	*out = path;
	return 0;
}

int json_path_new(struct json_path **out, const char *text, struct err *err)
{
	if (!text)
		text = "";
	CLEANUP(json_path_freep) struct json_path *path = new_path(text);
	if (!path)
		return err_set(err, -ENOMEM, "path: out of memory");
	if (!str_is_utf8(text, strlen(text), NULL))
		return err_set(err, -EINVAL, "path: not valid UTF-8");
	int rc = read_steps(path, err);
	if (rc < 0)
		return rc;
	*out = TAKE(path);
	return 0;
}
