/* SPDX-License-Identifier: MIT */
/* drover status [NAME]: the answers of supervisor, scheduler and monitor in one; a part that is
 * away is null. */
#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "record.h"
#include "show.h"
#include "table.h"
#include "tail.h"
#include "text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int verb_status(struct cli *cli);
extern const struct cli_option verb_status_options[];
const struct cli_option verb_status_options[] = { { 0 } };

enum { PART_TIMEOUT_MS = 5000, RUNS_SHOWN = 5, ERRORS_SHOWN = 5, ERROR_LINES = 5000 };

/* One member of another part's answer; JSON null when that part is away. */
static json_t *part(struct cli *cli, const char *verb, const char *args, const char *key)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	struct client_question q = { .verb = verb, .args = args, .timeout_ms = PART_TIMEOUT_MS };
	struct err unheard;
	if (ask_quietly(cli, &q, &answer, &unheard) != CLI_DONE)
		return json_null();
	json_t *value = json_object_get(answer, key);
	return value ? json_incref(value) : json_null();
}

static json_t *named(json_t *list, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (str_eq(json_text(item, "name"), name)) return item;
	return NULL;
}

static void header_line(struct cli *cli, const json_t *answer)
{
	const json_t *s = json_object_get(answer, "supervisor");
	int64_t started = text_time(json_text(s, "started_at")), now = clock_real_ms();
	char up[TEXT_SPAN];
	struct buf line = BUF_INIT;
	buf_addf(&line, "drover %s  %s", json_text(s, "version"), json_text(s, "state"));
	if (started)
		buf_addf(&line, "  up %s", text_span(up, sizeof(up), now - started));
	buf_addf(&line, "  pid %" PRId64 "  config %s  containment %s", json_number(s, "pid"),
		json_text(s, "config_file"), json_text(s, "containment"));
	const json_t *health = json_object_get(answer, "health");
	buf_addf(&line, "  health %s",
		json_is_object(health) ? json_text(health, "level") : "unknown");
	if (*json_text(health, "address"))
		buf_addf(&line, "  http://%s/health", json_text(health, "address"));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	if (*json_text(s, "config_error")) {
		show_line(cli, TABLE_BAD,
			"the configuration on disk has errors, the old one runs on:");
		show_line(cli, TABLE_BAD, json_text(s, "config_error"));
	}
	if (*json_text(s, "upgrade_error")) {
		buf_reset(&line);
		buf_addf(&line, "the last upgrade was refused: %s", json_text(s, "upgrade_error"));
		show_line(cli, TABLE_BAD, buf_str(&line));
	}
	buf_finish(&line);
}

/* What a person should know of a process beyond its state. */
static void note(struct buf *out, const json_t *p, int64_t now)
{
	char when[40];
	int64_t due = text_time(json_text(p, "restart_due_at"));
	int64_t strikes = json_number(p, "strikes");
	const json_t *probe = json_object_get(p, "last_probe"),
		     *last = json_object_get(p, "last_exit");
	if (due)
		buf_addf(out, "%s %s",
			str_eq(json_text(p, "state"), "running") ? "restart held, due"
								 : "start due",
			text_when(when, sizeof(when), due, now));
	if (strikes > 0)
		buf_addf(out, "%s%" PRId64 " failed probe%s: %s", out->len ? "; " : "", strikes,
			strikes == 1 ? "" : "s", json_text(probe, "detail"));
	if (*json_text(p, "tasks_held_by"))
		buf_addf(out, "%stakes no tasks (%s)", out->len ? "; " : "",
			json_text(p, "tasks_held_by"));
	if (*json_text(p, "error"))
		buf_addf(out, "%s%s", out->len ? "; " : "", json_text(p, "error"));
	if (json_is_object(last) && text_time(json_text(last, "at")) > now - 3600000) {
		buf_addf(out, "%slast end %s: ", out->len ? "; " : "",
			text_when(when, sizeof(when), text_time(json_text(last, "at")), now));
		show_exit(out, last);
	}
}

