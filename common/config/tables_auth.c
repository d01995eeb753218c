/* SPDX-License-Identifier: MIT */
/* providers.NAME.auth. */
#include "base/str.h"
#include "config/check.h"
#include "config/config.h"
#include "config/tables.h"

#include <string.h>

static void check_argument(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const struct config_pair *pair = value;
	if (!*pair->name)
		config_error(ctx, mark, "an argument has a name");
}

static void check_secret(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	if (!*text)
		config_error(ctx, mark, "it is empty");
	else if (strpbrk(text, "\r\n"))
		config_error(ctx, mark, "it cannot hold a line end");
}

static void check_user(
	struct config_context *ctx, const struct config_mark *mark, const void *value)
{
	const char *text = *(const char *const *)value;
	if (strchr(text, ':'))
		config_error(ctx, mark, "a user of basic cannot hold a colon");
}

#define AT(member) offsetof(struct config_auth, basic.member)
static const struct config_field basic_fields[] = {
	{ "user", CONFIG_STRING, AT(user), .required = true, .check = check_user, .doc = "name" },
	{ "password", CONFIG_STRING, AT(password), .required = true, .secret = true,
		.doc = "best from ${file:PATH}" },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct config_auth, member)
const struct config_field auth_fields[] = {
	{ "query", CONFIG_STRING_MAP, AT(query), .secret = true, .check = check_argument,
		.doc = "arguments added to each URL" },
	{ "header", CONFIG_STRING_MAP, AT(header), .secret = true, .check = check_header,
		.doc = "headers added to each call" },
	{ "bearer", CONFIG_STRING, AT(bearer), .secret = true, .check = check_secret,
		.doc = "a token: Authorization: Bearer TOKEN" },
	{ "basic", CONFIG_STRUCT, 0, .fields = basic_fields,
		.doc = "a user and a password: Authorization: Basic ..." },
	{ 0 },
};
#undef AT
