/* SPDX-License-Identifier: MIT */
/* The grammar of JSON for texts of the configuration; droverd, which links no JSON library, asks.
 */
#include "collect/kind.h"

#include <string.h>

enum { DEPTH_MAX = 64 };

struct reader {
	const char *begin, *at;
	const char *problem;
	unsigned depth;
};

static bool value(struct reader *r);

static bool fail(struct reader *r, const char *problem)
{
	if (!r->problem)
		r->problem = problem;
	return false;
}

static void skip_blanks(struct reader *r)
{
	r->at += strspn(r->at, " \t\r\n");
}

static bool escape(struct reader *r)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	r->at++;
	if (*r->at == 'u' && strspn(r->at + 1, hex) >= 4)
		r->at += 5;
	else if (*r->at && strchr("\"\\/bfnrt", *r->at))
		r->at++;
	else
		return fail(r, "no such escape");
	return true;
}

static bool text(struct reader *r)
{
	for (r->at++; *r->at != '"';) {
		if (!*r->at)
			return fail(r, "a text does not end");
		if ((unsigned char)*r->at < 0x20)
			return fail(r, "a control character in a text");
		if (*r->at != '\\')
			r->at++;
		else if (!escape(r))
			return false;
	}
	r->at++;
	return true;
}

static bool digits(struct reader *r)
{
	size_t n = strspn(r->at, "0123456789");
	r->at += n;
	return n > 0;
}

static bool number(struct reader *r)
{
	r->at += *r->at == '-';
	bool ok = *r->at == '0' ? *r->at++ == '0' : digits(r);
	if (ok && *r->at == '.') {
		r->at++;
		ok = digits(r);
	}
	if (ok && (*r->at | 0x20) == 'e') {
		r->at++;
		r->at += *r->at == '-' || *r->at == '+';
		ok = digits(r);
	}
	return ok || fail(r, "no number");
}

static bool member(struct reader *r)
{
	if (*r->at != '"')
		return fail(r, "a name in quotes is missing");
	if (!text(r))
		return false;
	skip_blanks(r);
	if (*r->at != ':')
		return fail(r, "a : is missing");
	r->at++;
	return value(r);
}

static bool members(struct reader *r, char close, bool named)
{
	if (++r->depth > DEPTH_MAX)
		return fail(r, "nested more than 64 deep");
	r->at++;
	skip_blanks(r);
	while (*r->at != close) {
		if (!(named ? member(r) : value(r)))
			return false;
		skip_blanks(r);
		if (*r->at == close)
			break;
		if (*r->at != ',')
			return fail(r, *r->at ? "a , is missing" : "it ends too early");
		r->at++;
		skip_blanks(r);
		if (*r->at == close)
			return fail(r, "a , too many");
	}
	r->at++;
	r->depth--;
	return true;
}

static bool word(struct reader *r, const char *expected)
{
	size_t len = strlen(expected);
	if (strncmp(r->at, expected, len) != 0)
		return fail(r, "no value");
	r->at += len;
	return true;
}

static bool value(struct reader *r)
{
	skip_blanks(r);
	switch (*r->at) {
	case '"': return text(r);
	case '[': return members(r, ']', false);
	case '{':
		if (r->at[1] == '{')
			return fail(r, "{{NAME}} stands outside of a text");
		return members(r, '}', true);
	case 't': return word(r, "true");
	case 'f': return word(r, "false");
	case 'n': return word(r, "null");
	case '\0': return fail(r, "it ends too early");
	default: return number(r);
	}
}

const char *collect_json_problem(const char *json, size_t *at)
{
	struct reader r = { .begin = json, .at = json };
	if (value(&r)) {
		skip_blanks(&r);
		if (*r.at)
			(void)fail(&r, "something follows its end");
	}
	*at = (size_t)(r.at - json);
	return r.problem;
}
