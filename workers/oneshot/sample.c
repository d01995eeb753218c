/* SPDX-License-Identifier: MIT */
/*
 * A run as the scheduler would make it and as the worker works on it, in a database that is made
 * for it and thrown away. Only the limits are those of everybody. Nothing here knows how a request
 * is made or an answer read: that is the worker's own code.
 */
#include "oneshot/sample.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/collect.h"
#include "collect/kind.h"
#include "config/config.h"
#include "config/kind.h"
#include "crawl/crawl.h"
#include "crawl/kind.h"
#include "http/fetch.h"
#include "http/http.h"
#include "limit/limit.h"
#include "loop/loop.h"
#include "oneshot/oneshot.h"
#include "oneshot/rows.h"
#include "queue/queue.h"
#include "scheduler/job_run.h"
#include "store/job_table.h"
#include "store/store.h"
#include "worker/worker.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 20, WAIT_NOTE_MS = 3000, BODY_SHOWN = 2000 };

bool sample_crawls(const struct sample *s)
{
	return str_eq(s->o->job->kind->name, "crawl");
}

static void give_up(struct sample *s, const char *what, const char *why)
{
	s->code = oneshot_fail(ONESHOT_FAILED, "%s: %s", what, why);
	loop_stop(s->loop);
}

/* ---- the folder ---- */

static int make_folder(struct sample *s)
{
	const char *base = getenv("TMPDIR");
	snprintf(s->dir, sizeof(s->dir), "%s/drover-try-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(s->dir)) {
		int code = oneshot_fail(ONESHOT_FAILED, "make %s: %s", s->dir, strerror(errno));
		s->dir[0] = '\0';
		return code;
	}
	snprintf(s->url, sizeof(s->url), "sqlite:%s/try.db", s->dir);
	return ONESHOT_DONE;
}

