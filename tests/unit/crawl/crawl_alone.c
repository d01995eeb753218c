/* SPDX-License-Identifier: MIT */
/*
 * One run of a crawl job by the crawl worker's own code, without supervisor and scheduler: for
 * tests that need a hostile site, not a whole house. It plays the frame (worker/worker.h), makes
 * the run, waits for its end, prints the run's state and exits 0 when it succeeded.
 *
 * crawl_alone STATE_DIR OPTION=VALUE...
 *   start=URL  domain=HOST  field=NAME:TYPE:XPATH  depth=N  max_pages=N  delay=MS  per_host=N
 * private=0|1 robots=0|1 nofollow=0|1  attempts=N  timeout=MS  concurrency=N  parsers=N
 * drain_after=MS free_claims=1  what an earlier life, killed, had claimed is free again: the
 * scheduler's task in the house
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "crawl/crawl.h"
#include "crawl/kind.h"
#include "crawl/parsers.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "store/store.h"
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 32, LOOK_MS = 20 };

struct worker {
	struct loop *loop;
	void *state;
	const char *state_dir;
	const struct config *config;
	char owner[64];
	struct store *store;
	struct loop_timer *look, *drain;
	int64_t run;
	int result;
};

static const char *starts[LIST_MAX], *domains[LIST_MAX];
static struct config_column fields[LIST_MAX];
static struct crawl_extract rule = { .match = ".*", .fields = { fields, 0 } };
static struct crawl_job spec = {
	.start = { starts, 0 },
	.follow = { .domains = { domains, 0 },
		.depth = 8,
		.max_pages = 100000,
		.is_private = true },
	.politeness = { .delay_ms = 0, .per_host = 8 },
	.extract = { &rule, 1 },
};
static struct config_job job = { .name = "site",
	.kind = &worker_kind_crawl,
	.timeout_ms = 60000,
	.retry.attempts = 2,
	.store = { .table = "pages", .batch = 100 },
	.spec = &spec };
static struct config_worker workers[] = {
	{ .kind = &worker_kind_crawl, .processes = 1, .concurrency = 8, .parsers = 2 },
};
static struct config config = { .file = "",
	.store = { "sqlite:drover.db" },
	.workers = workers,
	.worker_count = 1,
	.jobs = &job,
	.job_count = 1 };
static int64_t drain_after_ms, free_claims;

/* ---- the frame ---- */

int worker_main(const struct worker_kind *kind, const struct worker_ops *ops, int argc, char **argv)
{
	(void)kind, (void)ops, (void)argc, (void)argv;
	return 1;
}
struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}
void worker_set_state(struct worker *w, void *state)
{
	w->state = state;
}
void *worker_state(struct worker *w)
{
	return w->state;
}
const char *worker_name(const struct worker *w)
{
	(void)w;
	return "crawl";
}
const char *worker_owner(const struct worker *w)
{
	return w->owner;
}
const char *worker_node(const struct worker *w)
{
	(void)w;
	return "node";
}
const char *worker_state_dir(const struct worker *w)
{
	return w->state_dir;
}
const struct config *worker_config(const struct worker *w)
{
	return w->config;
}
bool worker_may_take(struct worker *w)
{
	(void)w;
	return true;
}
struct stats_slot *worker_stats(struct worker *w)
{
	(void)w;
	return NULL;
}
struct worker_ticket *worker_ticket_new(struct worker *w, int64_t limit_ms)
{
	(void)w, (void)limit_ms;
	return malloc(1);
}
void worker_ticket_touch(struct worker_ticket *ticket)
{
	(void)ticket;
}
void worker_ticket_free(struct worker_ticket *ticket)
{
	free(ticket);
}
int worker_send(struct worker *w, enum message_id id, const void *body)
{
	(void)w, (void)id, (void)body;
	return 0;
}
void worker_drained(struct worker *w)
{
	loop_stop(w->loop);
}
void worker_rests(struct worker *w)
{
	(void)w;
}
void worker_fail(struct worker *w, const char *event, const char *error)
{
	fprintf(stderr, "%s: %s\n", event, error);
	loop_stop(w->loop);
}

/* ---- the run ---- */

static void on_seen(void *arg, const struct store_result *r)
{
	struct worker *w = arg;
	if (store_result_status(r) == STORE_OK && store_result_rows(r, 0) == 1) {
		const char *state = store_result_text(r, 0, 0, 0);
		w->result = strcmp(state, "succeeded") == 0 ? 0 : 1;
		printf("%s\n", state);
		crawl_ops.drain(w, 1000);
		return;
	}
	loop_timer_start(w->look, LOOK_MS);
}