static int process_table(struct cli *cli, const json_t *processes)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	int64_t now = clock_real_ms();
	table_column(t, "NAME", 0);
	table_column(t, "KIND", 0);
	table_column(t, "STATE", 0);
	table_column(t, "PID", TABLE_RIGHT);
	table_column(t, "UP", TABLE_RIGHT);
	table_column(t, "RESTARTS", TABLE_RIGHT);
	table_column(t, "MEMORY", TABLE_RIGHT);
	table_column(t, "NOTE", TABLE_SHRINK);
	size_t i;
	json_t *p;
	json_array_foreach(processes, i, p)
	{
		char text[TEXT_SPAN];
		int64_t started = text_time(json_text(p, "started_at"));
		struct buf words = BUF_INIT;
		note(&words, p, now);
		table_row(t);
		table_cell(t, json_text(p, "name"));
		table_cell(t, json_text(p, "kind"));
		table_cell_color(
			t, json_text(p, "state"), table_state_color(json_text(p, "state")));
		table_cell(t, json_number(p, "pid")
				      ? text_number(text, sizeof(text), json_number(p, "pid"))
				      : NULL);
		table_cell(t, started && json_number(p, "pid")
				      ? text_span(text, sizeof(text), now - started)
				      : NULL);
		table_cell(t, text_number(text, sizeof(text), json_number(p, "restarts")));
		table_cell(t, text_bytes(text, sizeof(text), json_number(p, "memory_bytes")));
		table_cell(t, buf_str(&words));
		buf_finish(&words);
	}
	return table_print(t);
}

static void queue_line(struct cli *cli, const json_t *queue)
{
	char a[TEXT_SPAN], b[TEXT_SPAN], c[TEXT_SPAN], d[TEXT_SPAN];
	fprintf(cli->out, "\nqueue: %s ready, %s claimed, %s delayed, %s dead%s\n",
		text_count(a, sizeof(a), json_number(queue, "ready")),
		text_count(b, sizeof(b), json_number(queue, "claimed")),
		text_count(c, sizeof(c), json_number(queue, "delayed")),
		text_count(d, sizeof(d), json_number(queue, "dead")),
		json_number(queue, "dead") ? " (see: drover dead)" : "");
}

/* Of this host's processes together. */
static void db_line(struct cli *cli, const json_t *db)
{
	int64_t active = 0, open = 0, transactions = 0, waits = 0;
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(db, "processes"), i, p)
	{
		active += json_number(p, "active");
		open += json_number(p, "active") + json_number(p, "idle");
		transactions += json_number(p, "transactions");
		waits += json_number(p, "waits");
	}
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	buf_addf(&line, "database: %s, %" PRId64 " connections, %" PRId64 " at work",
		json_text(db, "engine"), open, active);
	if (transactions)
		buf_addf(&line, ", %.1f%% of transactions found one free",
			100 - 100 * (double)waits / (double)transactions);
	show_line(cli, TABLE_PLAIN, buf_str(&line));
}

/* "97 of 100/1m, 940 of 1000/1h" */
static void windows_left(struct buf *out, const json_t *windows)
{
	size_t i;
	json_t *w;
	json_array_foreach(windows, i, w)
	{
		char span[TEXT_SPAN];
		buf_addf(out, "%s%" PRId64 " of %" PRId64 "/%s", i ? ", " : "",
			json_number(w, "left"), json_number(w, "count"),
			str_duration(span, sizeof(span), json_number(w, "period_ms")));
	}
}

/* What is left of the limits, and when the next call may go. */
static int limit_table(struct cli *cli, const json_t *limits)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	table_column(t, "PROVIDER", 0);
	table_column(t, "LEFT", TABLE_SHRINK);
	table_column(t, "ACTIVE", TABLE_RIGHT);
	table_column(t, "ALLOWED", TABLE_RIGHT);
	table_column(t, "OPENS", 0);
	size_t i;
	json_t *l;
	json_array_foreach(limits, i, l)
	{
		char text[TEXT_SPAN], when[40];
		int64_t opens = text_time(json_text(l, "opens_at"));
		CLEANUP(buf_finish) struct buf left = BUF_INIT;
		windows_left(&left, json_object_get(l, "windows"));
		if (json_is_integer(json_object_get(l, "server_left")))
			buf_addf(&left, "%sby its server %" PRId64, left.len ? "; " : "",
				json_number(l, "server_left"));
		table_row(t);
		table_cell(t, json_text(l, "name"));
		table_cell(t, buf_str(&left));
		table_cell(t, text_number(text, sizeof(text), json_number(l, "active")));
		table_cell(t, json_is_integer(json_object_get(l, "allowed"))
				      ? text_number(text, sizeof(text), json_number(l, "allowed"))
				      : NULL);
		table_cell(
			t, opens ? text_when(when, sizeof(when), opens, clock_real_ms()) : "now");
	}
	fputc('\n', cli->out);
	return table_print(t);
}

