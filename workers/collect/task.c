/* SPDX-License-Identifier: MIT */
#include "collect/task.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/auth.h"
#include "collect/collect.h"
#include "collect/hosts.h"
#include "collect/kind.h"
#include "collect/oauth.h"
#include "collect/plan.h"
#include "collect/request.h"
#include "collect/tasks_of.h"
#include "collect/values.h"
#include "http/link.h"
#include "log/log.h"
#include "loop/loop.h"
#include "worker/worker.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_WAIT_MS = 5000, /* for a limit; longer: the task does not hold its slot */
	EARLY_MS = 1000,    /* it is claimed before the limit opens: what is free is used at once */
	LATER_MIN_MS = 250,
	AHEAD_MAX = 8,		       /* batches that wait for the store while a page is fetched */
	AHEAD_BYTES = 4 * 1024 * 1024, /* of them together; large ones wait alone */
	REASON_MAX = 700,
};

static void free_task(struct collect_task *t)
{
	store_forget(t->collector->store, t);
	if (t->collector->known)
		store_forget(t->collector->known, t);
	fetch_cancel(t->fetch);
	page_finish(&t->page);
	error_watch_finish(&t->watch);
	batch_free(t->writing);
	LIST_FOR_EACH_SAFE (node, &t->ready)
		batch_free(LIST_ENTRY(node, struct batch, node));
	list_remove(&t->node);
	worker_ticket_free(t->ticket);
	loop_timer_free(t->timeout);
	loop_timer_free(t->store_wait);
	call_finish(&t->call);
	free(t->value);
	free(t->partition);
	values_close(t->values);
	free(t->reason);
	free(t->note);
	task_free(t->task);
	free(t);
}

void collect_task_free(struct collect_task *t)
{
	struct collector *c = t->collector;
	free_task(t);
	collector_task_over(c);
}

