/* SPDX-License-Identifier: MIT */
#include "json/tree.h"

#include "base/err.h"
#include "base/mem.h"
#include "json/text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	NONE = UINT32_MAX,
	NODES_FIRST = 64,
	NODES_KEPT = 4096, /* what a large record needed is given back with the next one */
	DECODED_KEPT = 65536,
	PAIRS_MAX = 32, /* names that are compared each with each */
};

/* What stands in the way of reading on is kept here; functions that read give where they stopped,
 * or NULL. */
struct reader {
	struct json_tree *tree;
	const char *end;
	uint32_t open; /* the innermost container; its `end` is the one around it meanwhile */
	size_t depth;  /* that may still be opened */
	int rc;
	const char *bad_at, *what;
	uint32_t twice; /* a name */
};

void json_tree_finish(struct json_tree *tree)
{
	free(tree->nodes);
	buf_finish(&tree->decoded);
	*tree = (struct json_tree) { 0 };
}

static const char *bad(struct reader *r, const char *at, const char *what)
{
	r->rc = -EINVAL;
	r->bad_at = at;
	r->what = what;
	return NULL;
}

static const char *stop(struct reader *r, int rc)
{
	r->rc = rc;
	return NULL;
}

/* The two nodes that one step may need. */
static bool make_room(struct json_tree *t)
{
	if (t->cap - t->count >= 2)
		return true;
	size_t cap = MAX(t->cap * 2, (size_t)NODES_FIRST);
	struct json_node *grown = realloc(t->nodes, cap * sizeof(*grown));
	if (!grown)
		return false;
	t->nodes = grown;
	t->cap = cap;
	return true;
}

static inline struct json_node *add_node(
	struct reader *r, enum json_node_kind kind, const char *from, size_t len)
{
	struct json_tree *t = r->tree;
	struct json_node *node = &t->nodes[t->count++];
	*node = (struct json_node) { .at = (uint32_t)(from - t->source),
		.len = (uint32_t)len,
		.end = (uint32_t)t->count,
		.kind = (uint8_t)kind };
	return node;
}

/* ---- texts ---- */

/* The first byte of a text that is not simply one of its characters. */
static inline const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\'),
		      blank = _mm_set1_epi8(0x20);
	for (; end - p >= 16; p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed: what is not ASCII is less than a blank, too. */
		__m128i found = _mm_or_si128(_mm_cmplt_epi8(bytes, blank),
			_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, escape)));
		int mask = _mm_movemask_epi8(found);
		if (mask)
			return p + __builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
		(unsigned char)*p < 0x80)
		p++;
	return p;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* @return the bytes of the escape at p; 0: it goes on behind the end; -1: it is none */
static int escape_len(const char *p, const char *end)
{
	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : -1;
	for (int i = 2; i < 6; i++)
		if (p + i == end || !is_hex(p[i]))
			return p + i == end ? 0 : -1;
	return 6;
}

