/* SPDX-License-Identifier: MIT */
#include "crawl/page.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "crawl/crawl.h"
#include "crawl/parsers.h"
#include "crawl/robots.h"
#include "html/charset.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include "store/store.h"
#include "worker/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void begin(void *arg);
static void on_timeout(void *arg);
static void commit_again(void *arg);
static void on_robots(void *arg, const struct robots_saying *saying);
static bool on_body(void *arg, const char *data, size_t len);
static void on_restart(void *arg);
static void on_fetched(void *arg, const struct fetch_result *result);
static void on_parsed(
	void *arg, enum parse_end end, const struct parse_answer *answer, const char *error);

bool page_start(struct crawl *crawl, struct task *task)
{
	struct page *page = NEW(struct page);
	if (!page) {
		task_free(task);
		return false;
	}
	page->crawl = crawl;
	page->task = task;
	page->set = plan_set_hold(crawl->plans);
	page->plan = plan_find(page->set, task->job);
	page->body.max = CRAWL_BODY_MAX;
	page->arena = arena_new(0);
	page->timer = loop_timer_new(crawl->loop, on_timeout, page);
	page->again = loop_timer_new(crawl->loop, commit_again, page);
	page->ticket = worker_ticket_new(crawl->worker, task->timeout_ms);
	list_add_tail(&crawl->pages, &page->node);
	crawl->page_count++;
	if (!page->arena || !page->timer || !page->again || !page->ticket) {
		page_free(page);
		return false;
	}
	if (task->timeout_ms > 0)
		loop_timer_start(page->timer, task->timeout_ms);
	loop_defer(crawl->loop, begin, page);
	return true;
}

static void commit_again(void *arg)
{
	page_commit(arg);
}

static void stop_work(struct page *page)
{
	loop_cancel_deferred(page->crawl->loop, page);
	loop_timer_stop(page->timer);
	robots_forget(TAKE(page->robots));
	page->counts.requests += fetch_cancel(TAKE(page->fetch));
	parsers_cancel(TAKE(page->parse));
}

void page_free(struct page *page)
{
	stop_work(page);
	store_forget(page->crawl->store, page);
	list_remove(&page->node);
	page->crawl->page_count--;
	worker_ticket_free(page->ticket);
	loop_timer_free(page->timer);
	loop_timer_free(page->again);
	arena_free(page->arena);
	url_free(page->url);
	buf_finish(&page->body);
	free(page->target);
	free(page->referrer);
	task_free(page->task);
	plan_set_drop(page->set);
	free(page);
}

/* Servers' own words may be in it, which may be no UTF-8, or be cut within a character. */
static void make_readable(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	for (size_t bad; !str_is_utf8(text, strlen(text), &bad);)
		text[bad] = '?';
}

void page_over(struct page *page, enum page_end end, const char *fmt, ...)
{
	va_list ap;
	if (page->committing)
		return;
	stop_work(page);
	page->committing = true;
	page->end = end;
	va_start(ap, fmt);
	vsnprintf(page->reason, sizeof(page->reason), fmt, ap);
	va_end(ap);
	make_readable(page->reason);
	page_commit(page);
}

static void on_timeout(void *arg)
{
	struct page *page = arg;
	char limit[32];
	page_over(page, END_RETRY, "took longer than %s",
		str_duration(limit, sizeof(limit), page->task->timeout_ms));
}

/* ---- robots, fetch ---- */

static void move_to(struct page *page, const char *target, const char *why)
{
	page->target = strdup(target);
	if (page->target)
		page_over(page, END_MOVED, "%s %s", why, target);
	else
		page_over(page, END_RETRY, "no memory");
}

static void ask_page(struct page *page, int64_t crawl_delay_ms)
{
	static const struct fetch_ops ops = {
		.body = on_body, .restart = on_restart, .done = on_fetched
	};
	struct err err = { 0 };
	worker_ticket_touch(page->ticket);
	int rc = crawl_request_init(
		&page->request, page->plan, page->url->text, crawl_delay_ms, &err);
	page->request.spec.context = (struct request_context) {
		.job = page->task->job, .run = page->task->run_id, .task = page->task->id
	};
	if (rc == 0)
		rc = fetch_start(
			&page->fetch, page->crawl->fetcher, &page->request.spec, &ops, page, &err);
	if (rc < 0)
		page_over(page, END_FAILED, "%s", err.text);
}

static void begin(void *arg)
{
	struct page *page = arg;
	CLEANUP(freep) char *canonical = NULL;
	struct err err = { 0 };
	if (!page->plan) {
		page_over(page, END_DEAD, "there is no crawl job %s any more", page->task->job);
		return;
	}
	if (url_parse(&page->url, page->task->payload, URL_MAX_DEFAULT, &err) < 0 ||
		url_canonical(&canonical, page->task->payload, 0, URL_MAX_DEFAULT, &err) < 0) {
		page_over(page, END_FAILED, "%s", err.text);
		return;
	}
	if (!str_eq(canonical, page->task->payload)) /* a start URL, as the operator wrote it */
		move_to(page, canonical, "canonical:");
	else if (!page->plan->obey_robots)
		ask_page(page, -1);
	else if (robots_ask(&page->robots, page->crawl->robots, page->plan, page->url, on_robots,
			 page) < 0)
		page_over(page, END_RETRY, "no memory");
}

