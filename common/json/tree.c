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

struct reader {
	struct json_tree *tree;
	const char *at, *end;
	uint32_t open; /* the innermost container; its `end` is the one around it meanwhile */
	size_t depth;  /* that may still be opened */
	struct err *err;
};

void json_tree_finish(struct json_tree *tree)
{
	free(tree->nodes);
	buf_finish(&tree->decoded);
	*tree = (struct json_tree) { 0 };
}

static int bad(struct reader *r, const char *what)
{
	return err_set(r->err, -EINVAL, "%s at byte %zu", what, (size_t)(r->at - r->tree->source));
}

static int no_memory(struct reader *r)
{
	return err_set(r->err, -ENOMEM, "record: out of memory");
}

static struct json_node *add_node(struct reader *r, enum json_node_kind kind)
{
	struct json_tree *t = r->tree;
	if (t->count == t->cap) {
		size_t cap = MAX(t->cap * 2, (size_t)NODES_FIRST);
		struct json_node *grown = realloc(t->nodes, cap * sizeof(*grown));
		if (!grown)
			return NULL;
		t->nodes = grown;
		t->cap = cap;
	}
	struct json_node *node = &t->nodes[t->count++];
	*node = (struct json_node) { .end = (uint32_t)t->count, .kind = (uint8_t)kind };
	return node;
}

/* ---- texts ---- */

/* The first byte of a text that is not simply one of its characters. */
static const char *skip_plain(const char *p, const char *end)
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

static int decode(struct reader *r, struct json_node *node)
{
	struct buf *decoded = &r->tree->decoded;
	char *to = buf_reserve(decoded, node->len);
	if (!to)
		return no_memory(r);
	int64_t len = json_text_decode(to, json_tree_text(r->tree, node), node->len);
	if (len < 0)
		return bad(r, "half a surrogate pair before the end of the text");
	node->at = (uint32_t)decoded->len;
	node->len = (uint32_t)len;
	node->decoded = true;
	decoded->len += (size_t)len;
	return 0;
}

/* r->at stands at the quote. */
static int read_text(struct reader *r, bool name)
{
	const char *from = r->at + 1;
	bool escaped = false;
	for (r->at = skip_plain(from, r->end); r->at < r->end && *r->at != '"';
		r->at = skip_plain(r->at, r->end)) {
		bool escape = *r->at == '\\';
		if ((unsigned char)*r->at < 0x20)
			return bad(r, "a control character inside a text");
		int len = escape ? escape_len(r->at, r->end) : character_len(r->at, r->end);
		if (len < 0)
			return bad(r, escape ? "no such escape" : "not valid UTF-8");
		if (len == 0)
			return -EAGAIN;
		escaped |= escape;
		r->at += len;
	}
	if (r->at == r->end)
		return -EAGAIN;
	struct json_node *node = add_node(r, JSON_NODE_TEXT);
	if (!node)
		return no_memory(r);
	node->at = (uint32_t)(from - r->tree->source);
	node->len = (uint32_t)(r->at - from);
	int rc = escaped ? decode(r, node) : 0;
	if (rc == 0 && escaped && name && memchr(json_tree_text(r->tree, node), 0, node->len))
		return bad(r, "a name with a NUL");
	r->at++;
	return rc;
}

/* ---- numbers and words ---- */

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static int read_number(struct reader *r)
{
	const char *from = r->at, *p = from, *end = r->end, *digits;
	p += *p == '-';
	digits = p;
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
		return -EAGAIN;
	if (!sound || (p < end && *p != ',' && memchr("+-.0123456789eE", *p, 15)))
		return bad(r, "not a number");
	struct json_node *node = add_node(r, JSON_NODE_NUMBER);
	if (!node)
		return no_memory(r);
	node->at = (uint32_t)(from - r->tree->source);
	node->len = (uint32_t)(p - from);
	r->at = p;
	return 0;
}

static int read_word(struct reader *r, const char *word, size_t len, enum json_node_kind kind)
{
	size_t there = MIN(len, (size_t)(r->end - r->at));
	if (memcmp(r->at, word, there) != 0)
		return bad(r, "neither true, false nor null");
	if (there < len)
		return -EAGAIN;
	r->at += len;
	return add_node(r, kind) ? 0 : no_memory(r);
}

/* ---- containers ---- */

static int open_container(struct reader *r, enum json_node_kind kind)
{
	if (r->depth == 0)
		return bad(r, "nested too deeply");
	r->depth--;
	struct json_node *node = add_node(r, kind);
	if (!node)
		return no_memory(r);
	node->end = r->open;
	r->open = (uint32_t)(node - r->tree->nodes);
	r->at++;
	return 0;
}

