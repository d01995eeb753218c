/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "oneshot.h"
#include "show.h"
#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value as it is typed: texts plain, the rest as JSON. */
static void add_cell(struct table *table, const json_t *value)
{
	if (json_is_string(value)) {
		table_cell(table, json_string_value(value));
		return;
	}
	CLEANUP(freep)
	char *text = json_is_null(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	table_cell(table, text);
}

int trial_show_rows(struct cli *cli, const json_t *answer)
{
	const json_t *rows = json_object_get(answer, "rows"), *row, *error;
	CLEANUP(table_freep) struct table *table = table_new(cli);
	const char *name;
	json_t *value;
	size_t i;
	json_object_foreach(json_array_get(rows, 0), name, value)
		table_column(table, name, TABLE_SHRINK);
	json_array_foreach(rows, i, row)
	{
		table_row(table);
		json_object_foreach((json_t *)(uintptr_t)row, name, value) add_cell(table, value);
	}
	int code = json_array_size(rows) ? table_print(table) : CLI_DONE;
	fflush(cli->out);
	json_array_foreach(json_object_get(answer, "errors"), i, error)
		cli_note(cli, "  %s", json_string_value(error));
	return code;
}

static void show_limit(struct cli *cli, const json_t *limit)
{
	char period[TEXT_SPAN], opens[TEXT_SPAN];
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	int64_t span = json_number(limit, "period_ms"), wait = json_number(limit, "reopens_in_ms");
	buf_addf(&line, "  limit    %lld %s%s of %s: %lld left",
		(long long)json_number(limit, "count"), span ? "in " : "at a time",
		span ? text_span(period, sizeof(period), span) : "", json_text(limit, "key"),
		(long long)json_number(limit, "left"));
	if (wait > 0)
		buf_addf(&line, ", opens in %s", text_span(opens, sizeof(opens), wait));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
}

void trial_show_request(struct cli *cli, const json_t *answer)
{
	const json_t *request = json_object_get(answer, "request"), *limit;
	json_t *headers = json_object_get(request, "headers"), *value;
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	const char *name;
	size_t i;
	buf_addf(
		&line, "  request  %s %s", json_text(request, "method"), json_text(request, "url"));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	if (json_text_or_null(request, "proxy")) {
		buf_reset(&line);
		buf_addf(&line, "  through  %s", json_text(request, "proxy"));
		show_line(cli, TABLE_PLAIN, buf_str(&line));
	}
	json_object_foreach(headers, name, value)
	{
		buf_reset(&line);
		buf_addf(&line, "           %s: %s", name, json_string_value(value));
		show_line(cli, TABLE_PLAIN, buf_str(&line));
	}
	if (json_text_or_null(request, "body")) {
		buf_reset(&line);
		buf_addf(&line, "           %s", json_text(request, "body"));
		show_line(cli, TABLE_PLAIN, buf_str(&line));
	}
	json_array_foreach(json_object_get(answer, "limits"), i, limit) show_limit(cli, limit);
}

static void add_list(struct buf *line, const json_t *list)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item)
		buf_addf(line, "%s%s", i ? ", " : "", json_string_value(item));
}

static void show_plan(struct cli *cli, const json_t *answer)
{
	const json_t *store = json_object_get(answer, "store");
	json_t *columns = json_object_get(store, "columns"), *type;
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	const char *name, *comma = "";
	int64_t tasks = json_number(answer, "tasks");
	if (json_is_integer(json_object_get(answer, "tasks")))
		buf_addf(&line, "%s: %lld task%s, nothing was sent; the first would ask",
			json_text(answer, "job"), (long long)tasks, tasks == 1 ? "" : "s");
	else
		buf_addf(&line, "%s: a task for each value, nothing was sent; the first would ask",
			json_text(answer, "job"));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	trial_show_request(cli, answer);
	buf_reset(&line);
	buf_addf(&line, "  store    %s into %s", json_text(store, "mode"),
		json_text(store, "table"));
	if (json_array_size(json_object_get(store, "key"))) {
		buf_add_str(&line, " by ");
		add_list(&line, json_object_get(store, "key"));
	}
	buf_add_str(&line, ": ");
	json_object_foreach(columns, name, type)
	{
		buf_addf(&line, "%s%s %s", comma, name, json_string_value(type));
		comma = ", ";
	}
	show_line(cli, TABLE_PLAIN, buf_str(&line));
}

static int show_sample(struct cli *cli, const json_t *answer)
{
	int code = trial_show_rows(cli, answer);
	cli_note(cli,
		"%s: %lld request%s, %lld record%s, %lld rejected; nothing was stored, the calls "
		"count",
		json_text(answer, "job"), (long long)json_number(answer, "requests"),
		json_number(answer, "requests") == 1 ? "" : "s",
		(long long)json_number(answer, "records"),
		json_number(answer, "records") == 1 ? "" : "s",
		(long long)json_number(answer, "rejected"));
	return code;
}

int trial_run(struct cli *cli, const char *job)
{
	const char *limit = cli_value(cli, "limit");
	bool dry = cli_value(cli, "dry-run");
	long n = 0;
	if (cli_value(cli, "wait") || cli_value(cli, "id"))
		return cli_fail(cli, CLI_USAGE,
			"--wait and --id are for a run: --dry-run and --limit make none");
	if (dry && limit)
		return cli_fail(
			cli, CLI_USAGE, "--dry-run sends nothing: --limit has nothing to bound");
	int code = limit ? cli_number(cli, "limit", 1, 10000, 1, &n) : CLI_DONE;
	if (code != CLI_DONE)
		return code;
	const struct oneshot_question q = { .job = job,
		.words = { dry ? "dry" : "limit", job, limit } };
	CLEANUP(json_freep) json_t *answer = NULL;
	code = oneshot_ask(cli, &q, &answer);
	if (!json_is_object(answer))
		return code;
	/* Without a request there is a run that failed before it made one. */
	bool planned = dry && json_object_get(answer, "request");
	int shown = CLI_DONE;
	if (cli->json)
		shown = print_json(cli, answer);
	else if (planned)
		show_plan(cli, answer);
	else
		shown = show_sample(cli, answer);
	return code == CLI_DONE ? shown : code;
}
