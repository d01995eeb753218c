/* SPDX-License-Identifier: MIT */
/* drover dead: list, show, retry, drop. */
#include "ask.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "show.h"
#include "text.h"
#include <inttypes.h>
#include <limits.h>
#include <string.h>

int verb_dead(struct cli *cli);
extern const struct cli_option verb_dead_options[];
const struct cli_option verb_dead_options[] = {
	{ "job", 'j', "JOB", "of this job alone; retry and drop: all of it" },
	{ "limit", 'n', "N", "list: how many, newest first (all)" },
	{ "before", 0, "ID", "list: only those older than this one, for the next page" },
	{ 0 },
};

static int print_list(struct cli *cli, const json_t *dead)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	table_column(t, "ID", TABLE_RIGHT);
	table_column(t, "JOB", TABLE_SHRINK);
	table_column(t, "KIND", 0);
	table_column(t, "ATTEMPT", TABLE_RIGHT);
	table_column(t, "FAILED AT", 0);
	table_column(t, "ERROR", TABLE_SHRINK);
	size_t i;
	json_t *d;
	json_array_foreach(dead, i, d)
	{
		char id[TEXT_SPAN];
		table_row(t);
		table_cell(t, show_id(id, sizeof(id), d));
		table_cell(t, json_text(d, "job"));
		table_cell(t, json_text(d, "kind"));
		table_cellf(t, "%" PRId64, json_number(d, "attempt"));
		table_cell(t, json_text(d, "failed_at"));
		table_cell(t, json_text(d, "error"));
	}
	return table_print(t);
}

/* All that is known of each, the task's payload too. */
static void print_in_full(struct cli *cli, const json_t *dead)
{
	size_t i;
	json_t *d, *value;
	const char *key;
	json_array_foreach(dead, i, d)
	{
		if (i)
			fputc('\n', cli->out);
		json_object_foreach(d, key, value)
		{
			CLEANUP(freep)
			char *json = json_is_string(value)
					     ? NULL
					     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
			struct buf line = BUF_INIT;
			buf_addf(&line, "%-10s %s", key, json ? json : json_string_value(value));
			show_line(cli, TABLE_PLAIN, buf_str(&line));
			buf_finish(&line);
		}
	}
}

static int list(struct cli *cli)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	CLEANUP(json_freep) json_t *args = json_object();
	const char *job = cli_value(cli, "job");
	long limit = 0, before = 0;
	int code = cli_number(cli, "limit", 1, 10000, 0, &limit);
	if (code == CLI_DONE)
		code = cli_number(cli, "before", 1, LONG_MAX, 0, &before);
	if (code != CLI_DONE)
		return code;
	if (args && job)
		json_object_set_new(args, "job", json_string(job));
	if (args && limit)
		json_object_set_new(args, "limit", json_integer(limit));
	if (args && before)
		json_object_set_new(args, "before", json_integer(before));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	code = text ? ask(cli, "dead", text, &answer) : cli_fail(cli, CLI_FAILED, "out of memory");
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		return print_json(cli, answer);
	const json_t *dead = json_object_get(answer, "dead");
	if (json_array_size(dead) == 0)
		cli_note(cli, "no dead letters");
	return print_list(cli, dead);
}

static json_t *arguments(const char *what, const char *job, bool may_be_all)
{
	int64_t id = 0;
	if (job)
		return json_pack("{s:s}", "job", job);
	if (may_be_all && str_eq(what, "all"))
		return json_pack("{s:b}", "all", 1);
	if (str_to_i64(what, 1, INT64_MAX, &id) < 0)
		return NULL;
	return json_pack("{s:I}", "id", (json_int_t)id);
}

/* show, retry or drop of one id, of all, or of a job. */
static int act(struct cli *cli, const char *verb, const char *what, const char *job, json_t *all)
{
	bool show = str_eq(verb, "dead.show");
	CLEANUP(json_freep) json_t *args = arguments(what, job, !show);
	if (!args)
		return cli_fail(cli, CLI_USAGE,
			"'%s' is no number of a dead letter%s; see: drover dead list", what,
			show ? "" : ", nor 'all'");
	CLEANUP(freep) char *text = json_dumps(args, JSON_COMPACT);
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = text ? ask(cli, verb, text, &answer)
			: cli_fail(cli, CLI_FAILED, "out of memory");
	if (code == CLI_DONE)
		json_array_extend(all, json_object_get(answer, "dead"));
	return code;
}

static int act_on_each(struct cli *cli, size_t which, const char *word)
{
	static const char *const verbs[] = { NULL, "dead.show", "dead.retry", "dead.drop" };
	const char *job = which > 1 ? cli_value(cli, "job") : NULL;
	if (cli_value(cli, "limit") || cli_value(cli, "before") ||
		(which == 1 && cli_value(cli, "job")))
		return cli_fail(cli, CLI_USAGE,
			"dead %s takes no such option; see: drover help dead", word);
	if (job && cli->name_count > 1)
		return cli_fail(cli, CLI_USAGE, "dead %s: numbers, or --job, not both", word);
	if (!job && cli->name_count < 2)
		return cli_fail(
			cli, CLI_USAGE, "dead %s which? Give numbers of: drover dead list", word);
	CLEANUP(json_freep) json_t *all = json_array();
	int worst = job && all ? act(cli, verbs[which], NULL, job, all) : CLI_DONE;
	for (size_t i = 1; i < cli->name_count && all; i++) {
		int code = act(cli, verbs[which], cli->names[i], NULL, all);
		worst = worst == CLI_DONE ? code : worst;
	}
	if (cli->json) {
		CLEANUP(json_freep) json_t *object = json_pack("{s:O}", "dead", all);
		int code = print_json(cli, object);
		return worst == CLI_DONE ? code : worst;
	}
	if (which == 1)
		print_in_full(cli, all);
	else
		cli_note(cli, "%zu %s", json_array_size(all),
			which == 2 ? "put back into the queue" : "dropped");
	return worst;
}

int verb_dead(struct cli *cli)
{
	static const char *const words[] = { "list", "show", "retry", "drop" };
	const char *word = cli->name_count ? cli->names[0] : "list";
	size_t which = 0;
	while (which < ARRAY_SIZE(words) && !str_eq(words[which], word))
		which++;
	if (which == ARRAY_SIZE(words)) {
		const char *near = str_nearest(word, words, ARRAY_SIZE(words));
		return cli_fail(cli, CLI_USAGE, "dead %s? %s%s%s", word,
			near ? "did you mean '" : "",
			near ? near : "list, show ID, retry ID|all|--job J, drop ID|all|--job J",
			near ? "'?" : "");
	}
	if (which > 0)
		return act_on_each(cli, which, word);
	return cli->name_count > 1 ? cli_fail(cli, CLI_USAGE, "dead list takes no more words")
				   : list(cli);
}
