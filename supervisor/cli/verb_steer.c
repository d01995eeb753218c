/* SPDX-License-Identifier: MIT */
/* drover start, stop, restart NAME...|all, drain and trim [NAME...]: waits, shows progress, says
 * what happened. */
#include "ask.h"
#include "base/buf.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "show.h"
#include "text.h"
#include <string.h>

static int steer(struct cli *cli, const char *verb);

#define STEERING(name)                                               \
	int verb_##name(struct cli *cli);                            \
	extern const struct cli_option verb_##name##_options[];      \
	const struct cli_option verb_##name##_options[] = { { 0 } }; \
	int verb_##name(struct cli *cli)                             \
	{                                                            \
		return steer(cli, #name);                            \
	}

struct waiting {
	struct cli *cli;
	const char *verb;
	int64_t told_s;
};

/* On a terminal a line that counts; else one line each ten seconds. */
static void tick(void *arg, int64_t waited_ms)
{
	struct waiting *w = arg;
	int64_t s = waited_ms / 1000;
	char span[TEXT_SPAN];
	text_span(span, sizeof(span), s * 1000);
	if (s == 0 || s == w->told_s)
		return;
	if (w->cli->err_is_terminal)
		fprintf(w->cli->err, "\r%s: waiting for %s%s, %s ", w->verb,
			w->cli->name_count ? w->cli->names[0] : "the workers",
			w->cli->name_count > 1 ? " and others" : "", span);
	else if (s % 10 == 0)
		cli_note(w->cli, "%s: still waiting after %s", w->verb, span);
	w->told_s = s;
}

static void clear_line(const struct waiting *w)
{
	if (w->told_s && w->cli->err_is_terminal)
		fputs("\r\x1b[K", w->cli->err);
}

static int print_results(struct cli *cli, const json_t *results)
{
	size_t i;
	json_t *r;
	json_array_foreach(results, i, r)
	{
		bool ok = json_is_true(json_object_get(r, "ok"));
		const char *detail = json_text(r, "detail");
		if (str_eq(detail, json_text(r, "state")))
			detail = "";
		struct buf line = BUF_INIT;
		buf_addf(&line, "%s: %s%s%s", json_text(r, "name"), json_text(r, "state"),
			*detail ? ", " : "", detail);
		show_line(cli, ok ? TABLE_PLAIN : TABLE_BAD, buf_str(&line));
		buf_finish(&line);
	}
	return CLI_DONE;
}

static int steer(struct cli *cli, const char *verb)
{
	struct buf names = BUF_INIT;
	for (size_t i = 0; i < cli->name_count; i++) {
		if (!*cli->names[i] || strchr(cli->names[i], '\n')) {
			buf_finish(&names);
			return cli_fail(cli, CLI_NO_SUCH_NAME, "'%s' is no name", cli->names[i]);
		}
		buf_addf(&names, "%s%s", i ? "\n" : "", cli->names[i]);
	}
	struct waiting w = { .cli = cli, .verb = verb };
	struct client_question q = {
		.verb = verb, .args = buf_str(&names), .tick = tick, .arg = &w
	};
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask_long(cli, &q, &answer);
	clear_line(&w);
	buf_finish(&names);
	const json_t *results = json_object_get(answer, "results");
	if (!results)
		return code;
	int printed = cli->json ? print_json(cli, answer) : print_results(cli, results);
	return code == CLI_DONE ? printed : code;
}

STEERING(start)
STEERING(stop)
STEERING(restart)
STEERING(drain)
STEERING(trim)
