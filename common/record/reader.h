/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Finds the records of an answer that comes in pieces of any size, whatever its format, and gives
 * each as one JSON text: memory follows the record, not the answer. What is no record is rejected
 * with its reason and reading goes on, where a format can go on after it.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_strings;
struct err;
struct json_path;
struct json_record;
struct record_reader;

enum record_format {
	RECORD_JSON,   /* RFC 8259; json/scan.h says what a path leads to */
	RECORD_NDJSON, /* a JSON text a line, each with the path; empty lines are none */
	RECORD_CSV,    /* csv.h */
	RECORD_XML,    /* xml.h */
};

struct record_csv {
	char delimiter, quote;		      /* quote '\0': none */
	const struct config_strings *columns; /* names; none: the first line has them */
	int64_t skip;			      /* lines before */
};
struct record_options {
	enum record_format format;
	const struct json_path *path; /* borrowed until record_reader_free(); NULL: the whole */
	struct record_csv csv;
	/* Where a reader that takes records apart anyway leaves them; borrowed, NULL: nowhere. */
	struct json_record *record;
};
struct record_ops {
	/** One record; valid during the call. @return false to stop (-ECANCELED) */
	bool (*record)(void *arg, const char *json, size_t len);
	/** The same of one that was read into options.record meanwhile. */
	bool (*read)(void *arg, const char *json, size_t len);
	/** One that cannot be read. */
	void (*rejected)(void *arg, const char *why);
};

/** @return 0; -EINVAL with words: the path is none for a stream; -ENOMEM */
int record_reader_new(struct record_reader **out, const struct record_options *options,
	const struct record_ops *ops, void *arg, struct err *err) MUST_CHECK;
void record_reader_free(struct record_reader *reader); /* NULL is fine */
/** Forgets what came so far; memory is kept. */
void record_reader_restart(struct record_reader *reader);
/** @return 0; -EINVAL the answer is not what the format says, with the place; -ECANCELED; -ENOMEM.
 * An error stays. */
int record_reader_feed(
	struct record_reader *reader, const char *data, size_t len, struct err *err) MUST_CHECK;
/** The answer is over. @return 0; -EINVAL when something is missing */
int record_reader_end(struct record_reader *reader, struct err *err) MUST_CHECK;
/** After the end: the name of the path that the answer lacks; NULL: none (json_scan_missing). */
const char *record_reader_missing(const struct record_reader *reader);
