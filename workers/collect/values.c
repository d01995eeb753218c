/* SPDX-License-Identifier: MIT */
#include "collect/values.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "collect/kind.h"
#include "collect/payload.h"
#include "collect/position.h"
#include "record/reader.h"
#include "store/store.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 4096 }; /* no more tasks than bytes in one transaction */

struct values_file {
	const struct collect_for_each *each;
	const char *name;
	int fd;
	struct record_reader *reader;
	struct json_path *path;
	int64_t seen, skip;
	struct batch *batch; /* while a piece is read */
	struct err err;
};

bool values_are_read(const struct collect_for_each *each)
{
	return each->csv || each->ndjson || each->sql || each->job;
}

int values_add(struct batch *batch, const char *as, const char *value, size_t len, size_t room,
	struct err *err)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	const struct task_payload payload = { .value = arena_strndup(batch->arena, value, len),
		.since = POSITION_NONE,
		.until = POSITION_NONE };
	if (!batch->children)
		batch->children = arena_alloc(batch->arena, room * sizeof(*batch->children));
	if (payload.value)
		payload_write(&text, as, &payload);
	const char *child = batch->children && payload.value && !buf_failed(&text)
				    ? arena_strdup(batch->arena, buf_str(&text))
				    : NULL;
	if (!child)
		return err_set(err, -ENOMEM, "out of memory");
	batch->children[batch->child_count++] = child;
	return 0;
}

/* ---- files ---- */

static void leave_out(struct values_file *f, const char *why)
{
	struct batch *batch = f->batch;
	char *text = NULL;
	batch->rejected++;
	if (batch->error_count < BATCH_ERRORS &&
		asprintf(&text, "for_each: %s: record %" PRId64 ": %s", f->name, f->seen, why) >= 0)
		batch->errors[batch->error_count++] = text;
}

static int take(struct values_file *f, const char *data, size_t len, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	const char *name = f->each->field ? f->each->field : f->each->as;
	const struct config_column column = { .name = name, .type = COLUMN_TEXT };
	struct json_value value;
	int rc = json_record_new(&record, data, len, err);
	if (rc == 0)
		rc = json_record_column(record, &column, f->path, &value, err);
	if (rc < 0)
		return rc;
	if (value.type != JSON_VALUE_TEXT || value.len == 0)
		return err_set(err, -EINVAL, "has no %s", name);
	if (value.len > VALUE_LONGEST)
		return err_set(err, -EINVAL, "%s is longer than %d bytes", name, VALUE_LONGEST);
	return values_add(f->batch, f->each->as, value.text, value.len, PIECE + 1, err);
}

static bool on_record(void *arg, const char *data, size_t len)
{
	struct values_file *f = arg;
	struct err err = { 0 };
	if (++f->seen <= f->skip)
		return true;
	int rc = take(f, data, len, &err);
	if (rc == -ENOMEM) {
		f->err = err;
		return false;
	}
	if (rc < 0)
		leave_out(f, err.text);
	return true;
}

static void on_rejected(void *arg, const char *why)
{
	struct values_file *f = arg;
	if (++f->seen > f->skip)
		leave_out(f, why);
}

/* No pipe, no terminal: reading must not wait. */
static int open_file(struct values_file *f, struct err *err)
{
	struct stat st;
	f->fd = open(f->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd == -1 || fstat(f->fd, &st) == -1)
		return err_set(err, -EINVAL, "for_each: %s: %s", f->name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "for_each: %s is no file", f->name);
	return 0;
}

int values_open(struct values_file **out, const struct collect_for_each *each, int64_t skip,
	struct err *err)
{
	const struct record_ops ops = { .record = on_record, .rejected = on_rejected };
	const struct record_options options = { .format = each->csv ? RECORD_CSV : RECORD_NDJSON,
		.csv = { .delimiter = ',', .quote = '"' } };
	struct values_file *f = NEW(struct values_file);
	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	f->each = each;
	f->name = each->csv ? each->csv : each->ndjson;
	f->skip = skip;
	int rc = open_file(f, err);
	if (rc == 0)
		rc = json_path_new(&f->path, each->field ? each->field : each->as, err);
	if (rc == 0)
		rc = record_reader_new(&f->reader, &options, &ops, f, err);
	if (rc < 0) {
		values_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

void values_close(struct values_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	record_reader_free(f->reader);
	json_path_free(f->path);
	free(f);
}

int values_read(struct values_file *f, struct batch *batch, int64_t *records, struct err *err)
{
	char piece[PIECE];
	ssize_t n = read(f->fd, piece, sizeof(piece));
	if (n == -1)
		return err_set(err, -EINVAL, "for_each: %s: %s", f->name, strerror(errno));
	f->batch = batch;
	int rc = n > 0 ? record_reader_feed(f->reader, piece, (size_t)n, err)
		       : record_reader_end(f->reader, err);
	f->batch = NULL;
	if (f->err.code) {
		*err = f->err;
		return f->err.code;
	}
	if (rc < 0)
		return err_wrap(err, "for_each: %s", f->name);
	*records = f->seen;
	return n > 0;
}

/* ---- the store ---- */

/* Each once, in the order of texts, so that whoever goes on knows where. A query may end with a
 * comment. */
#define NEXT_VALUES                                                               \
	"\n) SELECT DISTINCT CAST(v AS TEXT) AS t FROM q WHERE v IS NOT NULL AND" \
	" CAST(v AS TEXT) > $1 ORDER BY t LIMIT $2"

int values_ask(struct store_tx *tx, const struct collect_for_each *each, const char *last)
{
	CLEANUP(freep) char *text = NULL;
	const struct store_value params[] = { store_text(last ? last : ""),
		STORE_VALUE_INT(VALUES_AT_A_TIME) };
	int n = each->job ? asprintf(&text, "WITH q(v) AS (SELECT \"%s\" FROM \"%s\"" NEXT_VALUES,
				    each->column, each->table)
			  : asprintf(&text, "WITH q(v) AS (%.*s" NEXT_VALUES,
				    (int)strcspn(each->sql, ";"), each->sql);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return (int)store_tx_text(tx, text, params, 2);
}
