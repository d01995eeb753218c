/* SPDX-License-Identifier: MIT */
/* drover next JOB | "CRON": the coming due times. A cron expression is judged here, without a
 * supervisor. */
#include "ask.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "schedule/cron.h"
#include "schedule/due.h"
#include "schedule/zone.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* A question to the scheduler is for a page of them: however many are wished, no more are held. */
enum { TIMES_MAX = 1000000, PAGE_TIMES = 1000, TIMES_DEFAULT = 5 };

int verb_next(struct cli *cli);
extern const struct cli_option verb_next_options[];
const struct cli_option verb_next_options[] = {
	{ "count", 'n', "N", "how many times, 1 to 1000000 (5)" },
	{ "from", 0, "TIME", "those after this time: RFC 3339, 2026-12-01T00:00:00Z (now)" },
	{ "tz", 0, "ZONE", "the time zone, as Asia/Seoul (of CRON: UTC; of JOB: the job's own)" },
	{ 0 },
};

struct question {
	const char *what;
	long count;
	int64_t from_ms; /* 0: now */
	const struct zone *zone;
	/* what was printed */
	long printed;
	int64_t last_ms, now_ms;
};

static int read_options(struct cli *cli, struct question *q, struct zone **zone)
{
	struct err err = { 0 };
	q->what = cli->names[0];
	int code = cli_number(cli, "count", 1, TIMES_MAX, TIMES_DEFAULT, &q->count);
	if (code != CLI_DONE)
		return code;
	const char *from = cli_value(cli, "from");
	if (from && time_parse_rfc3339(from, &q->from_ms, NULL, &err) < 0)
		return cli_fail(cli, CLI_USAGE, "--from '%s': %s", from, err.text);
	const char *tz = cli_value(cli, "tz");
	if (tz && zone_load(zone, tz, &err) < 0)
		return cli_fail(cli, CLI_USAGE, "--tz '%s': %s", tz, err.text);
	q->zone = *zone;
	return CLI_DONE;
}

/* Names of jobs have neither blanks nor '*' nor '@'; everything else is meant as a cron expression.
 */
static bool is_cron(const char *what)
{
	return !str_is_name(what);
}

/* NULL: no mark that we know. */
static const char *in_words(const char *mark)
{
	if (str_eq(mark, "gap"))
		return "  instead of a time that the clock skips";
	if (str_eq(mark, "first"))
		return "  first pass of a repeated hour";
	return str_eq(mark, "second") ? "  second pass of a repeated hour" : NULL;
}

/* As it comes, so that any number of them needs no memory. `mark` may be NULL. */
static void print_time(
	struct cli *cli, struct question *q, int64_t at_ms, const char *local, const char *mark)
{
	char utc[TIME_TEXT], when[40];
	const char *words = mark ? in_words(mark) : NULL;
	int64_t ignored;
	time_format_rfc3339(utc, at_ms, NULL);
	/* It came over a socket. */
	if (time_parse_rfc3339(local, &ignored, NULL, NULL) < 0)
		local = utc;
	if (cli->json) {
		fprintf(cli->out, "%s\n    {\"local\": \"%s\", \"utc\": \"%s\"",
			q->printed ? "," : "{\n  \"times\": [", local, utc);
		if (words)
			fprintf(cli->out, ", \"dst\": \"%s\"", mark);
		fputc('}', cli->out);
	} else {
		fprintf(cli->out, "%s", local);
		if (!str_eq(local, utc))
			fprintf(cli->out, "  %s", utc);
		if (at_ms > q->now_ms)
			fprintf(cli->out, "  (%s)",
				text_when(when, sizeof(when), at_ms, q->now_ms));
		fprintf(cli->out, "%s\n", words ? words : "");
	}
	q->printed++;
	q->last_ms = at_ms;
}

static void print_end(struct cli *cli, const struct question *q)
{
	if (cli->json)
		fputs(q->printed ? "\n  ]\n}\n" : "{\n  \"times\": []\n}\n", cli->out);
	else if (q->printed == 0)
		cli_note(cli, "%s: never due", q->what);
}

static int times_of_cron(struct cli *cli, struct question *q)
{
	struct cron cron;
	struct err err = { 0 };
	size_t bad_at = 0;
	char local[TIME_TEXT];
	if (cron_parse(&cron, q->what, &bad_at, &err) < 0) {
		cli_fail(cli, CLI_USAGE, "%s", err.text);
		if (strlen(q->what) < 200)
			cli_note(cli, "  %s\n  %*s^", q->what, (int)bad_at, "");
		return CLI_USAGE;
	}
	int64_t at = q->from_ms ? q->from_ms : q->now_ms;
	while (q->printed < q->count && cron_next(&cron, q->zone, at, false, NULL, &at) == 0)
		print_time(cli, q, at, time_format_rfc3339(local, at, q->zone),
			cron_mark_name(cron_mark(&cron, q->zone, NULL, at)));
	return CLI_DONE;
}

/* The page after what was printed. @return how many came, or a negative exit code */
static long one_page(struct cli *cli, struct question *q)
{
	char from[TIME_TEXT], local[TIME_TEXT];
	int64_t after = q->printed ? q->last_ms : q->from_ms;
	long wanted = MIN(q->count - q->printed, (long)PAGE_TIMES);
	CLEANUP(json_freep)
	json_t *args = json_pack("{s:s, s:i}", "job", q->what, "n", (int)wanted);
	if (after)
		json_object_set_new(
			args, "from", json_string(time_format_rfc3339(from, after, NULL)));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	if (!text)
		return -cli_fail(cli, CLI_FAILED, "out of memory");
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask(cli, "next", text, &answer);
	if (code != CLI_DONE)
		return -code;
	const json_t *times = json_object_get(answer, "times"), *time;
	size_t i;
	json_array_foreach(times, i, time)
	{
		int64_t at = text_time(json_text(time, "utc"));
		const char *theirs = json_text(time, "local");
		print_time(cli, q, at, q->zone ? time_format_rfc3339(local, at, q->zone) : theirs,
			json_text_or_null(time, "dst"));
	}
	return json_array_size(times) < (size_t)wanted ? 0 : wanted;
}

static int times_of_job(struct cli *cli, struct question *q)
{
	long came = 1;
	while (q->printed < q->count && came > 0)
		came = one_page(cli, q);
	return came < 0 ? (int)-came : CLI_DONE;
}

int verb_next(struct cli *cli)
{
	struct question q = { .now_ms = clock_real_ms() };
	CLEANUP(zone_freep) struct zone *zone = NULL;
	int code = read_options(cli, &q, &zone);
	if (code == CLI_DONE)
		code = is_cron(q.what) ? times_of_cron(cli, &q) : times_of_job(cli, &q);
	if (code == CLI_DONE)
		print_end(cli, &q);
	return code;
}
