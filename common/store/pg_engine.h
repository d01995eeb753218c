/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside of the PostgreSQL engine, all of it on the loop, the only room that sees libpq:
 *   pg_engine.c     what waits, and which connection takes it
 *   pg_conn.c       one connection: connect, settings, what is sent and what is answered
 *   pg_run.c        one transaction on a connection, from BEGIN to its outcome
 *   pg_statement.c  prepared statements
 *   pg_value.c      values to and from the wire
 *   pg_upsert.c     rows into tables; pg_table.c the tables themselves; pg_copy.c bulk
 *   pg_index.c      indexes, outside of transactions
 *   pg_resolve.c    names of hosts, on a thread, because libpq would block
 *
 * A writing transaction goes in two steps: all statements in one pipeline, then, when each answer
 * is there and as expected, COMMIT. So a COMMIT whose answer is lost has everything else known, and
 * drover_commit tells what became of it: each of our connections has one row there, in which each
 * transaction writes its number.
 */
#include "store/store_engine.h"
#include "store/table_text.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct loop_io;
struct loop_timer;
struct pg_statement;
struct pg_resolver;

enum {
	PG_TRIES = 8,
	PG_BULK_ROWS = 1200,
	PG_SINGLE_ROWS = 20,
	PG_UNNEST_ROWS = 1000,
	PG_RECENT = 128
};

enum pg_state {
	PG_CLOSED,
	PG_RESOLVING,
	PG_CONNECTING,
	PG_GREETING, /* settings of the session */
	PG_SETTLING, /* what became of the COMMIT whose answer was lost */
	PG_IDLE,
	PG_WORKING,
	PG_PAUSING, /* before the next try of a transaction */
};

/* What an answer is for. */
enum pg_answer_kind {
	PG_ANSWER_NONE,	 /* must succeed, says nothing */
	PG_ANSWER_PARSE, /* a statement gets prepared */
	PG_ANSWER_MARK,	 /* the row of drover_commit */
	PG_ANSWER_PING,
	PG_ANSWER_OP,	 /* part of op's result; op->expect is judged with the last part */
	PG_ANSWER_FIRST, /* of two questions about a table or the server */
	PG_ANSWER_SECOND,
	PG_ANSWER_COMMIT,
	PG_ANSWER_SYNC,
};
struct pg_answer {
	enum pg_answer_kind kind;
	struct store_op *op;
	bool last;
	struct pg_statement *statement;
};

/* Where a transaction is; what comes after the answers of the present step. */
enum pg_step {
	PG_STEP_PING,
	PG_STEP_LOOK,  /* is drover_commit there? */
	PG_STEP_MAKE,  /* it gets made, or its old rows go */
	PG_STEP_BODY,  /* statements are under way */
	PG_STEP_TABLE, /* names of a table's columns were asked for */
	PG_STEP_INDEX_LOOK,
	PG_STEP_INDEX_MAKE,
	PG_STEP_LOAD, /* the temporary table gets made */
	PG_STEP_COPY, /* outside of the pipeline */
	PG_STEP_COMMIT,
	PG_STEP_ROLLBACK,
};

struct pg_names {
	char (*items)[64];
	size_t len, cap;
};

struct pg_run {
	struct store_tx *tx; /* NULL: none */
	enum pg_step step;
	size_t next_op; /* not yet sent */
	bool begun;
	bool commit_sent, committed;
	bool decided; /* it fails: status, error */
	bool retry;   /* and is tried again, when that is rolled back */
	enum store_status status;
	char sqlstate[6], error[STORE_ERROR_TEXT];
	bool mark_failed, mark_gone, skipped_table; /* what the error may be owed to */
	/* a table */
	bool table_locked, table_is_history;
	struct pg_names columns, types, key; /* of a history: key are its partitions */
	/* indexes */
	const char *indexes; /* those that are there */
	size_t next_index;
	bool dropped;
	/* bulk */
	bool copy_started, copy_ended;
	size_t copy_row, loads;
	const struct store_value *rows; /* of the upsert in work, as its table takes them */
	size_t row_count;
	struct arena *scratch; /* of this try */
};

/* For libpq: comma separated, one place for each address of each host. */
struct pg_addresses {
	char *hosts, *addresses;
	char *ports; /* NULL: as the URL has them */
};

