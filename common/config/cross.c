/* SPDX-License-Identifier: MIT */
/* Cross-checks: what values say about each other. They also resolve names into pointers. */
#include "config/check.h"
#include "config/context.h"

#include "base/err.h"
#include "base/str.h"
#include "config/kind.h"
#include "log/log.h"
#include "schedule/cron.h"
#include "schedule/zone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_faulty(struct config_context *ctx, const void *object)
{
	const struct config_object *found = context_object(ctx, object);
	return found && found->faulty;
}

/* An error at a member, or at the byte of its text. */
static void error_at(struct config_context *ctx, const void *object, const char *path,
	const char *fmt, ...) PRINTF_LIKE(4, 5);
static void error_at(
	struct config_context *ctx, const void *object, const char *path, const char *fmt, ...)
{
	struct config_mark mark = config_mark_of(ctx, object, path);
	va_list ap;
	va_start(ap, fmt);
	report_addv(&ctx->report, &mark, fmt, ap);
	va_end(ap);
}

/* ---- schedules ---- */

static void check_cron(struct config_context *ctx, struct config_job *job)
{
	struct err err = { 0 };
	size_t bad_at = 0;
	job->schedule.kind = SCHEDULE_CRON;
	job->schedule.dst.gap = job->due.dst.gap ? DST_GAP_SKIP : DST_GAP_AFTER;
	job->schedule.dst.overlap = job->due.dst.overlap ? DST_OVERLAP_BOTH : DST_OVERLAP_FIRST;
	if (cron_parse(&job->schedule.cron, job->due.cron, &bad_at, &err) < 0) {
		struct config_mark mark = config_mark_at(ctx, job, "schedule.cron", bad_at);
		config_error(ctx, &mark, "%s", check_shown_words(ctx, &job->due.cron, err.text));
	} else if (cron_never_due(&job->schedule.cron)) {
		error_at(ctx, job, "schedule.cron", "this cron expression is never due");
	}
	if (job->due.timezone && zone_cache_get(ctx->config->tree->zones, job->due.timezone,
					 &job->schedule.zone, &err) < 0)
		error_at(ctx, job, "schedule.timezone", "%s",
			check_shown_words(ctx, &job->due.timezone, err.text));
}

/* What a job that follows others cannot have: it has no due times of its own to miss. */
static void check_no_clock(struct config_context *ctx, const struct config_job *job)
{
	static const char *const fields[] = { "catch_up", "catch_up_window" };
	char path[40];
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(path, sizeof(path), "schedule.%s", fields[i]);
		if (context_node(ctx, job, path))
			error_at(ctx, job, path,
				"%s belongs to cron, every and at: the end of a job is never "
				"missed",
				fields[i]);
	}
}

void check_schedule(struct config_context *ctx, struct config_job *job)
{
	const struct config_due *due = &job->due;
	struct err err = { 0 };
	char text[32];
	int clocks = !!due->cron + !!due->every_ms + !!due->at, count = clocks + !!due->after.count;
	if (count == 0 && context_node(ctx, job, "schedule") && !is_faulty(ctx, job))
		error_at(ctx, job, "schedule", "a schedule needs one of cron, every, at, after");
	if (count > 1)
		error_at(ctx, job,
			due->after.count	     ? "schedule.after"
			: due->cron && due->every_ms ? "schedule.every"
						     : "schedule.at",
			"a schedule has only one of cron, every, at, after");
	if (due->after.count && !clocks)
		check_no_clock(ctx, job);
	else if (clocks && !due->after.count && context_node(ctx, job, "schedule.on"))
		error_at(ctx, job, "schedule.on", "on belongs to after");
	if (due->timezone && !due->cron && count)
		error_at(ctx, job, "schedule.timezone", "a timezone belongs to cron");
	if (!due->cron && count && context_node(ctx, job, "schedule.dst"))
		error_at(
			ctx, job, "schedule.dst", "dst belongs to cron: every and at know no zone");
	if (due->every_ms && due->jitter_ms >= due->every_ms)
		error_at(ctx, job, "schedule.jitter",
			"a jitter of %s is not below every: the next due time would overtake it",
			duration_text(text, due->jitter_ms));
	job->schedule.jitter_ms = due->jitter_ms;
	if (count != 1 || clocks != 1)
		return;
	if (due->cron) {
		check_cron(ctx, job);
	} else if (due->every_ms) {
		/* Counted from 1970 on: the same instants in every process and after every restart.
		 */
		job->schedule.kind = SCHEDULE_EVERY;
		job->schedule.every_ms = due->every_ms;
	} else {
		job->schedule.kind = SCHEDULE_AT;
		if (time_parse_rfc3339(due->at, &job->schedule.at_ms, NULL, &err) < 0)
			error_at(ctx, job, "schedule.at", "\"%.60s\": %s",
				check_shown(ctx, &due->at),
				check_shown_words(ctx, &due->at, err.text));
	}
}

