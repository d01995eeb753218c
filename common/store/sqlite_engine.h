/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside of the SQLite engine: its connection (sqlite_conn.c), its statements (sqlite_exec.c), its
 * thread (sqlite_engine.c). All of it runs on the store thread. */
#include "base/compiler.h"
#include "store/store_engine.h"
#include <stdbool.h>
#include <stdint.h>

struct sqlite3;
struct sqlite_statement;

struct sqlite_conn {
	const char *path, *lock_path; /* borrowed */
	bool create;
	int busy_ms;
	struct sqlite3 *db; /* NULL: closed */
	int lock_fd;	    /* -1: closed */
	struct sqlite_statement *cache;
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

/** A prepared statement from the cache, reset, with its $N bound. @return SQLITE_OK or the error */
int sqlite_bind(struct sqlite_conn *c, const char *sql, const struct store_value *values,
	size_t count, struct sqlite_statement **out);
void sqlite_statements_free(struct sqlite_conn *c);