static int overview(struct cli *cli, const json_t *answer)
{
	header_line(cli, answer);
	fputc('\n', cli->out);
	int code = process_table(cli, json_object_get(answer, "processes"));
	const json_t *jobs = json_object_get(answer, "jobs"),
		     *queue = json_object_get(answer, "queue");
	if (code == CLI_DONE && json_array_size(jobs)) {
		fputc('\n', cli->out);
		code = show_jobs(cli, jobs);
	}
	if (code == CLI_DONE && json_array_size(json_object_get(answer, "limits")))
		code = limit_table(cli, json_object_get(answer, "limits"));
	if (json_is_object(queue))
		queue_line(cli, queue);
	if (json_is_object(json_object_get(answer, "db")))
		db_line(cli, json_object_get(answer, "db"));
	if (!json_is_array(jobs))
		show_line(cli, TABLE_WARN,
			"\njobs and queue: unknown, the scheduler does not answer");
	return code;
}

static int history_table(struct cli *cli, const json_t *history)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	table_column(t, "AT", 0);
	table_column(t, "EVENT", 0);
	table_column(t, "REASON", 0);
	table_column(t, "DETAIL", TABLE_SHRINK);
	size_t i;
	json_t *h;
	json_array_foreach(history, i, h)
	{
		table_row(t);
		table_cell(t, json_text(h, "at"));
		table_cell(t, json_text(h, "event"));
		table_cell(t, json_text(h, "reason"));
		table_cell(t, json_text(h, "detail"));
	}
	fputs("\nhistory\n", cli->out);
	return table_print(t);
}

static void probe_line(struct cli *cli, const json_t *p)
{
	const json_t *probe = json_object_get(p, "last_probe");
	if (!json_is_object(probe))
		return;
	char when[40];
	struct buf line = BUF_INIT;
	bool ok = json_is_true(json_object_get(probe, "ok"));
	buf_addf(&line, "last probe: %s, %s", ok ? "good" : "failed",
		text_when(when, sizeof(when), text_time(json_text(probe, "at")), clock_real_ms()));
	if (json_is_number(json_object_get(probe, "latency_ms")))
		buf_addf(
			&line, ", answered after %" PRId64 " ms", json_number(probe, "latency_ms"));
	if (*json_text(probe, "detail"))
		buf_addf(&line, ": %s", json_text(probe, "detail"));
	show_line(cli, ok ? TABLE_PLAIN : TABLE_BAD, buf_str(&line));
	buf_finish(&line);
}

static void memory_line(struct cli *cli, const json_t *p)
{
	char bytes[TEXT_SPAN], limit[TEXT_SPAN];
	const char *level = json_text(p, "memory_level");
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	if (!json_is_integer(json_object_get(p, "memory_limit_bytes")) ||
		!json_is_integer(json_object_get(p, "memory_bytes")))
		return;
	buf_addf(&line, "memory: %s of %s, %s",
		text_bytes(bytes, sizeof(bytes), json_number(p, "memory_bytes")),
		text_bytes(limit, sizeof(limit), json_number(p, "memory_limit_bytes")), level);
	show_line(cli, str_eq(level, "normal") ? TABLE_PLAIN : TABLE_WARN, buf_str(&line));
}

struct errors {
	struct cli *cli;
	const char *name;
	char *last[ERRORS_SHOWN]; /* a ring */
	size_t count;
};

static void one_error(void *arg, const char *line, size_t len)
{
	struct errors *e = arg;
	CLEANUP(json_freep) json_t *record = json_loadb(line, len, 0, NULL);
	if (!str_eq(json_text(record, "process"), e->name))
		return;
	struct buf text = BUF_INIT;
	record_show(&text, line, len, e->cli->color);
	free(e->last[e->count % ERRORS_SHOWN]);
	e->last[e->count++ % ERRORS_SHOWN] = buf_detach(&text);
}

