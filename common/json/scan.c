/* SPDX-License-Identifier: MIT */
#include "json/scan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "json/path.h"
#include "json/record.h"
#include "json/text.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum state {
	S_MARK,
	S_VALUE,
	S_FIRST_VALUE, /* a value or ] */
	S_KEY,
	S_FIRST_KEY, /* a name or } */
	S_COLON,
	S_NEXT, /* a comma, ] or } */
	S_END,
	S_STRING,
	S_ESCAPE,
	S_HEX,
	S_UTF8,
	S_LITERAL,
	S_MINUS,
	S_ZERO,
	S_INT,
	S_DOT,
	S_FRACTION,
	S_E,
	S_E_SIGN,
	S_EXPONENT,
};
/* A name of the path, each of its characters written as \uXXXX. */
enum { KEY_MAX = JSON_PATH_NAME * 6 };

struct json_scan {
	struct json_path none;
	const struct json_path *path;
	struct json_scan_ops ops;
	void *arg;
	struct json_record *into;
	size_t max_record;
	bool whole;

	int failed; /* the error that stays */
	uint64_t failed_at;
	enum state state;
	uint64_t offset;       /* of the chunk's first byte */
	size_t depth;	       /* open containers */
	char open[JSON_DEPTH]; /* '[' or '{' */
	size_t on;	       /* so many of them lie on the path */
	size_t list;	       /* values at this depth are records; 0: not inside the list */
	bool selected;	       /* the member or element at hand is the path's next step */
	struct {
		int64_t index; /* of the element at hand */
		bool matched, filled;
	} steps[JSON_PATH_STEPS + 1];
	size_t reached; /* steps that were found */
	bool found, empty;
	uint64_t records;

	bool key, key_long;
	size_t key_len;
	char key_text[KEY_MAX];
	bool string_empty;
	const char *literal;
	unsigned left;		 /* of an escape's digits, a character's bytes */
	unsigned char low, high; /* the next byte of a character */

	bool capture, oversize;
	size_t capture_depth, start; /* in the chunk */
	uint64_t record_at;
	struct buf carry; /* the record's bytes of earlier chunks */
};

int json_scan_new(struct json_scan **out, const struct json_scan_options *options,
	const struct json_scan_ops *ops, void *arg, struct err *err)
{
	for (size_t i = 0; options->path && i < options->path->count; i++)
		if (options->path->steps[i].kind == JSON_STEP_INDEX &&
			options->path->steps[i].index < 0)
			return err_set(err, -EINVAL,
				"path \"%s\": [%" PRId64 "] counts from the end, which a stream "
				"does not know",
				options->path->text, options->path->steps[i].index);
	struct json_scan *scan = NEW(struct json_scan);
	if (!scan)
		return err_set(err, -ENOMEM, "json: out of memory");
	scan->path = options->path ? options->path : &scan->none;
	scan->max_record = options->max_record ? options->max_record : JSON_RECORD_MAX;
	scan->whole = options->whole;
	scan->into = options->record;
	scan->ops = *ops;
	scan->arg = arg;
	json_scan_restart(scan);
	*out = scan;
	return 0;
}

void json_scan_free(struct json_scan *scan)
{
	if (!scan)
		return;
	buf_finish(&scan->carry);
	free(scan);
}

void json_scan_restart(struct json_scan *scan)
{
	scan->failed = 0;
	scan->state = S_VALUE;
	scan->offset = 0;
	scan->depth = scan->on = scan->list = scan->reached = 0;
	scan->selected = true;
	scan->found = scan->empty = scan->capture = scan->key = false;
	scan->records = 0;
	buf_reset(&scan->carry);
}

uint64_t json_scan_records(const struct json_scan *scan)
{
	return scan->records;
}

const char *json_scan_missing(const struct json_scan *scan)
{
	if (scan->found || scan->empty || scan->reached >= scan->path->count)
		return NULL;
	const struct json_step *step = &scan->path->steps[scan->reached];
	return step->kind == JSON_STEP_NAME ? step->name : "an element";
}

