/* SPDX-License-Identifier: MIT */
#pragma once
/* Checks that field tables name, and cross-checks that kinds share. */
#include "config/field.h"

struct config;
struct config_column;
struct config_context;
struct config_job;
struct config_provider;
struct config_proxy;
struct config_service;

/* For .check of rows. */
void check_http_url(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_absolute_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_runtime_dir(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_store_url(struct config_context *ctx, const struct config_mark *mark, const void *value);
/** postgresql://... as libpq reads it. false: words */
bool check_postgresql_url(const char *text, char *words, size_t size, bool *has_password);
/** A status (200) or a class of them (2xx). */
void check_status(struct config_context *ctx, const struct config_mark *mark, const void *value);
/** What an HTTP probe looks for in a body. */
void check_body(struct config_context *ctx, const struct config_mark *mark, const void *value);
/** "HOST:PORT", "[ADDRESS]:PORT" */
void check_address(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_listen(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_account(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_environment(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
/** Three or four octal digits, at most 0777. */
void check_umask(struct config_context *ctx, const struct config_mark *mark, const void *value);
/** "80%", 1 to 100, or a size. */
void check_share(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_header(struct config_context *ctx, const struct config_mark *mark, const void *value);
void check_table_name(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
/** A dotted path into a record: no empty part. */
void check_dotted_path(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
/** A POSIX extended regular expression that compiles. */
void check_regex(struct config_context *ctx, const struct config_mark *mark, const void *value);
/** An element of a map of columns (struct config_column): its name. */
void check_column(struct config_context *ctx, const struct config_mark *mark, const void *value);

/** A text member for a message: *** when it is secret. */
const char *check_shown(struct config_context *ctx, const void *member);
/** The same for an err's words about it, which may repeat it. */
const char *check_shown_words(struct config_context *ctx, const void *member, const char *words);

/* For kinds whose jobs are commands. */
/** The program is absolute or a name; a command is not empty. what: "service" */
void check_command(
	struct config_context *ctx, const struct config_service *command, const char *what);
/** The name is none of drover's own slots, logs and words; of a job also none of a service. */
void check_slot_name(
	struct config_context *ctx, const void *object, const char *name, const char *what);

/* For check_job of kinds. Members that had an error may be NULL. */
/** The provider that a member of object names; NULL: reported at object's path. *member NULL:
 * nothing to report. */
const struct config_provider *check_provider(struct config_context *ctx,
	const struct config *config, const char *const *member, const void *object,
	const char *path);
/** Reports at object's path when the URL's host is a literal private or loopback address and may
 * not be. */
void check_private(struct config_context *ctx, const char *url, bool is_private, const void *object,
	const char *path, const char *permission);

/* Names of the types in column tables, by enum column_type. */
extern const char *const column_types[];
/** A proxy's fields, a member of object at path. tables_proxy.c */
void check_proxy(struct config_context *ctx, const struct config_proxy *proxy, const void *object,
	const char *path);
/** The limits of one provider. check_limits.c */
void check_limits(struct config_context *ctx, const struct config_provider *provider);
