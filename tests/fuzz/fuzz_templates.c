/* SPDX-License-Identifier: MIT */
/*
 * {{NAME}} in texts, paths into JSON and the values that are put there. Input: a byte, then three
 * lines: name or path, value, and the rest, which is the text. What is put into a valid JSON text
 * leaves it valid.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "collect/json_place.h"
#include "collect/template.h"
#include "json/path.h"
#include "json/scan.h"
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

static bool is_json(const char *text)
{
	size_t at = 0;
	struct err err;
	return json_check(text, strlen(text), &at, &err) == 0;
}

static void expand(const char *text, const char *name, const char *value)
{
	struct buf same = BUF_INIT, other = BUF_INIT, json = BUF_INIT, itself = BUF_INIT;
	struct template_place place;
	const char *end = text + strlen(text);
	size_t places = 0;
	for (const char *at = text; template_find(at, &place); at = place.end) {
		demand(place.begin >= at && place.end <= end && place.begin + 4 <= place.end);
		demand(place.name >= place.begin + 2 && place.name + place.len <= place.end - 2);
		places += template_is(&place, name);
	}
	template_expand(&same, text, NULL, NULL, buf_add_str);
	demand(strcmp(buf_str(&same), text) == 0);
	template_expand(&other, text, name, value, buf_add_str);
	demand(places > 0 || strcmp(buf_str(&other), text) == 0);
	buf_addf(&itself, "\"");
	json_place_escape(&itself, value);
	buf_add_char(&itself, '"');
	demand(is_json(buf_str(&itself)) == str_is_utf8(value, strlen(value), NULL));
	template_expand(&json, text, name, value, json_place_escape);
	if (is_json(text) && is_json(buf_str(&itself)))
		demand(is_json(buf_str(&json)));
	buf_finish(&same);
	buf_finish(&other);
	buf_finish(&json);
	buf_finish(&itself);
}

static void put(const char *text, const char *dotted, const char *value, bool number)
{
	struct json_path *path = NULL;
	struct err err;
	if (!is_json(text) || !str_is_utf8(value, strlen(value), NULL) ||
		json_path_new(&path, dotted, &err) < 0)
		return;
	struct buf once = BUF_INIT, twice = BUF_INIT;
	if (!json_place_problem(text, path)) {
		json_place_put(&once, text, path, value, number);
		demand(is_json(buf_str(&once)));
		demand(!json_place_problem(buf_str(&once), path));
		json_place_put(&twice, buf_str(&once), path, value, number);
		demand(strcmp(buf_str(&once), buf_str(&twice)) == 0);
	}
	json_path_free(path);
	buf_finish(&once);
	buf_finish(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *all = strndup((const char *)data + 1, size - 1);
	demand(all != NULL);
	char *value = strchr(all, '\n');
	char *text = value ? strchr(value + 1, '\n') : NULL;
	if (text) {
		*value++ = '\0';
		*text++ = '\0';
		if (data[0] & 1)
			put(text, all, value, data[0] & 2);
		else
			expand(text, all, value);
	}
	free(all);
	return 0;
}
