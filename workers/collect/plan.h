/* SPDX-License-Identifier: MIT */
#pragma once
/* A collect job made ready: paths compiled, table and limits laid out. Borrows from its config. */
#include "base/compiler.h"
#include "collect/limits.h"
#include "config/config.h"
#include "record/reader.h"
#include "store/store.h"

struct arena;
struct collect_job;
struct err;
struct json_path;
struct row_maker;

struct plan {
	const struct config_job *job;
	const struct collect_job *spec;
	const struct config_provider *provider;
	struct json_path *records;
	struct record_options reader;
	struct row_maker *rows;
	struct json_path *cursor; /* of incremental; NULL: it is not */
	struct arena *arena;
	struct store_table table;
	struct config_pairs auth_headers; /* in the arena: of the provider's auth */
	struct job_limits limits;
};

int plan_new(struct plan **out, const struct config_job *job, struct err *err) MUST_CHECK;
void plan_free(struct plan *plan); /* NULL is fine */
