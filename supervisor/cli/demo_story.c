/* SPDX-License-Identifier: MIT */
/* What the demo shows, step by step. Each step waits for something that can be seen from outside;
 * none only sleeps. */
#include "demo.h"

#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "client.h"
#include "show.h"
#include "table.h"
#include "tail.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	STEP_MS = 20000,
	RUN_MS = 60000,
	POLL_MS = 20,
	AUDIT_MS = 60000,
	ANSWER_MS = 3000,
	HEALTH_LINES = 1000
};

struct story {
	struct demo *d;
	char languages[TEXT_SPAN], docs[TEXT_SPAN]; /* ids of the runs */
	int64_t killed_pid, killed_at_rows, web_pid;
	int64_t probes_failed;
	json_t *run_languages, *run_docs, *audit;
};

static json_t *question(struct demo *d, const char *verb, const char *args)
{
	struct client_question q = { .verb = verb, .args = args, .timeout_ms = ANSWER_MS };
	struct err unheard;
	json_t *answer = NULL;
	if (ask_quietly(&d->asking, &q, &answer, &unheard) == CLI_DONE)
		return answer;
	json_decref(answer);
	return NULL;
}

/* One look: 1 what was waited for is there, 0 not yet, negative it never will be (words are
 * printed). */
typedef int (*look)(struct story *s);

struct awaited {
	const char *what;
	look look;
	bool seen;
};

/* One round over what is awaited. @return how many are still missing, negative when one will never
 * come */
static int look_round(struct story *s, struct awaited *list, size_t n, const char **missing)
{
	int left = 0;
	for (size_t i = 0; i < n; i++) {
		int seen = list[i].seen ? 1 : list[i].look(s);
		if (seen < 0)
			return -1;
		list[i].seen = seen > 0;
		left += !seen;
		*missing = seen ? *missing : list[i].what;
	}
	return left;
}

/* Waits for several things at once, so that each is told when it happens. */
static int wait_for_all(struct story *s, struct awaited *list, size_t n, int64_t limit_ms)
{
	int64_t until = clock_mono_ms() + limit_ms;
	const char *missing = "";
	while (clock_mono_ms() < until) {
		int code = 0, left = look_round(s, list, n, &missing);
		if (left <= 0)
			return left == 0 ? CLI_DONE : CLI_FAILED;
		if (demo_interrupted())
			return CLI_FAILED;
		if (child_ended(&s->d->droverd, &code))
			return cli_fail(s->d->cli, CLI_FAILED,
				"droverd ended with code %d; see %s/droverd-output.log", code,
				s->d->folder);
		usleep(POLL_MS * 1000);
	}
	return cli_fail(s->d->cli, CLI_FAILED, "waited %lld s in vain: %s; see %s/log",
		(long long)(limit_ms / 1000), missing, s->d->folder);
}

static int wait_for(struct story *s, const char *what, int64_t limit_ms, look look_once)
{
	return wait_for_all(s, &(struct awaited) { .what = what, .look = look_once }, 1, limit_ms);
}

static json_t *process_of_kind(json_t *status, const char *kind)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(status, "processes"), i,
		p) if (str_eq(json_text(p, "kind"), kind) ||
		       str_eq(json_text(p, "name"), kind)) return p;
	return NULL;
}

static bool runs_now(const json_t *process)
{
	return str_eq(json_text(process, "state"), "running") && json_number(process, "pid") > 0;
}

static int all_are_up(struct story *s)
{
	CLEANUP(json_freep) json_t *status = question(s->d, "status", NULL);
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(status, "processes"), i, p) if (!runs_now(p)) return 0;
	if (i == 0)
		return 0;
	s->web_pid = json_number(process_of_kind(status, "web"), "pid");
	CLEANUP(json_freep) json_t *jobs = question(s->d, "jobs", "{}");
	return json_array_size(json_object_get(jobs, "jobs")) == 2;
}