/* ---- supervision ---- */

static void check_program(
	struct config_context *ctx, const void *object, const char *path, const char *program)
{
	if (!*program || (strchr(program, '/') && *program != '/'))
		error_at(ctx, object, path,
			"a command begins with an absolute path, or with a name that is found in "
			"PATH");
}

static void check_probe(struct config_context *ctx, const void *object,
	const struct config_probe *probe, bool inherits)
{
	char timeout[32], interval[32];
	bool timeout_here = context_node(ctx, object, "probe.timeout");
	bool interval_here = context_node(ctx, object, "probe.interval");
	if (probe->timeout_ms <= probe->interval_ms ||
		(inherits && !timeout_here && !interval_here))
		return;
	duration_text(timeout, probe->timeout_ms);
	duration_text(interval, probe->interval_ms);
	error_at(ctx, object, timeout_here || !interval_here ? "probe.timeout" : "probe.interval",
		"probe.timeout (%s) is longer than probe.interval (%s)", timeout, interval);
}

/* The second is where the error is; the first is named too. */
static void check_probe_kind(struct config_context *ctx, const struct config_service *service)
{
	static const char *const names[] = { "http", "tcp", "exec", "notify" };
	const struct config_probe *probe = &service->supervision.probe;
	const bool here[] = { probe->http, probe->tcp, probe->exec.count, probe->notify };
	const char *first = NULL;
	char path[32];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "probe.%s", names[i]);
		if (here[i] && first)
			error_at(ctx, service, path,
				"a probe is only one of http, tcp, exec, notify; here are %s and "
				"%s",
				first, names[i]);
		first = first ? first : here[i] ? names[i] : NULL;
	}
	/* Of `http: URL` the node is the URL's. */
	const struct node *status = context_node(ctx, service, "probe.http.status");
	if (!probe->http_status.count && status && status->kind == NODE_SEQUENCE &&
		!is_faulty(ctx, service))
		error_at(ctx, service, "probe.http.status", "a list of statuses cannot be empty");
	if (!probe->exec.count && context_node(ctx, service, "probe.exec") &&
		!is_faulty(ctx, service))
		error_at(ctx, service, "probe.exec", "the command of a probe cannot be empty");
	if (probe->exec.count)
		check_program(ctx, service, "probe.exec.0", probe->exec.items[0]);
}

static void check_supervision(struct config_context *ctx)
{
	const struct config *config = ctx->config;
	check_probe(ctx, &config->supervisor, &config->supervisor.supervision.probe, false);
	for (size_t i = 0; i < config->worker_count; i++)
		check_probe(ctx, &config->workers[i], &config->workers[i].supervision.probe, true);
	for (size_t i = 0; i < config->service_count; i++) {
		check_probe(
			ctx, &config->services[i], &config->services[i].supervision.probe, true);
		check_probe_kind(ctx, &config->services[i]);
	}
}

