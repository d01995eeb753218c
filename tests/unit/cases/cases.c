/* SPDX-License-Identifier: MIT */
#include "cases/cases.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t split(char *line, char *out[CASES_COLUMNS])
{
	size_t n = 0;
	line[strcspn(line, "\r\n")] = '\0';
	for (char *s = line; s && n < CASES_COLUMNS; n++) {
		out[n] = s;
		s = strchr(s, '\t');
		if (s)
			*s++ = '\0';
	}
	return n;
}

bool cases_open(struct cases *cases, const char *path)
{
	char name[4096];
	const char *folder = getenv("DROVER_CASES"), *source = getenv("DROVER_SOURCE");
	if (folder)
		snprintf(name, sizeof(name), "%s/%s", folder, path);
	else
		snprintf(name, sizeof(name), "%s/../shared/cases/%s", source ? source : ".", path);
	*cases = (struct cases) { .file = fopen(name, "re") };
	if (!cases->file) {
		printf("SKIPPED: %s is not there\n", name);
		return false;
	}
	do {
		if (getline(&cases->names_line, &cases->cap, cases->file) < 0)
			abort();
	} while (cases->names_line[0] == '#');
	cases->count = split(cases->names_line, cases->names);
	cases->cap = 0;
	return true;
}

bool cases_next(struct cases *cases)
{
	static char none[] = "";
	do {
		if (getline(&cases->line, &cases->cap, cases->file) < 0)
			return false;
	} while (cases->line[0] == '\n');
	size_t n = split(cases->line, cases->columns);
	for (; n < cases->count; n++)
		cases->columns[n] = none;
	cases->rows++;
	return true;
}

void cases_close(struct cases *cases)
{
	fclose(cases->file);
	free(cases->names_line);
	free(cases->line);
}

const char *cases_get(const struct cases *cases, const char *column)
{
	for (size_t i = 0; i < cases->count; i++)
		if (strcmp(cases->names[i], column) == 0)
			return cases->columns[i];
	printf("no column %s\n", column);
	abort();
}

static unsigned hex4(const char *s)
{
	char text[5] = "";
	memcpy(text, s, 4);
	return (unsigned)strtoul(text, NULL, 16);
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* \uXXXX, with a surrogate pair as one character. */
static const char *take_unicode(const char *s, unsigned *c)
{
	*c = hex4(s);
	s += 4;
	if (*c >= 0xd800 && *c < 0xdc00 && s[0] == '\\' && s[1] == 'u') {
		unsigned low = hex4(s + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
			s += 6;
		}
	}
	return s;
}

char *cases_text(const struct cases *cases, const char *column)
{
	const char *s = cases_get(cases, column);
	char *out = malloc(strlen(s) * 2 + 1), *to = out;
	if (!out)
		abort();
	if (*s != '"')
		return memcpy(out, s, strlen(s) + 1);
	for (s++; *s && *s != '"';) {
		unsigned c = (unsigned char)*s++;
		if (c == '\\') {
			static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
			c = (unsigned char)*s++;
			const char *simple = strchr(from, (int)c);
			if (c == 'u')
				s = take_unicode(s, &c);
			else if (simple)
				c = (unsigned char)into[simple - from];
			to = put_utf8(to, c);
		} else {
			*to++ = (char)c; /* already UTF-8 */
		}
	}
	*to = '\0';
	return out;
}
