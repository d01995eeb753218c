/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The configuration as the programs see it: one immutable struct, built whole and checked whole.
 * YAML is read by droverd and the command line only; workers get the validated tree in a sealed
 * memfd (config_handover) and build the same struct from it.
 */
#include "base/compiler.h"
#include "config/field.h"
#include "schedule/due.h" /* struct schedule */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;
struct err;
struct worker_kind;

enum probe_kind { PROBE_NONE, PROBE_BEAT, PROBE_HTTP, PROBE_TCP, PROBE_EXEC, PROBE_NOTIFY };
enum { PROBE_BODY_MAX = 1000, ENVIRONMENT_MAX = 500, AFTER_MAX = 100 };
enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum log_compress { COMPRESS_NONE, COMPRESS_ZSTD };
enum when_held { HELD_DEFAULT, HELD_KEEP, HELD_STOP };

/* How a service is asked: at most one of http, tcp, exec, notify. */
struct config_probe {
	const char *http;		   /* the URL to ask; NULL: none */
	struct config_strings http_status; /* "200", "2xx"; empty: 2xx */
	const char *http_body;		   /* must be in the answer; NULL: anything will do */
	const char *tcp;		   /* "HOST:PORT" */
	struct config_strings exec;
	bool notify;
	int64_t interval_ms, timeout_ms, start_period_ms;
	int64_t failures;
};
/** How a service is asked, PROBE_NONE when only its end is watched. */
static inline enum probe_kind config_probe_kind(const struct config_probe *probe)
{
	return probe->notify	   ? PROBE_NOTIFY
	       : probe->exec.count ? PROBE_EXEC
	       : probe->tcp	   ? PROBE_TCP
	       : probe->http	   ? PROBE_HTTP
				   : PROBE_NONE;
}
struct config_restart {
	int policy; /* enum restart_policy */
	int64_t min_interval_ms, jitter_ms;
	int when_held; /* enum when_held, resolved: workers stop, services keep, unless written */
};
struct config_stop {
	int signal;
	int64_t timeout_ms;
};
/* What a supervised process needs, worker or service: supervisor.* are the defaults of the others.
 */
struct config_supervision {
	struct config_probe probe;
	struct config_restart restart;
	struct config_stop stop;
};

/* What is done about memory: at `warning` workers are told to trim, at `critical` they take no
 * tasks. */
struct config_memory {
	const char *warning, *critical; /* "80%" or a size: config_share() */
	int64_t check_ms, trim_ms;
};
struct config_supervisor {
	const char *state_dir, *runtime_dir; /* absolute, after options and defaults */
	struct config_supervision supervision;
	struct config_memory memory;
};
struct config_logs {
	const char *dir;
	int64_t max_size, backups, max_line;
	int64_t max_age_ms; /* 0: no bound */
	int compress;	    /* enum log_compress */
	int level;	    /* enum log_level */
};
/* Connections of each process to a PostgreSQL server. */
struct config_pool {
	int64_t min, max;
	int64_t acquire_timeout_ms, connect_timeout_ms, statement_timeout_ms;
	int64_t idle_ms, recycle_ms;
	bool pre_ping;
};
struct config_store {
	const char *url; /* "sqlite:PATH", PATH relative to state_dir; "postgresql://..." */
	struct config_pool pool;
	int64_t history_ms; /* how long ended runs, their tasks and due times are kept */
};
struct config_http {
	const char
		*listen; /* "127.0.0.1:8470"; port 0: any free one, told in the log and in status */
};

/* workers.KIND */
struct config_worker {
	const struct worker_kind *kind;
	int64_t processes, concurrency, parsers;
	const char *user;
	int64_t nice, oom_score_adjust;
	int64_t memory_limit; /* bytes of its whole tree */
	struct config_supervision supervision;
};

/* Soft and hard limits; 0: as droverd's own, but of core, which is then 0. */
struct config_rlimits {
	int64_t nofile, nproc;
	int64_t core, memory; /* bytes */
};

struct config_service {
	const char *name;
	struct config_strings command;
	const char *directory, *user, *group;
	struct config_strings groups; /* supplementary; none given: those of the user */
	const char *log_group;	      /* may open the log, beside the user; NULL: none */
	const char *umask;	      /* octal: config_umask() */
	struct config_pairs environment;
	struct config_rlimits rlimits;
	int64_t processes, nice, oom_score_adjust;
	int64_t memory_limit; /* bytes of its whole tree; 0: none */
	struct config_strings depends_on;
	const struct config_service **needs; /* what depends_on names */
	size_t need_count, rank; /* rank: above that of all it needs; 0 when it needs nothing */
	struct config_supervision supervision;
};

