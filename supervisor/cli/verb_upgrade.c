/* SPDX-License-Identifier: MIT */
/*
 * drover upgrade: the program that lies where droverd was started from takes its place. It is tried
 * first; services run on. The connection ends with the old droverd, so that the new one is asked
 * how it went.
 */
#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "show.h"
#include "text.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

int verb_upgrade(struct cli *cli);
extern const struct cli_option verb_upgrade_options[];
const struct cli_option verb_upgrade_options[] = { { 0 } };

enum { STATUS_MS = 5000, LOOK_EVERY_MS = 100, GONE_MS = 20000, DONE_WITHIN_MS = 120000 };

struct waiting {
	struct cli *cli;
	int64_t told_s;
};

static void tick(void *arg, int64_t waited_ms)
{
	struct waiting *w = arg;
	int64_t s = waited_ms / 1000;
	char span[TEXT_SPAN];
	if (s == w->told_s)
		return;
	text_span(span, sizeof(span), s * 1000);
	if (w->cli->err_is_terminal)
		fprintf(w->cli->err, "\rupgrade: workers finish what they do, %s ", span);
	else if (s % 10 == 0)
		cli_note(w->cli, "upgrade: still waiting for the workers after %s", span);
	w->told_s = s;
}

static void clear_line(const struct waiting *w)
{
	if (w->told_s && w->cli->err_is_terminal)
		fputs("\r\x1b[K", w->cli->err);
}

static int look(struct cli *cli, json_t **status)
{
	struct client_question q = { .verb = "status", .timeout_ms = STATUS_MS };
	struct err unheard;
	return ask_quietly(cli, &q, status, &unheard);
}

static int refused(struct cli *cli, int code, const json_t *answer)
{
	const char *output = json_text(answer, "output");
	struct buf safe = BUF_INIT;
	if (cli->json && answer && print_json(cli, answer) != CLI_DONE)
		return CLI_FAILED;
	if (*output) {
		text_escape_lines(&safe, output, strlen(output));
		fprintf(cli->err, "%s\n", buf_str(&safe));
		buf_finish(&safe);
	}
	if (answer)
		cli_note(cli, "drover: nothing was replaced, the old supervisor runs on");
	return code;
}

/* Does the one that answers run, as the n-th in its place? It may start its workers still. */
static bool is_done(const json_t *status, int64_t upgrades)
{
	const json_t *s = json_object_get(status, "supervisor");
	return json_number(s, "upgrades") >= upgrades && str_eq(json_text(s, "state"), "running");
}

/* @return CLI_DONE and the new one's status, or has said why not */
static int await(struct cli *cli, int64_t upgrades, json_t **status)
{
	const struct timespec pause = { .tv_nsec = LOOK_EVERY_MS * 1000000L };
	int64_t begun_ms = clock_mono_ms(), heard_ms = begun_ms;
	for (;; nanosleep(&pause, NULL)) {
		int64_t now_ms = clock_mono_ms();
		if (look(cli, status) == CLI_DONE) {
			const json_t *s = json_object_get(*status, "supervisor");
			heard_ms = now_ms;
			if (is_done(*status, upgrades))
				return CLI_DONE;
			if (*json_text(s, "upgrade_error"))
				return cli_fail(
					cli, CLI_FAILED, "%s", json_text(s, "upgrade_error"));
		}
		json_decref(*status);
		*status = NULL;
		if (now_ms - heard_ms > GONE_MS)
			return cli_fail(cli, CLI_FAILED,
				"the supervisor does not answer any more; its log says why, and "
				"the next "
				"one takes its services over");
		if (now_ms - begun_ms > DONE_WITHIN_MS)
			return cli_fail(cli, CLI_FAILED, "the new supervisor is not ready yet");
	}
}

static const json_t *slot_of(const json_t *status, const char *name)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(status, "processes"), i,
		p) if (str_eq(json_text(p, "name"), name)) return p;
	return NULL;
}

/* Those that ran before: {"kept": [...], "replaced": [...]}, and what is down now in neither. */
static void compare(const json_t *before, const json_t *after, json_t *report)
{
	json_t *kept = json_array(), *replaced = json_array(), *p;
	size_t i;
	json_array_foreach(json_object_get(before, "processes"), i, p)
	{
		const char *name = json_text(p, "name");
		const json_t *now = slot_of(after, name);
		int64_t pid = json_number(p, "pid");
		if (!pid || !now || !json_number(now, "pid"))
			continue;
		json_array_append_new(
			json_number(now, "pid") == pid ? kept : replaced, json_string(name));
	}
	json_object_set_new(report, "kept", kept);
	json_object_set_new(report, "replaced", replaced);
}

static int tell(struct cli *cli, const json_t *report)
{
	struct buf line = BUF_INIT;
	if (cli->json)
		return print_json(cli, report);
	const char *from = json_text(report, "from"), *version = json_text(report, "version");
	buf_addf(&line, "upgraded %s%s%s%s, pid %" PRId64 ": %zu processes kept, %zu replaced",
		str_eq(from, version) ? "to " : "from ", from, str_eq(from, version) ? "" : " to ",
		str_eq(from, version) ? "" : version, json_number(report, "pid"),
		json_array_size(json_object_get(report, "kept")),
		json_array_size(json_object_get(report, "replaced")));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	buf_finish(&line);
	return CLI_DONE;
}

int verb_upgrade(struct cli *cli)
{
	struct waiting w = { .cli = cli };
	struct client_question q = { .verb = "upgrade", .tick = tick, .arg = &w };
	CLEANUP(json_freep) json_t *before = NULL;
	CLEANUP(json_freep) json_t *answer = NULL;
	CLEANUP(json_freep) json_t *after = NULL;
	(void)!look(cli, &before);
	int code = ask_long(cli, &q, &answer);
	clear_line(&w);
	if (code != CLI_DONE)
		return refused(cli, code, json_object_get(answer, "ok") ? answer : NULL);
	code = await(cli, json_number(answer, "upgrades"), &after);
	if (code != CLI_DONE)
		return code;
	const json_t *s = json_object_get(after, "supervisor");
	json_object_set_new(answer, "version", json_string(json_text(s, "version")));
	json_object_set_new(answer, "pid", json_integer(json_number(s, "pid")));
	compare(before, after, answer);
	return tell(cli, answer);
}
