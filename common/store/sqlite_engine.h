/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside of the SQLite engine: its connection (sqlite_conn.c), its statements (sqlite_exec.c),
 * jobs' tables (sqlite_table.c), its thread (sqlite_engine.c). All of it runs on the store thread.
 */
#include "base/compiler.h"
#include "store/store_engine.h"
#include "store/table_text.h"
#include <stdbool.h>
#include <stdint.h>

struct sqlite3;
struct sqlite_statement;

enum { SQLITE_TABLES_KNOWN = 64, SQLITE_RECENT = 128 };

struct sqlite_conn {
	const char *path, *lock_path; /* borrowed */
	bool create;
	int busy_ms;
	struct sqlite3 *db;					/* NULL: closed */
	int lock_fd;						/* -1: closed */
	struct sqlite_statement *cache, *recent[SQLITE_RECENT]; /* by the place of their text */
	/* Jobs' tables that were found as they should be, by what was wanted and by the schema's
	 * number, which moves with each change of anybody's. */
	struct {
		uint64_t wanted;
		int64_t schema;
	} tables[SQLITE_TABLES_KNOWN];
	size_t table_count;
	struct table_texts texts;
	char error[STORE_ERROR_TEXT]; /* words of the last failure */
};

void sqlite_conn_init(struct sqlite_conn *c, const char *path, const char *lock_path, bool create,
	int64_t busy_ms);
void sqlite_conn_finish(struct sqlite_conn *c);
/** Opens what is closed, and what moved away: another file may be at the path now. @return false
 * with c->error */
bool sqlite_conn_ready(struct sqlite_conn *c) MUST_CHECK;
/** Closes after an error that the open files may be to blame for: the next call opens anew. */
void sqlite_conn_doubt(struct sqlite_conn *c, int rc);
/** Waits for store.lock: writers of all processes come in the order of their asking. */
bool sqlite_gate_enter(struct sqlite_conn *c) MUST_CHECK;
void sqlite_gate_leave(struct sqlite_conn *c);
/** Runs a statement without parameters. @return SQLITE_OK or the error, with c->error */
int sqlite_run(struct sqlite_conn *c, const char *sql) MUST_CHECK;
/** Puts the connection's words for rc into c->error. @return rc */
int sqlite_fail(struct sqlite_conn *c, int rc, const char *doing);

/** Executes all of tx inside the open transaction; fills in its result. @return SQLITE_OK, or the
 * code of an error that may have ended the whole transaction; the tx's status says more. */
int sqlite_execute(struct sqlite_conn *c, struct store_tx *tx);
/** UNAVAILABLE or FAILED. */
enum store_status sqlite_status(int rc);

/** A prepared statement from the cache, reset. @return SQLITE_OK or the error, with c->error */
int sqlite_prepare(struct sqlite_conn *c, const char *sql, struct sqlite_statement **out);
/** Binds its $N; the values outlive its steps. */
int sqlite_bind(struct sqlite_conn *c, struct sqlite_statement *s, const struct store_value *values,
	size_t count);
/** Steps to the end and resets, what is bound stays; rows go into op's result when op is given.
 * Adds to *changes. */
int sqlite_step_all(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op,
	struct sqlite_statement *s, int64_t *changes);
/** Before the values end; NULL is fine. */
void sqlite_unbind(struct sqlite_statement *s);
/** As sqlite_run(), for what is run again and again: kept prepared. */
int sqlite_control(struct sqlite_conn *c, const char *sql) MUST_CHECK;
/** The next `count` prepared ones stay valid beside each other. */
void sqlite_statements_room(struct sqlite_conn *c, size_t count);
void sqlite_statements_free(struct sqlite_conn *c);

/* sqlite_table.c: one op each, as sqlite_execute() does. */
int sqlite_table(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op);
int sqlite_indexes(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op);
int sqlite_upsert(struct sqlite_conn *c, struct store_tx *tx, struct store_op *op);
/** After a rollback: what was made may be gone. */
void sqlite_tables_doubt(struct sqlite_conn *c);
