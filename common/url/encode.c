/* SPDX-License-Identifier: MIT */
#include "url/url_internal.h"
#include <string.h>

static const char upper_hex[] = "0123456789ABCDEF";

/* What each set has beyond the controls and bytes from 0x7f up. */
static const char *const sets[] = {
	[ENCODE_FRAGMENT] = " \"<>`",
	[ENCODE_QUERY] = " \"#<>'",
	[ENCODE_PATH] = " \"#<>?^`{}",
	[ENCODE_USER] = " \"#<>?^`{}/:;=@[\\]|",
};

void encode_add(struct buf *out, const char *s, size_t len, enum encode_set set)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c > 0x1f && c < 0x7f && !strchr(sets[set], c)) {
			buf_add_char(out, (char)c);
		} else {
			char hex[3] = { '%', upper_hex[c >> 4], upper_hex[c & 15] };
			buf_add(out, hex, 3);
		}
	}
}

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void normalize_percent(struct buf *out, const char *s, size_t len)
{
	/* "%%30a" must not become "%0a": behind a '%' that is no escape nothing is decoded that
	 * could make it one. */
	size_t since_stray = 2;
	for (size_t i = 0; i < len; i++) {
		int high = s[i] == '%' && len - i > 2 ? hex_digit(s[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(s[i + 2]) : -1;
		if (low < 0) {
			since_stray = s[i] == '%' ? 0 : hex_digit(s[i]) >= 0 ? since_stray + 1 : 2;
			/* Browsers leave these as they are, but no URI may hold them (RFC 3986 2).
			 */
			bool foreign = s[i] && strchr("\"<>\\^`{|}", s[i]);
			unsigned char c = (unsigned char)s[i];
			char hex[3] = { '%', upper_hex[c >> 4], upper_hex[c & 15] };
			buf_add(out, foreign ? hex : s + i, foreign ? 3 : 1);
			continue;
		}
		char c = (char)(high << 4 | low);
		if (is_unreserved(c) && (since_stray >= 2 || hex_digit(c) < 0)) {
			buf_add_char(out, c);
			since_stray = 2;
		} else {
			char hex[3] = { '%', upper_hex[high], upper_hex[low] };
			buf_add(out, hex, 3);
			since_stray = 2;
		}
		i += 2;
	}
}
