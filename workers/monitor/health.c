/* SPDX-License-Identifier: MIT */
#include "monitor/health.h"

#include "base/buf.h"
#include "base/json_out.h"
#include "base/str.h"
#include "monitor/monitor.h"
#include "monitor/server.h"
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct process_counts {
	int64_t total, up, stopped, not_up, failed;
	char worst[96], worst_failed[96];
};

/* Parts of the machine that are graded in percent (spec section 11). */
static const struct percent {
	const char *name;
	int warning, critical;
	size_t at;
} percents[] = {
	{ "cpu", 85, 95, offsetof(struct machine_sample, cpu_percent) },
	{ "memory", 80, 90, offsetof(struct machine_sample, memory_percent) },
	{ "disk", 80, 90, offsetof(struct machine_sample, disk_percent) },
};

const char *health_level_name(enum health_level level)
{
	static const char *const names[] = { "normal", "warning", "critical" };
	return names[level];
}

enum health_level health_grade(double value, double warning, double critical)
{
	if (value > critical)
		return HEALTH_CRITICAL;
	return value >= warning ? HEALTH_WARNING : HEALTH_NORMAL;
}

static void count_process(struct process_counts *c, const json_t *process)
{
	const char *state = json_string_value(json_object_get(process, "state"));
	const char *name = json_string_value(json_object_get(process, "name"));
	if (!state || !name)
		return;
	c->total++;
	if (str_eq(state, "running")) {
		c->up++;
		return;
	}
	if (str_eq(state, "stopped")) {
		c->stopped++; /* the operator wants it so */
		return;
	}
	if (str_eq(state, "failed") || str_eq(state, "stuck")) {
		c->failed++;
		snprintf(c->worst_failed, sizeof(c->worst_failed), "%s is %s", name, state);
	} else {
		c->not_up++;
	}
	snprintf(c->worst, sizeof(c->worst), "%s is %s", name, state);
}

static struct process_counts count_processes(const struct monitor *m)
{
	struct process_counts c = { 0 };
	json_t *root = json_loadb(buf_str(&m->summary), m->summary.len, 0, NULL);
	size_t i;
	json_t *process;
	json_array_foreach(json_object_get(root, "processes"), i, process)
		count_process(&c, process);
	json_decref(root);
	return c;
}

static enum health_level grade_processes(const struct process_counts *c)
{
	return c->failed ? HEALTH_CRITICAL : c->not_up ? HEALTH_WARNING : HEALTH_NORMAL;
}

static enum health_level grade_store(const struct monitor *m)
{
	return m->queue_known ? HEALTH_NORMAL : HEALTH_WARNING;
}

static double percent_value(const struct monitor *m, const struct percent *p)
{
	return *(const double *)(const void *)((const char *)&m->machine + p->at);
}

static enum health_level grade_percent(const struct monitor *m, const struct percent *p)
{
	return health_grade(percent_value(m, p), p->warning, p->critical);
}

enum health_level health_level(const struct monitor *m)
{
	struct process_counts c = count_processes(m);
	enum health_level level = MAX(grade_processes(&c), grade_store(m));
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		level = MAX(level, grade_percent(m, &percents[i]));
	return level;
}

static void add_trouble(
	struct health_trouble *t, const char *metric, double value, const char *words)
{
	size_t len = strlen(t->detail);
	if (!t->metric) {
		t->metric = metric;
		t->value = value;
	}
	snprintf(t->detail + len, sizeof(t->detail) - len, "%s%s", len ? ", " : "", words);
}

bool health_trouble(const struct monitor *m, struct health_trouble *out)
{
	struct process_counts c = count_processes(m);
	struct health_trouble found = { 0 };
	if (grade_processes(&c) == HEALTH_CRITICAL)
		add_trouble(&found, "processes", (double)c.failed, c.worst_failed);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		char words[64];
		if (grade_percent(m, &percents[i]) != HEALTH_CRITICAL)
			continue;
		snprintf(words, sizeof(words), "%s is at %.1f%%", percents[i].name,
			percent_value(m, &percents[i]));
		add_trouble(&found, percents[i].name, percent_value(m, &percents[i]), words);
	}
	if (found.metric)
		*out = found;
	return found.metric != NULL;
}

static void percent_check(const struct monitor *m, struct json_out *j, const struct percent *p)
{
	double value = percent_value(m, p);
	json_open_object(j, p->name);
	json_str(j, "level", health_level_name(grade_percent(m, p)));
	if (value >= 0)
		json_double(j, "value", value);
	else
		json_none(j, "value");
	json_int(j, "warning", p->warning);
	json_int(j, "critical", p->critical);
	json_close_object(j);
}

static void add_checks(const struct monitor *m, struct json_out *j)
{
	struct process_counts c = count_processes(m);
	json_open_object(j, "checks");
	json_open_object(j, "processes");
	json_str(j, "level", health_level_name(grade_processes(&c)));
	json_int(j, "total", c.total);
	json_int(j, "running", c.up);
	json_int(j, "stopped", c.stopped);
	json_str(j, "detail", c.worst[0] ? c.worst : NULL);
	json_close_object(j);
	json_open_object(j, "store");
	json_str(j, "level", health_level_name(grade_store(m)));
	json_str(j, "detail", m->queue_known ? NULL : "the database does not answer");
	json_close_object(j);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		percent_check(m, j, &percents[i]);
	json_close_object(j);
}

void health_json(const struct monitor *m, struct buf *out)
{
	struct json_out j;
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	json_open_object(&j, "health");
	json_str(&j, "level", health_level_name(health_level(m)));
	json_str(&j, "address", server_address(m->server));
	add_checks(m, &j);
	json_close_object(&j);
	json_close_object(&j);
}

void health_short(const struct monitor *m, struct buf *out)
{
	static const char *const words[] = { "pass", "warn", "fail" };
	enum health_level level = health_level(m);
	struct json_out j;
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "status", words[level]);
	json_str(&j, "level", health_level_name(level));
	json_str(&j, "version", DROVER_VERSION);
	json_close_object(&j);
	buf_add_char(out, '\n');
}

bool health_ready(const struct monitor *m, struct buf *why)
{
	struct process_counts c = count_processes(m);
	if (!m->queue_known)
		buf_add_str(why, "the database does not answer\n");
	else if (c.total == 0)
		buf_add_str(why, "nothing heard from the supervisor yet\n");
	else if (c.failed || c.not_up)
		buf_addf(why, "%s\n", c.worst);
	return why->len == 0;
}