void collect_task_end(
	struct collect_task *t, enum ending ending, int64_t delay_ms, const char *fmt, ...)
{
	char text[REASON_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->requests += fetch_cancel(t->fetch);
	t->fetch = NULL;
	t->ending = ending;
	t->delay_ms = delay_ms;
	free(t->reason);
	t->reason = strdup(text);
	loop_timer_stop(t->timeout);
	collect_commit(t);
}

static void give_up(struct collect_task *t, const char *words)
{
	char name[256];
	collect_task_end(t, ENDING_DEAD, 0, "%s: %s",
		request_name(name, sizeof(name), t->plan, t->value, t->page.at.page), words);
}

static void retry(struct collect_task *t, const char *words)
{
	char name[256], more[512];
	if (t->unsure || (t->call.once && fetch_under_way(t->fetch))) {
		snprintf(more, sizeof(more), "%s; it may have been received, and is not sent again",
			words);
		give_up(t, more);
		return;
	}
	int64_t delay = queue_backoff_ms(&t->plan->job->retry.backoff, t->task->attempt);
	collect_task_end(t, ENDING_RETRY, delay, "%s: %s",
		request_name(name, sizeof(name), t->plan, t->value, t->page.at.page), words);
}

static void later(struct collect_task *t, const struct fetch_result *result)
{
	char name[256];
	if (t->unsure) {
		retry(t, "a redirect after it asks for patience");
		return;
	}
	collect_task_end(t, ENDING_RETRY, result->wait_ms, "%s: HTTP %ld, asks for patience",
		request_name(name, sizeof(name), t->plan, t->value, t->page.at.page),
		result->http->status);
}

/* ---- one page ---- */

static bool is_far_ahead(const struct collect_task *t)
{
	size_t n = 0, bytes = 0;
	LIST_FOR_EACH (node, &t->ready) {
		const struct batch *batch = LIST_ENTRY(node, struct batch, node);
		bytes += arena_used(batch->arena) + batch->cap * sizeof(*batch->values);
		if (++n >= AHEAD_MAX || bytes >= AHEAD_BYTES)
			return true;
	}
	return false;
}

/* The store is the bottleneck, not memory: what comes too fast waits in the server. */
static bool on_body(void *arg, const char *data, size_t len)
{
	struct collect_task *t = arg;
	long status = fetch_status(t->fetch);
	worker_ticket_touch(t->ticket);
	/* An error's page is read to its end and not looked at. */
	if (status < 200 || status > 299)
		return true;
	if (t->page_failed)
		return error_watch_open(&t->watch);
	if (!t->page.begun)
		page_type(&t->page, fetch_header(t->fetch, "Content-Type"));
	bool go_on = page_body(&t->page, data, len);
	if (!go_on && error_watch_open(&t->watch)) {
		t->page_failed = true;
		return true;
	}
	if (go_on && is_far_ahead(t))
		fetch_hold(t->fetch, true);
	collect_commit(t);
	return go_on;
}

static void on_peek(void *arg, const char *data, size_t len)
{
	struct collect_task *t = arg;
	error_watch_body(&t->watch, data, len);
}

static enum fetch_verdict on_judge(void *arg, const struct http_result *http, int64_t *wait_ms)
{
	struct collect_task *t = arg;
	return error_watch_judge(&t->watch, http, wait_ms);
}

/* It has its places in the limits: written down now, not while it waits for them. */
static bool on_going(void *arg)
{
	struct collect_task *t = arg;
	/* The mark may still be that of the page before, whose rows are on their way. */
	bool known = t->marked && !t->unmarks_there && !t->writing && list_empty(&t->ready);
	t->unmarking = false;
	if (known)
		return true;
	t->marking = true;
	collect_commit(t);
	return false;
}

/* Until it goes again nobody need fear that it was received. */
static void on_refused(void *arg)
{
	struct collect_task *t = arg;
	t->unmarking = true;
	collect_commit(t);
}

static void on_restart(void *arg)
{
	struct collect_task *t = arg;
	t->page_failed = false;
	page_restart(&t->page);
}

/* The token that a header gives for the next page: into buf. NULL: none. */
static const char *header_token(
	const struct collect_task *t, const struct http_result *http, struct buf *buf)
{
	const struct collect_paginate *p = &t->plan->spec->paginate;
	const char *field, *uri;
	size_t len;
	if (p->by == PAGINATE_CURSOR && p->header && (field = http_header(http, p->header, 0))) {
		buf_add_str(buf, field);
		return *field && !buf_failed(buf) ? buf_str(buf) : NULL;
	}
	if (p->by != PAGINATE_LINK)
		return NULL;
	for (size_t i = 0; (field = http_header(http, "Link", i)); i++) {
		if (!http_link_find(field, p->rel, &uri, &len))
			continue;
		buf_add(buf, uri, len);
		return buf_failed(buf) ? NULL : buf_str(buf);
	}
	return NULL;
}

static void note_cut(struct collect_task *t)
{
	if (asprintf(&t->note, "stopped after max_pages: %" PRId64 " pages",
		    t->plan->spec->paginate.max_pages) < 0)
		t->note = NULL;
}

static void page_over(struct collect_task *t, const struct http_result *http)
{
	CLEANUP(buf_finish) struct buf token = { .max = TOKEN_MAX };
	const struct page_origin origin = { t->call.url, header_token(t, http, &token) };
	struct batch *last;
	if (buf_failed(&token)) {
		give_up(t, "the header that leads to the next page is too long");
		return;
	}
	t->collector->sampled += t->page.seen;
	enum page_end end = page_end(&t->page, &origin);
	t->stop = t->page.stop == STOP_NOT ? NULL : paginate_stop_name(t->page.stop);
	switch (end) {
	case PAGE_BAD: retry(t, t->page.err.text); return;
	case PAGE_REFUSED:
	case PAGE_REPEATED: give_up(t, t->page.err.text); return;
	case PAGE_CUT: note_cut(t); break;
	case PAGE_STUCK:
	case PAGE_MORE:
	case PAGE_LAST: break;
	}
	last = LIST_ENTRY(t->ready.prev, struct batch, node);
	last->closes = true;
	last->requests = t->requests;
	last->bytes = t->bytes;
	t->requests = t->bytes = 0;
	if (end == PAGE_STUCK)
		give_up(t, t->page.err.text);
	else if (end != PAGE_MORE)
		collect_task_end(t, ENDING_DONE, 0, "%s", "");
	else
		collect_task_go_on(t);
}

static bool is_transient(long status)
{
	return status >= 500 || status == 408 || status == 425 || status == 429;
}

/* A rule of on_error holds. */
static void obey(struct collect_task *t, const struct http_result *http)
{
	char words[256], more[300];
	error_watch_words(&t->watch, http->status, words, sizeof(words));
	switch (t->watch.hit->then) {
	case THEN_SKIP:
		page_restart(&t->page);
		t->stop = "on_error";
		log_info(MAIN, "answer_skipped", KV_STR("job", t->task->job),
			KV_INT("task", t->task->id), KV_STR("reason", words));
		collect_task_end(t, ENDING_DONE, 0, "%s", "");
		break;
	case THEN_REFRESH:
		snprintf(more, sizeof(more), "%s%s", words,
			t->renewed ? ": another token did not help" : "");
		give_up(t, more);
		break;
	case THEN_FAIL: give_up(t, words); break;
	default: retry(t, words); break;
	}
}

static void judge_answer(struct collect_task *t, const struct http_result *http)
{
	char words[256];
	if (t->watch.hit) {
		obey(t, http);
		return;
	}
	if (t->page_failed) {
		retry(t, t->page.err.text);
		return;
	}
	if (http->status >= 200 && http->status <= 299) {
		page_over(t, http);
		return;
	}
	snprintf(words, sizeof(words), "HTTP %ld", http->status);
	if (is_transient(http->status))
		retry(t, words);
	else
		give_up(t, words);
}

static void judge_failure(struct collect_task *t, const struct http_result *http)
{
	char words[800];
	if (http->outcome == HTTP_OK || t->watch.hit) {
		judge_answer(t, http);
		return;
	}
	if (http->outcome == HTTP_CANCELLED && t->page.err.code)
		snprintf(words, sizeof(words), "%s", t->page.err.text);
	else
		snprintf(words, sizeof(words), "%s: %s", http_outcome_name(http->outcome),
			http->error);
	if (http->outcome == HTTP_PRIVATE || http->outcome == HTTP_TOO_LARGE ||
		http->outcome == HTTP_REDIRECT || http->outcome == HTTP_PROXY)
		give_up(t, words);
	else
		retry(t, words);
}

static void on_done(void *arg, const struct fetch_result *result)
{
	struct collect_task *t = arg;
	t->fetch = NULL;
	t->unsure = result->unsure;
	t->renewed = result->renewed;
	if (!result->http || result->http->status <= 0)
		t->watch.hit = NULL; /* an earlier try's */
	t->requests += result->requests;
	t->bytes += result->http ? result->http->body_bytes : 0;
	worker_ticket_touch(t->ticket);
	switch (result->outcome) {
	case FETCH_ANSWER: judge_answer(t, result->http); break;
	case FETCH_FAILED: judge_failure(t, result->http); break;
	case FETCH_LATER:
		/* The server's own wish, after a call: one that never stops wishing is given up. */
		if (result->http) {
			later(t, result);
			break;
		}
		collect_task_end(t, ENDING_PUT_BACK,
			MAX(result->wait_ms - EARLY_MS, (int64_t)LATER_MIN_MS), "%s",
			"waits for a limit");
		break;
	}
}

static int send_call(struct collect_task *t, struct err *err)
{
	static const struct fetch_ops ops = {
		.peek = on_peek,
		.judge = on_judge,
		.body = on_body,
		.restart = on_restart,
		.going = on_going,
		.refused = on_refused,
		.done = on_done,
	};
	const struct config_provider *p = t->plan->provider;
	job_limits_of(&t->plan->limits, t->call.url, &t->limits);
	struct oauth *oauth = collector_oauth(t->collector, p->name);
	const struct fetch_spec spec = {
		.request = { .method = t->call.method,
			.url = t->call.url,
			.headers = t->call.headers,
			.body = t->call.body,
			.body_len = t->call.body_len,
			.profile = auth_profile(p),
			.once = t->call.once,
			.connect_ms = p->timeout.connect_ms,
			.idle_ms = p->timeout.idle_ms,
			.total_ms = p->timeout.total_ms,
			.max_body = t->plan->spec->max_body,
			.allow_private = p->is_private },
		.auth = { t->plan->auth_headers, p->auth.query },
		.tokens = oauth ? &oauth_tokens : NULL,
		.tokens_arg = oauth,
		.redirects = true,
		.limits = t->limits.specs,
		.limit_count = t->limits.count,
		.places = hosts_places(t->collector->hosts, p),
		.retry = { .attempts = p->retry.attempts,
			.when = &p->retry.when,
			.backoff_initial_ms = p->retry.backoff.initial_ms,
			.backoff_factor = p->retry.backoff.factor,
			.backoff_max_ms = p->retry.backoff.max_ms,
			.jitter = p->retry.backoff.jitter },
		.context = { .job = t->task->job,
			.provider = p->name,
			.run = t->task->run_id,
			.task = t->task->id },
		.max_wait_ms = MAX_WAIT_MS,
	};
	return fetch_start(&t->fetch, t->collector->fetcher, &spec, &ops, t, err);
}

static int start_page(struct collect_task *t, struct err *err)
{
	const struct position at = t->page.at;
	call_finish(&t->call);
	t->unsure = false;
	int rc = call_init(&t->call, t->plan, t->value, &at, err);
	if (rc == 0)
		rc = page_begin(&t->page, &at, err);
	if (rc < 0)
		return rc;
	error_watch_reset(&t->watch);
	t->page_failed = false;
	return send_call(t, err);
}

void collect_task_marked(struct collect_task *t)
{
	t->marking = false;
	t->marked = true;
	if (t->fetch)
		fetch_go(t->fetch);
}

void collect_task_go_on(struct collect_task *t)
{
	struct err err;
	if (t->ending == ENDING_NONE && !t->fetch && !t->reading && !is_far_ahead(t)) {
		if (t->collector->winding) {
			collect_task_end(t, ENDING_PUT_BACK, 0, "%s", "draining");
			return;
		}
		if (t->collector->sample && t->collector->sampled >= t->collector->sample) {
			collect_task_end(t, ENDING_DONE, 0, "%s", "");
			return;
		}
		if (tasks_of_needed(t)) {
			if (tasks_of_go_on(t, &err) < 0)
				collect_task_end(t, ENDING_DEAD, 0, "%s", err.text);
			return;
		}
		if (start_page(t, &err) < 0) {
			give_up(t, err.text);
			return;
		}
	}
	if (t->fetch && !is_far_ahead(t))
		fetch_hold(t->fetch, false);
	collect_commit(t);
}

/* ---- beginning and end ---- */

static void on_timeout(void *arg)
{
	struct collect_task *t = arg;
	char span[32], words[96];
	snprintf(words, sizeof(words), "not done within %s",
		str_duration(span, sizeof(span), t->task->timeout_ms));
	retry(t, words);
}

static void on_store_wait(void *arg)
{
	collect_commit(arg);
}

void collect_task_start(struct collector *c, struct task *task)
{
	struct err err = { 0 };
	struct position at;
	bool asked = str_starts(task->checkpoint, ASKED);
	struct collect_task *t = NEW(struct collect_task);
	if (!t) {
		task_free(task); /* the lease will run out */
		return;
	}
	t->collector = c;
	t->task = task;
	list_init(&t->node);
	list_init(&t->ready);
	list_init(&t->page.held);
	list_add_tail(&c->tasks, &t->node);
	c->running++;
	t->timeout = loop_timer_new(c->loop, on_timeout, t);
	t->store_wait = loop_timer_new(c->loop, on_store_wait, t);
	t->ticket = worker_ticket_new(c->worker, task->timeout_ms);
	t->plan = collector_plan(c, task->job);
	if (!t->timeout || !t->store_wait || !t->ticket) {
		collect_task_free(t);
		return;
	}
	if (!t->plan) {
		collect_task_end(t, ENDING_DEAD, 0, "job %s is no longer configured", task->job);
		return;
	}
	error_watch_init(&t->watch, &t->plan->spec->on_error);
	if (page_init(&t->page, t->plan, &t->ready, &err) < 0 ||
		position_read(&at, &t->page.token, task->checkpoint + (asked ? strlen(ASKED) : 0),
			t->plan->spec->paginate.start, &err) < 0) {
		collect_task_end(t, ENDING_DEAD, 0, "%s", err.text);
		return;
	}
	t->page.at = at;
	if (tasks_of_init(t, &err) < 0) {
		collect_task_end(t, ENDING_DEAD, 0, "%s", err.text);
		return;
	}
	if (asked) {
		t->marked = true;
		give_up(t,
			"it was asked for when its worker ended; it may have been received, and is "
			"not sent again");
		return;
	}
	t->page.context = (struct row_context) {
		.run_id = task->run_id, .run_started_ms = task->run_started_at, .value = t->value
	};
	if (task->timeout_ms > 0)
		loop_timer_start(t->timeout, task->timeout_ms);
	collect_task_go_on(t);
}

void collect_task_abandon(struct collect_task *t)
{
	bool sent = fetch_under_way(t->fetch);
	t->requests += fetch_cancel(t->fetch);
	t->fetch = NULL;
	struct store_tx *tx = store_tx_new(t->collector->store, 0);
	/* If memory is short its lease will run out. What is on its way to the store comes first.
	 */
	if (tx) {
		const struct run_counts counts = { .requests = t->requests, .bytes = t->bytes };
		queue_tx_guard(t->collector->queue, tx, t->task, NULL);
		queue_tx_count(tx, t->task, &counts);
		bool told = t->marked || t->marking, open = t->writing || !list_empty(&t->ready);
		if (told && !open && !sent && !t->unsure)
			collect_commit_mark(tx, t, false);
		queue_tx_put_back(tx, t->task, 0);
		store_submit(t->collector->store, tx, NULL, NULL);
	}
	collect_task_free(t);
}

void collect_task_wind_up(struct collect_task *t)
{
	if (!t->fetch)
		collect_task_go_on(t);
}
