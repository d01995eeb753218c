/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The monitor: asks services' HTTP addresses for the supervisor, samples the machine, grades
 * health, serves the HTTP endpoint. It reports; the supervisor decides.
 */
#include "base/buf.h"
#include "monitor/prolonged.h"
#include "queue/queue_answers.h"
#include <stdbool.h>
#include <stdint.h>

struct checks;
struct http_client;
struct loop;
struct server;
struct store;
struct worker;
struct worker_ops;

extern const struct worker_ops monitor_ops;

/* What the machine looked like at the last sample; percentages 0..100, -1: not known. */
struct machine_sample {
	double cpu_percent, memory_percent, disk_percent;
};

struct monitor {
	struct worker *worker;
	struct loop *loop;
	struct http_client *client;
	struct checks *checks;
	struct server *server;
	struct store *store;
	struct loop_timer *sampler;
	struct buf summary; /* the supervisor's status, as it came */
	int64_t watched_ms; /* loop time when the supervisor was told last that somebody reads it */
	struct machine_sample machine;
	struct prolonged prolonged;
	uint64_t cpu_busy, cpu_total; /* jiffies at the last sample */
	struct queue_metrics queue;
	bool queue_known; /* the last look at the store succeeded */
	bool queue_asked;
};

/** Somebody reads what the summary says: the supervisor keeps it fresh for a while. */
void monitor_watched(struct monitor *m);