static int fail(struct json_scan *s, struct err *err, size_t at, const char *what)
{
	s->failed = -EINVAL;
	s->failed_at = s->offset + at;
	return err_set(err, -EINVAL, "malformed JSON at byte %" PRIu64 ": %s", s->failed_at, what);
}

/* ---- what lies on the path ---- */

static bool step_takes_element(struct json_scan *s)
{
	if (s->on != s->depth || s->depth > s->path->count || s->open[s->depth - 1] != '[')
		return false;
	const struct json_step *step = &s->path->steps[s->depth - 1];
	return step->kind == JSON_STEP_ALL ||
	       (step->kind == JSON_STEP_INDEX && step->index == s->steps[s->depth].index);
}

static bool step_takes_key(struct json_scan *s)
{
	if (s->on != s->depth || s->depth > s->path->count)
		return false;
	const struct json_step *step = &s->path->steps[s->depth - 1];
	if (step->kind == JSON_STEP_ALL)
		return true;
	if (step->kind != JSON_STEP_NAME || s->key_long)
		return false;
	char name[KEY_MAX];
	int64_t len = json_text_decode(name, s->key_text, s->key_len);
	return len >= 0 && (size_t)len == step->name_len &&
	       memcmp(name, step->name, step->name_len) == 0;
}

static void begin_record(struct json_scan *s, size_t at)
{
	s->capture = true;
	s->oversize = false;
	s->capture_depth = s->depth;
	s->start = at;
	s->record_at = s->offset + at;
	buf_reset(&s->carry);
}

/* A value begins with c. What is it to us? */
static void judge_value(struct json_scan *s, char c, size_t at)
{
	if (s->capture)
		return;
	if (s->depth && s->on == s->depth)
		s->steps[s->depth].filled = true;
	if (s->depth && s->open[s->depth - 1] == '[' && !(s->list && s->depth == s->list))
		s->selected = step_takes_element(s);
	if (s->list && s->depth == s->list) {
		begin_record(s, at);
		return;
	}
	if (!s->selected)
		return;
	s->reached = MAX(s->reached, s->depth);
	if (s->depth < s->path->count) {
		s->empty |= c == 'n';
		return;
	}
	s->found = true;
	if (s->whole || (c != '[' && c != 'n'))
		begin_record(s, at);
}

static int end_record(struct json_scan *s, const char *data, size_t end)
{
	s->capture = false;
	s->records++;
	size_t len = end - s->start;
	if (s->oversize || s->carry.len + len > s->max_record) {
		if (s->ops.too_large)
			s->ops.too_large(s->arg, s->record_at);
		return 0;
	}
	const char *record = data + s->start;
	if (s->carry.len) {
		buf_add(&s->carry, record, len);
		if (buf_failed(&s->carry))
			return s->failed = -ENOMEM;
		record = s->carry.data;
		len = s->carry.len;
	}
	/* The fuzzer must find this one: a record that came in pieces and holds an escape. */
	if (MUTANT(FUZZ_RECORDS) && s->carry.len && memchr(record, '\\', len))
		abort();
	if (!s->ops.record(s->arg, record, len))
		return s->failed = -ECANCELED;
	return 0;
}

/* The value that ends before `end` is complete. */
static int end_value(struct json_scan *s, const char *data, size_t end)
{
	s->state = s->depth ? S_NEXT : S_END;
	if (s->capture && s->depth == s->capture_depth)
		return end_record(s, data, end);
	return 0;
}

static int push(struct json_scan *s, char c, size_t at, struct err *err)
{
	if (s->depth == JSON_DEPTH)
		return fail(s, err, at, "nested too deeply");
	bool onward = !s->capture && s->selected && s->on == s->depth &&
		      !(s->list && s->depth >= s->list);
	if (onward && s->depth == s->path->count && c == '[')
		s->list = s->depth + 1;
	if (onward && s->depth < s->path->count) {
		s->on = s->depth + 1;
		s->steps[s->on].index = 0;
		s->steps[s->on].matched = s->steps[s->on].filled = false;
	}
	s->open[s->depth++] = c;
	s->selected = false;
	s->state = c == '[' ? S_FIRST_VALUE : S_FIRST_KEY;
	return 0;
}

