/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What is wrong with a statement, from its plan and from what the server counted: pure, for
 * `drover db slow`. Nothing is changed by it: whoever reads it runs the statement, or does not.
 */
#include "base/buf.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db_statement {
	const char *query;
	int64_t calls, rows, blocks; /* in all; blocks: 8 KiB each, found in memory or read */
	double total_ms;
};

/* Of the tables by name: how many rows they have. -1: not known. */
typedef int64_t (*db_table_rows)(void *arg, const char *table);

struct db_advice {
	const char *kind;  /* "missing_index", "sequential_scan", "bad_filter" */
	const char *table; /* as the plan names it */
	struct buf detail; /* one sentence */
	struct buf run;	   /* the statement to run; empty: there is none */
};
typedef void (*db_advised)(void *arg, const struct db_advice *advice);

/**
 * Of PostgreSQL's EXPLAIN (FORMAT JSON); at most one advice for each node of the plan.
 * @param plan  the answer as it is: [{"Plan": {...}}]
 */
void db_advise_postgresql(const struct db_statement *statement, const json_t *plan,
	db_table_rows rows, db_advised advised, void *arg);
/**
 * Of one line of SQLite's EXPLAIN QUERY PLAN ("SCAN t", "SEARCH t USING AUTOMATIC ...").
 * @param scanned  rows that one execution steps over without an index
 */
void db_advise_sqlite(const char *line, int64_t scanned, db_advised advised, void *arg);
