/* SPDX-License-Identifier: MIT */
#include "html/charset.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <string.h>

/* WHATWG names and glibc's. A converter once opened stays open: the sandbox may open no file. */
static struct converter {
	const char *name, *iconv_name;
	bool tried;
	iconv_t cd;
} converters[] = {
	{ "utf-16be", "UTF-16BE", 0, 0 },
	{ "utf-16le", "UTF-16LE", 0, 0 },
	{ "ibm866", "IBM866", 0, 0 },
	{ "iso-8859-2", "ISO-8859-2", 0, 0 },
	{ "iso-8859-3", "ISO-8859-3", 0, 0 },
	{ "iso-8859-4", "ISO-8859-4", 0, 0 },
	{ "iso-8859-5", "ISO-8859-5", 0, 0 },
	{ "iso-8859-6", "ISO-8859-6", 0, 0 },
	{ "iso-8859-7", "ISO-8859-7", 0, 0 },
	{ "iso-8859-8", "ISO-8859-8", 0, 0 },
	{ "iso-8859-8-i", "ISO-8859-8", 0, 0 },
	{ "iso-8859-10", "ISO-8859-10", 0, 0 },
	{ "iso-8859-13", "ISO-8859-13", 0, 0 },
	{ "iso-8859-14", "ISO-8859-14", 0, 0 },
	{ "iso-8859-15", "ISO-8859-15", 0, 0 },
	{ "iso-8859-16", "ISO-8859-16", 0, 0 },
	{ "koi8-r", "KOI8-R", 0, 0 },
	{ "koi8-u", "KOI8-U", 0, 0 },
	{ "macintosh", "MACINTOSH", 0, 0 },
	{ "windows-874", "CP874", 0, 0 },
	{ "windows-1250", "CP1250", 0, 0 },
	{ "windows-1251", "CP1251", 0, 0 },
	{ "windows-1253", "CP1253", 0, 0 },
	{ "windows-1254", "CP1254", 0, 0 },
	{ "windows-1255", "CP1255", 0, 0 },
	{ "windows-1256", "CP1256", 0, 0 },
	{ "windows-1257", "CP1257", 0, 0 },
	{ "windows-1258", "CP1258", 0, 0 },
	{ "x-mac-cyrillic", "MAC-CYRILLIC", 0, 0 },
	{ "gbk", "GB18030", 0, 0 },
	{ "gb18030", "GB18030", 0, 0 },
	{ "big5", "BIG5-HKSCS", 0, 0 },
	{ "euc-jp", "EUC-JP-MS", 0, 0 },
	{ "iso-2022-jp", "ISO-2022-JP", 0, 0 },
	{ "shift_jis", "CP932", 0, 0 },
	{ "euc-kr", "UHC", 0, 0 },
};

/* 0x80..0x9F of windows-1252, as WHATWG has it: nothing is undefined. */
const uint16_t charset_windows_1252[32] = {
	0x20AC,
	0x81,
	0x201A,
	0x0192,
	0x201E,
	0x2026,
	0x2020,
	0x2021,
	0x02C6,
	0x2030,
	0x0160,
	0x2039,
	0x0152,
	0x8D,
	0x017D,
	0x8F,
	0x90,
	0x2018,
	0x2019,
	0x201C,
	0x201D,
	0x2022,
	0x2013,
	0x2014,
	0x02DC,
	0x2122,
	0x0161,
	0x203A,
	0x0153,
	0x9D,
	0x017E,
	0x0178,
};

static const char replacement[] = "\xEF\xBF\xBD";

static void open_converter(struct converter *c)
{
	if (!c->tried)
		c->cd = iconv_open("UTF-8", c->iconv_name);
	c->tried = true;
}

void html_charset_preload(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(converters); i++)
		open_converter(&converters[i]);
}

static struct converter *find_converter(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(converters); i++)
		if (str_eq(converters[i].name, name))
			return &converters[i];
	return NULL;
}

