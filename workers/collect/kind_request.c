/* SPDX-License-Identifier: MIT */
/* jobs.NAME.request. */
#include "base/err.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/check.h"
#include "json/scan.h"

#include <string.h>

const char *const collect_methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL };

static void check_request_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *path = *(const char *const *)value;
	if (*path && *path != '/')
		config_error(
			ctx, mark, "a request's path begins with /: it is put behind base_url");
}

static void check_json(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	size_t at = 0;
	struct err err = { 0 };
	const char *text = *(const char *const *)value;
	if (json_check(text, strlen(text), &at, &err) == 0)
		return;
	if (at > 0 && memcmp(text + at - 1, "{{", 2) == 0)
		config_error(ctx, mark, "%.60s: {{NAME}} stands outside of a text, at byte %zu",
			check_shown(ctx, value), at - 1);
	else
		config_error(ctx, mark, "%.60s: %s", check_shown(ctx, value), err.text);
}

#define AT(member) offsetof(struct collect_body, member)
static const struct config_field body_fields[] = {
	{ "json", CONFIG_STRING, AT(json), .check = check_json,
		.doc = "a JSON text; {{NAME}} inside one of its texts: for_each's value" },
	{ "form", CONFIG_STRING_MAP, AT(form),
		.doc = "application/x-www-form-urlencoded; {{NAME}}: for_each's value" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct collect_request, member)
const struct config_field collect_request_fields[] = {
	{ "provider", CONFIG_STRING, AT(provider_name), .required = true,
		.doc = "name of a provider" },
	{ "method", CONFIG_ENUM, AT(method), .def = "GET", .names = collect_methods,
		.doc = "how it is asked; not HEAD, whose answers hold no records" },
	{ "path", CONFIG_STRING, AT(path), .def = "", .check = check_request_path,
		.doc = "put behind the provider's base_url; {{NAME}}: for_each's value" },
	{ "query", CONFIG_STRING_MAP, AT(query),
		.doc = "arguments of the URL; {{NAME}}: for_each's value" },
	{ "headers", CONFIG_STRING_MAP, AT(headers), .check = check_header,
		.doc = "beside the provider's, or instead of the one of that name; {{NAME}}: "
		       "for_each's value" },
	{ "body", CONFIG_STRUCT, AT(body), .fields = body_fields,
		.doc = "what is sent along: json or form" },
	{ "idempotent", CONFIG_BOOL, AT(idempotent), .def = "false",
		.doc = "true: a POST or PATCH may be received twice, as when it only asks; the "
		       "other methods always may" },
	{ 0 },
};
#undef AT

void collect_check_request(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_request *request = &spec->request;
	const struct config_mark mark = config_mark_of(ctx, spec, "request.body");
	if (!request->body.json && !request->body.form.items)
		return;
	if (request->body.json && request->body.form.items)
		config_error(ctx, &mark, "a body is either json or form");
	if (request->method == METHOD_GET)
		config_error(ctx, &mark, "a GET has no body: give the request another method");
}
