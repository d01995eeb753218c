/* SPDX-License-Identifier: MIT */
#pragma once
/* The part of a collect job that says what an answer is and what of it is kept. For kind.c. */
#include "config/field.h"

struct collect_job;
struct config_context;

extern const struct config_field collect_column_fields[], collect_csv_fields[],
	collect_condition_fields[];
void collect_check_charset(
	struct config_context *ctx, const struct config_mark *mark, const void *value);
bool collect_is_csv(const void *job); /* for .applies */
/** Cross-checks of format, records, csv, filter and fields. */
void collect_check_answer(struct config_context *ctx, const struct collect_job *spec);
