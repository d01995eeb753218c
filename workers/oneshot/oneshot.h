/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * drover-oneshot: tries a job with the workers' own code, for one question of the command line. It
 * is started by `drover` with the caller's rights: the question in its arguments, the configuration
 * sealed in descriptor 3 (or none), what is to be read on standard input. It answers with one JSON
 * object on standard output; its exit code is the command line's (spec section 12).
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct config;
struct config_job;
struct err;
struct fetch_spec;
struct json_out;
struct limits;
struct limit_spec;

/* As supervisor/cli/cli.h has them. */
enum oneshot_exit {
	ONESHOT_DONE = 0,
	ONESHOT_FAILED = 1,
	ONESHOT_USAGE = 2,
	ONESHOT_NO_SUCH_NAME = 4,
	ONESHOT_NOT_PERMITTED = 5,
};

enum { ONESHOT_CONFIG_FD = 3 };

struct oneshot {
	struct config *config; /* NULL: none was given */
	const struct config_job *job;
	struct json_out *out; /* inside the answer's object */
};

/** Words for standard error. @return code */
int oneshot_fail(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* sample.c */
/** Runs the job in a database of its own, which is thrown away, until `records` came; writes rows,
 * counts and errors. */
int oneshot_sample(struct oneshot *o, int64_t records);
/** The same up to where the first request would be sent: writes what it is, and where rows would
 * go. */
int oneshot_dry(struct oneshot *o);
/** One request of the job's provider for `path`: writes the answer and the body's start. */
int oneshot_get(struct oneshot *o, const char *path);

/* explain.c */
/** Whether and how a run of the job would fetch the URL. */
int oneshot_explain(struct oneshot *o, const char *url);

/* extract.c */
/** What the path leads to in the JSON on standard input. */
int oneshot_json(struct oneshot *o, const char *path);
/** The records of an answer on standard input, as the job would store them. */
int oneshot_records(struct oneshot *o);

/* limits.c */
/**
 * Opens the limits that the workers of this configuration share; where there is no state_dir yet,
 * nobody shares any, and they are made in `spare`.
 * @return ONESHOT_DONE, or another exit code with words said
 */
int oneshot_state_dir(const struct config *config, const char *spare, const char **out) MUST_CHECK;
/** "limits": [{key, count, period_ms, used, left, reopens_in_ms}] */
void oneshot_limits(
	struct json_out *out, struct limits *limits, const struct limit_spec *specs, size_t count);
/** How long until all grant a place: 0 now. */
int64_t oneshot_opens_in_ms(struct limits *limits, const struct limit_spec *specs, size_t count);

/* show.c */
/** "request": {method, url, headers, ...}, without secrets. */
void oneshot_request(
	struct json_out *out, const struct config *config, const struct fetch_spec *spec);
/** "store": {table, mode, key, columns} */
void oneshot_table(struct json_out *out, const struct config_job *job);
/** A text of the configuration's making, without secrets. */
void oneshot_text(
	struct json_out *out, const struct config *config, const char *key, const char *text);
