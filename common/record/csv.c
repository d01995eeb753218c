/* SPDX-License-Identifier: MIT */
#include "record/csv.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum state {
	CELL_BEGIN, /* of a cell, perhaps of a line */
	CELL_PLAIN,
	CELL_QUOTED,
	CELL_QUOTE, /* a quote inside quotes: the end, or half of two */
	CELL_SKIP,  /* the line is not wanted, or given up */
};

struct cell {
	size_t at, len; /* in text */
	bool quoted;
};

struct csv {
	struct record_csv dialect;
	struct record_ops ops;
	void *arg;
	int failed;
	enum state state;
	uint64_t line, row_line; /* from 1: the one at hand, the one where the row began */
	int64_t skip;
	size_t mark;   /* bytes of a byte order mark that were seen; 3: none, or over */
	bool after_cr; /* an LF now belongs to the line before */
	const char *bad;
	bool oversize, any; /* any: the row holds something */
	struct buf text;    /* of the row's cells, one after the other */
	size_t cell_at;
	struct cell *cells;
	size_t count, cap;
	struct buf names; /* NUL-terminated, one after the other */
	size_t *name_at, name_count;
	struct buf json;
};

int csv_new(
	struct csv **out, const struct record_csv *dialect, const struct record_ops *ops, void *arg)
{
	struct csv *csv = NEW(struct csv);
	if (!csv)
		return -ENOMEM;
	csv->dialect = *dialect;
	csv->ops = *ops;
	csv->arg = arg;
	csv->text.max = CSV_ROW_MAX;
	csv_restart(csv);
	*out = csv;
	return 0;
}

void csv_free(struct csv *csv)
{
	if (!csv)
		return;
	buf_finish(&csv->text);
	buf_finish(&csv->names);
	buf_finish(&csv->json);
	free(csv->cells);
	free(csv->name_at);
	free(csv);
}

static void begin_row(struct csv *csv)
{
	buf_reset(&csv->text);
	csv->count = csv->cell_at = 0;
	csv->bad = NULL;
	csv->oversize = csv->any = false;
	csv->row_line = csv->line;
	csv->state = csv->skip > 0 ? CELL_SKIP : CELL_BEGIN;
}

void csv_restart(struct csv *csv)
{
	csv->failed = 0;
	csv->line = 1;
	csv->skip = csv->dialect.skip;
	csv->mark = 0;
	csv->after_cr = false;
	csv->name_count = 0;
	buf_reset(&csv->names);
	begin_row(csv);
}

static int out_of_memory(struct csv *csv, struct err *err)
{
	return err_set(err, csv->failed = -ENOMEM, "csv: out of memory");
}

/* ---- names ---- */

static int add_name(struct csv *csv, const char *name, size_t len, struct err *err)
{
	for (size_t i = 0; i < csv->name_count; i++) {
		const char *other = csv->names.data + csv->name_at[i];
		if (len && strlen(other) == len && memcmp(other, name, len) == 0)
			return err_set(err, csv->failed = -EINVAL,
				"csv, line %" PRIu64 ": two columns are named \"%.60s\"",
				csv->row_line, other);
	}
	csv->name_at[csv->name_count++] = csv->names.len;
	buf_add(&csv->names, name, len);
	buf_add_char(&csv->names, '\0');
	return 0;
}

static int make_room_for_names(struct csv *csv, size_t count, struct err *err)
{
	size_t *room = realloc(csv->name_at, (count + 1) * sizeof(*room));
	if (!room)
		return out_of_memory(csv, err);
	csv->name_at = room;
	return 0;
}

/* Those of the configuration were checked with it. */
static int take_given_names(struct csv *csv, struct err *err)
{
	const struct config_strings *columns = csv->dialect.columns;
	int rc = make_room_for_names(csv, columns->count, err);
	for (size_t i = 0; i < columns->count && rc == 0; i++)
		rc = add_name(csv, columns->items[i], strlen(columns->items[i]), err);
	return rc == 0 && buf_failed(&csv->names) ? out_of_memory(csv, err) : rc;
}

