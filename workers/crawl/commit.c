/* SPDX-License-Identifier: MIT */
/* What came of a page, as one transaction with the guard first. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "crawl/crawl.h"
#include "crawl/known.h"
#include "crawl/page.h"
#include "log/log.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include "store/store.h"
#include "json/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	REDIRECTS_MAX = 10,
	STORE_AWAY_MS = 1000, /* what is done is kept, and tried again */
};

static void submit(struct page *page);
static void on_context(void *arg, const struct store_result *result);
static void on_committed(void *arg, const struct store_result *result);

/* Who linked here, and how many redirects in a row led here: told in errors, and a bound. */
static void read_context(struct page *page)
{
	static const char sql[] =
		"WITH RECURSIVE hop(url, n) AS (SELECT CAST($2 AS TEXT), 0 UNION ALL"
		" SELECT p.url, hop.n + 1 FROM hop"
		" JOIN drover_url c ON c.run_id = $1 AND c.url = hop.url"
		" JOIN drover_url p ON p.run_id = $1 AND p.url = c.referrer"
		" WHERE p.state = 'skipped' AND p.status BETWEEN 301 AND 308 AND hop.n < 10)"
		" SELECT (SELECT referrer FROM drover_url WHERE run_id = $1 AND url = $2),"
		" (SELECT MAX(n) FROM hop)";
	const struct store_value params[] = { STORE_VALUE_INT(page->task->run_id),
		store_text(page->task->payload) };
	struct store_tx *tx = store_tx_new(page->crawl->store, STORE_READ_ONLY);
	if (!tx) {
		loop_timer_start(page->again, STORE_AWAY_MS);
		return;
	}
	store_tx_sql(tx, sql, params, ARRAY_SIZE(params));
	store_submit(page->crawl->store, tx, on_context, page);
}

void page_commit(struct page *page)
{
	bool needs = page->end == END_FAILED || page->end == END_MOVED;
	if (needs && !page->context_known)
		read_context(page);
	else
		submit(page);
}

static void on_context(void *arg, const struct store_result *result)
{
	struct page *page = arg;
	if (store_result_status(result) != STORE_OK) {
		loop_timer_start(page->again, STORE_AWAY_MS);
		return;
	}
	const char *referrer = store_result_rows(result, 0) ? store_result_text(result, 0, 0, 0)
							    : NULL;
	page->referrer = referrer ? strdup(referrer) : NULL;
	page->redirects = store_result_rows(result, 0) ? store_result_int(result, 0, 0, 1) : 0;
	page->context_known = true;
	if (page->end == END_MOVED && page->status && page->redirects >= REDIRECTS_MAX) {
		page->end = END_FAILED;
		snprintf(page->reason, sizeof(page->reason), "more than %d redirects",
			REDIRECTS_MAX);
	}
	submit(page);
}

/* ---- rows ---- */

static int bytes_value(
	struct page *page, const struct json_value *value, struct store_value *out, struct err *err)
{
	unsigned char *bytes = arena_alloc(page->arena, value->len / 4 * 3 + 2);
	ssize_t len = bytes ? json_base64(bytes, value->text, value->len) : 0;
	*out = store_bytes(bytes, len > 0 ? (size_t)len : 0, STORE_BLOB);
	return bytes ? 0 : err_set(err, -ENOMEM, "no memory");
}

static int column_value(struct page *page, size_t column, const char *text, struct store_value *out,
	struct err *err)
{
	const struct store_column *c = &page->plan->table.columns[column];
	struct json_value value;
	if (!text)
		return 0;
	if (c->type == COLUMN_JSON) {
		CLEANUP(json_record_freep) struct json_record *record = NULL;
		if (json_record_new(&record, text, strlen(text), err) < 0)
			return err_wrap(err, "field %s", c->name);
	}
	if (!*text && c->type != COLUMN_TEXT)
		return 0;
	if (json_value_from_text(&value, c->type, text, strlen(text)) < 0)
		return err_set(err, -EINVAL, "field %s: \"%.100s\" is not %s", c->name, text,
			json_type_words(c->type));
	switch (value.type) {
	case JSON_VALUE_NULL: break;
	case JSON_VALUE_INT: *out = STORE_VALUE_INT(value.i); break;
	case JSON_VALUE_REAL: *out = STORE_VALUE_REAL(value.real); break;
	case JSON_VALUE_TEXT: *out = store_bytes(value.text, value.len, STORE_TEXT); break;
	case JSON_VALUE_BASE64: return bytes_value(page, &value, out, err);
	}
	return 0;
}

