/* SPDX-License-Identifier: MIT */
#include "store/table_text.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/store_engine.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t table_column(const struct store_table *t, const char *name)
{
	size_t i = 0;
	while (i < t->column_count && !str_eq_nocase(t->columns[i].name, name))
		i++;
	return i;
}

bool table_is_key(const struct store_table *t, size_t column)
{
	for (size_t i = 0; i < t->key_count; i++)
		if (str_eq_nocase(t->key[i], t->columns[column].name))
			return true;
	return false;
}

static const char *unknown_name(const struct store_table *t, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (table_column(t, names[i]) == t->column_count)
			return names[i];
	return NULL;
}

/* The configuration was checked; these names enter the SQL's text and are checked here again. */
bool table_is_sound(const struct store_table *t, char *words, size_t size)
{
	const char *bad = NULL;
	if (!str_is_identifier(t->name) || strncasecmp(t->name, "drover_", 7) == 0 ||
		strncasecmp(t->name, "sqlite_", 7) == 0 ||
		(t->history && strlen(t->name) > TABLE_WITH_HISTORY_MAX))
		bad = t->name;
	for (size_t i = 0; !bad && i < t->column_count; i++)
		if (!str_is_identifier(t->columns[i].name) ||
			table_column(t, t->columns[i].name) != i)
			bad = t->columns[i].name;
	if (!bad)
		bad = unknown_name(t, t->key, t->key_count);
	for (size_t i = 0; !bad && i < t->index_count; i++)
		bad = unknown_name(t, t->indexes[i].columns, t->indexes[i].column_count);
	if (!bad && t->column_count > 0 && (t->key_count > 0 || t->append))
		return true;
	snprintf(words, size, "table \"%s\": bad or repeated name \"%s\"", t->name, bad ? bad : "");
	return false;
}

static uint64_t mix(uint64_t hash, const char *name)
{
	return hash * 31 + str_hash(name, strlen(name));
}

static uint64_t mix_names(uint64_t hash, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		hash = mix(hash, names[i]);
	return hash * 31 + count;
}

uint64_t table_hash(const struct store_table *t)
{
	uint64_t hash = mix(0, t->name);
	for (size_t i = 0; i < t->column_count; i++)
		hash = mix(hash, t->columns[i].name) * 31 + (uint64_t)t->columns[i].type;
	hash = mix_names(hash, t->key, t->key_count);
	return hash * 31 + (uint64_t)t->append * 2 + (uint64_t)t->history;
}

/* ---- names ---- */

enum { KEY_TABLE_MAX = 52, KEY_TABLE_CUT = 43, INDEX_TABLE_CUT = 40 };

const char *table_key_name(char dst[TABLE_NAME_SIZE], const struct store_table *t)
{
	size_t len = strlen(t->name);
	if (len <= KEY_TABLE_MAX)
		snprintf(dst, TABLE_NAME_SIZE, "drover_key_%s", t->name);
	else
		snprintf(dst, TABLE_NAME_SIZE, "drover_key_%.*s_%08x", KEY_TABLE_CUT, t->name,
			(unsigned)str_hash(t->name, len));
	return dst;
}

const char *table_index_name(char dst[TABLE_NAME_SIZE], const char *table,
	const char *const *columns, size_t column_count)
{
	uint64_t hash = mix_names(mix(0, table), columns, column_count);
	snprintf(dst, TABLE_NAME_SIZE, "drover_ix_%.*s_%08x", INDEX_TABLE_CUT, table,
		(unsigned)(hash ^ hash >> 32));
	return dst;
}

const char *table_history_name(char dst[TABLE_NAME_SIZE], const struct store_table *t)
{
	snprintf(dst, TABLE_NAME_SIZE, "%.*s" HISTORY_SUFFIX, TABLE_WITH_HISTORY_MAX, t->name);
	return dst;
}

/* ---- pieces of SQL ---- */

void table_add_name(struct buf *sql, const char *before, const char *name)
{
	buf_add_str(sql, before);
	buf_add_char(sql, '"');
	buf_add_str(sql, name);
	buf_add_char(sql, '"');
}

