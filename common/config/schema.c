/* SPDX-License-Identifier: MIT */
/* The field tables as JSON Schema (draft 2020-12), for editors. */
#include "config/config.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/json_out.h"
#include "base/str.h"
#include "config/check.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/schema_pattern.h"
#include "config/tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind each pattern: what the schema cannot know before it is replaced. */
#define OR_SUBSTITUTED "|\\$\\{"

struct schema {
	struct json_out j;
	struct buf pattern; /* of the value being written */
};

static void write_object(
	struct schema *s, const struct config_field *const *parts, size_t count, bool nullable);
static void write_value(struct schema *s, const struct config_field *field);

/* ---- what may stand for a value ---- */

/* A value that a check judges, as far as a regular expression can. */
static const char *pattern_of_check(const struct config_field *field)
{
	static const struct {
		void (*check)(struct config_context *ctx, const struct config_mark *mark,
			const void *value);
		const char *pattern;
	} patterns[] = {
		{ check_absolute_path, "^/" },
		{ check_runtime_dir, "^/" },
		{ check_http_url, "^[Hh][Tt][Tt][Pp][Ss]?://" },
		{ check_store_url, "^(sqlite:[^?#]|postgres(ql)?://)" },
		{ check_listen, ":0*([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|"
				"655[0-2][0-9]|6553[0-5])$" },
		{ check_address, "^[A-Za-z0-9._:-]+:[0-9]+$|^\\[[0-9A-Fa-f:.]+\\]:[0-9]+$" },
		{ check_status, "^[1-5]([0-9]{2}|xx)$" },
		{ check_body, "." },
		{ check_account, "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$" },
		{ check_umask, "^0?[0-7]{3}$" },
		{ check_share, "^(([1-9]|[1-9][0-9]|100)%|0*[1-9][0-9]*([KMG]i?)?B)$" },
		{ check_environment, "^[A-Za-z_][A-Za-z0-9_]{0,62}$" },
		{ check_header, "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
		{ check_table_name, "^[A-Za-z_][A-Za-z0-9_]{0,62}$" },
		{ check_column, "^[A-Za-z_][A-Za-z0-9_]{0,62}$" },
		{ check_dotted_path, "^([^.]+([.][^.]+)*)?$" },
	};
	for (size_t i = 0; field->check && i < ARRAY_SIZE(patterns); i++)
		if (patterns[i].check == field->check)
			return patterns[i].pattern;
	return NULL;
}

/* Members are null where nothing has to be written, and then mean the default. */
static void write_types(struct schema *s, const struct config_field *field, const char *a,
	const char *b, const char *c)
{
	const char *const types[] = { a, b, c, field->required ? NULL : "null" };
	json_open_array(&s->j, "type");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i])
			json_str(&s->j, NULL, types[i]);
	json_close_array(&s->j);
}

static void end_pattern(struct schema *s, const char *tail)
{
	buf_add_str(&s->pattern, tail);
	json_str(&s->j, "pattern", buf_str(&s->pattern));
}

static struct buf *begin_pattern(struct schema *s)
{
	buf_reset(&s->pattern);
	buf_add_str(&s->pattern, "^(");
	return &s->pattern;
}

static void write_int(struct schema *s, const struct config_field *field)
{
	bool bounded = field->min || field->max;
	write_types(s, field, "integer", "string", NULL);
	if (bounded) {
		json_int(&s->j, "minimum", field->min);
		json_int(&s->j, "maximum", field->max);
	}
	pattern_int(begin_pattern(s), bounded ? field->min : INT64_MIN,
		bounded ? field->max : INT64_MAX);
	end_pattern(s, ")$" OR_SUBSTITUTED);
}

static void write_duration(struct schema *s, const struct config_field *field)
{
	bool bounded = field->min || field->max;
	write_types(s, field, "string", NULL, NULL);
	pattern_duration(begin_pattern(s), bounded ? field->min : CONFIG_DURATION_MIN_MS,
		bounded ? field->max : CONFIG_DURATION_MAX_MS);
	end_pattern(s, ")$" OR_SUBSTITUTED);
}

