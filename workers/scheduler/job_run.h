/* SPDX-License-Identifier: MIT */
#pragma once
/* What a job asks of the queue when it is run: its first tasks, its limits. */
#include "base/compiler.h"
#include "queue/queue.h"

struct config_job;

struct job_run {
	struct run_request request;
	char **texts; /* ours; `payloads` point at them */
	const char **payloads;
};

/**
 * A collect job begins with one task, or one for each value of its for_each; a crawl with one for
 * each start URL, by its identity (url_canonical), so that a link back to it is the same page.
 * trigger: "schedule" or "manual"; borrowed, as is the job.
 * @return 0, -ENOMEM
 */
int job_run_init(struct job_run *r, const struct config_job *job, const char *trigger) MUST_CHECK;
void job_run_finish(struct job_run *r);
