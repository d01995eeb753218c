/* SPDX-License-Identifier: MIT */
#include "collect/collect.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/hosts.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/task.h"
#include "config/config.h"
#include "config/kind.h"
#include "http/fetch.h"
#include "http/http.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "stats/stats.h"
#include "store/store.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	POLL_MS = 1000,
	LEASE_MS = 30000,
	RENEW_MS = 10000,
	TOKEN_WAIT_MS = 20,
	SHORT_DRAIN_MS = 5000,	/* no time to finish anything: the supervisor is lost */
	DRAIN_MARGIN_MS = 1500, /* for giving tasks back and making that durable */
};

/* ---- claiming ---- */

static void claim(struct collector *c);

static void rest(struct collector *c)
{
	if (c->holding && !c->draining && !c->claiming && c->running == 0)
		worker_rests(c->worker);
}

static void on_claimed(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct collector *c = arg;
	c->claiming = false;
	/* LOST: the task that it came with was, which is told there. */
	if (status != QUEUE_OK && status != QUEUE_LOST && (int)status != c->claim_trouble)
		log_warn(MAIN, "claim_failed", KV_STR("error", queue_error()));
	c->claim_trouble = status;
	for (size_t i = 0; i < count; i++) {
		if (c->draining)
			task_free(tasks[i]); /* goes back with all that is ours: finish_drain() */
		else
			collect_task_start(c, tasks[i]);
	}
	if (count > 0 || c->claim_again)
		claim(c);
	rest(c);
}

static void claim(struct collector *c)
{
	c->claim_again = c->claiming; /* asked for while one is on its way: look once more */
	if (c->claiming || c->draining || c->holding || c->running >= c->slots ||
		!worker_may_take(c->worker))
		return;
	c->claiming = true;
	queue_claim(c->queue, c->slots - c->running, on_claimed, c);
}

void collector_claim_with(struct collector *c, struct store_tx *tx)
{
	if (c->claiming || c->draining || c->holding || !worker_may_take(c->worker))
		return;
	c->claiming = true;
	/* Of the places of those that still run one is free when this is done. */
	size_t others = MAX(c->running, (size_t)1) - 1;
	queue_tx_claim(c->queue, tx, c->slots > others ? c->slots - others : 1, on_claimed, c);
}

static void on_poll(void *arg)
{
	struct collector *c = arg;
	/* Not of a trial, which may have been told to ask nobody. */
	if (c->names_changed && !c->sample)
		hosts_look_ahead(c->http, c->plans, c->plan_count);
	c->names_changed = false;
	stats_set(worker_stats(c->worker), STAT_store_pending, (int64_t)store_pending(c->store));
	loop_timer_start(c->poll, POLL_MS);
	claim(c);
}

static void on_renew(void *arg)
{
	struct collector *c = arg;
	/* With none running too: there may be one that was lost. */
	if (c->running > 0 || !c->holding)
		queue_renew(c->queue);
	loop_timer_start(c->renew, RENEW_MS);
}

static void finish_drain(struct collector *c);

void collector_task_over(struct collector *c)
{
	c->running--;
	if (c->draining && c->running == 0)
		finish_drain(c);
	else if (c->holding)
		rest(c);
	else if (!c->draining)
		loop_timer_start(c->poll, 0); /* a free slot; not from within somebody's callback */
}

/* ---- configuration ---- */

const struct plan *collector_plan(const struct collector *c, const char *job)
{
	for (size_t i = 0; i < c->plan_count; i++)
		if (str_eq(c->plans[i]->job->name, job))
			return c->plans[i];
	return NULL;
}

static void free_plans(struct plan **plans, size_t count)
{
	for (size_t i = 0; i < count; i++)
		plan_free(plans[i]);
	free(plans);
}

static int make_plans(
	const struct config *config, struct plan ***out, size_t *out_count, struct err *err)
{
	size_t count = 0;
	struct plan **plans = calloc(config->job_count + 1, sizeof(*plans));
	if (!plans)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->job_count; i++) {
		if (config->jobs[i].kind != &worker_kind_collect)
			continue;
		int rc = plan_new(&plans[count], &config->jobs[i], err);
		if (rc < 0) {
			free_plans(plans, count);
			return rc;
		}
		count++;
	}
	*out = plans;
	*out_count = count;
	return 0;
}