static void write_size(struct schema *s, const struct config_field *field)
{
	bool bounded = field->min || field->max;
	/* 0 needs no unit. */
	write_types(s, field, "string", field->min ? NULL : "integer", NULL);
	if (!field->min) {
		json_int(&s->j, "minimum", 0);
		json_int(&s->j, "maximum", 0);
	}
	pattern_size(begin_pattern(s), bounded ? field->min : 0, bounded ? field->max : INT64_MAX);
	end_pattern(s, ")$" OR_SUBSTITUTED);
}

/* A list of words in an alternative of its own: editors offer them. */
static void write_words(
	struct schema *s, const struct config_field *field, const char *const *names)
{
	json_open_array(&s->j, "anyOf");
	json_open_object(&s->j, NULL);
	json_open_array(&s->j, "enum");
	for (size_t i = 0; names[i]; i++)
		if (!str_eq(names[i], "~"))
			json_str(&s->j, NULL, names[i]);
	if (!field->required)
		json_none(&s->j, NULL);
	json_close_array(&s->j);
	json_close_object(&s->j);
	json_open_object(&s->j, NULL);
	json_str(&s->j, "type", "string");
	json_str(&s->j, "pattern", "\\$\\{");
	json_close_object(&s->j);
	json_close_array(&s->j);
}

static void write_text(struct schema *s, const struct config_field *field, const char *pattern)
{
	write_types(s, field, "string", "number", "boolean");
	if (!pattern)
		return;
	buf_reset(&s->pattern);
	buf_add_str(&s->pattern, pattern);
	end_pattern(s, field->unsubstituted ? "" : OR_SUBSTITUTED);
}

/* An element: as a text, but there is no default for it. */
static void write_item(struct schema *s, const char *key, const char *pattern)
{
	static const struct config_field item = { .required = true };
	json_open_object(&s->j, key);
	write_text(s, &item, pattern);
	json_close_object(&s->j);
}

static void write_strings(struct schema *s, const struct config_field *field)
{
	const char *pattern = pattern_of_check(field);
	if (!field->single)
		write_types(s, field, "array", NULL, NULL);
	else
		write_types(s, field, "array", "string", "number");
	if (field->single && pattern) {
		buf_reset(&s->pattern);
		buf_add_str(&s->pattern, pattern);
		end_pattern(s, OR_SUBSTITUTED);
	}
	if (field->max)
		json_int(&s->j, "maxItems", field->max);
	write_item(s, "items", pattern);
}

static void write_pairs(struct schema *s, const struct config_field *field)
{
	write_types(s, field, "object", NULL, NULL);
	if (pattern_of_check(field)) {
		json_open_object(&s->j, "propertyNames");
		json_str(&s->j, "pattern", pattern_of_check(field));
		json_close_object(&s->j);
	}
	if (field->max)
		json_int(&s->j, "maxProperties", field->max);
	write_item(s, "additionalProperties", NULL);
}

static void write_rates(struct schema *s, const struct config_field *field)
{
	write_types(s, field, "string", "array", NULL);
	struct buf *pattern = begin_pattern(s);
	pattern_int(pattern, field->min, field->max);
	buf_add_str(pattern, ")/(");
	pattern_duration(pattern, CONFIG_DURATION_MIN_MS, CONFIG_DURATION_MAX_MS);
	end_pattern(s, ")$" OR_SUBSTITUTED);
	json_int(&s->j, "maxItems", CONFIG_RATES_MAX);
	json_open_object(&s->j, "items");
	json_str(&s->j, "type", "string");
	json_str(&s->j, "pattern", buf_str(&s->pattern));
	json_close_object(&s->j);
}

