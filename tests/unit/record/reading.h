/* SPDX-License-Identifier: MIT */
#pragma once
/* What a reader makes of a text: records, one a line; "! why" for those rejected. */
#include "base/buf.h"
#include "base/err.h"
#include "record/reader.h"
#include <stdio.h>
#include <string.h>

static char reading_text[4096];

static inline void reading_add(const char *before, const char *text, size_t len)
{
	size_t at = strlen(reading_text);
	snprintf(reading_text + at, sizeof(reading_text) - at, "%s%.*s\n", before, (int)len, text);
}

static inline bool reading_record(void *arg, const char *json, size_t len)
{
	(void)arg;
	reading_add("", json, len);
	return true;
}

static inline void reading_rejected(void *arg, const char *why)
{
	(void)arg;
	reading_add("! ", why, strlen(why));
}

/* Fed in pieces of `piece` bytes. An error is the last line: "error: ...". */
static inline const char *reading(
	const struct record_options *options, const char *text, size_t len, size_t piece)
{
	const struct record_ops ops = { .record = reading_record, .rejected = reading_rejected };
	struct record_reader *reader;
	struct err err = { 0 };
	int rc = record_reader_new(&reader, options, &ops, NULL, &err);
	reading_text[0] = '\0';
	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = record_reader_feed(
			reader, text + at, len - at < piece ? len - at : piece, &err);
	if (rc == 0)
		rc = record_reader_end(reader, &err);
	if (rc < 0)
		reading_add("error: ", err.text, strlen(err.text));
	record_reader_free(reader);
	return reading_text;
}
