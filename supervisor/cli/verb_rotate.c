/* SPDX-License-Identifier: MIT */
/* drover rotate: every log goes on in a new file, as after SIGUSR1; answers when that is done. */
#include "ask.h"
#include "cli.h"
#include "client.h"

int verb_rotate(struct cli *cli);
extern const struct cli_option verb_rotate_options[];
const struct cli_option verb_rotate_options[] = { { 0 } };

int verb_rotate(struct cli *cli)
{
	struct client_question q = { .verb = "rotate" };
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask_long(cli, &q, &answer);
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		return print_json(cli, answer);
	int64_t rotated = json_number(answer, "rotated"), later = json_number(answer, "later");
	fprintf(cli->out, "%lld log%s rotated\n", (long long)rotated, rotated == 1 ? "" : "s");
	if (later)
		fprintf(cli->out, "%lld more at the end of the line that is being written\n",
			(long long)later);
	return CLI_DONE;
}
