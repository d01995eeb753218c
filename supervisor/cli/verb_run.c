/* SPDX-License-Identifier: MIT */
/*
 * drover run JOB [--id KEY] [--wait], or a trial of it: --dry-run, --limit (trial.c). The question
 * carries an id, KEY or one of its own, so that asking again after a lost connection never makes a
 * second run; waiting lives through a restart of scheduler and supervisor.
 */
#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "progress.h"
#include "show.h"
#include "text.h"
#include "trial.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int verb_run(struct cli *cli);
extern const struct cli_option verb_run_options[];
const struct cli_option verb_run_options[] = {
	{ "id", 0, "KEY", "asked for again with the same KEY it is the same run" },
	{ "wait", 'w', NULL, "wait for its end; exit 0 only when it succeeded" },
	{ "dry-run", 0, NULL, "say what would be asked first and stored where; send nothing" },
	{ "limit", 'n', "N", "fetch N records, print the rows, store nothing; calls count" },
	{ "config", 'c', "FILE", "the configuration, for --dry-run and --limit" },
	{ 0 },
};

enum { POLL_MS = 200, AWAY_MAX_MS = 120000, ANSWER_TIMEOUT_MS = 10000 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	interrupted = signo;
}

static bool random_id(char id[33])
{
	unsigned char bytes[16];
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	str_hex(id, bytes, sizeof(bytes));
	return true;
}

struct run_wait {
	struct cli *cli;
	struct progress progress;
	bool wait;
	int64_t away_since_ms; /* 0: somebody answers */
};

/* Whether to ask again: who was asked may only be restarting. What is wrong for good is not asked
 * twice. */
static bool ask_again(struct run_wait *w, int code, const json_t *answer)
{
	int64_t now = clock_mono_ms();
	bool broke_off = code == CLI_FAILED && !answer;
	bool may_pass = broke_off || json_is_true(json_object_get(answer, "away")) ||
			(code == CLI_NOT_RUNNING && w->away_since_ms);
	if (!w->wait || !may_pass || interrupted)
		return false;
	if (!w->away_since_ms)
		w->away_since_ms = now;
	if (now - w->away_since_ms > AWAY_MAX_MS)
		return false;
	w->progress.remark = "no answer, trying again";
	progress_show(&w->progress, NULL, now);
	usleep(POLL_MS * 1000);
	return true;
}

/* Asks until there is an answer. @return exit code, words printed */
static int insist(struct run_wait *w, const char *verb, const char *args, json_t **answer)
{
	struct client_question q = { .verb = verb, .args = args, .timeout_ms = ANSWER_TIMEOUT_MS };
	struct err err = { 0 };
	int code;
	do {
		json_decref(TAKE(*answer));
		code = ask_quietly(w->cli, &q, answer, &err);
	} while (code != CLI_DONE && ask_again(w, code, *answer));
	if (code == CLI_DONE) {
		w->away_since_ms = 0;
		w->progress.remark = NULL;
		return code;
	}
	progress_end(&w->progress);
	if (code == CLI_NO_SUCH_NAME) {
		json_decref(TAKE(*answer));
		return ask(w->cli, verb, args, answer); /* once more, for the suggestion */
	}
	return interrupted ? code : cli_fail(w->cli, code, "%s", err.text);
}

static bool has_ended(const json_t *run)
{
	const char *state = json_text(run, "state");
	return !str_eq(state, "queued") && !str_eq(state, "running");
}

/* Polls until the run has ended; *run is replaced by what it became. */
static int wait_for_end(struct run_wait *w, json_t **run)
{
	CLEANUP(json_freep) json_t *args = json_pack("{s:O}", "id", json_object_get(*run, "id"));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	if (!text)
		return cli_fail(w->cli, CLI_FAILED, "out of memory");
	while (!has_ended(*run) && !interrupted) {
		progress_show(&w->progress, *run, clock_mono_ms());
		usleep(POLL_MS * 1000);
		CLEANUP(json_freep) json_t *answer = NULL;
		int code = interrupted ? CLI_FAILED : insist(w, "runs", text, &answer);
		json_t *now = json_array_get(json_object_get(answer, "runs"), 0);
		if (interrupted)
			break;
		if (code != CLI_DONE)
			return code;
		if (!now)
			return cli_fail(w->cli, CLI_FAILED, "the run is gone from the database");
		json_incref(now);
		json_decref(*run);
		*run = now;
	}
	progress_end(&w->progress);
	return CLI_DONE;
}

static int tell(struct cli *cli, const json_t *run, bool waited)
{
	bool skipped = str_eq(json_text(run, "state"), "skipped");
	bool good = waited ? str_eq(json_text(run, "state"), "succeeded") : !skipped;
	int code = CLI_DONE;
	if (cli->json) {
		code = print_json(cli, run);
	} else if (waited || skipped) {
		struct buf text = BUF_INIT;
		show_run_end(&text, run);
		show_line(cli, good ? TABLE_PLAIN : TABLE_BAD, buf_str(&text));
		buf_finish(&text);
	} else {
		char id[TEXT_SPAN];
		fprintf(cli->out, "run %s of %s is %s\n", show_id(id, sizeof(id), run),
			json_text(run, "job"), json_text(run, "state"));
	}
	return good ? code : CLI_FAILED;
}

/* Ctrl-C ends the waiting, not the run: say so, then end as the shell expects. */
static int give_up_waiting(struct cli *cli, const char *job)
{
	cli_note(cli, "drover: the run goes on without us; see: drover runs %s", job);
	fflush(NULL);
	signal(interrupted, SIG_DFL);
	raise(interrupted);
	return CLI_FAILED;
}

int verb_run(struct cli *cli)
{
	char id[33];
	if (cli_value(cli, "dry-run") || cli_value(cli, "limit"))
		return trial_run(cli, cli->names[0]);
	if (cli_value(cli, "config"))
		return cli_fail(cli, CLI_USAGE,
			"--config goes with --dry-run and --limit: the supervisor has its own");
	const char *key = cli_value(cli, "id");
	if (!key && !random_id(id))
		return cli_fail(cli, CLI_FAILED, "no random numbers: %s", strerror(errno));
	CLEANUP(json_freep)
	json_t *args = json_pack("{s:s, s:s}", "job", cli->names[0], "request_id", key ? key : id);
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	if (!text)
		return cli_fail(cli, CLI_USAGE, "'%s' is no name of a job", cli->names[0]);
	struct run_wait w = { .cli = cli, .wait = cli_value(cli, "wait") };
	progress_start(&w.progress, cli, clock_mono_ms());
	if (w.wait) {
		struct sigaction act = { .sa_handler = on_interrupt };
		sigaction(SIGINT, &act, NULL);
		sigaction(SIGTERM, &act, NULL);
	}
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = insist(&w, "run", text, &answer);
	json_t *found = json_object_get(answer, "run");
	if (code == CLI_DONE && !json_is_object(found))
		return cli_fail(cli, CLI_FAILED, "the scheduler's answer holds no run");
	if (code == CLI_DONE && !str_eq(json_text(found, "job"), cli->names[0]))
		return cli_fail(cli, CLI_FAILED, "the id %s is that of a run of %s", key ? key : id,
			json_text(found, "job"));
	CLEANUP(json_freep) json_t *run = json_incref(found);
	if (code == CLI_DONE && w.wait)
		code = wait_for_end(&w, &run);
	if (interrupted)
		return give_up_waiting(cli, cli->names[0]);
	return code == CLI_DONE ? tell(cli, run, w.wait) : code;
}
