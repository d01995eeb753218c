/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the engines share about jobs' tables: checks of names, which are the one thing that enters
 * the text of SQL, and the names of what is made beside a table. Names stay the same over versions
 * of drover and fit PostgreSQL's 63 bytes.
 */
#include "base/compiler.h"
#include "store/store.h"

struct arena;
struct buf;

enum { TABLE_NAME_SIZE = 64, TABLE_TEXTS_MAX = 64 };

/** @return false with words when a name must not be in SQL, is repeated or unknown */
bool table_is_sound(const struct store_table *t, char *words, size_t size) MUST_CHECK;
/** Its place among the columns; column_count: none. Case does not matter. */
size_t table_column(const struct store_table *t, const char *name);
bool table_is_key(const struct store_table *t, size_t column);
/** Of everything in it: the same number, the same table. */
uint64_t table_hash(const struct store_table *t);

/** The unique index. */
const char *table_key_name(char dst[TABLE_NAME_SIZE], const struct store_table *t);
/** An index over these columns of a table. */
const char *table_index_name(char dst[TABLE_NAME_SIZE], const char *table,
	const char *const *columns, size_t column_count);
const char *table_history_name(char dst[TABLE_NAME_SIZE], const struct store_table *t);

/* These make a text for each batch of rows: without printf. */
/** `before` and "name" */
void table_add_name(struct buf *sql, const char *before, const char *name);
/** `before` and the number */
void table_add_number(struct buf *sql, const char *before, size_t number);
/** ("a", "b") */
void table_add_names(struct buf *sql, const char *const *names, size_t count);
/** "a", "b": all columns. */
void table_add_columns(struct buf *sql, const struct store_table *t);
/** ON CONFLICT (key) DO UPDATE SET ... WHERE something differs, of INSERT INTO ... AS drover_old;
 * `differs` is the engine's operator, of_json what comes behind a json column to compare it. */
void table_add_conflict(
	struct buf *sql, const struct store_table *t, const char *differs, const char *of_json);
/* Texts that were made for tables, kept: to make one costs more than to write a row. All zero is
 * empty. Not for two threads. */
struct table_texts {
	struct table_kept {
		struct arena *arena;
		const struct store_table *table;
		int way;
		const char *text;
	} kept[TABLE_TEXTS_MAX];
	size_t next;
};
/** The same name, columns and key; indexes do not matter. */
bool table_same(const struct store_table *a, const struct store_table *b);
/** The text kept for just this table (table_same(), so it is sound if that one is), and for this
 * way to write its rows. NULL: none. Valid until more than TABLE_TEXTS_MAX others were kept. */
const char *table_texts_find(const struct table_texts *texts, const struct store_table *t, int way);
/** Keeps a copy. @return the copy; NULL: out of memory */
const char *table_texts_keep(
	struct table_texts *texts, const struct store_table *t, int way, const char *text);
void table_texts_finish(struct table_texts *texts);

/** Words for a column that is there with another type. */
void table_type_differs(char *words, size_t size, const char *table,
	const struct store_column *column, const char *is, const char *wanted);