static int pop(struct json_scan *s, const char *data, size_t at)
{
	if (s->on == s->depth) {
		s->empty |= !s->steps[s->on].filled && !s->capture;
		s->on--;
	}
	if (s->list == s->depth)
		s->list = 0;
	s->depth--;
	s->selected = false;
	return end_value(s, data, at + 1);
}

/* ---- tokens ---- */

static void begin_string(struct json_scan *s, bool key)
{
	s->key = key;
	s->key_long = false;
	s->key_len = 0;
	s->string_empty = true;
	s->state = S_STRING;
}

static int begin_value(struct json_scan *s, char c, size_t at, struct err *err)
{
	static const char *const literals[] = { "true", "false", "null" };
	judge_value(s, c, at);
	if (c == '{' || c == '[')
		return push(s, c, at, err);
	if (c == '"') {
		begin_string(s, false);
		return 0;
	}
	if (c == '-' || (c >= '0' && c <= '9')) {
		s->state = c == '-' ? S_MINUS : c == '0' ? S_ZERO : S_INT;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(literals); i++)
		if (literals[i][0] == c) {
			s->literal = literals[i] + 1;
			s->state = S_LITERAL;
			return 0;
		}
	return fail(s, err, at, "a value is expected");
}

static int end_key(struct json_scan *s, size_t at, struct err *err)
{
	s->state = S_COLON;
	s->key = false;
	s->selected = !s->capture && !s->list && step_takes_key(s);
	if (!s->selected || s->path->steps[s->depth - 1].kind != JSON_STEP_NAME)
		return 0;
	if (s->steps[s->depth].matched)
		return fail(s, err, at, "a name of the path comes twice");
	s->steps[s->depth].matched = true;
	return 0;
}

static int end_string(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	if (s->key)
		return end_key(s, at, err);
	if (!s->capture && s->selected && s->string_empty && s->depth < s->path->count)
		s->empty = true;
	return end_value(s, data, at + 1);
}

/* The bytes [from, to) of a name that may be the path's. */
static void keep_key(struct json_scan *s, const char *data, size_t from, size_t to)
{
	s->string_empty &= from == to;
	if (!s->key || s->on != s->depth || s->key_long)
		return;
	if (to - from > sizeof(s->key_text) - s->key_len) {
		s->key_long = true;
		return;
	}
	memcpy(s->key_text + s->key_len, data + from, to - from);
	s->key_len += to - from;
}

static int begin_character(struct json_scan *s, unsigned char c, size_t at, struct err *err)
{
	s->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	s->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	s->left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	s->state = S_UTF8;
	return c < 0xc2 || c > 0xf4 ? fail(s, err, at, "not valid UTF-8") : 0;
}

