/* SPDX-License-Identifier: MIT */
/* What becomes of due times. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "queue/queue.h"
#include "scheduler/job_run.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker_inside.h"
#include "store/store.h"
#include <string.h>

enum { KINDS_MAX = 8, TOLD_ONE_BY_ONE = 20 };

/* What one transaction decides of one job; the last of its due times is told. */
struct decided {
	struct timed_job *job;
	int64_t due_at, next_due;
	size_t count;
	size_t statement, row; /* where the last of them stands, if nobody had decided it before */
	bool new, missing, behind;
};
/* One transaction; lives in it. */
struct deciding {
	size_t dues, payloads, count;
	bool more; /* it had no room for all that is due already */
	struct due_statements said;
	struct decided items[];
};

struct due_verdict ticker_judge(
	const struct config_due *due, int64_t due_at, int64_t now_ms, bool later)
{
	int64_t ago = now_ms - due_at;
	/* Not a time that passes, but something that has happened. */
	if (due->after.count)
		return (struct due_verdict) { "fired", "" };
	if (ago > due->catch_up_window_ms)
		return (struct due_verdict) { "missed", "longer ago than the catch-up window" };
	if (ago > ON_TIME_MS && due->catch_up == CATCH_UP_NONE)
		return (struct due_verdict) { "missed",
			"not decided within a minute, and schedule.catch_up is none" };
	if (later && due->catch_up != CATCH_UP_ALL)
		return (struct due_verdict) { "coalesced", "a later due time stands for it" };
	return (struct due_verdict) { "fired", "" };
}

/* The one after a due time: `every` goes on from the due time itself, so a late start shifts
 * nothing. */
int64_t ticker_after(const struct timed_job *j, int64_t due)
{
	const struct schedule *s = &j->job->schedule;
	int64_t next;
	if (s->kind == SCHEDULE_EVERY)
		return due + s->every_ms;
	return schedule_next(s, due, false, &next) < 0 ? 0 : next;
}

/* What is fired late is spread, and so is what is fired although a later one is due. */
static bool is_caught_up(const struct timed_job *j, int64_t due, int64_t now, bool later)
{
	return !j->job->due.after.count && !j->paused &&
	       (later || now - ticker_begins_at(j, due) > ON_TIME_MS);
}

/*
 * t->plan: what becomes of the job's due times, at most `room` of them, up to the first that fires
 * and is to be caught up; that one too when `catching`. @return the due time that follows, 0: none
 */
static int64_t plan_job(
	struct ticker *t, const struct timed_job *j, int64_t now, size_t room, bool catching)
{
	int64_t due = j->next_due;
	t->planned = 0;
	/* The heap knows when that of a job that follows others begins. */
	bool begins = j->job->due.after.count > 0;
	while (t->planned < room && due && (begins || ticker_begins_at(j, due) <= now)) {
		int64_t next = ticker_after(j, due);
		bool later = next && ticker_begins_at(j, next) <= now;
		struct due_verdict v = ticker_judge(&j->job->due, due, now, later);
		bool fires = str_eq(v.outcome, "fired");
		if (fires && !catching && is_caught_up(j, due, now, later))
			break;
		t->plan[t->planned++] = (struct planned) { due, v.outcome, v.reason };
		due = next;
		/* Its payloads are made for one run at a time. */
		if (fires)
			break;
	}
	return due;
}

static enum due_room room_of(const struct timed_job *j, bool catching)
{
	if (!catching)
		return ROOM_ANY;
	return j->job->due.catch_up == CATCH_UP_ALL && j->job->due.overlap != OVERLAP_ALLOW
		       ? ROOM_OF_JOB
		       : ROOM_IN_FLIGHT;
}

/* Of items[count]. @return false: out of memory, the next tick tries again; or the transaction is
 * full */
