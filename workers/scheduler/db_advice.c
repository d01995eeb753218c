/* SPDX-License-Identifier: MIT */
#include "scheduler/db_advice.h"

#include "base/compiler.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	ROWS_WORTH_AN_INDEX = 1000, /* a smaller table is read faster whole */
	BLOCKS_A_ROW = 10,	    /* more than this for a row that is wanted: the filter is bad */
	BLOCKS_WORTH_IT = 30,	    /* of one call */
	COLUMNS_MAX = 4,
	TEXT = 256,
};

/* What a condition asks of columns: equalities first, then one range, as an index wants them. */
struct wanted {
	char columns[COLUMNS_MAX][TEXT]; /* quoted, or an expression in parentheses */
	size_t count;
	bool range, expression, pattern, other;
};

struct advising {
	const struct db_statement *statement;
	db_table_rows rows;
	db_advised advised;
	void *arg;
};

/* ---- conditions as EXPLAIN writes them: ((city = $1) AND ((name)::text ~~ '%x'::text)) ---- */

/* A text between two places, without blanks around. */
struct span {
	const char *at;
	size_t len;
};

static struct span trim(struct span s)
{
	while (s.len && *s.at == ' ')
		s.at++, s.len--;
	while (s.len && s.at[s.len - 1] == ' ')
		s.len--;
	return s;
}

/* One past what begins at `at`: a parenthesis with its partner, a quoted text, or one byte. */
static size_t past(struct span s, size_t at)
{
	char open = s.at[at];
	if (open == '\'' || open == '"') {
		for (at++; at < s.len && s.at[at] != open;)
			at++;
		return MIN(at + 1, s.len);
	}
	if (open != '(')
		return at + 1;
	for (at++; at < s.len && s.at[at] != ')';)
		at = past(s, at);
	return MIN(at + 1, s.len);
}

static struct span unwrap(struct span s)
{
	for (s = trim(s); s.len > 1 && *s.at == '(' && past(s, 0) == s.len; s = trim(s))
		s = (struct span) { s.at + 1, s.len - 2 };
	return s;
}

/* The place of a word at the top level; s.len: it is not there. */
static size_t find(struct span s, const char *word)
{
	size_t len = strlen(word);
	for (size_t at = 0; at + len <= s.len; at = past(s, at))
		if (strncmp(s.at + at, word, len) == 0)
			return at;
	return s.len;
}