static int begin_run(struct story *s, const char *job, char *id, size_t size)
{
	char args[128];
	/* The request's id makes asking again harmless. */
	snprintf(args, sizeof(args), "{\"job\":\"%s\",\"request_id\":\"demo-%s\"}", job, job);
	CLEANUP(json_freep) json_t *answer = question(s->d, "run", args);
	const json_t *run = json_object_get(answer, "run");
	if (!run)
		return cli_fail(
			s->d->cli, CLI_FAILED, "the run of %s did not begin: no answer", job);
	show_id(id, size, run);
	return CLI_DONE;
}

/* The run of that id as it is now; NULL when nobody answers. */
static json_t *run_now(struct story *s, const char *id, const char *job)
{
	char args[128];
	snprintf(args, sizeof(args), "{\"job\":\"%s\",\"limit\":5}", job);
	CLEANUP(json_freep) json_t *answer = question(s->d, "runs", args);
	size_t i;
	json_t *run;
	json_array_foreach(json_object_get(answer, "runs"), i, run)
	{
		char has[TEXT_SPAN];
		if (str_eq(show_id(has, sizeof(has), run), id))
			return json_incref(run);
	}
	return NULL;
}

static int kill_collect(struct story *s)
{
	CLEANUP(json_freep) json_t *run = run_now(s, s->languages, "languages");
	int64_t rows = json_number(run, "rows");
	if (run && (rows >= s->d->records || str_eq(json_text(run, "state"), "succeeded"))) {
		cli_fail(s->d->cli, CLI_FAILED,
			"the run was over before its worker could be killed");
		return -1;
	}
	if (rows < s->d->records / 4)
		return 0;
	CLEANUP(json_freep) json_t *status = question(s->d, "status", NULL);
	const json_t *collect = process_of_kind(status, "collect");
	if (!runs_now(collect))
		return 0;
	s->killed_pid = json_number(collect, "pid");
	CLEANUP(closep) int pidfd = sys_pidfd_open((pid_t)s->killed_pid);
	if (pidfd == -1 || sys_pidfd_send_signal(pidfd, SIGKILL) == -1) {
		cli_fail(s->d->cli, CLI_FAILED, "cannot kill %lld: %s", (long long)s->killed_pid,
			strerror(errno));
		return -1;
	}
	s->killed_at_rows = rows;
	return 1;
}

static int collect_is_back(struct story *s)
{
	CLEANUP(json_freep) json_t *status = question(s->d, "status", NULL);
	const json_t *collect = process_of_kind(status, "collect");
	if (!runs_now(collect) || json_number(collect, "pid") == s->killed_pid)
		return 0;
	demo_say(s->d,
		"collect is back: pid %lld, life %lld; its run goes on where the last commit was",
		(long long)json_number(collect, "pid"),
		(long long)json_number(collect, "incarnation"));
	return 1;
}

/* Counts the failed probes as they come, until the service has a new pid for that reason. */
static int web_was_restarted(struct story *s)
{
	CLEANUP(json_freep) json_t *status = question(s->d, "status", NULL);
	const json_t *web = process_of_kind(status, "web");
	int64_t strikes = json_number(web, "strikes"), pid = json_number(web, "pid");
	if (pid == s->web_pid && strikes > s->probes_failed) {
		s->probes_failed = strikes;
		demo_say(s->d, "web hangs: probe %lld of 3 failed (%s)", (long long)strikes,
			json_text(json_object_get(web, "last_probe"), "detail"));
	}
	const json_t *last = json_object_get(web, "last_exit");
	if (!runs_now(web) || pid == s->web_pid ||
		!json_is_true(json_object_get(json_object_get(web, "last_probe"), "ok")))
		return 0;
	if (!str_eq(json_text(last, "reason"), "probe")) {
		cli_fail(s->d->cli, CLI_FAILED, "web was restarted for '%s', not for its probes",
			json_text(last, "reason"));
		return -1;
	}
	demo_say(s->d,
		"web was restarted after three failed probes: pid %lld instead of %lld, and "
		"answers again",
		(long long)pid, (long long)s->web_pid);
	return 1;
}

