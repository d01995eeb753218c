/* SPDX-License-Identifier: MIT */
/* Jobs' tables on SQLite: made, widened, indexed, written. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h" /* enum column_type */
#include "store/sqlite_engine.h"
#include "store/table_text.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* One run over a table: what is there, what is made. */
struct making {
	struct sqlite_conn *c;
	struct store_tx *tx;
	const struct store_table *table;
	struct buf sql;
	int64_t *changes;
};

/* ---- types ---- */

static const char *type_name(int type)
{
	switch (type) {
	case COLUMN_INTEGER:
	case COLUMN_BOOLEAN:
	case COLUMN_TIMESTAMP: return "INTEGER"; /* ms since 1970 */
	case COLUMN_REAL: return "REAL";
	case COLUMN_BYTES: return "BLOB";
	default: return "TEXT";
	}
}

static bool contains(const char *type, const char *part)
{
	return strcasestr(type, part) != NULL;
}

/* What SQLite makes of a declared type (its documentation, "Determination Of Column Affinity"). */
static const char *affinity(const char *type)
{
	if (contains(type, "INT"))
		return "INTEGER";
	if (contains(type, "CHAR") || contains(type, "CLOB") || contains(type, "TEXT"))
		return "TEXT";
	if (contains(type, "BLOB") || !*type)
		return "BLOB";
	if (contains(type, "REAL") || contains(type, "FLOA") || contains(type, "DOUB"))
		return "REAL";
	return "NUMERIC";
}

/* Whether a column declared so gives back what is put in. BLOB is SQLite's word for "as it is",
 * NUMERIC keeps numbers. */
static bool holds(const char *declared, int type)
{
	const char *is = affinity(declared), *wanted = type_name(type);
	return str_eq(is, wanted) || str_eq(is, "BLOB") ||
	       (str_eq(is, "NUMERIC") && (str_eq(wanted, "INTEGER") || str_eq(wanted, "REAL")));
}

/* ---- asking and changing ---- */

/* Rows of a question about one name, into op's rows (freed by the caller). */
static int ask(const struct making *m, struct store_op *rows, const char *sql, const char *name)
{
	struct store_value value = store_text(name);
	struct sqlite_statement *s;
	int64_t ignored = 0;
	int rc = sqlite_prepare(m->c, sql, &s);
	if (rc == SQLITE_OK)
		rc = sqlite_bind(m->c, s, &value, 1);
	if (rc == SQLITE_OK)
		rc = sqlite_step_all(m->c, m->tx, rows, s, &ignored);
	sqlite_unbind(s);
	return rc;
}

/* DDL is made from checked names and runs once in a table's life: not worth the cache. */
static int change(struct making *m)
{
	if (buf_failed(&m->sql))
		return SQLITE_NOMEM;
	int rc = sqlite_run(m->c, buf_str(&m->sql));
	buf_reset(&m->sql);
	if (rc == SQLITE_OK)
		++*m->changes;
	return rc;
}

static int schema_number(const struct making *m, int64_t *out)
{
	struct store_op rows = { 0 };
	int rc = ask(m, &rows, "PRAGMA schema_version", NULL);
	if (rc == SQLITE_OK)
		*out = rows.rows[0][0].i;
	free(rows.rows);
	return rc;
}

static bool is_known(const struct sqlite_conn *c, uint64_t wanted, int64_t schema)
{
	for (size_t i = 0; i < c->table_count; i++)
		if (c->tables[i].wanted == wanted && c->tables[i].schema == schema)
			return true;
	return false;
}

static void remember(struct sqlite_conn *c, uint64_t wanted, int64_t schema)
{
	/* Other schemas are of the past. */
	if (c->table_count > 0 && c->tables[0].schema != schema)
		c->table_count = 0;
	if (c->table_count == SQLITE_TABLES_KNOWN)
		c->table_count = 0;
	c->tables[c->table_count].wanted = wanted;
	c->tables[c->table_count++].schema = schema;
}

void sqlite_tables_doubt(struct sqlite_conn *c)
{
	c->table_count = 0;
}

/* ---- tables ---- */

