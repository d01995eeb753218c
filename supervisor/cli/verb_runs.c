/* SPDX-License-Identifier: MIT */
/* drover runs [JOB]: newest first. */
#include "ask.h"
#include "base/mem.h"
#include "cli.h"
#include "show.h"

int verb_runs(struct cli *cli);
extern const struct cli_option verb_runs_options[];
const struct cli_option verb_runs_options[] = {
	{ "limit", 'n', "N", "how many, 1 to 10000 (20)" },
	{ 0 },
};

int verb_runs(struct cli *cli)
{
	long limit = 0;
	int code = cli_number(cli, "limit", 1, 10000, 20, &limit);
	if (code != CLI_DONE)
		return code;
	CLEANUP(json_freep) json_t *args = json_pack("{s:i}", "limit", (int)limit);
	if (args && cli->name_count)
		json_object_set_new(args, "job", json_string(cli->names[0]));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	CLEANUP(json_freep) json_t *answer = NULL;
	code = text ? ask(cli, "runs", text, &answer) : cli_fail(cli, CLI_FAILED, "out of memory");
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		return print_json(cli, answer);
	const json_t *runs = json_object_get(answer, "runs");
	if (json_array_size(runs) == 0)
		cli_note(cli, "no runs yet");
	return show_runs(cli, runs);
}
