/* SPDX-License-Identifier: MIT */
#include "log/record.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/mutant.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

/*
 * A record that is too long gives up bytes of its longest texts first: all texts are held to the
 * largest common bound with which the whole fits. Only when that is not enough (dozens of fields)
 * the last fields go.
 */
enum {
	KEY_MAX = 64,
	NAME_MAX_BYTES = 128, /* event and process */
	WHY_MAX = 200,	      /* the reason within msg */
	ENOUGH = LOG_RECORD_MAX - 1,
	USUAL = 500, /* bytes of a record */
	KEPT = 2 * LOG_RECORD_MAX,
};

static const char *const levels[] = { "debug", "info", "warn", "error" };

/* Length of the sequence at p by its first byte; a broken one is cut where it breaks, json_escape()
 * mends it. */
static size_t step(const char *p)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4, i = 1;
	while (i < n && ((unsigned char)p[i] & 0xC0) == 0x80)
		i++;
	return i;
}

/* Escapes text as far as `max` bytes of output, and marks what is missing. */
static void add_cut(struct buf *b, const char *text, size_t max)
{
	size_t start = b->len, i = 0;
	/* Mostly it fits as a whole. */
	json_escape(b, text, strlen(text));
	if (b->len - start <= max)
		return;
	b->len = start;
	while (text[i]) {
		size_t before = b->len, n = step(text + i);
		json_escape(b, text + i, n);
		if (b->len - start > max) {
			b->len = before;
			break;
		}
		i += n;
	}
	if (!text[i])
		return;
	if (MUTANT(FUZZ_LOG_RECORD))
		abort();
	buf_addf(b, "\xE2\x80\xA6[cut %zu bytes]", strlen(text + i));
}

static void put_text(struct json_out *j, const char *key, const char *text, size_t max)
{
	const struct json_out before = *j;
	size_t start = j->buf->len;
	struct buf piece = BUF_INIT;
	json_str(j, key, text);
	if (!text || j->buf->len - start <= max)
		return;
	*j = before;
	j->buf->len = start;
	buf_add_char(&piece, '"');
	add_cut(&piece, text, max);
	buf_add_char(&piece, '"');
	json_raw(j, key, buf_str(&piece), piece.len);
	j->buf->failed |= buf_failed(&piece);
	buf_finish(&piece);
}

/* What a sentence is about, and why it is so: the first text field of each kind becomes part of
 * msg. */
static const char *const subjects[] = { "name", "job", "provider", "url", "path", NULL };
static const char *const whys[] = { "error", "reason", "detail", NULL };

static const struct kv *find(const struct kv *fields, const char *const *keys)
{
	for (; fields->type != KV_END; fields++)
		for (size_t i = 0; keys[i]; i++)
			if (fields->type == KV_TYPE_STR && fields->str &&
				str_eq(fields->key, keys[i]))
				return fields;
	return NULL;
}

/* "process_restarted", name crawl, reason "3 beats missed" -> "process restarted: crawl (3 beats
 * missed)" */
static void add_sentence(struct buf *b, const char *event, const struct kv *fields)
{
	const struct kv *subject = find(fields, subjects), *why = find(fields, whys);
	size_t start = b->len;
	add_cut(b, event, NAME_MAX_BYTES);
	for (size_t i = start; i < b->len; i++)
		if (b->data[i] == '_')
			b->data[i] = ' ';
	if (subject) {
		buf_add_str(b, ": ");
		add_cut(b, subject->str, NAME_MAX_BYTES);
	}
	if (why) {
		buf_add_str(b, subject ? " (" : ": ");
		add_cut(b, why->str, WHY_MAX);
		buf_add_str(b, subject ? ")" : "");
	}
}

static void put_field(struct json_out *j, const struct kv *f, size_t max)
{
	char key[KEY_MAX];
	str_copy(key, sizeof(key), f->key);
	switch (f->type) {
	case KV_TYPE_STR: put_text(j, key, f->str, max); break;
	case KV_TYPE_INT: json_int(j, key, f->i); break;
	case KV_TYPE_REAL: json_double(j, key, f->real); break;
	case KV_TYPE_BOOL: json_bool(j, key, f->i != 0); break;
	case KV_END: break;
	}
}

struct record {
	enum log_level level;
	enum log_category category;
	const char *process, *event;
	int64_t real_ms;
	const struct kv *fields;
	size_t count;
};

