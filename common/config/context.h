/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of the loader share while one configuration is being made. Private to this folder.
 */
#include "base/compiler.h"
#include "config/config.h"
#include "config/report.h"
#include "config/tree.h"

struct source;
struct zone_cache;

/* A struct that was built, and the node it came from. */
struct config_object {
	const void *address;
	const struct node *node;  /* NULL: absent, all defaults */
	struct config_mark owner; /* the key that holds it: where "is missing" belongs */
	size_t order;
	bool faulty; /* had an error of its own: cross-checks do not add "is missing" */
};

struct config_context {
	struct config *config;
	struct arena *arena;   /* the configuration's */
	struct arena *scratch; /* the trees', gone after the load */
	struct report report;
	const struct source *sources;
	size_t source_count;
	const struct worker_kind *const *kinds;
	const char *(*getenv)(const char *name);
	struct config_object *objects;
	size_t object_count, object_cap;
	bool objects_sorted;
	const void **secrets; /* addresses of members whose values came from a substitution */
	size_t secret_count, secret_cap;
	struct config_xpath *xpaths;
	size_t xpath_count, xpath_cap;
	bool handed_over; /* built from a hand-over: there are no marks */
	char path[256];	  /* "jobs.docs.schedule", for messages */
};

/* config.tree: what outlives the load. */
struct config_tree {
	const void **secrets; /* sorted */
	size_t secret_count;
	struct config_xpath *xpaths;
	size_t xpath_count;
	struct zone_cache *zones;
};

/* config.c */
/** An empty one with its arena; NULL: no memory. */
struct config *config_new(size_t max_bytes);

/* context.c */
void context_finish(struct config_context *ctx);
/** Memory of the configuration; NULL is remembered as a failed load. */
void *context_alloc(struct config_context *ctx, size_t size);
const char *context_strdup(struct config_context *ctx, const char *text);
void context_no_memory(struct config_context *ctx);
void context_add_object(struct config_context *ctx, const void *address, const struct node *node,
	const struct config_mark *owner, bool faulty);
const struct config_object *context_object(struct config_context *ctx, const void *address);
/** The place of a byte of a scalar's text, exact when the text stands in the file as it is; else
 * the scalar's. */
struct config_mark context_mark_in_value(
	struct config_context *ctx, const struct node *node, size_t offset, size_t width);
/** The node at a path of an object, NULL when absent or null. */
const struct node *context_node(struct config_context *ctx, const void *object, const char *path);
void context_add_secret(struct config_context *ctx, const void *member);
/** Appends ".name" to the path; context_pop() with what it returned goes back. */
size_t context_push(struct config_context *ctx, const char *name);
void context_pop(struct config_context *ctx, size_t length);
/** Moves what outlives the load into config->tree. @return 0 or -ENOMEM */
int context_keep(struct config_context *ctx);
bool config_is_secret(const struct config *config, const void *member);

/* substitute.c */
/** Most bytes that a value may have after substitution, and a secret's file. */
enum { SUBSTITUTE_MAX = 65536 };
/**
 * Replaces `${VAR}`, `${VAR:-default}`, `${file:PATH}`; `$${` stands for a literal `${`. What comes
 * in is not looked at again.
 * @return false: reported. *out is node->text when there was nothing to replace, else in the
 * scratch arena.
 */
MUST_CHECK
bool substitute(
	struct config_context *ctx, const struct node *node, const char **out, bool *secret);

/** Had an error of its own: cross-checks do not add "is missing". */
bool context_is_faulty(struct config_context *ctx, const void *object);
/** An error at a member, or at the byte of its text. */
void context_error_at(struct config_context *ctx, const void *object, const char *path,
	const char *fmt, ...) PRINTF_LIKE(4, 5);

/* check_auth.c */
/** The ways in which a provider's calls show who asks do not contradict each other. */
void check_auth(struct config_context *ctx, const struct config_provider *provider);

/* check_table.c */
/** What job's store says about its table, alone and beside the jobs before it. */
void check_job_table(struct config_context *ctx, const struct config_job *job);

/* convert.c */
/** A scalar of a file or of a table, ready to be converted. */
struct config_scalar {
	const char *text;
	const char *shown; /* text, or *** for a secret, cut to a length fit for a message */
	struct config_mark mark;
	bool secret;
};
/** BOOL, INT, STRING, XPATH, DURATION_MS, SIZE, ENUM, SIGNAL. @return false: reported */
MUST_CHECK
bool convert_scalar(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *scalar, void *out);
MUST_CHECK
bool convert_rate(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *scalar, struct config_rate *out);
MUST_CHECK
bool convert_retry_when(struct config_context *ctx, const struct config_scalar *scalar,
	struct config_retry_when *out);
/** "30s", the shortest text that means the same. dst has 32 bytes. */
char *duration_text(char *dst, int64_t ms);
char *size_text(char *dst, int64_t bytes);
extern const char *const signal_names[];
int signal_of_name(const char *name);	       /* 0: unknown */
const char *signal_name_of(int signal_number); /* NULL: unknown */

/* build.c */
struct build_part {
	const struct config_field *fields;
	void *object;
	bool faulty; /* out: one of its fields had an error, or a key was unknown */
};
/**
 * Fills objects from a mapping, each field found in the first part that has it.
 * @param map      NULL: absent, only defaults are set and nothing is required
 * @return false: at least one error was reported
 */
bool build_parts(struct config_context *ctx, const struct node *map,
	const struct config_mark *owner, struct build_part *parts, size_t count);
/** A mapping of named structs: names are checked, elements made and remembered. */
struct build_elements {
	size_t size;
	/** Prepares an element and fills it; name is set already. @return false: reported */
	bool (*build)(struct config_context *ctx, void *element, const struct node *node,
		const struct config_mark *owner);
	const char *what; /* "job" */
};
void build_named(struct config_context *ctx, const char *section, const struct node *map,
	const struct build_elements *how, struct config_array *out);
/** Everything but the cross-checks. root: the merged tree of all files. */
void build_config(struct config_context *ctx, const struct node *root);
void report_unknown_key(
	struct config_context *ctx, struct node *key, const char *const *known, size_t count);

/* depends.c */
/** services[].needs from depends_on; no unknown names, no rings. */
void check_depends(struct config_context *ctx);

/* after.c: schedule.after names jobs, and no job may follow itself. In a worker nothing is
 * reported: it may have been given some of the jobs only. */
void check_after(struct config_context *ctx);

/* cross.c */
/** Cross-checks; fills in what they resolve (schedules, providers, zones). */
void check_config(struct config_context *ctx);
/** jobs[].schedule from jobs[].due. */
void check_schedule(struct config_context *ctx, struct config_job *job);

/* load.c */
MUST_CHECK
int config_load_memory(struct config **out, const struct config_options *options, const char *name,
	const void *data, size_t len, struct buf *report);
