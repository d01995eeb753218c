/* SPDX-License-Identifier: MIT */
#include "collect/kind_answer.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/template.h"
#include "config/check.h"
#include "config/kind.h"
#include "html/charset.h"
#include "json/path.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CSV_SKIP_MAX = 1000000, CSV_NAMES_MAX = 4096, FILTER_MAX = 100, IS_MAX = 10000 };

#define AT(member) offsetof(struct config_column, member)
const struct config_field collect_column_fields[] = {
	{ "path", CONFIG_STRING, AT(path),
		.doc = "dotted path in the record; with format csv the column's name" },
	{ "value", CONFIG_STRING, AT(value),
		.doc = "instead of a path: a text; {{run.id}}, {{run.started_at}}, "
		       "{{record.PATH}} and for_each's {{NAME}} are filled in" },
	{ "regex", CONFIG_STRING, AT(regex), .check = check_regex,
		.doc = "what of the text is meant: the first group, or all that fits; null when "
		       "it does not fit" },
	{ "type", CONFIG_ENUM, AT(type), .def = "text", .names = column_types,
		.doc = "type of the column" },
	{ 0 },
};
#undef AT

static void check_character(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	if (text[0] && (text[1] || (unsigned char)*text >= 0x7f || isalnum((unsigned char)*text) ||
			       strchr("\r\n ", *text)))
		config_error(ctx, mark,
			"\"%.60s\" is not one character that is neither letter, digit nor blank",
			check_shown(ctx, value));
}

static void check_not_empty(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	if (!**(const char *const *)value)
		config_error(ctx, mark, "the name of a column cannot be empty");
}

#define AT(member) offsetof(struct collect_csv, member)
const struct config_field collect_csv_fields[] = {
	{ "delimiter", CONFIG_STRING, AT(delimiter), .def = ",", .check = check_character,
		.doc = "one character between cells; \"\\t\" for a tab" },
	{ "quote", CONFIG_STRING, AT(quote), .def = "\"", .check = check_character,
		.doc = "one character around cells, doubled inside them; \"\": there is none" },
	{ "columns", CONFIG_STRING_LIST, AT(columns), .max = CSV_NAMES_MAX,
		.check = check_not_empty,
		.doc = "names of the columns; without, the first line has them" },
	{ "skip", CONFIG_INT, AT(skip), .def = "0", .min = 0, .max = CSV_SKIP_MAX,
		.doc = "lines to pass over at the beginning" },
	{ 0 },
};
#undef AT

static const char *const exists_names[] = { "any", "true", "false", NULL };

#define AT(member) offsetof(struct collect_condition, member)
const struct config_field collect_condition_fields[] = {
	{ "path", CONFIG_STRING, AT(path), .required = true,
		.doc = "dotted path in the record; with format csv the column's name" },
	{ "is", CONFIG_STRING_LIST, AT(is), .max = IS_MAX, .single = true,
		.doc = "its text is one of these" },
	{ "not", CONFIG_STRING_LIST, AT(is_not), .max = IS_MAX, .single = true,
		.doc = "its text is none of these" },
	{ "matches", CONFIG_STRING, AT(matches), .check = check_regex,
		.doc = "a regular expression fits somewhere in its text" },
	{ "exists", CONFIG_ENUM, AT(exists), .def = "any", .names = exists_names,
		.doc = "whether there is a value that is not null" },
	{ 0 },
};
#undef AT

void collect_check_charset(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *label = *(const char *const *)value;
	const char *name = html_charset_find(label, strlen(label));
	if (!name || str_eq(name, "replacement"))
		config_error(ctx, mark, "\"%.60s\" is no encoding that is known",
			check_shown(ctx, value));
}

bool collect_is_csv(const void *job)
{
	return ((const struct collect_job *)job)->format == FORMAT_CSV;
}

/* ---- cross-checks ---- */

/* Of a field or a condition: in CSV a name may be anything. */
static void check_path(struct config_context *ctx, const struct collect_job *spec,
	const char *const *member, const void *object)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	const struct config_mark mark = config_mark_of(ctx, object, "path");
	struct err err = { 0 };
	if (!*member)
		return;
	if (spec->format != FORMAT_CSV)
		if (json_path_new(&path, *member, &err) < 0)
			config_error(ctx, &mark, "%s", check_shown_words(ctx, member, err.text));
}

static void check_places(
	struct config_context *ctx, const struct collect_job *spec, const struct config_column *c)
{
	const struct config_mark mark = config_mark_of(ctx, c, "value");
	const size_t prefix = strlen(TEMPLATE_RECORD);
	struct template_place place;
	for (const char *text = c->value; template_find(text, &place); text = place.end) {
		CLEANUP(json_path_freep) struct json_path *path = NULL;
		char name[JSON_PATH_NAME + 1];
		struct err err = { 0 };
		if (template_is(&place, "run.id") || template_is(&place, "run.started_at") ||
			template_is(&place, spec->for_each.as))
			continue;
		if (place.len <= prefix || strncmp(place.name, TEMPLATE_RECORD, prefix) != 0 ||
			place.len - prefix >= sizeof(name)) {
			config_error(ctx, &mark,
				"%s: there is {{run.id}}, {{run.started_at}}, "
				"{{record.PATH}}%s%s%s",
				check_shown(ctx, &c->value), spec->for_each.as ? " and {{" : "",
				spec->for_each.as ? spec->for_each.as : "",
				spec->for_each.as ? "}}" : "");
			return;
		}
		memcpy(name, place.name + prefix, place.len - prefix);
		name[place.len - prefix] = '\0';
		if (spec->format != FORMAT_CSV && json_path_new(&path, name, &err) < 0)
			config_error(ctx, &mark, "%s", check_shown_words(ctx, &c->value, err.text));
	}
}

