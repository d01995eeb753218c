/* SPDX-License-Identifier: MIT */
/* jobs.NAME.on_error of kind collect: its rows and what they say about each other. */
#include "collect/kind.h"
#include "config/check.h"

const char *const collect_then_names[] = { "skip", "fail", "retry", "wait", "refresh", NULL };

static void check_error_body(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	if (!**(const char *const *)value)
		config_error(ctx, mark, "an empty text is in every body");
}

#define AT(member) offsetof(struct collect_error_rule, member)
const struct config_field collect_error_fields[] = {
	{ "status", CONFIG_STRING_LIST, AT(status), .max = 100, .single = true,
		.check = check_status, .doc = "404, 5xx, or a list; none: any" },
	{ "header", CONFIG_STRING_MAP, AT(header), .max = 20, .check = check_header,
		.doc = "texts that are in these headers; an empty one: the header is there" },
	{ "body", CONFIG_STRING, AT(body), .check = check_error_body,
		.doc = "a text that is in the first 64 KiB of the answer" },
	{ "then", CONFIG_ENUM, AT(then), .required = true, .names = collect_then_names,
		.doc = "skip: the task is done; fail: it is dead; retry: this call; wait: the "
		       "provider is closed; refresh: once more, with another token of oauth2" },
	{ "for", CONFIG_DURATION_MS, AT(wait_ms), .def = "0s", .min = 0, .max = 86400000,
		.doc = "of wait: how long at least; 0s: as retry.backoff and Retry-After say" },
	{ 0 },
};
#undef AT

void collect_check_on_error(struct config_context *ctx, const struct collect_job *spec)
{
	const struct collect_error_rule *rules = spec->on_error.items;
	for (size_t i = 0; i < spec->on_error.count; i++) {
		const struct collect_error_rule *r = &rules[i];
		struct config_mark mark = config_mark_of(ctx, r, "");
		if (!r->status.items && !r->header.items && !r->body)
			config_error(ctx, &mark, "a rule needs a status, a header or a body");
		mark = config_mark_of(ctx, r, "for");
		if (r->wait_ms > 0 && r->then != THEN_WAIT)
			config_error(ctx, &mark, "for belongs to then: wait");
	}
}
