/* SPDX-License-Identifier: MIT */
/* Values on the wire: parameters are binary and typed, results are text. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/pg_engine.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
};

void pg_put32(char *at, uint32_t v)
{
	v = htobe32(v);
	memcpy(at, &v, sizeof(v));
}

void pg_put64(char *at, uint64_t v)
{
	v = htobe64(v);
	memcpy(at, &v, sizeof(v));
}

static uint64_t real_bits(double real)
{
	uint64_t bits;
	memcpy(&bits, &real, sizeof(bits));
	return bits;
}

void pg_encode(struct pg_parameter *out, const struct store_value *value)
{
	*out = (struct pg_parameter) { .type = 0 };
	switch (value->type) {
	case STORE_NULL: return;
	case STORE_INT:
		out->type = OID_INT8;
		pg_put64(out->number, (uint64_t)value->i);
		out->len = 8;
		return;
	case STORE_REAL:
		out->type = OID_FLOAT8;
		pg_put64(out->number, real_bits(value->real));
		out->len = 8;
		return;
	case STORE_TEXT:
	case STORE_BLOB:
		out->type = value->type == STORE_TEXT ? OID_TEXT : OID_BYTEA;
		out->data = value->data ? value->data : "";
		out->len = (int)value->len;
		return;
	}
}

size_t pg_value_size(const struct store_value *value)
{
	return value->type == STORE_NULL				? 4
	       : value->type == STORE_TEXT || value->type == STORE_BLOB ? 4 + value->len
									: 12;
}

char *pg_put_value(char *at, const struct store_value *value)
{
	switch (value->type) {
	case STORE_NULL: pg_put32(at, UINT32_MAX); return at + 4;
	case STORE_INT:
	case STORE_REAL:
		pg_put32(at, 8);
		pg_put64(at + 4,
			value->type == STORE_INT ? (uint64_t)value->i : real_bits(value->real));
		return at + 12;
	case STORE_TEXT:
	case STORE_BLOB: break;
	}
	pg_put32(at, (uint32_t)value->len);
	if (value->len)
		memcpy(at + 4, value->data, value->len);
	return at + 4 + value->len;
}

/* ASCII without NUL, as most texts are: eight bytes at once. */
static bool is_plain(const char *s, size_t len)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
	uint64_t word, found = 0;
	if (len < sizeof(word)) {
		for (size_t i = 0; i < len; i++)
			found |= s[i] <= 0;
		return !found;
	}
	for (size_t i = 0; i < len; i += sizeof(word)) {
		/* The last eight once more, rather than what is left one by one. */
		memcpy(&word, s + MIN(i, len - sizeof(word)), sizeof(word));
		found |= (word | ((word - ones) & ~word)) & highs;
	}
	return !found;
}

bool pg_text_is_clean(const char *data, size_t len)
{
	size_t bad;
	return len == 0 || is_plain(data, len) ||
	       (!memchr(data, 0, len) && str_is_utf8(data, len, &bad));
}

const char *pg_clean_text(struct arena *arena, const char *data, size_t *len)
{
	if (pg_text_is_clean(data, *len))
		return data ? data : "";
	CLEANUP(buf_finish) struct buf clean = BUF_INIT;
	for (size_t at = 0; at < *len;) {
		uint32_t point;
		size_t n = str_utf8_decode(data + at, *len - at, &point);
		if (n == 0 || data[at] == '\0')
			buf_add_str(&clean, "\xef\xbf\xbd");
		else
			buf_add(&clean, data + at, n);
		at += n ? n : 1;
	}
	if (buf_failed(&clean))
		return NULL;
	*len = clean.len;
	return arena_strndup(arena, buf_str(&clean), clean.len);
}

/* ---- results ---- */

static bool take_text(struct store_tx *tx, const char *text, size_t len, struct store_value *out)
{
	const char *copy = arena_strndup(tx->arena, text, len);
	*out = store_bytes(copy, len, STORE_TEXT);
	return copy != NULL;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x6162": bytea_output is hex, ours by setting. */
static bool take_bytes(struct store_tx *tx, const char *text, size_t len, struct store_value *out)
{
	size_t count = len >= 2 ? (len - 2) / 2 : 0;
	char *bytes = arena_alloc(tx->arena, count + 1);
	if (!bytes)
		return false;
	for (size_t i = 0; i < count; i++)
		bytes[i] = (char)(hex_digit(text[2 + 2 * i]) << 4 | hex_digit(text[3 + 2 * i]));
	*out = store_bytes(bytes, count, STORE_BLOB);
	return true;
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool digits(const char **at, int min, int64_t *out)
{
	int n = 0;
	for (*out = 0; **at >= '0' && **at <= '9' && n < 9; ++*at, n++)
		*out = *out * 10 + (**at - '0');
	return n >= min;
}

static bool skip(const char **at, char c)
{
	return **at == c ? ++*at, true : false;
}

/* "2026-11-21 08:45:00.123456+00": DateStyle and TimeZone are ours by setting. What has no ms
 * ("infinity", years before Christ) stays text. */
static bool take_time(const char *text, struct store_value *out)
{
	int64_t y, mo, d, h, mi, s, ms = 0;
	const char *at = text;
	if (!digits(&at, 4, &y) || !skip(&at, '-') || !digits(&at, 2, &mo) || !skip(&at, '-') ||
		!digits(&at, 2, &d) || !skip(&at, ' ') || !digits(&at, 2, &h) || !skip(&at, ':') ||
		!digits(&at, 2, &mi) || !skip(&at, ':') || !digits(&at, 2, &s))
		return false;
	if (skip(&at, '.'))
		for (int64_t unit = 100; *at >= '0' && *at <= '9'; at++, unit /= 10)
			ms += unit * (*at - '0');
	if (!str_eq(at, "+00"))
		return false;
	*out = STORE_VALUE_INT(
		((days_from_civil(y, mo, d) * 24 + h) * 60 + mi) * 60000 + s * 1000 + ms);
	return true;
}

/* SUM over bigint is numeric: whole ones stay whole. */
static void take_number(const char *text, bool may_be_whole, struct store_value *out)
{
	int64_t whole;
	if (may_be_whole && str_to_i64(text, INT64_MIN, INT64_MAX, &whole) == 0)
		*out = STORE_VALUE_INT(whole);
	else
		*out = STORE_VALUE_REAL(strtod(text, NULL));
}

bool pg_decode(
	struct store_tx *tx, const PGresult *res, int row, int column, struct store_value *out)
{
	*out = STORE_VALUE_NULL;
	if (PQgetisnull(res, row, column))
		return true;
	const char *text = PQgetvalue(res, row, column);
	size_t len = (size_t)PQgetlength(res, row, column);
	switch (PQftype(res, column)) {
	case OID_BOOL: *out = STORE_VALUE_INT(text[0] == 't'); return true;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
	case OID_NUMERIC: take_number(text, true, out); return true;
	case OID_FLOAT4:
	case OID_FLOAT8: take_number(text, false, out); return true;
	case OID_BYTEA: return take_bytes(tx, text, len, out);
	case OID_TIMESTAMPTZ: return take_time(text, out) || take_text(tx, text, len, out);
	default: return take_text(tx, text, len, out);
	}
}
