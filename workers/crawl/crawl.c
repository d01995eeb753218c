/* SPDX-License-Identifier: MIT */
#include "crawl/crawl.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "crawl/kind.h"
#include "crawl/known.h"
#include "crawl/page.h"
#include "crawl/parsers.h"
#include "crawl/robots.h"
#include "http/fetch.h"
#include "http/http.h"
#include "limit/limit.h"
#include "log/log.h"
#include "loop/loop.h"
#include "store/store.h"
#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	POLL_MS = 1000,
	LEASE_MS = 30000,
	RENEW_MS = 10000,
	PARSE_WALL_MS = 30000, /* who spins ends by SANDBOX_CPU_S, on a starved machine later */
	PUT_BACK_MS = 1500,    /* of the time to drain, kept for putting tasks back */
};

static void claim(struct crawl *crawl);

/* ---- claiming ---- */

static void rest(struct crawl *crawl)
{
	if (crawl->holding && !crawl->draining && !crawl->claiming && !crawl->page_count)
		worker_rests(crawl->worker);
}

static void on_claimed(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct crawl *crawl = arg;
	crawl->claiming = false;
	for (size_t i = 0; i < count; i++)
		if (crawl->draining)
			task_free(tasks[i]); /* queue_release_mine() puts it back */
		else
			page_start(crawl, tasks[i]);
	if (crawl->draining) {
		crawl_page_gone(crawl);
		return;
	}
	/* Something was there, or came while we asked: there may be more. */
	if (status == QUEUE_OK && (count || crawl->again))
		claim(crawl);
	rest(crawl);
}

static void claim(struct crawl *crawl)
{
	size_t room = crawl->page_count < crawl->share ? crawl->share - crawl->page_count : 0;
	crawl->again = crawl->claiming;
	/* In handfuls: each claim is a transaction of its own. */
	if (crawl->claiming || crawl->draining || crawl->holding || !crawl->schema_ready ||
		room * 4 < crawl->share || !worker_may_take(crawl->worker))
		return;
	crawl->claiming = true;
	queue_claim(crawl->queue, room, on_claimed, crawl);
}

static void on_schema(void *arg, enum queue_status status)
{
	struct crawl *crawl = arg;
	crawl->claiming = false;
	crawl->schema_ready = status == QUEUE_OK;
	if (crawl->draining)
		crawl_page_gone(crawl);
	else
		claim(crawl);
	rest(crawl);
}

static void on_poll(void *arg)
{
	struct crawl *crawl = arg;
	loop_timer_start(crawl->poll, POLL_MS);
	if (crawl->schema_ready) {
		claim(crawl);
	} else if (!crawl->claiming) {
		crawl->claiming = true;
		queue_check_schema(crawl->store, on_schema, crawl);
	}
}

static void on_renew(void *arg)
{
	struct crawl *crawl = arg;
	loop_timer_start(crawl->renew, RENEW_MS);
	/* With no page too: there may be a task that was lost. */
	if (crawl->page_count || (crawl->schema_ready && !crawl->holding))
		queue_renew(crawl->queue);
}

/* ---- draining ---- */

static void on_released(void *arg, enum queue_status status UNUSED)
{
	struct crawl *crawl = arg;
	worker_drained(crawl->worker);
}

void crawl_page_gone(struct crawl *crawl)
{
	if (!crawl->draining) {
		claim(crawl);
		rest(crawl);
		return;
	}
	if (crawl->page_count || crawl->claiming || crawl->releasing)
		return;
	crawl->releasing = true;
	if (crawl->schema_ready)
		queue_release_mine(crawl->queue, on_released, crawl);
	else
		worker_drained(crawl->worker);
}

/* Time is nearly up: what is not being committed goes back into the queue. */
static void on_deadline(void *arg)
{
	struct crawl *crawl = arg;
	LIST_FOR_EACH_SAFE (node, &crawl->pages) {
		struct page *page = LIST_ENTRY(node, struct page, node);
		if (!page->committing)
			page_free(page);
	}
	crawl_page_gone(crawl);
}

static void crawl_drain(struct worker *w, int64_t deadline_ms)
{
	struct crawl *crawl = worker_state(w);
	crawl->draining = true;
	loop_timer_stop(crawl->poll);
	loop_timer_start(crawl->deadline, MAX(deadline_ms - PUT_BACK_MS, (int64_t)0));
	crawl_page_gone(crawl);
}

static void crawl_hold(struct worker *w, bool on)
{
	struct crawl *crawl = worker_state(w);
	crawl->holding = on;
	if (on)
		rest(crawl);
	else
		claim(crawl);
}

static void crawl_trim(struct worker *w)
{
	struct crawl *crawl = worker_state(w);
	struct known *fresh = known_new();
	/* It forgets; what it knew is asked of the database again. */
	if (fresh) {
		known_free(crawl->known);
		crawl->known = fresh;
	}
	robots_cache_trim(crawl->robots);
	http_client_trim(crawl->client);
	store_trim(crawl->store);
}

/* ---- setting up ---- */

/* Of `concurrency` calls at once over all processes, what this one may have: "crawl:2" is the
 * second. */
static size_t share_of(const struct config_worker *own, const char *name)
{
	int64_t processes = MAX(own->processes, (int64_t)1), index = 1;
	const char *colon = strchr(name, ':');
	if (!colon || str_to_i64(colon + 1, 1, processes, &index) < 0)
		index = 1;
	int64_t share = own->concurrency / processes + (index <= own->concurrency % processes);
	return (size_t)MAX(share, (int64_t)1);
}

