/* SPDX-License-Identifier: MIT */
#pragma once
/* From argv to struct cli: verb, options (before or after it), names; suggestions for what was
 * mistyped. */
#include "base/compiler.h"

struct cli;
struct cli_verb;

enum args_outcome { ARGS_RUN, ARGS_HELP, ARGS_VERSION, ARGS_WRONG };

/** Fills verb, options and names; argv is borrowed for the life of `cli`. ARGS_WRONG: words have
 * been printed. */
enum args_outcome args_parse(struct cli *cli, int argc, char **argv) MUST_CHECK;
/** `drover help`, or of one verb, to cli->out. */
void args_help(struct cli *cli, const struct cli_verb *verb);
/** The verb of that name, NULL when there is none. */
const struct cli_verb *args_verb(const char *name);
