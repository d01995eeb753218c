/* SPDX-License-Identifier: MIT */
#include "scheduler/db.h"

#include "base/buf.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "ipc/messages.h"
#include "scheduler/db_advice.h"
#include "stats/stats.h"
#include "store/store.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATEMENTS = 20, QUERY_SHOWN = 1000, TABLES = 500, PARAMETERS_MAX = 200 };

struct table_rows {
	char name[64];
	int64_t rows;
};

/* One of the costliest, until its plan was looked at. */
struct slow {
	struct db_statement statement;
	char *query;
	double mean_ms, max_ms; /* negative: not known */
	int64_t scanned;	/* -1: not known */
};

struct db_question {
	struct store *store;
	struct stats *stats;
	db_page page;
	void *arg;
	struct slow slow[STATEMENTS];
	size_t count, at; /* the one whose plan is asked for */
	struct table_rows *tables;
	size_t table_count;
	struct buf json;
	struct json_out out;
	bool in_advice;
};

static void question_free(struct db_question *q)
{
	store_forget(q->store, q);
	for (size_t i = 0; i < q->count; i++)
		free(q->slow[i].query);
	free(q->tables);
	buf_finish(&q->json);
	free(q);
}

void db_cancel(struct db_question *q)
{
	if (q)
		question_free(q);
}

static bool is_sqlite(const struct db_question *q)
{
	return store_dialect(q->store) == STORE_DIALECT_SQLITE;
}

static const char *engine_name(const struct db_question *q)
{
	return is_sqlite(q) ? "sqlite" : "postgresql";
}

/* ---- the ends of a question ---- */

static void finish(struct db_question *q, enum db_outcome outcome)
{
	q->page(q->arg, outcome, buf_str(&q->json), q->json.len);
	question_free(q);
}

static void refuse(struct db_question *q, enum db_outcome outcome, const char *words)
{
	buf_reset(&q->json);
	json_out_init(&q->out, &q->json);
	json_open_object(&q->out, NULL);
	json_str(&q->out, "error", words);
	if (outcome == DB_AWAY)
		json_bool(&q->out, "away", true);
	json_close_object(&q->out);
	finish(q, outcome);
}

/* @return true when it failed: the question is over */
static bool failed(struct db_question *q, const struct store_result *r)
{
	if (store_result_status(r) == STORE_OK)
		return false;
	refuse(q, store_result_status(r) == STORE_FAILED ? DB_REFUSED : DB_AWAY,
		store_result_error(r));
	return true;
}

static void submit(struct db_question *q, struct store_tx *tx, store_done done)
{
	store_submit(q->store, tx, done, q);
}

/* Dies without memory, as queue_tx_new() does. */
static struct store_tx *new_tx(const struct db_question *q, unsigned flags)
{
	struct store_tx *tx = store_tx_new(q->store, flags);
	if (!tx)
		abort();
	return tx;
}

/* ---- db: connections ---- */

static void add_process(struct json_out *j, const struct stats_slot *slot)
{
	struct stats_summary wait;
	uint64_t transactions = stats_counter(slot, STAT_db_transactions),
		 waits = stats_counter(slot, STAT_db_waits);
	stats_summarise(slot, STAT_db_wait_seconds, &wait);
	json_open_object(j, NULL);
	json_str(j, "name", stats_slot_name(slot));
	json_int(j, "active", stats_gauge(slot, STAT_db_active));
	json_int(j, "idle", stats_gauge(slot, STAT_db_idle));
	json_int(j, "transactions", (int64_t)transactions);
	json_int(j, "waits", (int64_t)waits);
	if (transactions)
		json_double(j, "hit_rate", 1 - (double)waits / (double)transactions);
	else
		json_none(j, "hit_rate");
	json_int(j, "connects", (int64_t)stats_counter(slot, STAT_db_connects));
	json_int(j, "failures", (int64_t)stats_counter(slot, STAT_db_failures));
	json_int(j, "pending", stats_gauge(slot, STAT_store_pending));
	json_double(j, "wait_mean_ms", wait.mean_s * 1000);
	json_double(j, "wait_p99_ms", wait.p99_s * 1000);
	json_close_object(j);
}

