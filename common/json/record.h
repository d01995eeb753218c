/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One record taken apart (json/tree.h): duplicate names and lone surrogates are refused, numbers
 * keep the text that stood in the source, columns get values as their type says.
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
/** One to read into again and again, with the memory that it has. NULL: no memory */
struct json_record *json_record_empty(void);
/**
 * Forgets what it held.
 * @param data  as for json_record_new(), but borrowed as long as its values are used
 * @return as json_record_new(); after an error nothing may be asked of it
 */
int json_record_read(
	struct json_record *record, const char *data, size_t len, struct err *err) MUST_CHECK;
/** The same for the value in front of other text, nested `depth` deep at most. @return its bytes;
 * -EAGAIN it goes on behind the data; -EINVAL; -ENOMEM */
int64_t json_record_read_front(struct json_record *record, const char *data, size_t len,
	size_t depth, struct err *err) MUST_CHECK;
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
/** The same, but a text has no NUL behind it and stands where the record was read. */
int json_record_raw(struct json_record *record, const struct config_column *column,
	const struct json_path *path, struct json_value *out, struct err *err) MUST_CHECK;
/** The same of a text that stands elsewhere; out points to it. */
int json_text_column(const struct config_column *column, const char *text, size_t len,
	struct json_value *out, struct err *err) MUST_CHECK;
/** The path leads to something that is not null. */
bool json_record_has(const struct json_record *record, const struct json_path *path);
/** Writes each value that the path leads to, in order. @return how many */
size_t json_record_select(
	const struct json_record *record, const struct json_path *path, struct json_out *out);