/* Limits that calls to some paths keep beside those of their provider. */
struct config_endpoint {
	const char *match; /* extended regular expression over the path behind base_url */
	struct config_rates rate;
	int64_t concurrency; /* 0: no bound of its own */
	int64_t min_delay_ms;
};
enum { CONFIG_ENDPOINTS_MAX = 6 };
struct config_limits {
	struct config_rates rate;
	int64_t concurrency; /* 0: no bound of its own */
	int64_t min_delay_ms;
	bool adaptive;		       /* below concurrency, as the server can stand */
	struct config_array endpoints; /* struct config_endpoint */
};
struct config_backoff {
	int64_t initial_ms, factor, max_ms;
	bool jitter;
};
struct config_retry {
	int64_t attempts;
	struct config_retry_when when;
	struct config_backoff backoff;
};
struct config_timeout {
	int64_t connect_ms, idle_ms, total_ms;
};
enum oauth2_grant { GRANT_CLIENT_CREDENTIALS, GRANT_REFRESH_TOKEN };
enum oauth2_client_auth { CLIENT_AUTH_BASIC, CLIENT_AUTH_BODY };
struct config_oauth2 {
	int grant;	       /* enum oauth2_grant */
	const char *token_url; /* NULL: no OAuth2 */
	const char *client_id, *client_secret, *scope, *refresh_token;
	int client_auth; /* enum oauth2_client_auth */
	struct config_pairs params;
};
/* How calls show who asks. What is NULL or empty is not sent. */
struct config_auth {
	struct config_pairs query, header;
	const char *bearer;
	struct {
		const char *user, *password;
	} basic;
	struct config_oauth2 oauth2;
};
/* How connections to a provider are verified, and by what we are known. PEM files. */
struct config_tls {
	const char *ca, *certificate, *certificate_key;
};
/* What stands between us and a server. Of http and https the proxy reads calls that are not TLS. */
struct config_proxy {
	const char *url; /* http://, https:// or socks5h://HOST:PORT; NULL: none */
	const char *user, *password;
	const char *ca;			/* PEM file of the CAs of an https:// proxy */
	struct config_strings no_proxy; /* domains and addresses that are asked directly */
};
struct config_connections {
	int64_t total;	  /* calls at a time in one process; 0: no bound */
	int64_t per_host; /* calls at a time to one host, of all providers and processes; 0: none */
	int64_t dns_ttl_ms, keepalive_ms, tcp_keepalive_ms;
	bool http2;
};
struct config_provider {
	const char *name;
	const char *base_url;
	bool is_private;
	struct config_pairs headers;
	struct config_auth auth;
	struct config_tls tls;
	struct config_proxy proxy;
	struct config_connections connections;
	struct config_limits limits;
	struct config_timeout timeout;
	struct config_retry retry;
};

/* A job's columns. Where the value comes from is the kind's: `path` for collect, `xpath` for crawl.
 */
enum column_type {
	COLUMN_TEXT,
	COLUMN_INTEGER,
	COLUMN_REAL,
	COLUMN_BOOLEAN,
	COLUMN_TIMESTAMP,
	COLUMN_JSON,
	COLUMN_BYTES
};
struct config_column {
	const char *name;
	const char *path;  /* dotted path in the record */
	const char *value; /* a text that may have {{NAME}} in it, instead of a path */
	const char *regex; /* POSIX extended: what of the text is meant; NULL: all */
	const char *xpath; /* XPath 1.0 over the page */
	int type;	   /* enum column_type */
};
enum store_mode { STORE_UPSERT, STORE_APPEND };
enum store_history { HISTORY_NONE, HISTORY_MONTH };
/* The history of TABLE lies in TABLE_history, with the time of each version. */
#define HISTORY_SUFFIX "_history"
#define HISTORY_TIME   "drover_at"
enum { TABLE_WITH_HISTORY_MAX = 63 - sizeof("_history_2026_11") + 1 };
struct config_index {
	struct config_strings columns;
};
struct config_table {
	const char *table;
	struct config_strings key;
	int mode;		     /* enum store_mode */
	int history;		     /* enum store_history */
	struct config_array indexes; /* struct config_index */
	int64_t batch;
};

/* A schedule as it is written: at most one of cron, every, at, after. */
struct config_due {
	const char *cron, *timezone, *at;
	struct config_strings after; /* names of jobs */
	int on;			     /* enum after_end */
	int overlap;		     /* enum overlap */
	int catch_up;		     /* enum catch_up */
	int64_t catch_up_window_ms;
	int64_t every_ms, jitter_ms;
	struct config_dst {
		int gap, overlap; /* as in struct dst_policy */
	} dst;
};

/* attempts: tries of a task without progress before it is a dead letter; backoff: between them. */
struct config_job_retry {
	int64_t attempts;
	struct config_backoff backoff;
};

