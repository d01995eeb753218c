/* SPDX-License-Identifier: MIT */
#include "show.h"

#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli.h"
#include "text.h"
#include <inttypes.h>
#include <string.h>

void show_line(struct cli *cli, enum table_color color, const char *text)
{
	struct buf safe = BUF_INIT;
	text_escape_lines(&safe, text, strlen(text));
	fprintf(cli->out, "%s%s%s\n", color_begin(cli->color, color), buf_str(&safe),
		color_end(cli->color, color));
	buf_finish(&safe);
}

static const char *ended_ago(char *dst, size_t size, const json_t *run, int64_t now)
{
	const char *at = json_text(run, "finished_at");
	if (!*at)
		at = json_text(run, "started_at");
	return text_when(dst, size, text_time(at), now);
}

int show_jobs(struct cli *cli, const json_t *jobs)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	int64_t now = clock_real_ms();
	table_column(t, "JOB", TABLE_SHRINK);
	table_column(t, "KIND", 0);
	table_column(t, "STATE", 0);
	table_column(t, "LAST RUN", 0);
	table_column(t, "WHEN", 0);
	table_column(t, "ROWS", TABLE_RIGHT);
	table_column(t, "NEXT DUE", TABLE_SHRINK);
	size_t i;
	json_t *job;
	json_array_foreach(jobs, i, job)
	{
		char when[40], rows[TEXT_SPAN], due[40];
		const json_t *last = json_object_get(job, "last_run");
		const char *result = json_text(last, "state");
		int64_t next = text_time(json_text(job, "next_due_at"));
		table_row(t);
		table_cell(t, json_text(job, "name"));
		table_cell(t, json_text(job, "kind"));
		table_cell_color(
			t, json_text(job, "state"), table_state_color(json_text(job, "state")));
		table_cell_color(t, result, table_state_color(result));
		table_cell(
			t, json_is_object(last) ? ended_ago(when, sizeof(when), last, now) : NULL);
		table_cell(t, json_is_object(last)
				      ? text_count(rows, sizeof(rows), json_number(last, "rows"))
				      : NULL);
		const char *follows = json_text(job, "follows");
		char after[64];
		snprintf(after, sizeof(after), "after %s", follows);
		table_cell(t, next	 ? text_when(due, sizeof(due), next, now)
			      : *follows ? after
					 : "only by drover run");
	}
	return table_print(t);
}

static int64_t duration_ms(const json_t *run)
{
	int64_t started = text_time(json_text(run, "started_at")),
		ended = text_time(json_text(run, "finished_at"));
	return !started ? 0 : (ended ? ended : clock_real_ms()) - started;
}

int show_runs(struct cli *cli, const json_t *runs)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	table_column(t, "RUN", TABLE_RIGHT);
	table_column(t, "JOB", TABLE_SHRINK);
	table_column(t, "TRIGGER", 0);
	table_column(t, "STATE", 0);
	table_column(t, "STARTED", 0);
	table_column(t, "TOOK", TABLE_RIGHT);
	table_column(t, "TASKS", TABLE_RIGHT);
	table_column(t, "ROWS", TABLE_RIGHT);
	table_column(t, "REJECTED", TABLE_RIGHT);
	table_column(t, "ERROR", TABLE_SHRINK);
	size_t i;
	json_t *run;
	json_array_foreach(runs, i, run)
	{
		char text[TEXT_SPAN];
		const json_t *tasks = json_object_get(run, "tasks"),
			     *errors = json_object_get(run, "errors");
		const json_t *error = json_array_get(errors, 0);
		table_row(t);
		table_cell(t, show_id(text, sizeof(text), run));
		table_cell(t, json_text(run, "job"));
		table_cell(t, json_text(run, "trigger"));
		table_cell_color(
			t, json_text(run, "state"), table_state_color(json_text(run, "state")));
		table_cell(t, json_text(run, "started_at"));
		table_cell(t, text_span(text, sizeof(text), duration_ms(run)));
		table_cellf(t, "%" PRId64 "/%" PRId64, json_number(tasks, "done"),
			json_number(tasks, "total"));
		table_cell(t, text_count(text, sizeof(text), json_number(run, "rows")));
		table_cell(t, text_count(text, sizeof(text), json_number(run, "rejected")));
		table_cell(t, json_is_string(error) ? json_string_value(error)
						    : json_text(error, "error"));
	}
	return table_print(t);
}

const char *show_id(char *dst, size_t size, const json_t *object)
{
	const json_t *id = json_object_get(object, "id");
	if (json_is_string(id))
		snprintf(dst, size, "%s", json_string_value(id));
	else
		snprintf(dst, size, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	return dst;
}

void show_exit(struct buf *out, const json_t *last)
{
	const json_t *code = json_object_get(last, "code");
	const char *reason = json_text(last, "reason");
	const char *name = sigabbrev_np((int)json_number(last, "signal"));
	if (json_is_integer(json_object_get(last, "signal")))
		buf_addf(out, "SIG%s", name ? name : "?");
	else if (json_is_integer(code))
		buf_addf(out, "exit code %" JSON_INTEGER_FORMAT, json_integer_value(code));
	else
		buf_add_str(out, "exit code unknown");
	if (*reason && !str_eq(reason, "exit") && !str_eq(reason, "signal"))
		buf_addf(out, " (%s)", reason);
}

void show_run_end(struct buf *out, const json_t *run)
{
	char took[TEXT_SPAN], rows[TEXT_SPAN], requests[TEXT_SPAN];
	const json_t *tasks = json_object_get(run, "tasks"), *error;
	buf_addf(out, "%s %s in %s: %s rows, %s requests", json_text(run, "job"),
		json_text(run, "state"), text_span(took, sizeof(took), duration_ms(run)),
		text_count(rows, sizeof(rows), json_number(run, "rows")),
		text_count(requests, sizeof(requests), json_number(run, "requests")));
	if (json_number(run, "rejected"))
		buf_addf(out, ", %" PRId64 " records rejected", json_number(run, "rejected"));
	if (json_number(tasks, "dead"))
		buf_addf(out, ", %" PRId64 " tasks in the dead letters (drover dead)",
			json_number(tasks, "dead"));
	size_t i;
	json_array_foreach(json_object_get(run, "errors"), i, error) buf_addf(out, "\n  %s",
		json_is_string(error) ? json_string_value(error) : json_text(error, "error"));
}
