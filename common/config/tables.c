/* SPDX-License-Identifier: MIT */
#include "config/tables.h"

#include "base/arena.h"
#include "config/check.h"
#include "config/config.h"
#include "config/kind.h"

#include <inttypes.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

/* NULL defaults: what is not written is taken from supervisor's. */
#define PROBE_ROWS(interval, period, strikes, start)                                        \
	{ "interval", CONFIG_DURATION_MS, offsetof(struct config_probe, interval_ms),       \
		.def = (interval), .min = 50, .max = DAY_MS,                                \
		.doc = "time from one probe to the next" },                                 \
		{ "timeout", CONFIG_DURATION_MS, offsetof(struct config_probe, timeout_ms), \
			.def = (period), .min = 50, .max = 3600000,                         \
			.doc = "an answer that comes later is a failure" },                 \
		{ "failures", CONFIG_INT, offsetof(struct config_probe, failures),          \
			.def = (strikes), .min = 1, .max = 100,                             \
			.doc = "failed probes in a row that bring a restart" },             \
	{                                                                                   \
		"start_period", CONFIG_DURATION_MS,                                         \
			offsetof(struct config_probe, start_period_ms),                     \
			.def = (start), .min = 0, .max = DAY_MS,                            \
			.doc = "time after a start in which failures do not count"          \
	}

#define RESTART_ROWS(rule, interval, spread)                                                     \
	{ "policy", CONFIG_ENUM, offsetof(struct config_restart, policy), .def = (rule),         \
		.names = policies, .doc = "when a process that ended is started again" },        \
		{ "min_interval", CONFIG_DURATION_MS,                                            \
			offsetof(struct config_restart, min_interval_ms), .def = (interval),     \
			.min = 0, .max = 30 * DAY_MS,                                            \
			.doc = "least time between two automatic starts; an earlier one is "     \
			       "held" },                                                         \
		{ "jitter", CONFIG_DURATION_MS, offsetof(struct config_restart, jitter_ms),      \
			.def = (spread), .min = 0, .max = 3600000,                               \
			.doc = "held restarts are spread over this time" },                      \
	{                                                                                        \
		"when_held", CONFIG_ENUM, offsetof(struct config_restart, when_held),            \
			.names = held_names,                                                     \
			.doc = "what becomes of a process whose restart is held: workers stop, " \
			       "services keep running"                                           \
	}

#define STOP_ROWS(name, period)                                                          \
	{ "signal", CONFIG_SIGNAL, offsetof(struct config_stop, signal), .def = (name),  \
		.doc = "the signal that asks a process to end" },                        \
	{                                                                                \
		"timeout", CONFIG_DURATION_MS, offsetof(struct config_stop, timeout_ms), \
			.def = (period), .min = 50, .max = DAY_MS,                       \
			.doc = "then it is killed, with all its descendants"             \
	}

static const char *const policies[] = { "always", "on-failure", "never", NULL };
static const char *const held_names[] = { "~", "keep", "stop", NULL };
static const char *const compressions[] = { "none", "zstd", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };

static const struct config_field probe_defaults[] = { PROBE_ROWS("1m", "10s", "3", "30s"), { 0 } };
static const struct config_field restart_defaults[] = { RESTART_ROWS("always", "5m", "1s"), { 0 } };
static const struct config_field stop_defaults[] = { STOP_ROWS("TERM", "30s"), { 0 } };

