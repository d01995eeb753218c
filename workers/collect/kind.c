/* SPDX-License-Identifier: MIT */
#include "collect/kind.h"

#include "base/str.h"
#include "collect/kind_answer.h"
#include "collect/kind_parts.h"
#include "collect/template.h"
#include "config/check.h"
#include "config/kind.h"

#include <stdio.h>
#include <string.h>

static const char *const format_names[] = { "json", "ndjson", "csv", "xml", NULL };

enum { VALUES_MAX = 10000 };
#define BODY_MAX (INT64_C(1) << 40)

static void check_value_name(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *name = *(const char *const *)value;
	if (!str_is_name(name) || strspn(name, "0123456789") == strlen(name))
		config_error(ctx, mark, "\"%.60s\" is no name of a value: letters, digits, _ . -",
			check_shown(ctx, value));
}

#define AT(member) offsetof(struct collect_for_each, member)
static const struct config_field for_each_fields[] = {
	{ "values", CONFIG_STRING_LIST, AT(values), .required = true, .max = VALUES_MAX,
		.scheduled = true, .doc = "a task for each, all at a time as far as limits allow" },
	{ "as", CONFIG_STRING, AT(as), .required = true, .check = check_value_name,
		.scheduled = true, .doc = "{{NAME}} in the request is the task's value" },
	{ 0 },
};
#undef AT

static bool has_values(const void *job)
{
	return ((const struct collect_job *)job)->for_each.values.count > 0;
}

static bool is_incremental(const void *job)
{
	return ((const struct collect_job *)job)->incremental.cursor;
}

#define AT(member) offsetof(struct collect_job, member)
static const struct config_field collect_fields[] = {
	{ "for_each", CONFIG_STRUCT, AT(for_each), .fields = for_each_fields, .applies = has_values,
		.doc = "cuts a run into tasks; one that fails leaves the others alone" },
	{ "request", CONFIG_STRUCT, AT(request), .fields = collect_request_fields, .required = true,
		.doc = "what is called" },
	{ "paginate", CONFIG_STRUCT, AT(paginate), .fields = collect_paginate_fields,
		.doc = "how pages follow" },
	{ "incremental", CONFIG_STRUCT, AT(incremental), .fields = collect_incremental_fields,
		.applies = is_incremental,
		.doc = "asks for what changed since the last run only; no part: for everything" },
	{ "format", CONFIG_ENUM, AT(format), .def = "json", .names = format_names,
		.doc = "of the answers" },
	{ "records", CONFIG_STRING, AT(records), .def = "", .check = check_dotted_path,
		.doc = "dotted path of the list of records; empty: the answer itself" },
	{ "csv", CONFIG_STRUCT, AT(csv), .fields = collect_csv_fields, .applies = collect_is_csv,
		.doc = "how it is written, with format csv" },
	{ "charset", CONFIG_STRING, AT(charset), .check = collect_check_charset,
		.doc = "encoding of the answers, whatever they say: euc-kr; without, as they say, "
		       "else UTF-8" },
	{ "max_body", CONFIG_SIZE, AT(max_body), .def = "10MB", .min = 1000, .max = BODY_MAX,
		.doc = "of an answer, unpacked; memory follows the record, not the answer" },
	{ "filter", CONFIG_STRUCT_LIST, AT(filter), .fields = collect_condition_fields,
		.element_size = sizeof(struct collect_condition),
		.doc = "records of which all this holds are taken, others are left out" },
	{ "fields", CONFIG_STRUCT_MAP, AT(fields), .fields = collect_column_fields,
		.required = true, .element_size = sizeof(struct config_column), .shorthand = "path",
		.check = check_column, .doc = "columns and where their values are" },
	{ 0 },
};
#undef AT

static size_t collect_columns(const struct config_job *job, struct config_column *out, size_t max)
{
	const struct collect_job *spec = job->spec;
	const struct config_column *columns = spec->fields.items;
	for (size_t i = 0; i < spec->fields.count && i < max; i++)
		out[i] = columns[i];
	return spec->fields.count;
}

