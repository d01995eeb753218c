/* SPDX-License-Identifier: MIT */
#include "collect/page.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "collect/follow.h"
#include "collect/incremental.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/row.h"
#include "html/charset.h"
#include "http/hop.h"
#include "record/charset.h"
#include "record/reader.h"
#include "record/xml.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch of nothing but rejected records ends, too. */
enum { REJECTED_MAX = 1000, ROWS_FIRST = 128 };

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	list_remove(&batch->node);
	arena_free(batch->arena);
	free(batch->values);
	for (size_t i = 0; i < batch->error_count; i++)
		free(batch->errors[i]);
	free(batch);
}

static void free_all(struct list *batches)
{
	LIST_FOR_EACH_SAFE (node, batches)
		batch_free(LIST_ENTRY(node, struct batch, node));
}

struct batch *batch_new(void)
{
	struct batch *batch = NEW(struct batch);
	if (!batch)
		return NULL;
	list_init(&batch->node);
	batch->arena = arena_new(0);
	if (batch->arena)
		return batch;
	free(batch);
	return NULL;
}

static struct batch *filling(struct page *page)
{
	if (!page->filling)
		page->filling = batch_new();
	return page->filling;
}

static bool out_of_memory(struct page *page)
{
	err_set(&page->err, -ENOMEM, "out of memory");
	return false;
}

static void give_out(struct page *page)
{
	LIST_FOR_EACH_SAFE (node, &page->held) {
		struct batch *batch = LIST_ENTRY(node, struct batch, node);
		list_remove(&batch->node);
		list_add_tail(page->out, &batch->node);
		page->released = MAX(page->released, batch->after.records);
		page->high_out = MAX(page->high_out, batch->after.high);
	}
	page->held_bytes = 0;
}

/* The token lives as long as the batch. */
static bool set_after(struct batch *batch, const struct position *after)
{
	batch->after = *after;
	if (after->token)
		batch->after.token = arena_strndup(
			batch->arena, after->token, strlen(after->token));
	return !after->token || batch->after.token;
}

static bool close_batch(struct page *page)
{
	struct batch *batch = page->filling;
	if (!set_after(batch, &page->at))
		return out_of_memory(page);
	batch->after.records = page->seen;
	batch->after.high = page->high;
	page->held_bytes += arena_used(batch->arena) + batch->cap * sizeof(*batch->values);
	list_add_tail(&page->held, &batch->node);
	page->filling = NULL;
	if (page->held_bytes >= HELD_BYTES)
		give_out(page);
	return true;
}

static void reject(struct page *page, struct batch *batch, const char *why)
{
	char *text = NULL;
	batch->rejected++;
	if (batch->error_count < BATCH_ERRORS &&
		asprintf(&text, "page %" PRId64 ", record %" PRId64 ": %s", page->at.page,
			page->seen, why) >= 0)
		batch->errors[batch->error_count++] = text;
}

static struct store_value *new_row(struct batch *batch, size_t width, size_t most)
{
	size_t need = (batch->rows + 1) * width;
	if (need > batch->cap) {
		size_t cap = MAX(batch->cap * 2, MIN(most, (size_t)ROWS_FIRST) * width);
		struct store_value *values = realloc(batch->values, cap * sizeof(*values));
		if (!values)
			return NULL;
		batch->values = values;
		batch->cap = cap;
	}
	return batch->values + batch->rows * width;
}

/* How far it brings the partition: told when all of it is stored. */
static int note_cursor(struct page *page, struct json_record *record, struct err *err)
{
	const struct collect_incremental *inc = &page->plan->spec->incremental;
	struct json_value value;
	if (!inc->cursor)
		return 0;
	const struct config_column column = { .name = "incremental.cursor",
		.path = inc->cursor,
		.type = inc->type == CURSOR_TIME ? COLUMN_TIMESTAMP : COLUMN_INTEGER };
	int rc = json_record_column(record, &column, page->plan->cursor, &value, err);
	if (rc == 0 && value.type == JSON_VALUE_INT && value.i <= page->cap)
		page->high = MAX(page->high, value.i);
	return rc;
}

/* Of the records only: what is around them may hold the time of the answer. */
static void add_to_hash(struct page *page, const char *record, size_t len)
{
	const uint64_t head = len;
	(void)XXH64_update(page->hash, &head, sizeof(head));
	(void)XXH64_update(page->hash, record, len);
}

/* @return as row_make() */
static int make_row(
	struct page *page, struct batch *batch, struct store_value *row, struct err *err)
{
	int rc = note_cursor(page, page->record, err);
	return rc < 0 ? rc
		      : row_make(page->plan->rows, &page->context, page->record, batch->arena, row,
				err);
}

