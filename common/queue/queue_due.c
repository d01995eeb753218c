/* SPDX-License-Identifier: MIT */
/*
 * Due times are decided in bulk. What one of them costs is its rows, not its statements: a list d
 * of many stands before each statement, as VALUES, which both engines read as fast as a table.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "queue/queue_sql.h"
#include <stdlib.h>
#include <string.h>
#ifdef DROVER_MUTANTS
#include "store/store_engine.h"
#endif

/* ---- lists ---- */

enum { COLUMNS_MAX = 7, ROWS_MAX = 64 };

/* A statement is made once for each of these lengths of d; what a list has less is NULL. */
static const size_t lengths[] = { 1, 4, 16, ROWS_MAX };

/* $1 is the time; d's first column is NULL in rows that are none. */
struct bulk {
	const char *columns, *types; /* of d: t text, i integer, a letter for each */
	const char *statement;
	char *texts[ARRAY_SIZE(lengths)];
};

/* The type of a column is its first row's. */
static void add_parameter(struct buf *b, char type, size_t number, bool first_row)
{
	if (first_row)
		buf_addf(b, "CAST($%zu AS %s)", number, type == 't' ? "TEXT" : "BIGINT");
	else
		buf_addf(b, "$%zu", number);
}

static char *make_text(const struct bulk *bulk, size_t rows)
{
	struct buf b = BUF_INIT;
	size_t number = 2;
	buf_addf(&b, "WITH d(%s) AS (VALUES ", bulk->columns);
	for (size_t row = 0; row < rows; row++) {
		for (size_t c = 0; bulk->types[c]; c++) {
			buf_add_str(&b, c ? "," : row ? "),(" : "(");
			add_parameter(&b, bulk->types[c], number++, row == 0);
		}
	}
	buf_addf(&b, ")) %s", bulk->statement);
	char *text = strdup(buf_str(&b));
	buf_finish(&b);
	if (!text)
		abort();
	return text;
}

/* The shortest one that is not mostly empty, else the longest that is full. */
static size_t choose_length(size_t left)
{
	size_t i = 0;
	while (i + 1 < ARRAY_SIZE(lengths) && lengths[i] < left)
		i++;
	return lengths[i] > 2 * left ? i - 1 : i;
}

/* A list that grows, and its statement, which is added whenever the list is full. */
struct list_of {
	struct bulk *bulk;
	struct store_tx *tx;
	size_t width, rows;
	size_t first, count; /* the statements added */
	struct store_value values[1 + ROWS_MAX * COLUMNS_MAX];
};

static void list_begin(struct list_of *l, struct bulk *bulk, struct store_tx *tx, int64_t now)
{
	l->bulk = bulk;
	l->tx = tx;
	l->width = strlen(bulk->types);
	l->rows = l->first = l->count = 0;
	l->values[0] = I(now);
}

static void add_statement(struct list_of *l, size_t from, size_t rows, size_t length)
{
	struct bulk *bulk = l->bulk;
	size_t used = rows * l->width, all = lengths[length] * l->width;
	struct store_value *v = &l->values[from * l->width];
	if (!bulk->texts[length])
		bulk->texts[length] = make_text(bulk, lengths[length]);
	/* The place before the list's part is free: it is $1's. */
	v[0] = l->values[0];
	for (size_t i = used; i < all; i++)
		v[1 + i] = STORE_VALUE_NULL;
	size_t at = store_tx_sql(l->tx, bulk->texts[length], v, 1 + all);
	if (l->count++ == 0)
		l->first = at;
}

static void list_end(struct list_of *l)
{
	for (size_t done = 0; done < l->rows;) {
		size_t length = choose_length(l->rows - done);
		size_t rows = MIN(l->rows - done, lengths[length]);
		add_statement(l, done, rows, length);
		done += rows;
	}
	l->rows = 0;
}

static void list_add(struct list_of *l, const struct store_value *row)
{
	if (l->rows == ROWS_MAX)
		list_end(l);
	memcpy(&l->values[1 + l->rows++ * l->width], row, l->width * sizeof(*row));
}
#define ADD(list, ...) list_add((list), (const struct store_value[]) { __VA_ARGS__ })

/* ---- the statements ---- */

/* First of all: where writers work side by side, the next one of the same job waits here until this
 * transaction is durable, and sees what it decided. One that comes late moves nothing back. The row
 * is written in any case: no change tells that it is gone. */