static void begin_db(struct db_question *q, const struct store_result *r)
{
	buf_reset(&q->json);
	json_out_init(&q->out, &q->json);
	json_open_object(&q->out, NULL);
	json_open_object(&q->out, "db");
	json_str(&q->out, "engine", engine_name(q));
	json_str(&q->out, "version", store_result_text(r, 0, 0, 0));
	json_int(&q->out, "size_bytes", store_result_int(r, 0, 0, 1));
	if (is_sqlite(q)) {
		json_none(&q->out, "connections");
	} else {
		json_open_object(&q->out, "connections");
		json_int(&q->out, "open", store_result_int(r, 0, 0, 2));
		json_int(&q->out, "most", store_result_int(r, 0, 0, 3));
		json_close_object(&q->out);
	}
	json_open_array(&q->out, "processes");
}

static void on_db(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	if (failed(q, r))
		return;
	begin_db(q, r);
	for (uint32_t i = 0; q->stats && i < STATS_SLOTS; i++) {
		const struct stats_slot *slot = stats_peek(q->stats, i);
		/* droverd's limit is a page: 256 slots of at most 330 bytes would not fit. */
		if (slot &&
			stats_counter(slot, STAT_db_transactions) +
					stats_counter(slot, STAT_db_failures) >
				0 &&
			q->json.len < PAGE_MAX - 1024)
			add_process(&q->out, slot);
	}
	json_close_array(&q->out);
	json_close_object(&q->out);
	json_close_object(&q->out);
	finish(q, DB_LAST);
}

static void ask_db(struct db_question *q)
{
	static const char sqlite[] =
		"SELECT sqlite_version(), (SELECT page_count FROM pragma_page_count) *"
		" (SELECT page_size FROM pragma_page_size)";
	static const char postgresql[] =
		"SELECT current_setting('server_version'), pg_database_size(current_database()),"
		" (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
		" CAST(current_setting('max_connections') AS BIGINT)";
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	store_tx_sql(tx, is_sqlite(q) ? sqlite : postgresql, NULL, 0);
	submit(q, tx, on_db);
}

/* ---- db slow: the list ---- */

static void open_slow(struct db_question *q)
{
	buf_reset(&q->json);
	json_out_init(&q->out, &q->json);
	json_open_object(&q->out, NULL);
	json_str(&q->out, "engine", engine_name(q));
}

static void number_or_none(struct json_out *j, const char *key, double value)
{
	if (value < 0)
		json_none(j, key);
	else
		json_double(j, key, value);
}

static void integer_or_none(struct json_out *j, const char *key, int64_t value)
{
	if (value < 0)
		json_none(j, key);
	else
		json_int(j, key, value);
}

/* One page a statement when they are long: 1,000 bytes of text are at most 6,000 of JSON. */
static void send_statements(struct db_question *q)
{
	for (size_t i = 0; i < q->count;) {
		open_slow(q);
		json_open_array(&q->out, "statements");
		for (; i < q->count && q->json.len < PAGE_MAX - 8192; i++) {
			const struct slow *s = &q->slow[i];
			json_open_object(&q->out, NULL);
			json_strn(&q->out, "query", s->query,
				MIN(strlen(s->query), (size_t)QUERY_SHOWN));
			json_int(&q->out, "calls", s->statement.calls);
			integer_or_none(&q->out, "rows", s->statement.rows);
			number_or_none(&q->out, "total_ms", s->statement.total_ms);
			number_or_none(&q->out, "mean_ms", s->mean_ms);
			number_or_none(&q->out, "max_ms", s->max_ms);
			integer_or_none(&q->out, "blocks", s->statement.blocks);
			integer_or_none(&q->out, "scanned", s->scanned);
			json_close_object(&q->out);
		}
		json_close_array(&q->out);
		json_close_object(&q->out);
		q->page(q->arg, DB_PAGE, buf_str(&q->json), q->json.len);
	}
}

static void on_advice(void *arg, const struct db_advice *advice)
{
	struct db_question *q = arg;
	const char *query = q->slow[q->at].query;
	open_slow(q);
	json_open_array(&q->out, "advice");
	json_open_object(&q->out, NULL);
	json_str(&q->out, "kind", advice->kind);
	json_str(&q->out, "table", advice->table);
	json_strn(&q->out, "query", query, MIN(strlen(query), (size_t)QUERY_SHOWN));
	json_str(&q->out, "detail", buf_str(&advice->detail));
	json_str(&q->out, "run", advice->run.len ? buf_str(&advice->run) : NULL);
	json_close_object(&q->out);
	json_close_array(&q->out);
	json_close_object(&q->out);
	q->page(q->arg, DB_PAGE, buf_str(&q->json), q->json.len);
}

