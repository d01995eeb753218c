/* SPDX-License-Identifier: MIT */
#include "scheduler/ticker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "schedule/zone.h"
#include "scheduler/job_run.h"
#include "scheduler/scheduler.h"
#include "store/store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* The clock may be set at any time: nothing sleeps longer than this. */
	TICK_MAX_MS = 1000,
	RETRY_MS = 500,
	/* After a long pause many due times are accounted for in one transaction, but not without
	   bound. */
	DUES_A_TRANSACTION = 500,
	/* A wall clock that lost this much against the monotonic one between two ticks was set. */
	CLOCK_STEP_MS = 1000,
};

struct timed_job {
	struct ticker *ticker;
	const struct config_job *job;
	char *name;
	char hash[17];
	int64_t next_due; /* 0: none */
	bool known;	  /* read from the store, or written to it */
	bool busy;	  /* a transaction of this job is under way */
};

/* One transaction that accounts for due times; lives in it. */
struct deciding {
	int64_t now, next_due; /* what follows when it is durable */
	int64_t due_at;	       /* the last of them */
	size_t count, outcome; /* how many; the statement that tells the last one's outcome */
};

struct ticker {
	struct scheduler *scheduler;
	const struct config *config;
	struct loop_timer *timer;
	struct timed_job **jobs; /* one block each: transactions point at them */
	size_t count;
	int64_t clock_offset; /* real - monotonic time at the last tick */
	bool started, reading;
};

static void tick(void *arg);
static void read_jobs(struct ticker *t);

struct due_verdict ticker_judge(int64_t due_at, int64_t now_ms, bool later)
{
	if (later)
		return (struct due_verdict) { "coalesced", "a later due time stands for it" };
	if (now_ms - due_at > CATCH_UP_WINDOW_MS)
		return (struct due_verdict) { "missed", "longer ago than the catch-up window" };
	return (struct due_verdict) { "fired", "" };
}

struct ticker *ticker_new(struct scheduler *s)
{
	struct ticker *t = NEW(struct ticker);
	if (!t)
		return NULL;
	t->scheduler = s;
	t->timer = loop_timer_new(s->loop, tick, t);
	if (!t->timer) {
		free(t);
		return NULL;
	}
	return t;
}

static void timed_job_free(struct timed_job *j)
{
	if (!j)
		return;
	if (j->ticker->scheduler->store)
		store_forget(j->ticker->scheduler->store, j);
	free(j->name);
	free(j);
}

void ticker_free(struct ticker *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		timed_job_free(t->jobs[i]);
	store_forget(t->scheduler->store, t);
	loop_timer_free(t->timer);
	free(t->jobs);
	free(t);
}

/* Of the schedule alone: a changed selector does not move a due time. */
static void hash_schedule(const struct schedule *s, char hash[17])
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT;
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
	uint64_t h = str_hash(buf_str(&b), b.len);
	str_hex(hash, &h, sizeof(h));
}

static struct timed_job *find(const struct ticker *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (str_eq(t->jobs[i]->name, name))
			return t->jobs[i];
	return NULL;
}

static struct timed_job *timed_job_new(struct ticker *t, const struct config_job *job)
{
	struct timed_job *j = NEW(struct timed_job);
	if (!j)
		return NULL;
	j->ticker = t;
	j->name = strdup(job->name);
	if (!j->name) {
		free(j);
		return NULL;
	}
	return j;
}

int ticker_configure(struct ticker *t, const struct config *config, struct err *err)
{
	struct timed_job **jobs = calloc(config->job_count ? config->job_count : 1, sizeof(*jobs));
	if (!jobs)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->job_count; i++) {
		if (find(t, config->jobs[i].name))
			continue;
		jobs[i] = timed_job_new(t, &config->jobs[i]);
		if (jobs[i])
			continue;
		while (i-- > 0)
			timed_job_free(jobs[i]);
		free(jobs);
		return err_set(err, -ENOMEM, "out of memory");
	}
	/* From here on nothing fails. */
	for (size_t i = 0; i < config->job_count; i++) {
		struct timed_job *old = jobs[i] ? NULL : find(t, config->jobs[i].name);
		char hash[17];
		if (old)
			jobs[i] = old;
		jobs[i]->job = &config->jobs[i];
		hash_schedule(&config->jobs[i].schedule, hash);
		if (!str_eq(hash, jobs[i]->hash))
			jobs[i]->known = false;
		memcpy(jobs[i]->hash, hash, sizeof(hash));
	}
	for (size_t i = 0; i < t->count; i++)
		if (!config_job(config, t->jobs[i]->name))
			timed_job_free(t->jobs[i]);
	free(t->jobs);
	t->jobs = jobs;
	t->count = config->job_count;
	t->config = config;
	if (t->started)
		read_jobs(t);
	return 0;
}

void ticker_start(struct ticker *t)
{
	t->started = true;
	t->clock_offset = clock_real_ms() - clock_mono_ms();
	read_jobs(t);
}

