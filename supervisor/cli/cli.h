/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What every verb of `drover` shares: what was typed, where to print, how to end. Data goes to
 * `out`, everything else to `err`. A verb returns one of the exit codes below and has said why when
 * it is not CLI_DONE.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Spec section 12. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_RUNNING = 3,
	CLI_NO_SUCH_NAME = 4,
	CLI_NOT_PERMITTED = 5,
	CLI_BAD_CONFIG = 78,
};

enum { NAMES_MAX = 256, CLI_OPTIONS_MAX = 8 };

struct cli;
struct client;

/* One option of a verb; the list ends with a NULL name. */
struct cli_option {
	const char *name;  /* "from": --from */
	char letter;	   /* 'n': -n; 0: none */
	const char *value; /* "TIME": it takes one; NULL: a flag */
	const char *doc;   /* one line */
};

struct cli_verb {
	const char *name, *arguments, *summary;
	size_t fewest, most;
	const struct cli_option *options;
	int (*run)(struct cli *cli);
};

/* All verbs, ends with a NULL name. */
extern const struct cli_verb cli_verbs[];

struct cli {
	FILE *out, *err;
	bool out_is_terminal, err_is_terminal;
	bool color;	/* of out: a terminal, and NO_COLOR is not set */
	bool err_color; /* of err, likewise */
	bool ascii;	/* the user's locale cannot show more */
	int width;	/* columns of out; 0: no terminal, cut nothing */

	const struct cli_verb *verb;
	const char *socket; /* --socket; NULL: look for it */
	bool json;
	const char *values[CLI_OPTIONS_MAX]; /* of verb->options, NULL: not given; "" for a flag */
	const char *names[NAMES_MAX];	     /* what is neither verb nor option */
	size_t name_count;
	struct client *client; /* the connection, once there is one */
};

/** Fills the terminal's part of a zeroed struct from stdout, stderr and the environment. */
void cli_init(struct cli *cli);
/** Closes the connection. */
void cli_finish(struct cli *cli);
/** The whole program after cli_init(). @return the exit code */
int cli_main(struct cli *cli, int argc, char **argv);

/** The value of --name of the present verb, "" for a flag that was given, NULL when it was not. */
const char *cli_value(const struct cli *cli, const char *name);
/** The value as an integer; `fallback` when not given. @return CLI_DONE, or CLI_USAGE with words */
int cli_number(
	struct cli *cli, const char *name, long min, long max, long fallback, long *out) MUST_CHECK;

/** "drover: words" to err. @return code */
int cli_fail(struct cli *cli, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** Progress and remarks: to err, without a prefix. */
void cli_note(struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
