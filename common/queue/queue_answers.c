/* SPDX-License-Identifier: MIT */
/* Answers in pages: a step reads CHUNK rows, writes them as JSON, and asks for the next. */
#include "queue/queue_answers.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "queue/queue_sql.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 50, TABLE_CUT = 512, SHOW_CUT = 1500, PAGE_ROOM = 64 };

struct queue_answer;
struct answer_kind {
	const char *key; /* of the array */
	/* Adds the statements that read (and do) the next chunk; rows come from the first. */
	void (*ask)(struct queue_answer *a, struct store_tx *tx);
	/* Writes one row; false: not asked for. Moves the cursor. */
	bool (*row)(struct queue_answer *a, struct json_out *j, const char *key,
		const struct store_result *r, size_t row);
	bool writes;
	const char *none; /* words when an answer for one thing is empty */
};

struct queue_answer {
	struct store *store;
	const struct answer_kind *kind;
	queue_page page;
	void *arg;
	struct buf entries; /* of the page in work, without what is around them */
	bool in_page, one, cancelled;
	size_t found;
	/* the question */
	char *job, *request_id;
	char **names;
	size_t name_count;
	int64_t id, left; /* left: rows until the limit */
	char *partition;
	bool times;
	int64_t busy; /* a run that keeps from what is asked for; 0: none */
	enum dead_verb verb;
	/* the cursor: behind it what was not yet read */
	int64_t last_id;
	char *last_name;
	/* of jobs; may be NULL */
	int64_t (*next_due)(const void *of, const char *job);
	const void *next_due_of;
};

static void next_step(struct queue_answer *a);

static void answer_free(struct queue_answer *a)
{
	for (size_t i = 0; a->names && i < a->name_count; i++)
		free(a->names[i]);
	free(a->names);
	free(a->job);
	free(a->request_id);
	free(a->last_name);
	free(a->partition);
	buf_finish(&a->entries);
	free(a);
}

void queue_answer_cancel(struct queue_answer *a)
{
	if (!a)
		return;
	/* From within a page: freed when that has returned. */
	if (a->cancelled || a->in_page) {
		a->cancelled = true;
		return;
	}
	store_forget(a->store, a);
	answer_free(a);
}

static struct queue_answer *answer_new(
	struct store *store, const struct answer_kind *kind, queue_page page, void *arg)
{
	struct queue_answer *a = NEW(struct queue_answer);
	if (!a)
		return NULL;
	a->store = store;
	a->kind = kind;
	a->page = page;
	a->arg = arg;
	a->left = INT64_MAX;
	a->last_id = INT64_MAX;
	return a;
}

/* ---- pages ---- */

/* @return false when the answer was cancelled by who got the page */
static bool call_page(
	struct queue_answer *a, enum queue_status status, const struct buf *json, bool last)
{
	a->in_page = true; /* a cancel now only marks */
	a->page(a->arg, status, buf_str(json), json->len, last);
	a->in_page = false;
	return !a->cancelled;
}

static bool send_page(struct queue_answer *a, bool last)
{
	CLEANUP(buf_finish) struct buf page = BUF_INIT;
	buf_addf(&page, a->one ? "{\"%s\":" : "{\"%s\":[", a->kind->key);
	buf_add(&page, buf_str(&a->entries), a->entries.len);
	buf_add_str(&page, a->one ? "}" : "]}");
	buf_reset(&a->entries);
	return call_page(a, QUEUE_OK, &page, last);
}

static void send_error(struct queue_answer *a, enum queue_status status, const char *words)
{
	CLEANUP(buf_finish) struct buf page = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &page);
	json_open_object(&j, NULL);
	json_str(&j, "error", words);
	json_close_object(&j);
	call_page(a, status, &page, true);
	answer_free(a);
}

static void send_busy(struct queue_answer *a)
{
	char words[200];
	snprintf(words, sizeof(words),
		"run %" PRId64 " of %.100s has not ended; wait for it, or pause the job", a->busy,
		a->job);
	send_error(a, QUEUE_BUSY, words);
}

