/* SPDX-License-Identifier: MIT */
#include "record/xml.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "html/charset.h"
#include "record/xml_tree.h"
#include "json/path.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum state {
	X_TEXT,
	X_OPEN,	    /* behind < */
	X_NAME,	    /* of a start tag */
	X_IN_TAG,   /* between attributes */
	X_SLASH,    /* of <a/ */
	X_ATTR,	    /* name of an attribute */
	X_EQUALS,   /* behind it */
	X_VALUE,    /* its quote is expected */
	X_IN_VALUE, /* inside its quotes */
	X_END_NAME, /* of an end tag */
	X_END_REST, /* behind its name */
	X_ENTITY,   /* behind & */
	X_BANG,	    /* behind <! */
	X_COMMENT,
	X_CDATA,
	X_DOCTYPE,
	X_PI,
};
enum { ENTITY_MAX = 10, TOKEN_MAX = 1024 * 1024, WORD_MAX = 8 };

struct level {
	const char *name; /* NULL: any */
	int64_t index;	  /* of those that are named so; -1: all */
};

struct xml {
	struct level levels[JSON_PATH_STEPS];
	size_t level_count;
	struct record_ops ops;
	void *arg;
	int failed;
	enum state state, back; /* back: where an entity is */
	uint64_t offset;	/* of the chunk's first byte */
	bool root_seen;
	size_t depth, matched, reached;
	int64_t seen[JSON_PATH_STEPS + 1]; /* elements of the wanted name, by level */
	bool filled[JSON_PATH_STEPS + 1];  /* an element on the path has children */
	bool empty;			   /* one had none */
	struct buf names;		   /* of open elements, NUL-terminated */
	size_t name_at[XML_DEPTH];
	struct buf token; /* text, value, or a name at hand */
	struct buf attr;  /* names of the tag's attributes, NUL-terminated */
	size_t attr_at;	  /* of the one at hand */
	char quote;
	char word[WORD_MAX + 1]; /* of <!..., or the last bytes of what is passed over */
	size_t word_len, brackets;
	char entity[ENTITY_MAX + 1];
	size_t entity_len;
	bool cr; /* the byte before was one */
	bool recording;
	size_t record_depth;
	struct xml_tree *tree;
	struct buf json;
};

/* ---- the path ---- */

static int read_path(struct xml *x, const struct json_path *path, struct err *err)
{
	const char *at = path ? path->text : "";
	if (*at == '$')
		at++;
	for (size_t i = 0; path && i < path->count; i++) {
		const struct json_step *step = &path->steps[i];
		bool bracket = *at == '[';
		at += *at == '.';
		at += bracket ? strcspn(at, "]") + 1 : strcspn(at, ".[");
		if (!bracket) {
			x->levels[x->level_count++] = (struct level) {
				step->kind == JSON_STEP_NAME ? step->name : NULL, -1
			};
			continue;
		}
		if (x->level_count == 0 || step->index < 0)
			return err_set(err, -EINVAL,
				"path \"%s\": in XML an index stands behind a name, and counts "
				"from the first",
				path->text);
		if (step->kind == JSON_STEP_INDEX)
			x->levels[x->level_count - 1].index = step->index;
	}
	return 0;
}

int xml_new(struct xml **out, const struct json_path *path, const struct record_ops *ops, void *arg,
	struct err *err)
{
	struct xml *x = NEW(struct xml);
	if (!x)
		return err_set(err, -ENOMEM, "xml: out of memory");
	x->tree = xml_tree_new();
	x->ops = *ops;
	x->arg = arg;
	x->token.max = TOKEN_MAX;
	x->attr.max = TOKEN_MAX;
	int rc = x->tree ? read_path(x, path, err) : err_set(err, -ENOMEM, "xml: out of memory");
	if (rc < 0) {
		xml_free(x);
		return rc;
	}
	xml_restart(x);
	*out = x;
	return 0;
}

void xml_free(struct xml *x)
{
	if (!x)
		return;
	xml_tree_free(x->tree);
	buf_finish(&x->names);
	buf_finish(&x->token);
	buf_finish(&x->attr);
	buf_finish(&x->json);
	free(x);
}

