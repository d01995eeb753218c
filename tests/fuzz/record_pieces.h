/* SPDX-License-Identifier: MIT */
#pragma once
/* What holds of every reader of records: it gives the same records, rejections or error, however
 * the text is cut. */
#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "record/reader.h"
#include "json/record.h"
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

/* One reading of the text, as a line for each record and rejection. */
struct reading {
	struct buf lines;
	struct err err;
	enum record_format format;
};

static bool keep(void *arg, const char *data, size_t len)
{
	struct reading *reading = arg;
	struct err err = { 0 };
	struct json_record *record = NULL;
	int rc = json_record_new(&record, data, len, &err);
	/* NDJSON's are looked at by whoever takes the record. */
	demand(reading->format == RECORD_NDJSON || (rc == 0 && json_record_is_object(record)));
	json_record_free(record);
	buf_add(&reading->lines, data, len);
	buf_add_char(&reading->lines, '\n');
	return true;
}

static void reject(void *arg, const char *why)
{
	struct reading *reading = arg;
	buf_add_str(&reading->lines, why);
	buf_add_char(&reading->lines, '\n');
}

static int read_pieces(const struct record_options *options, const char *text, size_t len,
	size_t piece, struct reading *out)
{
	const struct record_ops ops = { .record = keep, .rejected = reject };
	struct record_reader *reader = NULL;
	*out = (struct reading) { .lines = BUF_INIT, .format = options->format };
	demand(record_reader_new(&reader, options, &ops, out, &out->err) == 0);
	int rc = 0;
	for (size_t at = 0; at < len && rc == 0; at += piece) {
		size_t n = piece < len - at ? piece : len - at;
		char *copy = malloc(n);
		demand(copy != NULL);
		memcpy(copy, text + at, n);
		rc = record_reader_feed(reader, copy, n, &out->err);
		free(copy);
	}
	if (rc == 0)
		rc = record_reader_end(reader, &out->err);
	record_reader_free(reader);
	return rc;
}

static void demand_same_in_pieces(
	const struct record_options *options, const char *text, size_t len, size_t piece)
{
	struct reading whole, cut;
	int rc = read_pieces(options, text, len, len + 1, &whole);
	demand(read_pieces(options, text, len, piece, &cut) == rc);
	demand(whole.lines.len == cut.lines.len &&
		(whole.lines.len == 0 ||
			memcmp(whole.lines.data, cut.lines.data, whole.lines.len) == 0));
	demand(strcmp(whole.err.text, cut.err.text) == 0);
	buf_finish(&whole.lines);
	buf_finish(&cut.lines);
}