/* One row more; a page that would become too large is sent first. */
static bool add_row(struct queue_answer *a, const struct store_result *r, size_t row)
{
	CLEANUP(buf_finish) struct buf entry = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &entry);
	if (!a->kind->row(a, &j, NULL, r, row))
		return true;
	a->found++;
	a->left--;
	if (a->entries.len > 0 && a->entries.len + entry.len + PAGE_ROOM > QUEUE_PAGE_MAX &&
		!send_page(a, false))
		return false;
	if (a->entries.len > 0)
		buf_add_char(&a->entries, ',');
	buf_add(&a->entries, buf_str(&entry), entry.len);
	return true;
}

static void on_chunk(void *arg, const struct store_result *r)
{
	struct queue_answer *a = arg;
	enum queue_status status = queue_note(r);
	size_t rows = store_result_rows(r, 0);
	if (status != QUEUE_OK) {
		send_error(a, status, queue_error());
		return;
	}
	for (size_t row = 0; row < rows && a->left > 0; row++) {
		if (add_row(a, r, row))
			continue;
		answer_free(a);
		return;
	}
	if (rows == CHUNK && a->left > 0 && !a->one) {
		next_step(a);
		return;
	}
	if (a->busy) {
		send_busy(a);
		return;
	}
	if (a->found == 0 && (a->one || a->id > 0)) {
		send_error(a, QUEUE_LOST, a->kind->none);
		return;
	}
	send_page(a, true);
	answer_free(a);
}

static void next_step(struct queue_answer *a)
{
	struct store_tx *tx = queue_tx_new(
		a->store, a->kind->writes ? STORE_ONE_STATE : STORE_READ_ONLY);
	a->kind->ask(a, tx);
	store_submit(a->store, tx, on_chunk, a);
}

/* ---- runs ---- */

#define RUN_COLUMNS                                                                               \
	" r.id, r.job, r.trigger, r.due_at, r.started_at, r.finished_at, r.state, r.tasks_total," \
	" r.tasks_done, r.tasks_failed, r.tasks_dead, r.requests, r.rows, r.rejected, r.bytes,"   \
	" r.errors, r.created_at, r.tasks_cancelled "

/* The object stays open. */
static void write_run(
	struct json_out *j, const char *key, const struct store_result *r, size_t row, size_t c)
{
	json_open_object(j, key);
	json_int(j, "id", store_result_int(r, 0, row, c));
	json_str(j, "job", store_result_text(r, 0, row, c + 1));
	json_str(j, "trigger", store_result_text(r, 0, row, c + 2));
	json_time(j, "due_at", store_result_int(r, 0, row, c + 3));
	json_time(j, "created_at", store_result_int(r, 0, row, c + 16));
	json_time(j, "started_at", store_result_int(r, 0, row, c + 4));
	json_time(j, "finished_at", store_result_int(r, 0, row, c + 5));
	json_str(j, "state", store_result_text(r, 0, row, c + 6));
	json_open_object(j, "tasks");
	static const char *const tasks[] = { "total", "done", "failed", "dead" };
	for (size_t i = 0; i < 4; i++)
		json_int(j, tasks[i], store_result_int(r, 0, row, c + 7 + i));
	json_int(j, "cancelled", store_result_int(r, 0, row, c + 17));
	json_close_object(j);
	static const char *const counts[] = { "requests", "rows", "rejected", "bytes" };
	for (size_t i = 0; i < 4; i++)
		json_int(j, counts[i], store_result_int(r, 0, row, c + 11 + i));
	/* Written by queue_tx_error() and queue_tx_bury() alone. */
	const char *errors = store_result_text(r, 0, row, c + 15);
	json_raw(j, "errors", errors ? errors : "[]", strlen(errors ? errors : "[]"));
}

/* How many tasks ended by which stop rule: the second statement of ask_runs(). */
static void write_rules(struct json_out *j, const struct store_result *r, int64_t run)
{
	json_open_object(j, "ended_by");
	for (size_t i = 0; i < store_result_rows(r, 1); i++)
		if (store_result_int(r, 1, i, 0) == run)
			json_int(j, store_result_text(r, 1, i, 1), store_result_int(r, 1, i, 2));
	json_close_object(j);
}

static bool run_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	a->last_id = store_result_int(r, 0, row, 0);
	write_run(j, key, r, row, 0);
	write_rules(j, r, a->last_id);
	json_close_object(j);
	return true;
}