/* Reads on inside a string. @return where the rest begins, or negative */
static int64_t string_bytes(
	struct json_scan *s, const char *data, size_t at, size_t len, struct err *err)
{
	size_t from = at;
	unsigned char c = 0;
	while (at < len && (c = (unsigned char)data[at]) != '"' && c != '\\' && c >= 0x20 &&
		c < 0x80)
		at++;
	if (at == len) {
		keep_key(s, data, from, at);
		return (int64_t)at;
	}
	keep_key(s, data, from, at + (c != '"'));
	int rc = 0;
	if (c == '"')
		rc = end_string(s, data, at, err);
	else if (c == '\\')
		s->state = S_ESCAPE;
	else if (c < 0x20)
		rc = fail(s, err, at, "a control character inside a text");
	else
		rc = begin_character(s, c, at, err);
	return rc < 0 ? rc : (int64_t)at + 1;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int escape_byte(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	char c = data[at];
	keep_key(s, data, at, at + 1);
	switch (s->state) {
	case S_ESCAPE:
		if (c == '\0' || !strchr("\"\\/bfnrtu", c))
			return fail(s, err, at, "no such escape");
		s->left = 4;
		s->state = c == 'u' ? S_HEX : S_STRING;
		return 0;
	case S_HEX:
		if (!is_hex(c))
			return fail(s, err, at, "an escape needs four hexadecimal digits");
		break;
	default: /* S_UTF8 */
		if ((unsigned char)c < s->low || (unsigned char)c > s->high)
			return fail(s, err, at, "not valid UTF-8");
		s->low = 0x80;
		s->high = 0xbf;
	}
	if (--s->left == 0)
		s->state = S_STRING;
	return 0;
}

/* @return the next state inside the number, -1 when c does not belong to it */
static int number_state(enum state state, char c)
{
	bool digit = c >= '0' && c <= '9';
	switch (state) {
	case S_MINUS: return c == '0' ? S_ZERO : digit ? S_INT : -1;
	case S_ZERO:
	case S_INT:
		if (digit && state == S_INT)
			return S_INT;
		return c == '.' ? S_DOT : c == 'e' || c == 'E' ? S_E : -1;
	case S_DOT: return digit ? S_FRACTION : -1;
	case S_FRACTION: return digit ? S_FRACTION : c == 'e' || c == 'E' ? S_E : -1;
	case S_E: return digit ? S_EXPONENT : c == '+' || c == '-' ? S_E_SIGN : -1;
	default: return digit ? S_EXPONENT : -1; /* S_E_SIGN, S_EXPONENT */
	}
}

static bool number_complete(enum state state)
{
	return state == S_ZERO || state == S_INT || state == S_FRACTION || state == S_EXPONENT;
}

static int64_t number_bytes(
	struct json_scan *s, const char *data, size_t at, size_t len, struct err *err)
{
	int next;
	while (at < len && (next = number_state(s->state, data[at])) >= 0) {
		s->state = (enum state)next;
		at++;
	}
	if (at == len)
		return (int64_t)at;
	int rc = number_complete(s->state) ? end_value(s, data, at)
					   : fail(s, err, at, "not a number");
	return rc < 0 ? rc : (int64_t)at;
}

static int literal_byte(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	if (data[at] != *s->literal)
		return fail(s, err, at, "neither true, false nor null");
	return *++s->literal ? 0 : end_value(s, data, at + 1);
}

static int next_byte(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	char c = data[at], open = s->open[s->depth - 1];
	if (c == ',') {
		if (open == '[' && s->on == s->depth)
			s->steps[s->depth].index++;
		s->state = open == '[' ? S_VALUE : S_KEY;
		return 0;
	}
	if (c == (open == '[' ? ']' : '}'))
		return pop(s, data, at);
	return fail(
		s, err, at, open == '[' ? "a comma or ] is expected" : "a comma or } is expected");
}

static int structure_byte(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	char c = data[at];
	if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		return 0;
	switch (s->state) {
	case S_FIRST_VALUE:
		if (c == ']')
			return pop(s, data, at);
		return begin_value(s, c, at, err);
	case S_VALUE: return begin_value(s, c, at, err);
	case S_FIRST_KEY:
		if (c == '}')
			return pop(s, data, at);
		/* fall through */
	case S_KEY:
		if (c != '"')
			return fail(s, err, at, "a name is expected");
		begin_string(s, true);
		return 0;
	case S_COLON:
		s->state = S_VALUE;
		return c == ':' ? 0 : fail(s, err, at, "a colon is expected");
	case S_NEXT: return next_byte(s, data, at, err);
	default: return fail(s, err, at, "something follows the document");
	}
}

/* Some encoders begin with a byte order mark; a reader may pass over it. */
static int mark_byte(struct json_scan *s, const char *data, size_t at, struct err *err)
{
	if (data[at] != "\xef\xbb\xbf"[s->offset + at])
		return fail(s, err, at, "a value is expected");
	s->state = s->offset + at < 2 ? S_MARK : S_VALUE;
	return 0;
}

static int64_t step(struct json_scan *s, const char *data, size_t at, size_t len, struct err *err)
{
	int rc;
	switch (s->state) {
	case S_STRING: return string_bytes(s, data, at, len, err);
	case S_ESCAPE:
	case S_HEX:
	case S_UTF8: rc = escape_byte(s, data, at, err); break;
	case S_LITERAL: rc = literal_byte(s, data, at, err); break;
	case S_MINUS:
	case S_ZERO:
	case S_INT:
	case S_DOT:
	case S_FRACTION:
	case S_E:
	case S_E_SIGN:
	case S_EXPONENT: return number_bytes(s, data, at, len, err);
	default:
		if (s->state == S_MARK || (s->offset + at == 0 && data[at] == '\xef'))
			rc = mark_byte(s, data, at, err);
		else
			rc = structure_byte(s, data, at, err);
	}
	return rc < 0 ? rc : (int64_t)at + 1;
}

/* The rest of the chunk belongs to a record that goes on in the next one. */
static int carry(struct json_scan *s, const char *data, size_t len)
{
	size_t more = len - s->start;
	s->oversize |= s->carry.len + more > s->max_record;
	if (s->oversize)
		buf_reset(&s->carry);
	else
		buf_add(&s->carry, data + s->start, more);
	s->start = 0;
	return buf_failed(&s->carry) ? -ENOMEM : 0;
}

static bool begins_object_of_list(const struct json_scan *s, char c)
{
	return c == '{' && s->into && s->list && s->depth == s->list &&
	       (s->state == S_VALUE || s->state == S_FIRST_VALUE);
}

/*
 * The record that begins here, in one go. What does not lie in the piece whole, or is none, is left
 * to the steps below, which say what is wrong with it.
 * @return what follows it; `at` when it is left; negative
 */
static int64_t read_object(struct json_scan *s, const char *data, size_t at, size_t len)
{
	int64_t size = json_record_read_front(
		s->into, data + at, len - at, JSON_DEPTH - s->depth, NULL);
	if (size == -ENOMEM)
		return s->failed = -ENOMEM;
	if (size < 0 || (size_t)size > s->max_record)
		return (int64_t)at;
	s->selected = false;
	s->state = S_NEXT;
	s->records++;
	if (!s->ops.read(s->arg, data + at, (size_t)size))
		return s->failed = -ECANCELED;
	return (int64_t)at + size;
}

int json_scan_feed(struct json_scan *s, const char *data, size_t len, struct err *err)
{
	if (s->failed)
		return err_set(err, s->failed, "json: the scan has ended");
	if (s->capture)
		s->start = 0;
	for (size_t at = 0; at < len;) {
		int64_t next = (int64_t)at;
		if (begins_object_of_list(s, data[at]))
			next = read_object(s, data, at, len);
		if (next == (int64_t)at)
			next = step(s, data, at, len, err);
		if (next == -ECANCELED || next == -ENOMEM)
			return err_set(err, (int)next, "json: %s",
				next == -ENOMEM ? "out of memory" : "stopped");
		if (next < 0)
			return (int)next;
		at = (size_t)next;
	}
	if (s->capture && carry(s, data, len) < 0)
		return err_set(err, s->failed = -ENOMEM, "json: out of memory");
	s->offset += len;
	return 0;
}

int json_scan_end(struct json_scan *s, struct err *err)
{
	if (s->failed)
		return err_set(err, s->failed, "json: the scan has ended");
	if (s->depth == 0 && number_complete(s->state)) {
		int rc = end_value(s, "", 0);
		if (rc < 0)
			return err_set(err, rc, "json: stopped");
	}
	if (s->state == S_END)
		return 0;
	return fail(s, err, 0, "the text ends too early");
}

static bool no_record(void *arg, const char *data, size_t len)
{
	(void)arg, (void)data, (void)len;
	return true;
}

int json_check(const char *text, size_t len, size_t *at, struct err *err)
{
	static const struct json_scan_ops ops = { .record = no_record };
	const struct json_scan_options options = { .max_record = len };
	CLEANUP(json_scan_freep) struct json_scan *s = NULL;
	int rc = json_scan_new(&s, &options, &ops, NULL, err);
	if (rc == 0)
		rc = json_scan_feed(s, text, len, err);
	if (rc == 0)
		rc = json_scan_end(s, err);
	*at = s ? s->failed_at : 0;
	return rc;
}
