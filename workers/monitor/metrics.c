/* SPDX-License-Identifier: MIT */
#include "monitor/metrics.h"

#include "base/buf.h"
#include "base/str.h"
#include "monitor/health.h"
#include "monitor/monitor.h"
#include "stats/stats.h"
#include "worker/worker.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Slot names are names of ours, but a label is escaped all the same. */
static void label(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_add_char(out, '\\');
		if (*value == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_char(out, *value);
	}
}

static void sample_int(
	struct buf *out, const char *name, const char *key, const char *value, int64_t n)
{
	buf_add_str(out, name);
	if (key) {
		buf_addf(out, "{%s=\"", key);
		label(out, value);
		buf_add_str(out, "\"}");
	}
	buf_addf(out, " %lld\n", (long long)n);
}

/* key NULL: whether it runs. What is not known (null) is left out. */
static void add_process(const json_t *p, const char *family, const char *key, struct buf *out)
{
	const char *name = json_string_value(json_object_get(p, "name"));
	const char *state = json_string_value(json_object_get(p, "state"));
	const json_t *value = key ? json_object_get(p, key) : NULL;
	if (!name || !state || (key && !json_is_integer(value)))
		return;
	sample_int(out, family, "process", name,
		key ? json_integer_value(value) : str_eq(state, "running"));
}

static void add_processes(const struct monitor *m, struct buf *out)
{
	json_t *root = json_loadb(buf_str(&m->summary), m->summary.len, 0, NULL);
	const json_t *processes = json_object_get(root, "processes");
	static const struct {
		const char *name, *type, *key, *help;
	} families[] = {
		{ "drover_process_up", "gauge", NULL, "1 while the process is running" },
		{ "drover_process_restarts_total", "counter", "restarts",
			"starts after the first since the supervisor began" },
		{ "drover_process_probe_strikes", "gauge", "strikes", "failed probes in a row" },
		{ "drover_process_resident_memory_bytes", "gauge", "memory_bytes",
			"resident memory of the process and its children" },
		{ "drover_process_memory_limit_bytes", "gauge", "memory_limit_bytes",
			"memory at which the process is restarted" },
	};
	size_t i;
	json_t *p;
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		head(out, families[f].name, families[f].type, families[f].help);
		json_array_foreach(processes, i, p)
			add_process(p, families[f].name, families[f].key, out);
	}
	json_decref(root);
}

static void add_queue(const struct monitor *m, struct buf *out)
{
	const struct queue_metrics *q = &m->queue;
	head(out, "drover_store_up", "gauge", "1 while the database answers");
	sample_int(out, "drover_store_up", NULL, "", m->queue_known);
	if (!m->queue_known)
		return;
	head(out, "drover_queue_tasks", "gauge", "tasks in the queue by state");
	sample_int(out, "drover_queue_tasks", "state", "ready", q->ready);
	sample_int(out, "drover_queue_tasks", "state", "claimed", q->claimed);
	sample_int(out, "drover_queue_tasks", "state", "delayed", q->delayed);
	sample_int(out, "drover_queue_tasks", "state", "dead", q->dead);
	head(out, "drover_queue_oldest_ready_seconds", "gauge",
		"age of the task that has been ready longest");
	buf_addf(out, "drover_queue_oldest_ready_seconds %.3f\n",
		(double)q->oldest_ready_ms / 1000.0);
}

static void add_counters(const struct stats *stats, struct buf *out)
{
	char name[96];
	for (int c = 0; c < STAT_COUNTERS; c++) {
		snprintf(name, sizeof(name), "drover_worker_%s_total",
			stats_counter_name((enum stat_counter)c));
		head(out, name, "counter", stats_counter_help((enum stat_counter)c));
		for (uint32_t i = 0; i < STATS_SLOTS; i++) {
			const struct stats_slot *slot = stats_peek(stats, i);
			if (slot)
				sample_int(out, name, "worker", stats_slot_name(slot),
					(int64_t)stats_counter(slot, (enum stat_counter)c));
		}
	}
	for (int g = 0; g < STAT_GAUGES; g++) {
		snprintf(name, sizeof(name), "drover_worker_%s",
			stats_gauge_name((enum stat_gauge)g));
		head(out, name, "gauge", stats_gauge_help((enum stat_gauge)g));
		for (uint32_t i = 0; i < STATS_SLOTS; i++) {
			const struct stats_slot *slot = stats_peek(stats, i);
			if (slot)
				sample_int(out, name, "worker", stats_slot_name(slot),
					stats_gauge(slot, (enum stat_gauge)g));
		}
	}
}

static void add_summary(
	const struct stats_slot *slot, enum stat_histogram h, const char *name, struct buf *out)
{
	struct stats_summary s;
	stats_summarise(slot, h, &s);
	const struct {
		const char *quantile;
		double value;
	} quantiles[] = { { "0.5", s.p50_s }, { "0.95", s.p95_s }, { "0.99", s.p99_s } };
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		buf_addf(out, "%s{worker=\"", name);
		label(out, stats_slot_name(slot));
		buf_addf(out, "\",quantile=\"%s\"} %.6f\n", quantiles[i].quantile,
			quantiles[i].value);
	}
	buf_addf(out, "%s_sum{worker=\"", name);
	label(out, stats_slot_name(slot));
	buf_addf(out, "\"} %.6f\n%s_count{worker=\"", s.sum_s, name);
	label(out, stats_slot_name(slot));
	buf_addf(out, "\"} %llu\n", (unsigned long long)s.count);
}

static void add_histograms(const struct stats *stats, struct buf *out)
{
	char name[96];
	for (int h = 0; h < STAT_HISTOGRAMS; h++) {
		snprintf(name, sizeof(name), "drover_worker_%s",
			stats_histogram_name((enum stat_histogram)h));
		head(out, name, "summary", stats_histogram_help((enum stat_histogram)h));
		for (uint32_t i = 0; i < STATS_SLOTS; i++) {
			const struct stats_slot *slot = stats_peek(stats, i);
			if (slot)
				add_summary(slot, (enum stat_histogram)h, name, out);
		}
	}
}

void metrics_text(struct monitor *m, struct buf *out)
{
	head(out, "drover_build_info", "gauge", "version of drover");
	sample_int(out, "drover_build_info", "version", DROVER_VERSION, 1);
	head(out, "drover_health_level", "gauge", "0 normal, 1 warning, 2 critical");
	sample_int(out, "drover_health_level", NULL, "", (int64_t)health_level(m));
	add_processes(m, out);
	add_queue(m, out);
	add_counters(worker_stats_segment(m->worker), out);
	add_histograms(worker_stats_segment(m->worker), out);
}
