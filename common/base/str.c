/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq_nocase(const char *a, const char *b)
{
	for (; *a && lower(*a) == lower(*b); a++, b++)
		;
	return lower(*a) == lower(*b);
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);
	bool fits = len < size;
	if (!fits)
		len = size - 1;
	memcpy(dst, src, len);
	dst[len] = '\0';
	return fits;
}

/* Reads digits into *out and moves *s behind them. */
static int read_digits(const char **s, int64_t *out)
{
	int64_t n = 0;
	const char *p = *s;
	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return -ERANGE;
	*s = p;
	*out = n;
	return 0;
}

int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *s == '-';
	int64_t n;
	if (negative)
		s++;
	int rc = read_digits(&s, &n);
	if (rc < 0)
		return rc;
	if (*s)
		return -EINVAL;
	if (negative)
		n = -n;
	if (n < min || n > max)
		return -ERANGE;
	*out = n;
	return 0;
}

struct unit {
	const char *name;
	int64_t factor;
};

static int with_unit(const char *s, const struct unit *units, size_t count, int64_t *out)
{
	int64_t n;
	int rc = read_digits(&s, &n);
	if (rc < 0)
		return rc;
	if (!*s)
		return -EDOM;
	for (size_t i = 0; i < count; i++) {
		if (!str_eq(s, units[i].name))
			continue;
		if (__builtin_mul_overflow(n, units[i].factor, &n))
			return -ERANGE;
		*out = n;
		return 0;
	}
	return -EINVAL;
}

int str_to_duration_ms(const char *s, int64_t *out_ms)
{
	static const struct unit units[] = {
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60000 },
		{ "h", 3600000 },
		{ "d", 86400000 },
	};
	return with_unit(s, units, ARRAY_SIZE(units), out_ms);
}

int str_to_size(const char *s, int64_t *out_bytes)
{
	static const struct unit units[] = {
		{ "B", 1 },
		{ "KB", 1000 },
		{ "MB", 1000000 },
		{ "GB", 1000000000 },
		{ "KiB", 1024 },
		{ "MiB", 1048576 },
		{ "GiB", 1073741824 },
	};
	return with_unit(s, units, ARRAY_SIZE(units), out_bytes);
}

char *str_duration(char *dst, size_t size, int64_t ms)
{
	static const struct unit units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 } };
	size_t at = 0;
	const char *sign = ms < 0 ? "-" : "";
	ms = ms < 0 ? -ms : ms;
	dst[0] = '\0';
	if (ms < 1000) {
		snprintf(dst, size, "%s%lldms", sign, (long long)ms);
		return dst;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		int64_t n = ms / units[i].factor;
		if (n == 0)
			continue;
		int w = snprintf(dst + at, size - at, "%s%lld%s", at ? "" : sign, (long long)n,
			units[i].name);
		if (w < 0 || (size_t)w >= size - at)
			return dst;
		at += (size_t)w;
		ms %= units[i].factor;
	}
	if (ms >= 1000 || at == 0)
		snprintf(dst + at, size - at, "%s%llds", at ? "" : sign, (long long)(ms / 1000));
	return dst;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool str_is_name(const char *s)
{
	size_t n = 0;
	if (*s == '.' || *s == '-')
		return false;
	for (; *s; s++, n++)
		if (!is_alnum(*s) && !strchr("_.-", *s))
			return false;
	return n >= 1 && n <= 64;
}

bool str_is_identifier(const char *s)
{
	size_t n = 0;
	if (*s >= '0' && *s <= '9')
		return false;
	for (; *s; s++, n++)
		if (!is_alnum(*s) && *s != '_')
			return false;
	return n >= 1 && n <= 63;
}

