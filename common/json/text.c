/* SPDX-License-Identifier: MIT */
#include "json/text.h"

static unsigned hex4(const char *s)
{
	unsigned value = 0;
	for (int i = 0; i < 4; i++) {
		char c = s[i];
		value = value << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static size_t put_utf8(char *dst, unsigned c)
{
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		dst[i] = (char)(0x80 | (c & 0x3f));
	dst[0] = (char)(lead[n] | c);
	return n;
}

int64_t json_text_decode(char *dst, const char *src, size_t len)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (src[i] != '\\' || i + 1 == len) {
			dst[n++] = src[i];
			continue;
		}
		char c = src[++i];
		if (c != 'u') {
			for (size_t k = 0; from[k]; k++)
				if (from[k] == c)
					c = to[k];
			dst[n++] = c;
			continue;
		}
		if (i + 4 >= len)
			return -1;
		unsigned code = hex4(src + i + 1);
		i += 4;
		if (code >= 0xdc00 && code <= 0xdfff)
			return -1;
		if (code >= 0xd800 && code <= 0xdbff) {
			if (i + 6 >= len || src[i + 1] != '\\' || src[i + 2] != 'u')
				return -1;
			unsigned second = hex4(src + i + 3);
			if (second < 0xdc00 || second > 0xdfff)
				return -1;
			code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
			i += 6;
		}
		n += put_utf8(dst + n, code);
	}
	return (int64_t)n;
}
