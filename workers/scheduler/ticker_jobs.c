/* SPDX-License-Identifier: MIT */
/* What the store knows of our jobs, and what it must learn. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "queue/queue.h"
#include "schedule/zone.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker_inside.h"
#include "store/store.h"
#include <stdlib.h>
#include <string.h>

/* Of the schedule alone: a changed selector does not move a due time. */
void ticker_hash_schedule(const struct config_job *job, char hash[17])
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT;
	const struct schedule *s = &job->schedule;
	const struct cron *c = &s->cron;
	buf_addf(&b, "%d;", (int)s->kind);
	if (s->kind == SCHEDULE_CRON) {
		buf_addf(&b, "%llx,%llx,%x,%x,%x,%x,%x,%x,%x,%x,%d,%d;",
			(unsigned long long)c->seconds, (unsigned long long)c->minutes, c->hours,
			c->days, c->months, c->days_from_end, c->weekdays, c->last_weekdays,
			c->workday, c->workday_from_end, c->days_star, c->weekdays_star);
		for (size_t i = 0; i < ARRAY_SIZE(c->nth_weekdays); i++)
			buf_addf(&b, "%x,", c->nth_weekdays[i]);
		buf_addf(&b, "%s,%d,%d", zone_name(s->zone), (int)s->dst.gap, (int)s->dst.overlap);
	} else {
		buf_addf(&b, "%lld,%lld", (long long)s->every_ms, (long long)s->at_ms);
	}
	for (size_t i = 0; i < job->due.after.count; i++)
		buf_addf(&b, ";%d%s", job->due.on, job->due.after.items[i]);
	uint64_t h = str_hash(buf_str(&b), b.len);
	str_hex(hash, &h, sizeof(h));
}

/* ---- a clock that was ahead, a time zone with new rules ---- */

/* A due time that was computed while the clock was ahead would keep its job waiting until then. */
static int64_t bring_back(const struct config_job *job, int64_t next, int64_t now)
{
	const struct schedule *s = &job->schedule;
	int64_t due;
	if (MUTANT(CLOCK_SET_BACK_IGNORED) || next <= now)
		return next;
	/* It names an end, for all schedulers: what is brought back is its beginning. */
	if (job->due.after.count)
		return next;
	if (s->kind == SCHEDULE_EVERY && s->every_ms > 0)
		return next - (next - now - 1) / s->every_ms * s->every_ms;
	/* A later one too: the time zone may have changed its rules. */
	if (s->kind == SCHEDULE_CRON && schedule_next(s, now, false, &due) == 0)
		return due;
	return next;
}

/* What was fired under a clock that was ahead stays fired. What was only passed over lies ahead
 * again: its rows go, or the job would stay silent until then. */
void ticker_count_anew(struct timed_job *j, int64_t now)
{
	struct store *store = j->ticker->scheduler->store;
	int64_t next = bring_back(j->job, j->next_due, now);
	struct store_tx *tx = next == j->next_due ? NULL : store_tx_new(store, 0);
	ticker_enqueue(j);
	if (!tx)
		return;
	const struct store_value params[] = { store_text(j->name), STORE_VALUE_INT(now),
		STORE_VALUE_INT(next) };
	store_tx_sql(tx,
		"DELETE FROM drover_due WHERE job = $1 AND due_at > $2 AND outcome <> 'fired'",
		params, 2);
	store_tx_sql(tx, "UPDATE drover_job SET next_due_at = $3, updated_at = $2 WHERE name = $1",
		params, ARRAY_SIZE(params));
	log_warn(MAIN, "due_times_counted_anew", KV_STR("job", j->name), KV_INT("due_at", next));
	j->next_due = next;
	ticker_enqueue(j);
	store_submit(store, tx, NULL, NULL);
}

/* ---- jobs that are new, or whose schedule changed ---- */

/* Their due times count from now. */
static int64_t first_due(const struct config_job *job, int64_t now)
{
	int64_t next = 0;
	/* start + n x every, where the start is when the job was first seen */
	if (job->schedule.kind == SCHEDULE_EVERY)
		return now;
	if (job->schedule.kind == SCHEDULE_AT)
		return job->schedule.at_ms;
	return schedule_next(&job->schedule, now, false, &next) < 0 ? 0 : next;
}

/* Characters, about, of the list that `drover jobs` shows. */
enum { FOLLOWS_SHOWN = 200 };

