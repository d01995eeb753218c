/* SPDX-License-Identifier: MIT */
/* drover runs [JOB]: newest first. A long list is asked for and printed piece by piece, so that
 * neither side ever holds all of it. */
#include "ask.h"
#include "base/mem.h"
#include "cli.h"
#include "show.h"

int verb_runs(struct cli *cli);
extern const struct cli_option verb_runs_options[];
const struct cli_option verb_runs_options[] = {
	{ "limit", 'n', "N", "how many, 1 to 100000000 (20)" },
	{ 0 },
};

enum { LIMIT_MAX = 100000000, PIECE = 500 };

/* The next piece, of runs older than `before` (0: of all). */
static int ask_piece(struct cli *cli, long count, json_int_t before, json_t **answer)
{
	CLEANUP(json_freep) json_t *args = json_pack("{s:i}", "limit", (int)count);
	if (args && cli->name_count)
		json_object_set_new(args, "job", json_string(cli->names[0]));
	if (args && before)
		json_object_set_new(args, "before", json_integer(before));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	return text ? ask(cli, "runs", text, answer) : cli_fail(cli, CLI_FAILED, "out of memory");
}

/* As print_json() would print the whole. */
static int print_run(struct cli *cli, const json_t *run, bool first)
{
	size_t flags = JSON_INDENT(2) | (cli->out_is_terminal ? JSON_ENSURE_ASCII : 0);
	CLEANUP(freep) char *text = json_dumps(run, flags);
	if (!text)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	fprintf(cli->out, "%s\n    ", first ? "" : ",");
	for (const char *p = text; *p; p++) {
		fputc(*p, cli->out);
		if (*p == '\n')
			fputs("    ", cli->out);
	}
	return ferror(cli->out) ? cli_fail(cli, CLI_FAILED, "cannot write to standard output")
				: CLI_DONE;
}

static int print_piece(struct cli *cli, const json_t *runs, bool first)
{
	int code = CLI_DONE;
	size_t i;
	json_t *run;
	if (!cli->json)
		return json_array_size(runs) ? show_runs(cli, runs) : CLI_DONE;
	if (first)
		fputs("{\n  \"runs\": [", cli->out);
	json_array_foreach(runs, i, run)
	{
		if (code == CLI_DONE)
			code = print_run(cli, run, first && i == 0);
	}
	return code;
}

int verb_runs(struct cli *cli)
{
	long limit = 0;
	json_int_t before = 0;
	bool first = true, more = true, any = false;
	int code = cli_number(cli, "limit", 1, LIMIT_MAX, 20, &limit);
	while (code == CLI_DONE && more && limit > 0) {
		CLEANUP(json_freep) json_t *answer = NULL;
		long count = MIN(limit, (long)PIECE);
		code = ask_piece(cli, count, before, &answer);
		if (code != CLI_DONE)
			break;
		const json_t *runs = json_object_get(answer, "runs");
		size_t got = json_array_size(runs);
		if (!first || got)
			any = true;
		if (first && !got && !cli->json)
			cli_note(cli, "no runs yet");
		code = print_piece(cli, runs, first);
		first = false;
		limit -= (long)got;
		more = got == (size_t)count;
		if (got)
			before = json_integer_value(
				json_object_get(json_array_get(runs, got - 1), "id"));
	}
	if (cli->json && !first)
		fputs(any ? "\n  ]\n}\n" : "]\n}\n", cli->out);
	return code;
}