/* The runs, and by which rules their tasks ended. */
#define ASK_RUNS(tx, where, ...)                                                          \
	SQL(tx, "SELECT" RUN_COLUMNS "FROM drover_run r WHERE " where, __VA_ARGS__);      \
	SQL(tx,                                                                           \
		"SELECT run_id, rule, tasks FROM drover_ended_by WHERE run_id IN"         \
		" (SELECT r.id FROM drover_run r WHERE " where ") ORDER BY run_id, rule", \
		__VA_ARGS__)

static void ask_runs(struct queue_answer *a, struct store_tx *tx)
{
	int64_t chunk = CHUNK;
	/* Four texts, so that each has its index. */
	if (a->id > 0) {
		ASK_RUNS(tx, "r.id = $1 AND r.id < $2 AND ($3 = '' OR r.job = $3)", I(a->id),
			I(a->last_id), T(a->job ? a->job : ""));
	} else if (a->request_id) {
		ASK_RUNS(tx, "r.request_id = $1 AND r.id < $2 AND ($3 = '' OR r.job = $3)",
			T(a->request_id), I(a->last_id), T(a->job ? a->job : ""));
	} else if (a->job) {
		ASK_RUNS(tx, "r.job = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3", T(a->job),
			I(a->last_id), I(chunk));
	} else {
		ASK_RUNS(tx, "r.id < $1 ORDER BY r.id DESC LIMIT $2", I(a->last_id), I(chunk));
	}
}

static const struct answer_kind runs_kind = {
	.key = "runs", .ask = ask_runs, .row = run_row, .none = "no such run"
};
static const struct answer_kind run_kind = {
	.key = "run", .ask = ask_runs, .row = run_row, .none = "no such run"
};

struct queue_answer *queue_answer_runs(
	struct store *store, const struct runs_question *q, queue_page page, void *arg)
{
	struct queue_answer *a = answer_new(store, q->one ? &run_kind : &runs_kind, page, arg);
	if (!a)
		return NULL;
	a->job = q->job ? strdup(q->job) : NULL;
	a->request_id = q->request_id ? strdup(q->request_id) : NULL;
	if ((q->job && !a->job) || (q->request_id && !a->request_id)) {
		answer_free(a);
		return NULL;
	}
	a->id = q->id;
	if (q->before > 0)
		a->last_id = q->before;
	a->one = q->one;
	a->left = q->one ? 1 : q->limit > 0 ? q->limit : INT64_MAX;
	next_step(a);
	return a;
}

/* ---- jobs ---- */

enum { JOB_COLUMNS = 5 };

static void write_last_run(struct json_out *j, const struct store_result *r, size_t row)
{
	write_run(j, "last_run", r, row, JOB_COLUMNS);
	json_close_object(j);
}

static const char *job_state(const struct store_result *r, size_t row)
{
	const char *run = store_result_text(r, 0, row, JOB_COLUMNS + 6);
	if (store_result_int(r, 0, row, 2))
		return "paused";
	if (run && (str_eq(run, "queued") || str_eq(run, "running")))
		return "running";
	return store_result_int(r, 0, row, 3) > 0 ? "waiting" : "idle";
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool asked_for(const struct queue_answer *a, const char *name)
{
	return !a->names ||
	       bsearch(&name, a->names, a->name_count, sizeof(*a->names), compare_names);
}

static bool job_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	const char *name = store_result_text(r, 0, row, 0);
	char *copy = strdup(name ? name : "");
	if (copy) {
		free(a->last_name);
		a->last_name = copy;
	}
	if (!copy || !asked_for(a, name))
		return false;
	json_open_object(j, key);
	json_str(j, "name", name);
	json_str(j, "kind", store_result_text(r, 0, row, 1));
	json_str(j, "state", job_state(r, row));
	int64_t due = store_result_int(r, 0, row, 3);
	json_time(
		j, "next_due_at", a->next_due ? MAX(due, a->next_due(a->next_due_of, name)) : due);
	json_str(j, "follows", store_result_text(r, 0, row, 4));
	if (store_result_int(r, 0, row, JOB_COLUMNS) > 0)
		write_last_run(j, r, row);
	else
		json_none(j, "last_run");
	json_close_object(j);
	return true;
}

