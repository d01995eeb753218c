/* SPDX-License-Identifier: MIT */
#include "config/kind.h"

const struct worker_kind worker_kind_scheduler = {
	.name = "scheduler",
	.summary = "decides when: turns due times into runs and tasks",
	.program = "drover-scheduler",
	.drain_ms = 5000,
	.default_processes = 1,
	.max_processes = 1,
	.default_concurrency = 8, /* commands of exec jobs */
	.needs_store = true,
	.answers_questions = true,
	.sees_all_jobs = true,
};
