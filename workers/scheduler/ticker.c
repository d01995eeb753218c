/* SPDX-License-Identifier: MIT */
/* The jobs of the configuration, and the clock that is watched for them. */
#include "scheduler/ticker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "loop/loop.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker_inside.h"
#include "store/store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_timer(void *arg)
{
	ticker_tick(arg);
}

struct ticker *ticker_new(struct scheduler *s)
{
	struct ticker *t = NEW(struct ticker);
	if (!t)
		return NULL;
	t->scheduler = s;
	t->timer = loop_timer_new(s->loop, on_timer, t);
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
	job_heap_remove(j);
	ticker_set_behind(j, false);
	free(j->name);
	free(j);
}

void ticker_free(struct ticker *t)
{
	if (!t)
		return;
	store_forget(t->scheduler->store, t);
	HASH_CLEAR(hh, t->by_name);
	for (size_t i = 0; i < t->count; i++)
		timed_job_free(t->jobs[i]);
	while (t->gone) {
		struct timed_job *j = t->gone;
		t->gone = j->next_gone;
		timed_job_free(j);
	}
	job_heap_finish(&t->due);
	job_heap_finish(&t->late);
	job_heap_finish(&t->aside);
	loop_timer_free(t->timer);
	free(t->jobs);
	free(t);
}

struct timed_job *ticker_find(const struct ticker *t, const char *name)
{
	struct timed_job *j;
	HASH_FIND_STR(t->by_name, name, j);
	return j;
}

/* ---- configurations ---- */

static struct timed_job *timed_job_new(struct ticker *t, const char *name)
{
	struct timed_job *j = NEW(struct timed_job);
	if (!j)
		return NULL;
	j->ticker = t;
	j->name = strdup(name);
	if (!j->name) {
		free(j);
		return NULL;
	}
	return j;
}

/* It may be in a transaction, which points at it. */
static void let_go(struct ticker *t, struct timed_job *j)
{
	HASH_DEL(t->by_name, j);
	job_heap_remove(j);
	if (t->started)
		ticker_forget_job(t, j->name);
	if (!j->busy) {
		timed_job_free(j);
		return;
	}
	j->job = NULL;
	j->next_gone = t->gone;
	t->gone = j;
}

bool ticker_unbusy(struct timed_job *j)
{
	j->busy = false;
	if (j->job)
		return true;
	struct timed_job **at = &j->ticker->gone;
	while (*at != j)
		at = &(*at)->next_gone;
	*at = j->next_gone;
	timed_job_free(j);
	return false;
}

/* Jobs that are new get a place, the others keep theirs. @return NULL: out of memory */
static struct timed_job **places(struct ticker *t, const struct config *config)
{
	size_t count = config->job_count;
	struct timed_job **jobs = calloc(count + 1, sizeof(*jobs));
	if (!jobs || job_heap_reserve(&t->due, t->count + count) < 0 ||
		job_heap_reserve(&t->late, t->count + count) < 0 ||
		job_heap_reserve(&t->aside, t->count + count) < 0) {
		free(jobs);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (ticker_find(t, config->jobs[i].name))
			continue;
		jobs[i] = timed_job_new(t, config->jobs[i].name);
		if (jobs[i])
			continue;
		while (i-- > 0)
			timed_job_free(jobs[i]);
		free(jobs);
		return NULL;
	}
	return jobs;
}

static void take_up(struct ticker *t, struct timed_job *j, const struct config_job *job)
{
	char hash[17];
	j->kept = false;
	if (!j->job)
		HASH_ADD_KEYPTR(hh, t->by_name, j->name, strlen(j->name), j);
	j->job = job;
	ticker_hash_schedule(job, hash);
	if (!str_eq(hash, j->hash)) {
		j->known = false;
		j->go_on_at = 0;
		ticker_set_behind(j, false);
	}
	memcpy(j->hash, hash, sizeof(hash));
	t->unknown = t->unknown || !j->known;
	ticker_enqueue(j);
}

int ticker_configure(struct ticker *t, const struct config *config, struct err *err)
{
	struct timed_job **jobs = places(t, config);
	if (!jobs)
		return err_set(err, -ENOMEM, "out of memory");
	/* From here on nothing fails. */
	for (size_t i = 0; i < config->job_count; i++) {
		if (!jobs[i])
			jobs[i] = ticker_find(t, config->jobs[i].name);
		jobs[i]->kept = true;
	}
	for (size_t i = 0; i < t->count; i++)
		if (!t->jobs[i]->kept)
			let_go(t, t->jobs[i]);
	for (size_t i = 0; i < config->job_count; i++)
		take_up(t, jobs[i], &config->jobs[i]);
	free(t->jobs);
	t->jobs = jobs;
	t->count = config->job_count;
	t->config = config;
	if (t->started)
		ticker_read_jobs(t);
	return 0;
}

