/* SPDX-License-Identifier: MIT */
#include "collect/page.h"

#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "json/path.h"
#include "json/record.h"
#include "json/scan.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch of nothing but rejected records ends, too. */
enum { REJECTED_MAX = 1000 };

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

static struct batch *filling(struct page *page)
{
	if (page->filling)
		return page->filling;
	struct batch *batch = NEW(struct batch);
	if (!batch)
		return NULL;
	list_init(&batch->node);
	batch->arena = arena_new(0);
	if (!batch->arena) {
		free(batch);
		return NULL;
	}
	return page->filling = batch;
}

static void give_out(struct page *page)
{
	LIST_FOR_EACH_SAFE (node, &page->held) {
		struct batch *batch = LIST_ENTRY(node, struct batch, node);
		list_remove(&batch->node);
		list_add_tail(page->out, &batch->node);
		page->released = MAX(page->released, batch->after.records);
	}
	page->held_bytes = 0;
}

static void close_batch(struct page *page)
{
	struct batch *batch = page->filling;
	batch->after = page->at;
	batch->after.records = page->seen;
	page->held_bytes += arena_used(batch->arena) + batch->cap * sizeof(*batch->values);
	list_add_tail(&page->held, &batch->node);
	page->filling = NULL;
	if (page->held_bytes >= HELD_BYTES)
		give_out(page);
}