static struct bulk move = { .columns = "job, due_at, next_due_at",
	.types = "tii",
	.statement =
		"UPDATE drover_job SET next_due_at = CASE"
		" WHEN d.next_due_at IS NULL THEN CASE WHEN drover_job.next_due_at <= d.due_at"
		" THEN NULL ELSE drover_job.next_due_at END"
		" WHEN drover_job.next_due_at IS NULL OR drover_job.next_due_at < d.next_due_at"
		" THEN d.next_due_at ELSE drover_job.next_due_at END, updated_at = $1"
		" FROM d WHERE drover_job.name = d.job" };

/* The same for those whose row is written behind, where writers work side by side. */
static struct bulk holds[STORE_DIALECTS] = {
	[STORE_DIALECT_POSTGRESQL] = { .columns = "job",
		.types = "t",
		.statement = "SELECT 1 FROM d JOIN drover_job j ON j.name = d.job"
			     " FOR NO KEY UPDATE OF j" },
};

/*
 * Which of two runs that would overlap is made is not asked beforehand: a row that says that it is
 * the job's only open one, or the only one that waits, is refused by a unique index, whoever else
 * writes at the same time.
 */
#define COLUMNS_OF_RUN "job, token, cause, due_at, followed, tasks, alone"
#define TYPES_OF_RUN   "tttiiii"
#define MAKE(exclusive, waiting, condition)                                                     \
	"INSERT INTO drover_run (job, trigger, token, due_at, created_at, state,"               \
	" followed, tasks_total, exclusive, waiting) SELECT d.job, d.cause, d.token,"           \
	" d.due_at, CAST($1 AS BIGINT), 'queued', d.followed, d.tasks, " exclusive ", " waiting \
	" FROM d WHERE d.job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"                         \
	" drover_due u WHERE u.job = d.job AND u.due_at = d.due_at) AND EXISTS (SELECT 1"       \
	" FROM drover_job j WHERE j.name = d.job AND j.paused = 0"                              \
	" AND j.resumed_at < d.due_at)" condition " ON CONFLICT DO NOTHING"
#define NONE "CAST(NULL AS TEXT)"
/* Saves the number that a refused row would take; two that look at once are both let through here,
 * and one of them is refused by the index. */
#define NOBODY_RUNS                                                            \
	"NOT EXISTS (SELECT 1 FROM drover_run r WHERE r.exclusive = d.job AND" \
	" r.finished_at IS NULL)"
/* What waits goes first. */
#define NOBODY_WAITS                                                         \
	"NOT EXISTS (SELECT 1 FROM drover_run r WHERE r.waiting = d.job AND" \
	" r.finished_at IS NULL)"
static struct bulk make = { .columns = COLUMNS_OF_RUN,
	.types = TYPES_OF_RUN,
	.statement = MAKE("CASE WHEN d.alone = 1 THEN d.job ELSE " NONE " END", NONE,
		" AND (d.alone = 0 OR " NOBODY_RUNS " AND " NOBODY_WAITS ")") };
static struct bulk make_behind = { .columns = COLUMNS_OF_RUN,
	.types = TYPES_OF_RUN,
	.statement = MAKE(NONE, "d.job",
		" AND NOT EXISTS (SELECT 1 FROM drover_run r WHERE r.token = d.token)"
		" AND " NOBODY_WAITS) };
#ifdef DROVER_MUTANTS
static struct bulk make_checked = { .columns = COLUMNS_OF_RUN,
	.types = TYPES_OF_RUN,
	.statement = MAKE(NONE, NONE,
		" AND (d.alone = 0 OR NOT EXISTS (SELECT 1 FROM drover_run r WHERE r.job = d.job"
		" AND r.finished_at IS NULL))") };
#endif

/* The key (due_at, job) lets no one decide twice. What d says of one that fires is said when its
 * run was not made. Of one whose run was made the job need not be looked at once more. */
#define PAUSED                                                                       \
	"EXISTS (SELECT 1 FROM drover_job j WHERE j.name = d.job AND (j.paused <> 0" \
	" OR j.resumed_at >= d.due_at))"
static struct bulk account = { .columns = "job, due_at, outcome, reason, token",
	.types = "tittt",
	.statement = "INSERT INTO drover_due (job, due_at, outcome, reason, run_id, decided_at)"
		     " SELECT d.job, d.due_at, CASE WHEN r.id IS NOT NULL THEN 'fired'"
		     " WHEN " PAUSED " THEN 'skipped' ELSE d.outcome END,"
		     " CASE WHEN r.waiting IS NOT NULL THEN 'waits for the run before'"
		     " WHEN r.id IS NOT NULL THEN '' WHEN " PAUSED
		     " THEN 'paused' ELSE d.reason END, r.id, CAST($1 AS BIGINT)"
		     " FROM d LEFT JOIN drover_run r ON r.token = d.token WHERE r.id IS NOT NULL"
		     " OR EXISTS (SELECT 1 FROM drover_job j WHERE j.name = d.job)"
		     " ON CONFLICT (due_at, job) DO NOTHING"
		     " RETURNING outcome, reason, run_id, job, due_at" };