/* drover-parser lies beside us. */
static int parser_path(char *path, size_t size, struct err *err)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	char *slash;
	if (len <= 0)
		return err_sys(err, -errno, "find drover-parser");
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + sizeof("/drover-parser") > size)
		return err_set(err, -ENAMETOOLONG, "find drover-parser beside %s", path);
	memcpy(slash, "/drover-parser", sizeof("/drover-parser"));
	if (access(path, X_OK) == -1)
		return err_sys(err, -errno, "%s", path);
	return 0;
}

static int open_parts(struct crawl *crawl, const struct config *config, struct err *err)
{
	struct worker *w = crawl->worker;
	char path[4096], limits[4096];
	const struct config_worker *own = config_worker(config, "crawl");
	struct store_options store = { .url = config->store.url,
		.pool = store_pool_of(&config->store.pool),
		.state_dir = worker_state_dir(w),
		.stats = crawl->stats };
	struct queue_options queue = {
		.owner = worker_owner(w), .kind = "crawl", .lease_ms = LEASE_MS
	};
	int r = parser_path(path, sizeof(path), err);
	struct parsers_options parsers = { .program = path,
		.count = (size_t)own->parsers,
		.wall_ms = PARSE_WALL_MS,
		.stats = crawl->stats };
	snprintf(limits, sizeof(limits), "%s/limits", worker_state_dir(w));
	r = r < 0 ? r : store_open(&crawl->store, crawl->loop, &store, err);
	r = r < 0 ? r : limits_open(&crawl->limits, limits, err);
	r = r < 0 ? r : http_client_new(&crawl->client, crawl->loop, CRAWL_USER_AGENT, err);
	r = r < 0 ? r : parsers_new(&crawl->parsers, crawl->loop, &parsers, err);
	if (r < 0)
		return r;
	r = queue_open(&crawl->queue, crawl->store, &queue);
	r = r < 0 ? r : fetcher_new(&crawl->fetcher, crawl->loop, crawl->client, crawl->limits);
	r = r < 0 ? r : robots_cache_new(&crawl->robots, crawl->loop, crawl->fetcher);
	if (r == 0)
		fetcher_set_stats(crawl->fetcher, crawl->stats);
	return r < 0 ? err_set(err, r, "no memory") : 0;
}

static void crawl_free(struct crawl *crawl)
{
	if (!crawl)
		return;
	for (struct page *page; (page = LIST_FIRST(&crawl->pages, struct page, node));)
		page_free(page);
	robots_cache_free(crawl->robots);
	parsers_free(crawl->parsers);
	fetcher_free(crawl->fetcher);
	http_client_free(crawl->client);
	queue_close(crawl->queue);
	store_close(crawl->store);
	limits_close(crawl->limits);
	known_free(crawl->known);
	plan_set_drop(crawl->plans);
	loop_timer_free(crawl->poll);
	loop_timer_free(crawl->renew);
	loop_timer_free(crawl->deadline);
	free(crawl);
}
DEFINE_FREEP(struct crawl, crawl)

static int crawl_new(
	struct crawl **out, struct worker *w, const struct config *config, struct err *err)
{
	CLEANUP(crawl_freep) struct crawl *crawl = NEW(struct crawl);
	if (!crawl)
		return err_set(err, -ENOMEM, "no memory");
	crawl->worker = w;
	crawl->loop = worker_loop(w);
	crawl->stats = worker_stats(w);
	list_init(&crawl->pages);
	crawl->known = known_new();
	crawl->poll = loop_timer_new(crawl->loop, on_poll, crawl);
	crawl->renew = loop_timer_new(crawl->loop, on_renew, crawl);
	crawl->deadline = loop_timer_new(crawl->loop, on_deadline, crawl);
	if (!crawl->known || !crawl->poll || !crawl->renew || !crawl->deadline)
		return err_set(err, -ENOMEM, "no memory");
	int r = open_parts(crawl, config, err);
	if (r < 0)
		return r;
	loop_timer_start(crawl->poll, 0);
	loop_timer_start(crawl->renew, RENEW_MS);
	*out = TAKE(crawl);
	return 0;
}

static int crawl_configure(struct worker *w, const struct config *config, struct err *err)
{
	struct crawl *crawl = worker_state(w);
	const struct config_worker *own = config_worker(config, "crawl");
	struct plan_set *plans;
	int r = plan_set_new(&plans, config, err);
	if (r == 0 && !crawl) {
		r = crawl_new(&crawl, w, config, err);
		if (r == 0)
			worker_set_state(w, crawl);
	}
	if (r < 0) {
		plan_set_drop(plans);
		return r;
	}
	plan_set_drop(crawl->plans);
	crawl->plans = plans;
	crawl->share = share_of(own, worker_name(w));
	queue_set_concurrency(crawl->queue, own->concurrency);
	parsers_set_count(crawl->parsers, (size_t)own->parsers);
	return 0;
}

static void crawl_message(struct worker *w, const struct message *m)
{
	struct crawl *crawl = worker_state(w);
	if (m->id == MSG_WORK && str_eq(m->body.wake.kind, "crawl"))
		claim(crawl);
}

static void crawl_stop(struct worker *w)
{
	crawl_free(worker_state(w));
	worker_set_state(w, NULL);
}

const struct worker_ops crawl_ops = {
	.configure = crawl_configure,
	.message = crawl_message,
	.drain = crawl_drain,
	.hold = crawl_hold,
	.trim = crawl_trim,
	.stop = crawl_stop,
};