static int run_has_ended(struct story *s, const char *id, const char *job, json_t **out)
{
	CLEANUP(json_freep) json_t *run = run_now(s, id, job);
	const char *state = json_text(run, "state");
	if (!run || str_eq(state, "queued") || str_eq(state, "running"))
		return 0;
	struct buf words = BUF_INIT;
	show_run_end(&words, run);
	demo_say(s->d, "%s", buf_str(&words));
	buf_finish(&words);
	*out = TAKE(run);
	return 1;
}

static int languages_ended(struct story *s)
{
	return run_has_ended(s, s->languages, "languages", &s->run_languages);
}

static int docs_ended(struct story *s)
{
	return run_has_ended(s, s->docs, "docs", &s->run_docs);
}

static int read_audit(struct story *s, const char *path)
{
	json_error_t why;
	s->audit = json_load_file(path, 0, &why);
	return s->audit ? CLI_DONE
			: cli_fail(s->d->cli, CLI_FAILED, "the comparison failed; see %s/audit.log",
				  s->d->folder);
}

/* Python's json and sqlite3 and a pass of its own over the files: not drover's own sums. */
static int audit(struct story *s)
{
	struct demo *d = s->d;
	char script[DEMO_PATH], database[DEMO_PATH], output[DEMO_PATH];
	struct err err = { 0 };
	int code = 0;
	snprintf(script, sizeof(script), "%s/audit.py", d->folder);
	snprintf(database, sizeof(database), "%s/state/drover.db", d->folder);
	snprintf(output, sizeof(output), "%s/audit.log", d->folder);
	char *argv[] = { (char[]) { "/usr/bin/python3" }, script, database,
		(char *)(uintptr_t)demo_iso_639_3, d->docs, d->site, NULL };
	struct child_spec spec = { .argv = argv, .output = output, .signal_when_orphan = SIGKILL };
	struct child child = CHILD_NONE;
	if (child_start(&child, &spec, &err) < 0)
		return cli_fail(d->cli, CLI_FAILED, "%s", err.text);
	int64_t until = clock_mono_ms() + AUDIT_MS;
	while (!child_ended(&child, &code)) {
		if (demo_interrupted() || clock_mono_ms() > until) {
			child_stop(&child, SIGKILL, 0);
			return cli_fail(d->cli, CLI_FAILED, "the comparison was ended");
		}
		(void)child_wait(&child, 50, &code);
	}
	return read_audit(s, output);
}

