/* SPDX-License-Identifier: MIT */
#include "status.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "base/kernel_file.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/kind.h"
#include "contain.h"
#include "instance.h"
#include "process.h"
#include "process_memory.h"
#include "stats/stats.h"
#include "supervisor.h"
#include "task_slot.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 500 };

static const char *state_name(enum supervisor_state state)
{
	static const char *const names[] = { "starting", "running", "stopping" };
	return names[state];
}

void status_supervisor(struct json_out *j, const struct supervisor *sv)
{
	json_open_object(j, "supervisor");
	json_int(j, "pid", getpid());
	json_str(j, "version", DROVER_VERSION);
	json_time(j, "started_at", sv->started_at_ms);
	json_str(j, "config_file", sv->config->file);
	json_str(j, "config_error", sv->config_error);
	json_str(j, "state", state_name(sv->state));
	json_int(j, "upgrades", (int64_t)sv->upgrades);
	json_str(j, "upgrade_error", sv->upgrade_error);
	json_str(j, "containment", contain_mode(sv->contain));
	json_str(j, "node", sv->node);
	json_str(j, "state_dir", sv->state_dir);
	json_str(j, "runtime_dir", sv->runtime_dir);
	json_str(j, "log_dir", sv->log_dir);
	json_close_object(j);
}

static bool read_proc(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return kernel_file_read(path, text, size);
}

static void look(struct process *p)
{
	char text[1024];
	unsigned long long user, system, pages;
	int64_t now_ms = clock_mono_ms();
	if (p->usage.looked_ms && now_ms - p->usage.looked_ms < LOOK_MS)
		return;
	if (read_proc(p->pid, "statm", text, sizeof(text)) && sscanf(text, "%*u %llu", &pages) == 1)
		p->usage.memory = (int64_t)pages * sysconf(_SC_PAGESIZE);
	const char *rest = read_proc(p->pid, "stat", text, sizeof(text)) ? strrchr(text, ')')
									 : NULL;
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			     &user, &system) != 2)
		return;
	uint64_t ticks = user + system;
	p->usage.percent = -1;
	if (p->usage.looked_ms && ticks >= p->usage.ticks)
		p->usage.percent = (double)(ticks - p->usage.ticks) * 100000.0 /
				   (double)sysconf(_SC_CLK_TCK) /
				   (double)(now_ms - p->usage.looked_ms);
	p->usage.looked_ms = now_ms;
	p->usage.ticks = ticks;
}

static void number_or_null(struct json_out *j, const char *key, int64_t value, bool known)
{
	if (known)
		json_int(j, key, value);
	else
		json_none(j, key);
}

static void write_exit(struct json_out *j, const struct process *p)
{
	const struct process_exit *e = &p->last_exit;
	if (!e->reason) {
		json_none(j, "last_exit");
		return;
	}
	json_open_object(j, "last_exit");
	json_str(j, "reason", e->reason);
	number_or_null(j, "code", e->code, e->code >= 0);
	number_or_null(j, "signal", e->signal, e->signal >= 0);
	json_time(j, "at", e->at_ms);
	json_close_object(j);
}

static void write_failed_start(struct json_out *j, const struct process *p)
{
	if (!p->failed_start.step[0]) {
		json_none(j, "failed_start");
		return;
	}
	json_open_object(j, "failed_start");
	json_str(j, "step", p->failed_start.step);
	json_int(j, "errno", p->failed_start.error);
	json_str(j, "error", strerror(p->failed_start.error));
	json_time(j, "at", p->failed_start.at_ms);
	json_close_object(j);
}

static void write_probe(struct json_out *j, const struct process *p)
{
	if (!p->last_probe.at_ms) {
		json_none(j, "last_probe");
		return;
	}
	json_open_object(j, "last_probe");
	json_time(j, "at", p->last_probe.at_ms);
	if (p->last_probe.verdict == PROBE_UNKNOWN)
		json_none(j, "ok");
	else
		json_bool(j, "ok", p->last_probe.verdict == PROBE_OK);
	json_str(j, "detail", p->last_probe.detail);
	number_or_null(j, "latency_ms", p->last_probe.latency_ms, p->last_probe.latency_ms >= 0);
	json_close_object(j);
}

