/* SPDX-License-Identifier: MIT */
#include "collect/kind.h"

#include "base/str.h"
#include "collect/kind_answer.h"
#include "collect/kind_parts.h"
#include "config/check.h"
#include "config/kind.h"

#include <stdio.h>
#include <string.h>

static const char *const format_names[] = { "json", "ndjson", "csv", "xml", NULL };

#define BODY_MAX (INT64_C(1) << 40)

static bool is_for_each(const void *job)
{
	return ((const struct collect_job *)job)->for_each.as;
}

static bool is_incremental(const void *job)
{
	return ((const struct collect_job *)job)->incremental.cursor;
}

#define AT(member) offsetof(struct collect_job, member)
static const struct config_field collect_fields[] = {
	{ "for_each", CONFIG_STRUCT, AT(for_each), .fields = collect_for_each_fields,
		.applies = is_for_each,
		.doc = "cuts a run into tasks; one that fails leaves the others alone" },
	{ "request", CONFIG_STRUCT, AT(request), .fields = collect_request_fields, .required = true,
		.doc = "what is called" },
	{ "paginate", CONFIG_STRUCT, AT(paginate), .fields = collect_paginate_fields,
		.doc = "how pages follow" },
	{ "incremental", CONFIG_STRUCT, AT(incremental), .fields = collect_incremental_fields,
		.applies = is_incremental,
		.doc = "asks for what changed since the last run only; no part: for everything" },
	{ "on_error", CONFIG_STRUCT_LIST, AT(on_error), .fields = collect_error_fields,
		.element_size = sizeof(struct collect_error_rule),
		.doc = "what is made of answers; the first rule that holds is obeyed" },
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

static void check_job(
	struct config_context *ctx, const struct config *config, struct config_job *job)
{
	struct collect_job *spec = job->spec;
	collect_check_paginate(ctx, spec);
	collect_check_incremental(ctx, spec);
	collect_check_request(ctx, spec);
	collect_check_answer(ctx, spec);
	collect_check_for_each(ctx, config, job);
	spec->provider = check_provider(
		ctx, config, &spec->request.provider_name, spec, "request.provider");
	collect_check_on_error(ctx, spec);
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
