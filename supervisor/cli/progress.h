/* SPDX-License-Identifier: MIT */
#pragma once
/* The progress of a run on standard error: a bar that is redrawn on a terminal, else a line each
 * ten seconds. */
#include <jansson.h>
#include <stdint.h>

struct buf;
struct cli;

struct progress {
	struct cli *cli;
	int64_t started_ms, drawn_ms; /* monotonic */
	int64_t rate_ms, rate_count;  /* where the rate is measured from */
	double rate;		      /* rows a second, smoothed */
	const char *remark;	      /* instead of the bar: "the scheduler is away"; NULL: none */
};

void progress_start(struct progress *p, struct cli *cli, int64_t now_ms);
/** Draws when it is time to. `run` is one of runs --json, or NULL when there is none yet. */
void progress_show(struct progress *p, const json_t *run, int64_t now_ms);
/** Removes the bar. */
void progress_end(struct progress *p);

/** The text of the bar, at most `width` columns. For tests. */
void progress_render(
	struct buf *out, const struct progress *p, const json_t *run, int64_t now_ms, int width);
