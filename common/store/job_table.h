/* SPDX-License-Identifier: MIT */
#pragma once
/* From a job's configuration to its table. */
#include "store/store.h"

#include "base/compiler.h"

struct arena;
struct config_job;

/** Its columns in the order of job_columns, each name once; all of it lives in the arena. NULL: out
 * of memory, or the job has no table. */
const struct store_table *job_table(struct arena *arena, const struct config_job *job);
/** All but the columns, which its kind lays out. @return false when out of memory */
bool job_table_fill(
	struct store_table *t, struct arena *arena, const struct config_job *job) MUST_CHECK;
