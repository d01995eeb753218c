/* SPDX-License-Identifier: MIT */
/* drover explain JOB URL: what a run of the job would do with the URL, found out by its own code.
 */
#include "base/buf.h"
#include "base/str.h"
#include "cli.h"
#include "oneshot.h"
#include "show.h"
#include "text.h"
#include "trial.h"

int verb_explain(struct cli *cli);
extern const struct cli_option verb_explain_options[];
const struct cli_option verb_explain_options[] = {
	{ "config", 'c', "FILE", "the configuration, as droverd takes it" },
	{ 0 },
};

static void show_verdict(struct cli *cli, const json_t *answer)
{
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	const char *verdict = json_text(answer, "verdict");
	const char *reason = json_text(answer, "reason");
	bool good = str_eq(verdict, "fetched");
	char opens[TEXT_SPAN];
	buf_addf(&line, "%s%s%s", verdict, *reason ? ": " : "", reason);
	if (json_number(answer, "opens_in_ms") > 0)
		buf_addf(&line, " that opens in %s",
			text_span(opens, sizeof(opens), json_number(answer, "opens_in_ms")));
	show_line(cli, good ? TABLE_GOOD : TABLE_BAD, buf_str(&line));
}

static void show_addresses(struct cli *cli, const json_t *list)
{
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	const json_t *address;
	size_t i;
	buf_add_str(&line, "  address  ");
	json_array_foreach(list, i, address)
		buf_addf(&line, "%s%s%s", i ? ", " : "", json_text(address, "address"),
			json_is_true(json_object_get(address, "private")) ? " (private)" : "");
	if (json_array_size(list))
		show_line(cli, TABLE_PLAIN, buf_str(&line));
}

int verb_explain(struct cli *cli)
{
	const struct oneshot_question q = { .job = cli->names[0],
		.words = { "explain", cli->names[0], cli->names[1] } };
	CLEANUP(json_freep) json_t *answer = NULL;
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	int code = oneshot_ask(cli, &q, &answer);
	if (!json_is_object(answer))
		return code;
	if (cli->json)
		return print_json(cli, answer);
	show_verdict(cli, answer);
	buf_addf(&line, "  identity %s%s", json_text(answer, "identity"),
		json_is_true(json_object_get(answer, "start")) ? " (a start URL)" : "");
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	show_addresses(cli, json_object_get(answer, "addresses"));
	if (json_object_get(answer, "request"))
		trial_show_request(cli, answer);
	return code;
}
