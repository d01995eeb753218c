/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * From a record to a row: the job's filter, then each field by its path, its constant or template,
 * its regular expression, and its type. What does not fit whole rejects the record, with the words.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct collect_job;
struct config_job;
struct err;
struct json_record;
struct row_maker;
struct store_column;
struct store_value;

/* What {{...}} of a field's value stands for besides {{record.PATH}}. Borrowed texts. */
struct row_context {
	int64_t run_id, run_started_ms;
	const char *value; /* of for_each; NULL: none */
};

/** @param job  of kind collect; borrowed. @return 0; -EINVAL with words; -ENOMEM */
int row_maker_new(struct row_maker **out, const struct config_job *job, struct err *err) MUST_CHECK;
void row_maker_free(struct row_maker *maker); /* NULL is fine */
enum row_result { ROW_MADE, ROW_FILTERED };
/**
 * @param arena  gets the texts of the values
 * @return enum row_result; -EINVAL the record is rejected, with words; -ENOMEM
 */
int row_make(const struct row_maker *maker, const struct row_context *context,
	struct json_record *record, struct arena *arena, struct store_value *row,
	struct err *err) MUST_CHECK;
