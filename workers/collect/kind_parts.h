/* SPDX-License-Identifier: MIT */
#pragma once
/* Parts of a collect job's fields and checks; private to the kind's data. */
#include "config/field.h"

struct collect_job;
struct config;
struct config_job;

extern const struct config_field collect_paginate_fields[];
extern const struct config_field collect_for_each_fields[];
/** Fills in spec->for_each.table. */
void collect_check_for_each(
	struct config_context *ctx, const struct config *config, struct config_job *job);
extern const struct config_field collect_incremental_fields[];
/** Fills in spec->incremental.first. */
void collect_check_incremental(struct config_context *ctx, struct collect_job *spec);
void collect_check_paginate(struct config_context *ctx, const struct collect_job *spec);
