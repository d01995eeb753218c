/* SPDX-License-Identifier: MIT */
/* jobs.NAME.incremental */
#include "base/err.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/kind_parts.h"
#include "config/check.h"
#include "schedule/due.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = { "time", "integer", NULL };

static void check_format(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *format = *(const char *const *)value;
	static const char *const names[] = { "rfc3339", "date", "unix", "unix_ms" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (str_eq(format, names[i]))
			return;
	const char *percent = strchr(format, '%');
	for (; percent; percent = strchr(percent + 2, '%'))
		if (!percent[1] || !strchr("YmdHMS%", percent[1]))
			break;
	if (percent || !strchr(format, '%') || strlen(format) > 64)
		config_error(ctx, mark,
			"\"%.60s\" is no format: rfc3339, date, unix, unix_ms, or a text with %%Y "
			"%%m %%d %%H %%M %%S",
			check_shown(ctx, value));
}

#define AT(member) offsetof(struct collect_incremental, member)
const struct config_field collect_incremental_fields[] = {
	{ "cursor", CONFIG_STRING, AT(cursor), .required = true, .check = check_dotted_path,
		.doc = "dotted path in the record of what grows: when it was changed, or a "
		       "number" },
	{ "param", CONFIG_STRING, AT(param), .required = true,
		.doc = "argument that holds where to begin" },
	{ "until", CONFIG_STRING, AT(until),
		.doc = "argument that holds where it ends: now, or the window's end; none: not "
		       "sent" },
	{ "start", CONFIG_STRING, AT(start), .required = true,
		.doc = "where the first run begins: a date, a time (RFC 3339), or a number" },
	{ "type", CONFIG_ENUM, AT(type), .def = "time", .names = type_names,
		.doc = "of the cursor" },
	{ "format", CONFIG_STRING, AT(format), .def = "rfc3339", .check = check_format,
		.doc = "of times in arguments, UTC: rfc3339, date, unix, unix_ms, or a text with "
		       "%Y %m %d %H %M %S" },
	{ "lookback", CONFIG_DURATION_MS, AT(lookback_ms), .def = "0s", .min = 0,
		.max = CONFIG_DURATION_MAX_MS, .doc = "each run begins so much before the cursor" },
	{ "step", CONFIG_DURATION_MS, AT(step_ms), .def = "0s", .min = 0,
		.max = CONFIG_DURATION_MAX_MS,
		.doc = "cuts the time until now into windows, a task each; 0s: one request for "
		       "all" },
	{ 0 },
};
#undef AT

static bool read_start(const struct collect_incremental *inc, int64_t *out)
{
	char text[64];
	size_t bad_at;
	struct err err;
	if (inc->type == CURSOR_INTEGER)
		return str_to_i64(inc->start, 0, INT64_MAX, out) == 0;
	snprintf(text, sizeof(text), "%s%s", inc->start,
		strlen(inc->start) == strlen("2026-01-01") ? "T00:00:00Z" : "");
	return time_parse_rfc3339(text, out, &bad_at, &err) == 0 && *out >= 0;
}

static void refuse(struct config_context *ctx, const struct collect_job *spec, const char *path,
	const char *why)
{
	const struct config_mark mark = config_mark_of(ctx, spec, path);
	config_error(ctx, &mark, "%s", why);
}

void collect_check_incremental(struct config_context *ctx, struct collect_job *spec)
{
	struct collect_incremental *inc = &spec->incremental;
	if (!inc->cursor || !inc->start || !inc->param)
		return;
	if (!read_start(inc, &inc->first))
		refuse(ctx, spec, "incremental.start",
			inc->type == CURSOR_INTEGER
				? "start is no number, at least 0"
				: "start is no date (2026-01-01) or time (2026-01-01T00:00:00Z) "
				  "since 1970");
	if (inc->type == CURSOR_INTEGER && inc->lookback_ms)
		refuse(ctx, spec, "incremental.lookback", "lookback is for cursors that are times");
	if (inc->type == CURSOR_INTEGER && inc->step_ms)
		refuse(ctx, spec, "incremental.step", "step is for cursors that are times");
	if (inc->step_ms && !inc->until)
		refuse(ctx, spec, "incremental.step",
			"step needs until: the argument that holds where a window ends");
	if (inc->until && inc->type == CURSOR_INTEGER)
		refuse(ctx, spec, "incremental.until", "until is for cursors that are times");
	if (inc->until && str_eq(inc->until, inc->param))
		refuse(ctx, spec, "incremental.until", "until and param are the same argument");
}
