/* SPDX-License-Identifier: MIT */
/* drover check [FILE...]: all errors of each file, or one line of what there is. */
#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "configuration.h"
#include "schedule/due.h"
#include "text.h"
#include "where.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int verb_check(struct cli *cli);
extern const struct cli_option verb_check_options[];
const struct cli_option verb_check_options[] = {
	{ "config", 'c', "FILE", "the configuration, as droverd takes it" },
	{ 0 },
};

/* The job that is due first, NULL when none ever is. Those with `every` count from when the
 * scheduler first saw them, which is not known here. */
static const struct config_job *first_due(
	const struct config *config, int64_t now_ms, int64_t *due_ms)
{
	const struct config_job *first = NULL;
	for (size_t i = 0; i < config->job_count; i++) {
		int64_t at = 0;
		if (config->jobs[i].schedule.kind == SCHEDULE_EVERY)
			continue;
		if (schedule_next(&config->jobs[i].schedule, now_ms, false, &at) == 0 &&
			(!first || at < *due_ms)) {
			first = &config->jobs[i];
			*due_ms = at;
		}
	}
	return first;
}

static void add_number(struct buf *out, size_t n, const char *what)
{
	buf_addf(out, "%s%zu %s%s", out->len ? ", " : "", n, what, n == 1 ? "" : "s");
}

static const struct config_job *first_every(const struct config *config)
{
	for (size_t i = 0; i < config->job_count; i++)
		if (config->jobs[i].schedule.kind == SCHEDULE_EVERY)
			return &config->jobs[i];
	return NULL;
}

static void print_summary(struct cli *cli, const struct config *config)
{
	int64_t now = clock_real_ms(), due = 0;
	const struct config_job *next = first_due(config, now, &due);
	struct buf line = BUF_INIT;
	add_number(&line, config->job_count, "job");
	add_number(&line, config->service_count, "service");
	add_number(&line, config->provider_count, "provider");
	fprintf(cli->out, "OK  %s: %s. ", config->file, buf_str(&line));
	char when[40];
	if (next)
		fprintf(cli->out, "Next run: %s %s\n", next->name,
			text_when(when, sizeof(when), due, now));
	else if (first_every(config))
		fprintf(cli->out, "Next run: %s as soon as it is seen\n",
			first_every(config)->name);
	else
		fprintf(cli->out, "Nothing is scheduled; drover run JOB starts a run\n");
	buf_finish(&line);
}

/* "FILE:LINE:COL: error: words" of a report as objects; other lines (source, caret) belong to the
 * text only. */
static json_t *errors_json(const char *report)
{
	json_t *list = json_array();
	for (const char *line = report; *line;) {
		size_t len = strcspn(line, "\n");
		CLEANUP(freep) char *text = strndup(line, len);
		char *mark = text ? strstr(text, ": error: ") : NULL;
		int row = 0, column = 0;
		char *at = mark;
		for (int colons = 0; at && at > text && colons < 2;)
			if (*--at == ':')
				colons++;
		if (mark && sscanf(at, ":%d:%d:", &row, &column) == 2)
			json_array_append_new(
				list, json_pack("{s:s%, s:i, s:i, s:s}", "file", text,
					      (size_t)(at - text), "line", row, "column", column,
					      "message", mark + strlen(": error: ")));
		else if (mark)
			json_array_append_new(list, json_pack("{s:s%, s:n, s:n, s:s}", "file", text,
							    (size_t)(mark - text), "line", "column",
							    "message", mark + strlen(": error: ")));
		line += len + (line[len] == '\n');
	}
	return list;
}

static json_t *summary_json(const struct config *config)
{
	char utc[TIME_TEXT];
	int64_t due = 0;
	const struct config_job *next = first_due(config, clock_real_ms(), &due);
	return json_pack("{s:s, s:b, s:i, s:i, s:i, s:s?, s:s?, s:[]}", "file", config->file, "ok",
		1, "jobs", (int)config->job_count, "services", (int)config->service_count,
		"providers", (int)config->provider_count, "next_job", next ? next->name : NULL,
		"next_due_at", next ? time_format_rfc3339(utc, due, NULL) : NULL, "errors");
}

static int check_file(struct cli *cli, const char *file, json_t *results)
{
	CLEANUP(config_freep) struct config *config = NULL;
	struct buf report = BUF_INIT;
	int code = configuration_load(
		cli, &(struct config_options) { .file = file }, &config, results ? &report : NULL);
	if (code == CLI_DONE && results)
		json_array_append_new(results, summary_json(config));
	else if (code == CLI_DONE)
		print_summary(cli, config);
	else if (results)
		json_array_append_new(results, json_pack("{s:s?, s:b, s:o}", "file", file, "ok", 0,
						       "errors", errors_json(buf_str(&report))));
	buf_finish(&report);
	return code;
}

int verb_check(struct cli *cli)
{
	CLEANUP(json_freep) json_t *results = cli->json ? json_array() : NULL;
	const char *option = cli_value(cli, "config");
	int worst = CLI_DONE;
	if (option || cli->name_count == 0)
		worst = check_file(cli, option, results);
	for (size_t i = 0; i < cli->name_count; i++) {
		int code = check_file(cli, cli->names[i], results);
		/* A bad configuration says more than a missing file. */
		if (code == CLI_BAD_CONFIG || worst == CLI_DONE)
			worst = code;
	}
	if (results) {
		CLEANUP(json_freep) json_t *object = json_pack("{s:O}", "files", results);
		int code = print_json(cli, object);
		return worst == CLI_DONE ? code : worst;
	}
	return worst;
}