static void write_retry_when(struct schema *s, const struct config_field *field)
{
	write_types(s, field, "array", NULL, NULL);
	json_open_object(&s->j, "items");
	json_open_array(&s->j, "type");
	json_str(&s->j, NULL, "integer");
	json_str(&s->j, NULL, "string");
	json_close_array(&s->j);
	json_int(&s->j, "minimum", 100);
	json_int(&s->j, "maximum", 599);
	json_str(&s->j, "pattern", "^([1-5]xx|0*[1-5][0-9]{2}|timeout|connect)$" OR_SUBSTITUTED);
	json_close_object(&s->j);
}

/* ---- structs ---- */

static bool demands(const struct config_field *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (const struct config_field *f = parts[i]; f->name; f++)
			if (f->required)
				return true;
	return false;
}

static const struct config_field *row(const struct config_field *fields, const char *name)
{
	while (fields->name && !str_eq(fields->name, name))
		fields++;
	return fields;
}

/* What a struct may be: a mapping, or by shorthand the value of one of its fields. */
static void write_struct(struct schema *s, const struct config_field *field, bool nullable)
{
	if (!field->shorthand) {
		write_object(s, &field->fields, 1, nullable);
		return;
	}
	json_open_array(&s->j, "anyOf");
	json_open_object(&s->j, NULL);
	write_object(s, &field->fields, 1, nullable);
	json_close_object(&s->j);
	json_open_object(&s->j, NULL);
	write_value(s, row(field->fields, field->shorthand));
	json_close_object(&s->j);
	json_close_array(&s->j);
}

static void write_elements(struct schema *s, const struct config_field *field)
{
	bool named = field->type == CONFIG_STRUCT_MAP;
	const char *names = pattern_of_check(field);
	write_types(s, field, named ? "object" : "array", NULL, NULL);
	if (named && names) {
		json_open_object(&s->j, "propertyNames");
		json_str(&s->j, "pattern", names);
		json_close_object(&s->j);
	}
	json_open_object(&s->j, named ? "additionalProperties" : "items");
	write_struct(s, field, named && !demands(&field->fields, 1));
	json_close_object(&s->j);
}

static void write_value(struct schema *s, const struct config_field *field)
{
	switch (field->type) {
	case CONFIG_BOOL:
		write_types(s, field, "boolean", "string", NULL);
		json_str(&s->j, "pattern", "^(true|false|yes|no|on|off)$" OR_SUBSTITUTED);
		break;
	case CONFIG_INT: write_int(s, field); break;
	case CONFIG_DURATION_MS: write_duration(s, field); break;
	case CONFIG_SIZE: write_size(s, field); break;
	case CONFIG_ENUM: write_words(s, field, field->names); break;
	case CONFIG_SIGNAL: write_words(s, field, signal_names); break;
	case CONFIG_STRING:
	case CONFIG_XPATH: write_text(s, field, pattern_of_check(field)); break;
	case CONFIG_STRING_LIST: write_strings(s, field); break;
	case CONFIG_STRING_MAP: write_pairs(s, field); break;
	case CONFIG_RATES: write_rates(s, field); break;
	case CONFIG_RETRY_WHEN: write_retry_when(s, field); break;
	case CONFIG_STRUCT: write_struct(s, field, !field->required); break;
	case CONFIG_STRUCT_LIST:
	case CONFIG_STRUCT_MAP: write_elements(s, field); break;
	case CONFIG_END: break;
	}
}

static void write_default_list(struct schema *s, const char *def)
{
	char text[128], *save = NULL;
	str_copy(text, sizeof(text), def);
	json_open_array(&s->j, "default");
	for (char *word = strtok_r(text, "[], ", &save); word;
		word = strtok_r(NULL, "[], ", &save)) {
		int64_t number;
		if (str_to_i64(word, INT64_MIN, INT64_MAX, &number) == 0)
			json_int(&s->j, NULL, number);
		else
			json_str(&s->j, NULL, word);
	}
	json_close_array(&s->j);
}