static void drop_folder(struct sample *s)
{
	DIR *dir = s->dir[0] ? opendir(s->dir) : NULL;
	for (const struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	if (s->dir[0])
		rmdir(s->dir);
}

/* ---- the run ---- */

/* A collect task asks page after page until there are enough records: one at a time, then. A crawl
 * has as many pages as are wished. The job is otherwise what it is. */
static void prepare_config(struct sample *s)
{
	struct config *config = s->o->config;
	config->store.url = s->url;
	config->workers[0].processes = 1;
	if (sample_crawls(s)) {
		struct crawl_job *spec = s->o->job->spec;
		spec->follow.max_pages = MIN(spec->follow.max_pages, s->records);
	} else {
		config->workers[0].concurrency = 1;
	}
}

static struct fetcher *fetcher_of(struct sample *s)
{
	if (sample_crawls(s))
		return ((struct crawl *)worker_state(s->worker))->fetcher;
	return ((struct collector *)worker_state(s->worker))->fetcher;
}

static void start_worker(struct sample *s)
{
	struct err err = { 0 };
	struct config *config = TAKE(s->o->config);
	const struct worker_ops *ops = sample_crawls(s) ? &crawl_ops : &collect_ops;
	if (worker_alone(&s->worker, s->o->job->kind, ops, s->loop, s->state_dir, config, &err) <
		0) {
		s->o->job = NULL;
		give_up(s, "start", err.text);
		return;
	}
	if (!sample_crawls(s))
		((struct collector *)worker_state(s->worker))->sample = s->records;
	if (s->known)
		((struct collector *)worker_state(s->worker))->known = s->known;
	if (s->tap)
		fetcher_set_tap(fetcher_of(s), s->tap, s);
	loop_timer_start(s->look, LOOK_MS);
	loop_timer_start(s->patience, WAIT_NOTE_MS);
}

static void on_made(void *arg, const struct store_result *r)
{
	struct sample *s = arg;
	if (store_result_status(r) != STORE_OK)
		give_up(s, "make a run", store_result_error(r));
	else
		start_worker(s);
}

static void on_migrated(void *arg, enum queue_status status)
{
	struct sample *s = arg;
	struct job_run run = { 0 };
	struct store_tx *tx = NULL;
	if (status != QUEUE_OK) {
		give_up(s, "make a database", queue_error());
		return;
	}
	if (job_run_init(&run, s->o->job, "manual") == 0)
		tx = store_tx_new(s->store, 0);
	if (!tx) {
		job_run_finish(&run);
		give_up(s, "make a run", "out of memory");
		return;
	}
	s->tasks_of_job = run.request.payload_count;
	size_t texts = run.request.payload_count;
	/* The values that come first are as good as any; no task is tried twice. */
	run.request.payload_count = MIN(texts, (size_t)s->records);
	run.request.max_attempts = 1;
	if (s->payload) {
		run.request.payloads = &s->payload;
		run.request.payload_count = 1;
	}
	s->tasks = run.request.payload_count;
	queue_tx_run(tx, &run.request, clock_real_ms());
	store_submit(s->store, tx, on_made, s);
	run.request.payload_count = texts; /* all are to be freed */
	job_run_finish(&run);
}

static void on_seen(void *arg, const struct store_result *r)
{
	struct sample *s = arg;
	if (store_result_status(r) == STORE_OK && store_result_int(r, 0, 0, 0) == 0)
		loop_stop(s->loop);
	else
		loop_timer_start(s->look, LOOK_MS);
}

static void look(void *arg)
{
	struct sample *s = arg;
	struct store_tx *tx = store_tx_new(s->store, STORE_READ_ONLY);
	if (!tx) {
		loop_timer_start(s->look, LOOK_MS);
		return;
	}
	store_tx_sql(tx, "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL", NULL, 0);
	store_submit(s->store, tx, on_seen, s);
}

static void on_patience(void *arg UNUSED)
{
	fputs("drover: waiting for an answer, or for a limit (drover explain tells which)\n",
		stderr);
}

static void on_signal(void *arg, int signo)
{
	struct sample *s = arg;
	s->signal = signo;
	s->code = ONESHOT_FAILED;
	loop_stop(s->loop);
}

/* ---- what came of it ---- */

static void on_rows(void *arg, const struct store_result *r)
{
	struct sample *s = arg;
	struct json_out *out = s->o->out;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct store_table *table = arena ? job_table(arena, s->o->job) : NULL;
	loop_stop(s->loop);
	if (store_result_status(r) != STORE_OK || !table) {
		s->code = oneshot_fail(ONESHOT_FAILED, "read the rows: %s", store_result_error(r));
		return;
	}
	for (size_t i = 0; i < store_result_rows(r, 0); i++) {
		struct store_value values[CONFIG_COLUMNS_MAX];
		for (size_t c = 0; c < table->column_count && c < CONFIG_COLUMNS_MAX; c++)
			values[c] = *store_result_value(r, 0, i, c);
		rows_row(out, table, values);
	}
}

/* The database is ours, and SQLite. @return false: nothing was asked */
static bool ask_rows(struct sample *s)
{
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct store_table *table = arena ? job_table(arena, s->o->job) : NULL;
	struct store_tx *tx = table ? store_tx_new(s->store, STORE_READ_ONLY) : NULL;
	const struct store_value limit = STORE_VALUE_INT(s->records);
	if (!tx)
		return false;
	for (size_t i = 0; i < table->column_count; i++)
		buf_addf(&sql, "%s\"%s\"", i ? ", " : "SELECT ", table->columns[i].name);
	buf_addf(&sql, " FROM \"%s\" ORDER BY rowid LIMIT $1", table->name);
	store_tx_text(tx, buf_str(&sql), &limit, 1);
	store_submit(s->store, tx, on_rows, s);
	return true;
}

static void say_tasks_of_job(const struct sample *s, const char *key)
{
	if (sample_reads_values(s))
		json_none(s->o->out, key);
	else
		json_int(s->o->out, key, (int64_t)s->tasks_of_job);
}

static void on_run(void *arg, const struct store_result *r)
{
	struct sample *s = arg;
	struct json_out *out = s->o->out;
	const char *state = store_result_text(r, 0, 0, 0);
	const char *errors = store_result_text(r, 0, 0, 5);
	int64_t rows = store_result_int(r, 0, 0, 2), rejected = store_result_int(r, 0, 0, 3);
	if (store_result_status(r) != STORE_OK) {
		give_up(s, "read the run", store_result_error(r));
		return;
	}
	json_str(out, "job", s->o->job->name);
	json_str(out, "state", state);
	json_int(out, "tasks", store_result_int(r, 0, 0, 6));
	say_tasks_of_job(s, "tasks_of_job");
	json_int(out, "requests", store_result_int(r, 0, 0, 1));
	json_int(out, "records", rows + rejected);
	json_int(out, "rejected", rejected);
	json_int(out, "bytes", store_result_int(r, 0, 0, 4));
	errors = errors ? errors : "[]";
	json_raw(out, "errors", errors, strlen(errors));
	if (!str_eq(state, "succeeded"))
		s->code = ONESHOT_FAILED;
	json_open_array(out, "rows");
	if (rows == 0 || !ask_rows(s))
		loop_stop(s->loop);
}

void sample_gather(struct sample *s)
{
	struct store_tx *tx = store_tx_new(s->store, STORE_READ_ONLY);
	if (!tx) {
		s->code = oneshot_fail(ONESHOT_FAILED, "out of memory");
		return;
	}
	store_tx_sql(tx,
		"SELECT state, requests, rows, rejected, bytes, errors, tasks_total FROM "
		"drover_run "
		"WHERE id = (SELECT MAX(id) FROM drover_run)",
		NULL, 0);
	store_submit(s->store, tx, on_run, s);
	loop_run(s->loop);
	json_close_array(s->o->out);
}

/* ---- the whole ---- */

static int set_up(struct sample *s, struct err *err)
{
	int rc = loop_new(&s->loop, err);
	if (rc < 0)
		return rc;
	s->look = loop_timer_new(s->loop, look, s);
	s->patience = loop_timer_new(s->loop, on_patience, s);
	s->on_int = loop_signal_new(s->loop, SIGINT, on_signal, s);
	s->on_term = loop_signal_new(s->loop, SIGTERM, on_signal, s);
	if (!s->look || !s->patience || !s->on_int || !s->on_term)
		return err_set(err, -ENOMEM, "out of memory");
	const struct store_options options = { .url = s->url, .state_dir = s->dir, .create = true };
	return store_open(&s->store, s->loop, &options, err);
}

static void tear_down(struct sample *s)
{
	worker_alone_free(s->worker);
	store_close(s->store);
	store_close(s->known);
	loop_timer_free(s->look);
	loop_timer_free(s->patience);
	loop_signal_free(s->on_int);
	loop_signal_free(s->on_term);
	if (s->loop)
		loop_free(s->loop);
	drop_folder(s);
	buf_finish(&s->request);
	buf_finish(&s->body);
	buf_finish(&s->answers);
}

int sample_play(struct sample *s)
{
	struct err err = { 0 };
	s->code = make_folder(s);
	if (s->code == ONESHOT_DONE)
		s->code = oneshot_state_dir(s->o->config, s->dir, &s->state_dir);
	if (s->code != ONESHOT_DONE)
		return s->code;
	const char *store_url = s->o->config->store.url;
	prepare_config(s);
	if (set_up(s, &err) < 0)
		return s->code = oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	if (sample_open_known(s, store_url) != ONESHOT_DONE)
		return s->code;
	queue_migrate(s->store, on_migrated, s);
	loop_run(s->loop);
	loop_timer_stop(s->look);
	loop_timer_stop(s->patience);
	store_forget(s->store, s);
	return s->code;
}

int sample_end(struct sample *s)
{
	int code = s->code, signo = s->signal;
	tear_down(s);
	if (signo) { /* as the shell expects */
		signal(signo, SIG_DFL);
		raise(signo);
	}
	return code;
}

int oneshot_sample(struct oneshot *o, int64_t records)
{
	struct sample s = { .o = o, .records = records };
	if (sample_play(&s) == ONESHOT_DONE)
		sample_gather(&s);
	return sample_end(&s);
}

/* ---- nothing is sent ---- */

struct limits *sample_limits(struct sample *s)
{
	return sample_crawls(s) ? ((struct crawl *)worker_state(s->worker))->limits
				: ((struct collector *)worker_state(s->worker))->limits;
}

void sample_keep_request(struct sample *s, const struct fetch_spec *spec)
{
	struct json_out out;
	json_out_init(&out, &s->request);
	oneshot_request(&out, worker_config(s->worker), spec);
	oneshot_limits(&out, sample_limits(s), spec->limits, spec->limit_count);
	s->asked = true;
}

static bool only_look(void *arg, const struct fetch_spec *spec)
{
	struct sample *s = arg;
	if (!s->asked)
		sample_keep_request(s, spec);
	loop_stop(s->loop);
	return false;
}

static void say_what(struct sample *s)
{
	struct json_out *out = s->o->out;
	const struct config_job *job = s->o->job;
	json_str(out, "job", job->name);
	json_str(out, "kind", job->kind->name);
	say_tasks_of_job(s, "tasks");
	if (!s->asked)
		return;
	json_raw(out, NULL, buf_str(&s->request), s->request.len);
	oneshot_table(out, job);
}

int oneshot_dry(struct oneshot *o)
{
	static const struct fetch_tap tap = { .sending = only_look, .keeps = true };
	struct sample s = { .o = o, .records = 1, .tap = &tap };
	if (sample_play(&s) == ONESHOT_DONE && s.asked)
		say_what(&s);
	else if (s.code == ONESHOT_DONE)
		sample_gather(&s); /* no request could be made: its errors say why */
	return sample_end(&s);
}

/* ---- one request ---- */

static bool let_go(void *arg, const struct fetch_spec *spec)
{
	struct sample *s = arg;
	if (!s->asked)
		sample_keep_request(s, spec);
	return true;
}

static void keep_body(void *arg, const char *data, size_t len)
{
	struct sample *s = arg;
	size_t room = BODY_SHOWN - s->body.len;
	buf_add(&s->body, data, MIN(len, room));
}

static void keep_answer(void *arg, const struct http_result *http)
{
	struct sample *s = arg;
	struct json_out out;
	json_out_init(&out, &s->answers);
	out.comma = s->answers.len > 0;
	json_open_object(&out, NULL);
	json_int(&out, "status", http->status);
	json_int(&out, "duration_ms", http->duration_us / 1000);
	json_int(&out, "bytes", http->body_bytes);
	json_str(&out, "content_type", http->content_type);
	if (*http->location)
		oneshot_text(&out, worker_config(s->worker), "location", http->location);
	if (http->retry_after_ms >= 0)
		json_int(&out, "retry_after_ms", http->retry_after_ms);
	if (http->outcome != HTTP_OK)
		json_str(&out, "error",
			*http->error ? http->error : http_outcome_name(http->outcome));
	json_close_object(&out);
}

void sample_make_plain(struct oneshot *o, const char *path)
{
	struct collect_job *spec = o->job->spec;
	struct config_provider *provider = (struct config_provider *)spec->provider;
	spec->request = (struct collect_request) {
		.provider_name = provider->name, .method = METHOD_GET, .path = path
	};
	spec->paginate = (struct collect_paginate) { .by = PAGINATE_NONE };
	spec->for_each = (struct collect_for_each) { 0 };
	provider->retry.attempts = 1;
}

int oneshot_get(struct oneshot *o, const char *path)
{
	static const struct fetch_tap tap = {
		.sending = let_go, .body = keep_body, .answered = keep_answer
	};
	struct sample s = { .o = o, .records = 1, .tap = &tap };
	if (!str_eq(o->job->kind->name, "collect"))
		return oneshot_fail(ONESHOT_USAGE, "job '%s' has no provider", o->job->name);
	if (*path && *path != '/')
		return oneshot_fail(ONESHOT_USAGE,
			"'%s' is no path: it begins with / and is put behind base_url", path);
	sample_make_plain(o, path);
	if (sample_play(&s) != ONESHOT_DONE)
		return sample_end(&s);
	if (!s.asked) {
		sample_gather(&s);
		return sample_end(&s);
	}
	json_raw(o->out, NULL, buf_str(&s.request), s.request.len);
	json_open_array(o->out, "answers");
	json_raw(o->out, NULL, buf_str(&s.answers), s.answers.len);
	json_close_array(o->out);
	json_strn(o->out, "body", buf_str(&s.body), s.body.len);
	return sample_end(&s);
}
