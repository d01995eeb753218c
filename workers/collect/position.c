/* SPDX-License-Identifier: MIT */
#include "collect/position.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/payload.h"
#include "json/record.h"
#include <errno.h>
#include <string.h>

static int read_hash(
	char dst[POSITION_HASH], struct json_record *record, const char *name, struct err *err)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_TEXT, &value, err);
	if (rc < 0)
		return rc;
	if (value.type == JSON_VALUE_TEXT && !str_copy(dst, POSITION_HASH, value.text))
		return -EINVAL;
	return 0;
}

static int read_number(int64_t *out, struct json_record *record, const char *name, struct err *err)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_INTEGER, &value, err);
	if (rc == 0 && value.type == JSON_VALUE_INT)
		*out = value.i;
	return rc < 0 ? rc : *out < 0 ? -EINVAL : 0;
}

static int read_maybe(int64_t *out, struct json_record *record, const char *name, struct err *err)
{
	int64_t value = 0;
	struct json_value there = { 0 };
	int rc = payload_member(record, name, COLUMN_INTEGER, &there, err);
	if (rc < 0 || there.type == JSON_VALUE_NULL)
		return rc;
	rc = read_number(&value, record, name, err);
	*out = value;
	return rc;
}

static int read_token(char **out, struct json_record *record, struct err *err)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, "token", COLUMN_TEXT, &value, err);
	if (rc < 0 || value.type != JSON_VALUE_TEXT)
		return rc;
	if (value.len > TOKEN_MAX)
		return -EINVAL;
	*out = strndup(value.text, value.len);
	return *out ? 0 : -ENOMEM;
}

static int read_object(
	struct position *p, char **token, struct json_record *record, struct err *err)
{
	p->page = -1;
	int rc = read_number(&p->page, record, "page", err);
	if (rc == 0)
		rc = read_number(&p->records, record, "records", err);
	if (rc == 0)
		rc = read_number(&p->seen, record, "seen", err);
	if (rc == 0)
		rc = read_hash(p->last, record, "last", err);
	if (rc == 0)
		rc = read_hash(p->mark, record, "mark", err);
	if (rc == 0)
		rc = read_hash(p->token_mark, record, "token_mark", err);
	if (rc == 0)
		rc = read_token(token, record, err);
	p->token = *token;
	if (rc == 0)
		rc = read_maybe(&p->since, record, "since", err);
	if (rc == 0)
		rc = read_maybe(&p->until, record, "until", err);
	if (rc == 0)
		rc = read_maybe(&p->high, record, "high", err);
	return rc;
}

int position_read(struct position *out, char **token, const char *checkpoint, int64_t first_page,
	struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	struct position p = { .page = first_page,
		.since = POSITION_NONE,
		.until = POSITION_NONE,
		.high = POSITION_NONE };
	CLEANUP(freep) char *text = NULL;
	int rc = 0;
	if (checkpoint && *checkpoint) {
		rc = json_record_new(&record, checkpoint, strlen(checkpoint), err);
		if (rc == 0 && !json_record_is_object(record)) {
			p.page = -1;
			rc = read_number(&p.page, record, "", err);
		} else if (rc == 0) {
			rc = read_object(&p, &text, record, err);
		}
	}
	if (rc == -ENOMEM)
		return err_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return err_set(err, -EINVAL, "the task's checkpoint is not one of ours");
	*out = p;
	*token = TAKE(text);
	return 0;
}

static void write_text(struct json_out *j, const char *key, const char *text)
{
	if (text && *text)
		json_str(j, key, text);
}

static void write_maybe(struct json_out *j, const char *key, int64_t value)
{
	if (value != POSITION_NONE)
		json_int(j, key, value);
}

void position_write(struct buf *out, const struct position *p)
{
	struct json_out j;
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	json_int(&j, "page", p->page);
	if (p->records)
		json_int(&j, "records", p->records);
	if (p->seen)
		json_int(&j, "seen", p->seen);
	write_text(&j, "last", p->last);
	write_text(&j, "mark", p->mark);
	write_text(&j, "token_mark", p->token_mark);
	write_text(&j, "token", p->token);
	write_maybe(&j, "since", p->since);
	write_maybe(&j, "until", p->until);
	write_maybe(&j, "high", p->high);
	json_close_object(&j);
}