static bool add_plan(struct ticker *t, struct deciding *all, bool catching)
{
	struct decided *d = &all->items[all->count];
	struct timed_job *j = d->job;
	const struct planned *last = &t->plan[t->planned - 1];
	bool fires = str_eq(last->outcome, "fired");
	struct job_run *run = &t->runs[t->run_count];
	if (fires && job_run_init(run, j->job,
			     catching		       ? "catch_up"
			     : j->job->due.after.count ? "after"
						       : "schedule") < 0)
		return false;
	size_t payloads = all->payloads + (fires ? run->request.payload_count : 0);
	if (fires && all->payloads && payloads > PAYLOADS_A_TRANSACTION) {
		job_run_finish(run);
		return false;
	}
	all->payloads = payloads;
	t->run_count += fires;
	d->behind = t->many && !catching && d->next_due && !j->job->due.after.count &&
		    clock_real_ms() - last->due_at <= LAP_MS;
	for (size_t i = 0; i < t->planned; i++) {
		bool this_fires = fires && i == t->planned - 1;
		t->decisions[t->decision_count++] = (struct due_decision) { .job = j->name,
			.due_at = t->plan[i].due_at,
			.next_due_at = d->next_due,
			.behind = d->behind,
			.outcome = t->plan[i].outcome,
			.reason = t->plan[i].reason,
			.run = this_fires ? &run->request : NULL,
			.room = this_fires ? room_of(j, catching) : ROOM_ANY };
	}
	d->due_at = last->due_at;
	d->count = t->planned;
	j->decided = all->count++;
	all->dues += t->planned;
	j->busy = true;
	job_heap_remove(j);
	return true;
}

static void submit(
	struct ticker *t, struct store_tx *tx, struct deciding *d, int64_t now, store_done done)
{
	queue_tx_decide(tx, t->decisions, t->decision_count, now, &d->said);
	for (size_t i = 0; i < t->run_count; i++)
		job_run_finish(&t->runs[i]);
	t->run_count = t->decision_count = 0;
	store_submit(t->scheduler->store, tx, done, t);
}

/* ---- when it is durable ---- */

/* Only what this transaction decided: a row that was there before is left alone. */
static void log_decided(const struct decided *d, const struct store_result *r)
{
	const char *outcome = store_result_text(r, d->statement, d->row, DUE_OUTCOME),
		   *reason = store_result_text(r, d->statement, d->row, DUE_REASON);
	log_info(MAIN, "due_decided", KV_STR("job", d->job->name), KV_INT("due_at", d->due_at),
		KV_STR("state", outcome), KV_STR("reason", reason && *reason ? reason : outcome),
		KV_INT("run", store_result_int(r, d->statement, d->row, DUE_RUN)),
		KV_INT("count", d->count));
}

/* Another scheduler, whose configuration does not have the job, has deleted its row. Nothing was
 * decided: the job is written again, and goes on from here. */
static void write_again(struct timed_job *j)
{
	if (j->known)
		j->go_on_at = j->next_due;
	j->known = false;
	j->ticker->unknown = true;
	ticker_enqueue(j);
}

static void finish_job(const struct decided *d, int64_t now)
{
	struct timed_job *j = d->job;
	j->next_due = d->next_due;
	ticker_set_behind(j, d->behind);
	if (j->recount) {
		j->recount = false;
		ticker_count_anew(j, now);
	}
	ticker_enqueue(j);
	/* What is left of a backlog comes behind all that is due now. */
	if (j->heap == &j->ticker->due && j->key < now) {
		job_heap_put(&j->ticker->due, j, now);
		j->ticker->decide_mono = 0;
	}
}

struct kinds {
	const char *items[KINDS_MAX];
	size_t count;
};

static void add_kind(struct kinds *kinds, const char *kind)
{
	for (size_t i = 0; i < kinds->count; i++)
		if (str_eq(kinds->items[i], kind))
			return;
	if (kinds->count < KINDS_MAX)
		kinds->items[kinds->count++] = kind;
}

