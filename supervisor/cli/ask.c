/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_TIMEOUT_MS = 20000, SUGGESTIONS_MAX = 1024 };

static int code_of(int rc)
{
	switch (rc) {
	case -ENAMETOOLONG: return CLI_USAGE;
	case -EACCES: return CLI_NOT_PERMITTED;
	case -ECONNREFUSED: return CLI_NOT_RUNNING;
	default: return CLI_FAILED;
	}
}

int ask_quietly(struct cli *cli, const struct client_question *q, json_t **answer, struct err *err)
{
	*answer = NULL;
	if (!cli->client) {
		int rc = client_connect(&cli->client, cli->socket, err);
		if (rc < 0)
			return code_of(rc);
	}
	int code = CLI_FAILED;
	int rc = client_ask(cli->client, q, answer, &code, err);
	if (rc < 0) {
		client_free(TAKE(cli->client));
		return CLI_FAILED;
	}
	const char *words = json_text_or_null(*answer, "error");
	if (code != CLI_DONE)
		err_set(err, -EIO, "%s", words ? words : "");
	return code;
}

/* The name that was meant, from a list of objects with names; NULL when none is near. */
static char *nearest_name(struct cli *cli, const char *verb, const char *list, const char *wrong)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	struct client_question q = { .verb = verb, .timeout_ms = LOOK_TIMEOUT_MS };
	struct err unheard;
	if (ask_quietly(cli, &q, &answer, &unheard) != CLI_DONE)
		return NULL;
	const char *names[SUGGESTIONS_MAX];
	size_t n = 0, i;
	json_t *item;
	json_array_foreach(json_object_get(answer, list), i, item)
	{
		if (n < SUGGESTIONS_MAX && *json_text(item, "name"))
			names[n++] = json_text(item, "name");
	}
	const char *near = str_nearest(wrong, names, n);
	return near ? strdup(near) : NULL;
}

static bool is_about_jobs(const char *verb)
{
	return str_eq(verb, "runs") || str_eq(verb, "run") || str_eq(verb, "next") ||
	       str_eq(verb, "pause") || str_eq(verb, "resume");
}

/* Adds "did you mean" when whoever answered has not. */
static void tell_no_such_name(struct cli *cli, const char *verb, const char *words)
{
	bool jobs = is_about_jobs(verb);
	for (size_t i = 0; i < cli->name_count && !strstr(words, "did you mean"); i++) {
		char *near = nearest_name(
			cli, jobs ? "jobs" : "status", jobs ? "jobs" : "processes", cli->names[i]);
		if (near && !str_eq(near, cli->names[i])) {
			cli_fail(cli, CLI_NO_SUCH_NAME, "%s, did you mean '%s'?", words, near);
			free(near);
			return;
		}
		free(near);
	}
	cli_fail(cli, CLI_NO_SUCH_NAME, "%s", words);
}

int ask_long(struct cli *cli, const struct client_question *q, json_t **answer)
{
	struct err err = { 0 };
	int code = ask_quietly(cli, q, answer, &err);
	if (code == CLI_NO_SUCH_NAME && err.text[0])
		tell_no_such_name(cli, q->verb, err.text);
	else if (code != CLI_DONE && err.text[0])
		cli_fail(cli, code, "%s", err.text);
	return code;
}

int ask(struct cli *cli, const char *verb, const char *args, json_t **answer)
{
	struct client_question q = { .verb = verb, .args = args, .timeout_ms = LOOK_TIMEOUT_MS };
	return ask_long(cli, &q, answer);
}

int print_json(struct cli *cli, const json_t *value)
{
	size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY |
		       (cli->out_is_terminal ? JSON_ENSURE_ASCII : 0);
	if (json_dumpf(value, cli->out, flags) < 0)
		return cli_fail(cli, CLI_FAILED, "cannot write to standard output");
	fputc('\n', cli->out);
	return CLI_DONE;
}

const char *json_text_or_null(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_text_or_null(object, key);
	return text ? text : "";
}

int64_t json_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	return json_is_real(value) ? (int64_t)json_real_value(value) : json_integer_value(value);
}

json_t *text_json(const char *bytes, size_t len)
{
	struct buf safe = BUF_INIT;
	text_escape(&safe, bytes, len);
	json_t *text = json_string(buf_str(&safe));
	buf_finish(&safe);
	return text;
}
