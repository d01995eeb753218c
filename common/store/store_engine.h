/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside of the store: what the face (store.c, store_tx.c) and an engine share. An engine gets
 * whole transactions and gives each back once, with its result filled in; sqlite_engine.c does so
 * on a thread of its own, pg_engine.c on the loop. The first words of the URL choose.
 */
#include "base/arena.h"
#include "base/list.h"
#include "store/store.h"

enum store_op_kind { STORE_OP_SQL, STORE_OP_TABLE, STORE_OP_INDEXES, STORE_OP_UPSERT };
struct store_op {
	enum store_op_kind kind;
	const char *sql;		 /* SQL: borrowed for ever */
	const struct store_table *table; /* TABLE, INDEXES, UPSERT: a copy */
	const struct store_value
		*values;  /* SQL: parameters; UPSERT: row after row, each key once */
	size_t count;	  /* of values */
	size_t row_count; /* UPSERT */
	int64_t expect;	  /* 0: nothing is expected */
	void (*watch)(const struct store_result *result, size_t statement);
	/* the result */
	int64_t changes;
	struct store_value **rows;
	size_t rows_len, rows_cap, columns;
};

enum { STORE_ERROR_TEXT = 512, STORE_RESULT_MAX = 64 << 20 /* bytes of rows in one answer */ };
struct store_result {
	enum store_status status;
	char error[STORE_ERROR_TEXT];
	struct store_op *ops;
	size_t op_count, op_cap;
	void *data;
};

struct store_tx {
	struct list node; /* in an engine's queue, then among the finished */
	struct store *store;
	unsigned flags;
	bool out_of_memory, has_lane;
	bool waited; /* of the engine: somebody else had the connection when it came */
	uint64_t lane;
	/* Of an engine that keeps a pool: its number, since when it waits, how often it was tried
	 * again. */
	uint64_t order;
	int64_t queued_ms;
	unsigned tries, losses;
	struct arena *arena; /* everything of ops, the rows of the result too */
	struct store_result result;
	/* Of the loop alone: an engine never looks at these. submitted_us stands before it comes.
	 */
	struct list pending;
	store_done done, also;
	void *arg, *also_arg;
	int64_t submitted_us;
	struct store_tx *then; /* submitted when this one is durable; planted bugs only */
};

struct store_engine;
struct store_engine_config {
	struct store *store;
	struct loop *loop;
	const char *url;
	const char *state_dir;
	bool create;
	int64_t busy_ms;
	struct store_pool pool;
};
struct store_engine_ops {
	const char *schemes[2]; /* "sqlite:" */
	enum store_dialect dialect;
	int (*check)(const char *url, struct err *err);
	int (*start)(struct store_engine **out, const struct store_engine_config *config,
		struct err *err);
	/** Takes tx until it is given to store_finished(). Never blocks. */
	void (*submit)(struct store_engine *engine, struct store_tx *tx);
	/** Soon, on its own thread: gives back what memory it can spare. Never blocks. */
	void (*trim)(struct store_engine *engine);
	/** Gives back everything submitted, then frees. @return false when it had to be abandoned,
	 * still running. */
	bool (*close)(struct store_engine *engine);
};
extern const struct store_engine_ops store_engine_sqlite, store_engine_pg;

/** For engines, from any thread: these (struct store_tx, by node) are done. The list is emptied. */
void store_finished(struct store *store, struct list *finished);
/* For engines, from any thread: what the statistics tell of their connections. */
/** tx gets its connection now; waited: none was free when it came. */
void store_count_taken(struct store *store, const struct store_tx *tx, bool waited);
void store_count_connections(struct store *store, size_t active, size_t idle);
void store_count_opened(struct store *store);
/** Refused or lost. */
void store_count_failed(struct store *store);
/** Fills in status and words of a transaction that an engine has. */
void store_tx_outcome(struct store_tx *tx, enum store_status status, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/** Of rows with the same key the last, in their order: `values` itself when no two have the same,
 * else in tx's memory. *row_count becomes how many. @return NULL: out of memory, tx knows */
const struct store_value *store_tx_keep_last(struct store_tx *tx, const struct store_table *table,
	const struct store_value *values, size_t *row_count);
/** A table and all that it names, in the arena's memory; NULL: out of memory. */
const struct store_table *store_table_copy(struct arena *arena, const struct store_table *table);
/** One more row of op's result, its values for the engine to fill; NULL: out of memory. */
struct store_value *store_op_add_row(struct store_tx *tx, struct store_op *op);

#ifdef DROVER_MUTANTS
/** Submits `next` (taken) by itself once tx is durable: the two-transaction acknowledgement. */
void store_tx_then(struct store_tx *tx, struct store_tx *next);
#endif