static void ask_jobs(struct queue_answer *a, struct store_tx *tx)
{
	SQL(tx,
		"SELECT j.name, j.kind, j.paused, j.next_due_at, j.follows," RUN_COLUMNS
		"FROM drover_job j LEFT JOIN drover_run r ON r.id ="
		" (SELECT MAX(id) FROM drover_run WHERE job = j.name)"
		" WHERE j.name > $1 ORDER BY j.name LIMIT $2",
		T(a->last_name ? a->last_name : ""), I(CHUNK));
}

static const struct answer_kind jobs_kind = { .key = "jobs", .ask = ask_jobs, .row = job_row };

struct queue_answer *queue_answer_jobs(
	struct store *store, const char *const *names, size_t count, queue_page page, void *arg)
{
	struct queue_answer *a = answer_new(store, &jobs_kind, page, arg);
	if (!a)
		return NULL;
	if (names && !(a->names = calloc(count + 1, sizeof(*a->names)))) {
		answer_free(a);
		return NULL;
	}
	for (; names && a->name_count < count; a->name_count++)
		if (!(a->names[a->name_count] = strdup(names[a->name_count]))) {
			answer_free(a);
			return NULL;
		}
	if (names)
		qsort(a->names, a->name_count, sizeof(*a->names), compare_names);
	next_step(a);
	return a;
}

void queue_answer_next_due(struct queue_answer *a,
	int64_t (*next_due)(const void *of, const char *job), const void *of)
{
	a->next_due = next_due;
	a->next_due_of = of;
}

/* ---- counts ---- */

static bool counts_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	static const char *const names[] = { "ready", "claimed", "delayed", "dead" };
	(void)a;
	json_open_object(j, key);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		json_int(j, names[i], store_result_int(r, 0, row, i));
	json_close_object(j);
	return true;
}

static void ask_counts(struct queue_answer *a, struct store_tx *tx)
{
	(void)a;
	SQL(tx,
		"SELECT (SELECT COUNT(*) FROM drover_task WHERE state = 0 AND not_before <= $1),"
		" (SELECT COUNT(*) FROM drover_task WHERE state = 1),"
		" (SELECT COUNT(*) FROM drover_task WHERE state = 0 AND not_before > $1) +"
		" (SELECT COUNT(*) FROM drover_task WHERE state = 4),"
		" (SELECT COUNT(*) FROM drover_dead)",
		I(clock_real_ms()));
}

static const struct answer_kind counts_kind = {
	.key = "queue", .ask = ask_counts, .row = counts_row, .none = "no queue"
};

struct queue_answer *queue_answer_counts(struct store *store, queue_page page, void *arg)
{
	struct queue_answer *a = answer_new(store, &counts_kind, page, arg);
	if (!a)
		return NULL;
	a->one = true;
	next_step(a);
	return a;
}

/* ---- dead letters ---- */

static void write_cut(struct json_out *j, const char *key, const char *text, size_t cut)
{
	size_t len = strlen(text ? text : "");
	if (len > cut)
		for (len = cut; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	json_strn(j, key, text ? text : "", len);
}

static bool dead_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	size_t cut = a->verb == DEAD_SHOW ? SHOW_CUT : TABLE_CUT;
	a->last_id = store_result_int(r, 0, row, 0);
	json_open_object(j, key);
	json_int(j, "id", a->last_id);
	json_int(j, "run", store_result_int(r, 0, row, 1));
	json_str(j, "job", store_result_text(r, 0, row, 2));
	json_str(j, "kind", store_result_text(r, 0, row, 3));
	write_cut(j, "payload", store_result_text(r, 0, row, 4), cut);
	json_int(j, "attempt", store_result_int(r, 0, row, 5));
	write_cut(j, "error", store_result_text(r, 0, row, 6), cut);
	json_time(j, "failed_at", store_result_int(r, 0, row, 7));
	if (a->verb == DEAD_SHOW) {
		json_time(j, "created_at", store_result_int(r, 0, row, 8));
		json_int(j, "max_attempts", store_result_int(r, 0, row, 9));
		json_int(j, "depth", store_result_int(r, 0, row, 10));
		write_cut(j, "checkpoint", store_result_text(r, 0, row, 11), cut);
	}
	json_close_object(j);
	return true;
}

