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

enum { TIMES_MAX = 1000, TIMES_DEFAULT = 5 };

int verb_next(struct cli *cli);
extern const struct cli_option verb_next_options[];
const struct cli_option verb_next_options[] = {
	{ "count", 'n', "N", "how many times, 1 to 1000 (5)" },
	{ "from", 0, "TIME", "those after this time: RFC 3339, 2026-12-01T00:00:00Z (now)" },
	{ "tz", 0, "ZONE", "the time zone, as Asia/Seoul (of CRON: UTC; of JOB: the job's own)" },
	{ 0 },
};

struct question {
	const char *what;
	long count;
	int64_t from_ms; /* 0: now */
	const struct zone *zone;
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

static int add_time(json_t *times, int64_t at_ms, const struct zone *zone)
{
	char local[TIME_TEXT], utc[TIME_TEXT];
	time_format_rfc3339(local, at_ms, zone);
	time_format_rfc3339(utc, at_ms, NULL);
	return json_array_append_new(times, json_pack("{s:s, s:s}", "local", local, "utc", utc));
}

static int times_of_cron(struct cli *cli, const struct question *q, json_t *times)
{
	struct cron cron;
	struct err err = { 0 };
	size_t bad_at = 0;
	if (cron_parse(&cron, q->what, &bad_at, &err) < 0) {
		cli_fail(cli, CLI_USAGE, "%s", err.text);
		if (strlen(q->what) < 200)
			cli_note(cli, "  %s\n  %*s^", q->what, (int)bad_at, "");
		return CLI_USAGE;
	}
	int64_t at = q->from_ms ? q->from_ms : clock_real_ms();
	for (long i = 0; i < q->count; i++) {
		if (cron_next(&cron, q->zone, at, false, NULL, &at) < 0)
			break;
		if (add_time(times, at, q->zone) < 0)
			return cli_fail(cli, CLI_FAILED, "out of memory");
	}
	return CLI_DONE;
}

static int times_of_job(struct cli *cli, const struct question *q, json_t *times)
{
	char from[TIME_TEXT];
	CLEANUP(json_freep)
	json_t *args = json_pack("{s:s, s:i}", "job", q->what, "n", (int)q->count);
	if (q->from_ms)
		json_object_set_new(
			args, "from", json_string(time_format_rfc3339(from, q->from_ms, NULL)));
	CLEANUP(freep) char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	if (!text)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask(cli, "next", text, &answer);
	if (code != CLI_DONE)
		return code;
	size_t i;
	json_t *time;
	json_array_foreach(json_object_get(answer, "times"), i, time)
	{
		int64_t at = text_time(json_text(time, "utc"));
		int rc = q->zone && at ? add_time(times, at, q->zone)
				       : json_array_append(times, time);
		if (rc < 0)
			return cli_fail(cli, CLI_FAILED, "out of memory");
	}
	return CLI_DONE;
}

static int print_times(struct cli *cli, const struct question *q, json_t *times)
{
	if (cli->json) {
		CLEANUP(json_freep) json_t *object = json_pack("{s:O}", "times", times);
		return print_json(cli, object);
	}
	int64_t now = clock_real_ms();
	size_t i;
	json_t *time;
	json_array_foreach(times, i, time)
	{
		char when[40];
		const char *local = json_text(time, "local"), *utc = json_text(time, "utc");
		int64_t at = text_time(utc);
		fprintf(cli->out, "%s", local);
		if (!str_eq(local, utc))
			fprintf(cli->out, "  %s", utc);
		if (at > now)
			fprintf(cli->out, "  (%s)", text_when(when, sizeof(when), at, now));
		fputc('\n', cli->out);
	}
	if (json_array_size(times) == 0)
		cli_note(cli, "%s: never due", q->what);
	return CLI_DONE;
}

int verb_next(struct cli *cli)
{
	struct question q = { 0 };
	CLEANUP(zone_freep) struct zone *zone = NULL;
	CLEANUP(json_freep) json_t *times = json_array();
	int code = read_options(cli, &q, &zone);
	if (code == CLI_DONE)
		code = is_cron(q.what) ? times_of_cron(cli, &q, times)
				       : times_of_job(cli, &q, times);
	return code == CLI_DONE ? print_times(cli, &q, times) : code;
}