/* ---- what others ask ---- */

void ticker_look(struct ticker *t)
{
	ticker_tick(t);
}

const struct config *ticker_config(const struct ticker *t)
{
	return t->config;
}

int64_t ticker_next_due(const struct ticker *t, const char *job)
{
	const struct timed_job *j = ticker_find(t, job);
	return j ? j->next_due : 0;
}

bool ticker_is_free(const struct ticker *t, const char *job)
{
	const struct timed_job *j = ticker_find(t, job);
	return j && j->known && !j->busy && !j->next_due;
}

void ticker_set_due(struct ticker *t, const char *job, int64_t due_at)
{
	struct timed_job *j = ticker_find(t, job);
	if (!j || !j->known || j->busy)
		return;
	j->next_due = due_at;
	ticker_enqueue(j);
	ticker_tick(t);
}

void ticker_refresh(struct ticker *t)
{
	if (t->started)
		ticker_read_jobs(t);
}

void ticker_set_paused(struct ticker *t, const char *job, bool paused)
{
	struct timed_job *j = ticker_find(t, job);
	if (!j)
		return;
	j->paused = paused;
	ticker_enqueue(j);
	ticker_tick(t);
}

/* ---- the clock ---- */

void ticker_start(struct ticker *t)
{
	t->started = true;
	t->clock_offset = clock_real_ms() - clock_mono_ms();
	t->unknown = true;
	ticker_read_jobs(t);
}

void ticker_stop(struct ticker *t)
{
	t->started = false;
	loop_timer_stop(t->timer);
	/* Another database may be there when it goes on. */
	for (size_t i = 0; i < t->count; i++) {
		t->jobs[i]->known = false;
		t->jobs[i]->go_on_at = 0;
		ticker_set_behind(t->jobs[i], false);
		ticker_enqueue(t->jobs[i]);
	}
}

int64_t ticker_begins_at(const struct timed_job *j, int64_t due)
{
	return due + schedule_jitter_ms(j->name, due, j->job->schedule.jitter_ms);
}

/* What follows an end begins now, though that end is ahead of a clock that was set back. */
static int64_t comes_up_at(const struct timed_job *j)
{
	int64_t at = ticker_begins_at(j, j->next_due), ahead = j->next_due - clock_real_ms();
	return j->job->due.after.count && ahead > 0 ? at - ahead : at;
}

void ticker_enqueue(struct timed_job *j)
{
	if (j->known && !j->busy && j->next_due && j->ticker->started)
		job_heap_put(&j->ticker->due, j, comes_up_at(j));
	else
		job_heap_remove(j);
}

bool ticker_store_failed(struct ticker *t, const struct store_result *r)
{
	scheduler_store_said(t->scheduler, store_result_status(r), store_result_error(r));
	if (store_result_status(r) == STORE_OK)
		return false;
	loop_timer_start(t->timer, RETRY_MS);
	return true;
}

static void count_all_anew(struct ticker *t, int64_t now)
{
	for (size_t i = 0; i < t->count; i++) {
		struct timed_job *j = t->jobs[i];
		if (j->busy)
			j->recount = true;
		else if (j->known)
			ticker_count_anew(j, now);
	}
}

void ticker_recount(struct ticker *t)
{
	if (t->started)
		count_all_anew(t, clock_real_ms());
	ticker_tick(t);
}

static void watch_clock(struct ticker *t, int64_t now)
{
	int64_t offset = now - clock_mono_ms();
	bool set_back = offset < t->clock_offset - CLOCK_STEP_MS;
	t->clock_offset = offset;
	if (set_back)
		count_all_anew(t, now);
}

static int64_t time_to_next(const struct ticker *t, int64_t now)
{
	const struct timed_job *first = job_heap_first(&t->due);
	int64_t wait = TICK_MAX_MS;
	if (first && !t->deciding)
		wait = MIN(wait, MAX(first->key - now, t->decide_mono - clock_mono_ms()));
	if (t->behind_count && !t->catching_up_rows)
		wait = MIN(wait, t->lap_mono - clock_mono_ms());
	if ((t->late.count || t->aside.count) && !t->catching)
		wait = MIN(wait, t->catch_up_mono - clock_mono_ms());
	return MAX(wait, (int64_t)0);
}

void ticker_tick(struct ticker *t)
{
	int64_t now = clock_real_ms();
	if (!t->started)
		return;
	watch_clock(t, now);
	ticker_decide(t, now);
	ticker_catch_up(t, now);
	ticker_write_behind(t);
	if (t->unknown || (t->strangers_mono && clock_mono_ms() >= t->strangers_mono))
		ticker_read_jobs(t);
	loop_timer_start(t->timer, time_to_next(t, now));
}
