/* SPDX-License-Identifier: MIT */
#include "scheduler/ticker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "crawl/kind.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
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
};

struct timed_job {
	struct ticker *ticker;
	const struct config_job *job;
	char *name;
	char hash[17];
	int64_t next_due; /* 0: none */
	int64_t deciding; /* the next due time that the transaction under way will set */
	bool known;	  /* read from the store, or written to it */
	bool busy;	  /* a transaction of this job is under way */
	bool fires;	  /* the transaction under way makes a run */
};

struct ticker {
	struct scheduler *scheduler;
	const struct config *config;
	struct loop_timer *timer;
	struct timed_job **jobs; /* one block each: transactions point at them */
	size_t count;
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
	read_jobs(t);
}

int64_t ticker_next_due(const struct ticker *t, const char *job)
{
	const struct timed_job *j = find(t, job);
	return j ? j->next_due : 0;
}

/* ---- what the store knows of our jobs ---- */

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
	if (store_result_status(r) != STORE_OK) {
		log_warn(MAIN, "job_not_recorded", KV_STR("job", j->name),
			KV_STR("error", store_result_error(r)));
		j->known = false;
		loop_timer_start(j->ticker->timer, RETRY_MS);
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
	};
	store_tx_sql(tx,
		"INSERT INTO drover_job (name, kind, spec_hash, next_due_at, paused, updated_at) "
		"VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (name) DO UPDATE SET "
		"kind = $2, spec_hash = $3, next_due_at = $4, updated_at = $5",
		params, ARRAY_SIZE(params));
	j->known = true;
	j->busy = true;
	store_submit(store, tx, on_job_written, j);
}

static void on_jobs_read(void *arg, const struct store_result *r)
{
	struct ticker *t = arg;
	int64_t now = clock_real_ms();
	t->reading = false;
	if (store_result_status(r) != STORE_OK) {
		log_warn(MAIN, "jobs_not_read", KV_STR("error", store_result_error(r)));
		loop_timer_start(t->timer, RETRY_MS);
		return;
	}
	for (size_t row = 0; row < store_result_rows(r, 0); row++) {
		struct timed_job *j = find(t, store_result_text(r, 0, row, 0));
		const char *hash = store_result_text(r, 0, row, 1);
		if (!j || j->known || j->busy || !hash || !str_eq(hash, j->hash))
			continue;
		j->next_due = store_result_int(r, 0, row, 2);
		j->known = true;
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
	store_tx_sql(tx, "SELECT name, spec_hash, next_due_at FROM drover_job", NULL, 0);
	t->reading = true;
	store_submit(t->scheduler->store, tx, on_jobs_read, t);
}

/* ---- due times ---- */

size_t ticker_payload_count(const struct config_job *job)
{
	if (!str_eq(job->kind->name, "crawl"))
		return 1;
	return ((const struct crawl_job *)job->spec)->start.count;
}

void ticker_run_request(
	const struct config_job *job, struct run_request *request, const char **payloads)
{
	*request = (struct run_request) {
		.job = job->name,
		.kind = job->kind->name,
		.trigger = "schedule",
		.max_attempts = job->attempts,
		.timeout_ms = job->timeout_ms,
		.priority = PRIORITY_MEDIUM,
		.payloads = payloads,
		.payload_count = ticker_payload_count(job),
		.frontier = str_eq(job->kind->name, "crawl"),
	};
	payloads[0] = "{}";
	if (!request->frontier)
		return;
	const struct crawl_job *crawl = job->spec;
	for (size_t i = 0; i < crawl->start.count; i++)
		payloads[i] = crawl->start.items[i];
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

static void on_decided(void *arg, const struct store_result *r)
{
	struct timed_job *j = arg;
	struct scheduler *s = j->ticker->scheduler;
	j->busy = false;
	if (store_result_status(r) != STORE_OK) {
		log_warn(MAIN, "due_not_recorded", KV_STR("job", j->name),
			KV_INT("due_at", j->next_due), KV_STR("error", store_result_error(r)));
		loop_timer_start(j->ticker->timer, RETRY_MS);
		return;
	}
	j->next_due = j->deciding;
	if (j->fires)
		scheduler_wake(s, j->job->kind->name);
	tick(j->ticker);
}

/* Accounts for what is due, at most DUES_A_TRANSACTION at once; the rest follows when this is
 * durable. */
static void decide(struct timed_job *j, int64_t now)
{
	struct store *store = j->ticker->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	const char **payloads = calloc(ticker_payload_count(j->job) + 1, sizeof(*payloads));
	struct run_request run;
	if (!tx || !payloads) {
		store_tx_free(tx);
		free(payloads);
		return;
	}
	int64_t due = j->next_due;
	j->fires = false;
	for (int n = 0; n < DUES_A_TRANSACTION && due && due <= now; n++) {
		int64_t next = after(&j->job->schedule, due);
		struct due_verdict verdict = ticker_judge(due, now, next && next <= now);
		struct due_decision decision = { .job = j->name,
			.due_at = due,
			.next_due_at = next,
			.outcome = verdict.outcome,
			.reason = verdict.reason };
		if (str_eq(verdict.outcome, "fired")) {
			ticker_run_request(j->job, &run, payloads);
			run.due_at = due;
			decision.run = &run;
			j->fires = true;
		}
		queue_tx_due(tx, &decision, now);
		log_info(MAIN, "due_decided", KV_STR("job", j->name), KV_INT("due_at", due),
			KV_STR("state", verdict.outcome), KV_STR("reason", verdict.reason));
		due = next;
	}
	j->deciding = due;
	j->busy = true;
	store_submit(store, tx, on_decided, j);
	free(payloads);
}

static void tick(void *arg)
{
	struct ticker *t = arg;
	int64_t now = clock_real_ms(), wait = TICK_MAX_MS;
	bool unknown = false;
	for (size_t i = 0; i < t->count; i++) {
		struct timed_job *j = t->jobs[i];
		if (!j->known && !j->busy)
			unknown = true;
		if (!j->known || j->busy || !j->next_due)
			continue;
		if (j->next_due <= now)
			decide(j, now);
		else
			wait = MIN(wait, j->next_due - now);
	}
	if (unknown)
		read_jobs(t);
	loop_timer_start(t->timer, wait);
}
