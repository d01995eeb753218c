/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One record taken apart: duplicate names and lone surrogates are refused by jansson, numbers keep
 * the text that stood in the source (jansson would make 1.1000000000000001 of 1.10 and fail on 23
 * digits), columns get values as their type says.
 */
#include "base/compiler.h"
#include "config/config.h"
#include "json/value.h"

struct err;
struct json_out;
struct json_path;
struct json_record;

/**
 * @param data  one JSON value as json_scan yields it (any value, also a whole document)
 * @return 0; -EINVAL with words; -ENOMEM
 */
int json_record_new(
	struct json_record **out, const char *data, size_t len, struct err *err) MUST_CHECK;
void json_record_free(struct json_record *record); /* NULL is fine */
DEFINE_FREEP(struct json_record, json_record)
/** What is no list is to be taken for a list of one where a path has an index or [*]: as records
 * made of XML need it. */
void json_record_single_is_list(struct json_record *record);
bool json_record_is_object(const struct json_record *record);
/**
 * The value of one column; null and absent are JSON_VALUE_NULL, and so is an empty text for a
 * column that is not text. A path with `*` makes a list for type json; other types want one value.
 * @param out  points into the record
 * @return 0; -EINVAL with words: `field lat: "abc" is not a real`; -ENOMEM
 */
int json_record_column(struct json_record *record, const struct config_column *column,
	const struct json_path *path, struct json_value *out, struct err *err) MUST_CHECK;
/** The same of a text that stands elsewhere; out points to it. */
int json_text_column(const struct config_column *column, const char *text, size_t len,
	struct json_value *out, struct err *err) MUST_CHECK;
/** The path leads to something that is not null. */
bool json_record_has(const struct json_record *record, const struct json_path *path);
/** Writes each value that the path leads to, in order. @return how many */
size_t json_record_select(
	const struct json_record *record, const struct json_path *path, struct json_out *out);
