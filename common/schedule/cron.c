/* SPDX-License-Identifier: MIT */
#include "schedule/cron.h"
#include "base/err.h"
#include "base/mutant.h"
#include "base/str.h"
#include "schedule/cron_days.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct field_def {
	const char *name, *expected;
	int min, max;	   /* max of weekday is 7, a second name of Sunday */
	const char *names; /* three letters each, the first one is `min`; NULL = none */
};

enum field_id { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field_def fields[FIELDS] = {
	[SECOND] = { "second", "0-59", 0, 59, NULL },
	[MINUTE] = { "minute", "0-59", 0, 59, NULL },
	[HOUR] = { "hour", "0-23", 0, 23, NULL },
	[DAY] = { "day of month", "1-31, L, L-1 to L-30, 15W or LW", 1, 31, NULL },
	[MONTH] = { "month", "1-12 or JAN-DEC", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC" },
	[WEEKDAY] = { "weekday", "0-7, SUN-SAT, 5L (last Friday) or 5#2 (second Friday)", 0, 7,
		"SUNMONTUEWEDTHUFRISAT" },
};

struct parser {
	const char *text, *s; /* the whole expression, and where we are in it */
	const char *end;      /* of the field */
	enum field_id id;
	struct cron cron;
	uint64_t bits; /* of the field */
	bool repeats;  /* the field has a wildcard, range or step */
	size_t *bad_at;
	struct err *err;
};

struct macro {
	const char *name, *expression;
};

static const struct macro macros[] = {
	{ "@yearly", "0 0 0 1 1 *" },
	{ "@annually", "0 0 0 1 1 *" },
	{ "@monthly", "0 0 0 1 * *" },
	{ "@weekly", "0 0 0 * * 0" },
	{ "@daily", "0 0 0 * * *" },
	{ "@midnight", "0 0 0 * * *" },
	{ "@hourly", "0 0 * * * *" },
	{ "@every_minute", "0 * * * * *" },
	{ "@every_second", "* * * * * *" },
};

static int parse_macro(struct parser *p);
static int parse_fields(struct parser *p);

int cron_parse(struct cron *out, const char *text, size_t *bad_at, struct err *err)
{
	size_t ignored = 0;
	struct parser p = {
		.text = text, .s = text, .bad_at = bad_at ? bad_at : &ignored, .err = err
	};
	*p.bad_at = 0;
	if (strnlen(text, CRON_TEXT_MAX + 1) > CRON_TEXT_MAX)
		return err_set(
			err, -EINVAL, "cron expression is longer than %d bytes", CRON_TEXT_MAX);
	p.s += strspn(p.s, " \t");
	int rc = *p.s == '@' ? parse_macro(&p) : parse_fields(&p);
	if (rc < 0)
		return rc;
	p.cron.never = !cron_some_day_matches(&p.cron);
	*out = p.cron;
	return 0;
}

bool cron_never_due(const struct cron *cron)
{
	return cron->never;
}

static int parse_macro(struct parser *p)
{
	char name[16] = "";
	size_t len = strcspn(p->s, " \t");
	*p->bad_at = (size_t)(p->s - p->text);
	if (len < sizeof(name))
		memcpy(name, p->s, len);
	for (size_t i = 0; i < ARRAY_SIZE(macros); i++) {
		if (!str_eq_nocase(name, macros[i].name))
			continue;
		const char *rest = p->s + len + strspn(p->s + len, " \t");
		if (*rest) {
			*p->bad_at = (size_t)(rest - p->text);
			return err_set(p->err, -EINVAL, "nothing may follow %s", macros[i].name);
		}
		struct parser inner = { .text = macros[i].expression,
			.s = macros[i].expression,
			.bad_at = p->bad_at,
			.err = p->err };
		int rc = parse_fields(&inner);
		p->cron = inner.cron;
		return rc;
	}
	return err_set(p->err, -EINVAL,
		"unknown %.*s, expected @yearly, @monthly, @weekly, @daily, @hourly, @every_minute "
		"or "
		"@every_second",
		(int)MIN(len, (size_t)40), p->s);
}

/* --- one field -------------------------------------------------------------------------------- */

/* "minute: expected 0-59, got "61"" at p->s. */
static int bad(struct parser *p, const char *what)
{
	const struct field_def *def = &fields[p->id];
	*p->bad_at = (size_t)(p->s - p->text);
	if (p->s == p->end)
		return err_set(p->err, -EINVAL, "cron field \"%s\": %sexpected %s", def->name, what,
			def->expected);
	return err_set(p->err, -EINVAL, "cron field \"%s\": %sexpected %s, got \"%.*s\"", def->name,
		what, def->expected, (int)MIN((size_t)(p->end - p->s), (size_t)40), p->s);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool take(struct parser *p, char wanted)
{
	if (p->s == p->end || upper(*p->s) != wanted)
		return false;
	p->s++;
	return true;
}

/* Digits of a number in [min, max]; leaves p->s at its first digit on an error. */
static bool take_number(struct parser *p, int min, int max, int *out)
{
	const char *s = p->s;
	int n = 0;
	while (s < p->end && is_digit(*s) && n <= max)
		n = n * 10 + (*s++ - '0');
	if (s == p->s || n < min || n > max)
		return false;
	p->s = s;
	*out = n;
	return true;
}

static bool take_name(struct parser *p, int *out)
{
	const struct field_def *def = &fields[p->id];
	if (!def->names || p->end - p->s < 3)
		return false;
	for (int i = 0; def->names[i * 3]; i++) {
		const char *name = def->names + i * 3;
		if (upper(p->s[0]) != name[0] || upper(p->s[1]) != name[1] ||
			upper(p->s[2]) != name[2])
			continue;
		p->s += 3;
		*out = def->min + i;
		return true;
	}
	return false;
}

static bool take_value(struct parser *p, int *out)
{
	const struct field_def *def = &fields[p->id];
	return take_number(p, def->min, def->max, out) || take_name(p, out);
}

static int parse_step(struct parser *p, int *step)
{
	*step = 1;
	if (!take(p, '/'))
		return 0;
	p->repeats = true;
	/* A larger step than the field has values is a mistake: it would be the same as none. */
	if (!take_number(p, 1, fields[p->id].max, step)) {
		*p->bad_at = (size_t)(p->s - p->text);
		return err_set(p->err, -EINVAL,
			"cron field \"%s\": a step is a number from 1 to %d", fields[p->id].name,
			fields[p->id].max);
	}
	return 0;
}

/* Sets first..last by step. A last before first wraps around the end of the field. */
static void set_range(struct parser *p, int first, int last, int step)
{
	int min = fields[p->id].min;
	int count = p->id == WEEKDAY ? 7 : fields[p->id].max - min + 1;
	if (p->id == WEEKDAY && first == 7) {
		first = 0;
		last = last == 7 ? 0 : last;
	}
	if (last < first)
		last += count;
	for (int v = first; v <= last; v += step)
		p->bits |= 1ULL << ((v - min) % count + min);
}

/* L, L-3, LW, L-3W; and 15W, whose number was read already (day > 0). */
static int parse_special_day(struct parser *p, const char *field, int day)
{
	int from_end = 0;
	if (day == 0 && take(p, '-') && !take_number(p, 1, 30, &from_end))
		return bad(p, "after L- stands 1-30; ");
	bool workday = day > 0 || take(p, 'W');
	if (!workday) {
		p->cron.days_from_end |= 1U << from_end;
		return 0;
	}
	/* Anything before it in the list makes it not alone; anything behind it parse_field() sees.
	 */
	if (p->bits || p->cron.days_from_end || p->cron.workday || p->cron.workday_from_end) {
		p->s = field;
		return bad(p, "W stands alone in the field; ");
	}
	if (day > 0)
		p->cron.workday = (uint8_t)day;
	else
		p->cron.workday_from_end = (uint8_t)(from_end + 1);
	return 0;
}

/* 5L, 5#2: the weekday was read already. *done tells whether it was one of these. */
static int parse_special_weekday(struct parser *p, int weekday, bool *done)
{
	uint8_t bit = (uint8_t)(1U << weekday % 7);
	*done = true;
	if (take(p, 'L')) {
		p->cron.last_weekdays |= bit;
		return 0;
	}
	if (take(p, '#')) {
		int nth;
		if (!take_number(p, 1, 5, &nth))
			return bad(p, "after # stands 1-5; ");
		p->cron.nth_weekdays[nth - 1] |= bit;
		return 0;
	}
	*done = false;
	return 0;
}

static int parse_element(struct parser *p, const char *field)
{
	const struct field_def *def = &fields[p->id];
	int first, last, step, rc;
	if (take(p, '*')) {
		p->repeats = true;
		rc = parse_step(p, &step);
		if (rc == 0)
			set_range(p, def->min, p->id == WEEKDAY ? 6 : def->max, step);
		return rc;
	}
	if (p->id == DAY && take(p, 'L'))
		return parse_special_day(p, field, 0);
	if (!take_value(p, &first))
		return bad(p, "");
	if (p->id == DAY && take(p, 'W'))
		return parse_special_day(p, field, first);
	if (p->id == WEEKDAY) {
		bool done;
		rc = parse_special_weekday(p, first, &done);
		if (rc < 0 || done)
			return rc;
	}
	last = first;
	if (take(p, '-')) {
		if (!take_value(p, &last))
			return bad(p, "the end of the range: ");
		p->repeats |= first != last;
	} else if (p->s < p->end && *p->s == '/') {
		last = def->max;
	}
	rc = parse_step(p, &step);
	if (rc == 0)
		set_range(p, first, last, step);
	return rc;
}

static int parse_field(struct parser *p)
{
	const char *field = p->s;
	p->bits = 0;
	p->repeats = false;
	if (p->end - field == 1 && *field == '?') {
		p->s++;
		p->repeats = true;
		set_range(p, fields[p->id].min, p->id == WEEKDAY ? 6 : fields[p->id].max, 1);
		return 0;
	}
	do {
		int rc = parse_element(p, field);
		if (rc < 0)
			return rc;
		if (MUTANT(FUZZ_CRON) && p->id == WEEKDAY && p->cron.nth_weekdays[4])
			abort();
		/* W is set: whatever follows in the list is one too many. */
		if (p->id == DAY && (p->cron.workday || p->cron.workday_from_end) && p->s < p->end)
			return bad(p, "W stands alone in the field; ");
	} while (take(p, ','));
	return p->s == p->end ? 0 : bad(p, "");
}

static void store_field(struct parser *p, char first)
{
	struct cron *c = &p->cron;
	bool star = first == '*' || first == '?';
	switch (p->id) {
	case SECOND: c->seconds = p->bits; break;
	case MINUTE: c->minutes = p->bits; break;
	case HOUR: c->hours = (uint32_t)p->bits; break;
	case DAY:
		c->days = (uint32_t)p->bits;
		c->days_star = star;
		break;
	case MONTH: c->months = (uint32_t)p->bits; break;
	case WEEKDAY:
		c->weekdays = (uint8_t)p->bits;
		c->weekdays_star = star;
		break;
	case FIELDS: break;
	}
	if (p->id <= HOUR)
		c->repeats |= p->repeats;
	if (p->id == HOUR)
		c->hour_repeats = p->repeats;
}

static int parse_fields(struct parser *p)
{
	const char *starts[FIELDS + 1];
	size_t n = 0;
	const char *s = p->s;
	for (;; n++) {
		s += strspn(s, " \t");
		if (!*s)
			break;
		if (n <= FIELDS)
			starts[n] = s;
		s += strcspn(s, " \t");
	}
	if (n != FIELDS && n != FIELDS - 1) {
		*p->bad_at = n > FIELDS ? (size_t)(starts[FIELDS] - p->text)
					: (size_t)(s - p->text);
		return err_set(p->err, -EINVAL,
			"cron expression has %zu field%s, expected five (minute, hour, day of "
			"month, "
			"month, weekday) or six (second first)",
			n, n == 1 ? "" : "s");
	}
	p->cron.seconds = 1;
	for (size_t i = 0; i < n; i++) {
		p->id = (enum field_id)(i + (FIELDS - n));
		p->s = starts[i];
		p->end = p->s + strcspn(p->s, " \t");
		int rc = parse_field(p);
		if (rc < 0)
			return rc;
		store_field(p, *starts[i]);
	}
	return 0;
}