static int take_header(struct csv *csv, struct err *err)
{
	if (csv->bad || csv->oversize)
		return err_set(err, csv->failed = -EINVAL, "csv, line %" PRIu64 ": %s",
			csv->row_line,
			csv->bad ? csv->bad : "the names of the columns are too long");
	if (!str_is_utf8(buf_str(&csv->text), csv->text.len, NULL) ||
		memchr(buf_str(&csv->text), '\0', csv->text.len))
		return err_set(err, csv->failed = -EINVAL,
			"csv, line %" PRIu64 ": the names of the columns are not valid UTF-8",
			csv->row_line);
	int rc = make_room_for_names(csv, csv->count, err);
	for (size_t i = 0; i < csv->count && rc == 0; i++)
		rc = add_name(csv, buf_str(&csv->text) + csv->cells[i].at, csv->cells[i].len, err);
	return rc == 0 && buf_failed(&csv->names) ? out_of_memory(csv, err) : rc;
}

/* ---- rows ---- */

static void reject(struct csv *csv, const char *why)
{
	char words[200];
	snprintf(words, sizeof(words), "line %" PRIu64 ": %s", csv->row_line, why);
	csv->ops.rejected(csv->arg, words);
}

/* @return whether the row is sound */
static bool judge_row(struct csv *csv)
{
	char words[120];
	if (csv->oversize) {
		snprintf(words, sizeof(words), "larger than %d bytes", CSV_ROW_MAX);
		reject(csv, words);
	} else if (csv->bad) {
		reject(csv, csv->bad);
	} else if (csv->count != csv->name_count) {
		snprintf(words, sizeof(words), "%zu cells where there are %zu columns", csv->count,
			csv->name_count);
		reject(csv, words);
	} else if (!str_is_utf8(buf_str(&csv->text), csv->text.len, NULL)) {
		reject(csv, "not valid UTF-8");
	} else {
		return true;
	}
	return false;
}

static int give_row(struct csv *csv, struct err *err)
{
	struct json_out json;
	if (!judge_row(csv))
		return 0;
	buf_reset(&csv->json);
	json_out_init(&json, &csv->json);
	json_open_object(&json, NULL);
	for (size_t i = 0; i < csv->count; i++) {
		const struct cell *cell = &csv->cells[i];
		const char *name = csv->names.data + csv->name_at[i];
		if (!*name)
			continue; /* nobody can ask for it */
		if (cell->len || cell->quoted)
			json_strn(&json, name, buf_str(&csv->text) + cell->at, cell->len);
		else
			json_none(&json, name);
	}
	json_close_object(&json);
	if (buf_failed(&csv->json))
		return out_of_memory(csv, err);
	/* The fuzzer must find this one: a quoted cell that holds a line end and is the last. */
	if (MUTANT(FUZZ_CSV) && csv->count > 1 && csv->cells[csv->count - 1].quoted &&
		memchr(buf_str(&csv->text) + csv->cells[csv->count - 1].at, '\n',
			csv->cells[csv->count - 1].len))
		abort();
	if (!csv->ops.record(csv->arg, csv->json.data, csv->json.len))
		return err_set(err, csv->failed = -ECANCELED, "csv: stopped");
	return 0;
}

static int end_cell(struct csv *csv, struct err *err)
{
	if (csv->count == csv->cap) {
		size_t cap = MAX(csv->cap * 2, (size_t)16);
		struct cell *cells = realloc(csv->cells, cap * sizeof(*cells));
		if (!cells)
			return out_of_memory(csv, err);
		csv->cells = cells;
		csv->cap = cap;
	}
	if (csv->count == CSV_COLUMNS_MAX) {
		csv->bad = "more cells than a row may have";
		csv->state = CELL_BEGIN;
		return 0;
	}
	csv->oversize |= buf_failed(&csv->text);
	csv->cells[csv->count++] = (struct cell) { csv->cell_at, csv->text.len - csv->cell_at,
		csv->state == CELL_QUOTE };
	csv->cell_at = csv->text.len;
	csv->state = CELL_BEGIN;
	return 0;
}

static int end_row(struct csv *csv, struct err *err)
{
	int rc = 0;
	if (csv->state == CELL_SKIP && !csv->any) {
		csv->skip -= csv->skip > 0;
	} else if (csv->any) {
		rc = end_cell(csv, err);
		if (rc == 0 && !csv->name_count && csv->dialect.columns &&
			csv->dialect.columns->count)
			rc = take_given_names(csv, err);
		if (rc == 0)
			rc = csv->name_count ? give_row(csv, err) : take_header(csv, err);
	}
	begin_row(csv);
	return rc;
}

