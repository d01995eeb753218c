/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The database behind one asynchronous face: a transaction is data (a list of statements with what
 * each must touch), submitted whole; `done` comes back on the loop. The engine for "sqlite:PATH"
 * runs them on one store thread of its own, which takes store.lock (OFD) before BEGIN IMMEDIATE,
 * WAL, synchronous=EXTRA (FULL, and the folder); transactions that wait together share one commit,
 * each in its own savepoint. No SQLite call on a loop.
 *
 * "postgresql://..." runs them on the loop, over connections of a pool, by asynchronous libpq; each
 * has a commit of its own. Nothing but that engine sees libpq.
 *
 * What callers may rely on, on either: OK is durable; CONFLICT, UNAVAILABLE and FAILED have written
 * nothing, and that is never a guess: a COMMIT whose answer was lost is found out first, however
 * long the server is away. The engine itself tries again what a deadlock, another writer or a lost
 * connection undid, so a transaction must not depend on how often it is begun.
 *
 * SQL is written once for all engines: parameters $1, $2, ...; integers of 64 bits, times as ms
 * since 1970; ON CONFLICT, RETURNING and WITH are allowed, functions of one engine are not.
 */
#include "base/compiler.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct stats_slot;
struct store;
struct store_tx;
struct store_result;

enum store_type { STORE_NULL, STORE_INT, STORE_REAL, STORE_TEXT, STORE_BLOB };
struct store_value {
	enum store_type type;
	int64_t i;
	double real;
	const char *data; /* TEXT, BLOB */
	size_t len;
};
#define STORE_VALUE_NULL    ((struct store_value) { .type = STORE_NULL })
#define STORE_VALUE_INT(v)  ((struct store_value) { .type = STORE_INT, .i = (v) })
#define STORE_VALUE_REAL(v) ((struct store_value) { .type = STORE_REAL, .real = (v) })
struct store_value store_text(const char *s); /* NULL -> null */
struct store_value store_bytes(const void *data, size_t len, enum store_type type);

/* A job's table: created and widened by store_tx_table(), never narrowed. Names are identifiers
 * (str_is_identifier). */
struct store_column {
	const char *name;
	int type; /* enum column_type of config.h */
};
struct store_index {
	const char *const *columns;
	size_t column_count;
};
struct store_table {
	const char *name;
	const struct store_column *columns;
	size_t column_count;
	const char *const *key; /* column names of the unique key; append: may be none */
	size_t key_count;
	bool append;  /* each row is one more: no unique key */
	bool history; /* each version of a row is kept in NAME_history, with drover_at, its time */
	const struct store_index *indexes; /* for store_tx_indexes() */
	size_t index_count;
};

/* Connections of this process to a server; 0 stands for the default. A file has one. */
struct store_pool {
	int64_t min, max;   /* kept open; at most (4) */
	int64_t acquire_ms; /* a transaction waits so long for its turn, then it is UNAVAILABLE */
	int64_t connect_ms, statement_ms;
	int64_t idle_ms;    /* one of more than min that has done nothing is closed */
	int64_t recycle_ms; /* at this age, less up to a fifth, it is replaced when it is free */
	bool no_pre_ping;   /* do not ask whether the server is there after a long rest */
};

struct config_pool;
struct store_pool store_pool_of(const struct config_pool *configured);

struct store_options {
	const char *url;       /* "sqlite:PATH", "postgresql://..." */
	const char *state_dir; /* base of a relative PATH; store.lock lies beside the database */
	bool create; /* make the database file when it is absent (0660): the scheduler and the CLI
			do; its folder is never made */
	int64_t busy_ms; /* how long a stranger's lock (a backup, a shell) is waited for; 0: 5 s */
	struct store_pool pool;
	struct stats_slot *stats; /* gets store_pending and store_seconds; may be NULL */
};
/** Checks the URL's form: for `check`. @return 0 or -EINVAL with words */
int store_url_check(const char *url, struct err *err) MUST_CHECK;
/** Starts the store thread; the database itself is opened by it, again and again until it is there.
 */
int store_open(struct store **out, struct loop *loop, const struct store_options *options,
	struct err *err) MUST_CHECK;
/** Finishes what was submitted (without calling done), ends the thread; waits 3 s at most, then the
 * rest is left to the end of the process. Not from within done. NULL is fine. */
void store_close(struct store *store);
/** Transactions submitted and not done. */
size_t store_pending(const struct store *store);

/* What the engines' SQL does not share: a text that differs stands in a table of STORE_DIALECTS
 * texts, store_dialect() chooses. */
enum store_dialect { STORE_DIALECT_SQLITE, STORE_DIALECT_POSTGRESQL, STORE_DIALECTS };
enum store_dialect store_dialect(const struct store *store);