static void check_pool(struct config_context *ctx)
{
	const struct config_store *s = &ctx->config->store;
	if (s->pool.min > s->pool.max && !is_faulty(ctx, s))
		context_error_at(ctx, s, context_node(ctx, s, "pool.min") ? "pool.min" : "pool.max",
			"pool.min (%lld) is above pool.max (%lld)", (long long)s->pool.min,
			(long long)s->pool.max);
}

/* Only like can be compared: two shares or two sizes. */
static void check_memory(struct config_context *ctx)
{
	const struct config_supervisor *s = &ctx->config->supervisor;
	const struct config_memory *m = &s->memory;
	if (!m->warning || !m->critical || is_faulty(ctx, s) ||
		!!strchr(m->warning, '%') != !!strchr(m->critical, '%'))
		return;
	if (config_share(m->warning, 10000) > config_share(m->critical, 10000))
		error_at(ctx, s,
			context_node(ctx, s, "memory.critical") ? "memory.critical"
								: "memory.warning",
			"memory.critical (%s) is below memory.warning (%s)",
			check_shown(ctx, &m->critical), check_shown(ctx, &m->warning));
}

/* A service shares the namespace of slots and of log files with drover's own and with the commands
 * of jobs; and of the command line, where "all" is everybody. */
void check_slot_name(
	struct config_context *ctx, const void *object, const char *name, const char *what)
{
	bool taken = str_eq(name, "drover-log") || str_eq(name, "droverd") || str_eq(name, "all");
	for (int category = 0; category < LOG_CATEGORIES; category++)
		taken |= str_eq(name, log_category_file((enum log_category)category));
	for (size_t i = 0; ctx->kinds[i]; i++)
		taken |= ctx->kinds[i]->program && str_eq(name, ctx->kinds[i]->name);
	if (taken)
		error_at(ctx, object, "", "the name \"%s\" is drover's own: name the %s otherwise",
			name, what);
	const struct config_service *other = config_service(ctx->config, name);
	if (other && other != object)
		error_at(ctx, object, "",
			"a service is named \"%s\" too: slot and log of both would be one", name);
}

void check_command(
	struct config_context *ctx, const struct config_service *command, const char *what)
{
	const struct config_strings *words = &command->command;
	if (!words->count) {
		if (!is_faulty(ctx, command))
			error_at(ctx, command, "command", "the command of a %s cannot be empty",
				what);
		return;
	}
	if (words->items[0])
		check_program(ctx, command, "command.0", words->items[0]);
}

/* ---- providers ---- */

static void check_one_provider(struct config_context *ctx, const struct config_provider *p)
{
	check_private(ctx, p->base_url, p->is_private, p, "base_url", "private: true");
	check_auth(ctx, p);
	check_proxy(ctx, &p->proxy, p, "proxy");
	check_limits(ctx, p);
	if (p->retry.backoff.initial_ms > p->retry.backoff.max_ms)
		error_at(ctx, p,
			context_node(ctx, p, "retry.backoff.initial") ? "retry.backoff.initial"
								      : "retry.backoff.max",
			"retry.backoff.initial is longer than retry.backoff.max");
}

static void check_jobs(struct config_context *ctx)
{
	for (size_t i = 0; i < ctx->config->job_count; i++) {
		struct config_job *job = &ctx->config->jobs[i];
		check_schedule(ctx, job);
		if (!job->kind)
			continue;
		job->kind->check_job(ctx, ctx->config, job);
		if (job->kind->job_columns)
			check_job_table(ctx, job);
	}
}

void check_config(struct config_context *ctx)
{
	check_supervision(ctx);
	check_memory(ctx);
	check_pool(ctx);
	for (size_t i = 0; i < ctx->config->provider_count; i++)
		check_one_provider(ctx, &ctx->config->providers[i]);
	for (size_t i = 0; i < ctx->config->service_count; i++) {
		const struct config_service *service = &ctx->config->services[i];
		check_slot_name(ctx, service, service->name, "service");
		check_command(ctx, service, "service");
	}
	check_depends(ctx);
	check_jobs(ctx);
	check_after(ctx);
}