/* Why it takes no tasks; NULL: it does, or has none to take. Of the machine's memory a worker tells
 * itself, before each claim. */
static const char *holder_of_tasks(const struct process *p)
{
	const struct supervisor *sv = p->owner;
	bool lives = p->kind && p->pid > 0 && !p->main_ended;
	const struct stats_slot *slot = lives ? stats_peek(sv->stats, p->stats_slot) : NULL;
	if (p->memory.drained)
		return "operator";
	if (p->memory.told_hold)
		return "memory";
	return slot && stats_gauge(slot, STAT_tasks_paused) ? "machine memory" : NULL;
}

void status_process(struct json_out *j, struct process *p)
{
	bool lives = p->pid > 0 && !p->main_ended;
	if (lives)
		look(p);
	json_open_object(j, NULL);
	json_str(j, "name", p->name);
	json_str(j, "kind", process_kind_name(p));
	json_str(j, "state", process_state_name(p->state));
	json_bool(j, "ready", p->ready);
	number_or_null(j, "pid", p->pid, lives);
	json_int(j, "incarnation", (int64_t)p->incarnation);
	json_time(j, "started_at", p->started_at_ms);
	json_int(j, "restarts", (int64_t)p->restarts);
	write_exit(j, p);
	json_int(j, "strikes", p->strikes);
	write_probe(j, p);
	json_str(j, "status_text", p->said[0] ? p->said : NULL);
	json_time(j, "restart_due_at", p->due_at_ms);
	json_str(j, "waits_for", p->blocked ? p->waits_for : NULL);
	json_str(j, "error", p->start_error[0] ? p->start_error : NULL);
	write_failed_start(j, p);
	number_or_null(j, "memory_bytes", MAX(p->usage.memory + p->usage.others, (int64_t)0),
		lives && p->usage.looked_ms);
	number_or_null(
		j, "memory_limit_bytes", process_memory_limit(p), process_memory_limit(p) > 0);
	json_str(j, "memory_level", lives ? memory_level_name(p->memory.level) : NULL);
	const char *held_by = holder_of_tasks(p);
	if (p->kind && p->kind->takes_tasks)
		json_bool(j, "takes_tasks", !held_by);
	else
		json_none(j, "takes_tasks");
	json_str(j, "tasks_held_by", held_by);
	if (lives && p->usage.looked_ms && p->usage.percent >= 0)
		json_double(j, "cpu_percent", p->usage.percent);
	else
		json_none(j, "cpu_percent");
	json_close_object(j);
}

void status_history(struct json_out *j, const struct process *p)
{
	const struct history_line *line;
	json_open_array(j, "history");
	for (size_t i = 0; (line = history_at(&p->history, i)); i++) {
		json_open_object(j, NULL);
		json_time(j, "at", line->at_ms);
		json_str(j, "event", line->event);
		json_str(j, "reason", line->reason);
		json_str(j, "detail", line->has_detail ? line->detail : NULL);
		json_close_object(j);
	}
	json_close_array(j);
}

struct status_counts status_count(const struct supervisor *sv)
{
	struct status_counts c = { 0 };
	LIST_FOR_EACH (node, &sv->processes) {
		const struct process *p = LIST_ENTRY(node, struct process, node);
		c.leaving += p->removed && process_is_down(p);
		if (task_slot_is_over(p))
			continue;
		c.up += p->state == PROCESS_RUNNING;
		c.starting += p->state == PROCESS_STARTING || p->state == PROCESS_STOPPING;
		c.down += p->state == PROCESS_STOPPED || p->state == PROCESS_WAITING;
		c.failing += p->state == PROCESS_FAILED || p->state == PROCESS_STUCK;
		c.waiting += p->turn != TURN_NONE || p->blocked;
	}
	return c;
}

void status_write_counts(
	const struct supervisor *sv, const struct status_counts *counts, char *out, size_t size)
{
	snprintf(out, size, "%s%d running, %d starting or stopping, %d down, %d failed",
		sv->state == SUPERVISOR_STARTING   ? "starting: "
		: sv->state == SUPERVISOR_STOPPING ? "stopping: "
						   : "",
		counts->up, counts->starting, counts->down, counts->failing);
}