/* Rows mostly come in the order of the items. */
static struct decided *find_item(
	const struct ticker *t, struct deciding *d, const char *name, size_t *guess)
{
	if (*guess < d->count && str_eq(d->items[*guess].job->name, name))
		return &d->items[(*guess)++];
	const struct timed_job *j = ticker_find(t, name);
	if (!j || !j->busy || j->decided >= d->count || d->items[j->decided].job != j)
		return NULL;
	*guess = j->decided + 1;
	return &d->items[j->decided];
}

/* Whose last due time was not decided before. */
static void find_new(const struct ticker *t, const struct store_result *r, struct deciding *d)
{
	size_t end = d->said.accounted + d->said.accounted_count, guess = 0;
	for (size_t statement = d->said.accounted; statement < end; statement++) {
		for (size_t row = 0; row < store_result_rows(r, statement); row++) {
			struct decided *item = find_item(
				t, d, store_result_text(r, statement, row, DUE_JOB), &guess);
			if (!item || store_result_int(r, statement, row, DUE_AT) != item->due_at)
				continue;
			item->new = true;
			item->statement = statement;
			item->row = row;
		}
	}
}

static void find_missing(const struct ticker *t, const struct store_result *r, struct deciding *d)
{
	size_t end = d->said.missing + d->said.missing_count, guess = 0;
	for (size_t statement = d->said.missing; statement < end; statement++) {
		for (size_t row = 0; row < store_result_rows(r, statement); row++) {
			struct decided *item = find_item(
				t, d, store_result_text(r, statement, row, 0), &guess);
			if (item)
				item->missing = true;
		}
	}
}

static void finish_item(struct ticker *t, const struct store_result *r, const struct decided *item,
	struct kinds *kinds)
{
	if (!ticker_unbusy(item->job))
		return;
	if (item->missing) {
		write_again(item->job);
		return;
	}
	/* Whoever decided it may have set the next one already, and died. */
	if (!item->new && item->job->job->due.after.count)
		t->unknown = true;
	if (item->new &&str_eq(
		    store_result_text(r, item->statement, item->row, DUE_OUTCOME), "fired"))
		add_kind(kinds, item->job->job->kind->name);
	finish_job(item, clock_real_ms());
}

static void finish(struct ticker *t, const struct store_result *r)
{
	struct deciding *d = store_result_data(r);
	struct kinds kinds = { 0 };
	find_new(t, r, d);
	find_missing(t, r, d);
	for (size_t i = 0; i < d->count; i++) {
		if (d->items[i].new && d->count <= TOLD_ONE_BY_ONE && d->items[i].job->job)
			log_decided(&d->items[i], r);
		finish_item(t, r, &d->items[i], &kinds);
	}
	if (d->count > TOLD_ONE_BY_ONE)
		log_info(MAIN, "due_times_decided", KV_INT("jobs", d->count),
			KV_INT("count", d->dues));
	for (size_t i = 0; i < kinds.count; i++)
		scheduler_wake(t->scheduler, kinds.items[i]);
}

/* Nothing was decided: they come up again. */
static void undo(const struct store_result *r)
{
	const struct deciding *d = store_result_data(r);
	for (size_t i = 0; i < d->count; i++)
		if (ticker_unbusy(d->items[i].job))
			ticker_enqueue(d->items[i].job);
}

static void on_decided(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	t->deciding = false;
	if (ticker_store_failed(t, r)) {
		undo(r);
		return;
	}
	finish(t, r);
	ticker_tick(t);
}

static struct store_tx *begin(struct ticker *t, size_t jobs, struct deciding **d)
{
	struct store_tx *tx = store_tx_new(t->scheduler->store, 0);
	*d = tx ? store_tx_data(tx, sizeof(**d) + jobs * sizeof((*d)->items[0])) : NULL;
	if (!*d) {
		store_tx_free(tx);
		return NULL;
	}
	return tx;
}

