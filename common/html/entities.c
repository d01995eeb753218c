/* SPDX-License-Identifier: MIT */
#include "html/entities.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "html/charset.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { NAME_MAX_LEN = 32, REPLACEMENT = 0xFFFD };

struct entity {
	char name[NAME_MAX_LEN + 1];
	char text[8];
};
static const struct entity entities[] = {
#include "html/entities.inc"
};

static size_t decode_number(const char *text, size_t len, struct buf *out);
static size_t decode_name(const char *text, size_t len, struct buf *out);

size_t html_entity_decode(const char *text, size_t len, struct buf *out)
{
	if (len < 2)
		return 0;
	if (text[1] == '#')
		return decode_number(text, len, out);
	return isalpha((unsigned char)text[1]) ? decode_name(text, len, out) : 0;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
	} else if (c < 0x800) {
		buf_add_char(out, (char)(0xC0 | c >> 6));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		buf_add_char(out, (char)(0xE0 | c >> 12));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	} else {
		buf_add_char(out, (char)(0xF0 | c >> 18));
		buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	}
}

static int digit_value(char c, bool hex)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (hex && isxdigit((unsigned char)c))
		return tolower((unsigned char)c) - 'a' + 10;
	return -1;
}

static size_t decode_number(const char *text, size_t len, struct buf *out)
{
	size_t i = 2;
	bool hex = i < len && (text[i] == 'x' || text[i] == 'X');
	if (hex)
		i++;
	size_t first = i;
	uint32_t c = 0;
	for (int v; i < len && (v = digit_value(text[i], hex)) >= 0; i++)
		if (c <= 0x10FFFF)
			c = c * (hex ? 16 : 10) + (uint32_t)v;
	if (i == first)
		return 0;
	if (i < len && text[i] == ';')
		i++;
	if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		c = REPLACEMENT;
	else if (c >= 0x80 && c <= 0x9F)
		c = charset_windows_1252[c - 0x80];
	add_utf8(out, c);
	return i;
}

static const struct entity *find(const char *name, size_t len)
{
	size_t low = 0, high = ARRAY_SIZE(entities);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strncmp(entities[mid].name, name, len);
		if (order == 0 && entities[mid].name[len])
			order = 1;
		if (order == 0)
			return &entities[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static size_t decode_name(const char *text, size_t len, struct buf *out)
{
	size_t run = 1;
	while (run < len && run <= NAME_MAX_LEN && isalnum((unsigned char)text[run]))
		run++;
	if (run < len && text[run] == ';') {
		const struct entity *whole = find(text + 1, run);
		if (whole) {
			buf_add_str(out, whole->text);
			return run + 1;
		}
	}
	/* Without ';' the longest old name counts, but "&copy=1" and "&copyx" of a query do not. */
	for (size_t n = run - 1; n >= 2; n--) {
		const struct entity *old = find(text + 1, n);
		if (!old)
			continue;
		char next = 1 + n < len ? text[1 + n] : '\0';
		if (next == '=' || isalnum((unsigned char)next))
			return 0;
		buf_add_str(out, old->text);
		return 1 + n;
	}
	return 0;
}