static bool is_name(struct span s)
{
	bool quoted = s.len > 2 && *s.at == '"' && past(s, 0) == s.len;
	for (size_t i = 0; i < s.len && !quoted; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz_0123456789", s.at[i]))
			return false;
	return s.len > 0 && (quoted || *s.at < '0' || *s.at > '9');
}

/* alias.column, (column)::type -> column */
static struct span bare(struct span s)
{
	s = unwrap(s);
	size_t cast = find(s, "::");
	if (cast < s.len)
		s = unwrap((struct span) { s.at, cast });
	size_t dot = find(s, ".");
	if (dot < s.len && is_name((struct span) { s.at, dot }))
		s = (struct span) { s.at + dot + 1, s.len - dot - 1 };
	return s;
}

static void want(struct wanted *w, const char *text, size_t len, bool as_expression)
{
	char column[TEXT];
	bool quoted = len && *text == '"';
	if (len + 4 > sizeof(column)) {
		w->other = true;
		return;
	}
	snprintf(column, sizeof(column),
		as_expression ? "(%.*s)"
		: quoted      ? "%.*s"
			      : "\"%.*s\"",
		(int)len, text);
	for (size_t i = 0; i < w->count; i++)
		if (str_eq(w->columns[i], column))
			return;
	if (w->count < COLUMNS_MAX)
		str_copy(w->columns[w->count++], TEXT, column);
}

/* One comparison. A range ends what an index can use, so only the first is taken. */
static void read_comparison(struct wanted *w, struct span s, bool ranges)
{
	static const struct {
		const char *word;
		bool range, pattern;
	} operators[] = { { " = ", false, false }, { " >= ", true, false }, { " <= ", true, false },
		{ " > ", true, false }, { " < ", true, false }, { " ~~ ", false, true },
		{ " ~~* ", false, true }, { " IS NULL", false, false } };
	s = unwrap(s);
	size_t which = 0, at = s.len;
	while (which < ARRAY_SIZE(operators) && (at = find(s, operators[which].word)) == s.len)
		which++;
	if (which == ARRAY_SIZE(operators)) {
		w->other = true;
		return;
	}
	if (operators[which].range != ranges || (ranges && w->range))
		return;
	struct span left = bare((struct span) { s.at, at });
	w->range = w->range || operators[which].range;
	w->pattern = w->pattern || operators[which].pattern;
	if (is_name(left)) {
		want(w, left.at, left.len, false);
	} else if (left.len && memchr(left.at, '(', left.len) &&
		   find(left, "SubPlan") == left.len) {
		w->expression = true;
		want(w, left.at, left.len, true);
	} else {
		w->other = true;
	}
}

static void read_conjunction(struct wanted *w, struct span s, bool ranges)
{
	s = unwrap(s);
	if (find(s, " OR ") < s.len) {
		w->other = true;
		return;
	}
	for (size_t at; s.len; s = (struct span) { s.at + at, s.len - at }) {
		at = find(s, " AND ");
		read_comparison(w, (struct span) { s.at, at }, ranges);
		at = MIN(at + 5, s.len);
	}
}

static void read_condition(struct wanted *w, const char *text)
{
	struct span s = { text, text ? strlen(text) : 0 };
	if (s.len == 0)
		return;
	read_conjunction(w, s, false);
	read_conjunction(w, s, true);
}

/* ---- nodes of a plan ---- */

static const char *text_of(const json_t *node, const char *key)
{
	const char *text = json_string_value(json_object_get(node, key));
	return text ? text : "";
}

static int64_t per_call(int64_t n, const struct db_statement *s)
{
	return s->calls > 0 ? n / s->calls : n;
}

static void add_index(struct buf *run, const char *table, const struct wanted *w)
{
	buf_addf(run, "CREATE INDEX CONCURRENTLY ON \"%s\" (", table);
	for (size_t i = 0; i < w->count; i++)
		buf_addf(run, "%s%s", i ? ", " : "", w->columns[i]);
	buf_add_char(run, ')');
}

static void tell(const struct advising *a, struct db_advice *advice)
{
	if (!buf_failed(&advice->detail) && !buf_failed(&advice->run))
		a->advised(a->arg, advice);
	buf_finish(&advice->detail);
	buf_finish(&advice->run);
}

/* What a Sort above a scan sorts by, when it is columns only. */
static void read_sort(struct wanted *w, const json_t *keys)
{
	size_t i;
	json_t *key;
	json_array_foreach(keys, i, key)
	{
		const char *text = json_string_value(key);
		struct span s = { text ? text : "", text ? strlen(text) : 0 };
		size_t order = find(s, " DESC");
		struct span name = bare((struct span) { s.at, order });
		if (!is_name(name)) {
			w->other = true;
			return;
		}
		want(w, name.at, name.len, false);
	}
}

static void advise_scan(
	const struct advising *a, const json_t *node, const json_t *sort, int64_t rows)
{
	struct wanted w = { 0 };
	const char *table = text_of(node, "Relation Name");
	double share =
		rows > 0 ? json_number_value(json_object_get(node, "Plan Rows")) / (double)rows : 1;
	read_condition(&w, text_of(node, "Filter"));
	bool filters = *text_of(node, "Filter");
	struct db_advice advice = { .kind = "sequential_scan", .table = table };
	buf_addf(&advice.detail,
		"reads all of \"%s\" (%" PRId64 " rows) for %" PRId64 " rows of the answer", table,
		rows, per_call(a->statement->rows, a->statement));
	if (!filters)
		read_sort(&w, sort);
	if (w.other || (filters && share > 0.5)) {
		w.count = 0;
	} else if (w.pattern && w.count) {
		buf_addf(&advice.run,
			"CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX CONCURRENTLY ON "
			"\"%s\" USING gin (%s gin_trgm_ops)",
			table, w.columns[0]);
		w.count = 0;
	} else if (filters && !w.expression) {
		advice.kind = "missing_index";
	}
	if (w.count)
		add_index(&advice.run, table, &w);
	tell(a, &advice);
}

/* An index finds the rows, a filter throws most of them away. */
static void advise_filter(const struct advising *a, const json_t *node, const char *condition)
{
	struct wanted w = { 0 };
	const char *table = text_of(node, "Relation Name"), *filter = text_of(node, "Filter");
	int64_t rows = per_call(a->statement->rows, a->statement),
		blocks = per_call(a->statement->blocks, a->statement);
	if (!*filter || blocks < BLOCKS_WORTH_IT || blocks < MAX(rows, (int64_t)1) * BLOCKS_A_ROW)
		return;
	read_conjunction(&w, (struct span) { condition, strlen(condition) }, false);
	read_conjunction(&w, (struct span) { filter, strlen(filter) }, false);
	read_conjunction(&w, (struct span) { filter, strlen(filter) }, true);
	read_conjunction(&w, (struct span) { condition, strlen(condition) }, true);
	struct db_advice advice = { .kind = "bad_filter", .table = table };
	buf_addf(&advice.detail,
		"%" PRId64 " blocks of \"%s\" for %" PRId64
		" rows of the answer: the index finds too many, the filter %s drops them",
		blocks, table, rows, filter);
	if (w.count > 1 && !w.other && !w.pattern)
		add_index(&advice.run, table, &w);
	tell(a, &advice);
}

static void advise_node(const struct advising *a, const json_t *node, const json_t *sort)
{
	const char *type = text_of(node, "Node Type");
	const json_t *plans = json_object_get(node, "Plans");
	int64_t rows = *text_of(node, "Relation Name")
			       ? a->rows(a->arg, text_of(node, "Relation Name"))
			       : -1;
	if (str_eq(type, "Seq Scan") && rows >= ROWS_WORTH_AN_INDEX)
		advise_scan(a, node, sort, rows);
	else if (str_eq(type, "Index Scan") || str_eq(type, "Index Only Scan"))
		advise_filter(a, node, text_of(node, "Index Cond"));
	else if (str_eq(type, "Bitmap Heap Scan"))
		advise_filter(a, node, text_of(node, "Recheck Cond"));
	size_t i;
	json_t *child;
	/* Gather and Limit hand on what the scan below gives. */
	const json_t *keys = str_eq(type, "Sort") || str_eq(type, "Incremental Sort")
				     ? json_object_get(node, "Sort Key")
			     : str_starts(type, "Gather") || str_eq(type, "Limit") ? sort
										   : NULL;
	json_array_foreach(plans, i, child) advise_node(a, child, keys);
}

void db_advise_postgresql(const struct db_statement *statement, const json_t *plan,
	db_table_rows rows, db_advised advised, void *arg)
{
	const struct advising a = { statement, rows, advised, arg };
	advise_node(&a, json_object_get(json_array_get(plan, 0), "Plan"), NULL);
}

/* ---- SQLite ---- */

void db_advise_sqlite(const char *line, int64_t scanned, db_advised advised, void *arg)
{
	const struct advising a = { .advised = advised, .arg = arg };
	char table[TEXT];
	const char *name = str_starts(line, "SCAN ")	 ? line + 5
			   : str_starts(line, "SEARCH ") ? line + 7
							 : "";
	const char *automatic = strstr(line, " USING AUTOMATIC ");
	const char *columns = automatic ? strchr(automatic, '(') : NULL;
	str_copy(table, MIN(sizeof(table), strcspn(name, " ") + 1), name);
	if (!*table || strstr(line, "VIRTUAL TABLE") || scanned < ROWS_WORTH_AN_INDEX)
		return;
	struct db_advice advice = { .kind = columns ? "missing_index" : "sequential_scan",
		.table = table };
	if (columns) {
		struct wanted w = { 0 };
		/* (a=? AND b=?) */
		for (const char *at = columns + 1; *at;) {
			size_t len = strcspn(at, "=<>)");
			want(&w, at, len, false);
			at = strstr(at, " AND ");
			at = at ? at + 5 : "";
		}
		buf_addf(&advice.detail, "makes an index of \"%s\" for each execution", table);
		buf_addf(&advice.run, "CREATE INDEX IF NOT EXISTS \"%s_", table);
		for (size_t i = 0; i < w.count; i++)
			buf_addf(&advice.run, "%s%.*s", i ? "_" : "", (int)strlen(w.columns[i]) - 2,
				w.columns[i] + 1);
		buf_addf(&advice.run, "\" ON \"%s\" (", table);
		for (size_t i = 0; i < w.count; i++)
			buf_addf(&advice.run, "%s%s", i ? ", " : "", w.columns[i]);
		buf_add_char(&advice.run, ')');
	} else if (str_starts(line, "SCAN ") && !strstr(line, " USING ")) {
		buf_addf(&advice.detail, "steps over %" PRId64 " rows of \"%s\" without an index",
			scanned, table);
	} else {
		return;
	}
	tell(&a, &advice);
}