/* Creates `name` with the table's columns, or adds those that are missing. */
static int make_columns(struct making *m, const char *name, bool is_history)
{
	const struct store_table *t = m->table;
	struct store_op there = { 0 };
	int rc = ask(m, &there, "SELECT name, type FROM pragma_table_info($1) ORDER BY cid", name);
	if (rc == SQLITE_OK && there.rows_len == 0) {
		buf_addf(&m->sql, "CREATE TABLE \"%s\" (%s", name,
			is_history ? "\"" HISTORY_TIME "\" INTEGER NOT NULL, " : "");
		for (size_t i = 0; i < t->column_count; i++)
			buf_addf(&m->sql, "%s\"%s\" %s%s", i ? ", " : "", t->columns[i].name,
				type_name(t->columns[i].type),
				table_is_key(t, i) && !t->append ? " NOT NULL" : "");
		buf_add_char(&m->sql, ')');
		rc = change(m);
	} else if (rc == SQLITE_OK) {
		for (size_t i = 0; rc == SQLITE_OK && i < t->column_count; i++) {
			const struct store_column *column = &t->columns[i];
			size_t row = 0;
			while (row < there.rows_len &&
				!str_eq_nocase(there.rows[row][0].data, column->name))
				row++;
			if (row == there.rows_len) {
				buf_addf(&m->sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" %s", name,
					column->name, type_name(column->type));
				rc = change(m);
			} else if (!holds(there.rows[row][1].data, column->type)) {
				table_type_differs(m->c->error, sizeof(m->c->error), name, column,
					there.rows[row][1].data, type_name(column->type));
				rc = SQLITE_MISMATCH;
			}
		}
	}
	free(there.rows);
	return rc;
}

/* The unique index is ours by its name; when the job's key was changed it is made anew. */
static int make_key(struct making *m)
{
	const struct store_table *t = m->table;
	char name[TABLE_NAME_SIZE];
	struct store_op there = { 0 };
	table_key_name(name, t);
	int rc = ask(m, &there, "SELECT name FROM pragma_index_info($1) ORDER BY seqno", name);
	size_t wanted = t->append ? 0 : t->key_count;
	bool same = there.rows_len == wanted;
	for (size_t i = 0; same && i < wanted; i++)
		same = str_eq_nocase(there.rows[i][0].data, t->key[i]);
	if (rc == SQLITE_OK && !same && there.rows_len > 0) {
		buf_addf(&m->sql, "DROP INDEX \"%s\"", name);
		rc = change(m);
	}
	if (rc == SQLITE_OK && !same && wanted > 0) {
		buf_addf(&m->sql, "CREATE UNIQUE INDEX \"%s\" ON \"%s\" ", name, t->name);
		table_add_names(&m->sql, t->key, t->key_count);
		rc = change(m);
	}
	free(there.rows);
	return rc;
}

/* Unless an index of the table is over just these columns, whatever its name. */
static int make_index(struct making *m, const char *table, const char *const *columns, size_t count)
{
	char name[TABLE_NAME_SIZE];
	struct store_op there = { 0 };
	int rc = ask(m, &there,
		"SELECT l.name, i.name FROM pragma_index_list($1) l, pragma_index_info(l.name) i"
		" WHERE l.partial = 0 ORDER BY l.name, i.seqno",
		table);
	bool found = false;
	for (size_t row = 0, n; rc == SQLITE_OK && row < there.rows_len && !found; row += n) {
		bool same = true;
		for (n = 0; row + n < there.rows_len &&
			    str_eq(there.rows[row + n][0].data, there.rows[row][0].data);
			n++) {
			const char *column = there.rows[row + n][1].data; /* NULL: an expression */
			same = same && n < count && column && str_eq_nocase(column, columns[n]);
		}
		found = same && n == count;
	}
	free(there.rows);
	if (rc != SQLITE_OK || found)
		return rc;
	table_index_name(name, table, columns, count);
	buf_addf(&m->sql, "CREATE INDEX IF NOT EXISTS \"%s\" ON \"%s\" ", name, table);
	table_add_names(&m->sql, columns, count);
	return change(m);
}

static int make_history(struct making *m)
{
	const struct store_table *t = m->table;
	char name[TABLE_NAME_SIZE];
	const char **columns = arena_alloc(m->tx->arena, (t->key_count + 1) * sizeof(*columns));
	if (!columns)
		return SQLITE_NOMEM;
	memcpy(columns, t->key, t->key_count * sizeof(*columns));
	columns[t->key_count] = HISTORY_TIME;
	table_history_name(name, t);
	int rc = make_columns(m, name, true);
	return rc == SQLITE_OK ? make_index(m, name, columns, t->key_count + 1) : rc;
}

int sqlite_table(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	struct making m = { .c = c, .tx = tx, .table = op->table, .changes = &op->changes };
	uint64_t wanted = table_hash(op->table);
	int64_t schema = 0;
	int rc = schema_number(&m, &schema);
	if (rc != SQLITE_OK || is_known(c, wanted, schema))
		return rc;
	if (!table_is_sound(op->table, c->error, sizeof(c->error)))
		return SQLITE_MISUSE;
	rc = make_columns(&m, op->table->name, false);
	if (rc == SQLITE_OK)
		rc = make_key(&m);
	if (rc == SQLITE_OK && op->table->history)
		rc = make_history(&m);
	if (rc == SQLITE_OK)
		rc = schema_number(&m, &schema);
	if (rc == SQLITE_OK)
		remember(c, wanted, schema);
	buf_finish(&m.sql);
	return rc;
}