/* Of hundreds within a second only the milliseconds differ. */
static const char *time_text(int64_t real_ms)
{
	enum { MS_AT = sizeof("2026-11-22T03:04:05.") - 1 };
	static char text[CLOCK_TEXT];
	static int64_t of_second = -1;
	if (real_ms < 0 || real_ms / 1000 != of_second || strlen(text) <= MS_AT) {
		of_second = real_ms / 1000;
		return clock_rfc3339(text, real_ms);
	}
	int ms = (int)(real_ms % 1000);
	text[MS_AT] = (char)('0' + ms / 100);
	text[MS_AT + 1] = (char)('0' + ms / 10 % 10);
	text[MS_AT + 2] = (char)('0' + ms % 10);
	return text;
}

/* Kept from line to line, unless one was very long. */
static void begin(struct buf *b)
{
	if (b->cap > KEPT)
		buf_finish(b);
	buf_reset(b);
}

/* @return true when it is whole and not too long */
static bool render(struct buf *b, const struct record *r, size_t max_text, size_t count)
{
	struct json_out j;
	static struct buf msg = BUF_INIT;
	begin(b);
	begin(&msg);
	json_out_init(&j, b);
	json_open_object(&j, NULL);
	json_str(&j, "time", time_text(r->real_ms));
	json_str(&j, "level", levels[r->level]);
	json_str(&j, "category", log_category_name(r->category));
	put_text(&j, "process", r->process, NAME_MAX_BYTES);
	put_text(&j, "event", r->event, NAME_MAX_BYTES);
	buf_add_char(&msg, '"');
	add_sentence(&msg, r->event, r->fields);
	buf_add_char(&msg, '"');
	json_raw(&j, "msg", buf_str(&msg), msg.len);
	b->failed |= buf_failed(&msg);
	for (size_t i = 0; i < count; i++)
		put_field(&j, &r->fields[i], max_text);
	if (count < r->count)
		json_int(&j, "fields_cut", (int64_t)(r->count - count));
	json_close_object(&j);
	buf_add_char(b, '\n');
	return !buf_failed(b) && b->len <= ENOUGH;
}

/* The largest bound for texts with which the record fits. */
static bool render_fitting(struct buf *b, const struct record *r)
{
	size_t fits = 0, too_long = ENOUGH, count = r->count;
	if (render(b, r, too_long, count))
		return true;
	while (!render(b, r, 0, count))
		if (count-- == 0)
			return false;
	while (too_long - fits > 1) {
		size_t middle = fits + (too_long - fits) / 2;
		if (render(b, r, middle, count))
			fits = middle;
		else
			too_long = middle;
	}
	return render(b, r, fits, count);
}

size_t log_render(char *out, enum log_level level, enum log_category category, const char *process,
	int64_t real_ms, const char *event, const struct kv *fields)
{
	struct record r = { level, category, process, event, real_ms, fields, 0 };
	static struct buf b = BUF_INIT;
	size_t len = 0;
	begin(&b);
	while (fields[r.count].type != KV_END)
		r.count++;
	(void)buf_reserve(&b, USUAL);
	if (render_fitting(&b, &r)) {
		len = b.len;
		memcpy(out, b.data, len);
	}
	out[len] = '\0';
	return len;
}

static void add_word(struct buf *b, const struct kv *f)
{
	buf_addf(b, " %.*s=", KEY_MAX, f->key);
	switch (f->type) {
	case KV_TYPE_STR: add_cut(b, f->str ? f->str : "-", LOG_RECORD_MAX); break;
	case KV_TYPE_INT: buf_addf(b, "%lld", (long long)f->i); break;
	case KV_TYPE_REAL: buf_addf(b, "%.6g", f->real); break;
	case KV_TYPE_BOOL: buf_add_str(b, f->i ? "yes" : "no"); break;
	case KV_END: break;
	}
}

void record_text(struct buf *out, enum log_level level, int64_t real_ms, const char *event,
	const struct kv *fields)
{
	char time[CLOCK_TEXT];
	clock_rfc3339(time, real_ms);
	/* The date is known to whoever sits at the terminal. */
	buf_addf(
		out, "%.8s %-5s ", time[0] ? time + sizeof("2026-11-21T") - 1 : "-", levels[level]);
	add_sentence(out, event, fields);
	const struct kv *subject = find(fields, subjects), *why = find(fields, whys);
	for (; fields->type != KV_END; fields++)
		if (fields != subject && fields != why)
			add_word(out, fields);
	buf_add_char(out, '\n');
}
