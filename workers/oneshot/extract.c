/* SPDX-License-Identifier: MIT */
/* Answers that are there already: what a path finds in one, what a job makes of one. */
#include "base/err.h"
#include "base/json_out.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/page.h"
#include "collect/plan.h"
#include "config/config.h"
#include "config/kind.h"
#include "oneshot/oneshot.h"
#include "oneshot/rows.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_MAX = 64 * 1024 * 1024, PIECE = 65536 };

static int read_input(struct buf *in)
{
	ssize_t n;
	in->max = INPUT_MAX;
	do {
		char *at = buf_reserve(in, PIECE);
		if (!at)
			return oneshot_fail(
				ONESHOT_FAILED, "the input is larger than %d MiB", INPUT_MAX >> 20);
		n = read(STDIN_FILENO, at, PIECE);
		in->len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n == -1 && errno == EINTR));
	return n == 0 ? ONESHOT_DONE
		      : oneshot_fail(ONESHOT_FAILED, "read the input: %s", strerror(errno));
}

int oneshot_json(struct oneshot *o, const char *text)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	CLEANUP(buf_finish) struct buf in = BUF_INIT;
	struct err err = { 0 };
	if (json_path_new(&path, text, &err) < 0)
		return oneshot_fail(ONESHOT_USAGE, "path '%s': %s", text, err.text);
	int code = read_input(&in);
	if (code != ONESHOT_DONE)
		return code;
	if (json_record_new(&record, buf_str(&in), in.len, &err) < 0)
		return oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	json_open_array(o->out, "values");
	json_record_select(record, path, o->out);
	json_close_array(o->out);
	return ONESHOT_DONE;
}

static void write_batches(struct json_out *out, const struct plan *plan, const struct list *batches)
{
	json_open_array(out, "rows");
	LIST_FOR_EACH (node, batches) {
		const struct batch *batch = LIST_ENTRY(node, struct batch, node);
		for (size_t i = 0; i < batch->rows; i++)
			rows_row(out, &plan->table, &batch->values[i * plan->table.column_count]);
	}
	json_close_array(out);
}

static int64_t write_errors(struct json_out *out, const struct list *batches)
{
	int64_t rejected = 0;
	json_open_array(out, "errors");
	LIST_FOR_EACH (node, batches) {
		const struct batch *batch = LIST_ENTRY(node, struct batch, node);
		rejected += batch->rejected;
		for (size_t i = 0; i < batch->error_count; i++)
			json_str(out, NULL, batch->errors[i]);
	}
	json_close_array(out);
	return rejected;
}

/* The worker's own page, with nobody to fetch the next one. */
static int take_page(struct oneshot *o, const struct plan *plan, const struct buf *in)
{
	struct page page = { 0 };
	struct list batches;
	struct err err = { 0 };
	const struct position at = { .page = 1 };
	const struct page_origin origin = { .url = "" };
	list_init(&batches);
	list_init(&page.held);
	int code = ONESHOT_DONE;
	if (page_init(&page, plan, &batches, &err) < 0 || page_begin(&page, &at, &err) < 0) {
		code = oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	} else {
		bool read = page_body(&page, buf_str(in), in->len);
		int64_t seen = page.seen;
		if (!read || page_end(&page, &origin) == PAGE_BAD)
			code = oneshot_fail(ONESHOT_FAILED, "%s", page.err.text);
		json_str(o->out, "job", o->job->name);
		json_int(o->out, "records", MAX(seen, page.seen));
		write_batches(o->out, plan, &batches);
		json_int(o->out, "rejected", write_errors(o->out, &batches));
	}
	LIST_FOR_EACH_SAFE (node, &batches)
		batch_free(LIST_ENTRY(node, struct batch, node));
	page_finish(&page);
	return code;
}

int oneshot_records(struct oneshot *o)
{
	CLEANUP(buf_finish) struct buf in = BUF_INIT;
	struct plan *plan = NULL;
	struct err err = { 0 };
	if (!str_eq(o->job->kind->name, "collect"))
		return oneshot_fail(ONESHOT_USAGE, "job '%s' takes no JSON", o->job->name);
	int code = read_input(&in);
	/* Where the next page would be is another question. */
	((struct collect_job *)o->job->spec)->paginate =
		(struct collect_paginate) { .by = PAGINATE_NONE };
	if (code == ONESHOT_DONE && plan_new(&plan, o->job, &err) < 0)
		code = oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	if (code == ONESHOT_DONE)
		code = take_page(o, plan, &in);
	plan_free(plan);
	return code;
}