static void end_slow(struct db_question *q, const char *note)
{
	open_slow(q);
	/* All three are there, also when they are empty. */
	json_open_array(&q->out, "statements");
	json_close_array(&q->out);
	json_open_array(&q->out, "advice");
	json_close_array(&q->out);
	json_open_array(&q->out, "notes");
	if (note)
		json_str(&q->out, NULL, note);
	json_close_array(&q->out);
	json_close_object(&q->out);
	finish(q, DB_LAST);
}

static void explain(struct db_question *q);

static void explain_next(struct db_question *q)
{
	q->at++;
	explain(q);
}

/* ---- db slow: SQLite ---- */

static void on_sqlite_plan(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	const struct slow *s = &q->slow[q->at];
	int64_t calls = MAX(s->statement.calls, (int64_t)1);
	for (size_t row = 0; store_result_status(r) == STORE_OK && row < store_result_rows(r, 0);
		row++) {
		const char *line = store_result_text(r, 0, row, 3);
		db_advise_sqlite(line ? line : "", s->scanned / calls, on_advice, q);
	}
	explain_next(q);
}

static void on_sqlite_statements(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	if (failed(q, r))
		return;
	for (size_t row = 0; row < store_result_rows(r, 0) && row < STATEMENTS; row++) {
		const char *query = store_result_text(r, 0, row, 0);
		struct slow *s = &q->slow[q->count];
		*s = (struct slow) { .query = strdup(query ? query : ""),
			.mean_ms = -1,
			.max_ms = -1,
			.scanned = store_result_int(r, 0, row, 2) };
		s->statement = (struct db_statement) { .query = s->query,
			.calls = store_result_int(r, 0, row, 1),
			.rows = -1,
			.blocks = -1,
			.total_ms = -1 };
		if (s->query)
			q->count++;
	}
	send_statements(q);
	explain(q);
}

static void ask_sqlite(struct db_question *q)
{
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	store_tx_sql(tx,
		"SELECT sql, run, nscan FROM sqlite_stmt WHERE sql NOT LIKE '%sqlite_stmt%'"
		" AND sql NOT LIKE 'EXPLAIN %' AND run > 0 ORDER BY nstep DESC LIMIT 20",
		NULL, 0);
	submit(q, tx, on_sqlite_statements);
}

/* ---- db slow: PostgreSQL ---- */

static int64_t rows_of_table(void *arg, const char *table)
{
	const struct db_question *q = arg;
	for (size_t i = 0; i < q->table_count; i++)
		if (str_eq(q->tables[i].name, table))
			return q->tables[i].rows;
	return -1;
}

static void on_postgresql_plan(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	/* Not every text can be prepared again: parameters without a type, a table that went. */
	if (store_result_status(r) == STORE_OK && store_result_rows(r, 2) == 1) {
		const char *text = store_result_text(r, 2, 0, 0);
		json_t *plan = text ? json_loads(text, 0, NULL) : NULL;
		db_advise_postgresql(&q->slow[q->at].statement, plan, rows_of_table, on_advice, q);
		json_decref(plan);
	}
	explain_next(q);
}

/* The highest $N outside of quotes. */
static size_t parameters(const char *query)
{
	size_t most = 0;
	for (const char *at = query; *at; at++) {
		if (*at == '\'' || *at == '"') {
			const char *end = strchr(at + 1, *at);
			at = end ? end : at + strlen(at) - 1;
		} else if (*at == '$' && at[1] >= '1' && at[1] <= '9') {
			most = MAX(most, (size_t)strtoul(at + 1, NULL, 10));
		}
	}
	return most;
}

static bool can_be_explained(const char *query)
{
	static const char *const words[] = { "SELECT", "INSERT", "UPDATE", "DELETE", "WITH" };
	query += strspn(query, " \t\r\n(");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncasecmp(query, words[i], strlen(words[i])) == 0)
			return parameters(query) <= PARAMETERS_MAX;
	return false;
}

/* With a generic plan: with a value in it, `column = NULL` would be planned as never true. The
 * text is another's; it is prepared and explained, never executed. */
