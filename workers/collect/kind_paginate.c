/* SPDX-License-Identifier: MIT */
/* jobs.NAME.paginate */
#include "base/err.h"
#include "collect/json_place.h"
#include "collect/kind.h"
#include "collect/kind_parts.h"
#include "config/check.h"
#include "json/path.h"
#include "json/scan.h"

#include <stdio.h>
#include <string.h>

static const char *const by_names[] = { "none", "page", "offset", "cursor", "next", "link", NULL };
static const char *const in_names[] = { "query", "body", NULL };
static const char *const until_names[] = { "short", "empty", NULL };

/* A path that a stream can follow: of what is counted from an end only the last is kept. */
static void check_answer_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *path = *(const char *const *)value, *end = strstr(path, "[-");
	check_dotted_path(ctx, mark, value);
	if (end && (strncmp(end, "[-1]", 4) != 0 || strstr(end + 1, "[-")))
		config_error(ctx, mark, "\"%.60s\": from its end a list has [-1] only, and once",
			check_shown(ctx, value));
}

static void check_header_name(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *name = *(const char *const *)value;
	if (!*name || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789!#$%&'*+-.^_`|~")])
		config_error(
			ctx, mark, "\"%.60s\" is no name of a header", check_shown(ctx, value));
}

static void check_relation(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *rel = *(const char *const *)value;
	if (!*rel || rel[strcspn(rel, " \t\",;")])
		config_error(ctx, mark, "\"%.60s\" is no relation of a link: one word, as next",
			check_shown(ctx, value));
}

#define AT(member) offsetof(struct collect_paginate, member)
const struct config_field collect_paginate_fields[] = {
	{ "by", CONFIG_ENUM, AT(by), .def = "none", .names = by_names,
		.doc = "page: a number that grows by one; offset: records so far; cursor: a token "
		       "from the answer; next: a URL in it; link: its Link header" },
	{ "in", CONFIG_ENUM, AT(in), .def = "query", .names = in_names,
		.doc = "where param and size_param stand: query (of the URL), or body, where they "
		       "are dotted paths in its json or fields of its form" },
	{ "param", CONFIG_STRING, AT(param),
		.doc = "argument that holds the page's number, the offset or the cursor" },
	{ "size_param", CONFIG_STRING, AT(size_param),
		.doc = "argument that holds the size; none: not sent" },
	{ "size", CONFIG_INT, AT(size), .def = "100", .min = 1, .max = 100000,
		.doc = "records of a full page" },
	{ "start", CONFIG_INT, AT(start), .def = "1", .min = 0, .max = 1000000000,
		.doc = "number of the first page" },
	{ "offset", CONFIG_INT, AT(offset), .def = "0", .min = 0, .max = 1000000000,
		.doc = "by offset: the first one" },
	{ "max_pages", CONFIG_INT, AT(max_pages), .def = "100000", .min = 1, .max = 10000000,
		.doc = "no more pages than this; the run says when it ended so" },
	{ "cursor", CONFIG_STRING, AT(cursor), .check = check_answer_path,
		.doc = "by cursor: dotted path in the answer, data[-1].id too; absent, null, \"\" "
		       "or false: the end" },
	{ "header", CONFIG_STRING, AT(header), .check = check_header_name,
		.doc = "by cursor: the answer's header that has it, instead" },
	{ "next", CONFIG_STRING, AT(next), .check = check_answer_path,
		.doc = "by next: dotted path of the next page's URL, which may be relative" },
	{ "rel", CONFIG_STRING, AT(rel), .def = "next", .check = check_relation,
		.doc = "by link: the relation that leads on" },
	{ "total", CONFIG_STRING, AT(total), .check = check_answer_path,
		.doc = "by page, offset: dotted path of the number of all records, which is the "
		       "end; a short page then is not" },
	{ "more", CONFIG_STRING, AT(more), .check = check_answer_path,
		.doc = "dotted path of true or false: whether another page follows" },
	{ "until", CONFIG_ENUM, AT(until), .def = "short", .names = until_names,
		.doc = "by page, offset: what page is the last: shorter than size, or empty" },
	{ 0 },
};
#undef AT

static void refuse(struct config_context *ctx, const struct collect_job *spec, const char *value,
	const char *name, const char *why)
{
	char path[40];
	if (!value)
		return;
	snprintf(path, sizeof(path), "paginate.%s", name);
	const struct config_mark mark = config_mark_of(ctx, spec, path);
	config_error(ctx, &mark, "paginate.%s is for %s", name, why);
}

static void demand(struct config_context *ctx, const struct collect_job *spec, bool there,
	const char *by, const char *what)
{
	const struct config_mark mark = config_mark_of(ctx, spec, "paginate");
	if (!there)
		config_error(ctx, &mark, "paginate by %s needs a %s", by, what);
}

/* name: of the field that holds the place. */
static void check_place(struct config_context *ctx, const struct collect_job *spec,
	const char *name, const char *place)
{
	const struct collect_body *body = &spec->request.body;
	const struct config_mark mark = config_mark_of(ctx, spec, name);
	struct json_path *path = NULL;
	struct err err;
	size_t at;
	/* A body that is no JSON is an error of its own. */
	if (!place || !body->json || json_check(body->json, strlen(body->json), &at, &err) < 0)
		return;
	const char *problem = json_path_new(&path, place, &err) < 0
				      ? err.text
				      : json_place_problem(body->json, path);
	if (problem)
		config_error(ctx, &mark, "%s: %s", name, problem);
	json_path_free(path);
}

static void check_in_body(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_paginate *p = &spec->paginate;
	const struct collect_body *body = &spec->request.body;
	const struct config_mark mark = config_mark_of(ctx, spec, "paginate.in");
	if (p->in != PAGINATE_IN_BODY)
		return;
	if (p->by != PAGINATE_PAGE && p->by != PAGINATE_OFFSET && p->by != PAGINATE_CURSOR)
		config_error(ctx, &mark, "paginate.in: body is for by: page, offset or cursor");
	else if (!body->json && !body->form.items)
		config_error(
			ctx, &mark, "paginate.in: body needs a request.body in which param stands");
	check_place(ctx, spec, "paginate.param", p->param);
	check_place(ctx, spec, "paginate.size_param", p->size_param);
}

void collect_check_paginate(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_paginate *p = &spec->paginate;
	bool counts = p->by == PAGINATE_PAGE || p->by == PAGINATE_OFFSET;
	if (p->by == PAGINATE_PAGE)
		demand(ctx, spec, p->param, "page",
			"param: the argument that holds the page's number");
	if (p->by == PAGINATE_OFFSET)
		demand(ctx, spec, p->param, "offset", "param: the argument that holds the offset");
	if (p->by == PAGINATE_CURSOR) {
		demand(ctx, spec, p->param, "cursor", "param: the argument that holds the cursor");
		demand(ctx, spec, p->cursor || p->header, "cursor",
			"cursor or a header: where the answer has it");
	}
	if (p->by == PAGINATE_NEXT)
		demand(ctx, spec, p->next, "next", "next: where the answer has the URL");
	if (!counts && p->by != PAGINATE_CURSOR)
		refuse(ctx, spec, p->param, "param", "by: page, offset or cursor");
	if (p->by == PAGINATE_NONE) {
		refuse(ctx, spec, p->size_param, "size_param", "pages: there is no by");
		refuse(ctx, spec, p->more, "more", "pages: there is no by");
	}
	if (p->by != PAGINATE_CURSOR) {
		refuse(ctx, spec, p->cursor, "cursor", "by: cursor");
		refuse(ctx, spec, p->header, "header", "by: cursor");
	} else if (p->cursor) {
		refuse(ctx, spec, p->header, "header", "a cursor that is not in the body");
	}
	if (p->by != PAGINATE_NEXT)
		refuse(ctx, spec, p->next, "next", "by: next");
	if (!counts)
		refuse(ctx, spec, p->total, "total", "by: page or offset");
	check_in_body(ctx, spec);
}