struct pg_conn {
	struct store_engine *engine;
	PGconn *pg;
	struct loop_io *io;
	struct loop_timer *timer; /* the present state's deadline */
	enum pg_state state;
	unsigned io_events;
	struct pg_resolver *resolver;
	struct pg_addresses at; /* NULLs: as the URL has it */
	/* answers that are still to come, in order */
	struct pg_answer *answers;
	size_t answer_first, answer_len, answer_cap;
	bool broken;   /* to be closed as soon as nobody works on it */
	bool answered; /* the front has its result, its end is still to come */
	struct pg_statement *statements, *recent[PG_RECENT]; /* by the place of their text */
	unsigned names;
	bool forget_statements;	 /* the server knows others than we do */
	int64_t session, serial; /* of drover_commit: our row, the last transaction's number */
	bool marked;		 /* the row was there */
	int64_t settled;	 /* what the row says */
	int64_t idle_since_ms, recycle_ms;
	struct pg_run run;
	char error[STORE_ERROR_TEXT];
};

struct store_engine {
	struct store *store;
	struct loop *loop;
	char *url;
	bool create;
	struct store_pool pool;
	struct pg_conn *conns;
	size_t conn_count;
	struct list waiting; /* struct store_tx by .node, in order of submission */
	uint64_t submitted;  /* so many: the last one's order */
	struct loop_timer *acquire, *reconnect;
	int64_t backoff_ms, next_connect_ms;
	size_t silent; /* so often no address answered in time: the next try begins behind one more
			*/
	bool commits_known; /* drover_commit is there */
	bool no_temporary;  /* the account may not make temporary tables */
	bool closing, trim;
	uint64_t random;
	uint64_t *tables; /* fingerprints of tables that were seen to be right */
	size_t table_count, table_cap;
	struct table_texts texts; /* by number of rows: many, not many */
};

/* ---- pg_engine.c ---- */
/** Takes what can be taken. */
void pg_engine_dispatch(struct store_engine *e);
/** The run is over: its transaction goes back with this outcome, c becomes idle. */
void pg_engine_done(struct pg_conn *c, enum store_status status, const char *error);
/** Back to its place among what waits: it was not written, and a connection was lost under it. */
void pg_engine_again(struct pg_conn *c);
/** The connection is open. */
void pg_engine_connected(struct pg_conn *c);
/** It could not be opened, or was lost. */
void pg_engine_lost(struct pg_conn *c, bool was_open);
/** Uniform in 0..max. */
int64_t pg_random(struct store_engine *e, int64_t max);
bool pg_engine_knows_table(struct store_engine *e, uint64_t fingerprint);
void pg_engine_learn_table(struct store_engine *e, uint64_t fingerprint);

/* ---- pg_conn.c ---- */
void pg_conn_init(struct pg_conn *c, struct store_engine *e);
void pg_conn_open(struct pg_conn *c);
void pg_conn_resolved(struct pg_conn *c);
/** Ends it without a word to the engine; its run stays. */
void pg_conn_close(struct pg_conn *c);
void pg_conn_finish(struct pg_conn *c);
/** Goes on after its socket became ready (events of loop_events). */
void pg_conn_ready(struct pg_conn *c, unsigned events);
/** -1: none; else its socket and what it waits for. */
int pg_conn_socket(const struct pg_conn *c, unsigned *events);
/** The connection is of no use any more; words are in c->error. */
void pg_conn_lost(struct pg_conn *c);
bool pg_conn_is_open(const struct pg_conn *c);
/** Idle too long, or too old. */
void pg_conn_rest(struct pg_conn *c);
/** Puts one command into the pipeline. false: the connection is lost (later, from the loop). */
bool pg_send(struct pg_conn *c, const char *sql, enum pg_answer_kind kind);
bool pg_expect(struct pg_conn *c, struct pg_answer answer);
/** Ends the step: everything sent so far is answered, then pg_run_next() comes. */
void pg_send_sync(struct pg_conn *c);
void pg_flush(struct pg_conn *c);

