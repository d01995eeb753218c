/* SPDX-License-Identifier: MIT */
/* jobs.NAME.for_each, and the places that its value has in the request. */
#include "base/str.h"
#include "collect/kind.h"
#include "collect/kind_parts.h"
#include "collect/template.h"
#include "config/check.h"
#include "config/kind.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { VALUES_MAX = 10000, QUERY_MAX = 10000 };

static void check_value_name(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *name = *(const char *const *)value;
	if (!str_is_name(name) || strspn(name, "0123456789") == strlen(name))
		config_error(ctx, mark, "\"%.60s\" is no name of a value: letters, digits, _ . -",
			check_shown(ctx, value));
}

/* It stands inside of another statement, so only one that gives rows makes sense. */
static void check_query(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	const char *word = text + strspn(text, " \t\r\n");
	if ((strncasecmp(word, "SELECT", 6) != 0 && strncasecmp(word, "WITH", 4) != 0) ||
		strlen(text) > QUERY_MAX)
		config_error(ctx, mark, "a query is one SELECT of at most %d bytes", QUERY_MAX);
}

#define AT(member) offsetof(struct collect_for_each, member)
const struct config_field collect_for_each_fields[] = {
	{ "values", CONFIG_STRING_LIST, AT(values), .max = VALUES_MAX, .scheduled = true,
		.doc = "a task for each, all at a time as far as limits allow" },
	{ "csv", CONFIG_STRING, AT(csv), .check = check_absolute_path,
		.doc = "instead: a file with a line of names first, read when the job runs" },
	{ "ndjson", CONFIG_STRING, AT(ndjson), .check = check_absolute_path,
		.doc = "instead: a file with a JSON object a line" },
	{ "sql", CONFIG_STRING, AT(sql), .check = check_query,
		.doc = "instead: a query of the store, which may read only; each text of its one "
		       "column once" },
	{ "job", CONFIG_STRING, AT(job),
		.doc = "instead: a collect job, whose table is asked for the values of a column" },
	{ "field", CONFIG_STRING, AT(field),
		.doc = "of csv: name of the column; ndjson: dotted path; job: column of its table; "
		       "none: as `as`" },
	{ "as", CONFIG_STRING, AT(as), .required = true, .check = check_value_name,
		.scheduled = true, .doc = "{{NAME}} in the request is the task's value" },
	{ 0 },
};
#undef AT

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

static void check_one_source(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_for_each *each = &spec->for_each;
	const struct config_mark mark = config_mark_of(ctx, spec, "for_each");
	size_t sources = !!each->values.items + !!each->csv + !!each->ndjson + !!each->sql +
			 !!each->job;
	if (each->as && sources != 1)
		config_error(ctx, &mark,
			"for_each takes its values from one of values, csv, ndjson, sql, job");
	if (each->field && (each->values.items || each->sql)) {
		const struct config_mark field = config_mark_of(ctx, spec, "for_each.field");
		config_error(ctx, &field, "for_each.field is for csv, ndjson and job");
	}
	if (each->field && each->ndjson)
		check_dotted_path(ctx, &mark, &each->field);
}

/* As it is spelled there; NULL: none. */
static const char *column_of(const struct collect_job *parent, const char *name)
{
	const struct config_column *columns = parent->fields.items;
	for (size_t i = 0; i < parent->fields.count; i++)
		if (str_eq_nocase(columns[i].name, name))
			return columns[i].name;
	return NULL;
}

static void check_parent(
	struct config_context *ctx, const struct config *config, struct config_job *job)
{
	struct collect_job *spec = job->spec;
	struct collect_for_each *each = &spec->for_each;
	const struct config_job *parent = each->job ? config_job(config, each->job) : NULL;
	const char *field = each->field ? each->field : each->as;
	const struct config_mark mark = config_mark_of(ctx, spec, "for_each.job");
	if (!each->job || !field)
		return;
	if (!parent || parent == job || parent->kind != job->kind) {
		config_error(ctx, &mark, "\"%.60s\" is no other job of kind collect",
			check_shown(ctx, &each->job));
		return;
	}
	each->table = parent->store.table;
	each->column = column_of(parent->spec, field);
	if (!each->column)
		config_error(ctx, &mark, "job %s has no field \"%.60s\"", parent->name, field);
}

void collect_check_for_each(
	struct config_context *ctx, const struct config *config, struct config_job *job)
{
	const struct collect_job *spec = job->spec;
	size_t places = check_places(ctx, spec, &spec->request.path, "request.path");
	places += check_pairs(ctx, spec, &spec->request.query, "request.query");
	places += check_pairs(ctx, spec, &spec->request.headers, "request.headers");
	places += check_pairs(ctx, spec, &spec->request.body.form, "request.body.form");
	if (spec->request.body.json)
		places += check_places(ctx, spec, &spec->request.body.json, "request.body.json");
	check_values(ctx, spec);
	check_one_source(ctx, spec);
	check_parent(ctx, config, job);
	const struct config_mark mark = config_mark_of(ctx, spec, "for_each");
	if (spec->for_each.as && !places)
		config_error(ctx, &mark,
			"{{%s}} stands nowhere in the request: all tasks would ask the same",
			spec->for_each.as);
}