/** Has the engine give back what memory it can spare, soon. */
void store_trim(struct store *store);

typedef void (*store_done)(void *arg, const struct store_result *result);

/* ONE_STATE: all its statements see one state of the database, as those of a reader and those of
 * SQLite's only writer do; what others change meanwhile has it done anew. Without it each statement
 * of a writer may see, on PostgreSQL, what was committed since the last one. */
enum { STORE_READ_ONLY = 1, STORE_ONE_STATE = 2 };
/** NULL when out of memory. */
struct store_tx *store_tx_new(struct store *store, unsigned flags);
void store_tx_free(struct store_tx *tx); /* only for one that was not submitted */
struct store *store_tx_store(const struct store_tx *tx);
/** Adds one statement; sql must outlive the store (a literal), values are copied. @return its
 * index, for the result */
size_t store_tx_sql(
	struct store_tx *tx, const char *sql, const struct store_value *params, size_t count);
/** The same for a text that is made at run time: it is copied. */
size_t store_tx_text(
	struct store_tx *tx, const char *sql, const struct store_value *params, size_t count);
/** The last statement added must change or return at least `rows` rows, else all is rolled back:
 * STORE_CONFLICT. */
void store_tx_expect(struct store_tx *tx, int64_t rows);
/** Has `watch` see the rows of the last statement added, if there are any, once tx is durable: on
 * the loop, before done, and also when done was forgotten. */
void store_tx_watch(
	struct store_tx *tx, void (*watch)(const struct store_result *result, size_t statement));
/** Has `also` told the outcome too, on the loop and before done; store_forget() knows its arg as
 * well. One for a transaction. */
void store_tx_also(struct store_tx *tx, store_done also, void *arg);
/** Writers of different lanes may run at once and end in any order, where there is a pool; those of
 * one lane run in the order of submission. Lane 0 runs alone: the default, and that of a
 * transaction which was put into two. */
void store_tx_lane(struct store_tx *tx, uint64_t lane);
/** Zeroed memory that lives as long as tx, one block each; done finds it by store_result_data().
 * NULL when out of memory. */
void *store_tx_data(struct store_tx *tx, size_t size);
/**
 * Creates the table or adds missing columns, its unique index, its history (on PostgreSQL with the
 * partitions of this month and the next two). A column that is there with another type fails the
 * transaction and says so: nothing is ever converted. Cheap when there is nothing to do.
 */
size_t store_tx_table(struct store_tx *tx, const struct store_table *table);
/**
 * Makes those of table->indexes that no index of the table has the columns of; the table is there.
 * The only statement of its transaction: PostgreSQL builds them CONCURRENTLY, outside of one. The
 * result counts those made.
 */
size_t store_tx_indexes(struct store_tx *tx, const struct store_table *table);
/**
 * Inserts or updates (append: adds) `row_count` rows of `values` (row after row, in the order of
 * table->columns, copied). A row whose content did not change is not written again; of rows with
 * the same key within the call the last wins. Changed rows are counted in the result.
 */
size_t store_tx_upsert(struct store_tx *tx, const struct store_table *table,
	const struct store_value *values, size_t row_count);

enum store_status {
	STORE_OK,
	STORE_CONFLICT, /* an expectation failed: another owner, another fence; nothing was written
			 */
	STORE_UNAVAILABLE, /* database away, locked, full, read-only: nothing was written, try again
			      later */
	STORE_FAILED, /* the statement is wrong or the data violates the schema: trying again will
			 not help */
};
/**
 * Takes tx. done (may be NULL) is called once on the loop, in the order of submission for writing
 * transactions of one lane; what could not begin is told UNAVAILABLE at once, also while an earlier
 * one is still being found out. A failed commit is STORE_UNAVAILABLE. Memory of tx that ran out on
 * the way makes STORE_FAILED.
 */
void store_submit(struct store *store, struct store_tx *tx, store_done done, void *arg);
/** Forgets done of everything submitted with this arg; the transactions still happen. */
void store_forget(struct store *store, const void *arg);

enum store_status store_result_status(const struct store_result *r);
const char *store_result_error(const struct store_result *r); /* "" when OK */
int64_t store_result_changes(const struct store_result *r, size_t statement);
size_t store_result_rows(const struct store_result *r, size_t statement);
/** What store_tx_data() gave, NULL: it was not called. */
void *store_result_data(const struct store_result *r);
/** Valid until done returns. */
const struct store_value *store_result_value(
	const struct store_result *r, size_t statement, size_t row, size_t column);
int64_t store_result_int(
	const struct store_result *r, size_t statement, size_t row, size_t column); /* NULL: 0 */
const char *store_result_text(
	const struct store_result *r, size_t statement, size_t row, size_t column); /* NULL: NULL */