/* Length of the sequence at p, 0 when it is not one. RFC 3629, section 4. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t n;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		n = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		n = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		n = 4;
	else
		return 0;
	if (left < n)
		return 0;
	if (p[0] == 0xE0)
		lo = 0xA0;
	if (p[0] == 0xED)
		hi = 0x9F;
	if (p[0] == 0xF0)
		lo = 0x90;
	if (p[0] == 0xF4)
		hi = 0x8F;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return n;
}

bool str_is_utf8(const char *s, size_t len, size_t *bad_at)
{
	for (size_t i = 0, n; i < len; i += n) {
		/* Eight bytes of ASCII at once: most texts are nothing else. */
		uint64_t word = UINT64_MAX;
		if (len - i >= sizeof(word))
			memcpy(&word, s + i, sizeof(word));
		n = word & UINT64_C(0x8080808080808080)
			    ? utf8_sequence((const unsigned char *)s + i, len - i)
			    : sizeof(word);
		if (n)
			continue;
		if (bad_at)
			*bad_at = i;
		return false;
	}
	return true;
}

size_t str_utf8_decode(const char *s, size_t left, uint32_t *code_point)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = left ? utf8_sequence(p, left) : 0;
	if (n == 0)
		return 0;
	uint32_t cp = n == 1 ? p[0] : p[0] & (0xFFu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		cp = cp << 6 | (p[i] & 0x3Fu);
	*code_point = cp;
	return n;
}

bool str_steers_terminal(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0x200E || cp == 0x200F ||
	       (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069);
}

size_t str_distance(const char *a, const char *b, size_t limit)
{
	enum { LONGEST = 64 };
	size_t la = strlen(a), lb = strlen(b);
	size_t rows[3][LONGEST + 1];
	if (la > LONGEST || lb > LONGEST || (la > lb ? la - lb : lb - la) > limit)
		return limit + 1;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
			size_t gap = MIN(up[j] + 1, now[j - 1] + 1);
			now[j] = MIN(gap, up[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], up2[j - 2] + 1);
		}
	}
	return MIN(rows[la % 3][lb], limit + 1);
}

const char *str_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t len = strlen(word);
	size_t limit = len <= 3 ? 1 : len <= 7 ? 2 : 3;
	const char *best = NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = str_distance(word, candidates[i], limit);
		/* "ab" and "cd" are two edits apart and no near miss: something must remain. */
		if (d > limit || d >= MAX(len, strlen(candidates[i])))
			continue;
		best = candidates[i];
		if (d == 0)
			break;
		limit = d - 1;
	}
	return best;
}

uint64_t str_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

void str_hex(char *dst, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * len] = '\0';
}

void str_clean(char *dst, size_t size, const char *src)
{
	size_t n = 0;
	for (size_t left = strlen(src); left > 0;) {
		uint32_t code_point = 0;
		size_t len = str_utf8_decode(src, left, &code_point);
		bool fit = len > 0 && !str_steers_terminal(code_point);
		if (n + (fit ? len : 1) >= size)
			break;
		if (fit)
			memcpy(dst + n, src, len);
		else
			dst[n] = *src == '\t' ? ' ' : '?';
		n += fit ? len : 1;
		src += len ? len : 1;
		left -= len ? len : 1;
	}
	dst[n] = '\0';
}

static bool add_statuses(struct str_statuses *set, const char *word, size_t len)
{
	bool class = len == 3 && memcmp(word + 1, "xx", 2) == 0;
	if (len != 3 || word[0] < '1' || word[0] > '5')
		return false;
	int first = (word[0] - '0') * 100, last = first + 99;
	if (!class) {
		if (word[1] < '0' || word[1] > '9' || word[2] < '0' || word[2] > '9')
			return false;
		first = last = first + (word[1] - '0') * 10 + word[2] - '0';
	}
	for (int status = first - 100; status <= last - 100; status++)
		set->bits[status / 8] |= (uint8_t)(1u << (status % 8));
	return true;
}

bool str_statuses(struct str_statuses *out, const char *text)
{
	struct str_statuses set = { 0 };
	for (;;) {
		size_t len = strcspn(text, ",");
		if (!add_statuses(&set, text, len))
			return false;
		if (!text[len])
			break;
		text += len + 1;
	}
	*out = set;
	return true;
}

bool str_has_status(const struct str_statuses *set, long status)
{
	return status >= 100 && status < 100 + 8 * (long)sizeof(set->bits) &&
	       set->bits[(status - 100) / 8] >> ((status - 100) % 8) & 1;
}
