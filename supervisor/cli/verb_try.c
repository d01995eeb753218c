/* SPDX-License-Identifier: MIT */
/*
 * drover try: the workers' own code on a file, a path, a URL, for writing jobs and for testing us.
 * What reads bytes from outside is drover-oneshot; URLs are taken apart here.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "oneshot.h"
#include "show.h"
#include "text.h"
#include "trial.h"
#include "url/url.h"
#include <stdlib.h>
#include <string.h>

int verb_try(struct cli *cli);
extern const struct cli_option verb_try_options[];
const struct cli_option verb_try_options[] = {
	{ "config", 'c', "FILE", "the configuration, for records and request" },
	{ 0 },
};

static int try_json(struct cli *cli)
{
	CLEANUP(buf_finish) struct buf raw = BUF_INIT;
	CLEANUP(json_freep) json_t *answer = NULL;
	const struct oneshot_question q = {
		.words = { "json", cli->names[1] }, .input = cli->names[2], .raw = &raw
	};
	int code = oneshot_ask(cli, &q, &answer);
	const json_t *value;
	size_t i;
	if (code != CLI_DONE)
		return code;
	/* Numbers keep the text that they had, which jansson might not hold. */
	if (cli->json || !answer) {
		fprintf(cli->out, "%s\n", buf_str(&raw));
		return CLI_DONE;
	}
	json_array_foreach(json_object_get(answer, "values"), i, value)
	{
		CLEANUP(freep)
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
		fprintf(cli->out, "%s\n", text ? text : "");
	}
	return CLI_DONE;
}

static int try_records(struct cli *cli)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	const struct oneshot_question q = {
		.job = cli->names[1], .words = { "records", cli->names[1] }, .input = cli->names[2]
	};
	int code = oneshot_ask(cli, &q, &answer);
	if (!json_is_object(answer))
		return code;
	int shown = cli->json ? print_json(cli, answer) : trial_show_rows(cli, answer);
	if (!cli->json)
		cli_note(cli, "%lld records, %lld rejected",
			(long long)json_number(answer, "records"),
			(long long)json_number(answer, "rejected"));
	return code == CLI_DONE ? shown : code;
}

static void show_answer(struct cli *cli, const json_t *answer)
{
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	char span[TEXT_SPAN], bytes[TEXT_SPAN];
	buf_addf(&line, "  answer   %lld in %s, %s %s", (long long)json_number(answer, "status"),
		text_span(span, sizeof(span), json_number(answer, "duration_ms")),
		text_bytes(bytes, sizeof(bytes), json_number(answer, "bytes")),
		json_text(answer, "content_type"));
	if (json_text_or_null(answer, "location"))
		buf_addf(&line, ", to %s", json_text(answer, "location"));
	if (json_text_or_null(answer, "error"))
		buf_addf(&line, ", %s", json_text(answer, "error"));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
}

static int try_request(struct cli *cli)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	const json_t *one;
	size_t i;
	const struct oneshot_question q = { .job = cli->names[1],
		.words = { "get", cli->names[1], cli->names[2] } };
	int code = oneshot_ask(cli, &q, &answer);
	if (!json_is_object(answer))
		return code;
	if (cli->json) {
		int printed = print_json(cli, answer);
		return code == CLI_DONE ? printed : code;
	}
	trial_show_request(cli, answer);
	json_array_foreach(json_object_get(answer, "answers"), i, one) show_answer(cli, one);
	show_line(cli, TABLE_PLAIN, json_text(answer, "body"));
	return code;
}

/* What stands in a page at BASE as HREF: the absolute URL, and the one it is known by. */
static int resolve(
	const char *base_text, const char *href, char **whole, char **canonical, struct err *err)
{
	CLEANUP(url_freep) struct url *base = NULL;
	CLEANUP(url_freep) struct url *url = NULL;
	int rc = *base_text ? url_parse(&base, base_text, URL_MAX_DEFAULT, err) : 0;
	if (rc == 0)
		rc = url_resolve(&url, base, href, strlen(href), URL_MAX_DEFAULT, err);
	if (rc == 0)
		rc = url_canonical(canonical, url->text, 0, URL_MAX_DEFAULT, err);
	if (rc < 0)
		return rc;
	*whole = strdup(url->text);
	return *whole ? 0 : err_set(err, -1, "out of memory");
}

static int try_url(struct cli *cli)
{
	CLEANUP(freep) char *whole = NULL;
	CLEANUP(freep) char *canonical = NULL;
	struct err err = { 0 };
	int rc = resolve(cli->names[1], cli->names[2], &whole, &canonical, &err);
	if (cli->json) {
		CLEANUP(json_freep)
		json_t *object =
			rc < 0 ? json_pack("{s:o}", "error", text_json(err.text, strlen(err.text)))
			       : json_pack("{s:s, s:s}", "url", whole, "canonical", canonical);
		return print_json(cli, object);
	}
	if (rc < 0)
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	show_line(cli, TABLE_PLAIN, whole);
	if (!str_eq(whole, canonical))
		show_line(cli, TABLE_PLAIN, canonical);
	return CLI_DONE;
}

int verb_try(struct cli *cli)
{
	static const struct {
		const char *name;
		int (*run)(struct cli *cli);
	} kinds[] = {
		{ "json", try_json },
		{ "records", try_records },
		{ "request", try_request },
		{ "url", try_url },
	};
	const char *names[ARRAY_SIZE(kinds)];
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		names[i] = kinds[i].name;
		if (str_eq(cli->names[0], kinds[i].name))
			return kinds[i].run(cli);
	}
	const char *near = str_nearest(cli->names[0], names, ARRAY_SIZE(kinds));
	return near ? cli_fail(cli, CLI_USAGE,
			      "nothing called '%s' can be tried, did you mean '%s'?", cli->names[0],
			      near)
		    : cli_fail(cli, CLI_USAGE,
			      "nothing called '%s' can be tried; there are json, records, request, "
			      "url",
			      cli->names[0]);
}