struct writing {
	size_t count;
	struct {
		struct timed_job *job;
		size_t statement;
		char hash[17];
	} items[JOBS_A_TRANSACTION];
};

static void write_some(struct ticker *t);

/* decided_at: the last due time that has a row; 0: none is known. */
static void take_row(struct timed_job *j, const struct store_result *r, size_t statement,
	size_t row, size_t c, int64_t decided_at)
{
	j->next_due = store_result_int(r, statement, row, c);
	/* Its row was to be written behind. */
	bool behind = decided_at && j->next_due && decided_at >= j->next_due &&
		      !j->job->due.after.count;
	if (behind)
		j->next_due = ticker_after(j, decided_at);
	ticker_set_behind(j, behind && j->next_due);
	j->paused = store_result_int(r, statement, row, c + 1) != 0;
	j->known = true;
	j->go_on_at = 0;
	ticker_count_anew(j, clock_real_ms());
	ticker_enqueue(j);
}

static void on_written(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	const struct writing *w = store_result_data(r);
	bool failed = ticker_store_failed(t, r);
	t->writing = false;
	for (size_t i = 0; i < w->count; i++) {
		struct timed_job *j = w->items[i].job;
		if (!ticker_unbusy(j))
			continue;
		size_t statement = w->items[i].statement;
		/* Changed once more meanwhile, or gone again by another's hand. */
		if (failed || !t->started || !str_eq(j->hash, w->items[i].hash) ||
			store_result_rows(r, statement) == 0)
			t->unknown = true;
		else
			take_row(j, r, statement, 0, 0, 0);
	}
	if (failed || !t->started)
		return;
	write_some(t);
	ticker_tick(t);
}

static size_t add_job(struct store_tx *tx, const struct timed_job *j, int64_t now)
{
	int64_t due = j->go_on_at ? j->go_on_at : first_due(j->job, now);
	CLEANUP(buf_finish) struct buf follows = BUF_INIT;
	for (size_t i = 0; i < j->job->due.after.count && follows.len < FOLLOWS_SHOWN; i++)
		buf_addf(&follows, "%s%s", i ? ", " : "", j->job->due.after.items[i]);
	const struct store_value params[] = {
		store_text(j->name),
		store_text(j->job->kind->name),
		store_text(j->hash),
		due ? STORE_VALUE_INT(due) : STORE_VALUE_NULL,
		STORE_VALUE_INT(now),
		STORE_VALUE_INT(j->job->concurrency),
		follows.len ? store_text(buf_str(&follows)) : STORE_VALUE_NULL,
	};
	/* Of two schedulers that see it at once the first one's beginning holds for both. */
	store_tx_sql(tx,
		"INSERT INTO drover_job (name, kind, spec_hash, next_due_at, paused, updated_at,"
		" concurrency, follows) VALUES ($1, $2, $3, $4, 0, $5, $6, $7) ON CONFLICT (name) "
		"DO UPDATE SET "
		"kind ="
		" excluded.kind, spec_hash = excluded.spec_hash, next_due_at = "
		"excluded.next_due_at,"
		" updated_at = excluded.updated_at, concurrency = excluded.concurrency,"
		" follows = excluded.follows"
		" WHERE drover_job.spec_hash <> excluded.spec_hash",
		params, ARRAY_SIZE(params));
	if (j->job->due.after.count) {
		queue_tx_unfollow(tx, j->name);
		for (size_t i = 0; i < j->job->due.after.count; i++)
			queue_tx_watch_parent(tx, j->job->due.after.items[i]);
	}
	return store_tx_sql(
		tx, "SELECT next_due_at, paused FROM drover_job WHERE name = $1", params, 1);
}

static void write_some(struct ticker *t)
{
	struct store *store = t->scheduler->store;
	struct store_tx *tx = t->writing ? NULL : store_tx_new(store, 0);
	struct writing *w = tx ? store_tx_data(tx, sizeof(*w)) : NULL;
	int64_t now = clock_real_ms();
	for (size_t i = 0; w && i < t->count && w->count < JOBS_A_TRANSACTION; i++) {
		struct timed_job *j = t->jobs[i];
		if (j->known || j->busy)
			continue;
		w->items[w->count].job = j;
		memcpy(w->items[w->count].hash, j->hash, sizeof(j->hash));
		w->items[w->count++].statement = add_job(tx, j, now);
		j->busy = true;
	}
	if (!w || !w->count) {
		store_tx_free(tx);
		return;
	}
	t->writing = true;
	store_submit(store, tx, on_written, t);
}

