/* SPDX-License-Identifier: MIT */
#include "ask.h"
#include "cli.h"
#include "show.h"

int verb_jobs(struct cli *cli);
extern const struct cli_option verb_jobs_options[];
const struct cli_option verb_jobs_options[] = { { 0 } };

int verb_jobs(struct cli *cli)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask(cli, "jobs", "{}", &answer);
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		return print_json(cli, answer);
	const json_t *jobs = json_object_get(answer, "jobs");
	if (json_array_size(jobs) == 0)
		cli_note(cli, "the configuration has no jobs");
	return show_jobs(cli, jobs);
}
