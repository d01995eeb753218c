/* SPDX-License-Identifier: MIT */
#pragma once
/* jobs.NAME of kind collect. */
#include "config/config.h"

enum paginate_by { PAGINATE_NONE, PAGINATE_PAGE };

enum collect_method { METHOD_GET };  /* the one method there is so far */
enum collect_format { FORMAT_JSON }; /* the one format there is so far */
struct collect_request {
	const char *provider_name;
	int method; /* enum collect_method */
	const char *path;
	struct config_pairs query;
};
struct collect_paginate {
	int by;				/* enum paginate_by */
	const char *param, *size_param; /* size_param NULL: the size is not sent */
	int64_t size, start, max_pages;
};
/* A task for each value, which stands for {{as}} in path and query. */
struct collect_for_each {
	struct config_strings values; /* empty: one task, no value */
	const char *as;
};
struct collect_job {
	struct collect_for_each for_each;
	struct collect_request request;
	struct collect_paginate paginate;
	int format;	     /* enum collect_format */
	const char *records; /* dotted path of the list of records; "" or NULL: the answer itself */
	struct config_array fields;		/* struct config_column, with path */
	const struct config_provider *provider; /* resolved by check_job */
};

extern const struct worker_kind worker_kind_collect;