struct config_job {
	const char *name;
	const char *kind_name;
	const struct worker_kind *
		kind; /* NULL only in a worker that does not know the kind; then spec is NULL too */
	struct config_due due;
	struct schedule schedule; /* made from due; kind SCHEDULE_NONE: by `drover run` and after
				     other jobs only */
	bool followed;		  /* other jobs run after it */
	int priority;	     /* enum task_priority of queue/schema.h: claims are shared 6:3:1 */
	int64_t concurrency; /* tasks at a time over all processes, 0: no bound of its own */
	int64_t timeout_ms;  /* of each task */
	struct config_job_retry retry;
	struct config_table store;
	/* the kind's own: struct collect_job, struct crawl_job; of exec struct config_service */
	void *spec;
};

/** Is due by a clock or after other jobs. */
static inline bool config_has_schedule(const struct config_job *job)
{
	const struct config_due *due = &job->due;
	return due->cron || due->every_ms || due->at || due->after.count;
}

struct config {
	struct arena *arena;
	const char *file; /* the main file; "" in a worker */
	struct config_supervisor supervisor;
	struct config_logs logs;
	struct config_store store;
	struct config_http http;
	struct config_worker
		*workers; /* one for each kind that has a program, in kinds.def order */
	size_t worker_count;
	struct config_provider *providers;
	size_t provider_count;
	struct config_job *jobs;
	size_t job_count;
	struct config_service *services;
	size_t service_count;
	struct config_tree *tree; /* private: which values are secret, time zones, places of XPath
				     expressions */
};

struct config_options {
	const char *file;			       /* main file */
	const char *state_dir, *runtime_dir, *log_dir; /* override the file; NULL: not given */
	const struct worker_kind *const *kinds;	       /* ends with NULL */
	const char *(*getenv)(const char *name);       /* NULL: the real one */
	bool color;				       /* of the error texts */
	bool refuse_empty; /* the main file: at a reload it is one that is being written */
};

/**
 * Reads the file and conf.d/ *.yaml beside it, substitutes, builds and checks. All errors of all
 * files are written to `report` in compiler style (FILE:LINE:COL: error: ..., the line, a caret, a
 * suggestion).
 * @return 0 and *out, which the caller frees; -EINVAL with at least one error in report; never a
 * half-built config
 */
int config_load(
	struct config **out, const struct config_options *options, struct buf *report) MUST_CHECK;
void config_free(struct config *config);
DEFINE_FREEP(struct config, config)

/** The resolved configuration as YAML, secrets as "***". */
int config_print(const struct config *config, struct buf *out) MUST_CHECK;

/** The field tables of these kinds (ends with NULL) as JSON Schema, draft 2020-12, for editors.
 * @return 0 or -ENOMEM */
int config_schema(const struct worker_kind *const *kinds, struct buf *out) MUST_CHECK;

/**
 * A sealed memfd with what one kind of worker may see: its jobs, the providers they name, shared
 * sections; the values of secrets only where the kind uses them. @return the descriptor, or
 * negative errno
 */
int config_handover(
	const struct config *config, const struct worker_kind *kind, struct err *err) MUST_CHECK;
/** Builds the struct from a hand-over; refuses one that is not sealed. The caller keeps and closes
 * fd. */
int config_from_handover(struct config **out, int fd, const struct worker_kind *const *kinds,
	struct err *err) MUST_CHECK;

/* XPath expressions, which only a parser child may judge: droverd and `check` ask one before they
 * accept. */
struct config_xpath {
	const char *text;
	struct config_mark mark;
	const char *line; /* the source line, for config_report() */
};
/** @return the i-th expression of the jobs, NULL beyond the last; always NULL in a worker */
const struct config_xpath *config_xpaths(const struct config *config, size_t i);
/** Appends one error about it to a report, in the style of config_load(). */
void config_report(
	struct buf *report, const struct config_xpath *xpath, const char *problem, bool color);

/** Bytes of "80%" of a whole or of "1GB", checked by the tables. */
int64_t config_share(const char *text, int64_t whole);
/** The mode bits of "022", checked by the tables. */
unsigned config_umask(const char *text);

struct zone_cache;
/** The time zones that its schedules name; they live as long as it. */
struct zone_cache *config_zones(const struct config *config);
const struct config_job *config_job(const struct config *config, const char *name);
const struct config_provider *config_provider(const struct config *config, const char *name);
const struct config_service *config_service(const struct config *config, const char *name);
const struct config_worker *config_worker(const struct config *config, const char *kind_name);

/* What differs between two configurations for one process or section: the strongest apply of the
 * changed fields. */
enum config_change { CHANGE_NONE, CHANGE_LIVE, CHANGE_RESTART, CHANGE_SUPERVISOR };
/** path: "services.NAME", "providers.NAME", "jobs.NAME", "workers.KIND", "supervisor", "logs",
 * "store", "http". An absent side counts as CHANGE_RESTART. */
enum config_change config_diff(
	const struct config *old_config, const struct config *new_config, const char *path);
/** What a service's process is started with (the fields that a reload restarts it for) as a number;
 * 0 when there is none of that name. The same for the same file over versions of drover. */
uint64_t config_fingerprint(const struct config *config, const char *service);
