/* SPDX-License-Identifier: MIT */
#pragma once
/* jobs.NAME of kind collect. */
#include "config/config.h"

enum paginate_by {
	PAGINATE_NONE,
	PAGINATE_PAGE,
	PAGINATE_OFFSET,
	PAGINATE_CURSOR,
	PAGINATE_NEXT,
	PAGINATE_LINK
};
enum paginate_in { PAGINATE_IN_QUERY, PAGINATE_IN_BODY };
enum paginate_until { UNTIL_SHORT, UNTIL_EMPTY };

enum collect_method {
	METHOD_GET,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS
};
extern const char *const collect_methods[]; /* their names, ends with NULL */
enum collect_format { FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV, FORMAT_XML };
/* What is sent with a call: one of them or nothing. */
struct collect_body {
	const char *json;	  /* a JSON text; a {{NAME}} stands inside of one of its texts */
	struct config_pairs form; /* empty: none */
};
struct collect_request {
	const char *provider_name;
	int method; /* enum collect_method */
	const char *path;
	struct config_pairs query, headers;
	struct collect_body body;
	bool idempotent; /* a POST or PATCH may be received twice */
};
/** Must not be received twice. */
static inline bool collect_once(const struct collect_request *request)
{
	return (request->method == METHOD_POST || request->method == METHOD_PATCH) &&
	       !request->idempotent;
}
struct collect_paginate {
	int by;				/* enum paginate_by */
	int in;				/* enum paginate_in: where param and size_param stand */
	const char *param, *size_param; /* size_param NULL: the size is not sent */
	int64_t size, start, offset, max_pages;
	const char *cursor, *header; /* by cursor: where the answer has it, one of both */
	const char *next;	     /* by next: where the answer has the URL */
	const char *rel;	     /* by link */
	const char *total, *more;    /* where the answer has them; NULL: it does not */
	int until;		     /* enum paginate_until */
};
/* A task for each value, which stands for {{as}} in the request. */
struct collect_for_each {
	struct config_strings values; /* items NULL: another source, or one task without a value */
	const char *csv, *ndjson, *sql, *job; /* where values are read from; one of them */
	const char *field;		      /* NULL: as `as` */
	const char *as;			      /* NULL: no for_each */
	const char *table, *column;	      /* of job, set by the check */
};
/* How CSV is written. */
struct collect_csv {
	const char *delimiter, *quote; /* one character; quote "": none */
	struct config_strings columns; /* names; empty: the first line has them */
	int64_t skip;		       /* lines before */
};
/* A record is taken when all that is said of the value holds. */
enum collect_exists { EXISTS_ANY, EXISTS_TRUE, EXISTS_FALSE };
struct collect_condition {
	const char *path;
	struct config_strings is, is_not; /* one of them; none of them */
	const char *matches;		  /* POSIX extended */
	int exists;			  /* enum collect_exists */
};
/* Only what changed since the last run; the cursor is kept for each partition. */
enum cursor_type { CURSOR_TIME, CURSOR_INTEGER };
struct collect_incremental {
	const char *cursor; /* dotted path in the record; NULL: everything is asked for each time */
	const char *param, *until; /* arguments; until NULL: not sent */
	const char *start, *format;
	int type; /* enum cursor_type */
	int64_t lookback_ms, step_ms;
	int64_t first; /* start as a number, set by the check */
};
/* Of an answer for which all that is said holds; the first rule that does is obeyed. */
enum collect_then { THEN_SKIP, THEN_FAIL, THEN_RETRY, THEN_WAIT, THEN_REFRESH };
extern const char *const collect_then_names[];
struct collect_error_rule {
	struct config_strings status; /* "404", "5xx"; empty: any */
	struct config_pairs header;
	const char *body; /* NULL: any */
	int then;	  /* enum collect_then */
	int64_t wait_ms;
};
struct collect_job {
	struct collect_for_each for_each;
	struct collect_request request;
	struct collect_paginate paginate;
	struct collect_incremental incremental;
	int format;	     /* enum collect_format */
	const char *records; /* dotted path of the list of records; "" or NULL: the answer itself */
	const char *charset; /* of the answer, whatever it says; NULL: as it says */
	int64_t max_body;    /* bytes of an answer, decoded */
	struct collect_csv csv;
	struct config_array filter;		/* struct collect_condition */
	struct config_array on_error;		/* struct collect_error_rule */
	struct config_array fields;		/* struct config_column, with path or value */
	const struct config_provider *provider; /* resolved by check_job */
};

/* kind_request.c: the rows of `request` */
extern const struct config_field collect_request_fields[];
/* kind_error.c: the rows of `on_error` */
extern const struct config_field collect_error_fields[];
void collect_check_on_error(struct config_context *ctx, const struct collect_job *spec);
/** What the members of a request say about each other. */
void collect_check_request(struct config_context *ctx, const struct collect_job *spec);

extern const struct worker_kind worker_kind_collect;