/* The chunk that all statements of one transaction mean: nothing changes the table between them. */
#define CHOSEN                                                              \
	"(SELECT id FROM drover_dead WHERE id < $1 AND ($2 = 0 OR id = $2)" \
	" AND ($4 = '' OR job = $4) ORDER BY id DESC LIMIT $3)"
#define CHOOSE	       I(a->last_id), I(a->id), I(CHUNK), T(a->job ? a->job : "")
#define RUNS_OF_CHOSEN "(SELECT run_id FROM drover_dead WHERE id IN " CHOSEN ")"
#define COUNT_OF_RUN(given_up)                                                                    \
	"(SELECT COUNT(*) FROM drover_dead WHERE run_id = drover_run.id AND given_up = " given_up \
	" AND id IN " CHOSEN ")"

static void bring_back(struct queue_answer *a, struct store_tx *tx)
{
	int64_t now = clock_real_ms();
	/* The fence goes on from where it was: who held the task before stays locked out. */
	SQL(tx,
		"INSERT INTO drover_task (id, run_id, job, kind, priority, state, not_before,"
		" attempt, max_attempts, fence, checkpoint, payload, depth, unique_key,"
		" timeout_ms, created_at, last_error) SELECT id, run_id, job, kind, priority, 0,"
		" CAST($5 AS BIGINT), 0, max_attempts, fence, checkpoint, payload, depth,"
		" unique_key, timeout_ms, created_at, error FROM drover_dead WHERE id IN " CHOSEN,
		CHOOSE, I(now));
	SQL(tx,
		"UPDATE drover_url SET state = 'queued', reason = NULL WHERE state = 'failed' AND"
		" (run_id, url) IN (SELECT run_id, unique_key FROM drover_dead WHERE id IN " CHOSEN
		")",
		CHOOSE);
	SQL(tx,
		"UPDATE drover_run SET state = 'running', finished_at = NULL, cancelled_at = NULL,"
		" followed = CASE WHEN followed = 1 THEN 1 ELSE 2 END,"
		" exclusive = CASE WHEN EXISTS (SELECT 1 FROM drover_run o WHERE o.exclusive ="
		" drover_run.exclusive AND o.id <> drover_run.id AND (o.finished_at IS NULL"
		" OR o.id > drover_run.id AND o.id IN " RUNS_OF_CHOSEN "))"
		" THEN NULL ELSE exclusive END,"
		" tasks_failed = tasks_failed - " COUNT_OF_RUN(
			"1") ","
			     " tasks_dead = tasks_dead - " COUNT_OF_RUN(
				     "0") " WHERE id IN " RUNS_OF_CHOSEN,
		CHOOSE);
}

static void ask_dead(struct queue_answer *a, struct store_tx *tx)
{
	SQL(tx,
		"SELECT id, run_id, job, kind, payload, attempt, error, failed_at, created_at,"
		" max_attempts, depth, checkpoint FROM drover_dead WHERE id IN " CHOSEN
		" ORDER BY id DESC",
		CHOOSE);
	if (a->verb == DEAD_RETRY)
		bring_back(a, tx);
	if (a->verb == DEAD_RETRY || a->verb == DEAD_DROP)
		SQL(tx, "DELETE FROM drover_dead WHERE id IN " CHOSEN, CHOOSE);
}

static const struct answer_kind dead_kind = {
	.key = "dead", .ask = ask_dead, .row = dead_row, .none = "no such dead letter"
};
static const struct answer_kind dead_change_kind = { .key = "dead",
	.ask = ask_dead,
	.row = dead_row,
	.writes = true,
	.none = "no such dead letter" };

struct queue_answer *queue_answer_dead(
	struct store *store, const struct dead_question *q, queue_page page, void *arg)
{
	bool writes = q->verb == DEAD_RETRY || q->verb == DEAD_DROP;
	struct queue_answer *a = answer_new(
		store, writes ? &dead_change_kind : &dead_kind, page, arg);
	if (!a)
		return NULL;
	a->job = q->job ? strdup(q->job) : NULL;
	if (q->job && !a->job) {
		answer_free(a);
		return NULL;
	}
	a->verb = q->verb;
	a->id = q->id;
	if (q->before > 0)
		a->last_id = q->before;
	if (q->verb == DEAD_LIST && q->limit > 0)
		a->left = q->limit;
	next_step(a);
	return a;
}