void xml_restart(struct xml *x)
{
	x->failed = 0;
	x->state = X_TEXT;
	x->offset = 0;
	x->root_seen = x->empty = x->cr = x->recording = false;
	x->depth = x->matched = x->reached = 0;
	memset(x->seen, 0, sizeof(x->seen));
	memset(x->filled, 0, sizeof(x->filled));
	buf_reset(&x->names);
	buf_reset(&x->token);
	xml_tree_restart(x->tree);
}

const char *xml_missing(const struct xml *x)
{
	if (x->reached >= x->level_count || x->empty)
		return NULL;
	const char *name = x->levels[x->reached].name;
	return name ? name : "an element";
}

static int fail(struct xml *x, struct err *err, size_t at, const char *what)
{
	x->failed = -EINVAL;
	return err_set(err, -EINVAL, "malformed XML at byte %" PRIu64 ": %s", x->offset + at, what);
}

/* ---- elements ---- */

static const char *local_name(const char *name)
{
	const char *colon = strchr(name, ':');
	return colon && colon[1] ? colon + 1 : name;
}

static void flush_text(struct xml *x)
{
	if (x->recording && x->token.len)
		xml_tree_text(x->tree, x->token.data, x->token.len);
	buf_reset(&x->token);
}

/* An element begins; `depth` counts it already. */
static void judge_element(struct xml *x, const char *name)
{
	size_t level = x->depth - 1;
	if (x->recording)
		return;
	if (x->matched == level && level > 0 && level <= x->level_count)
		x->filled[level] = true;
	if (x->matched == level && level < x->level_count) {
		const struct level *wanted = &x->levels[level];
		if (!wanted->name || str_eq(wanted->name, name)) {
			int64_t n = x->seen[level]++;
			if (wanted->index < 0 || wanted->index == n) {
				x->matched = x->depth;
				x->reached = MAX(x->reached, x->depth);
				x->seen[x->depth] = 0;
				x->filled[x->depth] = false;
			}
		}
	}
	bool whole = x->level_count == 0 && x->depth == 1;
	if (whole || (x->matched == x->depth && x->depth == x->level_count)) {
		x->recording = true;
		x->record_depth = x->depth;
		xml_tree_restart(x->tree);
	}
}

static int open_element(struct xml *x, size_t at, struct err *err)
{
	if (x->depth == XML_DEPTH)
		return fail(x, err, at, "nested too deeply");
	if (x->depth == 0 && x->root_seen)
		return fail(x, err, at, "something follows the root element");
	x->root_seen = true;
	x->name_at[x->depth++] = x->names.len;
	buf_add(&x->names, buf_str(&x->token), x->token.len + 1);
	if (buf_failed(&x->names))
		return err_set(err, x->failed = -ENOMEM, "xml: out of memory");
	const char *name = local_name(x->names.data + x->name_at[x->depth - 1]);
	judge_element(x, name);
	if (x->recording)
		xml_tree_open(x->tree, name, strlen(name));
	buf_reset(&x->token);
	buf_reset(&x->attr);
	return 0;
}

static int end_record(struct xml *x, struct err *err)
{
	bool no_memory;
	const char *bad = xml_tree_bad(x->tree, &no_memory);
	x->recording = false;
	if (no_memory)
		return err_set(err, x->failed = -ENOMEM, "xml: out of memory");
	if (bad) {
		x->ops.rejected(x->arg, bad);
		xml_tree_restart(x->tree);
		return 0;
	}
	buf_reset(&x->json);
	xml_tree_write(x->tree, &x->json);
	xml_tree_restart(x->tree);
	if (buf_failed(&x->json))
		return err_set(err, x->failed = -ENOMEM, "xml: out of memory");
	if (!x->ops.record(x->arg, x->json.data, x->json.len))
		return err_set(err, x->failed = -ECANCELED, "xml: stopped");
	return 0;
}

static int close_element(struct xml *x, struct err *err)
{
	int rc = 0;
	if (x->recording) {
		xml_tree_close(x->tree);
		if (x->depth == x->record_depth)
			rc = end_record(x, err);
	}
	if (x->matched == x->depth) {
		x->empty |= x->depth < x->level_count && !x->filled[x->depth];
		x->matched--;
	}
	x->depth--;
	x->names.len = x->name_at[x->depth];
	x->state = X_TEXT;
	return rc;
}