static void write_default(struct schema *s, const struct config_field *field)
{
	int64_t number;
	if (*field->def == '[')
		write_default_list(s, field->def);
	else if (field->type == CONFIG_BOOL)
		json_bool(&s->j, "default", str_eq(field->def, "true"));
	else if (field->type == CONFIG_INT &&
		 str_to_i64(field->def, INT64_MIN, INT64_MAX, &number) == 0)
		json_int(&s->j, "default", number);
	else
		json_str(&s->j, "default", field->def);
}

/* Of a struct each member says it. */
static void write_apply(struct schema *s, const struct config_field *field)
{
	static const char *const words[] = { [APPLY_LIVE] = "reload: live",
		[APPLY_RESTART] = "reload: restarts the process",
		[APPLY_SUPERVISOR] = "reload: needs a new droverd" };
	if (field->type != CONFIG_STRUCT)
		json_str(&s->j, "$comment", words[field->apply]);
}

/* Members of the object that is open: a closed mapping of these rows. */
static void write_object(
	struct schema *s, const struct config_field *const *parts, size_t count, bool nullable)
{
	const struct config_field whole = { .required = !nullable };
	write_types(s, &whole, "object", NULL, NULL);
	json_open_object(&s->j, "properties");
	for (size_t i = 0; i < count; i++) {
		for (const struct config_field *f = parts[i]; f->name; f++) {
			json_open_object(&s->j, f->name);
			json_str(&s->j, "description", f->doc);
			if (f->def)
				write_default(s, f);
			write_apply(s, f);
			write_value(s, f);
			json_close_object(&s->j);
		}
	}
	json_close_object(&s->j);
	json_bool(&s->j, "additionalProperties", false);
	if (!demands(parts, count))
		return;
	json_open_array(&s->j, "required");
	for (size_t i = 0; i < count; i++)
		for (const struct config_field *f = parts[i]; f->name; f++)
			if (f->required)
				json_str(&s->j, NULL, f->name);
	json_close_array(&s->j);
}

/* ---- the whole ---- */

static void open_named(struct schema *s, const char *section, const char *doc)
{
	json_open_object(&s->j, section);
	json_str(&s->j, "description", doc);
	json_raw(&s->j, "type", "[\"object\",\"null\"]", strlen("[\"object\",\"null\"]"));
	json_open_object(&s->j, "propertyNames");
	json_str(&s->j, "pattern", "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$");
	json_close_object(&s->j);
	json_open_object(&s->j, "additionalProperties");
}

static void close_named(struct schema *s)
{
	json_close_object(&s->j);
	json_close_object(&s->j);
}

static void write_sections(struct schema *s)
{
	for (const struct config_section *section = config_sections; section->name; section++) {
		json_open_object(&s->j, section->name);
		write_object(s, &section->fields, 1, true);
		json_close_object(&s->j);
	}
}

static int write_workers(struct schema *s, const struct worker_kind *const *kinds)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	if (!arena)
		return -ENOMEM;
	json_open_object(&s->j, "workers");
	json_str(&s->j, "description", "drover's own processes");
	json_raw(&s->j, "type", "[\"object\",\"null\"]", strlen("[\"object\",\"null\"]"));
	json_open_object(&s->j, "properties");
	for (size_t i = 0; kinds[i]; i++) {
		if (!kinds[i]->program)
			continue;
		const struct config_field *fields = worker_fields(arena, kinds[i]);
		if (!fields)
			return -ENOMEM;
		json_open_object(&s->j, kinds[i]->name);
		json_str(&s->j, "description", kinds[i]->summary);
		write_object(s, &fields, 1, true);
		json_close_object(&s->j);
	}
	json_close_object(&s->j);
	json_bool(&s->j, "additionalProperties", false);
	json_close_object(&s->j);
	return 0;
}