/* ---- pg_run.c ---- */
void pg_run_start(struct pg_conn *c, struct store_tx *tx, bool ping);
void pg_run_restart(struct pg_conn *c);
/** An answer, not an error, for the present step. */
void pg_run_answer(struct pg_conn *c, const struct pg_answer *answer, const PGresult *res);
void pg_run_error(struct pg_conn *c, const struct pg_answer *answer, const PGresult *res);
/** The first failure decides. */
void pg_run_fail(struct pg_conn *c, enum store_status status, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/** All answers of the step are there. */
void pg_run_next(struct pg_conn *c);
void pg_run_lost(struct pg_conn *c);
void pg_run_settled(struct pg_conn *c);
void pg_run_clear(struct pg_run *run);
/** UNAVAILABLE or FAILED, by SQLSTATE. */
enum store_status pg_status(const char *sqlstate);
void pg_continue_body(struct pg_conn *c);

/* ---- pg_value.c ---- */
/** One parameter on the wire, always binary. */
struct pg_parameter {
	Oid type; /* 0: null, nothing is said of its type */
	const char *data;
	int len;
	char number[8];
};
void pg_encode(struct pg_parameter *out, const struct store_value *value);
/** Length and bytes, as they stand in arrays and in COPY: how many. */
size_t pg_value_size(const struct store_value *value);
/** Puts them. @return where the next goes */
char *pg_put_value(char *at, const struct store_value *value);
bool pg_decode(struct store_tx *tx, const PGresult *res, int row, int column,
	struct store_value *out) MUST_CHECK;
/** PostgreSQL takes it as it is. */
bool pg_text_is_clean(const char *data, size_t len);
/** Text as PostgreSQL takes it: what is no UTF-8 and NUL become U+FFFD. @return data itself when
 * nothing is to be changed; NULL: out of memory */
const char *pg_clean_text(struct arena *arena, const char *data, size_t *len);
void pg_put32(char *at, uint32_t v);
void pg_put64(char *at, uint64_t v);

/* ---- pg_statement.c ---- */
/** Prepares when it must, and executes. false: out of memory or lost */
bool pg_execute(struct pg_conn *c, const char *sql, const struct store_value *values, size_t count,
	struct pg_answer answer);
bool pg_execute_encoded(struct pg_conn *c, const char *sql, const struct pg_parameter *values,
	size_t count, struct pg_answer answer);
void pg_statements_free(struct pg_conn *c);
/** Between transactions: sends what makes the server forget, when too many were prepared. */
void pg_statements_bound(struct pg_conn *c);
void pg_statement_failed(struct pg_conn *c, struct pg_statement *statement);

/* ---- pg_table.c ---- */
/** "name", quoted. */
const char *pg_quote(char out[66], const char *name);
bool pg_check_table(struct pg_conn *c, const struct store_table *t);
/** @return true when something was sent, false when there is nothing to do */
bool pg_table_ask(struct pg_conn *c, struct store_op *op);
void pg_table_answer(struct pg_conn *c, bool key, const PGresult *res);
/** Sends what the table lacks, or asks again under the lock. */
void pg_table_change(struct pg_conn *c, struct store_op *op);
const char *pg_type_name(int column_type);

/* ---- pg_index.c ---- */
/** tx makes indexes, and nothing else. */
bool pg_is_index_run(const struct store_tx *tx);
void pg_index_start(struct pg_conn *c);
void pg_index_answer(struct pg_conn *c, bool list, const PGresult *res);
void pg_index_next(struct pg_conn *c);

/* ---- pg_upsert.c ---- */
enum pg_wire { PG_WIRE_TEXT, PG_WIRE_INT, PG_WIRE_REAL, PG_WIRE_BYTES };
enum pg_wire pg_wire_of(int column_type);
const char *pg_wire_name(enum pg_wire wire);
/** Fills in run.rows: op's rows as its table takes them, each key once and none null. false:
 * decided
 */
bool pg_upsert_rows(struct pg_conn *c, struct store_op *op);
/** Sends the rows, all but the bulk. */
void pg_upsert(struct pg_conn *c, struct store_op *op);
/** INSERT from `source`, which is drover_new with columns c1, c2, ..., ON CONFLICT. */
struct buf;
void pg_upsert_text(struct buf *sql, const struct store_table *t, const char *source, bool sorted);

/* ---- pg_copy.c ---- */
void pg_copy_prepare(struct pg_conn *c, struct store_op *op);
/** Leaves the pipeline and begins. */
void pg_copy_start(struct pg_conn *c);
/** Goes on: results, rows. */
void pg_copy_ready(struct pg_conn *c);

/* ---- pg_resolve.c ---- */
/**
 * Looks up all addresses of `hosts` (comma separated, as libpq has them, and `ports`, which may be
 * NULL) on a thread; c's loop then calls pg_conn_resolved(). NULL: nothing to look up (addresses,
 * folders; as many ports as no hosts, of which libpq tells), or *failed.
 */
struct pg_resolver *pg_resolve(
	struct pg_conn *c, const char *hosts, const char *ports, bool *failed);
/** Fills in *out, to be freed by pg_addresses_finish(), from the `first` address on (counted round
 * and round); those before it follow. false: words are in `error`. Frees the resolver. */
bool pg_resolve_take(struct pg_resolver *resolver, size_t first, struct pg_addresses *out,
	char *error, size_t size);
void pg_addresses_finish(struct pg_addresses *addresses);
/** It answers nobody any more. */
void pg_resolve_forget(struct pg_resolver *resolver);
