/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec", NULL };
static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", NULL };
static const char *const long_days[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
	"Saturday", "Sunday", NULL };

struct reader {
	const char *at;
	bool bad;
};

static int word(struct reader *r, const char *const *words)
{
	for (int i = 0; words[i]; i++) {
		size_t len = strlen(words[i]);
		if (strncmp(r->at, words[i], len) == 0) {
			r->at += len;
			return i;
		}
	}
	r->bad = true;
	return 0;
}

static void literal(struct reader *r, const char *text)
{
	size_t len = strlen(text);
	if (strncmp(r->at, text, len) == 0)
		r->at += len;
	else
		r->bad = true;
}

static int number(struct reader *r, int digits)
{
	int value = 0;
	for (int i = 0; i < digits && !r->bad; i++) {
		r->bad = *r->at < '0' || *r->at > '9';
		if (!r->bad)
			value = value * 10 + (*r->at++ - '0');
	}
	return value;
}

static void clock_time(struct reader *r, struct tm *t)
{
	t->tm_hour = number(r, 2);
	literal(r, ":");
	t->tm_min = number(r, 2);
	literal(r, ":");
	t->tm_sec = number(r, 2);
}

static bool imf_fixdate(const char *text, struct tm *t)
{
	struct reader r = { .at = text };
	(void)word(&r, days);
	literal(&r, ", ");
	t->tm_mday = number(&r, 2);
	literal(&r, " ");
	t->tm_mon = word(&r, months);
	literal(&r, " ");
	t->tm_year = number(&r, 4) - 1900;
	literal(&r, " ");
	clock_time(&r, t);
	literal(&r, " GMT");
	return !r.bad && *r.at == '\0';
}

static bool rfc850_date(const char *text, struct tm *t, int64_t now_s)
{
	struct reader r = { .at = text };
	(void)word(&r, long_days);
	literal(&r, ", ");
	t->tm_mday = number(&r, 2);
	literal(&r, "-");
	t->tm_mon = word(&r, months);
	literal(&r, "-");
	int year = number(&r, 2);
	literal(&r, " ");
	clock_time(&r, t);
	literal(&r, " GMT");
	struct tm now;
	time_t seconds = (time_t)now_s;
	if (r.bad || *r.at || !gmtime_r(&seconds, &now))
		return false;
	t->tm_year = now.tm_year / 100 * 100 + year;
	if (t->tm_year > now.tm_year + 50)
		t->tm_year -= 100;
	return true;
}

static bool asctime_date(const char *text, struct tm *t)
{
	struct reader r = { .at = text };
	(void)word(&r, days);
	literal(&r, " ");
	t->tm_mon = word(&r, months);
	literal(&r, " ");
	if (*r.at == ' ') {
		r.at++;
		t->tm_mday = number(&r, 1);
	} else {
		t->tm_mday = number(&r, 2);
	}
	literal(&r, " ");
	clock_time(&r, t);
	literal(&r, " ");
	t->tm_year = number(&r, 4) - 1900;
	return !r.bad && *r.at == '\0';
}

int http_date(int64_t *out_s, const char *text, int64_t now_s)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct tm t = { 0 };
	if (!imf_fixdate(text, &t) && !rfc850_date(text, &t, now_s) && !asctime_date(text, &t))
		return -EINVAL;
	int year = t.tm_year + 1900;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (t.tm_mday < 1 || t.tm_mday > lengths[t.tm_mon] + (t.tm_mon == 1 && leap) ||
		t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 60)
		return -EINVAL;
	*out_s = (int64_t)timegm(&t);
	return 0;
}

int64_t http_retry_after_ms(const char *value, int64_t now_ms)
{
	int64_t seconds;
	size_t len = strspn(value, "0123456789");
	if (len > 0 && value[len] == '\0') {
		seconds = len > 9 ? INT32_MAX : strtol(value, NULL, 10);
	} else {
		if (http_date(&seconds, value, now_ms / 1000) < 0)
			return -1;
		seconds -= now_ms / 1000;
	}
	if (seconds < 0)
		return 0;
	return seconds > HTTP_RETRY_AFTER_MAX_MS / 1000 ? HTTP_RETRY_AFTER_MAX_MS : seconds * 1000;
}
