/* SPDX-License-Identifier: MIT */
#include "monitor/health.h"

#include "base/buf.h"
#include "base/json_out.h"
#include "base/str.h"
#include "monitor/monitor.h"
#include "monitor/server.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct process_counts {
	int64_t total, up, stopped, not_up, failed;
	char worst[96];
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
	if (str_eq(state, "failed") || str_eq(state, "stuck"))
		c->failed++;
	else
		c->not_up++;
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

enum health_level health_level(const struct monitor *m)
{
	struct process_counts c = count_processes(m);
	enum health_level level = grade_processes(&c);
	level = MAX(level, health_grade(m->machine.cpu_percent, 85, 95));
	level = MAX(level, health_grade(m->machine.memory_percent, 80, 90));
	level = MAX(level, health_grade(m->machine.disk_percent, 80, 90));
	return MAX(level, grade_store(m));
}

static void percent_check(
	struct json_out *j, const char *name, double value, double warning, double critical)
{
	json_open_object(j, name);
	json_str(j, "level", health_level_name(health_grade(value, warning, critical)));
	if (value >= 0)
		json_double(j, "value", value);
	else
		json_none(j, "value");
	json_int(j, "warning", (int64_t)warning);
	json_int(j, "critical", (int64_t)critical);
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
	percent_check(j, "cpu", m->machine.cpu_percent, 85, 95);
	percent_check(j, "memory", m->machine.memory_percent, 80, 90);
	percent_check(j, "disk", m->machine.disk_percent, 80, 90);
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