static void explain_postgresql(struct db_question *q, const char *query)
{
	CLEANUP(buf_finish) struct buf prepare = BUF_INIT, show = BUF_INIT;
	size_t count = parameters(query);
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	buf_addf(&prepare, "PREPARE drover_explain AS %s", query);
	buf_add_str(&show, "EXPLAIN (FORMAT JSON) EXECUTE drover_explain");
	for (size_t i = 0; i < count; i++)
		buf_addf(&show, "%sNULL%s", i ? ", " : " (", i + 1 == count ? ")" : "");
	store_tx_sql(tx, "SET LOCAL plan_cache_mode = force_generic_plan", NULL, 0);
	store_tx_text(tx, buf_str(&prepare), NULL, 0);
	store_tx_text(tx, buf_str(&show), NULL, 0);
	store_tx_sql(tx, "DEALLOCATE drover_explain", NULL, 0);
	submit(q, tx, on_postgresql_plan);
}

static void explain_sqlite(struct db_question *q, const char *query)
{
	static const struct store_value nulls[PARAMETERS_MAX];
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	buf_addf(&text, "EXPLAIN QUERY PLAN %s", query);
	store_tx_text(tx, buf_str(&text), nulls, PARAMETERS_MAX);
	submit(q, tx, on_sqlite_plan);
}

/* One after the other, so that the list takes little memory and no connection for long. */
static void explain(struct db_question *q)
{
	while (q->at < q->count && !can_be_explained(q->slow[q->at].query))
		q->at++;
	if (q->at == q->count)
		end_slow(q, is_sqlite(q) ? "SQLite counts for each program alone: these are the "
					   "scheduler's own statements, by the work they made"
					 : NULL);
	else if (is_sqlite(q))
		explain_sqlite(q, q->slow[q->at].query);
	else
		explain_postgresql(q, q->slow[q->at].query);
}

static void read_tables(struct db_question *q, const struct store_result *r)
{
	size_t rows = store_result_rows(r, 1);
	q->tables = calloc(rows + 1, sizeof(*q->tables));
	for (size_t i = 0; q->tables && i < rows; i++) {
		const char *name = store_result_text(r, 1, i, 0);
		str_copy(q->tables[i].name, sizeof(q->tables[i].name), name ? name : "");
		q->tables[i].rows = store_result_int(r, 1, i, 1);
		q->table_count++;
	}
}

static void on_postgresql_statements(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	if (failed(q, r))
		return;
	for (size_t row = 0; row < store_result_rows(r, 0) && row < STATEMENTS; row++) {
		const char *query = store_result_text(r, 0, row, 0);
		struct slow *s = &q->slow[q->count];
		*s = (struct slow) { .query = strdup(query ? query : ""),
			.mean_ms = store_result_value(r, 0, row, 3)->real,
			.max_ms = store_result_value(r, 0, row, 4)->real,
			.scanned = -1 };
		s->statement = (struct db_statement) { .query = s->query,
			.calls = store_result_int(r, 0, row, 1),
			.total_ms = store_result_value(r, 0, row, 2)->real,
			.rows = store_result_int(r, 0, row, 5),
			.blocks = store_result_int(r, 0, row, 6) };
		if (s->query)
			q->count++;
	}
	read_tables(q, r);
	send_statements(q);
	explain(q);
}

/* The view lies where the extension was put. */
static void ask_statements(struct db_question *q, const char *schema)
{
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	buf_addf(&sql,
		"SELECT s.query, s.calls, s.total_exec_time, s.mean_exec_time, s.max_exec_time,"
		" s.rows, s.shared_blks_hit + s.shared_blks_read FROM \"%s\".pg_stat_statements s"
		" WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
		" AND s.query <> '<insufficient privilege>' AND s.query NOT LIKE"
		" '%%pg_stat_statements%%' AND s.query !~* '^\\s*(begin|start|commit|rollback|set|"
		"show|prepare|deallocate|explain|discard|savepoint|release)\\M'"
		" ORDER BY s.total_exec_time DESC LIMIT 20",
		schema);
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	store_tx_text(tx, buf_str(&sql), NULL, 0);
	store_tx_sql(tx,
		"SELECT CAST(c.relname AS TEXT), CAST(GREATEST(c.reltuples, s.n_live_tup) AS"
		" BIGINT) FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid"
		" WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)"
		" ORDER BY 2 DESC LIMIT 500",
		NULL, 0);
	submit(q, tx, on_postgresql_statements);
}

