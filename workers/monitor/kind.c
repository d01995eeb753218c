/* SPDX-License-Identifier: MIT */
#include "config/kind.h"

const struct worker_kind worker_kind_monitor = {
	.name = "monitor",
	.summary = "runs probes, samples the system, serves health and metrics",
	.program = "drover-monitor",
	.drain_ms = 5000,
	.default_processes = 1,
	.max_processes = 1,
	.answers_questions = true,
};
