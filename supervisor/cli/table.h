/* SPDX-License-Identifier: MIT */
#pragma once
/* A table fitted to the terminal: cells are made harmless, long ones of columns that may shrink are
 * cut with an ellipsis. */
#include "base/compiler.h"
#include <stdbool.h>

struct cli;
struct table;

enum table_column_flags {
	TABLE_RIGHT = 1,  /* numbers */
	TABLE_SHRINK = 2, /* may be cut when the terminal is narrow */
};
enum table_color { TABLE_PLAIN, TABLE_GOOD, TABLE_WARN, TABLE_BAD, TABLE_DIM };

/** NULL when out of memory; the functions below then do nothing. */
struct table *table_new(struct cli *cli);
void table_free(struct table *table);
DEFINE_FREEP(struct table, table)
void table_column(struct table *table, const char *header, unsigned flags);
void table_row(struct table *table);
/** The next cell of the present row; NULL or "" shows "-". */
void table_cell(struct table *table, const char *text);
void table_cell_color(struct table *table, const char *text, enum table_color color);
void table_cellf(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Prints to cli->out, at most cli->width columns wide when that is not 0. @return CLI_DONE or
 * CLI_FAILED */
int table_print(struct table *table) MUST_CHECK;

/** How a state of a process, run or health grade is coloured. */
enum table_color table_state_color(const char *state);
/** Begin and end of colour in text outside of tables; "" when `on` is false. */
const char *color_begin(bool on, enum table_color color);
const char *color_end(bool on, enum table_color color);
