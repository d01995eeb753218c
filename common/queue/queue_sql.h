/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside of the queue: pieces of SQL and of transactions that its files share. */
#include "base/compiler.h"
#include "queue/queue.h"
#include "store/store.h"

/* For an UPDATE of drover_run: one more error, JSON text $N, unless there are enough. 6,000
 * characters are at most 24,000 bytes: a run fits into a page of 32 KiB. */
#define ERRORS_FULL " error_count >= 20 OR length(errors) > 6000 "
#define ADD_ERROR(n)                                                                        \
	" errors = CASE WHEN" ERRORS_FULL "THEN errors WHEN error_count = 0 THEN '[' || " n \
	" || ']' "                                                                          \
	"ELSE substr(errors, 1, length(errors) - 1) || ',' || " n " || ']' END,"            \
	" error_count = CASE WHEN" ERRORS_FULL "THEN error_count ELSE error_count + 1 END "

/* An ended run's state follows from its counters, unless it was told to end. */
#define END_STATE                                              \
	" CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled'" \
	" WHEN tasks_failed + tasks_dead > 0 THEN 'failed' ELSE 'succeeded' END "

/* What the tasks that WHERE chooses have come to; they leave drover_task in the same transaction.
 * outcome, error and ended are SQL. */
#define TO_HISTORY(outcome, error, ended)                                                  \
	"INSERT INTO drover_task_history (id, run_id, job, kind, attempt, owner,"          \
	" created_at, started, ended, outcome, error) SELECT id, run_id, job, kind,"       \
	" attempt, owner, created_at, claimed_at, CAST(" ended " AS BIGINT), " outcome "," \
	" " error " FROM drover_task "

/* Ends the statement that ends runs; queue_tx_tell_ends() comes next. */
#define ENDED                                                                            \
	" RETURNING id, job, state, started_at, finished_at, tasks_total, tasks_failed," \
	" tasks_dead"

struct queue {
	struct store *store;
	char *owner, *kind;
	struct list held; /* struct task */
	int64_t lease_ms, concurrency;
	size_t turn;	/* of queue_claim.c's shares[] */
	int64_t cursor; /* the run behind which a claim begins to look */
	bool far;	/* the last claim found nothing: the next one looks at more runs */
	size_t asked;	/* for so many tasks */
	int64_t of_run; /* the first tasks of each run that a claim looks at; 0: as many as it asks
			   for */
	queue_claimed claimed;
	void *claimed_arg;
	size_t claim_statement, newest_statement; /* of the transaction that is on its way */
	bool claiming, known;			  /* known: stands in drover_owner */
};

#define SQL(tx, sql, ...)                                                       \
	store_tx_sql((tx), (sql), (const struct store_value[]) { __VA_ARGS__ }, \
		ARRAY_SIZE(((const struct store_value[]) { __VA_ARGS__ })))
#define I(v) STORE_VALUE_INT(v)
#define T(v) store_text(v)

/** Error texts are kept short: cut at 300 bytes, as a JSON string in buf. @return buf */
enum { ERROR_CUT = 300, ERROR_JSON = ERROR_CUT * 6 + 3 };
const char *queue_error_json(char buf[ERROR_JSON], const char *text);
/** The same cut for a column; buf has ERROR_CUT + 1 bytes. */
const char *queue_error_cut(char buf[ERROR_CUT + 1], const char *text);

/** The name by which a transaction finds the run that it has made. */
enum { TOKEN_TEXT = 33 };
void queue_token(char token[TOKEN_TEXT]);
/** The first tasks of the run with this token, if the transaction made it; without any it has
 * ended. */
void queue_tx_add_tasks(
	struct store_tx *tx, const char *token, const struct run_request *run, int64_t now_ms);
/** What is TASK_LEAVING becomes dead letters (given_up: counted failed, else dead), with its
 * last_error; `why` enters the errors of their runs. */
void queue_tx_bury(struct store_tx *tx, bool given_up, const char *why, int64_t now_ms);
/** Cancels the job's open runs, those that wait too, to make room for `run`, unless that was made
 * or decided before. */
void queue_tx_replace(struct store_tx *tx, const struct run_request *run, int64_t now_ms);
/** Where writers work side by side: what follows is about this job, one transaction at a time. */
void queue_tx_lock_job(struct store_tx *tx, const char *job, int64_t now_ms);
/** The cancelled tasks that nobody has a lease of leave, and with the last one their run ends. */
void queue_tx_drop_cancelled(struct store_tx *tx, int64_t now_ms);
/** execution_time_measured for each run that the last statement (ENDED) ends, when that is durable:
 * once for an end, whichever process brings it about; not at all when that process dies in between.
 */
void queue_tx_tell_ends(struct store_tx *tx);
/** Ends each run that has no task left. */
void queue_tx_end_runs(struct store_tx *tx, int64_t now_ms);

/** 0 or more: good enough to spread things. */
int64_t queue_random(void);

/** Notes status and words for queue_error(). @return queue_status_of(r) */
enum queue_status queue_note(const struct store_result *r);
enum queue_status queue_note_words(enum queue_status status, const char *words);

/** A transaction whose done calls cb(arg, status). Dies without memory for it, as loop_defer(). */
struct store_tx *queue_tx_new(struct store *store, unsigned flags);
void queue_submit(struct store *store, struct store_tx *tx, queue_cb cb, void *arg);
/** What follows in tx sees all claims that were begun before: the COMMIT of one whose worker has
 * just died may still be on its way. Comes first. */
void queue_tx_wait_for_claims(struct store *store, struct store_tx *tx);