/* The row in the order of the table's columns; -EINVAL: a field does not fit its column. */
static int row_values(struct page *page, struct store_value *values, struct err *err)
{
	const struct plan_rule *rule = page->rule;
	for (size_t i = 0; i < page->plan->table.column_count; i++)
		values[i] = STORE_VALUE_NULL;
	values[PAGE_URL] = store_text(page->task->payload);
	values[PAGE_STATUS] = STORE_VALUE_INT(page->status);
	values[PAGE_FETCHED_AT] = STORE_VALUE_INT(page->fetched_at_ms);
	values[PAGE_CONTENT_HASH] = store_text(page->hash);
	for (size_t i = 0; rule && i < rule->count; i++) {
		int r = column_value(page, rule->columns[i], page->answer.values[i],
			&values[rule->columns[i]], err);
		if (r < 0)
			return r;
	}
	for (size_t k = 0; k < page->plan->table.key_count; k++) {
		const char *name = page->plan->table.key[k];
		size_t at = 0;
		while (!str_eq(page->plan->table.columns[at].name, name))
			at++;
		if (values[at].type == STORE_NULL)
			return err_set(err, -EINVAL, "field %s: a key cannot be empty", name);
	}
	return 0;
}

static void tell(struct page *page, struct store_tx *tx, const char *what)
{
	char text[URL_MAX_DEFAULT * 2 + 600];
	snprintf(text, sizeof(text), "%s: %s%s%s%s", what, page->task->payload,
		page->referrer ? " (linked from " : "", page->referrer ? page->referrer : "",
		page->referrer ? ")" : "");
	queue_tx_error(tx, page->task, text);
}

static void add_row(struct page *page, struct store_tx *tx)
{
	struct err err = { 0 };
	struct store_value *values = arena_alloc(
		page->arena, page->plan->table.column_count * sizeof(*values));
	int r = values ? row_values(page, values, &err) : err_set(&err, -ENOMEM, "no memory");
	page->counts.rows = r == 0;
	page->counts.rejected = r < 0;
	if (r < 0) {
		tell(page, tx, err.text);
		return;
	}
	store_tx_table(tx, &page->plan->table);
	store_tx_upsert(tx, &page->plan->table, values, 1);
}

/* ---- links ---- */

/* The child's words about links are bytes from outside: each is read again. */
static bool take_link(
	struct page *page, const struct html_page_link *link, struct frontier_url *out)
{
	CLEANUP(url_freep) struct url *url = NULL;
	CLEANUP(freep) char *canonical = NULL;
	if (url_parse(&url, link->url, URL_MAX_DEFAULT, NULL) < 0 ||
		url_canonical(&canonical, link->url, 0, URL_MAX_DEFAULT, NULL) < 0 ||
		!str_eq(canonical, link->url))
		return false;
	*out = (struct frontier_url) {
		.url = link->url,
		.referrer = page->task->payload,
		.depth = page->task->depth + 1,
		.skip_reason = plan_refuses(page->plan, url, page->task->depth + 1),
	};
	if (!out->skip_reason && link->nofollow && page->plan->obey_nofollow)
		out->skip_reason = "nofollow";
	return !known_has(
		page->crawl->known, page->task->run_id, out->skip_reason != NULL, out->url);
}

static void add_links(struct page *page, struct store_tx *tx)
{
	const struct html_page *html = &page->answer.page;
	struct frontier_url *urls = arena_alloc(
		page->arena, (html->link_count + 1) * sizeof(*urls));
	size_t count = 0;
	if (!urls) {
		tell(page, tx, "no memory for its links");
		return;
	}
	for (size_t i = 0; i < html->link_count; i++)
		if (take_link(page, &html->links[i], &urls[count]))
			count++;
	queue_tx_frontier(tx, page->task, urls, count, page->plan->max_pages);
	page->urls = urls;
	page->url_count = count;
}

static void add_target(struct page *page, struct store_tx *tx)
{
	CLEANUP(url_freep) struct url *url = NULL;
	struct frontier_url target = {
		.url = page->target, .referrer = page->task->payload, .depth = page->task->depth
	};
	if (url_parse(&url, page->target, URL_MAX_DEFAULT, NULL) < 0)
		return;
	target.skip_reason = plan_refuses(page->plan, url, page->task->depth);
	queue_tx_frontier(tx, page->task, &target, 1, page->plan->max_pages);
}

/* ---- the transaction ---- */

static void add_row_end(struct page *page, struct store_tx *tx)
{
	const struct html_page *html = &page->answer.page;
	bool kept = !(html->noindex && page->plan->obey_robots);
	const char *reason = page->reason[0] ? page->reason : NULL;
	if (kept)
		add_row(page, tx);
	if (reason)
		tell(page, tx, page->reason);
	if (html->cut)
		tell(page, tx, "some of its links are left out: they are too many or too long");
	add_links(page, tx);
	queue_tx_url_state(tx, page->task, "fetched", page->status, kept ? reason : "noindex");
	queue_tx_done(tx, page->task);
}