static const struct config_field probe_fields[] = { PROBE_ROWS(NULL, NULL, NULL, NULL), { 0 } };
static const struct config_field restart_fields[] = { RESTART_ROWS(NULL, NULL, NULL), { 0 } };
static const struct config_field stop_fields[] = { STOP_ROWS(NULL, NULL), { 0 } };
#define AT(member) offsetof(struct config_probe, member)
static const struct config_field http_probe_fields[] = {
	{ "url", CONFIG_STRING, AT(http), .required = true, .check = check_http_url,
		.doc = "asked with GET; redirects are not followed, certificates are verified" },
	/* It goes to monitor in one message. */
	{ "status", CONFIG_STRING_LIST, AT(http_status), .max = 100, .single = true,
		.check = check_status,
		.doc = "statuses that are healthy: 200, 2xx, or a list; 2xx otherwise" },
	{ "body", CONFIG_STRING, AT(http_body), .check = check_body,
		.doc = "text that a healthy answer holds" },
	{ 0 },
};
/* The members of `http` lie in the probe's own struct, hence its offset. */
static const struct config_field service_probe_fields[] = {
	{ "http", CONFIG_STRUCT, 0, .fields = http_probe_fields, .shorthand = "url",
		.doc = "a URL, or what to ask and what to expect; asked by monitor" },
	{ "tcp", CONFIG_STRING, AT(tcp), .check = check_address,
		.doc = "HOST:PORT that accepts connections; asked by monitor" },
	{ "exec", CONFIG_STRING_LIST, AT(exec),
		.doc = "a command and its arguments, run as the service itself is; healthy when it "
		       "exits with 0" },
	{ "notify", CONFIG_BOOL, AT(notify), .apply = APPLY_RESTART,
		.doc = "the service itself tells: READY=1 and WATCHDOG=1 to $NOTIFY_SOCKET" },
	PROBE_ROWS(NULL, NULL, NULL, NULL),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_memory, member)