static void check_source(
	struct config_context *ctx, const struct collect_job *spec, const struct config_column *c)
{
	const struct config_mark mark = config_mark_of(ctx, c, "");
	if (!c->path && !c->value)
		config_error(ctx, &mark, "a field needs a path or a value");
	else if (c->path && c->value)
		config_error(ctx, &mark, "a field has either a path or a value");
	if (c->type == COLUMN_JSON && (c->value || c->regex))
		config_error(ctx, &mark, "a field of type json has a path and nothing else");
	check_path(ctx, spec, &c->path, c);
	if (c->value)
		check_places(ctx, spec, c);
}

static void check_columns(struct config_context *ctx, const struct collect_job *spec)
{
	const struct config_column *columns = spec->fields.items;
	for (size_t i = 0; i < spec->fields.count; i++) {
		const struct config_mark mark = config_mark_of(ctx, &columns[i], "");
		check_source(ctx, spec, &columns[i]);
		for (size_t k = 0; k < i; k++)
			if (strcasecmp(columns[k].name, columns[i].name) == 0)
				config_error(ctx, &mark,
					"column \"%.60s\" is already there as \"%.60s\"",
					columns[i].name, columns[k].name);
	}
}

static void check_filter(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_condition *conditions = spec->filter.items;
	if (spec->filter.count > FILTER_MAX) {
		const struct config_mark mark = config_mark_of(ctx, spec, "filter");
		config_error(ctx, &mark, "a filter has at most %d conditions", FILTER_MAX);
		return;
	}
	for (size_t i = 0; i < spec->filter.count; i++) {
		const struct collect_condition *c = &conditions[i];
		const struct config_mark mark = config_mark_of(ctx, c, "");
		check_path(ctx, spec, &c->path, c);
		if (!c->is.count && !c->is_not.count && !c->matches && c->exists == EXISTS_ANY)
			config_error(ctx, &mark,
				"a condition needs is, not, matches or exists: true or false");
	}
}

/* A stream is read from its begin on. */
static void check_records(struct config_context *ctx, const struct collect_job *spec)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	const struct config_mark mark = config_mark_of(ctx, spec, "records");
	struct err err;
	if (!spec->records || !*spec->records)
		return;
	if (spec->format == FORMAT_CSV) {
		config_error(ctx, &mark, "each line of a CSV is a record: records means nothing");
		return;
	}
	if (json_path_new(&path, spec->records, &err) < 0)
		return; /* was reported */
	if (spec->format == FORMAT_XML && spec->records[*spec->records == '$'] == '[')
		config_error(ctx, &mark, "in XML an index stands behind the name of an element");
	for (size_t i = 0; i < path->count; i++)
		if (path->steps[i].kind == JSON_STEP_INDEX && path->steps[i].index < 0)
			config_error(ctx, &mark,
				"%s counts from the end, which is not known while an answer "
				"comes in",
				check_shown(ctx, &spec->records));
}

static void check_csv(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_csv *csv = &spec->csv;
	const struct config_mark mark = config_mark_of(ctx, spec, "csv.delimiter");
	if (!csv->delimiter || !csv->quote)
		return; /* was reported */
	if (!*csv->delimiter)
		config_error(ctx, &mark, "the delimiter cannot be empty");
	else if (*csv->quote == *csv->delimiter)
		config_error(ctx, &mark, "delimiter and quote are the same");
	for (size_t i = 0; i < csv->columns.count; i++) {
		char place[40];
		snprintf(place, sizeof(place), "csv.columns.%zu", i);
		const struct config_mark at = config_mark_of(ctx, spec, place);
		for (size_t k = 0; k < i; k++)
			if (str_eq(csv->columns.items[k], csv->columns.items[i]))
				config_error(ctx, &at, "two columns are named \"%.60s\"",
					check_shown(ctx, &csv->columns.items[i]));
	}
}

/* What leads on is looked for in the body as in JSON. */
static void check_paginate(struct config_context *ctx, const struct collect_job *spec)
{
	const struct {
		const char *text, *path;
	} words[] = {
		{ spec->paginate.cursor, "paginate.cursor" },
		{ spec->paginate.next, "paginate.next" },
		{ spec->paginate.total, "paginate.total" },
		{ spec->paginate.more, "paginate.more" },
	};
	for (size_t i = 0; spec->format != FORMAT_JSON && i < ARRAY_SIZE(words); i++) {
		const struct config_mark mark = config_mark_of(ctx, spec, words[i].path);
		if (words[i].text)
			config_error(ctx, &mark, "it is read in answers of format json only");
	}
}

static void check_value_name(struct config_context *ctx, const struct collect_job *spec)
{
	const struct config_mark mark = config_mark_of(ctx, spec, "for_each.as");
	const char *as = spec->for_each.as;
	if (as && (str_starts(as, TEMPLATE_RECORD) || str_starts(as, "run.")))
		config_error(ctx, &mark, "names that begin with run. and record. are drover's");
}

void collect_check_answer(struct config_context *ctx, const struct collect_job *spec)
{
	check_value_name(ctx, spec);
	check_paginate(ctx, spec);
	const struct config_mark mark = config_mark_of(ctx, spec, "fields");
	if (spec->fields.items && !spec->fields.count)
		config_error(ctx, &mark, "fields cannot be empty");
	if (spec->fields.count <= CONFIG_COLUMNS_MAX)
		check_columns(ctx, spec);
	check_records(ctx, spec);
	check_filter(ctx, spec);
	check_csv(ctx, spec);
}
