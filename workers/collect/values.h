/* SPDX-License-Identifier: MIT */
#pragma once
/* for_each's values that are read when the job runs: from a file, or from the store. */
#include "base/compiler.h"
#include "collect/page.h"
#include <stdbool.h>
#include <stdint.h>

struct collect_for_each;
struct err;
struct store_tx;

/** They come from a file or from the store. */
bool values_are_read(const struct collect_for_each *each);
/** Adds a task with this value. @return 0, -ENOMEM */
int values_add(struct batch *batch, const char *as, const char *value, size_t len, size_t room,
	struct err *err) MUST_CHECK;

/* A CSV or NDJSON file, a piece at a time; it is read again from its beginning by whoever goes on,
 * and what has its task is passed over. */
struct values_file;
/** @param skip  records that have their tasks. @return 0; -EINVAL with words; -ENOMEM */
int values_open(struct values_file **out, const struct collect_for_each *each, int64_t skip,
	struct err *err) MUST_CHECK;
void values_close(struct values_file *file); /* NULL is fine */
/**
 * Reads a piece, tasks of it go into batch; what has no value is rejected there.
 * @param records  how many were seen in all
 * @return 1: there is more; 0: that was all; -EINVAL with words; -ENOMEM
 */
int values_read(struct values_file *file, struct batch *batch, int64_t *records,
	struct err *err) MUST_CHECK;

/** The statement that gives the next values behind `last` in the order of texts; NULL: the first.
 * @return its index, negative: no memory */
int values_ask(struct store_tx *tx, const struct collect_for_each *each, const char *last);
enum { VALUES_AT_A_TIME = 200, VALUE_LONGEST = 4096 };