static const struct config_field memory_fields[] = {
	{ "warning", CONFIG_STRING, AT(warning), .def = "80%", .check = check_share,
		.doc = "then workers are told to give memory back; % of a worker's limit and of "
		       "the machine, or a size of a worker" },
	{ "critical", CONFIG_STRING, AT(critical), .def = "90%", .check = check_share,
		.doc = "then they take no tasks either" },
	{ "check", CONFIG_DURATION_MS, AT(check_ms), .def = "5m", .min = 50, .max = DAY_MS,
		.doc = "time from one look to the next" },
	{ "trim", CONFIG_DURATION_MS, AT(trim_ms), .def = "1h", .min = 50, .max = 30 * DAY_MS,
		.doc = "workers give memory back this often in any case" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_supervisor, member)
const struct config_field supervisor_fields[] = {
	{ "state_dir", CONFIG_STRING, AT(state_dir), .check = check_absolute_path,
		.apply = APPLY_SUPERVISOR, .doc = "database and shared limits" },
	{ "runtime_dir", CONFIG_STRING, AT(runtime_dir), .check = check_runtime_dir,
		.apply = APPLY_SUPERVISOR,
		.doc = "control socket, pipes, slot records: what dies with the boot" },
	{ "probe", CONFIG_STRUCT, AT(supervision.probe), .fields = probe_defaults,
		.doc = "health of processes, unless they say otherwise" },
	{ "restart", CONFIG_STRUCT, AT(supervision.restart), .fields = restart_defaults,
		.doc = "restarts of processes, unless they say otherwise" },
	{ "stop", CONFIG_STRUCT, AT(supervision.stop), .fields = stop_defaults,
		.doc = "how processes are stopped, unless they say otherwise" },
	{ "memory", CONFIG_STRUCT, AT(memory), .fields = memory_fields,
		.doc = "what is done before a process reaches its memory_limit" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_logs, member)
const struct config_field logs_fields[] = {
	{ "dir", CONFIG_STRING, AT(dir), .check = check_absolute_path, .apply = APPLY_SUPERVISOR,
		.doc = "where log files are" },
	{ "max_size", CONFIG_SIZE, AT(max_size), .def = "10MB", .min = 4096,
		.max = INT64_C(1) << 40, .doc = "a file of this size is rotated" },
	{ "backups", CONFIG_INT, AT(backups), .def = "5", .min = 0, .max = 1000,
		.doc = "rotated files that are kept" },
	{ "max_age", CONFIG_DURATION_MS, AT(max_age_ms), .def = "30d", .min = 0,
		.max = 36500 * DAY_MS,
		.doc = "rotated files that end before that time ago are deleted; 0s: none is" },
	{ "max_line", CONFIG_SIZE, AT(max_line), .def = "1MiB", .min = 4096, .max = 1 << 30,
		.doc = "a line that is longer is cut there with a mark" },
	{ "compress", CONFIG_ENUM, AT(compress), .def = "none", .names = compressions,
		.doc = "how rotated files are compressed: none, zstd" },
	{ "level", CONFIG_ENUM, AT(level), .def = "info", .names = levels,
		.doc = "least level of drover's own records" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_pool, member)
static const struct config_field pool_fields[] = {
	{ "min", CONFIG_INT, AT(min), .def = "1", .min = 0, .max = 64, .apply = APPLY_RESTART,
		.doc = "connections that a process keeps open" },
	{ "max", CONFIG_INT, AT(max), .def = "4", .min = 1, .max = 64, .apply = APPLY_RESTART,
		.doc = "connections that it has at most" },
	{ "acquire_timeout", CONFIG_DURATION_MS, AT(acquire_timeout_ms), .def = "30s", .min = 100,
		.max = DAY_MS, .apply = APPLY_RESTART,
		.doc = "longest wait for one; what waited is tried again later" },
	{ "connect_timeout", CONFIG_DURATION_MS, AT(connect_timeout_ms), .def = "10s", .min = 100,
		.max = DAY_MS, .apply = APPLY_RESTART,
		.doc = "time for a connection to come about, with the look-up of its host" },
	{ "statement_timeout", CONFIG_DURATION_MS, AT(statement_timeout_ms), .def = "60s",
		.min = 100, .max = DAY_MS, .apply = APPLY_RESTART,
		.doc = "the server ends a statement that takes longer" },
	{ "idle", CONFIG_DURATION_MS, AT(idle_ms), .def = "5m", .min = 100, .max = 30 * DAY_MS,
		.apply = APPLY_RESTART,
		.doc = "a connection more than min that was not used for so long is closed" },
	{ "recycle", CONFIG_DURATION_MS, AT(recycle_ms), .def = "30m", .min = 100,
		.max = 30 * DAY_MS, .apply = APPLY_RESTART,
		.doc = "a connection of this age, less up to a fifth, is replaced" },
	{ "pre_ping", CONFIG_BOOL, AT(pre_ping), .def = "true", .apply = APPLY_RESTART,
		.doc = "after 30s of rest (or half of idle) ask whether the server is there" },
	{ 0 },
};
#undef AT

const struct config_field store_fields[] = {
	{ "url", CONFIG_STRING, offsetof(struct config_store, url), .def = "sqlite:drover.db",
		.check = check_store_url, .apply = APPLY_RESTART,
		.doc = "sqlite:PATH, the path from state_dir on; or "
		       "postgresql://USER@HOST/DATABASE" },
	{ "pool", CONFIG_STRUCT, offsetof(struct config_store, pool), .fields = pool_fields,
		.apply = APPLY_RESTART,
		.doc = "connections of each process to a PostgreSQL server" },
	{ "history", CONFIG_DURATION_MS, offsetof(struct config_store, history_ms), .def = "30d",
		.min = DAY_MS, .max = 3650 * DAY_MS,
		.doc = "how long ended runs, their tasks, URLs and due times are kept; the last "
		       "run of "
		       "a job stays, and so do those with dead letters" },
	{ 0 },
};
const struct config_field http_fields[] = {
	{ "listen", CONFIG_STRING, offsetof(struct config_http, listen), .def = "127.0.0.1:8470",
		.check = check_listen, .apply = APPLY_RESTART,
		.doc = "loopback ADDRESS:PORT of /health and /metrics; port 0 takes a free one" },
	{ 0 },
};

#define OOM_ROW(how)                                                                            \
	{                                                                                       \
		"oom_score_adjust", CONFIG_INT, AT(oom_score_adjust),                           \
			.def = "0", .min = -1000, .max = 1000, .apply = (how),                  \
			.doc = "whom the kernel kills first when memory is short: 1000 first, " \
			       "-1000 never"                                                    \
	}
#define NICE_ROW(how)                                                                            \
	{                                                                                        \
		"nice", CONFIG_INT, AT(nice), .def = "0", .min = -20, .max = 19, .apply = (how), \
					      .doc = "scheduling priority, 19 is the lowest"     \
	}
#define MEMORY_LIMIT_ROW(standard)                                                                \
	{                                                                                         \
		"memory_limit", CONFIG_SIZE, AT(memory_limit),                                    \
			.def = (standard), .min = 1 << 20, .max = INT64_C(1) << 50,               \
			.doc = "resident memory of the process and its children; over it, it is " \
			       "restarted in order"                                               \
	}

#define AT(member) offsetof(struct config_rlimits, member)
#define RLIMIT_ROWS(how)                                                                           \
	{ "nofile", CONFIG_INT, AT(nofile), .min = 8, .max = 1 << 30, .apply = (how),              \
		.doc = "open descriptors" },                                                       \
		{ "nproc", CONFIG_INT, AT(nproc), .min = 1, .max = 1 << 22, .apply = (how),        \
			.doc = "processes and threads of its user" },                              \
		{ "core", CONFIG_SIZE, AT(core), .def = "0B", .min = 0, .max = INT64_C(1) << 50,   \
			.apply = (how), .doc = "size of a core dump" },                            \
	{                                                                                          \
		"memory", CONFIG_SIZE, AT(memory), .min = 1 << 20, .max = INT64_C(1) << 50,        \
						   .apply = (how),                                 \
						   .doc = "address space of each of its processes" \
	}
static const struct config_field rlimits_fields[] = { RLIMIT_ROWS(APPLY_RESTART), { 0 } };
static const struct config_field command_rlimits_fields[] = { RLIMIT_ROWS(APPLY_LIVE), { 0 } };
#undef AT

/* What a command is started with. */
#define COMMAND_ROWS(how, limits)                                                                  \
	{ "command", CONFIG_STRING_LIST, AT(command), .required = true, .apply = (how),            \
		.doc = "the program and its arguments; no shell" },                                \
		{ "directory", CONFIG_STRING, AT(directory), .check = check_absolute_path,         \
			.apply = (how), .doc = "working directory" },                              \
		{ "user", CONFIG_STRING, AT(user), .check = check_account, .apply = (how),         \
			.doc = "user the command runs as" },                                       \
		{ "group", CONFIG_STRING, AT(group), .check = check_account, .apply = (how),       \
			.doc = "group the command runs as; the user's own otherwise" },            \
		{ "groups", CONFIG_STRING_LIST, AT(groups), .check = check_account,                \
			.apply = (how), .doc = "supplementary groups; the user's own otherwise" }, \
		{ "log_group", CONFIG_STRING, AT(log_group), .check = check_account,               \
			.apply = (how),                                                            \
			.doc = "group that may open /dev/stdout too: for programs that change "    \
			       "user "                                                             \
			       "themselves" },                                                     \
		{ "umask", CONFIG_STRING, AT(umask), .def = "022", .check = check_umask,           \
			.apply = (how), .doc = "mode bits that new files do not get, octal" },     \
		{ "environment", CONFIG_STRING_MAP, AT(environment), .max = ENVIRONMENT_MAX,       \
			.check = check_environment, .apply = (how),                                \
			.doc = "variables besides PATH and HOME" },                                \
	{                                                                                          \
		"rlimits", CONFIG_STRUCT, AT(rlimits),                                             \
			.fields = (limits), .doc = "limits of the kernel, soft and hard"           \
	}

#define AT(member) offsetof(struct config_service, member)
const struct config_field service_fields[] = {
	COMMAND_ROWS(APPLY_RESTART, rlimits_fields),
	NICE_ROW(APPLY_RESTART),
	OOM_ROW(APPLY_RESTART),
	MEMORY_LIMIT_ROW(NULL),
	{ "processes", CONFIG_INT, AT(processes), .def = "1", .min = 1, .max = 500,
		.doc = "how many run: NAME, or NAME:1 to NAME:N" },
	{ "depends_on", CONFIG_STRING_LIST, AT(depends_on),
		.doc = "services that must be ready first; they are stopped after it" },
	{ "probe", CONFIG_STRUCT, AT(supervision.probe), .fields = service_probe_fields,
		.doc = "one of http, tcp, exec, notify; without it the process is watched for its "
		       "end only" },
	{ "restart", CONFIG_STRUCT, AT(supervision.restart), .fields = restart_fields,
		.doc = "as supervisor.restart" },
	{ "stop", CONFIG_STRUCT, AT(supervision.stop), .fields = stop_fields,
		.doc = "as supervisor.stop" },
	{ 0 },
};

/* Of a job: what is changed counts from its next run on. */
const struct config_field command_fields[] = {
	COMMAND_ROWS(APPLY_LIVE, command_rlimits_fields),
	NICE_ROW(APPLY_LIVE),
	OOM_ROW(APPLY_LIVE),
	{ "stop", CONFIG_STRUCT, AT(supervision.stop), .fields = stop_fields,
		.doc = "as supervisor.stop: at its timeout, and when it is cancelled" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_endpoint, member)
static const struct config_field endpoint_fields[] = {
	{ "match", CONFIG_STRING, AT(match), .required = true, .check = check_regex,
		.doc = "regular expression over a call's path, behind base_url and without query" },
	{ "rate", CONFIG_RATES, AT(rate), .min = 1, .max = 100000,
		.doc = "calls in a time, one or a list: 10/1m" },
	{ "concurrency", CONFIG_INT, AT(concurrency), .def = "0", .min = 0, .max = 1000,
		.doc = "calls at a time; 0: no bound of its own" },
	{ "min_delay", CONFIG_DURATION_MS, AT(min_delay_ms), .def = "0s", .min = 0, .max = 3600000,
		.doc = "least time from one call to the next" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_limits, member)
static const struct config_field limits_fields[] = {
	{ "rate", CONFIG_RATES, AT(rate), .min = 1, .max = 100000,
		.doc = "calls in a time, one or a list: 100/1m" },
	{ "concurrency", CONFIG_INT, AT(concurrency), .def = "0", .min = 0, .max = 1000,
		.doc = "calls at a time; 0: no bound of its own" },
	{ "min_delay", CONFIG_DURATION_MS, AT(min_delay_ms), .def = "0s", .min = 0, .max = 3600000,
		.doc = "least time from one call to the next" },
	{ "adaptive", CONFIG_BOOL, AT(adaptive), .def = "false",
		.doc = "as many at a time as the server can stand, up to concurrency (none: 20)" },
	{ "endpoints", CONFIG_STRUCT_LIST, AT(endpoints), .fields = endpoint_fields,
		.element_size = sizeof(struct config_endpoint),
		.doc = "further limits for calls to some paths; all that match are kept" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_timeout, member)
static const struct config_field timeout_fields[] = {
	{ "connect", CONFIG_DURATION_MS, AT(connect_ms), .def = "10s", .min = 50, .max = 3600000,
		.doc = "name, connection and TLS" },
	{ "idle", CONFIG_DURATION_MS, AT(idle_ms), .def = "20s", .min = 50, .max = 3600000,
		.doc = "no byte for this long ends the call" },
	{ "total", CONFIG_DURATION_MS, AT(total_ms), .def = "30s", .min = 50, .max = DAY_MS,
		.doc = "the whole call" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_backoff, member)
static const struct config_field backoff_fields[] = {
	{ "initial", CONFIG_DURATION_MS, AT(initial_ms), .def = "1s", .min = 50, .max = 3600000,
		.doc = "wait before the second try" },
	{ "factor", CONFIG_INT, AT(factor), .def = "2", .min = 1, .max = 10,
		.doc = "each further wait is longer by this" },
	{ "max", CONFIG_DURATION_MS, AT(max_ms), .def = "60s", .min = 50, .max = DAY_MS,
		.doc = "longest wait" },
	{ "jitter", CONFIG_BOOL, AT(jitter), .def = "true", .doc = "wait a random part of it" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_retry, member)
static const struct config_field retry_fields[] = {
	{ "attempts", CONFIG_INT, AT(attempts), .def = "3", .min = 1, .max = 100,
		.doc = "tries of one call, the first included" },
	{ "when", CONFIG_RETRY_WHEN, AT(when), .def = "[429, 5xx, timeout, connect]",
		.doc = "what is tried again" },
	{ "backoff", CONFIG_STRUCT, AT(backoff), .fields = backoff_fields,
		.doc = "waits between tries" },
	{ 0 },
};
#undef AT

static bool has_proxy(const void *provider)
{
	return ((const struct config_provider *)provider)->proxy.url;
}

#define AT(member) offsetof(struct config_provider, member)
const struct config_field provider_fields[] = {
	{ "base_url", CONFIG_STRING, AT(base_url), .required = true, .check = check_http_url,
		.doc = "absolute URL; requests' paths are put behind it" },
	{ "private", CONFIG_BOOL, AT(is_private), .def = "false",
		.doc = "true: may be a private or loopback address" },
	{ "headers", CONFIG_STRING_MAP, AT(headers), .check = check_header,
		.doc = "sent with each call" },
	{ "auth", CONFIG_STRUCT, AT(auth), .fields = auth_fields,
		.doc = "sent to scheme, host and port of base_url only, never shown" },
	{ "tls", CONFIG_STRUCT, AT(tls), .fields = tls_fields,
		.doc = "certificates are always verified" },
	{ "proxy", CONFIG_STRUCT, AT(proxy), .fields = proxy_fields, .shorthand = "url",
		.applies = has_proxy, .doc = "calls, redirects and tokens go through it" },
	{ "connections", CONFIG_STRUCT, AT(connections), .fields = connections_fields,
		.doc = "how many, and how long they are kept" },
	{ "limits", CONFIG_STRUCT, AT(limits), .fields = limits_fields,
		.doc = "over all processes together" },
	{ "timeout", CONFIG_STRUCT, AT(timeout), .fields = timeout_fields, .doc = "of each call" },
	{ "retry", CONFIG_STRUCT, AT(retry), .fields = retry_fields, .doc = "of each call" },
	{ 0 },
};
#undef AT

static bool has_cron(const void *due)
{
	return ((const struct config_due *)due)->cron;
}

static bool has_schedule(const void *job)
{
	return config_has_schedule(job);
}

static bool has_clock(const void *object)
{
	const struct config_due *due = object;
	return due->cron || due->every_ms || due->at;
}

static bool has_after(const void *due)
{
	return ((const struct config_due *)due)->after.count;
}

/* In the order of their enums. */
static const char *const on_names[] = { "success", "failure", "end", NULL };
static const char *const policy_names[] = { "allow", "skip", "queue", "replace", NULL };
static const char *const catch_up_names[] = { "none", "last", "all", NULL };
static const char *const gap_names[] = { "after", "skip", NULL };
static const char *const overlap_names[] = { "first", "both", NULL };
static const struct config_field dst_fields[] = {
	{ "gap", CONFIG_ENUM, offsetof(struct config_dst, gap), .def = "after", .names = gap_names,
		.doc = "a fixed time that the clock jumps over: when the gap ends, or not at all" },
	{ "overlap", CONFIG_ENUM, offsetof(struct config_dst, overlap), .def = "first",
		.names = overlap_names,
		.doc = "a fixed time that comes twice: the first time only, or both" },
	{ 0 },
};
#define AT(member) offsetof(struct config_due, member)
static const struct config_field schedule_fields[] = {
	{ "cron", CONFIG_STRING, AT(cron), .doc = "five or six fields, or @daily and kin" },
	{ "timezone", CONFIG_STRING, AT(timezone), .doc = "IANA name for cron; UTC otherwise" },
	{ "every", CONFIG_DURATION_MS, AT(every_ms), .min = 50, .max = 366 * DAY_MS,
		.doc = "first when the job is first seen, then each time this much later" },
	{ "at", CONFIG_STRING, AT(at), .doc = "once: 2026-12-01T00:00:00Z" },
	{ "after", CONFIG_STRING_LIST, AT(after), .max = AFTER_MAX, .single = true,
		.doc = "jobs; due each time all of them have ended since it was due last" },
	{ "on", CONFIG_ENUM, AT(on), .def = "success", .names = on_names, .applies = has_after,
		.doc = "which ends of those jobs count: success, failure, or any end" },
	{ "jitter", CONFIG_DURATION_MS, AT(jitter_ms), .def = "0s", .max = DAY_MS,
		.doc = "begin up to this much after the due time; the same for the same due time" },
	{ "overlap", CONFIG_ENUM, AT(overlap), .def = "skip", .names = policy_names,
		.doc = "when its run before is not finished: begin beside it, skip, wait for it, "
		       "or cancel it" },
	{ "catch_up", CONFIG_ENUM, AT(catch_up), .def = "last", .names = catch_up_names,
		.applies = has_clock,
		.doc = "which of the due times that passed while drover was down still run" },
	{ "catch_up_window", CONFIG_DURATION_MS, AT(catch_up_window_ms), .def = "1d",
		.max = 366 * DAY_MS, .applies = has_clock, .doc = "what is longer ago is missed" },
	{ "dst", CONFIG_STRUCT, AT(dst), .fields = dst_fields, .applies = has_cron,
		.doc = "what cron does when the zone's clock is set" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_job_retry, member)
static const struct config_field job_retry_fields[] = {
	{ "attempts", CONFIG_INT, AT(attempts), .def = "5", .min = 1, .max = 100,
		.doc = "tries of a task without progress before it is a dead letter" },
	{ "backoff", CONFIG_STRUCT, AT(backoff), .fields = backoff_fields,
		.doc = "waits between tries" },
	{ 0 },
};
#undef AT
static const char *const priority_names[] = { "high", "medium", "low", NULL };
static const char *const mode_names[] = { "upsert", "append", NULL };
static const char *const history_names[] = { "none", "month", NULL };
static const struct config_field index_fields[] = {
	{ "columns", CONFIG_STRING_LIST, offsetof(struct config_index, columns), .required = true,
		.single = true, .doc = "in the order of the index" },
	{ 0 },
};
#define AT(member) offsetof(struct config_table, member)
static const struct config_field table_fields[] = {
	{ "table", CONFIG_STRING, AT(table), .required = true, .check = check_table_name,
		.doc = "made when it is not there" },
	{ "key", CONFIG_STRING_LIST, AT(key),
		.doc = "columns that make a row unique, and may not be empty; with append only "
		       "the latter" },
	{ "mode", CONFIG_ENUM, AT(mode), .def = "upsert", .names = mode_names,
		.doc = "upsert: a row with the same key is replaced when it differs; append: each "
		       "record is one more row" },
	{ "indexes", CONFIG_STRUCT_LIST, AT(indexes), .fields = index_fields,
		.element_size = sizeof(struct config_index), .shorthand = "columns",
		.doc = "lists of columns; made when they are not there, never dropped" },
	{ "history", CONFIG_ENUM, AT(history), .def = "none", .names = history_names,
		.doc = "month: each version of a row is kept in TABLE_history, on PostgreSQL in "
		       "partitions by month" },
	{ "batch", CONFIG_INT, AT(batch), .def = "100", .min = 1, .max = 10000,
		.doc = "rows written in one transaction" },
	{ 0 },
};
#undef AT
#define AT(member) offsetof(struct config_job, member)
const struct config_field job_fields[] = {
	{ "kind", CONFIG_STRING, AT(kind_name), .required = true, .unsubstituted = true,
		.doc = "collect, crawl or exec" },
	{ "schedule", CONFIG_STRUCT, AT(due), .fields = schedule_fields, .applies = has_schedule,
		.doc = "cron, every, at or after; none: only by drover run" },
	{ "priority", CONFIG_ENUM, AT(priority), .def = "medium", .names = priority_names,
		.doc = "share of the workers: six, three or one of ten; no class starves" },
	{ "concurrency", CONFIG_INT, AT(concurrency), .def = "0", .min = 0, .max = 1000,
		.doc = "tasks at a time over all processes; 0: no bound of its own" },
	{ "timeout", CONFIG_DURATION_MS, AT(timeout_ms), .def = "30m", .min = 50,
		.max = 30 * DAY_MS, .doc = "of each task" },
	{ "retry", CONFIG_STRUCT, AT(retry), .fields = job_retry_fields, .doc = "of each task" },
	{ "store", CONFIG_STRUCT, AT(store), .fields = table_fields, .required = true,
		.doc = "where the rows go" },
	{ 0 },
};
#undef AT

const struct config_field *job_fields_of(struct arena *arena, const struct worker_kind *kind)
{
	struct config_field *rows = arena_alloc(arena, sizeof(job_fields)), *row = rows;
	struct config_field *attempts = arena_alloc(arena, sizeof(job_retry_fields));
	if (!rows || !attempts)
		return NULL;
	memcpy(attempts, job_retry_fields, sizeof(job_retry_fields));
	if (kind->default_attempts)
		attempts->def = arena_printf(arena, "%" PRId64, kind->default_attempts);
	for (const struct config_field *f = job_fields; f->name; f++) {
		if (!kind->job_columns && f->fields == table_fields)
			continue;
		*row = *f;
		if (f->fields == job_retry_fields)
			row->fields = attempts;
		row++;
	}
	*row = (struct config_field) { 0 };
	return attempts->def ? rows : NULL;
}

const struct config_section config_sections[] = {
	{ "supervisor", supervisor_fields, offsetof(struct config, supervisor) },
	{ "logs", logs_fields, offsetof(struct config, logs) },
	{ "store", store_fields, offsetof(struct config, store) },
	{ "http", http_fields, offsetof(struct config, http) },
	{ 0 },
};

size_t fields_count(const struct config_field *fields)
{
	size_t n = 0;
	while (fields[n].name)
		n++;
	return n;
}

#define AT(member) offsetof(struct config_worker, member)
const struct config_field *worker_fields(struct arena *arena, const struct worker_kind *kind)
{
	struct config_field *rows = arena_alloc(arena, 12 * sizeof(*rows)), *row = rows;
	const char *processes = arena_printf(arena, "%" PRId64, kind->default_processes);
	const char *concurrency = arena_printf(arena, "%" PRId64, kind->default_concurrency);
	const char *parsers = arena_printf(arena, "%" PRId64, kind->default_parsers);
	if (!rows || !processes || !concurrency || !parsers)
		return NULL;
	if (kind->max_processes > 1)
		*row++ = (struct config_field) { "processes", CONFIG_INT, AT(processes),
			.def = processes, .min = 1, .max = kind->max_processes,
			.doc = "how many run" };
	if (kind->default_concurrency)
		*row++ = (struct config_field) { "concurrency", CONFIG_INT, AT(concurrency),
			.def = concurrency, .min = 1, .max = 1000,
			.doc = "tasks at a time, of all its processes together" };
	if (kind->default_parsers)
		*row++ = (struct config_field) { "parsers", CONFIG_INT, AT(parsers), .def = parsers,
			.min = 1, .max = 64, .doc = "parser children kept ready by each process" };
	*row++ = (struct config_field) { "user", CONFIG_STRING, AT(user), .check = check_account,
		.apply = APPLY_RESTART, .doc = "user it runs as" };
	*row++ = (struct config_field)NICE_ROW(APPLY_RESTART);
	*row++ = (struct config_field)OOM_ROW(APPLY_RESTART);
	*row++ = (struct config_field)MEMORY_LIMIT_ROW("512MB");
	*row++ = (struct config_field) { "probe", CONFIG_STRUCT, AT(supervision.probe),
		.fields = probe_fields, .doc = "as supervisor.probe" };
	*row++ = (struct config_field) { "restart", CONFIG_STRUCT, AT(supervision.restart),
		.fields = restart_fields, .doc = "as supervisor.restart" };
	*row++ = (struct config_field) { "stop", CONFIG_STRUCT, AT(supervision.stop),
		.fields = stop_fields, .doc = "as supervisor.stop" };
	return rows;
}
#undef AT