static int close_named(struct xml *x, size_t at, struct err *err)
{
	if (x->depth == 0 || !str_eq(x->names.data + x->name_at[x->depth - 1], buf_str(&x->token)))
		return fail(x, err, at, "an end tag that fits no start tag");
	buf_reset(&x->token);
	return close_element(x, err);
}

/* ---- attributes ---- */

static int end_attribute_name(struct xml *x, size_t at, struct err *err)
{
	const char *name = buf_str(&x->token);
	for (size_t i = 0; i < x->attr.len; i += strlen(x->attr.data + i) + 1)
		if (str_eq(x->attr.data + i, name))
			return fail(x, err, at, "an attribute comes twice");
	x->attr_at = x->attr.len;
	buf_add(&x->attr, name, x->token.len + 1);
	buf_reset(&x->token);
	return buf_failed(&x->attr) ? fail(x, err, at, "too many attributes") : 0;
}

static void end_attribute(struct xml *x)
{
	const char *name = x->attr.data + x->attr_at;
	if (x->recording && !str_eq(name, "xmlns") && !str_starts(name, "xmlns:")) {
		const char *local = local_name(name);
		xml_tree_attribute(x->tree, local, strlen(local), buf_str(&x->token), x->token.len);
	}
	buf_reset(&x->token);
}

/* ---- references ---- */

static void add_code(struct xml *x, uint32_t c)
{
	if (c < 0x80) {
		buf_add_char(&x->token, (char)c);
		return;
	}
	if (c >= 0x10000) {
		buf_add_char(&x->token, (char)(0xf0 | c >> 18));
		buf_add_char(&x->token, (char)(0x80 | (c >> 12 & 0x3f)));
	} else if (c >= 0x800) {
		buf_add_char(&x->token, (char)(0xe0 | c >> 12));
	}
	buf_add_char(&x->token, (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6));
	buf_add_char(&x->token, (char)(0x80 | (c & 0x3f)));
}

static bool is_character(uint32_t c)
{
	return c == 9 || c == 10 || c == 13 || (c >= 0x20 && c < 0xd800) ||
	       (c >= 0xe000 && c < 0xfffe) || (c >= 0x10000 && c < 0x110000);
}

static int end_entity(struct xml *x, size_t at, struct err *err)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
		{ "apos", '\'' } };
	const char *e = x->entity;
	x->entity[x->entity_len] = '\0';
	x->state = x->back;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(known[i].name, e)) {
			buf_add_char(&x->token, known[i].c);
			return 0;
		}
	bool hex = e[0] == '#' && e[1] == 'x';
	const char *digits = e + 1 + hex;
	if (e[0] != '#' || !*digits ||
		strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return fail(x, err, at, "an entity that is not known");
	uint32_t code = (uint32_t)strtoul(digits, NULL, hex ? 16 : 10);
	if (strlen(digits) > 8 || !is_character(code))
		return fail(x, err, at, "a reference to what is no character");
	/* The fuzzer must find this one: a reference beyond the first plane inside an attribute. */
	if (MUTANT(FUZZ_XML) && code >= 0x10000 && x->back == X_IN_VALUE)
		abort();
	add_code(x, code);
	return 0;
}

/* ---- bytes ---- */

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
	       (unsigned char)c >= 0x80;
}

static bool is_name(char c)
{
	return is_name_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int name_byte(struct xml *x, char c, size_t at, struct err *err)
{
	if (x->token.len == XML_NAME_MAX)
		return fail(x, err, at, "a name is too long");
	buf_add_char(&x->token, c);
	return buf_failed(&x->token) ? err_set(err, x->failed = -ENOMEM, "xml: out of memory") : 0;
}

/* Line ends are LF (XML 1.0, 2.11). */
static void text_byte(struct xml *x, char c)
{
	bool lf = c == '\n' && x->cr;
	x->cr = c == '\r';
	if (!lf && x->recording)
		buf_add_char(&x->token, c == '\r' ? '\n' : c);
}

static int begin_entity(struct xml *x)
{
	x->back = x->state;
	x->state = X_ENTITY;
	x->entity_len = 0;
	x->cr = false;
	return 0;
}

static int text_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (c == '<') {
		/* What is outside of records was not kept. */
		if (x->recording && buf_failed(&x->token))
			xml_tree_too_large(x->tree);
		flush_text(x);
		x->cr = false;
		x->state = X_OPEN;
		return 0;
	}
	if (x->depth == 0)
		return is_space(c) ? 0 : fail(x, err, at, "text outside of the root element");
	if (c == '&')
		return begin_entity(x);
	text_byte(x, c);
	return 0;
}