void ticker_stop(struct ticker *t)
{
	t->started = false;
	loop_timer_stop(t->timer);
	/* Another database may be there when it goes on. */
	for (size_t i = 0; i < t->count; i++)
		t->jobs[i]->known = false;
}

const struct config *ticker_config(const struct ticker *t)
{
	return t->config;
}

int64_t ticker_next_due(const struct ticker *t, const char *job)
{
	const struct timed_job *j = find(t, job);
	return j ? j->next_due : 0;
}

/* ---- what the store knows of our jobs ---- */

/* What could not be written or read is tried again a little later. */
static bool store_failed(struct ticker *t, const struct store_result *r)
{
	scheduler_store_said(t->scheduler, store_result_status(r), store_result_error(r));
	if (store_result_status(r) == STORE_OK)
		return false;
	loop_timer_start(t->timer, RETRY_MS);
	return true;
}

/* A due time that was computed while the clock was ahead would keep its job waiting until then. */
static int64_t bring_back(const struct schedule *s, int64_t next, int64_t now)
{
	int64_t due;
	if (MUTANT(CLOCK_SET_BACK_IGNORED))
		return next;
	if (s->kind == SCHEDULE_EVERY && next > now && s->every_ms > 0)
		return next - (next - now - 1) / s->every_ms * s->every_ms;
	if (s->kind == SCHEDULE_CRON && next > now && schedule_next(s, now, false, &due) == 0)
		return MIN(due, next);
	return next;
}

/* What was fired under a clock that was ahead stays fired. What was only passed over lies ahead
 * again: its rows go, or the job would stay silent until then. */
static void count_anew(struct timed_job *j, int64_t now)
{
	struct store *store = j->ticker->scheduler->store;
	int64_t next = bring_back(&j->job->schedule, j->next_due, now);
	struct store_tx *tx = next == j->next_due ? NULL : store_tx_new(store, 0);
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
	store_submit(store, tx, NULL, NULL);
}

/* A job that is new, or whose schedule changed: its due times count from now. */
static void begin_job(struct timed_job *j, int64_t now)
{
	struct schedule s = j->job->schedule;
	int64_t next = 0;
	if (s.kind == SCHEDULE_EVERY) {
		/* start + n x every, where the start is when the job was first seen */
		next = now;
	} else if (s.kind == SCHEDULE_AT) {
		next = s.at_ms;
	} else if (schedule_next(&s, now, false, &next) < 0) {
		next = 0;
	}
	j->next_due = next;
}

static void on_job_written(void *arg, const struct store_result *r)
{
	struct timed_job *j = arg;
	j->busy = false;
	if (store_failed(j->ticker, r)) {
		j->known = false;
		return;
	}
	tick(j->ticker);
}

static void write_job(struct timed_job *j, int64_t now)
{
	struct store *store = j->ticker->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	if (!tx)
		return;
	const struct store_value params[] = {
		store_text(j->name),
		store_text(j->job->kind->name),
		store_text(j->hash),
		j->next_due ? STORE_VALUE_INT(j->next_due) : STORE_VALUE_NULL,
		STORE_VALUE_INT(now),
		STORE_VALUE_INT(j->job->concurrency),
	};
	store_tx_sql(tx,
		"INSERT INTO drover_job (name, kind, spec_hash, next_due_at, paused, updated_at,"
		" concurrency) VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT (name) DO UPDATE SET "
		"kind = $2, spec_hash = $3, next_due_at = $4, updated_at = $5, concurrency = $6",
		params, ARRAY_SIZE(params));
	j->known = true;
	j->busy = true;
	store_submit(store, tx, on_job_written, j);
}

