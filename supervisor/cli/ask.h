/* SPDX-License-Identifier: MIT */
#pragma once
/* Questions as the verbs ask them: connection made when needed, errors told with exit code and
 * suggestion. */
#include "base/compiler.h"
#include <jansson.h>
#include <stdint.h>

struct cli;
struct client_question;
struct err;

/* CLEANUP(json_freep) json_t *answer = NULL; */
static inline void json_freep(json_t **j)
{
	json_decref(*j);
}

/**
 * Asks one question and tells what went wrong, suggesting a near name when there was no such name.
 * @param answer  an object, or NULL when there was none; the caller decrefs
 * @return an exit code; the answer may be there with any of them
 */
int ask(struct cli *cli, const char *verb, const char *args, json_t **answer) MUST_CHECK;
/** The same with a tick while it waits, and without a time limit: for what takes as long as it
 * takes. */
int ask_long(struct cli *cli, const struct client_question *q, json_t **answer) MUST_CHECK;
/** Says nothing: words go to err. A lost connection is given up, the next question makes a new one.
 */
int ask_quietly(struct cli *cli, const struct client_question *q, json_t **answer,
	struct err *err) MUST_CHECK;

/** Prints JSON to cli->out, indented, escaped for a terminal when it is one. @return CLI_DONE or
 * CLI_FAILED */
int print_json(struct cli *cli, const json_t *value) MUST_CHECK;

/** Members of an object that may be NULL: the text, "" when absent or no string. */
const char *json_text(const json_t *object, const char *key);
/** NULL when absent, null or no string. */
const char *json_text_or_null(const json_t *object, const char *key);
/** 0 when absent or no number. */
int64_t json_number(const json_t *object, const char *key);
/** A JSON string of bytes that need not be UTF-8: what is none becomes U+FFFD, NUL and other
 * controls are written out. */
json_t *text_json(const char *bytes, size_t len);