static int open_rooms(struct collector *c, const struct config *config, struct err *err)
{
	char path[4096];
	struct worker *w = c->worker;
	const struct store_options store = { .url = config->store.url,
		.pool = store_pool_of(&config->store.pool),
		.state_dir = worker_state_dir(w) };
	const struct queue_options queue = {
		.owner = worker_owner(w), .kind = "collect", .lease_ms = LEASE_MS
	};
	snprintf(path, sizeof(path), "%s/limits", worker_state_dir(w));
	int rc = store_open(&c->store, c->loop, &store, err);
	if (rc == 0)
		rc = limits_open(&c->limits, path, err);
	if (rc == 0)
		rc = http_client_new(&c->http, c->loop, "drover/" DROVER_VERSION, err);
	if (rc < 0)
		return rc;
	if (queue_open(&c->queue, c->store, &queue) < 0 ||
		fetcher_new(&c->fetcher, c->loop, c->http, c->limits) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	fetcher_set_stats(c->fetcher, worker_stats(w));
	return 0;
}

static void collector_free(struct collector *c)
{
	/* Tasks that are still held: their owner is known to be dead soon. */
	for (struct collect_task *t; (t = LIST_FIRST(&c->tasks, struct collect_task, node));)
		collect_task_free(t);
	collector_free_oauths(c);
	fetcher_free(c->fetcher);
	http_client_free(c->http);
	limits_close(c->limits);
	queue_close(c->queue);
	store_close(c->store);
	loop_timer_free(c->poll);
	loop_timer_free(c->renew);
	loop_timer_free(c->deadline);
	loop_timer_free(c->token_wait);
	free_plans(c->plans, c->plan_count);
	hosts_drop(c->hosts);
	free(c);
}

static void on_deadline(void *arg);
static void on_token_wait(void *arg);

static int collector_new(
	struct collector **out, struct worker *w, const struct config *config, struct err *err)
{
	struct collector *c = NEW(struct collector);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->worker = w;
	c->loop = worker_loop(w);
	list_init(&c->tasks);
	list_init(&c->oauths);
	c->poll = loop_timer_new(c->loop, on_poll, c);
	c->renew = loop_timer_new(c->loop, on_renew, c);
	c->deadline = loop_timer_new(c->loop, on_deadline, c);
	c->token_wait = loop_timer_new(c->loop, on_token_wait, c);
	int rc = c->poll && c->renew && c->deadline && c->token_wait
			 ? open_rooms(c, config, err)
			 : err_set(err, -ENOMEM, "out of memory");
	if (rc < 0) {
		c->draining = true; /* nothing may be claimed any more */
		collector_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* Of the new configuration. */
static int take_hosts(struct collector *c, const struct config *config, struct err *err)
{
	int64_t total = 0;
	struct hosts *hosts = hosts_new(config);
	if (!hosts)
		return err_set(err, -ENOMEM, "out of memory");
	hosts_drop(c->hosts);
	c->hosts = hosts;
	c->names_changed = true;
	for (size_t i = 0; i < config->provider_count; i++)
		total += config->providers[i].connections.total;
	http_client_keep(c->http, (size_t)total);
	return 0;
}

static int configure(struct worker *w, const struct config *config, struct err *err)
{
	struct collector *c = worker_state(w);
	const struct config_worker *own = config_worker(config, "collect");
	struct plan **plans = NULL;
	size_t count = 0;
	int rc = make_plans(config, &plans, &count, err);
	if (rc == 0 && !c) {
		rc = collector_new(&c, w, config, err);
		if (rc == 0)
			worker_set_state(w, c);
	}
	if (rc < 0) {
		free_plans(plans, plans ? count : 0);
		return rc;
	}
	/* They point into the old configuration, which is about to go. */
	for (struct collect_task *t; (t = LIST_FIRST(&c->tasks, struct collect_task, node));)
		collect_task_abandon(t);
	free_plans(c->plans, c->plan_count);
	c->plans = plans;
	c->plan_count = count;
	rc = take_hosts(c, config, err);
	if (rc == 0)
		rc = collector_make_oauths(c, err);
	if (rc < 0)
		return rc;
	int64_t processes = own ? MAX(own->processes, (int64_t)1) : 1;
	int64_t concurrency = own ? own->concurrency : worker_kind_collect.default_concurrency;
	c->slots = (size_t)MAX((concurrency + processes - 1) / processes, (int64_t)1);
	queue_set_concurrency(c->queue, concurrency);
	loop_timer_start(c->poll, 0);
	loop_timer_start(c->renew, RENEW_MS);
	return 0;
}

/* ---- messages and the end ---- */

static void message(struct worker *w, const struct message *m)
{
	if (m->id == MSG_WORK)
		claim(worker_state(w));
}

static void on_released(void *arg, enum queue_status status)
{
	struct collector *c = arg;
	if (status != QUEUE_OK)
		log_warn(MAIN, "release_failed", KV_STR("error", queue_error()));
	worker_drained(c->worker);
}

/* Whatever is still ours in the database, a claim that came too late included, goes back. */
static void finish_drain(struct collector *c)
{
	loop_timer_stop(c->deadline);
	if (collector_awaits_token(c)) {
		loop_timer_start(c->token_wait, TOKEN_WAIT_MS);
		return;
	}
	queue_release_mine(c->queue, on_released, c);
}

static void on_token_wait(void *arg)
{
	finish_drain(arg);
}

static void on_deadline(void *arg)
{
	struct collector *c = arg;
	c->winding = true;
	for (struct collect_task *t; (t = LIST_FIRST(&c->tasks, struct collect_task, node));)
		collect_task_abandon(t);
}

static void drain(struct worker *w, int64_t deadline_ms)
{
	struct collector *c = worker_state(w);
	c->draining = true;
	loop_timer_stop(c->poll);
	if (c->running == 0) {
		finish_drain(c);
		return;
	}
	/* A long task would not end in time anyway: it ends at its next page, and goes on from
	 * there elsewhere. */
	c->winding = true;
	int64_t left = deadline_ms - DRAIN_MARGIN_MS;
	loop_timer_start(c->deadline, deadline_ms < SHORT_DRAIN_MS ? 0 : MAX(left, (int64_t)0));
	LIST_FOR_EACH_SAFE (node, &c->tasks)
		collect_task_wind_up(LIST_ENTRY(node, struct collect_task, node));
}

static void hold(struct worker *w, bool on)
{
	struct collector *c = worker_state(w);
	c->holding = on;
	if (on)
		rest(c);
	else
		loop_timer_start(c->poll, 0);
}

static void trim(struct worker *w)
{
	const struct collector *c = worker_state(w);
	http_client_trim(c->http);
	store_trim(c->store);
}

static void stop(struct worker *w)
{
	struct collector *c = worker_state(w);
	worker_set_state(w, NULL);
	if (!c)
		return;
	c->draining = false; /* no more words to the queue */
	c->claiming = true;
	collector_free(c);
}

const struct worker_ops collect_ops = {
	.configure = configure,
	.message = message,
	.drain = drain,
	.hold = hold,
	.trim = trim,
	.stop = stop,
};
