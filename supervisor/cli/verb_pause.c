/* SPDX-License-Identifier: MIT */
/* drover pause, resume JOB... */
#include "ask.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "show.h"

static int change(struct cli *cli, const char *verb)
{
	CLEANUP(json_freep) json_t *all = json_pack("{s:[]}", "jobs");
	int worst = CLI_DONE;
	for (size_t i = 0; i < cli->name_count && all; i++) {
		CLEANUP(json_freep) json_t *args = json_pack("{s:s}", "job", cli->names[i]);
		CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
		CLEANUP(json_freep) json_t *answer = NULL;
		int code = text ? ask(cli, verb, text, &answer)
				: cli_fail(cli, CLI_USAGE, "'%s' is no name of a job",
					  cli->names[i]);
		if (code == CLI_DONE)
			json_array_extend(
				json_object_get(all, "jobs"), json_object_get(answer, "jobs"));
		worst = worst == CLI_DONE ? code : worst;
	}
	const json_t *jobs = json_object_get(all, "jobs");
	int code = CLI_DONE;
	if (cli->json)
		code = print_json(cli, all);
	else if (json_array_size(jobs))
		code = show_jobs(cli, jobs);
	return worst == CLI_DONE ? code : worst;
}

#define CHANGING(name)                                               \
	int verb_##name(struct cli *cli);                            \
	extern const struct cli_option verb_##name##_options[];      \
	const struct cli_option verb_##name##_options[] = { { 0 } }; \
	int verb_##name(struct cli *cli)                             \
	{                                                            \
		return change(cli, #name);                           \
	}

CHANGING(pause)
CHANGING(resume)
