/* SPDX-License-Identifier: MIT */
#include "log_line.h"

#include "ask.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "schedule/due.h"
#include "text.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

enum { HEAD = 160 }; /* time and level stand at the beginning of a line or nowhere */

static const struct {
	const char *word;
	int level;
} words[] = {
	{ "trace", LOG_DEBUG },
	{ "debug", LOG_DEBUG },
	{ "info", LOG_INFO },
	{ "notice", LOG_INFO },
	{ "warn", LOG_WARN },
	{ "warning", LOG_WARN },
	{ "err", LOG_ERROR },
	{ "error", LOG_ERROR },
	{ "critical", LOG_ERROR },
	{ "crit", LOG_ERROR },
	{ "fatal", LOG_ERROR },
	{ "alert", LOG_ERROR },
	{ "emerg", LOG_ERROR },
	{ "panic", LOG_ERROR },
};

/* The beginning of bytes that no NUL ends. */
static void take(char *dst, size_t size, const char *bytes, size_t len)
{
	len = MIN(len, size - 1);
	memcpy(dst, bytes, len);
	dst[len] = '\0';
}

int log_line_level(const char *word, size_t len)
{
	char text[16];
	if (len == 0 || len >= sizeof(text))
		return LOG_LINE_NO_LEVEL;
	take(text, sizeof(text), word, len);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_eq_nocase(words[i].word, text))
			return words[i].level;
	return LOG_LINE_NO_LEVEL;
}

static void read_record(struct log_line *out, const json_t *record)
{
	const char *time = json_text_or_null(record, "time"), *level = json_text(record, "level");
	out->time_ms = text_time(time);
	out->level = log_line_level(level, strlen(level));
	out->run = json_number(record, "run");
}

/* @return the number of `digits` digits, -1 when there are others; *s goes on */
static int digits(const char **s, int digits)
{
	int n = 0;
	for (; digits > 0; digits--, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return -1;
		n = n * 10 + (**s - '0');
	}
	return n;
}

static bool between(int n, int low, int high)
{
	return n >= low && n <= high;
}

/* "2026-11-21" or "2026/11/21" */
static bool read_date(const char **s, struct tm *tm)
{
	int year = digits(s, 4);
	char dash = year < 0 ? '\0' : **s;
	if (year < 1970 || (dash != '-' && dash != '/'))
		return false;
	(*s)++;
	int month = digits(s, 2);
	if (!between(month, 1, 12) || **s != dash)
		return false;
	(*s)++;
	int day = digits(s, 2);
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return between(day, 1, 31);
}

/* "08:45", "08:45:00" */
static bool read_clock(const char **s, struct tm *tm)
{
	tm->tm_hour = digits(s, 2);
	if (!between(tm->tm_hour, 0, 23) || **s != ':')
		return false;
	(*s)++;
	tm->tm_min = digits(s, 2);
	tm->tm_sec = 0;
	if (!between(tm->tm_min, 0, 59))
		return false;
	if (**s != ':')
		return true;
	(*s)++;
	tm->tm_sec = digits(s, 2);
	return between(tm->tm_sec, 0, 60);
}

static int read_fraction(const char **s)
{
	int ms = 0, unit = 100;
	if ((**s != '.' && **s != ',') || !isdigit((unsigned char)(*s)[1]))
		return 0;
	for ((*s)++; isdigit((unsigned char)**s); (*s)++, unit /= 10)
		ms += (**s - '0') * unit;
	return ms;
}

/* "Z", "+09:00", "+0900", also behind a blank. @return false: there is none */
static bool read_zone(const char *s, int *seconds)
{
	*seconds = 0;
	s += *s == ' ' && (s[1] == '+' || s[1] == '-');
	if (*s == 'Z')
		return true;
	int sign = *s == '-' ? -1 : 1;
	if (*s != '+' && *s != '-')
		return false;
	s++;
	int hours = digits(&s, 2);
	s += *s == ':';
	int minutes = hours < 0 ? -1 : digits(&s, 2);
	*seconds = sign * (hours * 3600 + minutes * 60);
	return between(hours, 0, 23) && between(minutes, 0, 59);
}

/* @return ms since 1970; 0: no time stands there */
static int64_t read_time(const char *s)
{
	struct tm tm = { .tm_isdst = -1 };
	int zone;
	s += *s == '[' || *s == '(';
	if (!read_date(&s, &tm) || (*s != ' ' && *s != 'T'))
		return 0;
	s++;
	if (!read_clock(&s, &tm))
		return 0;
	int ms = read_fraction(&s);
	time_t at = read_zone(s, &zone) ? timegm(&tm) - zone : mktime(&tm);
	return at == -1 ? 0 : (int64_t)at * 1000 + ms;
}

/* "ERROR", "error:", "[error]", "level=error" are levels; "no error" and "/info" are not. */
static bool stands_as_level(const char *head, const char *word, size_t len)
{
	char before = word > head ? word[-1] : ' ', after = word[len];
	if (strchr("=\"[<(", before) || after == ':')
		return true;
	for (size_t i = 0; i < len; i++)
		if (!isupper((unsigned char)word[i]))
			return false;
	return before != '/' && before != '_' && after != '_';
}

static int find_level(const char *head)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	for (const char *s = head; *s;) {
		s += strcspn(s, letters);
		size_t len = strspn(s, letters);
		int level = log_line_level(s, len);
		if (level != LOG_LINE_NO_LEVEL && stands_as_level(head, s, len))
			return level;
		s += len;
	}
	return LOG_LINE_NO_LEVEL;
}

void log_line_read(struct log_line *out, const char *line, size_t len)
{
	char head[HEAD];
	*out = (struct log_line) { .level = LOG_LINE_NO_LEVEL };
	if (len > 0 && line[0] == '{') {
		CLEANUP(json_freep) json_t *record = json_loadb(line, len, 0, NULL);
		if (record) {
			read_record(out, record);
			return;
		}
	}
	take(head, sizeof(head), line, len);
	out->time_ms = read_time(head);
	out->level = find_level(head);
}

/* "2026-11-21 08:45", "2026-11-21", "08:45" in local time */
static bool read_local(const char *s, int64_t now_ms, int64_t *out_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;
	localtime_r(&now, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	bool dated = strchr(s, '-') != NULL;
	if (dated && !read_date(&s, &tm))
		return false;
	bool timed = !dated || *s == ' ' || *s == 'T';
	s += dated && timed;
	if (timed && !read_clock(&s, &tm))
		return false;
	time_t at = mktime(&tm);
	*out_ms = (int64_t)at * 1000;
	return *s == '\0' && at != -1;
}

int log_line_since(const char *text, int64_t now_ms, int64_t *out_ms, struct err *err)
{
	struct err unheard;
	int64_t ago_ms;
	if (str_to_duration_ms(text, &ago_ms) == 0)
		*out_ms = MAX(now_ms - ago_ms, (int64_t)0);
	else if (time_parse_rfc3339(text, out_ms, NULL, &unheard) < 0 &&
		 !read_local(text, now_ms, out_ms))
		return err_set(err, -EINVAL,
			"is no time: 10m (ago), 2026-11-21, \"2026-11-21 08:45\", 08:45 (today) or "
			"2026-11-21T08:45:00Z");
	return 0;
}