/* Its last records of level error, whichever of its lives wrote them. */
static void last_errors(struct cli *cli, const char *name)
{
	CLEANUP(json_freep) json_t *files = part(cli, "logs", NULL, "files");
	const char *path = json_text(named(files, "drover_error"), "path");
	struct errors e = { .cli = cli, .name = name };
	struct err unheard;
	if (!*path || tail_last(path, ERROR_LINES, one_error, &e, &unheard) < 0)
		return;
	if (e.count)
		fputs("\nlast errors\n", cli->out);
	for (size_t i = e.count > ERRORS_SHOWN ? e.count - ERRORS_SHOWN : 0; i < e.count; i++)
		fprintf(cli->out, "  %s\n",
			e.last[i % ERRORS_SHOWN] ? e.last[i % ERRORS_SHOWN] : "");
	for (size_t i = 0; i < ERRORS_SHOWN; i++)
		free(e.last[i]);
}

/* One process in depth: why it restarted, how it is, what becomes of it. */
static int processes_in_depth(struct cli *cli, const json_t *answer)
{
	int code = process_table(cli, json_object_get(answer, "processes"));
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(answer, "processes"), i, p)
	{
		probe_line(cli, p);
		memory_line(cli, p);
	}
	if (code == CLI_DONE && json_array_size(json_object_get(answer, "history")))
		code = history_table(cli, json_object_get(answer, "history"));
	json_array_foreach(json_object_get(answer, "processes"), i, p)
		last_errors(cli, json_text(p, "name"));
	fprintf(cli->out, "\nits output: drover logs %s\n", cli->names[0]);
	return code;
}

static int job_in_depth(struct cli *cli, const json_t *job)
{
	const char *name = json_text(job, "name");
	CLEANUP(json_freep)
	json_t *args = json_pack("{s:s, s:i}", "job", name, "limit", RUNS_SHOWN);
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	CLEANUP(json_freep) json_t *runs = text ? part(cli, "runs", text, "runs") : json_null();
	CLEANUP(json_freep) json_t *list = json_pack("[O]", job);
	if (cli->json) {
		CLEANUP(json_freep)
		json_t *object = json_pack("{s:O, s:O}", "jobs", list, "runs", runs);
		return print_json(cli, object);
	}
	int code = show_jobs(cli, list);
	if (code == CLI_DONE && json_array_size(runs)) {
		fputs("\nlast runs\n", cli->out);
		code = show_runs(cli, runs);
	}
	return code;
}

/* NAME may be a job's too: then it is not an unknown name. */
static int status_of(struct cli *cli, const char *name, json_t **answer)
{
	struct client_question q = {
		.verb = "status", .args = name, .timeout_ms = PART_TIMEOUT_MS
	};
	struct err err = { 0 };
	int code = ask_quietly(cli, &q, answer, &err);
	if (code != CLI_NO_SUCH_NAME) {
		if (code != CLI_DONE)
			cli_fail(cli, code, "%s", err.text);
		return code;
	}
	CLEANUP(json_freep) json_t *jobs = part(cli, "jobs", "{}", "jobs");
	json_t *job = named(jobs, name);
	if (job)
		return job_in_depth(cli, job);
	json_decref(TAKE(*answer));
	return ask(cli, "status", name, answer); /* once more, for the words and the suggestion */
}

int verb_status(struct cli *cli)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	const char *name = cli->name_count ? cli->names[0] : NULL;
	int code = name ? status_of(cli, name, &answer) : ask(cli, "status", NULL, &answer);
	if (code != CLI_DONE || !json_is_array(json_object_get(answer, "processes")))
		return code;
	if (name && !cli->json)
		return processes_in_depth(cli, answer);
	json_object_set_new(answer, "jobs", part(cli, "jobs", "{}", "jobs"));
	json_object_set_new(answer, "queue", part(cli, "queue", "{}", "queue"));
	json_object_set_new(answer, "db", part(cli, "db", "{}", "db"));
	json_object_set_new(answer, "limits", part(cli, "limits", "{}", "limits"));
	json_object_set_new(answer, "health", part(cli, "health", "{}", "health"));
	return cli->json ? print_json(cli, answer) : overview(cli, answer);
}