static void look(void *arg)
{
	struct worker *w = arg;
	struct store_tx *tx = store_tx_new(w->store, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT state FROM drover_run WHERE finished_at IS NOT NULL", NULL, 0);
	store_submit(w->store, tx, on_seen, w);
}

static void drain(void *arg)
{
	struct worker *w = arg;
	w->result = 3;
	loop_timer_stop(w->look);
	store_forget(w->store, w);
	crawl_ops.drain(w, 2000);
}

static void begin(void *arg, enum queue_status status)
{
	struct worker *w = arg;
	struct err err = { 0 };
	if (status != QUEUE_OK) {
		worker_fail(w, "free", queue_error());
		return;
	}
	if (crawl_ops.configure(w, &config, &err) < 0) {
		worker_fail(w, "configure", err.text);
		return;
	}
	loop_timer_start(w->look, LOOK_MS);
	if (drain_after_ms)
		loop_timer_start(w->drain, drain_after_ms);
}

static void on_made(void *arg, const struct store_result *r)
{
	struct worker *w = arg;
	if (store_result_status(r) != STORE_OK)
		worker_fail(w, "no run", store_result_error(r));
	else if (free_claims)
		queue_free_expired(w->store, "", "", INT64_MAX, begin, w);
	else
		begin(w, QUEUE_OK);
}

/* A second call goes on with the run that a first one left. */
static void on_migrated(void *arg, enum queue_status status)
{
	struct worker *w = arg;
	struct run_request run = { .job = job.name,
		.kind = "crawl",
		.trigger = "manual",
		.request_id = "one",
		.max_attempts = job.retry.attempts,
		.timeout_ms = job.timeout_ms,
		.priority = PRIORITY_MEDIUM,
		.payloads = starts,
		.payload_count = spec.start.count,
		.frontier = true };
	if (status != QUEUE_OK) {
		worker_fail(w, "migrate", queue_error());
		return;
	}
	struct store_tx *tx = store_tx_new(w->store, 0);
	queue_tx_run(tx, &run, clock_real_ms());
	store_submit(w->store, tx, on_made, w);
}

/* ---- options ---- */

static int type_of(const char *name)
{
	static const char *const types[] = { "text", "integer", "real", "boolean", "timestamp",
		"json" };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq(types[i], name))
			return (int)i;
	return -1;
}

static bool take_field(char *value)
{
	struct config_column *field = &fields[rule.fields.count++];
	char *type = strchr(value, ':'), *xpath = type ? strchr(type + 1, ':') : NULL;
	if (!xpath)
		return false;
	*type++ = *xpath++ = '\0';
	*field = (struct config_column) { .name = value, .xpath = xpath, .type = type_of(type) };
	return field->type >= 0;
}

static bool take_number(const char *name, const char *value)
{
	int64_t n;
	const struct {
		const char *name;
		int64_t *at;
	} numbers[] = {
		{ "depth", &spec.follow.depth },
		{ "max_pages", &spec.follow.max_pages },
		{ "delay", &spec.politeness.delay_ms },
		{ "per_host", &spec.politeness.per_host },
		{ "attempts", &job.retry.attempts },
		{ "timeout", &job.timeout_ms },
		{ "concurrency", &workers[0].concurrency },
		{ "parsers", &workers[0].parsers },
		{ "drain_after", &drain_after_ms },
		{ "free_claims", &free_claims },
	};
	if (str_to_i64(value, 0, INT64_MAX, &n) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (str_eq(numbers[i].name, name)) {
			*numbers[i].at = n;
			return true;
		}
	if (str_eq(name, "private"))
		spec.follow.is_private = n != 0;
	else if (str_eq(name, "robots"))
		spec.robots = n ? ROBOTS_OBEY : ROBOTS_IGNORE;
	else if (str_eq(name, "nofollow"))
		spec.follow.nofollow = n ? ROBOTS_OBEY : ROBOTS_IGNORE;
	else
		return false;
	return true;
}

static bool take_option(char *option)
{
	char *value = strchr(option, '=');
	if (!value)
		return false;
	*value++ = '\0';
	if (str_eq(option, "start"))
		starts[spec.start.count++] = value;
	else if (str_eq(option, "domain"))
		domains[spec.follow.domains.count++] = value;
	else if (str_eq(option, "field"))
		return take_field(value);
	else
		return take_number(option, value);
	return true;
}

int main(int argc, char **argv)
{
	struct worker w = {
		.state_dir = argc > 1 ? argv[1] : NULL, .config = &config, .result = 2
	};
	struct err err = { 0 };
	struct store_options options = {
		.url = config.store.url, .state_dir = w.state_dir, .create = true
	};
	signal(SIGPIPE, SIG_IGN);
	for (int i = 2; i < argc && i < LIST_MAX; i++)
		if (!take_option(argv[i])) {
			fprintf(stderr, "wrong option %s\n", argv[i]);
			return 2;
		}
	snprintf(w.owner, sizeof(w.owner), "node/epoch/crawl/%d", (int)getpid());
	if (argc < 3 || loop_new(&w.loop, &err) < 0 ||
		store_open(&w.store, w.loop, &options, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	w.look = loop_timer_new(w.loop, look, &w);
	w.drain = loop_timer_new(w.loop, drain, &w);
	queue_migrate(w.store, on_migrated, &w);
	loop_run(w.loop);
	crawl_ops.stop(&w);
	store_close(w.store);
	loop_timer_free(w.look);
	loop_timer_free(w.drain);
	loop_free(w.loop);
	return w.result;
}