static bool out_of_memory(struct page *page)
{
	err_set(&page->err, -ENOMEM, "out of memory");
	return false;
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

static struct store_value *new_row(struct batch *batch, size_t width)
{
	size_t need = (batch->rows + 1) * width;
	if (need > batch->cap) {
		size_t cap = MAX(batch->cap * 2, need);
		struct store_value *values = realloc(batch->values, cap * sizeof(*values));
		if (!values)
			return NULL;
		batch->values = values;
		batch->cap = cap;
	}
	return batch->values + batch->rows * width;
}

static int keep_bytes(struct batch *batch, const struct json_value *from, struct store_value *to)
{
	unsigned char *bytes = arena_alloc(batch->arena, from->len / 4 * 3 + 2);
	ssize_t len = bytes ? json_base64(bytes, from->text, from->len) : 0;
	*to = store_bytes(bytes, len > 0 ? (size_t)len : 0, STORE_BLOB);
	return bytes ? 0 : -ENOMEM;
}

/* Texts live in the record: they move to the batch. */
static int keep(struct batch *batch, const struct json_value *from, struct store_value *to)
{
	switch (from->type) {
	case JSON_VALUE_NULL: *to = STORE_VALUE_NULL; return 0;
	case JSON_VALUE_INT: *to = STORE_VALUE_INT(from->i); return 0;
	case JSON_VALUE_REAL: *to = STORE_VALUE_REAL(from->real); return 0;
	case JSON_VALUE_BASE64: return keep_bytes(batch, from, to);
	case JSON_VALUE_TEXT: break;
	}
	const char *copy = arena_strndup(batch->arena, from->text, from->len);
	*to = store_bytes(copy, from->len, STORE_TEXT);
	return copy ? 0 : -ENOMEM;
}

static int fill_row(const struct page *page, struct batch *batch, struct json_record *record,
	struct store_value *row, struct err *err)
{
	const struct config_column *columns = page->plan->spec->fields.items;
	if (!json_record_is_object(record))
		return err_set(err, -EINVAL, "not an object");
	for (size_t i = 0; i < page->plan->table.column_count; i++) {
		struct json_value value;
		int rc = json_record_column(record, &columns[i], page->plan->paths[i], &value, err);
		if (rc < 0)
			return rc;
		if (value.type == JSON_VALUE_NULL && page->plan->is_key[i])
			return err_set(
				err, -EINVAL, "field %s: a key cannot be empty", columns[i].name);
		if (keep(batch, &value, &row[i]) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* Of the records only: what is around them may hold the time of the answer. */
static void add_to_hash(struct page *page, const char *record, size_t len)
{
	const uint64_t head = len;
	(void)XXH64_update(page->hash, &head, sizeof(head));
	(void)XXH64_update(page->hash, record, len);
}

static bool on_record(void *arg, const char *data, size_t len)
{
	struct page *page = arg;
	struct err err = { 0 };
	page->seen++;
	add_to_hash(page, data, len);
	if (page->seen <= page->released)
		return true;
	struct batch *batch = filling(page);
	struct store_value *row = batch ? new_row(batch, page->plan->table.column_count) : NULL;
	if (!row)
		return out_of_memory(page);
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	int rc = json_record_new(&record, data, len, &err);
	if (rc == 0)
		rc = fill_row(page, batch, record, row, &err);
	if (rc == -ENOMEM)
		return out_of_memory(page);
	if (rc < 0)
		reject(page, batch, err.text);
	else
		batch->rows++;
	if (batch->rows >= (size_t)page->plan->job->store.batch || batch->rejected >= REJECTED_MAX)
		close_batch(page);
	return true;
}

static void on_too_large(void *arg, uint64_t offset)
{
	struct page *page = arg;
	char why[96];
	page->seen++;
	add_to_hash(page, "", 0);
	if (page->seen <= page->released || !filling(page))
		return;
	snprintf(why, sizeof(why), "larger than %d bytes, at byte %" PRIu64, JSON_RECORD_MAX,
		offset);
	reject(page, page->filling, why);
}

int page_init(struct page *page, const struct plan *plan, struct list *out, struct err *err)
{
	const struct json_scan_ops ops = { .record = on_record, .too_large = on_too_large };
	const struct json_scan_options options = { .path = plan->records };
	*page = (struct page) { .plan = plan, .out = out };
	list_init(&page->held);
	page->hash = XXH64_createState();
	if (!page->hash)
		return err_set(err, -ENOMEM, "out of memory");
	return json_scan_new(&page->scan, &options, &ops, page, err);
}

void page_finish(struct page *page)
{
	free_all(&page->held);
	batch_free(page->filling);
	page->filling = NULL;
	json_scan_free(page->scan);
	page->scan = NULL;
	(void)XXH64_freeState(page->hash);
	page->hash = NULL;
}

void page_begin(struct page *page, const struct position *at)
{
	page->at = *at;
	page->released = at->records;
	page_restart(page);
}

void page_restart(struct page *page)
{
	free_all(&page->held);
	batch_free(page->filling);
	page->filling = NULL;
	page->held_bytes = 0;
	page->seen = 0;
	page->err = (struct err) { 0 };
	json_scan_restart(page->scan);
	(void)XXH64_reset(page->hash, 0);
}

bool page_body(struct page *page, const char *data, size_t len)
{
	struct err err = { 0 };
	if (json_scan_feed(page->scan, data, len, &err) == 0)
		return true;
	if (!page->err.code) /* else the receiver stopped it, and said why */
		page->err = err;
	return false;
}

/* The last of the first, second, fourth, eighth... page that lies before this one. */
static int64_t marked_page(const struct page *page)
{
	int64_t start = page->plan->spec->paginate.start, n = 1;
	while (n * 2 <= page->at.page - start)
		n *= 2;
	return start + n - 1;
}

static bool is_to_be_marked(const struct page *page)
{
	int64_t n = page->at.page - page->plan->spec->paginate.start + 1;
	return (n & (n - 1)) == 0;
}

static enum page_end judge(struct page *page, const char *hash)
{
	const struct collect_paginate *paginate = &page->plan->spec->paginate;
	const char *missing = json_scan_missing(page->scan);
	if (missing && page->at.page == paginate->start) {
		err_set(&page->err, -EINVAL, "records: \"%s\" has no \"%s\" in the answer",
			page->plan->records->text, missing);
		return PAGE_BAD;
	}
	if (paginate->by == PAGINATE_NONE || page->seen < paginate->size)
		return PAGE_LAST;
	int64_t earlier = str_eq(hash, page->at.last)	? page->at.page - 1
			  : str_eq(hash, page->at.mark) ? marked_page(page)
							: -1;
	if (earlier >= 0) {
		err_set(&page->err, -EINVAL,
			"page %" PRId64 " is page %" PRId64
			" again: the provider seems to ignore \"%s\"",
			page->at.page, earlier, paginate->param);
		return PAGE_REPEATED;
	}
	return page->at.page - paginate->start + 1 >= paginate->max_pages ? PAGE_CUT : PAGE_MORE;
}

enum page_end page_end(struct page *page)
{
	char hash[17];
	if (page->err.code || json_scan_end(page->scan, &page->err) < 0)
		return PAGE_BAD;
	snprintf(hash, sizeof(hash), "%016" PRIx64, (uint64_t)XXH64_digest(page->hash));
	enum page_end end = judge(page, hash);
	if (end == PAGE_REPEATED || end == PAGE_BAD)
		return end;
	/* The last batch carries the task over to the next page. */
	if (page->filling || list_empty(&page->held)) {
		if (!filling(page)) {
			(void)out_of_memory(page);
			return PAGE_BAD;
		}
		close_batch(page);
	}
	struct position next = { .page = page->at.page + 1 };
	memcpy(next.last, hash, sizeof(next.last));
	memcpy(next.mark, is_to_be_marked(page) ? hash : page->at.mark, sizeof(next.mark));
	struct list *last = list_empty(&page->held) ? page->out->prev : page->held.prev;
	LIST_ENTRY(last, struct batch, node)->after = next;
	give_out(page);
	page->at = next;
	return end;
}