static const char *collect_provider(const struct config_job *job)
{
	const struct collect_job *spec = job->spec;
	return spec->request.provider_name;
}

/* Each place is for_each's. @return how many there are */
static size_t check_places(struct config_context *ctx, const struct collect_job *spec,
	const char *const *member, const char *path)
{
	const struct config_mark mark = config_mark_of(ctx, spec, path);
	struct template_place place;
	size_t count = 0;
	for (const char *text = *member; template_find(text, &place); text = place.end, count++) {
		if (template_is(&place, spec->for_each.as))
			continue;
		if (spec->for_each.as)
			config_error(ctx, &mark, "%s: no value is named so; there is {{%s}}",
				check_shown(ctx, member), spec->for_each.as);
		else
			config_error(ctx, &mark, "%s needs a for_each that names the value",
				check_shown(ctx, member));
	}
	return count;
}

static size_t check_pairs(struct config_context *ctx, const struct collect_job *spec,
	const struct config_pairs *pairs, const char *where)
{
	char path[300];
	size_t count = 0;
	for (size_t i = 0; i < pairs->count; i++) {
		snprintf(path, sizeof(path), "%s.%.200s", where, pairs->items[i].name);
		count += check_places(ctx, spec, &pairs->items[i].value, path);
	}
	return count;
}

static void check_values(struct config_context *ctx, const struct collect_job *spec)
{
	const struct config_strings *values = &spec->for_each.values;
	struct config_mark mark = config_mark_of(ctx, spec, "for_each.values");
	if (values->items && !values->count)
		config_error(ctx, &mark, "the values of for_each cannot be empty");
	for (size_t i = 0; i < values->count; i++) {
		char path[40];
		snprintf(path, sizeof(path), "for_each.values.%zu", i);
		mark = config_mark_of(ctx, spec, path);
		/* It stands in the queue, for everybody who may look. */
		if (values->items[i] && check_shown(ctx, &values->items[i]) != values->items[i])
			config_error(ctx, &mark, "a value of for_each cannot be a secret");
	}
}

static void check_for_each(struct config_context *ctx, const struct collect_job *spec)
{
	size_t places = check_places(ctx, spec, &spec->request.path, "request.path");
	places += check_pairs(ctx, spec, &spec->request.query, "request.query");
	places += check_pairs(ctx, spec, &spec->request.headers, "request.headers");
	places += check_pairs(ctx, spec, &spec->request.body.form, "request.body.form");
	if (spec->request.body.json)
		places += check_places(ctx, spec, &spec->request.body.json, "request.body.json");
	check_values(ctx, spec);
	const struct config_mark mark = config_mark_of(ctx, spec, "for_each");
	if (spec->for_each.values.count && spec->for_each.as && !places)
		config_error(ctx, &mark,
			"{{%s}} stands nowhere in the request: all tasks would ask the same",
			spec->for_each.as);
}

static void check_job(
	struct config_context *ctx, const struct config *config, struct config_job *job)
{
	struct collect_job *spec = job->spec;
	collect_check_paginate(ctx, spec);
	collect_check_incremental(ctx, spec);
	collect_check_request(ctx, spec);
	collect_check_answer(ctx, spec);
	check_for_each(ctx, spec);
	spec->provider = check_provider(
		ctx, config, &spec->request.provider_name, spec, "request.provider");
}

const struct worker_kind worker_kind_collect = {
	.name = "collect",
	.summary = "calls REST APIs and writes their records",
	.program = "drover-collect",
	.drain_ms = 30000,
	.default_processes = 2,
	.max_processes = 64,
	.default_concurrency = 8,
	.needs_store = true,
	.takes_tasks = true,
	.sees_providers = true,
	.job_fields = collect_fields,
	.job_size = sizeof(struct collect_job),
	.job_columns = collect_columns,
	.job_provider = collect_provider,
	.check_job = check_job,
};