/* ---- bytes ---- */

/* What stays: from here to the next byte that means something. */
static size_t plain_bytes(struct csv *csv, const char *data, size_t at, size_t len)
{
	size_t from = at;
	const char *special = NULL;
	if (csv->state == CELL_QUOTED) {
		special = memchr(data + at, csv->dialect.quote, len - at);
		at = special ? (size_t)(special - data) : len;
		for (const char *p = data + from; (p = memchr(p, '\n', (size_t)(data + at - p)));
			p++)
			csv->line++;
	} else {
		while (at < len && data[at] != csv->dialect.delimiter && data[at] != '\n' &&
			data[at] != '\r')
			at++;
	}
	csv->any = true;
	buf_add(&csv->text, data + from, at - from);
	if (buf_failed(&csv->text)) {
		csv->oversize = true;
		buf_reset(&csv->text);
		csv->cell_at = csv->count = 0;
	}
	return at;
}

static int line_end(struct csv *csv, char c, struct err *err)
{
	csv->line++;
	csv->after_cr = c == '\r';
	return end_row(csv, err);
}

/* One byte that means something where it stands. @return 1: not here, it is plain */
static int special_byte(struct csv *csv, char c, struct err *err)
{
	bool quote = csv->dialect.quote && c == csv->dialect.quote;
	switch (csv->state) {
	case CELL_QUOTED: csv->state = CELL_QUOTE; return 0;
	case CELL_QUOTE:
		if (quote) {
			buf_add_char(&csv->text, c);
			csv->state = CELL_QUOTED;
			return 0;
		}
		break;
	case CELL_BEGIN:
		if (quote) {
			csv->any = true;
			csv->state = CELL_QUOTED;
			return 0;
		}
		break;
	case CELL_PLAIN:
	case CELL_SKIP: break;
	}
	if (c == '\n' || c == '\r')
		return line_end(csv, c, err);
	if (c == csv->dialect.delimiter && csv->state != CELL_SKIP) {
		csv->any = true;
		return end_cell(csv, err);
	}
	return 1;
}

static int64_t step(struct csv *csv, const char *data, size_t at, size_t len, struct err *err)
{
	if (csv->after_cr) {
		csv->after_cr = false;
		if (data[at] == '\n')
			return (int64_t)at + 1;
	}
	int rc = csv->state == CELL_QUOTED && data[at] != csv->dialect.quote
			 ? 1
			 : special_byte(csv, data[at], err);
	if (rc <= 0)
		return rc < 0 ? rc : (int64_t)at + 1;
	if (csv->state == CELL_SKIP) {
		while (at < len && data[at] != '\n' && data[at] != '\r')
			at++;
		return (int64_t)at;
	}
	if (csv->state == CELL_QUOTE && !csv->bad)
		csv->bad = "text behind a closing quote";
	if (csv->state != CELL_QUOTED)
		csv->state = CELL_PLAIN;
	return (int64_t)plain_bytes(csv, data, at, len);
}

int csv_feed(struct csv *csv, const char *data, size_t len, struct err *err)
{
	size_t at = 0;
	if (csv->failed)
		return err_set(err, csv->failed, "csv: reading has ended");
	while (csv->mark < 3 && at < len) {
		if (data[at] != "\xef\xbb\xbf"[csv->mark]) {
			/* Not a mark: what looked like one was text. */
			size_t seen = csv->mark;
			csv->mark = 3;
			if (seen && csv_feed(csv, "\xef\xbb\xbf", seen, err) < 0)
				return csv->failed;
			break;
		}
		csv->mark++;
		at++;
	}
	while (at < len) {
		int64_t next = step(csv, data, at, len, err);
		if (next < 0)
			return (int)next;
		at = (size_t)next;
	}
	return 0;
}

int csv_end(struct csv *csv, struct err *err)
{
	if (csv->failed)
		return err_set(err, csv->failed, "csv: reading has ended");
	if (csv->state == CELL_QUOTED)
		return err_set(err, csv->failed = -EINVAL,
			"csv: the answer ends inside the quotes that begin in line %" PRIu64,
			csv->row_line);
	return end_row(csv, err);
}
