/* SPDX-License-Identifier: MIT */
#include "config/hide.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/tables.h"

#include <stdlib.h>
#include <string.h>

struct secrets {
	const struct config *config;
	char **items;
	size_t count, cap;
	bool failed;
};

static void collect(struct secrets *s, const struct config_field *fields, const void *object);

static char *encoded(const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	struct buf out = BUF_INIT;
	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_add_char(&out, *text);
		else
			buf_addf(&out, "%%%02X", (unsigned char)*text);
	}
	char *whole = buf_detach(&out);
	buf_finish(&out);
	return whole;
}

static void add(struct secrets *s, char *text)
{
	void *items = s->items;
	if (!text || mem_grow(&items, &s->cap, s->count, sizeof(s->items[0])) < 0) {
		free(text);
		s->failed = true;
		return;
	}
	s->items = items;
	s->items[s->count++] = text;
}

static void add_member(struct secrets *s, const char *const *member)
{
	if (!*member || !**member || !config_is_secret(s->config, member))
		return;
	add(s, strdup(*member));
	add(s, encoded(*member));
}

static void collect_elements(
	struct secrets *s, const struct config_field *field, const struct config_array *array)
{
	for (size_t i = 0; i < array->count; i++)
		collect(s, field->fields, (const char *)array->items + i * field->element_size);
}

static void collect_strings(struct secrets *s, const struct config_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		add_member(s, &strings->items[i]);
}

static void collect_pairs(struct secrets *s, const struct config_pairs *pairs)
{
	for (size_t i = 0; i < pairs->count; i++)
		add_member(s, &pairs->items[i].value);
}

static void collect(struct secrets *s, const struct config_field *fields, const void *object)
{
	for (const struct config_field *f = fields; f && f->name; f++) {
		const void *member = (const char *)object + f->offset;
		switch (f->type) {
		case CONFIG_STRING: add_member(s, member); break;
		case CONFIG_STRING_LIST: collect_strings(s, member); break;
		case CONFIG_STRING_MAP: collect_pairs(s, member); break;
		case CONFIG_STRUCT: collect(s, f->fields, member); break;
		case CONFIG_STRUCT_LIST:
		case CONFIG_STRUCT_MAP: collect_elements(s, f, member); break;
		default: break;
		}
	}
}

/* One that holds another must go first, or its rest would be seen. */
static int longest_first(const void *a, const void *b)
{
	size_t one = strlen(*(char *const *)a), other = strlen(*(char *const *)b);
	return (one < other) - (one > other);
}

static size_t secret_at(const struct secrets *s, const char *text)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_starts(text, s->items[i]))
			return strlen(s->items[i]);
	return 0;
}

void config_hide(const struct config *config, struct buf *out, const char *text)
{
	struct secrets s = { .config = config };
	for (size_t i = 0; i < config->provider_count; i++)
		collect(&s, provider_fields, &config->providers[i]);
	for (size_t i = 0; i < config->job_count; i++)
		if (config->jobs[i].spec)
			collect(&s, config->jobs[i].kind->job_fields, config->jobs[i].spec);
	if (s.count)
		qsort(s.items, s.count, sizeof(s.items[0]), longest_first);
	while (*text && !s.failed) {
		size_t len = secret_at(&s, text);
		buf_add(out, len ? "***" : text, len ? 3 : 1);
		text += len ? len : 1;
	}
	if (s.failed)
		buf_add_str(out, "***");
	for (size_t i = 0; i < s.count; i++)
		free(s.items[i]);
	free(s.items);
}

bool config_hides_header(const char *name)
{
	static const char *const names[] = { "Authorization", "Proxy-Authorization", "Cookie" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return false;
}