/* ---- reading ---- */

static void forget_job(struct ticker *t, const char *name, int64_t untouched_since)
{
	struct store *store = t->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	const struct store_value params[] = { store_text(name), STORE_VALUE_INT(untouched_since) };
	if (!tx)
		return;
	store_tx_sql(tx, "DELETE FROM drover_job WHERE name = $1 AND updated_at <= $2", params,
		ARRAY_SIZE(params));
	store_tx_expect(tx, 1);
	queue_tx_unfollow(tx, name);
	log_info(MAIN, "job_removed", KV_STR("job", name));
	store_submit(store, tx, NULL, NULL);
}

void ticker_forget_job(struct ticker *t, const char *name)
{
	forget_job(t, name, INT64_MAX);
}

/* A job that we never had may be another scheduler's, whose configuration is newer. One that was
 * taken out while we were away is touched by nobody. */
static void on_stranger(struct ticker *t, const char *name, int64_t updated_at)
{
	if (llabs(clock_real_ms() - updated_at) >= STRANGER_MS)
		forget_job(t, name, updated_at);
	else
		t->strangers_mono = clock_mono_ms() + STRANGER_LOOK_MS;
}

/* What claims are bounded by (queue_claim.c) follows the configuration at once. */
static void write_bound(const struct timed_job *j)
{
	struct store *store = j->ticker->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	const struct store_value params[] = { store_text(j->name),
		STORE_VALUE_INT(j->job->concurrency) };
	if (!tx)
		return;
	store_tx_sql(tx, "UPDATE drover_job SET concurrency = $2 WHERE name = $1", params,
		ARRAY_SIZE(params));
	store_submit(store, tx, NULL, NULL);
}

/* Another scheduler may have gone on with it. */
static void take_news(struct timed_job *j, int64_t next_due, bool paused)
{
	j->paused = paused;
	if (next_due > j->next_due) {
		j->next_due = next_due;
		ticker_enqueue(j);
	}
}

static void take_decided(struct ticker *t, const struct store_result *r)
{
	for (size_t i = 0; i < t->count; i++)
		t->jobs[i]->decided_at = 0;
	for (size_t row = 0; row < store_result_rows(r, 1); row++) {
		struct timed_job *j = ticker_find(t, store_result_text(r, 1, row, 0));
		if (j)
			j->decided_at = store_result_int(r, 1, row, 1);
	}
}

static void on_jobs_read(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	t->reading = false;
	if (ticker_store_failed(t, r) || !t->started) {
		t->unknown = true;
		return;
	}
	take_decided(t, r);
	for (size_t row = 0; row < store_result_rows(r, 0); row++) {
		const char *name = store_result_text(r, 0, row, 0);
		const char *hash = store_result_text(r, 0, row, 1);
		struct timed_job *j = ticker_find(t, name);
		if (!j)
			on_stranger(t, name, store_result_int(r, 0, row, 5));
		else if (store_result_int(r, 0, row, 4) != j->job->concurrency)
			write_bound(j);
		if (!j || j->busy || !hash || !str_eq(hash, j->hash))
			continue;
		if (j->known)
			take_news(j, store_result_int(r, 0, row, 2),
				store_result_int(r, 0, row, 3) != 0);
		else
			take_row(j, r, 0, row, 2, j->decided_at);
	}
	write_some(t);
	ticker_tick(t);
}

static bool any_unknown(const struct ticker *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (!t->jobs[i]->known)
			return true;
	return false;
}

void ticker_read_jobs(struct ticker *t)
{
	struct store_tx *tx = t->reading || t->writing ? NULL
						       : store_tx_new(t->scheduler->store,
								 STORE_READ_ONLY | STORE_ONE_STATE);
	if (!tx)
		return;
	store_tx_sql(tx,
		"SELECT name, spec_hash, next_due_at, paused, concurrency, updated_at"
		" FROM drover_job",
		NULL, 0);
	const struct store_value lag = STORE_VALUE_INT(3 * LAP_MS);
	if (any_unknown(t))
		store_tx_sql(tx,
			"SELECT job, MAX(due_at) FROM drover_due WHERE due_at >="
			" (SELECT MAX(updated_at) FROM drover_job) - $1 GROUP BY job",
			&lag, 1);
	t->reading = true;
	t->strangers_mono = 0;
	t->unknown = false;
	store_submit(t->scheduler->store, tx, on_jobs_read, t);
}