/* The same of a character that is not ASCII. */
static int character_len(const char *p, const char *end)
{
	unsigned char c = (unsigned char)*p;
	int len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0xc2 || c > 0xf4)
		return -1;
	for (int i = 1; i < len; i++) {
		if (p + i == end)
			return 0;
		if ((unsigned char)p[i] < low || (unsigned char)p[i] > high)
			return -1;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

static const char *decode(struct reader *r, struct json_node *node, const char *end, bool name)
{
	struct buf *decoded = &r->tree->decoded;
	char *to = buf_reserve(decoded, node->len);
	if (!to)
		return stop(r, -ENOMEM);
	int64_t len = json_text_decode(to, json_tree_text(r->tree, node), node->len);
	if (len < 0)
		return bad(r, end, "half a surrogate pair before the end of the text");
	if (name && memchr(to, 0, (size_t)len))
		return bad(r, end, "a name with a NUL");
	node->at = (uint32_t)decoded->len;
	node->len = (uint32_t)len;
	node->decoded = true;
	decoded->len += (size_t)len;
	return end + 1;
}

/* The rest of a text with escapes, or characters that are not ASCII. */
static const char *read_rest(struct reader *r, const char *from, const char *at, bool name)
{
	bool escaped = false;
	for (; at < r->end && *at != '"'; at = skip_plain(at, r->end)) {
		bool escape = *at == '\\';
		if ((unsigned char)*at < 0x20)
			return bad(r, at, "a control character inside a text");
		int len = escape ? escape_len(at, r->end) : character_len(at, r->end);
		if (len < 0)
			return bad(r, at, escape ? "no such escape" : "not valid UTF-8");
		if (len == 0)
			return stop(r, -EAGAIN);
		escaped |= escape;
		at += len;
	}
	if (at == r->end)
		return stop(r, -EAGAIN);
	struct json_node *node = add_node(r, JSON_NODE_TEXT, from, (size_t)(at - from));
	return escaped ? decode(r, node, at, name) : at + 1;
}

/* `at` stands at the quote. */
static inline const char *read_text(struct reader *r, const char *at, bool name)
{
	const char *from = at + 1;
	at = skip_plain(from, r->end);
	if (at == r->end || *at != '"')
		return read_rest(r, from, at, name);
	add_node(r, JSON_NODE_TEXT, from, (size_t)(at - from));
	return at + 1;
}

/* ---- numbers and words ---- */

static inline const char *skip_digits(const char *p, const char *end)
{
	while (p < end && (unsigned char)(*p - '0') < 10)
		p++;
	return p;
}

static inline const char *read_number(struct reader *r, const char *from)
{
	const char *p = from + (*from == '-'), *end = r->end, *digits = p;
	p = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
	bool sound = p > digits;
	if (sound && p < end && *p == '.') {
		digits = p + 1;
		p = skip_digits(digits, end);
		sound = p > digits;
	}
	if (sound && p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		digits = p;
		p = skip_digits(digits, end);
		sound = p > digits;
	}
	if (!sound && p == end)
		return stop(r, -EAGAIN);
	if (!sound || (p < end && *p != ',' && memchr("+-.0123456789eE", *p, 15)))
		return bad(r, from, "not a number");
	add_node(r, JSON_NODE_NUMBER, from, (size_t)(p - from));
	return p;
}

static const char *read_word(
	struct reader *r, const char *at, const char *word, size_t len, enum json_node_kind kind)
{
	size_t there = MIN(len, (size_t)(r->end - at));
	if (memcmp(at, word, there) != 0)
		return bad(r, at, "neither true, false nor null");
	if (there < len)
		return stop(r, -EAGAIN);
	add_node(r, kind, at, 0);
	return at + len;
}

/* ---- containers ---- */

static const char *open_container(struct reader *r, const char *at, enum json_node_kind kind)
{
	if (r->depth == 0)
		return bad(r, at, "nested too deeply");
	r->depth--;
	struct json_node *node = add_node(r, kind, at, 0);
	node->end = r->open;
	r->open = (uint32_t)(node - r->tree->nodes);
	return at + 1;
}

/* Most names differ in their length, or in their first, middle or last byte. */
static uint32_t sketch(const struct json_tree *tree, const struct json_node *name)
{
	if (name->len == 0)
		return 0;
	const char *text = json_tree_text(tree, name);
	return name->len << 24 | (uint32_t)(unsigned char)text[0] << 16 |
	       (uint32_t)(unsigned char)text[name->len / 2] << 8 |
	       (unsigned char)text[name->len - 1];
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct json_tree *tree = arg;
	const struct json_node *x = &tree->nodes[*(const uint32_t *)a],
			       *y = &tree->nodes[*(const uint32_t *)b];
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len ? memcmp(json_tree_text(tree, x), json_tree_text(tree, y), x->len) : 0;
}

/* Each with each, by what they look like first. @return a name that comes twice; NONE */
static uint32_t twice_of_few(
	const struct json_tree *tree, const uint32_t *names, const uint32_t *sketches, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t k = 0; k < i; k++)
			if (sketches[k] == sketches[i] &&
				compare_names(&names[k], &names[i], (void *)tree) == 0)
				return names[i];
	return NONE;
}

/* Mostly each has a bit of its own in a small table, and there is nothing to compare. */
static uint32_t twice(const struct json_tree *tree, const struct json_node *object)
{
	uint32_t names[PAIRS_MAX], sketches[PAIRS_MAX];
	uint32_t at = (uint32_t)(object - tree->nodes) + 1;
	uint64_t seen[4] = { 0 };
	bool met = false;
	for (size_t i = 0; i < object->len; i++) {
		names[i] = at;
		sketches[i] = sketch(tree, &tree->nodes[at]);
		uint32_t hash = sketches[i] * UINT32_C(0x9e3779b1) >> 24;
		uint64_t bit = UINT64_C(1) << (hash & 63);
		met |= (seen[hash >> 6] & bit) != 0;
		seen[hash >> 6] |= bit;
		at = tree->nodes[at + 1].end;
	}
	return met ? twice_of_few(tree, names, sketches, object->len) : NONE;
}

static int64_t twice_of_many(struct json_tree *tree, const struct json_node *object)
{
	size_t count = object->len;
	uint32_t *names = malloc(count * sizeof(*names)), at = (uint32_t)(object - tree->nodes) + 1;
	int64_t found = NONE;
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++, at = tree->nodes[at + 1].end)
		names[i] = at;
	qsort_r(names, count, sizeof(*names), compare_names, tree);
	for (size_t i = 1; i < count && found == NONE; i++)
		if (compare_names(&names[i - 1], &names[i], tree) == 0)
			found = names[i];
	free(names);
	return found;
}