/* Now each has its row, whoever decided it. */
static struct bulk find_missing = { .columns = "job, due_at",
	.types = "ti",
	.statement = "SELECT d.job FROM d WHERE d.job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"
		     " drover_due u WHERE u.due_at = d.due_at AND u.job = d.job)" };

static struct bulk add_tasks = { .columns =
					 "token, kind, priority, max_attempts, payload, timeout_ms",
	.types = "ttiiti",
	.statement =
		"INSERT INTO drover_task (run_id, job, kind, priority, state, not_before, attempt,"
		" max_attempts, fence, checkpoint, payload, depth, timeout_ms, created_at)"
		" SELECT r.id, r.job, d.kind, d.priority, CASE WHEN r.waiting IS NULL THEN 0 ELSE 4"
		" END, CAST($1 AS BIGINT), 0, d.max_attempts, 0, '', d.payload, 0, d.timeout_ms,"
		" CAST($1 AS BIGINT) FROM d JOIN drover_run r ON r.token = d.token" };

/* Nobody has decided it, and it cannot begin now: not at all then. */
static void need_room(struct store_tx *tx, const struct due_decision *d, const char *token)
{
	SQL(tx,
		"SELECT 1 WHERE (SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL AND"
		" trigger = 'catch_up') <= $4 AND ($5 = 0 OR EXISTS (SELECT 1 FROM drover_run"
		" WHERE token = $3 AND waiting IS NULL)) OR EXISTS (SELECT 1 FROM drover_due WHERE "
		"job = $1 AND"
		" due_at = $2) OR EXISTS (SELECT 1 FROM drover_job WHERE name = $1 AND"
		" (paused <> 0 OR resumed_at >= $2)) OR NOT EXISTS (SELECT 1 FROM drover_job"
		" WHERE name = $1)",
		T(d->job), I(d->due_at), T(token), I(CATCH_UP_IN_FLIGHT),
		I(d->room == ROOM_OF_JOB));
	store_tx_expect(tx, 1);
}

/* ---- decisions ---- */

struct deciding {
	struct store_tx *tx;
	const struct due_decision *items;
	size_t count;
	int64_t now;
	char (*tokens)[TOKEN_TEXT]; /* of those that fire */
	struct list_of list;
};

static bool fires(const struct due_decision *d)
{
	return d->run && str_eq(d->outcome, "fired");
}

static bool last_of_job(const struct deciding *g, size_t i)
{
	return i + 1 == g->count || !str_eq(g->items[i + 1].job, g->items[i].job);
}

static void move_on(struct deciding *g, struct store_tx *tx, bool nowhere)
{
	list_begin(&g->list, &move, tx, g->now);
	for (size_t i = 0; i < g->count; i++) {
		const struct due_decision *d = &g->items[i];
		if (d->behind || !last_of_job(g, i))
			continue;
		int64_t next = nowhere ? d->due_at : d->next_due_at;
		ADD(&g->list, T(d->job), I(d->due_at), next ? I(next) : STORE_VALUE_NULL);
	}
	list_end(&g->list);
}

static void hold_others(struct deciding *g)
{
	struct bulk *hold = &holds[store_dialect(store_tx_store(g->tx))];
	if (!hold->statement)
		return;
	list_begin(&g->list, hold, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++)
		if (g->items[i].behind && last_of_job(g, i))
			ADD(&g->list, T(g->items[i].job));
	list_end(&g->list);
}

static void tell_missing(struct deciding *g)
{
	list_begin(&g->list, &find_missing, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++)
		if (last_of_job(g, i))
			ADD(&g->list, T(g->items[i].job), I(g->items[i].due_at));
	list_end(&g->list);
}

static void move_all(struct deciding *g)
{
#ifdef DROVER_MUTANTS
	if (MUTANT(NEXT_DUE_IN_OWN_TRANSACTION)) {
		struct store_tx *own = queue_tx_new(store_tx_store(g->tx), 0);
		move_on(g, own, false);
		store_submit(store_tx_store(g->tx), own, NULL, NULL);
		move_on(g, g->tx, true);
		return;
	}
#endif
	move_on(g, g->tx, false);
}

