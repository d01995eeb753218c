/* SPDX-License-Identifier: MIT */
/* drover cursors: how far an incremental job is, of each partition; reset: to begin anew. */
#include "ask.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "show.h"
#include "text.h"
#include <inttypes.h>
#include <string.h>

int verb_cursors(struct cli *cli);
extern const struct cli_option verb_cursors_options[];
const struct cli_option verb_cursors_options[] = { { 0 } };

/* The value of for_each; the only partition of a job without one has no name. */
static const char *name_of(json_t *partition)
{
	const char *key;
	json_t *value;
	json_object_foreach(partition, key, value) return json_string_value(value);
	return "-";
}

static void cursor_cell(struct table *t, const json_t *cursor, const char *key)
{
	const json_t *value = json_object_get(cursor, key);
	if (json_is_integer(value))
		table_cellf(t, "%" PRId64, (int64_t)json_integer_value(value));
	else
		table_cell(t, json_string_value(value));
}

static int list(struct cli *cli, const json_t *cursors)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	table_column(t, "PARTITION", TABLE_SHRINK);
	table_column(t, "CURSOR", 0);
	table_column(t, "REACHED", 0);
	table_column(t, "WINDOWS", TABLE_RIGHT);
	table_column(t, "MOVED AT", 0);
	table_column(t, "RUN", TABLE_RIGHT);
	size_t i;
	json_t *c;
	json_array_foreach(cursors, i, c)
	{
		table_row(t);
		table_cell(t, name_of(json_object_get(c, "partition")));
		cursor_cell(t, c, "cursor");
		cursor_cell(t, c, "reached");
		cursor_cell(t, c, "windows");
		table_cell(t, json_text(c, "updated_at"));
		cursor_cell(t, c, "run");
	}
	return table_print(t);
}

static int question(
	struct cli *cli, const char *verb, const char *job, const char *partition, json_t **answer)
{
	CLEANUP(json_freep) json_t *args = json_pack("{s:s}", "job", job);
	if (args && partition)
		json_object_set_new(args, "partition", json_string(partition));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	return text ? ask(cli, verb, text, answer) : cli_fail(cli, CLI_FAILED, "out of memory");
}

static int show(struct cli *cli, const char *job)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = question(cli, "cursors", job, NULL, &answer);
	if (code != CLI_DONE || cli->json)
		return code == CLI_DONE ? print_json(cli, answer) : code;
	const json_t *cursors = json_object_get(answer, "cursors");
	if (json_array_size(cursors) == 0)
		cli_note(cli, "no cursors: %s is not incremental, or nothing of it is complete yet",
			job);
	return list(cli, cursors);
}

static int reset(struct cli *cli, const char *job, const char *partition)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = question(cli, "cursors.reset", job, partition, &answer);
	if (code != CLI_DONE || cli->json)
		return code == CLI_DONE ? print_json(cli, answer) : code;
	int64_t count = json_number(json_object_get(answer, "reset"), "cursors");
	cli_note(cli, "%" PRId64 " cursor%s forgotten: the next run of %s begins at its start",
		count, count == 1 ? "" : "s", job);
	return CLI_DONE;
}

int verb_cursors(struct cli *cli)
{
	/* A job that is called reset is shown by `cursors reset`, and reset by `reset reset`. */
	if (str_eq(cli->names[0], "reset") && cli->name_count > 1)
		return reset(cli, cli->names[1], cli->name_count > 2 ? cli->names[2] : NULL);
	if (cli->name_count > 1)
		return cli_fail(cli, CLI_USAGE, "cursors JOB, or cursors reset JOB [PARTITION]");
	return show(cli, cli->names[0]);
}