int sqlite_indexes(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	struct making m = { .c = c, .tx = tx, .table = op->table, .changes = &op->changes };
	int rc = table_is_sound(op->table, c->error, sizeof(c->error)) ? SQLITE_OK : SQLITE_MISUSE;
	for (size_t i = 0; rc == SQLITE_OK && i < op->table->index_count; i++)
		rc = make_index(&m, op->table->name, op->table->indexes[i].columns,
			op->table->indexes[i].column_count);
	buf_finish(&m.sql);
	return rc;
}

/* ---- rows ---- */

static void add_parameters(struct buf *sql, size_t count)
{
	for (size_t i = 0; i < count; i++)
		table_add_number(sql, i ? ", $" : ") VALUES ($", i + 1);
	buf_add_char(sql, ')');
}

/* NULLs are never equal: such a row could not be written once. */
static int check_keys(struct sqlite_conn *c, const struct store_op *op)
{
	const struct store_table *t = op->table;
	for (size_t k = 0; k < t->key_count && !t->append; k++) {
		size_t at = table_column(t, t->key[k]);
		for (size_t row = 0; row < op->row_count; row++) {
			if (op->values[row * t->column_count + at].type != STORE_NULL)
				continue;
			snprintf(c->error, sizeof(c->error),
				"table \"%s\": a row has no value for its key \"%s\"", t->name,
				t->key[k]);
			return SQLITE_CONSTRAINT;
		}
	}
	return SQLITE_OK;
}

/* The version that a row has now; `values` has room for the time behind the row's. */
static int keep_version(struct making *m, struct sqlite_statement *s, struct store_value *values,
	const struct store_value *row)
{
	int64_t ignored = 0;
	memcpy(values, row, m->table->column_count * sizeof(*values));
	int rc = sqlite_bind(m->c, s, values, m->table->column_count + 1);
	return rc == SQLITE_OK ? sqlite_step_all(m->c, m->tx, NULL, s, &ignored) : rc;
}

static const char *make_rows_text(struct making *m)
{
	const struct store_table *t = m->table;
	const char *text;
	table_add_name(&m->sql, "INSERT INTO ", t->name);
	buf_add_str(&m->sql, " AS drover_old (");
	table_add_columns(&m->sql, t);
	add_parameters(&m->sql, t->column_count);
	if (!t->append)
		table_add_conflict(&m->sql, t, "IS NOT", "");
	text = buf_failed(&m->sql) ? NULL : table_texts_keep(&m->c->texts, t, 0, buf_str(&m->sql));
	buf_reset(&m->sql);
	return text;
}

/* Names whose text is kept were looked at before. */
static int prepare_rows(struct making *m, struct sqlite_statement **out)
{
	const char *text = table_texts_find(&m->c->texts, m->table, 0);
	if (!text && !table_is_sound(m->table, m->c->error, sizeof(m->c->error)))
		return SQLITE_MISUSE;
	if (!text && !(text = make_rows_text(m)))
		return SQLITE_NOMEM;
	return sqlite_prepare(m->c, text, out);
}

static int prepare_versions(
	struct making *m, struct sqlite_statement **out, struct store_value **values)
{
	const struct store_table *t = m->table;
	char name[TABLE_NAME_SIZE];
	*values = arena_alloc(m->tx->arena, (t->column_count + 1) * sizeof(**values));
	buf_addf(&m->sql, "INSERT INTO \"%s\" (", table_history_name(name, t));
	table_add_columns(&m->sql, t);
	buf_add_str(&m->sql, ", \"" HISTORY_TIME "\"");
	add_parameters(&m->sql, t->column_count + 1);
	if (buf_failed(&m->sql) || !*values)
		return SQLITE_NOMEM;
	(*values)[t->column_count] = STORE_VALUE_INT(clock_real_ms());
	int rc = sqlite_prepare(m->c, buf_str(&m->sql), out);
	buf_reset(&m->sql);
	return rc;
}

int sqlite_upsert(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op)
{
	struct making m = { .c = c, .tx = tx, .table = op->table, .changes = &op->changes };
	struct sqlite_statement *rows = NULL, *versions = NULL;
	struct store_value *version = NULL;
	const struct store_table *t = op->table;
	if (op->row_count == 0)
		return SQLITE_OK;
	sqlite_statements_room(c, 2);
	int rc = prepare_rows(&m, &rows);
	if (rc == SQLITE_OK)
		rc = check_keys(c, op);
	if (rc == SQLITE_OK && t->history)
		rc = prepare_versions(&m, &versions, &version);
	for (size_t row = 0; rc == SQLITE_OK && row < op->row_count; row++) {
		const struct store_value *values = op->values + row * t->column_count;
		int64_t before = op->changes;
		rc = sqlite_bind(c, rows, values, t->column_count);
		if (rc == SQLITE_OK)
			rc = sqlite_step_all(c, tx, NULL, rows, &op->changes);
		if (rc == SQLITE_OK && versions && op->changes > before)
			rc = keep_version(&m, versions, version, values);
	}
	sqlite_unbind(rows);
	sqlite_unbind(versions);
	buf_finish(&m.sql);
	return rc;
}