const char *html_charset_iconv(const char *name)
{
	const struct converter *c = find_converter(name);
	return c ? c->iconv_name : NULL;
}

static void from_windows_1252(const char *body, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len;) {
		size_t plain = i;
		while (plain < len && (unsigned char)body[plain] < 0x80 && body[plain])
			plain++;
		buf_add(out, body + i, plain - i);
		if (plain == len)
			return;
		unsigned char byte = (unsigned char)body[plain];
		uint32_t c = byte >= 0x80 && byte < 0xA0 ? charset_windows_1252[byte - 0x80] : byte;
		if (c == 0)
			c = 0xFFFD;
		if (c >= 0x800)
			buf_add_char(out, (char)(0xE0 | c >> 12));
		buf_add_char(out, (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3F) : 0xC0 | c >> 6));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
		i = plain + 1;
	}
}

/* Adds valid UTF-8, with NUL replaced. */
static void add_clean(const char *text, size_t len, struct buf *out)
{
	while (len) {
		const char *nul = memchr(text, '\0', len);
		size_t plain = nul ? (size_t)(nul - text) : len;
		buf_add(out, text, plain);
		if (!nul)
			return;
		buf_add_str(out, replacement);
		text += plain + 1;
		len -= plain + 1;
	}
}

static void from_utf8(const char *body, size_t len, struct buf *out)
{
	while (len) {
		size_t bad = len;
		if (str_is_utf8(body, len, &bad))
			bad = len;
		add_clean(body, bad, out);
		if (bad == len)
			return;
		/* One U+FFFD for the first byte and the continuation bytes that it could have had.
		 */
		size_t skip = 1, most = (unsigned char)body[bad] >= 0xF0   ? 3
					: (unsigned char)body[bad] >= 0xE0 ? 2
					: (unsigned char)body[bad] >= 0xC0 ? 1
									   : 0;
		while (skip <= most && bad + skip < len &&
			((unsigned char)body[bad + skip] & 0xC0) == 0x80)
			skip++;
		buf_add_str(out, replacement);
		body += bad + skip;
		len -= bad + skip;
	}
}

static void from_iconv(iconv_t cd, size_t unit, const char *body, size_t len, struct buf *out)
{
	char *in = (char *)(uintptr_t)body, chunk[16384];
	size_t left = len;
	iconv(cd, NULL, NULL, NULL, NULL);
	while (left && !buf_failed(out)) {
		char *to = chunk;
		size_t room = sizeof(chunk);
		size_t n = iconv(cd, &in, &left, &to, &room);
		int why = n == (size_t)-1 ? errno : 0;
		add_clean(chunk, sizeof(chunk) - room, out);
		if (why == EILSEQ || why == EINVAL) { /* EINVAL: cut off at the end */
			size_t skip = MIN(unit, left);
			buf_add_str(out, replacement);
			in += skip;
			left -= skip;
		}
	}
}

int html_charset_to_utf8(const char *name, const char *body, size_t len, struct buf *out)
{
	size_t unit = str_starts(name, "utf-16") ? 2 : 1;
	if (str_eq(name, "utf-8") && len >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0)
		body += 3, len -= 3;
	if (unit == 2 && len >= 2 &&
		memcmp(body, str_eq(name, "utf-16be") ? "\xFE\xFF" : "\xFF\xFE", 2) == 0)
		body += 2, len -= 2;

	struct converter *c = find_converter(name);
	if (c)
		open_converter(c);
	if (c && c->cd != (iconv_t)-1)
		from_iconv(c->cd, unit, body, len, out);
	else if (str_eq(name, "utf-8"))
		from_utf8(body, len, out);
	else if (str_eq(name, "replacement"))
		buf_add_str(out, replacement); /* encodings that are only good for attacks */
	else
		from_windows_1252(body, len, out);
	return buf_failed(out) ? -ENOMEM : 0;
}
