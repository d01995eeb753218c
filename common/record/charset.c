/* SPDX-License-Identifier: MIT */
#include "record/charset.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/charset.h"
#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

enum { CARRY_MAX = 16, PIECE = 16384, MARK_MAX = 3 };

struct record_charset {
	record_charset_sink sink;
	void *arg;
	const char *said, *name; /* name NULL: not decided yet */
	iconv_t cd;		 /* -1: none is open */
	const char *open;	 /* for which name */
	uint64_t offset;	 /* of the first byte that was not converted yet */
	char carry[CARRY_MAX];	 /* of a character that goes on, or what may be a mark */
	size_t carried;
};

static const iconv_t none = (iconv_t)-1;

int record_charset_new(struct record_charset **out, record_charset_sink sink, void *arg)
{
	struct record_charset *c = NEW(struct record_charset);
	if (!c)
		return -ENOMEM;
	c->sink = sink;
	c->arg = arg;
	c->cd = none;
	*out = c;
	return 0;
}

void record_charset_free(struct record_charset *c)
{
	if (!c)
		return;
	if (c->cd != none)
		iconv_close(c->cd);
	free(c);
}

void record_charset_restart(struct record_charset *c, const char *name)
{
	c->said = name;
	c->name = NULL;
	c->offset = 0;
	c->carried = 0;
	if (c->cd != none)
		iconv(c->cd, NULL, NULL, NULL, NULL);
}

static int give(struct record_charset *c, const char *data, size_t len, struct err *err)
{
	return len == 0 || c->sink(c->arg, data, len) ? 0 : err_set(err, -ECANCELED, "stopped");
}

static int open_converter(struct record_charset *c, struct err *err)
{
	const char *theirs = html_charset_iconv(c->name);
	if (c->cd != none && str_eq(c->open, c->name))
		return 0;
	if (c->cd != none)
		iconv_close(c->cd);
	c->cd = theirs ? iconv_open("UTF-8", theirs) : none;
	c->open = c->name;
	return c->cd != none
		       ? 0
		       : err_set(err, -EINVAL, "the encoding %s cannot be read here", c->name);
}

/* One of a single byte each, none of which is undefined. */
static int from_windows_1252(
	struct record_charset *c, const char *data, size_t len, struct err *err)
{
	char out[PIECE];
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)data[i];
		unsigned code = byte >= 0x80 && byte < 0xa0 ? charset_windows_1252[byte - 0x80]
							    : byte;
		if (n + 3 > sizeof(out)) {
			int rc = give(c, out, n, err);
			if (rc < 0)
				return rc;
			n = 0;
		}
		if (code >= 0x800)
			out[n++] = (char)(0xe0 | code >> 12);
		if (code >= 0x80)
			out[n++] = (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f)
							: 0xc0 | code >> 6);
		out[n++] = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
	}
	c->offset += len;
	return give(c, out, n, err);
}

static int bad_byte(const struct record_charset *c, struct err *err)
{
	return err_set(err, -EINVAL, "byte %" PRIu64 " of the answer means nothing in %s",
		c->offset, c->name);
}

/* @return how many bytes are left over: of a character that goes on; negative */
static int64_t from_iconv(struct record_charset *c, const char *data, size_t len, struct err *err)
{
	char out[PIECE];
	char *in = (char *)(uintptr_t)data;
	while (len > 0) {
		char *to = out;
		size_t room = sizeof(out), before = len;
		size_t n = iconv(c->cd, &in, &len, &to, &room);
		int why = n == (size_t)-1 ? errno : 0;
		c->offset += before - len;
		int rc = give(c, out, sizeof(out) - room, err);
		if (rc < 0)
			return rc;
		if (why == EILSEQ)
			return bad_byte(c, err);
		if (why == EINVAL)
			break;
	}
	return (int64_t)len;
}

static int convert(struct record_charset *c, const char *data, size_t len, struct err *err)
{
	if (str_eq(c->name, "utf-8"))
		return give(c, data, len, err);
	if (str_eq(c->name, "windows-1252"))
		return from_windows_1252(c, data, len, err);
	int rc = open_converter(c, err);
	if (rc < 0)
		return rc;
	while (c->carried > 0 && len > 0) {
		/* Byte by byte until the character that was cut is whole. */
		c->carry[c->carried++] = *data++;
		len--;
		int64_t left = from_iconv(c, c->carry, c->carried, err);
		if (left < 0)
			return (int)left;
		if (left == CARRY_MAX)
			return bad_byte(c, err);
		memmove(c->carry, c->carry + c->carried - left, (size_t)left);
		c->carried = (size_t)left;
	}
	int64_t left = len ? from_iconv(c, data, len, err) : 0;
	if (left < 0)
		return (int)left;
	if (left >= CARRY_MAX)
		return bad_byte(c, err);
	if (len) {
		memcpy(c->carry, data + len - left, (size_t)left);
		c->carried = (size_t)left;
	}
	return 0;
}

/* The first bytes are there, or all there are. */
static int decide(struct record_charset *c, struct err *err)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *name;
	} marks[] = { { "\xef\xbb\xbf", 3, "utf-8" }, { "\xfe\xff", 2, "utf-16be" },
		{ "\xff\xfe", 2, "utf-16le" } };
	char first[MARK_MAX];
	size_t len = c->carried, skip = 0;
	c->name = c->said ? c->said : "utf-8";
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (len >= marks[i].len && memcmp(c->carry, marks[i].bytes, marks[i].len) == 0) {
			c->name = marks[i].name;
			skip = marks[i].len;
			break;
		}
	memcpy(first, c->carry, len);
	c->carried = 0;
	c->offset = skip;
	return convert(c, first + skip, len - skip, err);
}

int record_charset_feed(struct record_charset *c, const char *data, size_t len, struct err *err)
{
	while (!c->name && len > 0) {
		c->carry[c->carried++] = *data++;
		len--;
		int rc = c->carried == MARK_MAX ? decide(c, err) : 0;
		if (rc < 0)
			return rc;
	}
	return len ? convert(c, data, len, err) : 0;
}

int record_charset_end(struct record_charset *c, struct err *err)
{
	int rc = c->name ? 0 : decide(c, err);
	if (rc == 0 && c->carried)
		return bad_byte(c, err);
	return rc;
}
