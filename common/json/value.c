/* SPDX-License-Identifier: MIT */
#include "json/value.h"

#include "base/str.h"
#include "config/config.h"
#include "json/real.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NUMBER_MAX = 400 };

const char *json_type_words(int column_type)
{
	switch (column_type) {
	case COLUMN_TEXT: return "text";
	case COLUMN_INTEGER: return "an integer";
	case COLUMN_REAL: return "a real";
	case COLUMN_BOOLEAN: return "a boolean";
	case COLUMN_TIMESTAMP: return "a timestamp";
	case COLUMN_BYTES: return "base64";
	default: return "JSON";
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t digits(const char *s, size_t len)
{
	size_t n = 0;
	while (n < len && is_digit(s[n]))
		n++;
	return n;
}

/* Digits, perhaps a fraction, perhaps an exponent. @return false when something else stands there
 */
static bool decimal(const char *s, size_t len, size_t *whole, size_t *fraction, bool *exponent)
{
	size_t at = *whole = digits(s, len);
	*fraction = 0;
	*exponent = false;
	if (at == 0)
		return false;
	if (at < len && s[at] == '.') {
		*fraction = digits(s + at + 1, len - at - 1);
		if (*fraction == 0)
			return false;
		at += 1 + *fraction;
	}
	if (at < len && (s[at] == 'e' || s[at] == 'E')) {
		at += 1 + (at + 1 < len && (s[at + 1] == '+' || s[at + 1] == '-'));
		size_t n = at < len ? digits(s + at, len - at) : 0;
		if (n == 0)
			return false;
		*exponent = true;
		at += n;
	}
	return at == len;
}

bool json_number_sound(const char *s, size_t len)
{
	size_t sign = len && *s == '-', whole, fraction;
	bool exponent;
	return decimal(s + sign, len - sign, &whole, &fraction, &exponent) &&
	       (whole == 1 || s[sign] != '0');
}

static int real_from(double *out, const char *s)
{
	char *end;
	double value = strtod(s, &end);
	if (*end)
		return -EINVAL;
	if (!isfinite(value))
		return -ERANGE;
	*out = value;
	return 0;
}

static int integer_from(int64_t *out, char *s, size_t len)
{
	size_t sign = *s == '-' || *s == '+', whole, fraction;
	bool exponent;
	if (!decimal(s + sign, len - sign, &whole, &fraction, &exponent))
		return -EINVAL;
	if (exponent) {
		double value;
		int rc = real_from(&value, s);
		if (rc < 0)
			return rc;
		if (value != floor(value))
			return -EINVAL;
		if (fabs(value) > 9007199254740992.0)
			return -ERANGE; /* beyond, a double no longer names one integer */
		*out = (int64_t)value;
		return 0;
	}
	size_t zeros = fraction ? strspn(s + sign + whole + 1, "0") : 0;
	if (zeros != fraction)
		return -EINVAL;
	s[sign + whole] = '\0';
	return str_to_i64(*s == '+' ? s + 1 : s, INT64_MIN, INT64_MAX, out);
}

static int boolean_from(int64_t *out, const char *s)
{
	static const char *const words[] = { "false", "true", "no", "yes", "n", "y", "0", "1" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_eq_nocase(s, words[i])) {
			*out = i & 1;
			return 0;
		}
	return -EINVAL;
}

/* n digits as a number; -1 when there are not so many. */
static int take(const char **s, size_t n)
{
	int value = 0;
	for (size_t i = 0; i < n; i++, (*s)++) {
		if (!is_digit(**s))
			return -1;
		value = value * 10 + (**s - '0');
	}
	return value;
}

/* Of the proleptic Gregorian calendar; month from 0. Years begin in March, and 400 of them are
 * added, so that the leap day comes last and nothing is negative. */
static int64_t days_since_1970(int year, int month, int day)
{
	int64_t y = year + 400 - (month < 2), m = month < 2 ? month + 10 : month - 2;
	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468 - 146097;
}

static int to_ms(int64_t *out, const struct tm *t, int64_t ms)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year = t->tm_year + 1900;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (t->tm_mon < 0 || t->tm_mon > 11 || t->tm_mday < 1 ||
		t->tm_mday > days[t->tm_mon] + (t->tm_mon == 1 && leap) || t->tm_hour < 0 ||
		t->tm_hour > 23 || t->tm_min < 0 || t->tm_min > 59 || t->tm_sec < 0 ||
		t->tm_sec > 60)
		return -EINVAL;
	int64_t minutes = (days_since_1970(year, t->tm_mon, t->tm_mday) * 24 + t->tm_hour) * 60 +
			  t->tm_min;
	*out = (minutes * 60 + t->tm_sec) * 1000 + ms;
	return 0;
}

/* Fraction of a second, as far as milliseconds. */
static int fraction_ms(const char **s)
{
	int ms = 0, scale = 100;
	if (**s != '.' && **s != ',')
		return 0;
	(*s)++;
	if (!is_digit(**s))
		return -1;
	for (; is_digit(**s); (*s)++, scale /= 10)
		ms += (**s - '0') * scale;
	return ms;
}

/* Z, +09:00, -0330, +09, or nothing. @return minutes east, or INT_MIN-like -1e6 */
static int zone_minutes(const char **s)
{
	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		return 0;
	}
	if (**s != '+' && **s != '-')
		return 0;
	int sign = *(*s)++ == '-' ? -1 : 1;
	int hours = take(s, 2), minutes = 0;
	if (**s == ':')
		(*s)++;
	if (**s)
		minutes = take(s, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -1000000;
	return sign * (hours * 60 + minutes);
}

static int calendar(int64_t *out, const char *s)
{
	struct tm t = { 0 };
	int ms = 0, zone = 0;
	t.tm_year = take(&s, 4) - 1900;
	bool dashes = *s == '-';
	s += dashes;
	t.tm_mon = take(&s, 2) - 1;
	if (dashes && *s++ != '-')
		return -EINVAL;
	t.tm_mday = take(&s, 2);
	if (t.tm_year < -1900)
		return -EINVAL;
	if (*s == 'T' || *s == 't' || *s == ' ' || (!dashes && is_digit(*s))) {
		s += !is_digit(*s);
		t.tm_hour = take(&s, 2);
		bool colons = *s == ':';
		s += colons;
		t.tm_min = take(&s, 2);
		if (*s == ':' || (!colons && is_digit(*s))) {
			s += *s == ':';
			t.tm_sec = take(&s, 2);
			ms = fraction_ms(&s);
		}
		zone = zone_minutes(&s);
	}
	if (*s || ms < 0 || zone == -1000000)
		return -EINVAL;
	int rc = to_ms(out, &t, ms);
	if (rc == 0)
		*out -= (int64_t)zone * 60000;
	return rc;
}

/* n digits as a number; far below 0 when they are not digits. */
static int at_once(const char *s, int n)
{
	int value = 0;
	for (int i = 0; i < n; i++)
		value = is_digit(s[i]) ? value * 10 + (s[i] - '0') : INT32_MIN / 100;
	return value;
}

/* 2026-11-21T08:45:00Z, with a fraction perhaps: as nearly all are written. @return false: it is
 * none, or written in another way */
static bool timestamp_plain(const char *s, size_t len, int64_t *out)
{
	enum { SECONDS = 19 };
	int64_t ms = 0;
	if (len <= SECONDS || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
		s[16] != ':' || s[len - 1] != 'Z')
		return false;
	size_t fraction = len - SECONDS - 1;
	if (fraction) {
		if (s[SECONDS] != '.' || fraction == 1 ||
			digits(s + SECONDS + 1, fraction - 1) != fraction - 1)
			return false;
		for (size_t i = 1, scale = 100; i < fraction && scale; i++, scale /= 10)
			ms += (int64_t)scale * (s[SECONDS + i] - '0');
	}
	const struct tm t = { .tm_year = at_once(s, 4) - 1900,
		.tm_mon = at_once(s + 5, 2) - 1,
		.tm_mday = at_once(s + 8, 2),
		.tm_hour = at_once(s + 11, 2),
		.tm_min = at_once(s + 14, 2),
		.tm_sec = at_once(s + 17, 2) };
	return t.tm_year >= -1900 && to_ms(out, &t, ms) == 0;
}

static int timestamp_from(int64_t *out, const char *s, size_t len)
{
	if ((len == 10 || len == 13) && digits(s, len) == len) {
		int rc = str_to_i64(s, 0, INT64_MAX / 1000, out);
		if (rc == 0 && len == 10)
			*out *= 1000;
		return rc;
	}
	return calendar(out, s);
}

/* Digits that surely fit. */
static bool integer_plain(const char *text, size_t len, int64_t *out)
{
	size_t sign = *text == '-' || *text == '+';
	uint64_t value = 0;
	if (len == sign || len - sign > 18)
		return false;
	for (size_t i = sign; i < len; i++) {
		if (!is_digit(text[i]))
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*out = *text == '-' ? -(int64_t)value : (int64_t)value;
	return true;
}

/* @return -1: none */
static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (is_digit(c))
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

ssize_t json_base64(unsigned char *dst, const char *text, size_t len)
{
	size_t padding = 0, n = 0;
	uint32_t bits = 0;
	unsigned held = 0;
	while (len && padding < 2 && text[len - 1] == '=')
		len--, padding++;
	/* A sextet alone is less than a byte; what is padded is padded whole. */
	if (len % 4 == 1 || (padding && (len + padding) % 4 != 0))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int value = sextet(text[i]);
		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		if (dst)
			dst[n] = (unsigned char)(bits >> held);
		n++;
		bits &= (1u << held) - 1;
	}
	return bits ? -EINVAL : (ssize_t)n;
}

/* A number, a word or a time, without blanks around. */
static int from_copy(struct json_value *value, int column_type, const char *text, size_t len)
{
	char copy[NUMBER_MAX];
	size_t whole, fraction;
	bool exponent;
	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (column_type == COLUMN_INTEGER)
		return integer_from(&value->i, copy, len);
	if (column_type == COLUMN_BOOLEAN)
		return boolean_from(&value->i, copy);
	if (column_type == COLUMN_TIMESTAMP)
		return timestamp_from(&value->i, copy, len);
	size_t sign = *copy == '-' || *copy == '+';
	return decimal(copy + sign, len - sign, &whole, &fraction, &exponent)
		       ? real_from(&value->real, copy)
		       : -EINVAL;
}

static bool from_plain(struct json_value *value, int column_type, const char *text, size_t len)
{
	switch (column_type) {
	case COLUMN_INTEGER: return integer_plain(text, len, &value->i);
	case COLUMN_REAL: return json_real_plain(text, len, &value->real);
	case COLUMN_TIMESTAMP: return timestamp_plain(text, len, &value->i);
	default: return false;
	}
}

int json_value_from_text(struct json_value *out, int column_type, const char *text, size_t len)
{
	if (column_type == COLUMN_TEXT || column_type == COLUMN_JSON) {
		if (memchr(text, '\0', len))
			return -EINVAL; /* neither database keeps a text with a NUL inside */
		*out = (struct json_value) { .type = JSON_VALUE_TEXT, .text = text, .len = len };
		return 0;
	}
	while (len && is_blank(*text))
		text++, len--;
	while (len && is_blank(text[len - 1]))
		len--;
	if (len == 0) {
		*out = (struct json_value) { .type = JSON_VALUE_NULL };
		return 0;
	}
	if (column_type == COLUMN_BYTES) {
		*out = (struct json_value) { .type = JSON_VALUE_BASE64, .text = text, .len = len };
		return json_base64(NULL, text, len) < 0 ? -EINVAL : 0;
	}
	struct json_value value = { .type = column_type == COLUMN_REAL ? JSON_VALUE_REAL
								       : JSON_VALUE_INT };
	int rc = from_plain(&value, column_type, text, len)
			 ? 0
			 : from_copy(&value, column_type, text, len);
	if (rc == 0)
		*out = value;
	return rc;
}
