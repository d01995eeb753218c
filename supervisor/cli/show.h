/* SPDX-License-Identifier: MIT */
#pragma once
/* Tables and lines that more than one verb prints. */
#include "table.h"
#include <jansson.h>

struct buf;
struct cli;

/** One line (or more, when the text has them) to cli->out, made harmless. */
void show_line(struct cli *cli, enum table_color color, const char *text);
int show_jobs(struct cli *cli, const json_t *jobs) MUST_CHECK;
int show_runs(struct cli *cli, const json_t *runs) MUST_CHECK;
/** The id, which may be text or a number. @return dst */
const char *show_id(char *dst, size_t size, const json_t *object);
/** "exit code 1", "signal 9 (probe)": from {reason, code, signal, at}. */
void show_exit(struct buf *out, const json_t *last_exit);
/** "succeeded in 3.1s: 7,910 rows, 80 requests, 0 rejected", and the errors when there are any. */
void show_run_end(struct buf *out, const json_t *run);
