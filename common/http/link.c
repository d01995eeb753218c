/* SPDX-License-Identifier: MIT */
#include "http/link.h"

#include "base/mutant.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A parameter's value: between the quotes, if there are any. */
struct text {
	const char *begin;
	size_t len;
};

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* `"..."`, with \ before what stands for itself. @return behind it, NULL: it never ends */
static const char *read_quoted(const char *at, struct text *out)
{
	out->begin = ++at;
	while (*at && *at != '"')
		at += at[0] == '\\' && at[1] ? 2 : 1;
	out->len = (size_t)(at - out->begin);
	return *at ? at + 1 : NULL;
}

/* `; name=value`, `; name`. @return behind it, NULL: a mistake */
static const char *read_parameter(const char *at, struct text *name, struct text *value)
{
	at = skip_blanks(at);
	name->begin = at;
	name->len = strcspn(at, " \t\r\n=;,\"");
	at = skip_blanks(at + name->len);
	*value = (struct text) { at, 0 };
	if (*at != '=')
		return at;
	at = skip_blanks(at + 1);
	if (*at == '"')
		return read_quoted(at, value);
	*value = (struct text) { at, strcspn(at, " \t\r\n;,") };
	return at + value->len;
}

static bool is_name(const struct text *name, const char *what)
{
	return strlen(what) == name->len && strncasecmp(name->begin, what, name->len) == 0;
}

/* One of the relations that stand in a value, blanks between them. */
static bool has_relation(const struct text *value, const char *rel)
{
	size_t want = strlen(rel);
	const char *at = value->begin, *end = at + value->len;
	while (at < end) {
		size_t len = 0;
		while (at + len < end && at[len] != ' ' && at[len] != '\t')
			len++;
		if (len == want && strncasecmp(at, rel, len) == 0)
			return true;
		at += len + 1;
	}
	return false;
}

/* The parameters of one link. @return behind them, NULL: a mistake */
static const char *read_parameters(const char *at, const char *rel, bool *matches)
{
	bool known = false, elsewhere = false;
	struct text name, value;
	for (at = skip_blanks(at); at && *at == ';'; at = at ? skip_blanks(at) : NULL) {
		at = read_parameter(at + 1, &name, &value);
		if (!at)
			break;
		if (MUTANT(FUZZ_HEADERS) && known && is_name(&name, "rel"))
			abort();
		/* A second rel does not count (RFC 8288 3.3). */
		if (!known && is_name(&name, "rel")) {
			known = true;
			*matches = has_relation(&value, rel);
		}
		elsewhere |= is_name(&name, "anchor") && value.len > 0;
	}
	*matches = *matches && !elsewhere;
	return at;
}

bool http_link_find(const char *field, const char *rel, const char **uri, size_t *len)
{
	const char *at = field;
	while (at) {
		at += strspn(at, " \t\r\n,"); /* empty elements are allowed */
		const char *end = *at == '<' ? strchr(at, '>') : NULL;
		bool matches = false;
		if (!end)
			return false;
		const char *target = at + 1;
		at = read_parameters(end + 1, rel, &matches);
		if (at && *at && *at != ',')
			return false;
		if (at && matches) {
			*uri = target;
			*len = (size_t)(end - target);
			return true;
		}
	}
	return false;
}
