/* SPDX-License-Identifier: MIT */
#pragma once
/* What trying a job shows: run --dry-run, run --limit, explain, try. */
#include "base/compiler.h"
#include <jansson.h>

struct cli;

/** run JOB --dry-run or --limit N. @return exit code */
int trial_run(struct cli *cli, const char *job) MUST_CHECK;
/** "rows" of an answer as a table, "errors" behind it. @return exit code */
int trial_show_rows(struct cli *cli, const json_t *answer) MUST_CHECK;
/** "request" and "limits" of an answer, line by line. */
void trial_show_request(struct cli *cli, const json_t *answer);