static int open_state(struct xml *x, char c, size_t at, struct err *err)
{
	x->word_len = 0;
	x->brackets = 0;
	if (c == '/') {
		x->state = X_END_NAME;
		return 0;
	}
	if (c == '!' || c == '?') {
		x->state = c == '!' ? X_BANG : X_PI;
		return 0;
	}
	if (!is_name_start(c))
		return fail(x, err, at, "a name is expected");
	x->state = X_NAME;
	return name_byte(x, c, at, err);
}

static int in_tag_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (is_space(c))
		return 0;
	if (c == '>') {
		x->state = X_TEXT;
		return 0;
	}
	if (c == '/') {
		x->state = X_SLASH;
		return 0;
	}
	if (!is_name_start(c))
		return fail(x, err, at, "an attribute, / or > is expected");
	x->state = X_ATTR;
	return name_byte(x, c, at, err);
}

static int name_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (is_name(c))
		return name_byte(x, c, at, err);
	int rc = open_element(x, at, err);
	x->state = X_IN_TAG;
	return rc < 0 ? rc : in_tag_state(x, c, at, err);
}

static int attr_state(struct xml *x, char c, size_t at, struct err *err)
{
	int rc = 0;
	if (x->state == X_ATTR) {
		if (is_name(c))
			return name_byte(x, c, at, err);
		rc = end_attribute_name(x, at, err);
		x->state = X_EQUALS;
	}
	if (rc < 0 || is_space(c))
		return rc;
	if (c != '=')
		return fail(x, err, at, "= is expected");
	x->state = X_VALUE;
	return 0;
}

static int value_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (x->state == X_VALUE) {
		if (is_space(c))
			return 0;
		if (c != '"' && c != '\'')
			return fail(x, err, at, "a value in quotes is expected");
		x->quote = c;
		x->cr = false;
		x->state = X_IN_VALUE;
		return 0;
	}
	if (c == x->quote) {
		if (buf_failed(&x->token))
			return fail(x, err, at, "the value of an attribute is too long");
		end_attribute(x);
		x->state = X_IN_TAG;
		return 0;
	}
	if (c == '<')
		return fail(x, err, at, "< inside of a value");
	if (c == '&')
		return begin_entity(x);
	bool lf = c == '\n' && x->cr;
	x->cr = c == '\r';
	if (!lf)
		buf_add_char(&x->token, is_space(c) ? ' ' : c);
	return 0;
}

static int end_tag_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (x->state == X_END_NAME && is_name(c))
		return name_byte(x, c, at, err);
	x->state = X_END_REST;
	if (is_space(c))
		return 0;
	return c == '>' ? close_named(x, at, err) : fail(x, err, at, "> is expected");
}

static int entity_state(struct xml *x, char c, size_t at, struct err *err)
{
	if (c == ';')
		return end_entity(x, at, err);
	if (x->entity_len == ENTITY_MAX)
		return fail(x, err, at, "an entity that is not known");
	x->entity[x->entity_len++] = c;
	return 0;
}

/* <!--, <![CDATA[ or <!DOCTYPE */
static int bang_state(struct xml *x, char c, size_t at, struct err *err)
{
	static const struct {
		const char *word;
		enum state state;
	} words[] = { { "--", X_COMMENT }, { "[CDATA[", X_CDATA }, { "DOCTYPE", X_DOCTYPE } };
	x->word[x->word_len++] = c;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strncmp(words[i].word, x->word, x->word_len) != 0)
			continue;
		if (words[i].word[x->word_len])
			return 0;
		if (words[i].state == X_CDATA && x->depth == 0)
			break;
		if (words[i].state == X_DOCTYPE && x->root_seen)
			break;
		x->state = words[i].state;
		x->word_len = 0;
		return 0;
	}
	return fail(x, err, at, "<! is followed by what is not known");
}

