/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "ask.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "table.h"
#include "text.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void add_safe(struct buf *out, const char *text)
{
	text_escape(out, text, strlen(text));
}

/* "2026-11-21T08:45:00.123Z" -> "08:45:00.123": the day is seldom what is looked for. */
static void add_time(struct buf *out, const char *time)
{
	const char *t = strchr(time, 'T');
	size_t len = t ? strcspn(t + 1, "Z+") : 0;
	text_escape(out, t ? t + 1 : time, t ? len : strlen(time));
}

static bool is_head(const char *key)
{
	static const char *const heads[] = { "time", "level", "category", "process", "event",
		"msg" };
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		if (str_eq(heads[i], key))
			return true;
	return false;
}

static void add_field(struct buf *out, const char *key, const json_t *value)
{
	buf_add_char(out, ' ');
	add_safe(out, key);
	buf_add_char(out, '=');
	const char *text = json_string_value(value);
	if (text) {
		bool plain = *text && !strpbrk(text, " \"=");
		buf_add_str(out, plain ? "" : "\"");
		add_safe(out, text);
		buf_add_str(out, plain ? "" : "\"");
		return;
	}
	CLEANUP(freep)
	char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	buf_add_str(out, json ? json : "?");
}

/* "process stopped: web (operator)" says no more than process_stopped and its fields. */
static bool repeats(const char *msg, const char *event)
{
	size_t i = 0;
	while (event[i] && (msg[i] == event[i] || (event[i] == '_' && msg[i] == ' ')))
		i++;
	return event[i] == '\0';
}

void record_show(struct buf *out, const char *line, size_t len, bool color)
{
	CLEANUP(json_freep)
	json_t *record = len && line[0] == '{' ? json_loadb(line, len, 0, NULL) : NULL;
	const char *event = json_text(record, "event"), *msg = json_text(record, "msg");
	if (!*event || !*json_text(record, "time")) {
		text_escape(out, line, len);
		return;
	}
	const char *level = json_text(record, "level");
	enum table_color shade = str_eq(level, "error")	 ? TABLE_BAD
				 : str_eq(level, "warn") ? TABLE_WARN
							 : TABLE_PLAIN;
	add_time(out, json_text(record, "time"));
	buf_addf(out, " %s", color_begin(color, shade));
	add_safe(out, level);
	buf_addf(out, "%s%*s ", color_end(color, shade), (int)(5 - MIN(strlen(level), (size_t)5)),
		"");
	add_safe(out, json_text(record, "process"));
	buf_add_str(out, "  ");
	add_safe(out, event);
	if (*msg && !repeats(msg, event)) {
		buf_add_str(out, ": ");
		add_safe(out, msg);
	}
	const char *key;
	json_t *value;
	json_object_foreach(record, key, value) if (!is_head(key)) add_field(out, key, value);
}