static bool check_names(struct reader *r, const struct json_node *object)
{
	int64_t found = object->len <= PAIRS_MAX ? twice(r->tree, object)
						 : twice_of_many(r->tree, object);
	if (found == NONE)
		return true;
	r->rc = found < 0 ? -ENOMEM : -EINVAL;
	r->twice = (uint32_t)found;
	return false;
}

static bool close_container(struct reader *r)
{
	struct json_node *node = &r->tree->nodes[r->open];
	r->open = node->end;
	node->end = (uint32_t)r->tree->count;
	r->depth++;
	return node->kind != JSON_NODE_OBJECT || node->len < 2 || check_names(r, node);
}

/* ---- the grammar ---- */

static inline const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

/* Of a container only what opens it. */
static inline const char *read_value(struct reader *r, const char *at)
{
	at = skip_blanks(at, r->end);
	if (at == r->end)
		return stop(r, -EAGAIN);
	switch (*at) {
	case '"': return read_text(r, at, false);
	case '{': return open_container(r, at, JSON_NODE_OBJECT);
	case '[': return open_container(r, at, JSON_NODE_LIST);
	case 't': return read_word(r, at, "true", 4, JSON_NODE_TRUE);
	case 'f': return read_word(r, at, "false", 5, JSON_NODE_FALSE);
	case 'n': return read_word(r, at, "null", 4, JSON_NODE_NULL);
	default:
		return *at == '-' || (*at >= '0' && *at <= '9') ? read_number(r, at)
								: bad(r, at, "a value is expected");
	}
}

static inline const char *read_name(struct reader *r, const char *at)
{
	at = skip_blanks(at, r->end);
	if (at == r->end)
		return stop(r, -EAGAIN);
	if (*at != '"')
		return bad(r, at, "a name is expected");
	at = read_text(r, at, true);
	if (!at)
		return NULL;
	at = skip_blanks(at, r->end);
	if (at == r->end)
		return stop(r, -EAGAIN);
	return *at == ':' ? at + 1 : bad(r, at, "a colon is expected");
}

/* To the next element or member; containers that end before it are closed, perhaps all. */
static inline const char *go_on(struct reader *r, const char *at)
{
	while (r->open != NONE) {
		struct json_node *node = &r->tree->nodes[r->open];
		bool object = node->kind == JSON_NODE_OBJECT;
		at = skip_blanks(at, r->end);
		if (at == r->end)
			return stop(r, -EAGAIN);
		if (*at == (object ? '}' : ']')) {
			if (!close_container(r))
				return NULL;
			at++;
			continue;
		}
		if (node->len > 0 && *at++ != ',')
			return bad(r, at - 1,
				object ? "a comma or } is expected" : "a comma or ] is expected");
		node->len++;
		return object ? read_name(r, at) : at;
	}
	return at;
}

static void begin(struct json_tree *tree, const char *data)
{
	tree->source = data;
	tree->count = 0;
	if (tree->cap > NODES_KEPT) {
		free(tree->nodes);
		tree->nodes = NULL;
		tree->cap = 0;
	}
	if (tree->decoded.cap > DECODED_KEPT)
		buf_finish(&tree->decoded);
	buf_reset(&tree->decoded);
}

static int64_t say(const struct reader *r, size_t len, struct err *err)
{
	const struct json_tree *tree = r->tree;
	if (r->rc == -ENOMEM)
		return err_set(err, r->rc, "record: out of memory");
	if (r->rc == -EAGAIN)
		return err_set(err, r->rc, "the text ends too early, at byte %zu", len);
	if (r->what)
		return err_set(
			err, r->rc, "%s at byte %zu", r->what, (size_t)(r->bad_at - tree->source));
	const struct json_node *name = &tree->nodes[r->twice];
	return err_set(err, r->rc, "duplicate object key \"%.*s\"",
		(int)MIN(name->len, (uint32_t)100), json_tree_text(tree, name));
}

int64_t json_tree_read(
	struct json_tree *tree, const char *data, size_t len, size_t depth, struct err *err)
{
	struct reader r = { .tree = tree, .end = data + len, .open = NONE, .depth = depth };
	const char *at = data;
	if (len > INT32_MAX)
		return err_set(err, -EINVAL, "larger than 2 GiB");
	begin(tree, data);
	do {
		at = make_room(tree) ? read_value(&r, at) : stop(&r, -ENOMEM);
		if (at)
			at = go_on(&r, at);
	} while (at && r.open != NONE);
	return at ? at - data : say(&r, len, err);
}