/* ---- cursors ---- */

static void write_cursor(const struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_value *value)
{
	if (value->type != STORE_INT)
		json_none(j, key);
	else if (a->times)
		json_time(j, key, value->i);
	else
		json_int(j, key, value->i);
}

static bool cursor_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	const char *partition = store_result_text(r, 0, row, 0);
	free(a->last_name);
	a->last_name = strdup(partition);
	json_open_object(j, key);
	json_str(j, "job", a->job);
	json_raw(j, "partition", partition, strlen(partition));
	write_cursor(a, j, "cursor", store_result_value(r, 0, row, 1));
	write_cursor(a, j, "reached", store_result_value(r, 0, row, 2));
	json_int(j, "windows", store_result_int(r, 0, row, 3));
	json_time(j, "updated_at", store_result_int(r, 0, row, 4));
	json_int(j, "run", store_result_int(r, 0, row, 5));
	json_close_object(j);
	return a->last_name != NULL;
}

static void ask_cursors(struct queue_answer *a, struct store_tx *tx)
{
	SQL(tx,
		"SELECT part, cursor, reached, (SELECT COUNT(*) FROM drover_window w"
		" WHERE w.job = c.job AND w.part = c.part), updated_at, run_id FROM drover_cursor c"
		" WHERE job = $1 AND part > $2 ORDER BY part LIMIT $3",
		T(a->job), T(a->last_name ? a->last_name : ""), I(CHUNK));
}

/* One that is asked for by name must be there. */
static bool reset_row(struct queue_answer *a, struct json_out *j, const char *key,
	const struct store_result *r, size_t row)
{
	int64_t count = store_result_int(r, 0, row, 0);
	a->busy = store_result_int(r, 0, row, 1);
	if (a->busy || (a->partition && !count))
		return false;
	json_open_object(j, key);
	json_str(j, "job", a->job);
	json_int(j, "cursors", count);
	json_close_object(j);
	return true;
}

#define RUNS_NOW "(SELECT MAX(id) FROM drover_run WHERE job = $1 AND finished_at IS NULL)"
#define OF_MEANT " WHERE job = $1 AND ($2 = '' OR part = $2)"
#define AND_RESTS \
	" AND NOT EXISTS (SELECT 1 FROM drover_run WHERE job = $1 AND finished_at IS NULL)"

static void ask_reset(struct queue_answer *a, struct store_tx *tx)
{
	const struct store_value part = T(a->partition ? a->partition : "");
	SQL(tx, "SELECT COUNT(*), " RUNS_NOW " FROM drover_cursor" OF_MEANT, T(a->job), part);
	SQL(tx, "DELETE FROM drover_window" OF_MEANT AND_RESTS, T(a->job), part);
	SQL(tx, "DELETE FROM drover_cursor" OF_MEANT AND_RESTS, T(a->job), part);
}

static struct queue_answer *about_cursors(struct store *store, const struct answer_kind *kind,
	const struct cursors_question *q, queue_page page, void *arg)
{
	struct queue_answer *a = answer_new(store, kind, page, arg);
	if (!a)
		return NULL;
	a->times = q->times;
	a->one = kind->writes;
	a->job = strdup(q->job);
	a->partition = q->partition ? strdup(q->partition) : NULL;
	if (!a->job || (q->partition && !a->partition)) {
		answer_free(a);
		return NULL;
	}
	next_step(a);
	return a;
}

struct queue_answer *queue_answer_cursors(
	struct store *store, const struct cursors_question *q, queue_page page, void *arg)
{
	static const struct answer_kind kind = {
		.key = "cursors", .ask = ask_cursors, .row = cursor_row
	};
	return about_cursors(store, &kind, q, page, arg);
}

struct queue_answer *queue_answer_reset_cursors(
	struct store *store, const struct cursors_question *q, queue_page page, void *arg)
{
	static const struct answer_kind kind = { .key = "reset",
		.ask = ask_reset,
		.row = reset_row,
		.writes = true,
		.none = "there is no such cursor" };
	return about_cursors(store, &kind, q, page, arg);
}
