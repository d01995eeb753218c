/* SPDX-License-Identifier: MIT */
#include "crawl/kind.h"

#include "base/err.h"
#include "base/str.h"
#include "config/check.h"
#include "config/kind.h"
#include "config/tables.h"
#include "url/url.h"

#include <stdio.h>
#include <strings.h>

/* Each row has these, besides the job's own fields (spec section 10). */
static const struct config_column page_columns[] = {
	{ .name = "url", .type = COLUMN_TEXT },
	{ .name = "status", .type = COLUMN_INTEGER },
	{ .name = "fetched_at", .type = COLUMN_TIMESTAMP },
	{ .name = "content_hash", .type = COLUMN_TEXT },
};

static void check_domain(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	char domain[URL_HOST_MAX];
	struct err err = { 0 };
	if (url_domain(domain, text, &err) < 0)
		config_error(ctx, mark, "\"%.100s\" is no domain: %s", check_shown(ctx, value),
			check_shown_words(ctx, value, err.text));
}

#define AT(member) offsetof(struct config_column, member)
static const struct config_field column_fields[] = {
	{ "xpath", CONFIG_XPATH, AT(xpath), .required = true, .doc = "XPath 1.0 over the page" },
	{ "type", CONFIG_ENUM, AT(type), .def = "text", .names = column_types,
		.doc = "type of the column" },
	{ 0 },
};
#undef AT

static const char *const robots_names[] = { "obey", "ignore", NULL };