/* @param is_read  it lies in page->record already */
static bool take_record(struct page *page, const char *data, size_t len, bool is_read)
{
	page->seen++;
	add_to_hash(page, data, len);
	if (page->seen <= page->released)
		return true;
	struct batch *batch = filling(page);
	size_t most = (size_t)page->plan->job->store.batch;
	struct store_value *row = batch ? new_row(batch, page->plan->table.column_count, most)
					: NULL;
	if (!row)
		return out_of_memory(page);
	int rc = is_read ? 0 : json_record_read(page->record, data, len, &page->why);
	if (rc == 0)
		rc = make_row(page, batch, row, &page->why);
	if (rc == -ENOMEM)
		return out_of_memory(page);
	if (rc < 0)
		reject(page, batch, page->why.text);
	else
		batch->rows += rc == ROW_MADE;
	if (batch->rows >= most || batch->rejected >= REJECTED_MAX)
		return close_batch(page);
	return true;
}

static bool on_record(void *arg, const char *data, size_t len)
{
	return take_record(arg, data, len, false);
}

static bool on_read(void *arg, const char *data, size_t len)
{
	return take_record(arg, data, len, true);
}

static void on_rejected(void *arg, const char *why)
{
	struct page *page = arg;
	page->seen++;
	add_to_hash(page, "", 0);
	if (page->seen > page->released && filling(page))
		reject(page, page->filling, why);
}

/* UTF-8. */
static bool on_text(void *arg, const char *data, size_t len)
{
	struct page *page = arg;
	struct err err = { 0 };
	if (record_reader_feed(page->reader, data, len, &err) == 0 &&
		follow_feed(page->follow, data, len, &err) == 0)
		return true;
	if (!page->err.code) /* else the receiver stopped it, and said why */
		page->err = err;
	return false;
}