/* ---- db reset ---- */

static void end_reset(struct db_question *q, const char *detail)
{
	buf_reset(&q->json);
	json_out_init(&q->out, &q->json);
	json_open_object(&q->out, NULL);
	json_open_object(&q->out, "reset");
	json_str(&q->out, "engine", engine_name(q));
	json_str(&q->out, "detail", detail);
	json_close_object(&q->out);
	json_close_object(&q->out);
	finish(q, DB_LAST);
}

static void on_reset(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	if (store_result_status(r) == STORE_FAILED &&
		strstr(store_result_error(r), "permission denied"))
		refuse(q, DB_REFUSED,
			"PostgreSQL lets only a superuser reset pg_stat_statements, until one "
			"runs: "
			"GRANT EXECUTE ON FUNCTION pg_stat_statements_reset TO the user of the "
			"store's url");
	else if (!failed(q, r))
		end_reset(q, "pg_stat_statements counts anew for this database");
}

static void reset_postgresql(struct db_question *q, const char *schema)
{
	CLEANUP(buf_finish) struct buf sql = BUF_INIT;
	struct store_tx *tx = new_tx(q, 0);
	buf_addf(&sql,
		"SELECT \"%s\".pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE"
		" datname = current_database()), 0)",
		schema);
	store_tx_text(tx, buf_str(&sql), NULL, 0);
	submit(q, tx, on_reset);
}

/* ---- is there anything to read? ---- */

static const char not_loaded[] =
	"PostgreSQL does not count statements: put shared_preload_libraries = 'pg_stat_statements' "
	"into postgresql.conf, restart the server, then run in this database: "
	"CREATE EXTENSION pg_stat_statements";
static const char not_created[] =
	"PostgreSQL counts statements, but this database has no view of them; run in it, as a "
	"superuser: CREATE EXTENSION pg_stat_statements";

static void look(struct db_question *q, store_done done)
{
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	store_tx_sql(tx,
		"SELECT (SELECT CAST(n.nspname AS TEXT) FROM pg_extension e JOIN pg_namespace n"
		" ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'),"
		" CASE WHEN COALESCE(current_setting('pg_stat_statements.max', true), '') = ''"
		" THEN 0 ELSE 1 END",
		NULL, 0);
	submit(q, tx, done);
}

/* @return the schema of the extension; NULL: refused with how to install it */
static const char *schema_of(struct db_question *q, const struct store_result *r)
{
	if (failed(q, r))
		return NULL;
	const char *schema = store_result_text(r, 0, 0, 0);
	bool loaded = store_result_int(r, 0, 0, 1) != 0;
	if (schema && loaded && !strchr(schema, '"'))
		return schema;
	refuse(q, DB_REFUSED, loaded ? not_created : not_loaded);
	return NULL;
}

static void on_looked_for_slow(void *arg, const struct store_result *r)
{
	const char *schema = schema_of(arg, r);
	if (schema)
		ask_statements(arg, schema);
}

static void on_looked_for_reset(void *arg, const struct store_result *r)
{
	const char *schema = schema_of(arg, r);
	if (schema)
		reset_postgresql(arg, schema);
}

/* A transaction after the trim: it is done when the statements were forgotten. */
static void on_sqlite_reset(void *arg, const struct store_result *r)
{
	struct db_question *q = arg;
	if (!failed(q, r))
		end_reset(q, "the scheduler's statements are counted anew");
}

static void reset_sqlite(struct db_question *q)
{
	store_trim(q->store);
	struct store_tx *tx = new_tx(q, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT 1", NULL, 0);
	submit(q, tx, on_sqlite_reset);
}

struct db_question *db_ask(
	struct store *store, struct stats *stats, const char *verb, db_page page, void *arg)
{
	struct db_question *q = NEW(struct db_question);
	if (!q)
		return NULL;
	q->store = store;
	q->stats = stats;
	q->page = page;
	q->arg = arg;
	if (str_eq(verb, "db"))
		ask_db(q);
	else if (str_eq(verb, "db.slow") && is_sqlite(q))
		ask_sqlite(q);
	else if (str_eq(verb, "db.slow"))
		look(q, on_looked_for_slow);
	else if (is_sqlite(q))
		reset_sqlite(q);
	else
		look(q, on_looked_for_reset);
	return q;
}