static void write_kind_names(struct schema *s, const struct worker_kind *const *kinds)
{
	json_open_object(&s->j, "properties");
	json_open_object(&s->j, "kind");
	json_str(&s->j, "description", row(job_fields, "kind")->doc);
	json_open_array(&s->j, "enum");
	for (size_t i = 0; kinds[i]; i++)
		if (kinds[i]->job_fields)
			json_str(&s->j, NULL, kinds[i]->name);
	json_close_array(&s->j);
	json_close_object(&s->j);
	json_close_object(&s->j);
	json_raw(&s->j, "required", "[\"kind\"]", strlen("[\"kind\"]"));
}

/* Which rows a job has follows from its kind: each has a definition of its own. */
static void write_jobs(struct schema *s, const struct worker_kind *const *kinds)
{
	char text[120];
	open_named(s, "jobs", "named pieces of work");
	json_str(&s->j, "type", "object");
	write_kind_names(s, kinds);
	json_open_array(&s->j, "allOf");
	for (size_t i = 0; kinds[i]; i++) {
		if (!kinds[i]->job_fields)
			continue;
		int n = snprintf(text, sizeof(text),
			"{\"properties\":{\"kind\":{\"const\":\"%.40s\"}},\"required\":[\"kind\"]}",
			kinds[i]->name);
		json_open_object(&s->j, NULL);
		json_raw(&s->j, "if", text, (size_t)n);
		n = snprintf(
			text, sizeof(text), "{\"$ref\":\"#/$defs/job-%.40s\"}", kinds[i]->name);
		json_raw(&s->j, "then", text, (size_t)n);
		json_close_object(&s->j);
	}
	json_close_array(&s->j);
	close_named(s);
}

static int write_definitions(struct schema *s, const struct worker_kind *const *kinds)
{
	char name[64];
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	json_open_object(&s->j, "$defs");
	for (size_t i = 0; kinds[i]; i++) {
		if (!kinds[i]->job_fields)
			continue;
		const struct config_field *parts[] = {
			arena ? job_fields_of(arena, kinds[i]) : NULL, kinds[i]->job_fields
		};
		if (!parts[0])
			return -ENOMEM;
		snprintf(name, sizeof(name), "job-%.40s", kinds[i]->name);
		json_open_object(&s->j, name);
		write_object(s, parts, 2, false);
		json_close_object(&s->j);
	}
	json_close_object(&s->j);
	return 0;
}

static void write_map(
	struct schema *s, const char *section, const char *doc, const struct config_field *fields)
{
	open_named(s, section, doc);
	write_object(s, &fields, 1, !demands(&fields, 1));
	close_named(s);
}

static int write_schema(struct schema *s, const struct worker_kind *const *kinds)
{
	json_open_object(&s->j, NULL);
	json_str(&s->j, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_str(&s->j, "title", "drover.yaml");
	json_str(&s->j, "description", "configuration of drover " DROVER_VERSION);
	json_raw(&s->j, "type", "[\"object\",\"null\"]", strlen("[\"object\",\"null\"]"));
	json_open_object(&s->j, "properties");
	write_sections(s);
	int rc = write_workers(s, kinds);
	write_map(s, "providers", "APIs, with the limits that all processes keep together",
		provider_fields);
	write_jobs(s, kinds);
	write_map(s, "services", "commands that are watched beside the workers", service_fields);
	json_close_object(&s->j);
	json_raw(&s->j, "patternProperties", "{\"^x-\":{}}", strlen("{\"^x-\":{}}"));
	json_bool(&s->j, "additionalProperties", false);
	rc = rc < 0 ? rc : write_definitions(s, kinds);
	json_close_object(&s->j);
	return rc;
}

int config_schema(const struct worker_kind *const *kinds, struct buf *out)
{
	struct schema s = { 0 };
	json_out_init(&s.j, out);
	int rc = write_schema(&s, kinds);
	if (buf_failed(out) || buf_failed(&s.pattern))
		rc = -ENOMEM;
	buf_finish(&s.pattern);
	return rc;
}