static void on_robots(void *arg, const struct robots_saying *saying)
{
	struct page *page = arg;
	page->robots = NULL;
	page->counts.requests += saying->requests;
	switch (saying->say) {
	case ROBOTS_SAY_YES: ask_page(page, saying->delay_ms); break;
	case ROBOTS_SAY_NO:
	case ROBOTS_SAY_PRIVATE: page_over(page, END_SKIPPED, "%s", saying->reason); break;
	case ROBOTS_SAY_RETRY:
		page->delay_ms = saying->wait_ms;
		page_over(page, END_RETRY, "%s", saying->reason);
		break;
	case ROBOTS_SAY_LATER:
		page->delay_ms = saying->wait_ms;
		page_over(page, END_PUT_BACK, "%s", saying->reason);
		break;
	}
}

static bool on_body(void *arg, const char *data, size_t len)
{
	struct page *page = arg;
	worker_ticket_touch(page->ticket);
	buf_add(&page->body, data, len);
	return !buf_failed(&page->body);
}

static void on_restart(void *arg)
{
	struct page *page = arg;
	buf_reset(&page->body);
}

/* ---- the answer ---- */

static void take_redirect(struct page *page, const char *location)
{
	CLEANUP(url_freep) struct url *to = NULL;
	CLEANUP(freep) char *canonical = NULL;
	struct err err = { 0 };
	if (url_resolve(&to, page->url, location, strlen(location), URL_MAX_DEFAULT, &err) < 0 ||
		url_canonical(&canonical, to->text, 0, URL_MAX_DEFAULT, &err) < 0)
		page_over(page, END_FAILED, "HTTP %lld to no URL: %s", (long long)page->status,
			err.text);
	else if (str_eq(canonical, page->task->payload))
		page_over(page, END_FAILED, "HTTP %lld to itself", (long long)page->status);
	else
		move_to(page, canonical, "redirect to");
}

static void parse(struct page *page)
{
	XXH128_canonical_t digest;
	XXH128_canonicalFromHash(&digest, XXH3_128bits(buf_str(&page->body), page->body.len));
	str_hex(page->hash, digest.digest, sizeof(digest.digest));
	page->rule = plan_rule(page->plan, page->task->payload);
	struct parse_request request = {
		.page = {
			.url = page->task->payload,
			.content_type = page->content_type,
			.xpaths = page->rule ? page->rule->xpaths : NULL,
			.xpath_count = page->rule ? page->rule->count : 0,
			.body = buf_str(&page->body),
			.body_len = page->body.len,
		},
		.setup = { page->set->xpaths, page->set->xpath_count },
		.generation = page->set->generation,
		.arena = page->arena,
	};
	worker_ticket_touch(page->ticket);
	if (parsers_submit(&page->parse, page->crawl->parsers, &request, on_parsed, page) < 0)
		page_over(page, END_RETRY, "no memory");
}

static bool is_redirect(int64_t status)
{
	return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

/* Worth another try: the server or what is before it is in trouble, not the URL. */
static bool is_transient(int64_t status)
{
	return status >= 500 || status == 408 || status == 425 || status == 429;
}

static void take_status(struct page *page, const struct http_result *http)
{
	if (is_redirect(page->status) && *http->location) {
		CLEANUP(freep) char *location = strdup(http->location);
		take_redirect(page, location ? location : "");
	} else if (is_transient(page->status)) {
		page->delay_ms = MAX(http->retry_after_ms, (int64_t)0);
		page_over(page, END_RETRY, "HTTP %lld", (long long)page->status);
	} else if (page->status < 200 || page->status > 299) {
		page_over(page, END_FAILED, "HTTP %lld", (long long)page->status);
	} else if (page->content_type[0] && !html_type_is_html(page->content_type)) {
		page_over(page, END_SKIPPED, "content type %s", page->content_type);
	} else {
		parse(page);
	}
}

static void take_failure(struct page *page, const struct http_result *http)
{
	switch (http->outcome) {
	case HTTP_PRIVATE: page_over(page, END_SKIPPED, "private address"); break;
	case HTTP_TOO_LARGE: page_over(page, END_SKIPPED, "%s", http->error); break;
	case HTTP_CANCELLED: page_over(page, END_RETRY, "no memory for its body"); break;
	case HTTP_PROXY: page_over(page, END_FAILED, "%s", http->error); break;
	default:
		page_over(page, END_RETRY, "%s: %s", http_outcome_name(http->outcome), http->error);
		break;
	}
}

static void on_fetched(void *arg, const struct fetch_result *result)
{
	struct page *page = arg;
	const struct http_result *http = result->http;
	page->fetch = NULL;
	page->counts.requests += result->requests;
	worker_ticket_touch(page->ticket);
	if (result->outcome == FETCH_LATER) {
		page->delay_ms = result->wait_ms;
		page_over(page, END_PUT_BACK, "waits for a limit");
		return;
	}
	page->counts.bytes += http->body_bytes;
	page->status = http->status;
	page->fetched_at_ms = clock_real_ms();
	str_copy(page->content_type, sizeof(page->content_type), http->content_type);
	if (http->outcome == HTTP_OK)
		take_status(page, http);
	else
		take_failure(page, http);
}

static void on_parsed(
	void *arg, enum parse_end end, const struct parse_answer *answer, const char *error)
{
	struct page *page = arg;
	page->parse = NULL;
	worker_ticket_touch(page->ticket);
	switch (end) {
	case PARSE_DONE:
		buf_finish(&page->body);
		page->answer = *answer;
		if (answer->outcome == PARSE_NO_HTML)
			page_over(page, END_SKIPPED, "no content type, and not HTML");
		else
			page_over(page, END_ROW, "%s", answer->error);
		break;
	case PARSE_KILLED: page_over(page, END_RETRY, "%s", error); break;
	case PARSE_NO_CHILD:
		page->delay_ms = 5000;
		page_over(page, END_PUT_BACK, "%s", error);
		break;
	}
}