/* It is in the configuration no longer: its due times end, what it has queued is done. */
static void forget_job(struct ticker *t, const char *name)
{
	struct store *store = t->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	const struct store_value param = store_text(name);
	if (!tx)
		return;
	store_tx_sql(tx, "DELETE FROM drover_job WHERE name = $1", &param, 1);
	log_info(MAIN, "job_removed", KV_STR("job", name));
	store_submit(store, tx, NULL, NULL);
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

static void on_jobs_read(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	int64_t now = clock_real_ms();
	t->reading = false;
	if (store_failed(t, r) || !t->started)
		return;
	for (size_t row = 0; row < store_result_rows(r, 0); row++) {
		const char *name = store_result_text(r, 0, row, 0);
		const char *hash = store_result_text(r, 0, row, 1);
		struct timed_job *j = find(t, name);
		if (!j)
			forget_job(t, name);
		else if (store_result_int(r, 0, row, 3) != j->job->concurrency)
			write_bound(j);
		if (!j || j->known || j->busy || !hash || !str_eq(hash, j->hash))
			continue;
		j->next_due = store_result_int(r, 0, row, 2);
		j->known = true;
		count_anew(j, now);
	}
	for (size_t i = 0; i < t->count; i++) {
		if (t->jobs[i]->known || t->jobs[i]->busy)
			continue;
		begin_job(t->jobs[i], now);
		write_job(t->jobs[i], now);
	}
	tick(t);
}

static void read_jobs(struct ticker *t)
{
	struct store_tx *tx = t->reading ? NULL
					 : store_tx_new(t->scheduler->store, STORE_READ_ONLY);
	if (!tx)
		return;
	store_tx_sql(
		tx, "SELECT name, spec_hash, next_due_at, concurrency FROM drover_job", NULL, 0);
	t->reading = true;
	store_submit(t->scheduler->store, tx, on_jobs_read, t);
}

/* ---- due times ---- */

/* When what is due at that instant begins. */
static int64_t begins_at(const struct timed_job *j, int64_t due)
{
	return due + schedule_jitter_ms(j->name, due, j->job->schedule.jitter_ms);
}

/* The one after a due time: `every` goes on from the due time itself, so a late start shifts
 * nothing. */
static int64_t after(const struct schedule *s, int64_t due)
{
	int64_t next;
	if (s->kind == SCHEDULE_EVERY)
		return due + s->every_ms;
	return schedule_next(s, due, false, &next) < 0 ? 0 : next;
}

/* Only what this transaction decided: a row that was there before is left alone. */
static void log_decided(
	const struct timed_job *j, const struct deciding *d, const struct store_result *r)
{
	size_t s = d->outcome;
	if (store_result_rows(r, s) == 0)
		return;
	const char *outcome = store_result_text(r, s, 0, 0),
		   *reason = store_result_text(r, s, 0, 1);
	log_info(MAIN, "due_decided", KV_STR("job", j->name), KV_INT("due_at", d->due_at),
		KV_STR("state", outcome), KV_STR("reason", reason && *reason ? reason : outcome),
		KV_INT("run", store_result_int(r, s, 0, 2)), KV_INT("count", d->count));
	if (str_eq(outcome, "fired"))
		scheduler_wake(j->ticker->scheduler, j->job->kind->name);
}

static void on_decided(void *arg, const struct store_result *r)
{
	struct timed_job *j = arg;
	const struct deciding *d = store_result_data(r);
	j->busy = false;
	if (store_failed(j->ticker, r))
		return;
	j->next_due = d->next_due;
	count_anew(j, clock_real_ms());
	log_decided(j, d, r);
	tick(j->ticker);
}

static void add_due(struct store_tx *tx, struct timed_job *j, struct deciding *d, int64_t due,
	struct job_run *run)
{
	int64_t next = after(&j->job->schedule, due);
	struct due_verdict verdict = ticker_judge(
		due, d->now, next && begins_at(j, next) <= d->now);
	run->request.due_at = due;
	struct due_decision decision = { .job = j->name,
		.due_at = due,
		.next_due_at = next,
		.outcome = verdict.outcome,
		.reason = verdict.reason,
		.run = str_eq(verdict.outcome, "fired") ? &run->request : NULL };
	queue_tx_due(tx, &decision, d->now);
	d->due_at = due;
	d->next_due = next;
	d->count++;
}

/* Accounts for what is due, at most DUES_A_TRANSACTION at once; the rest follows when this is
 * durable. */
static void decide(struct timed_job *j, int64_t now)
{
	struct store *store = j->ticker->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	struct deciding *d = tx ? store_tx_data(tx, sizeof(*d)) : NULL;
	struct job_run run;
	if (!d || job_run_init(&run, j->job, "schedule") < 0) {
		store_tx_free(tx);
		return; /* out of memory: the next tick tries again */
	}
	d->now = now;
	d->next_due = j->next_due;
	while (d->count < DUES_A_TRANSACTION && d->next_due && begins_at(j, d->next_due) <= now)
		add_due(tx, j, d, d->next_due, &run);
	const struct store_value params[] = { store_text(j->name), STORE_VALUE_INT(d->due_at),
		STORE_VALUE_INT(now) };
	d->outcome = store_tx_sql(tx,
		"SELECT outcome, reason, run_id FROM drover_due WHERE job = $1 AND due_at = $2"
		" AND decided_at = $3",
		params, ARRAY_SIZE(params));
	j->busy = true;
	store_submit(store, tx, on_decided, j);
	job_run_finish(&run);
}

static void watch_clock(struct ticker *t, int64_t now)
{
	int64_t offset = now - clock_mono_ms();
	bool set_back = offset < t->clock_offset - CLOCK_STEP_MS;
	t->clock_offset = offset;
	if (!set_back)
		return;
	for (size_t i = 0; i < t->count; i++)
		if (t->jobs[i]->known && !t->jobs[i]->busy)
			count_anew(t->jobs[i], now);
}

static void tick(void *arg)
{
	struct ticker *t = arg;
	int64_t now = clock_real_ms(), wait = TICK_MAX_MS;
	bool unknown = false;
	if (!t->started)
		return;
	watch_clock(t, now);
	for (size_t i = 0; i < t->count; i++) {
		struct timed_job *j = t->jobs[i];
		if (!j->known && !j->busy)
			unknown = true;
		if (!j->known || j->busy || !j->next_due)
			continue;
		int64_t begins = begins_at(j, j->next_due);
		if (begins <= now)
			decide(j, now);
		else
			wait = MIN(wait, begins - now);
	}
	if (unknown)
		read_jobs(t);
	loop_timer_start(t->timer, wait);
}