int page_init(struct page *page, const struct plan *plan, struct list *out, struct err *err)
{
	const struct record_ops ops = {
		.record = on_record, .read = on_read, .rejected = on_rejected
	};
	*page = (struct page) { .plan = plan, .out = out };
	list_init(&page->held);
	page->hash = XXH64_createState();
	page->record = json_record_empty();
	if (!page->hash || !page->record)
		return err_set(err, -ENOMEM, "out of memory");
	if (plan->spec->format == FORMAT_XML)
		json_record_single_is_list(page->record);
	int rc = follow_new(&page->follow, &plan->spec->paginate, err);
	if (rc < 0)
		return rc;
	if (record_charset_new(&page->charset, on_text, page) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	struct record_options options = plan->reader;
	options.record = page->record;
	return record_reader_new(&page->reader, &options, &ops, page, err);
}

void page_finish(struct page *page)
{
	free_all(&page->held);
	batch_free(page->filling);
	page->filling = NULL;
	buf_finish(&page->head);
	record_charset_free(page->charset);
	page->charset = NULL;
	record_reader_free(page->reader);
	page->reader = NULL;
	follow_free(page->follow);
	page->follow = NULL;
	free(page->token);
	page->token = NULL;
	(void)XXH64_freeState(page->hash);
	page->hash = NULL;
	json_record_free(page->record);
	page->record = NULL;
}

static int set_token(struct page *page, const char *token, struct err *err)
{
	char *copy = token ? strdup(token) : NULL;
	if (token && !copy)
		return err_set(err, -ENOMEM, "out of memory");
	free(page->token);
	page->at.token = page->token = copy;
	return 0;
}

int page_begin(struct page *page, const struct position *at, struct err *err)
{
	page->at = *at;
	page->released = at->records;
	page->high_out = at->high;
	page->cap = incremental_cap(&page->plan->spec->incremental, clock_real_ms());
	page_restart(page);
	return at->token == page->token ? 0 : set_token(page, at->token, err);
}

void page_restart(struct page *page)
{
	free_all(&page->held);
	batch_free(page->filling);
	page->filling = NULL;
	page->held_bytes = 0;
	page->seen = 0;
	page->high = page->high_out;
	page->err = (struct err) { 0 };
	page->stop = STOP_NOT;
	page->begun = false;
	record_reader_restart(page->reader);
	follow_restart(page->follow);
	(void)XXH64_reset(page->hash, 0);
}

void page_type(struct page *page, const char *content_type)
{
	const char *own = page->plan->spec->charset;
	const char *name = own ? html_charset_find(own, strlen(own))
			       : html_charset_of_type(content_type ? content_type : "");
	record_charset_restart(page->charset, name);
	page->begun = true;
	page->undeclared = !name && page->plan->spec->format == FORMAT_XML;
	buf_reset(&page->head);
}

static bool give_text(struct page *page, const char *data, size_t len)
{
	struct err err = { 0 };
	if (record_charset_feed(page->charset, data, len, &err) == 0)
		return true;
	if (!page->err.code)
		page->err = err;
	return false;
}

/* The first bytes are there: an XML may say itself what it is. */
static bool end_head(struct page *page)
{
	const char *head = buf_str(&page->head);
	page->undeclared = false;
	record_charset_restart(page->charset, xml_declared_charset(head, page->head.len));
	return give_text(page, head, page->head.len);
}

static bool read_text(struct page *page, const char *data, size_t len)
{
	if (!page->begun)
		page_type(page, NULL);
	while (page->undeclared && len > 0) {
		buf_add_char(&page->head, *data);
		bool over = *data++ == '>' || page->head.len == XML_HEAD_MAX;
		len--;
		if (over && !end_head(page))
			return false;
	}
	return len == 0 || give_text(page, data, len);
}

static bool end_text(struct page *page)
{
	if (!page->begun)
		page_type(page, NULL);
	if (page->undeclared && !end_head(page))
		return false;
	return record_charset_end(page->charset, &page->err) == 0 &&
	       record_reader_end(page->reader, &page->err) == 0;
}

bool page_body(struct page *page, const char *data, size_t len)
{
	if (MUTANT(BODY_BUFFERED_WHOLE)) {
		buf_add(&page->whole, data, len);
		return true;
	}
	return read_text(page, data, len);
}

static bool has_records(struct page *page)
{
	const char *missing = record_reader_missing(page->reader);
	if (!missing || page->at.page != page->plan->spec->paginate.start)
		return true;
	err_set(&page->err, -EINVAL, "records: \"%s\" has no \"%s\" in the answer",
		page->plan->records->text, missing);
	return false;
}

/* The next page's URL, whole: it must still lead there when this page is forgotten. */
static enum page_end resolve(
	struct page *page, const struct page_origin *origin, struct page_facts *facts, char **url)
{
	const struct collect_paginate *paginate = &page->plan->spec->paginate;
	if (!facts->token || (paginate->by != PAGINATE_NEXT && paginate->by != PAGINATE_LINK))
		return PAGE_MORE;
	int rc = paginate_resolve(
		url, page->plan->provider->base_url, origin->url, facts->token, &page->err);
	/* It lies in the checkpoint: without the key that a server may repeat. */
	if (rc == 0) {
		char *clean = hop_without(*url, &page->plan->provider->auth.query);
		free(*url);
		*url = clean;
		rc = clean ? 0 : err_set(&page->err, -ENOMEM, "the next page's URL: no memory");
	}
	facts->token = *url;
	return rc == 0 ? PAGE_MORE : rc == -ENOMEM ? PAGE_BAD : PAGE_REFUSED;
}

/* The last batch carries the task over to the next page. */
static bool carry_over(struct page *page, const struct position *next)
{
	struct err err = { 0 };
	if (page->filling || list_empty(&page->held)) {
		if (!filling(page) || !close_batch(page))
			return out_of_memory(page);
	}
	struct list *last = list_empty(&page->held) ? page->out->prev : page->held.prev;
	if (!set_after(LIST_ENTRY(last, struct batch, node), next))
		return out_of_memory(page);
	give_out(page);
	page->at = *next;
	return set_token(page, next->token, &err) == 0 || out_of_memory(page);
}

static enum page_end end_of(enum paginate_stop stop)
{
	switch (stop) {
	case STOP_NOT: return PAGE_MORE;
	case STOP_MAX_PAGES: return PAGE_CUT;
	case STOP_REPEATED_PAGE: return PAGE_REPEATED;
	case STOP_REPEATED_TOKEN: return PAGE_STUCK;
	default: return PAGE_LAST;
	}
}

static void read_whole(struct page *page)
{
	(void)!read_text(page, buf_str(&page->whole), page->whole.len);
	buf_finish(&page->whole);
}

enum page_end page_end(struct page *page, const struct page_origin *origin)
{
	if (MUTANT(BODY_BUFFERED_WHOLE))
		read_whole(page);
	char hash[POSITION_HASH];
	struct follow_words words;
	struct position next;
	if (page->err.code || !end_text(page) || !has_records(page) ||
		follow_end(page->follow, &words, &page->err) < 0)
		return PAGE_BAD;
	snprintf(hash, sizeof(hash), "%016" PRIx64, (uint64_t)XXH64_digest(page->hash));
	struct page_facts facts = { .seen = page->seen,
		.hash = hash,
		.token = origin->token ? origin->token : words.token,
		.total = words.total,
		.more = words.more };
	CLEANUP(freep) char *url = NULL;
	enum page_end end = resolve(page, origin, &facts, &url);
	if (end != PAGE_MORE)
		return end;
	page->at.high = page->high;
	page->stop = paginate_next(
		&page->plan->spec->paginate, &page->at, &facts, &next, &page->err);
	end = end_of(page->stop);
	if (end == PAGE_REPEATED)
		return end;
	return carry_over(page, &next) ? end : PAGE_BAD;
}