#define AT(member) offsetof(struct crawl_follow, member)
static const struct config_field follow_fields[] = {
	{ "domains", CONFIG_STRING_LIST, AT(domains), .check = check_domain,
		.doc = "links are followed within these; empty: the hosts of the start URLs" },
	{ "depth", CONFIG_INT, AT(depth), .def = "8", .min = 0, .max = 1000,
		.doc = "links from a start URL to a page" },
	{ "max_pages", CONFIG_INT, AT(max_pages), .def = "100000", .min = 1, .max = 10000000,
		.doc = "pages of one run" },
	{ "nofollow", CONFIG_ENUM, AT(nofollow), .def = "obey", .names = robots_names,
		.doc = "whether links marked nofollow are left alone" },
	{ "private", CONFIG_BOOL, AT(is_private), .def = "false",
		.doc = "true: private and loopback addresses may be visited" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct crawl_politeness, member)
static const struct config_field politeness_fields[] = {
	{ "delay", CONFIG_DURATION_MS, AT(delay_ms), .def = "1s", .min = 0, .max = 3600000,
		.doc = "least time from one call of a host to the next" },
	{ "per_host", CONFIG_INT, AT(per_host), .def = "2", .min = 1, .max = 64,
		.doc = "calls of a host at a time, over all processes" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct crawl_extract, member)
static const struct config_field extract_fields[] = {
	{ "match", CONFIG_STRING, AT(match), .def = ".*", .check = check_regex,
		.doc = "regular expression over the URL; the first rule that matches is used" },
	{ "fields", CONFIG_STRUCT_MAP, AT(fields), .fields = column_fields, .required = true,
		.element_size = sizeof(struct config_column), .check = check_column,
		.doc = "columns and where their values are" },
	{ 0 },
};
#undef AT

static bool has_proxy(const void *job)
{
	return ((const struct crawl_job *)job)->proxy.url;
}

#define AT(member) offsetof(struct crawl_job, member)
static const struct config_field crawl_fields[] = {
	{ "start", CONFIG_STRING_LIST, AT(start), .required = true, .scheduled = true,
		.check = check_http_url, .doc = "URLs where a run begins" },
	{ "follow", CONFIG_STRUCT, AT(follow), .fields = follow_fields,
		.doc = "which links are followed" },
	{ "robots", CONFIG_ENUM, AT(robots), .def = "obey", .names = robots_names,
		.doc = "whether robots.txt is obeyed" },
	{ "politeness", CONFIG_STRUCT, AT(politeness), .fields = politeness_fields,
		.doc = "how hard a host is asked" },
	{ "proxy", CONFIG_STRUCT, AT(proxy), .fields = proxy_fields, .shorthand = "url",
		.applies = has_proxy, .doc = "pages and robots.txt are asked for through it" },
	{ "extract", CONFIG_STRUCT_LIST, AT(extract), .fields = extract_fields,
		.element_size = sizeof(struct crawl_extract), .doc = "what is taken from pages" },
	{ 0 },
};
#undef AT

static size_t crawl_columns(const struct config_job *job, struct config_column *out, size_t max)
{
	const struct crawl_job *spec = job->spec;
	const struct crawl_extract *rules = spec->extract.items;
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(page_columns); i++, n++)
		if (n < max)
			out[n] = page_columns[i];
	for (size_t r = 0; r < spec->extract.count; r++) {
		const struct config_column *columns = rules[r].fields.items;
		for (size_t i = 0; i < rules[r].fields.count; i++, n++)
			if (n < max)
				out[n] = columns[i];
	}
	return n;
}

/* Names that differ in case only, and one name with two types, would be one column. */
static void check_one_column(struct config_context *ctx, const struct config_column *column,
	const struct config_column *earlier, bool same_rule)
{
	struct config_mark mark = config_mark_of(ctx, column, "");
	if (strcasecmp(earlier->name, column->name) != 0)
		return;
	if (same_rule || !str_eq(earlier->name, column->name))
		config_error(ctx, &mark, "column \"%.60s\" is already there as \"%.60s\"",
			column->name, earlier->name);
	else if (earlier->type != column->type)
		config_error(ctx, &mark, "column \"%.60s\" is %s in another rule", column->name,
			column_types[earlier->type]);
}

static void check_rule(struct config_context *ctx, const struct crawl_extract *rules, size_t r)
{
	const struct config_column *columns = rules[r].fields.items;
	for (size_t i = 0; i < rules[r].fields.count; i++) {
		struct config_mark mark = config_mark_of(ctx, &columns[i], "");
		for (size_t k = 0; k < ARRAY_SIZE(page_columns); k++)
			if (strcasecmp(page_columns[k].name, columns[i].name) == 0)
				config_error(ctx, &mark, "column \"%s\" is one that each crawl has",
					page_columns[k].name);
		for (size_t k = 0; k < i; k++)
			check_one_column(ctx, &columns[i], &columns[k], true);
		for (size_t q = 0; q < r; q++) {
			const struct config_column *others = rules[q].fields.items;
			for (size_t k = 0; k < rules[q].fields.count; k++)
				check_one_column(ctx, &columns[i], &others[k], false);
		}
	}
}

static void check_job(
	struct config_context *ctx, const struct config *config, struct config_job *job)
{
	const struct crawl_job *spec = job->spec;
	char path[32];
	(void)config;
	struct config_mark mark = config_mark_of(ctx, spec, "start");
	if (spec->start.items && !spec->start.count)
		config_error(ctx, &mark, "start cannot be empty");
	for (size_t i = 0; i < spec->start.count; i++) {
		snprintf(path, sizeof(path), "start.%zu", i);
		check_private(ctx, spec->start.items[i], spec->follow.is_private, spec, path,
			"follow: {private: true}");
	}
	check_proxy(ctx, &spec->proxy, spec, "proxy");
	for (size_t r = 0;
		r < spec->extract.count && crawl_columns(job, NULL, 0) <= CONFIG_COLUMNS_MAX; r++)
		check_rule(ctx, spec->extract.items, r);
}

const struct worker_kind worker_kind_crawl = {
	.name = "crawl",
	.summary = "fetches pages, extracts fields, follows links",
	.program = "drover-crawl",
	.drain_ms = 30000,
	.default_processes = 1,
	.max_processes = 64,
	.default_concurrency = 8,
	.default_parsers = 2,
	.needs_store = true,
	.takes_tasks = true,
	.job_fields = crawl_fields,
	.job_size = sizeof(struct crawl_job),
	.job_columns = crawl_columns,
	.check_job = check_job,
};