/* The last two bytes are kept, to see the end. */
static bool ends_with(struct xml *x, char c, const char *end)
{
	size_t len = strlen(end);
	bool over = c == end[len - 1] && x->word_len >= len - 1 &&
		    memcmp(x->word + x->word_len - (len - 1), end, len - 1) == 0;
	if (x->word_len == 2) {
		x->word[0] = x->word[1];
		x->word_len = 1;
	}
	x->word[x->word_len++] = c;
	return over;
}

static int skip_state(struct xml *x, char c)
{
	bool over = false;
	if (x->state == X_DOCTYPE) {
		/* Quotes and comments inside may hold brackets; what then comes is an error. */
		x->brackets += c == '[';
		x->brackets -= c == ']' && x->brackets > 0;
		over = c == '>' && x->brackets == 0;
	} else if (x->state == X_COMMENT) {
		over = ends_with(x, c, "-->");
	} else {
		over = ends_with(x, c, "?>");
	}
	if (over)
		x->state = X_TEXT;
	return 0;
}

static int cdata_state(struct xml *x, char c)
{
	bool over = ends_with(x, c, "]]>");
	text_byte(x, c);
	if (!over)
		return 0;
	/* The ]] in front of it went into the text. */
	if (x->recording && !buf_failed(&x->token) && x->token.len >= 3)
		x->token.len -= 3;
	x->cr = false;
	x->state = X_TEXT;
	return 0;
}

static int step(struct xml *x, char c, size_t at, struct err *err)
{
	switch (x->state) {
	case X_TEXT: return text_state(x, c, at, err);
	case X_OPEN: return open_state(x, c, at, err);
	case X_NAME: return name_state(x, c, at, err);
	case X_IN_TAG: return in_tag_state(x, c, at, err);
	case X_SLASH: return c == '>' ? close_element(x, err) : fail(x, err, at, "> is expected");
	case X_ATTR:
	case X_EQUALS: return attr_state(x, c, at, err);
	case X_VALUE:
	case X_IN_VALUE: return value_state(x, c, at, err);
	case X_END_NAME:
	case X_END_REST: return end_tag_state(x, c, at, err);
	case X_ENTITY: return entity_state(x, c, at, err);
	case X_BANG: return bang_state(x, c, at, err);
	case X_CDATA: return cdata_state(x, c);
	case X_COMMENT:
	case X_DOCTYPE:
	case X_PI: break;
	}
	return skip_state(x, c);
}

int xml_feed(struct xml *x, const char *data, size_t len, struct err *err)
{
	if (x->failed)
		return err_set(err, x->failed, "xml: reading has ended");
	for (size_t at = 0; at < len; at++) {
		int rc = step(x, data[at], at, err);
		if (rc < 0)
			return rc;
	}
	x->offset += len;
	return 0;
}

const char *xml_declared_charset(const char *head, size_t len)
{
	const char *end = memchr(head, '>', len), *at = head;
	if (!end || len < 6 || memcmp(head, "<?xml", 5) != 0)
		return NULL;
	at = memmem(head, (size_t)(end - head), "encoding", 8);
	if (!at)
		return NULL;
	for (at += 8; at < end && (is_space(*at) || *at == '=');)
		at++;
	if (at == end || (*at != '"' && *at != '\''))
		return NULL;
	const char *close = memchr(at + 1, *at, (size_t)(end - at - 1));
	const char *name = close ? html_charset_find(at + 1, (size_t)(close - at - 1)) : NULL;
	/* It could not be read as it was, were it that. */
	return name && !str_starts(name, "utf-16") ? name : NULL;
}

int xml_end(struct xml *x, struct err *err)
{
	if (x->failed)
		return err_set(err, x->failed, "xml: reading has ended");
	if (x->root_seen && x->depth == 0 && x->state == X_TEXT)
		return 0;
	return fail(x, err, 0, "the text ends too early");
}