static bool verdict(struct story *s, bool good, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool verdict(struct story *s, bool good, const char *fmt, ...)
{
	struct cli *cli = s->d->cli;
	struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	enum table_color color = good ? TABLE_GOOD : TABLE_BAD;
	fprintf(cli->out, "  %s%-5s%s  %s\n", color_begin(cli->color, color),
		good ? "good" : "WRONG", color_end(cli->color, color), buf_str(&text));
	buf_finish(&text);
	return good;
}

/* Failed probes in a row of the service's first life, as droverd wrote them down. */
static void last_strikes(void *arg, const char *line, size_t len)
{
	CLEANUP(json_freep) json_t *record = json_loadb(line, len, 0, NULL);
	if (str_eq(json_text(record, "event"), "probe_failed") &&
		str_eq(json_text(record, "name"), "web") && json_number(record, "incarnation") == 1)
		*(int *)arg = (int)json_number(record, "strikes");
}

static int failed_probes(const struct story *s)
{
	char path[DEMO_PATH];
	int count = 0;
	struct err unheard;
	snprintf(path, sizeof(path), "%s/log/drover_health.log", s->d->folder);
	return tail_last(path, HEALTH_LINES, last_strikes, &count, &unheard) < 0 ? -1 : count;
}

static int judge(struct story *s)
{
	char a[TEXT_SPAN], b[TEXT_SPAN];
	const json_t *t = s->audit;
	bool good = true;
	fprintf(s->d->cli->out, "\ncompared with the truth, by Python's json and sqlite3:\n");
	good &= verdict(s,
		str_eq(json_text(s->run_languages, "state"), "succeeded") &&
			json_is_true(json_object_get(t, "equal")),
		"languages: %s rows in the database, %s records in iso_639-3.json, %s",
		text_count(a, sizeof(a), json_number(t, "rows")),
		text_count(b, sizeof(b), json_number(t, "records")),
		json_is_true(json_object_get(t, "equal")) ? "every field equal"
							  : "and they differ");
	good &= verdict(s,
		str_eq(json_text(s->run_docs, "state"), "succeeded") &&
			json_is_true(json_object_get(t, "same_urls")) &&
			json_number(t, "stored_bodies") == json_number(t, "bodies"),
		"docs: %lld URLs and %lld distinct bodies in the database, %lld and %lld in the "
		"files",
		(long long)json_number(t, "stored_pages"),
		(long long)json_number(t, "stored_bodies"), (long long)json_number(t, "pages"),
		(long long)json_number(t, "bodies"));
	good &= verdict(s, s->killed_at_rows > 0 && s->killed_at_rows < s->d->records,
		"collect was killed with %s of %s rows stored: nothing lost, nothing twice",
		text_count(a, sizeof(a), s->killed_at_rows),
		text_count(b, sizeof(b), s->d->records));
	int failed = failed_probes(s);
	good &= verdict(s, failed == 3,
		"web hung and was restarted by itself after %d failed probes in a row", failed);
	return good ? CLI_DONE
		    : cli_fail(s->d->cli, CLI_FAILED,
			      "something differs from the truth, see above and %s/log",
			      s->d->folder);
}

static void tell_where(struct story *s)
{
	const struct demo *d = s->d;
	bool keep = cli_value(d->cli, "keep");
	fprintf(d->cli->out,
		"\nwhere to look:\n"
		"  rows           %s/state/drover.db, tables languages and pages\n"
		"  configuration  %s/drover.yaml\n"
		"  logs           %s/log\n"
		"  HTTP           %s/health%s\n"
		"  remove it all  rm -r %s\n"
		"done in %.1f s\n",
		d->folder, d->folder, d->folder, d->http,
		keep ? "" : " (while it runs: drover demo --keep)", d->folder,
		(double)(clock_mono_ms() - d->started_ms) / 1000);
}

static int show(struct story *s)
{
	struct demo *d = s->d;
	char records[TEXT_SPAN], rows[TEXT_SPAN];
	demo_say(d, "nginx serves %s languages in %lld pages and python3-doc at %s/",
		text_count(records, sizeof(records), d->records), (long long)d->pages_of_api,
		d->site);
	int code = wait_for(s, "all processes up", STEP_MS, all_are_up);
	if (code != CLI_DONE)
		return code;
	demo_say(d, "droverd (pid %d) runs scheduler, collect, crawl, monitor and a service, web",
		(int)d->droverd.pid);
	code = begin_run(s, "languages", s->languages, sizeof(s->languages));
	if (code == CLI_DONE)
		code = begin_run(s, "docs", s->docs, sizeof(s->docs));
	if (code != CLI_DONE)
		return code;
	demo_say(d, "two runs begin: languages collects the API, docs crawls the site");
	code = wait_for(s, "rows of languages", STEP_MS, kill_collect);
	if (code != CLI_DONE)
		return code;
	demo_say(d, "collect (pid %lld) killed by SIGKILL in the middle: %s of %s rows are there",
		(long long)s->killed_pid, text_count(rows, sizeof(rows), s->killed_at_rows),
		records);
	struct awaited rest[] = {
		{ .what = "collect back after SIGKILL", .look = collect_is_back },
		{ .what = "web restarted", .look = web_was_restarted },
		{ .what = "the end of the run of languages", .look = languages_ended },
		{ .what = "the end of the run of docs", .look = docs_ended },
	};
	code = wait_for_all(s, rest, ARRAY_SIZE(rest), RUN_MS);
	if (code == CLI_DONE)
		code = audit(s);
	return code == CLI_DONE ? judge(s) : code;
}

int demo_story(struct demo *d)
{
	struct story s = { .d = d };
	int code = show(&s);
	if (!demo_interrupted())
		tell_where(&s);
	json_decref(s.run_languages);
	json_decref(s.run_docs);
	json_decref(s.audit);
	return code;
}