/* Most names differ in their length, first or last byte. */
static uint32_t sketch(const struct json_tree *tree, const struct json_node *name)
{
	if (name->len == 0)
		return 0;
	const char *text = json_tree_text(tree, name);
	return name->len << 16 | (uint32_t)(unsigned char)text[0] << 8 |
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
static uint32_t twice_of_few(const struct json_tree *tree, const struct json_node *object)
{
	uint32_t names[PAIRS_MAX], sketches[PAIRS_MAX];
	uint32_t at = (uint32_t)(object - tree->nodes) + 1;
	for (size_t i = 0; i < object->len; i++) {
		names[i] = at;
		sketches[i] = sketch(tree, &tree->nodes[at]);
		for (size_t k = 0; k < i; k++)
			if (sketches[k] == sketches[i] &&
				compare_names(&names[k], &at, (void *)tree) == 0)
				return at;
		at = tree->nodes[at + 1].end;
	}
	return NONE;
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

static int check_names(struct reader *r, const struct json_node *object)
{
	struct json_tree *tree = r->tree;
	int64_t twice = object->len <= PAIRS_MAX ? twice_of_few(tree, object)
						 : twice_of_many(tree, object);
	if (twice == NONE)
		return 0;
	if (twice < 0)
		return no_memory(r);
	const struct json_node *name = &tree->nodes[twice];
	return err_set(r->err, -EINVAL, "duplicate object key \"%.*s\"",
		(int)MIN(name->len, (uint32_t)100), json_tree_text(tree, name));
}

static int close_container(struct reader *r)
{
	struct json_node *node = &r->tree->nodes[r->open];
	r->open = node->end;
	node->end = (uint32_t)r->tree->count;
	r->depth++;
	r->at++;
	return node->kind == JSON_NODE_OBJECT && node->len > 1 ? check_names(r, node) : 0;
}

/* ---- the grammar ---- */

static bool skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
		(*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
		r->at++;
	return r->at < r->end;
}

/* Of a container only what opens it. */
static int read_value(struct reader *r)
{
	if (!skip_blanks(r))
		return -EAGAIN;
	switch (*r->at) {
	case '"': return read_text(r, false);
	case '{': return open_container(r, JSON_NODE_OBJECT);
	case '[': return open_container(r, JSON_NODE_LIST);
	case 't': return read_word(r, "true", 4, JSON_NODE_TRUE);
	case 'f': return read_word(r, "false", 5, JSON_NODE_FALSE);
	case 'n': return read_word(r, "null", 4, JSON_NODE_NULL);
	default:
		return *r->at == '-' || (*r->at >= '0' && *r->at <= '9')
			       ? read_number(r)
			       : bad(r, "a value is expected");
	}
}

static int read_name(struct reader *r)
{
	if (!skip_blanks(r))
		return -EAGAIN;
	if (*r->at != '"')
		return bad(r, "a name is expected");
	int rc = read_text(r, true);
	if (rc < 0)
		return rc;
	if (!skip_blanks(r))
		return -EAGAIN;
	if (*r->at != ':')
		return bad(r, "a colon is expected");
	r->at++;
	return 0;
}

/* What comes next in the innermost container: an element, a member, its end. */
static int read_next(struct reader *r)
{
	struct json_node *node = &r->tree->nodes[r->open];
	bool object = node->kind == JSON_NODE_OBJECT;
	if (!skip_blanks(r))
		return -EAGAIN;
	if (*r->at == (object ? '}' : ']'))
		return close_container(r);
	if (node->len > 0) {
		if (*r->at != ',')
			return bad(r,
				object ? "a comma or } is expected" : "a comma or ] is expected");
		r->at++;
	}
	node->len++;
	int rc = object ? read_name(r) : 0;
	return rc < 0 ? rc : read_value(r);
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

int64_t json_tree_read(
	struct json_tree *tree, const char *data, size_t len, size_t depth, struct err *err)
{
	struct reader r = { .tree = tree,
		.at = data,
		.end = data + len,
		.open = NONE,
		.depth = depth,
		.err = err };
	if (len > INT32_MAX)
		return err_set(err, -EINVAL, "larger than 2 GiB");
	begin(tree, data);
	int rc = read_value(&r);
	while (rc == 0 && r.open != NONE)
		rc = read_next(&r);
	if (rc == -EAGAIN)
		return err_set(err, rc, "the text ends too early, at byte %zu", len);
	return rc < 0 ? rc : r.at - data;
}
