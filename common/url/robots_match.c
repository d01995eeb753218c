/* SPDX-License-Identifier: MIT */
#include "url/robots_match.h"
#include "base/mutant.h"
#include "url/url_internal.h"
#include <string.h>

/* RFC 9309 2.2.2: octets outside ASCII are encoded before comparison. Blanks and controls likewise.
 */
static void add_octets(struct buf *out, const char *s, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t start = 0;
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = i < len ? (unsigned char)s[i] : 0xff;
		if (c > ' ' && c < 0x7f)
			continue;
		normalize_percent(out, s + start, i - start);
		if (i < len) {
			char encoded[3] = { '%', hex[c >> 4], hex[c & 15] };
			buf_add(out, encoded, 3);
		}
		start = i + 1;
	}
}

/* Encodes each of `special` besides. */
static void add_text(struct buf *out, const char *s, size_t len, const char *special)
{
	size_t start = 0;
	for (size_t i = 0; i < len; i++) {
		if (!s[i] || !strchr(special, s[i]))
			continue;
		add_octets(out, s + start, i - start);
		buf_add_str(out, s[i] == '*' ? "%2A" : "%24");
		start = i + 1;
	}
	add_octets(out, s + start, len - start);
}

void robots_pattern_add(struct buf *out, const char *value, size_t len)
{
	bool anchored = len > 0 && value[len - 1] == '$';
	add_text(out, value, len - anchored, "$");
	if (anchored)
		buf_add_char(out, '$');
}

void robots_target_add(struct buf *out, const char *target, size_t len)
{
	add_text(out, target, len, "*$");
}

bool robots_matches(const char *pattern, size_t pattern_len, const char *target, size_t target_len)
{
	bool anchored = pattern_len > 0 && pattern[pattern_len - 1] == '$';
	const char *end = pattern + pattern_len - anchored, *rest = target + target_len;
	bool first = true;
	if (MUTANT(ROBOTS_DOLLAR_IGNORED))
		anchored = false;
	/* The leftmost place of each piece is as good as any: what follows has the most room then.
	 */
	for (const char *piece = pattern;;) {
		const char *star = memchr(piece, '*', (size_t)(end - piece));
		size_t n = (size_t)((star ? star : end) - piece), room = (size_t)(rest - target);
		if (n > room)
			return false;
		if (!star && anchored)
			return (!first || n == room) && memcmp(rest - n, piece, n) == 0;
		const char *at = first ? target : memmem(target, room, piece, n);
		if (!at || memcmp(at, piece, n) != 0)
			return false;
		if (!star)
			return true;
		target = at + n;
		piece = star + 1;
		first = false;
	}
}