/* ---- in time ---- */

static bool is_due(const struct timed_job *j, int64_t now)
{
	return j && j->key <= now;
}

/* Where many fall due after each other they are decided together, what is late does not wait. */
static void pace(struct ticker *t, const struct deciding *d)
{
	int64_t now = clock_mono_ms();
	if (now - t->window_mono >= WINDOW_MS) {
		t->decided_before = now - t->window_mono < 2 * WINDOW_MS ? t->decided_lately : 0;
		t->decided_lately = 0;
		t->window_mono = now;
	}
	t->decided_lately += d->count;
	t->many = MAX(t->decided_lately, t->decided_before) >= MANY_A_WINDOW;
	t->decide_mono = t->many && !d->more ? now + PACE_MS : 0;
}

void ticker_decide(struct ticker *t, int64_t now)
{
	struct timed_job *j;
	struct deciding *d = NULL;
	struct store_tx *tx = NULL;
	if (t->deciding || clock_mono_ms() < t->decide_mono)
		return;
	while (is_due(j = job_heap_first(&t->due), now) && (!d || d->dues < DUES_A_TRANSACTION)) {
		size_t room = MIN(DUES_A_TRANSACTION - (d ? d->dues : 0), (size_t)DUES_OF_A_JOB);
		int64_t next = plan_job(t, j, now, room, false);
		if (t->planned == 0) {
			job_heap_put(&t->late, j, j->next_due);
			continue;
		}
		if (!tx && !(tx = begin(t, MIN(t->due.count, (size_t)DUES_A_TRANSACTION), &d)))
			return;
		d->items[d->count] = (struct decided) { .job = j, .next_due = next };
		d->more = d->more || t->planned == room;
		if (!add_plan(t, d, false)) {
			d->more = true;
			break;
		}
	}
	if (!tx)
		return;
	pace(t, d);
	t->deciding = true;
	submit(t, tx, d, now, on_decided);
}

/* ---- catching up ---- */

static void wait_for_room(struct ticker *t, const struct store_result *r)
{
	const struct deciding *d = store_result_data(r);
	struct timed_job *j = d->items[0].job;
	if (ticker_unbusy(j))
		job_heap_put(&t->aside, j, j->next_due);
	if (++t->no_room < NO_ROOM_TRIES && t->late.count)
		return;
	t->no_room = 0;
	t->catch_up_mono = clock_mono_ms() + NO_ROOM_MS;
}

static void on_caught_up(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	t->catching = false;
	if (store_result_status(r) == STORE_CONFLICT) {
		wait_for_room(t, r);
	} else if (ticker_store_failed(t, r)) {
		undo(r);
		return;
	} else {
		t->no_room = 0;
		t->catch_up_mono = clock_mono_ms() + SPREAD_MS;
		finish(t, r);
	}
	ticker_tick(t);
}

void ticker_catch_up(struct ticker *t, int64_t now)
{
	struct deciding *d;
	if (t->catching || (!t->late.count && !t->aside.count) ||
		clock_mono_ms() < t->catch_up_mono)
		return;
	/* Those that found no room come up again when all others have been tried. */
	for (bool all = !t->late.count; all && t->aside.count;) {
		struct timed_job *j = job_heap_first(&t->aside);
		job_heap_put(&t->late, j, j->next_due);
	}
	struct timed_job *j = job_heap_first(&t->late);
	struct store_tx *tx = begin(t, 1, &d);
	if (!tx)
		return;
	int64_t next = plan_job(t, j, now, DUES_A_TRANSACTION, true);
	d->items[0] = (struct decided) { .job = j, .next_due = next };
	if (t->planned == 0 || !add_plan(t, d, true)) {
		store_tx_free(tx);
		ticker_enqueue(j);
		return;
	}
	t->catching = true;
	submit(t, tx, d, now, on_caught_up);
}
