/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * CSV (RFC 4180, and what is about): lines end with LF, CR LF or CR; a cell in quotes may hold
 * anything, its own quotes doubled. An empty cell is null, an empty one in quotes is an empty text.
 * Each row becomes a JSON object of texts. A row of another width, one with text behind a closing
 * quote and one that is not UTF-8 are rejected; a quote inside a cell that did not begin with one
 * is plain text, as in most readers. Empty lines are passed over.
 */
#include "record/reader.h"

struct csv;
int csv_new(struct csv **out, const struct record_csv *dialect, const struct record_ops *ops,
	void *arg) MUST_CHECK; /* 0, -ENOMEM */
void csv_free(struct csv *csv);
void csv_restart(struct csv *csv);
/** As record_reader_feed(), _end(). */
int csv_feed(struct csv *csv, const char *data, size_t len, struct err *err) MUST_CHECK;
int csv_end(struct csv *csv, struct err *err) MUST_CHECK;

enum { CSV_COLUMNS_MAX = 4096, CSV_ROW_MAX = 1024 * 1024 };
