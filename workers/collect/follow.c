/* SPDX-License-Identifier: MIT */
#include "collect/follow.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/payload.h"
#include "collect/position.h"
#include "json/path.h"
#include "json/record.h"
#include "json/scan.h"
#include <errno.h>
#include <string.h>

enum { TOKEN, TOTAL, MORE, WORDS };

/* `data[-1].id`: a stream is not counted from its end, so the last element is kept. */
static const char from_end[] = "[-1]";

struct word {
	const char *name;
	struct json_scan *scan; /* NULL: not asked for */
	struct json_path *path, *rest;
	struct buf text; /* the value, or the last element, as it stands */
	bool too_large;
};

struct follow {
	struct word words[WORDS];
	char *token; /* what follow_end() gave */
};

/* A list's element in front of [-1] may be a large record. */
enum { ELEMENT_MAX = JSON_RECORD_MAX };

static bool on_value(void *arg, const char *data, size_t len)
{
	struct word *word = arg;
	buf_reset(&word->text);
	buf_add(&word->text, data, len);
	word->too_large = false;
	return !buf_failed(&word->text);
}

static void on_too_large(void *arg, uint64_t offset)
{
	struct word *word = arg;
	(void)offset;
	word->too_large = true;
}

static int word_init(struct word *word, const char *name, const char *path, struct err *err)
{
	static const struct json_scan_ops ops = { .record = on_value, .too_large = on_too_large };
	CLEANUP(freep) char *front = path ? strdup(path) : NULL;
	if (!path)
		return 0;
	if (!front)
		return err_set(err, -ENOMEM, "out of memory");
	word->name = name;
	char *end = strstr(front, from_end);
	const char *rest = "";
	if (end) {
		*end = '\0';
		rest = path + (end - front) + strlen(from_end);
		rest += *rest == '.';
	}
	int rc = json_path_new(&word->path, front, err);
	if (rc == 0)
		rc = json_path_new(&word->rest, rest, err);
	const struct json_scan_options options = {
		.path = word->path, .max_record = ELEMENT_MAX, .whole = !end
	};
	if (rc == 0)
		rc = json_scan_new(&word->scan, &options, &ops, word, err);
	return rc < 0 ? err_wrap(err, "paginate.%s", name) : 0;
}

int follow_new(struct follow **out, const struct collect_paginate *p, struct err *err)
{
	struct follow *f = NEW(struct follow);
	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	int rc = p->by == PAGINATE_NEXT ? word_init(&f->words[TOKEN], "next", p->next, err)
					: word_init(&f->words[TOKEN], "cursor", p->cursor, err);
	if (rc == 0)
		rc = word_init(&f->words[TOTAL], "total", p->total, err);
	if (rc == 0)
		rc = word_init(&f->words[MORE], "more", p->more, err);
	if (rc < 0) {
		follow_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

void follow_free(struct follow *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < WORDS; i++) {
		json_scan_free(f->words[i].scan);
		json_path_free(f->words[i].path);
		json_path_free(f->words[i].rest);
		buf_finish(&f->words[i].text);
	}
	free(f->token);
	free(f);
}

void follow_restart(struct follow *f)
{
	for (size_t i = 0; i < WORDS; i++) {
		buf_reset(&f->words[i].text);
		f->words[i].too_large = false;
		if (f->words[i].scan)
			json_scan_restart(f->words[i].scan);
	}
	free(f->token);
	f->token = NULL;
}

int follow_feed(struct follow *f, const char *data, size_t len, struct err *err)
{
	struct err ignored;
	for (size_t i = 0; i < WORDS; i++) {
		struct word *word = &f->words[i];
		if (!word->scan)
			continue;
		int rc = json_scan_feed(word->scan, data, len, &ignored);
		if (rc == -ENOMEM || buf_failed(&word->text))
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* The record lives as long as *out. */
static int value_of(struct word *word, int type, struct json_record **record,
	struct json_value *out, struct err *err)
{
	*out = (struct json_value) { 0 };
	if (word->too_large)
		return err_set(err, -EINVAL, "paginate.%s: the value is too large", word->name);
	if (!word->scan || word->text.len == 0)
		return 0;
	const struct config_column column = { .name = word->name, .type = type };
	int rc = json_record_new(record, buf_str(&word->text), word->text.len, err);
	if (rc == 0)
		rc = json_record_column(*record, &column, word->rest, out, err);
	return rc < 0 ? err_wrap(err, "paginate.%s", word->name) : 0;
}

/* null, false and "" are ways to say that there is none. */
static int read_token(struct follow *f, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	struct json_value value;
	int rc = value_of(&f->words[TOKEN], COLUMN_TEXT, &record, &value, err);
	if (rc < 0 || value.type != JSON_VALUE_TEXT || value.len == 0 ||
		str_eq(value.text, "false"))
		return rc;
	if (value.len > TOKEN_MAX)
		return err_set(err, -EINVAL, "paginate.%s: longer than %d bytes",
			f->words[TOKEN].name, TOKEN_MAX);
	f->token = strndup(value.text, value.len);
	return f->token ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int read_number(struct word *word, int type, int64_t *out, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	struct json_value value;
	int rc = value_of(word, type, &record, &value, err);
	*out = rc == 0 && value.type == JSON_VALUE_INT && value.i >= 0 ? value.i : -1;
	return rc;
}

int follow_end(struct follow *f, struct follow_words *out, struct err *err)
{
	int64_t total = -1, more = -1;
	int rc = read_token(f, err);
	if (rc == 0)
		rc = read_number(&f->words[TOTAL], COLUMN_INTEGER, &total, err);
	if (rc == 0)
		rc = read_number(&f->words[MORE], COLUMN_BOOLEAN, &more, err);
	if (rc < 0)
		return rc;
	*out = (struct follow_words) { .token = f->token, .total = total, .more = (int)more };
	return 0;
}