static void add_retry(struct page *page, struct store_tx *tx)
{
	const struct task *task = page->task;
	int64_t delay = MAX(page->delay_ms, queue_backoff_ms(&page->plan->backoff, task->attempt));
	/* The last attempt: the URL's state says so too. */
	if (task->attempt >= task->max_attempts)
		queue_tx_url_state(tx, task, "failed", page->status, page->reason);
	queue_tx_retry(tx, task, page->reason, delay);
}

static void add_end(struct page *page, struct store_tx *tx)
{
	const struct task *task = page->task;
	switch (page->end) {
	case END_ROW: add_row_end(page, tx); break;
	case END_SKIPPED:
		queue_tx_url_state(tx, task, "skipped", page->status, page->reason);
		queue_tx_done(tx, task);
		break;
	case END_FAILED:
		tell(page, tx, page->reason);
		queue_tx_url_state(tx, task, "failed", page->status, page->reason);
		queue_tx_done(tx, task);
		break;
	case END_MOVED:
		queue_tx_url_state(tx, task, "skipped", page->status, page->reason);
		add_target(page, tx);
		queue_tx_done(tx, task);
		break;
	case END_RETRY: add_retry(page, tx); break;
	case END_PUT_BACK: queue_tx_put_back(tx, task, MAX(page->delay_ms, (int64_t)100)); break;
	case END_DEAD:
		queue_tx_url_state(tx, task, "failed", page->status, page->reason);
		queue_tx_dead(tx, task, page->reason);
		break;
	}
}

static void submit(struct page *page)
{
	struct store_tx *tx = store_tx_new(page->crawl->store, 0);
	if (!tx) {
		loop_timer_start(page->again, STORE_AWAY_MS);
		return;
	}
	queue_tx_guard(page->crawl->queue, tx, page->task, NULL);
	add_end(page, tx);
	queue_tx_count(tx, page->task, &page->counts);
	store_submit(page->crawl->store, tx, on_committed, page);
}

static void count(struct page *page)
{
	struct stats_slot *stats = page->crawl->stats;
	const struct task *task = page->task;
	stats_add(stats, STAT_rows, (uint64_t)page->counts.rows);
	stats_add(stats, STAT_rejected, (uint64_t)page->counts.rejected);
	if (page->end == END_DEAD ||
		(page->end == END_RETRY && task->attempt >= task->max_attempts))
		stats_add(stats, STAT_tasks_dead, 1);
	else if (page->end == END_RETRY)
		stats_add(stats, STAT_tasks_retried, 1);
	else if (page->end != END_PUT_BACK)
		stats_add(stats, STAT_tasks_done, 1);
}

static void committed(struct page *page)
{
	struct crawl *crawl = page->crawl;
	for (size_t i = 0; i < page->url_count; i++)
		known_add(crawl->known, page->task->run_id, page->urls[i].skip_reason != NULL,
			page->urls[i].url);
	count(page);
	if (page->end == END_RETRY || page->end == END_DEAD)
		log_warn(MAIN, page->end == END_DEAD ? "task_dead" : "task_failed",
			KV_STR("job", page->task->job), KV_STR("url", page->task->payload),
			KV_INT("attempt", page->task->attempt), KV_STR("error", page->reason));
}

static void on_committed(void *arg, const struct store_result *result)
{
	struct page *page = arg;
	struct crawl *crawl = page->crawl;
	switch (store_result_status(result)) {
	case STORE_OK: committed(page); break;
	case STORE_CONFLICT: /* it was taken from us: what it did counts nowhere */
		log_info(MAIN, "task_lost", KV_INT("task", page->task->id),
			KV_STR("url", page->task->payload));
		queue_let_go(crawl->queue, page->task);
		break;
	case STORE_UNAVAILABLE: loop_timer_start(page->again, STORE_AWAY_MS); return;
	case STORE_FAILED:
		log_error(MAIN, "store_refused", KV_STR("job", page->task->job),
			KV_STR("url", page->task->payload),
			KV_STR("error", store_result_error(result)));
		if (page->end == END_DEAD) {
			queue_give_up(crawl->queue, page->task, "the store refused how it ended");
			break;
		}
		page->end = END_DEAD;
		page->counts.rows = 0;
		str_copy(page->reason, sizeof(page->reason), store_result_error(result));
		submit(page);
		return;
	}
	page_free(page);
	crawl_page_gone(crawl);
}
