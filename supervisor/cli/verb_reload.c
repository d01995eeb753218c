/* SPDX-License-Identifier: MIT */
/* drover reload: the supervisor reads its configuration again; with an error it says which and
 * keeps the old one. */
#include "ask.h"
#include "base/buf.h"
#include "cli.h"
#include "client.h"
#include "show.h"
#include "text.h"
#include <string.h>

int verb_reload(struct cli *cli);
extern const struct cli_option verb_reload_options[];
const struct cli_option verb_reload_options[] = { { 0 } };

static void print_steps(struct cli *cli, const json_t *steps)
{
	size_t i;
	json_t *step;
	json_array_foreach(steps, i, step)
	{
		struct buf line = BUF_INIT;
		buf_addf(&line, "%s: %s", json_text(step, "name"), json_text(step, "change"));
		show_line(cli, TABLE_PLAIN, buf_str(&line));
		buf_finish(&line);
	}
	if (json_array_size(steps) == 0)
		cli_note(cli, "reloaded: nothing to change");
}

int verb_reload(struct cli *cli)
{
	struct client_question q = { .verb = "reload" };
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask_long(cli, &q, &answer);
	const char *errors = json_text(answer, "errors");
	if (!json_object_get(answer, "ok"))
		return code;
	if (cli->json) {
		int printed = print_json(cli, answer);
		return code == CLI_DONE ? printed : code;
	}
	if (*errors) {
		struct buf safe = BUF_INIT;
		text_escape_lines(&safe, errors, strlen(errors));
		fputs(buf_str(&safe), cli->err);
		buf_finish(&safe);
		cli_note(cli, "drover: nothing was changed, the old configuration runs on");
	}
	if (json_is_true(json_object_get(answer, "ok")))
		print_steps(cli, json_object_get(answer, "steps"));
	return code;
}