static bool may_wait(const struct run_request *run)
{
	return run->overlap == OVERLAP_QUEUE || run->overlap == OVERLAP_REPLACE;
}

static void add_run(struct deciding *g, size_t i)
{
	const struct due_decision *d = &g->items[i];
	const struct run_request *run = d->run;
	ADD(&g->list, T(d->job), T(g->tokens[i]), T(run->trigger), I(d->due_at), I(run->followed),
		I(run->frontier ? 0 : (int64_t)run->payload_count),
		I(run->overlap != OVERLAP_ALLOW));
}

static void make_runs(struct deciding *g)
{
	struct bulk *first = &make;
#ifdef DROVER_MUTANTS
	if (MUTANT(OVERLAP_BY_CHECK))
		first = &make_checked;
#endif
	for (size_t i = 0; i < g->count; i++)
		if (fires(&g->items[i]) && g->items[i].run->overlap == OVERLAP_REPLACE &&
			first == &make) {
			struct run_request run = *g->items[i].run;
			run.due_at = g->items[i].due_at;
			queue_tx_replace(g->tx, &run, g->now);
		}
	list_begin(&g->list, first, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++)
		if (fires(&g->items[i]))
			add_run(g, i);
	list_end(&g->list);
	if (first != &make)
		return;
	list_begin(&g->list, &make_behind, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++)
		if (fires(&g->items[i]) && may_wait(g->items[i].run))
			add_run(g, i);
	list_end(&g->list);
}

static void account_all(struct deciding *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (fires(&g->items[i]) && g->items[i].room != ROOM_ANY)
			need_room(g->tx, &g->items[i], g->tokens[i]);
	list_begin(&g->list, &account, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++) {
		const struct due_decision *d = &g->items[i];
		bool fired = fires(d), waits = fired && d->run->overlap == OVERLAP_QUEUE;
		ADD(&g->list, T(d->job), I(d->due_at),
			T(waits		? "coalesced"
				: fired ? "skipped"
					: d->outcome),
			T(waits		? "a run of the job waits already"
				: fired ? "overlap"
					: d->reason),
			fired ? T(g->tokens[i]) : STORE_VALUE_NULL);
	}
	list_end(&g->list);
}

static void make_tasks(struct deciding *g)
{
	list_begin(&g->list, &add_tasks, g->tx, g->now);
	for (size_t i = 0; i < g->count; i++) {
		const struct run_request *run = g->items[i].run;
		if (!fires(&g->items[i]) || run->frontier)
			continue;
		for (size_t k = 0; k < run->payload_count; k++)
			ADD(&g->list, T(g->tokens[i]), T(run->kind), I(run->priority),
				I(MAX(run->max_attempts, (int64_t)1)), T(run->payloads[k]),
				I(run->timeout_ms));
	}
	list_end(&g->list);
	for (size_t i = 0; i < g->count; i++) {
		const struct due_decision *d = &g->items[i];
		if (fires(d) && (d->run->frontier || d->run->payload_count == 0))
			queue_tx_add_tasks(g->tx, g->tokens[i], d->run, g->now);
	}
}

void queue_tx_decide(struct store_tx *tx, const struct due_decision *decisions, size_t count,
	int64_t now_ms, struct due_statements *out)
{
	struct deciding *g = NEW(struct deciding);
	if (!g || !(g->tokens = calloc(count + 1, sizeof(*g->tokens))))
		abort();
	g->tx = tx;
	g->items = decisions;
	g->count = count;
	g->now = now_ms;
	for (size_t i = 0; i < count; i++)
		if (fires(&decisions[i]))
			queue_token(g->tokens[i]);
	struct due_statements said;
	move_all(g);
	hold_others(g);
	make_runs(g);
	account_all(g);
	said.accounted = g->list.first;
	said.accounted_count = g->list.count;
	tell_missing(g);
	said.missing = g->list.first;
	said.missing_count = g->list.count;
	make_tasks(g);
	if (out)
		*out = said;
	free(g->tokens);
	free(g);
}

void queue_tx_move(struct store_tx *tx, const struct due_move *moves, size_t count, int64_t now_ms)
{
	struct list_of *list = NEW(struct list_of);
	if (!list)
		abort();
	list_begin(list, &move, tx, now_ms);
	for (size_t i = 0; i < count; i++)
		ADD(list, T(moves[i].job), I(moves[i].next_due_at), I(moves[i].next_due_at));
	list_end(list);
	free(list);
}