void table_add_names(struct buf *sql, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		table_add_name(sql, i ? ", " : "(", names[i]);
	buf_add_char(sql, ')');
}

void table_add_columns(struct buf *sql, const struct store_table *t)
{
	for (size_t i = 0; i < t->column_count; i++)
		table_add_name(sql, i ? ", " : "", t->columns[i].name);
}

void table_add_number(struct buf *sql, const char *before, size_t number)
{
	char digits[24], *at = digits + sizeof(digits) - 1;
	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	buf_add_str(sql, before);
	buf_add_str(sql, at);
}

static void add_assignments(struct buf *sql, const struct store_table *t)
{
	const char *between = " DO UPDATE SET ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (table_is_key(t, i))
			continue;
		table_add_name(sql, between, t->columns[i].name);
		table_add_name(sql, " = excluded.", t->columns[i].name);
		between = ", ";
	}
	if (between[0] == ' ')
		buf_add_str(sql, " DO NOTHING");
}

void table_add_conflict(
	struct buf *sql, const struct store_table *t, const char *differs, const char *of_json)
{
	buf_add_str(sql, " ON CONFLICT ");
	table_add_names(sql, t->key, t->key_count);
	add_assignments(sql, t);
	const char *between = " WHERE ";
	for (size_t i = 0; i < t->column_count; i++) {
		if (table_is_key(t, i))
			continue;
		const char *name = t->columns[i].name;
		const char *cast = t->columns[i].type == COLUMN_JSON ? of_json : "";
		buf_add_str(sql, between);
		table_add_name(sql, "drover_old.", name);
		buf_add_str(sql, cast);
		buf_add_char(sql, ' ');
		buf_add_str(sql, differs);
		table_add_name(sql, " excluded.", name);
		buf_add_str(sql, cast);
		between = " OR ";
	}
}

/* ---- texts that are kept ---- */

static bool same_names(const char *const *a, const char *const *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!str_eq(a[i], b[i]))
			return false;
	return true;
}

bool table_same(const struct store_table *a, const struct store_table *b)
{
	if (!str_eq(a->name, b->name) || a->column_count != b->column_count ||
		a->key_count != b->key_count || a->append != b->append || a->history != b->history)
		return false;
	for (size_t i = 0; i < a->column_count; i++)
		if (a->columns[i].type != b->columns[i].type ||
			!str_eq(a->columns[i].name, b->columns[i].name))
			return false;
	return same_names(a->key, b->key, a->key_count);
}

const char *table_texts_find(const struct table_texts *texts, const struct store_table *t, int way)
{
	for (size_t i = 0; i < TABLE_TEXTS_MAX && texts->kept[i].text; i++)
		if (texts->kept[i].way == way && table_same(texts->kept[i].table, t))
			return texts->kept[i].text;
	return NULL;
}

const char *table_texts_keep(
	struct table_texts *texts, const struct store_table *t, int way, const char *text)
{
	struct arena *arena = arena_new(0);
	struct table_kept kept = { .arena = arena, .way = way };
	if (arena) {
		kept.table = store_table_copy(arena, t);
		kept.text = arena_strdup(arena, text);
	}
	if (!kept.table || !kept.text) {
		arena_free(arena);
		return NULL;
	}
	struct table_kept *at = &texts->kept[texts->next++ % TABLE_TEXTS_MAX];
	arena_free(at->arena);
	*at = kept;
	return kept.text;
}

void table_texts_finish(struct table_texts *texts)
{
	for (size_t i = 0; i < TABLE_TEXTS_MAX; i++)
		arena_free(texts->kept[i].arena);
	*texts = (struct table_texts) { 0 };
}

void table_type_differs(char *words, size_t size, const char *table,
	const struct store_column *column, const char *is, const char *wanted)
{
	snprintf(words, size,
		"column \"%s\" of table \"%s\" is %s there, but %s is to be stored in it: nothing "
		"is "
		"converted; name the field otherwise, or change the column",
		column->name, table, is, wanted);
}
