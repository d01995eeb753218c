/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Finds records in a JSON text (RFC 8259) that comes in pieces of any size: memory follows the
 * record, not the text. The whole text is checked as strictly as a parser would, except that
 * escaped surrogates and duplicate names are looked at on the path only.
 *
 * What the path leads to: an array yields its elements, an object or a scalar is one record, null
 * is none.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json_path;
struct json_record;
struct json_scan;

enum { JSON_DEPTH = 128, JSON_RECORD_MAX = 1024 * 1024 };

struct json_scan_ops {
	/** One record as it stands in the text; valid during the call. @return false to stop the
	 * scan (-ECANCELED) */
	bool (*record)(void *arg, const char *data, size_t len);
	/** A record of more than max_record bytes was left out; NULL is fine. */
	void (*too_large)(void *arg, uint64_t offset);
	/** As record(), of one that lies in options.record meanwhile. */
	bool (*read)(void *arg, const char *data, size_t len);
};
struct json_scan_options {
	const struct json_path *path; /* borrowed until json_scan_free; NULL: the document */
	size_t max_record;	      /* 0: JSON_RECORD_MAX */
	bool whole; /* yields what the path leads to as it is: arrays in one piece, null too */
	/* Objects of a list that lie in a piece whole are read into it in the same pass; borrowed,
	 * NULL: none. */
	struct json_record *record;
};

/** @return 0; -EINVAL with words: the path counts from an array's end; -ENOMEM */
int json_scan_new(struct json_scan **out, const struct json_scan_options *options,
	const struct json_scan_ops *ops, void *arg, struct err *err) MUST_CHECK;
void json_scan_free(struct json_scan *scan); /* NULL is fine */
DEFINE_FREEP(struct json_scan, json_scan)
/** Forgets the text so far; memory is kept. */
void json_scan_restart(struct json_scan *scan);
/**
 * @return 0; -EINVAL malformed, with what and at which byte (from 0); -ECANCELED; -ENOMEM. An error
 * stays.
 */
int json_scan_feed(
	struct json_scan *scan, const char *data, size_t len, struct err *err) MUST_CHECK;
/** The text is over. @return 0; -EINVAL when something is missing */
int json_scan_end(struct json_scan *scan, struct err *err) MUST_CHECK;
uint64_t json_scan_records(const struct json_scan *scan); /* yielded or left out */
/**
 * After the end: the name of the path that the text lacks. NULL when the path led somewhere, or
 * broke off at a null, an empty text, list or object: a way to say "none".
 */
const char *json_scan_missing(const struct json_scan *scan);
/**
 * Whether a text is JSON as the scan has it.
 * @return as json_scan_feed and json_scan_end; *at: at which byte it is malformed
 */
int json_check(const char *text, size_t len, size_t *at, struct err *err) MUST_CHECK;
