/* SPDX-License-Identifier: MIT */
/* What a service was started with, as one number: by the tables' word on each field. */
#include "config/config.h"

#include "base/buf.h"
#include "base/str.h"
#include "config/tables.h"

#include <string.h>

static void add_fields(struct buf *text, const struct config_field *fields, const void *object,
	enum config_apply least);

static void add_text(struct buf *text, const char *value)
{
	buf_addf(text, "%zu:%s,", strlen(value), value);
}

/* A map has no order: whoever sorts the lines of a file changes nothing. */
static void add_pairs(struct buf *text, const struct config_pairs *pairs)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < pairs->count; i++) {
		const struct config_pair *pair = &pairs->items[i];
		const uint64_t both[] = { str_hash(pair->name, strlen(pair->name)),
			str_hash(pair->value, strlen(pair->value)) };
		sum += str_hash(both, sizeof(both));
	}
	buf_addf(text, "%zu:%llx", pairs->count, (unsigned long long)sum);
}

static void add_elements(struct buf *text, const struct config_field *field,
	const struct config_array *array, enum config_apply least)
{
	for (size_t i = 0; i < array->count; i++) {
		const char *element = (const char *)array->items + i * field->element_size;
		if (field->type == CONFIG_STRUCT_MAP)
			add_text(text, *(const char *const *)element);
		add_fields(text, field->fields, element, least);
		buf_add_char(text, ';');
	}
}

static void add_value(struct buf *text, const struct config_field *field, const void *value)
{
	const struct config_strings *strings = value;
	const struct config_rates *rates = value;
	switch (field->type) {
	case CONFIG_BOOL: buf_addf(text, "%d", *(const bool *)value); break;
	case CONFIG_INT:
	case CONFIG_DURATION_MS:
	case CONFIG_SIZE: buf_addf(text, "%lld", (long long)*(const int64_t *)value); break;
	case CONFIG_ENUM:
	case CONFIG_SIGNAL: buf_addf(text, "%d", *(const int *)value); break;
	case CONFIG_STRING:
	case CONFIG_XPATH: add_text(text, *(const char *const *)value); break;
	case CONFIG_STRING_LIST:
		for (size_t i = 0; i < strings->count; i++)
			add_text(text, strings->items[i]);
		break;
	case CONFIG_STRING_MAP: add_pairs(text, value); break;
	case CONFIG_RATES:
		for (size_t i = 0; i < rates->count; i++)
			buf_addf(text, "%lld/%lld,", (long long)rates->items[i].count,
				(long long)rates->items[i].period_ms);
		break;
	case CONFIG_RETRY_WHEN: buf_add(text, value, sizeof(struct config_retry_when)); break;
	case CONFIG_STRUCT_LIST:
	case CONFIG_STRUCT_MAP: add_elements(text, field, value, APPLY_LIVE); break;
	case CONFIG_STRUCT:
	case CONFIG_END: break;
	}
}

static bool is_number(int64_t value, const char *def)
{
	int64_t number = 0;
	return def ? str_to_i64(def, INT64_MIN, INT64_MAX, &number) == 0 && number == value
		   : value == 0;
}

/* Left out, so that a later version, which knows more fields, makes the same number of the same
 * file. */
static bool is_default(const struct config_field *field, const void *value)
{
	switch (field->type) {
	case CONFIG_BOOL: return !*(const bool *)value && !field->def;
	case CONFIG_INT:
	case CONFIG_DURATION_MS:
	case CONFIG_SIZE: return is_number(*(const int64_t *)value, field->def);
	case CONFIG_ENUM:
	case CONFIG_SIGNAL: return *(const int *)value == 0 && !field->def;
	case CONFIG_STRING:
	case CONFIG_XPATH: {
		const char *text = *(const char *const *)value;
		return !text || (field->def && str_eq(text, field->def));
	}
	case CONFIG_STRING_LIST: return ((const struct config_strings *)value)->count == 0;
	case CONFIG_STRING_MAP: return ((const struct config_pairs *)value)->count == 0;
	case CONFIG_RATES: return ((const struct config_rates *)value)->count == 0;
	case CONFIG_STRUCT_LIST:
	case CONFIG_STRUCT_MAP: return ((const struct config_array *)value)->count == 0;
	default: return false;
	}
}

static void add_fields(struct buf *text, const struct config_field *fields, const void *object,
	enum config_apply least)
{
	for (const struct config_field *f = fields; f->name; f++) {
		const void *value = (const char *)object + f->offset;
		if (f->type == CONFIG_STRUCT) {
			size_t before = text->len;
			buf_addf(text, "%s{", f->name);
			size_t begun = text->len;
			add_fields(text, f->fields, value, least);
			if (text->len > begun)
				buf_add_char(text, '}');
			else
				text->len = before;
		} else if (f->apply >= least && !is_default(f, value)) {
			buf_addf(text, "%s=", f->name);
			add_value(text, f, value);
		}
	}
}

uint64_t config_fingerprint(const struct config *config, const char *service)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	const struct config_service *s = config_service(config, service);
	if (!s)
		return 0;
	add_fields(&text, service_fields, s, APPLY_RESTART);
	/* Without memory it is no known one: the safe answer is that it may have changed. */
	return buf_failed(&text) ? 0 : str_hash(text.data, text.len) | 1;
}
