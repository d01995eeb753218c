/* SPDX-License-Identifier: MIT */
#include "scheduler/commands.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "queue/queue_exec.h"
#include "scheduler/scheduler.h"
#include "stats/stats.h"
#include "store/store.h"
#include "worker/worker.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOOK_MS = 1000, /* for tasks, and for those that were cancelled */
	RENEW_MS = 10000,
	RETRY_MS = 500,
	REFUSED_RETRY_MS = 5000,
	WORDS = 300,
};

enum ending { ENDING_NONE, ENDING_DONE, ENDING_RETRY, ENDING_DEAD, ENDING_PUT_BACK };

struct command {
	struct list node;
	struct commands *all;
	struct task *task;
	struct loop_timer *again; /* the store was away */
	enum ending ending;
	int64_t delay_ms;
	uint64_t number;	 /* of commands.added */
	bool may_start, said;	 /* of EXEC_START; said: it went to droverd */
	bool in_store, unwanted; /* unwanted: droverd was told to end it */
	char words[WORDS];
};

struct commands {
	struct scheduler *scheduler;
	const struct config *config; /* of the worker's frame */
	struct queue *queue;
	struct list list; /* struct command */
	struct loop_timer *look, *renew, *take;
	size_t running, slots;
	uint64_t added, asked_at; /* so many; so many when the store was asked what we hold */
	bool configured;	  /* there are jobs of commands */
	bool started, taken, claiming, claim_again, asking;
	bool synced;	   /* droverd has EXEC_SYNC */
	int claim_trouble; /* the queue_status last logged */
	void (*drained)(void *arg);
	void *drained_arg;
};

static void on_look(void *arg);
static void on_renew(void *arg);
static void take_over(void *arg);
static void commit(void *arg);
static void claim(struct commands *c);

/* ---- the object ---- */

struct commands *commands_new(struct scheduler *s)
{
	struct commands *c = NEW(struct commands);
	if (!c)
		return NULL;
	const struct queue_options options = { .owner = worker_owner(s->worker),
		.kind = QUEUE_EXEC };
	c->scheduler = s;
	list_init(&c->list);
	c->look = loop_timer_new(s->loop, on_look, c);
	c->renew = loop_timer_new(s->loop, on_renew, c);
	c->take = loop_timer_new(s->loop, take_over, c);
	if (!c->look || !c->renew || !c->take || queue_open(&c->queue, s->store, &options) < 0) {
		commands_free(c);
		return NULL;
	}
	return c;
}

static void command_free(struct command *m)
{
	store_forget(m->all->scheduler->store, m);
	list_remove(&m->node);
	m->all->running--;
	loop_timer_free(m->again);
	task_free(m->task);
	free(m);
}

static void forget_all(struct commands *c)
{
	LIST_FOR_EACH_SAFE (node, &c->list)
		command_free(LIST_ENTRY(node, struct command, node));
}

void commands_free(struct commands *c)
{
	if (!c)
		return;
	forget_all(c);
	store_forget(c->scheduler->store, c);
	queue_close(c->queue);
	loop_timer_free(c->look);
	loop_timer_free(c->renew);
	loop_timer_free(c->take);
	free(c);
}

static struct command *find(const struct commands *c, uint64_t task, uint64_t fence)
{
	LIST_FOR_EACH (node, &c->list) {
		struct command *m = LIST_ENTRY(node, struct command, node);
		if ((uint64_t)m->task->id == task && (uint64_t)m->task->fence == fence)
			return m;
	}
	return NULL;
}

static struct command *add(struct commands *c, struct task *task, bool may_start)
{
	struct command *m = NEW(struct command);
	struct loop_timer *again = m ? loop_timer_new(c->scheduler->loop, commit, m) : NULL;
	/* A task that is claimed and forgotten would block its job: whoever comes next takes it. */
	if (!again)
		abort();
	m->all = c;
	m->task = task;
	m->again = again;
	m->may_start = may_start;
	m->number = ++c->added;
	list_add_tail(&c->list, &m->node);
	c->running++;
	return m;
}

/* ---- what is said to droverd ---- */

/* The channel may have no room: what is not said then is said by on_look(). */

static void say_sync(struct commands *c)
{
	const struct msg_empty nothing = { 0 };
	c->synced = worker_send(c->scheduler->worker, MSG_EXEC_SYNC, &nothing) == 0;
}

/* One that is not wanted any more is told again at each look. */
static void say_stop(const struct commands *c, uint64_t task, uint64_t fence)
{
	const struct msg_exec_task body = { .task = task, .fence = fence };
	(void)worker_send(c->scheduler->worker, MSG_EXEC_STOP, &body);
}

/* droverd tells of its end again when it is asked to tell of all. */
static void say_forget(struct commands *c, uint64_t task, uint64_t fence)
{
	const struct msg_exec_task body = { .task = task, .fence = fence };
	if (worker_send(c->scheduler->worker, MSG_EXEC_FORGET, &body) != 0)
		c->synced = false;
}

/* As often as one likes: droverd knows its commands by task and fence. */
static void say_start(struct command *m)
{
	const struct task *t = m->task;
	const struct msg_exec_start body = { .job = t->job,
		.run = (uint64_t)t->run_id,
		.task = (uint64_t)t->id,
		.fence = (uint64_t)t->fence,
		.attempt = (uint64_t)t->attempt,
		.may_start = m->may_start && !m->unwanted };
	m->said = worker_send(m->all->scheduler->worker, MSG_EXEC_START, &body) == 0;
}

static void stop(struct command *m)
{
	if (!m->unwanted)
		log_info(MAIN, "command_cancelled", KV_STR("job", m->task->job),
			KV_INT("run", m->task->run_id), KV_INT("task", m->task->id));
	m->unwanted = true;
	say_stop(m->all, (uint64_t)m->task->id, (uint64_t)m->task->fence);
}

/* ---- how it ended ---- */

static void tell_ending(const struct command *m)
{
	static const char *const names[] = {
		[ENDING_NONE] = "task_lost",
		[ENDING_DONE] = "task_done",
		[ENDING_RETRY] = "task_retried",
		[ENDING_DEAD] = "task_dead",
		[ENDING_PUT_BACK] = "task_put_back",
	};
	const struct task *t = m->task;
	enum ending ending = m->ending;
	if (ending == ENDING_RETRY && t->attempt >= t->max_attempts)
		ending = ENDING_DEAD;
	bool bad = ending == ENDING_RETRY || ending == ENDING_DEAD;
	struct stats_slot *stats = worker_stats(m->all->scheduler->worker);
	if (ending == ENDING_DONE)
		stats_add(stats, STAT_tasks_done, 1);
	else if (bad)
		stats_add(stats, ending == ENDING_DEAD ? STAT_tasks_dead : STAT_tasks_retried, 1);
	LOG_AT(bad ? LOG_WARN : LOG_INFO, MAIN, names[ending], KV_STR("job", t->job),
		KV_INT("run", t->run_id), KV_INT("task", t->id), KV_INT("attempt", t->attempt),
		KV_INT("wait_ms", m->delay_ms), KV_STR("error", m->words));
}

static void is_over(struct command *m)
{
	struct commands *c = m->all;
	say_forget(c, (uint64_t)m->task->id, (uint64_t)m->task->fence);
	tell_ending(m);
	command_free(m);
	claim(c);
}

static void on_committed(void *arg, const struct store_result *r)
{
	struct command *m = arg;
	m->in_store = false;
	switch (store_result_status(r)) {
	case STORE_OK: is_over(m); return;
	case STORE_CONFLICT:
		/* Cancelled meanwhile. */
		queue_let_go(m->all->queue, m->task);
		m->ending = ENDING_NONE;
		is_over(m);
		return;
	case STORE_UNAVAILABLE: loop_timer_start(m->again, RETRY_MS); break;
	case STORE_FAILED: loop_timer_start(m->again, REFUSED_RETRY_MS); break;
	}
	scheduler_store_said(m->all->scheduler, STORE_UNAVAILABLE, store_result_error(r));
}

static void add_ending(struct store_tx *tx, const struct command *m)
{
	char line[WORDS + 64];
	const struct task *t = m->task;
	switch (m->ending) {
	case ENDING_NONE: break;
	case ENDING_DONE: queue_tx_done(tx, t); break;
	case ENDING_DEAD: queue_tx_dead(tx, t, m->words); break;
	case ENDING_PUT_BACK: queue_tx_put_back(tx, t, m->delay_ms); break;
	case ENDING_RETRY:
		snprintf(line, sizeof(line), "attempt %" PRId64 " of %" PRId64 ": %s", t->attempt,
			t->max_attempts, m->words);
		/* Of the last one the queue itself tells. */
		if (t->attempt < t->max_attempts)
			queue_tx_error(tx, t, line);
		queue_tx_retry(tx, t, t->max_attempts > 1 ? line : m->words, m->delay_ms);
		break;
	}
}

static void commit(void *arg)
{
	struct command *m = arg;
	struct store *store = m->all->scheduler->store;
	struct store_tx *tx = m->in_store ? NULL : store_tx_new(store, 0);
	if (!tx) {
		loop_timer_start(m->again, RETRY_MS);
		return;
	}
	queue_tx_guard(m->all->queue, tx, m->task, NULL);
	add_ending(tx, m);
	m->in_store = true;
	store_submit(store, tx, on_committed, m);
}

static void describe(char words[WORDS], const struct msg_exec_ended *e, int64_t timeout_ms)
{
	char span[32];
	if (str_eq(e->reason, "timeout"))
		snprintf(words, WORDS, "not done within %s",
			str_duration(span, sizeof(span), timeout_ms));
	else if (str_eq(e->reason, "operator"))
		snprintf(words, WORDS, "stopped by the operator");
	else if (str_eq(e->reason, "shutdown"))
		snprintf(words, WORDS, "ended together with droverd");
	else if (*e->detail)
		snprintf(words, WORDS, "not started: %s", e->detail);
	else if (e->code >= 0)
		snprintf(words, WORDS, "exit code %" PRId64, e->code);
	else if (e->signal > 0)
		snprintf(words, WORDS, "signal %" PRId64 " (%s)", e->signal,
			sigabbrev_np((int)e->signal) ?: "?");
	else
		snprintf(words, WORDS,
			"how it ended is unknown: nobody was there to see it; it counts as failed");
}

/* By the job as it is now; one that is gone is not begun again: droverd says so. */
static int64_t delay_of(const struct command *m)
{
	const struct config *config = m->all->config;
	const struct config_job *job = config ? config_job(config, m->task->job) : NULL;
	return job ? queue_backoff_ms(&job->retry.backoff, m->task->attempt) : 0;
}

static void judge(struct command *m, const struct msg_exec_ended *e)
{
	const struct task *t = m->task;
	bool by_itself = str_eq(e->reason, "exit") || str_eq(e->reason, "signal");
	describe(m->words, e, t->timeout_ms);
	m->delay_ms = 0;
	if (by_itself && e->started && e->code == 0)
		m->ending = ENDING_DONE;
	else if (str_eq(e->reason, "shutdown") && !e->started)
		m->ending = ENDING_PUT_BACK;
	else if (str_eq(e->reason, "operator") || str_eq(e->reason, "config"))
		m->ending = ENDING_DEAD;
	else
		m->ending = ENDING_RETRY;
	if (m->ending == ENDING_DONE)
		m->words[0] = '\0';
	if (m->ending == ENDING_RETRY && t->attempt < t->max_attempts)
		m->delay_ms = delay_of(m);
}

static void on_ended(struct commands *c, const struct msg_exec_ended *e)
{
	struct command *m = find(c, e->task, e->fence);
	/* Committed before we came, or cancelled: nobody asks for it any more. */
	if (!m) {
		say_forget(c, e->task, e->fence);
		return;
	}
	if (m->ending != ENDING_NONE)
		return;
	judge(m, e);
	commit(m);
}

void commands_message(struct commands *c, const struct message *m)
{
	const struct msg_exec_task *t = &m->body.exec_task;
	/* What is told before we know our tasks is told again: EXEC_SYNC. */
	if (!c->taken)
		return;
	if (m->id == MSG_EXEC_ENDED)
		on_ended(c, &m->body.exec_ended);
	else if (!find(c, t->task, t->fence))
		say_stop(c, t->task, t->fence);
}

/* ---- taking over ---- */

static void on_taken(
	void *arg, enum queue_status status, const struct taken_task *tasks, size_t count)
{
	struct commands *c = arg;
	if (status != QUEUE_OK && c->started)
		loop_timer_start(c->take, RETRY_MS);
	c->taken = c->started && status == QUEUE_OK;
	for (size_t i = 0; i < count; i++) {
		const struct task *t = tasks[i].task;
		if (!c->taken || find(c, (uint64_t)t->id, (uint64_t)t->fence)) {
			task_free(tasks[i].task);
			continue;
		}
		/* One that this droverd does not know never began; of an earlier one's nobody
		 * can say. */
		struct command *m = add(
			c, tasks[i].task, tasks[i].same_epoch || MUTANT(COMMAND_STARTED_BLINDLY));
		say_start(m);
		log_info(MAIN, "command_taken_over", KV_STR("job", m->task->job),
			KV_INT("run", m->task->run_id), KV_INT("task", m->task->id));
	}
	if (!c->taken)
		return;
	say_sync(c);
	loop_timer_start(c->renew, RENEW_MS);
	loop_timer_start(c->look, 0);
}

static void take_over(void *arg)
{
	struct commands *c = arg;
	char epoch[64];
	scheduler_epoch(c->scheduler, epoch, sizeof(epoch));
	queue_exec_take_over(c->queue, worker_node(c->scheduler->worker), epoch, on_taken, c);
}

void commands_start(struct commands *c)
{
	c->started = true;
	take_over(c);
}

void commands_stop(struct commands *c)
{
	c->started = c->taken = false;
	loop_timer_stop(c->look);
	loop_timer_stop(c->renew);
	loop_timer_stop(c->take);
	forget_all(c);
}

/* ---- claiming ---- */

static void finish_drain(struct commands *c)
{
	if (!c->drained || c->claiming)
		return;
	void (*done)(void *) = c->drained;
	done(c->drained_arg);
}

/* Claimed while we are told to leave: it was not begun. */
static void give_back(struct commands *c, struct task *task)
{
	struct store_tx *tx = store_tx_new(c->scheduler->store, 0);
	if (tx) {
		queue_tx_guard(c->queue, tx, task, NULL);
		queue_tx_put_back(tx, task, 0);
		store_submit(c->scheduler->store, tx, NULL, NULL);
	}
	task_free(task);
}

static void on_claimed(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct commands *c = arg;
	c->claiming = false;
	if (status != QUEUE_OK && (int)status != c->claim_trouble)
		log_warn(MAIN, "claim_failed", KV_STR("error", queue_error()));
	c->claim_trouble = status;
	for (size_t i = 0; i < count; i++) {
		if (c->drained || !c->taken)
			give_back(c, tasks[i]);
		else
			say_start(add(c, tasks[i], true));
	}
	finish_drain(c);
	if (count > 0 || c->claim_again)
		claim(c);
}

static void claim(struct commands *c)
{
	c->claim_again = c->claiming; /* asked for while one is on its way: look once more */
	if (c->claiming || !c->taken || c->drained || !c->configured || c->running >= c->slots ||
		!worker_may_take(c->scheduler->worker))
		return;
	c->claiming = true;
	queue_claim(c->queue, c->slots - c->running, on_claimed, c);
}

void commands_wake(struct commands *c)
{
	claim(c);
}

void commands_drain(struct commands *c, void (*done)(void *arg), void *arg)
{
	c->drained = done;
	c->drained_arg = arg;
	finish_drain(c);
}

/* ---- looking ---- */

/* What is not ours any more was cancelled. A claim that goes by another connection may be committed
 * after this looked and be answered before: of later ones nothing is said here. */
static void on_held(void *arg, enum queue_status status, const struct held_task *held, size_t count)
{
	struct commands *c = arg;
	c->asking = false;
	if (status != QUEUE_OK || !c->taken)
		return;
	LIST_FOR_EACH (node, &c->list) {
		struct command *m = LIST_ENTRY(node, struct command, node);
		bool ours = m->ending != ENDING_NONE || m->number > c->asked_at;
		for (size_t i = 0; i < count && !ours; i++)
			ours = held[i].id == m->task->id && held[i].fence == m->task->fence;
		if (!ours)
			stop(m);
	}
}

static void say_again(struct commands *c)
{
	LIST_FOR_EACH (node, &c->list) {
		struct command *m = LIST_ENTRY(node, struct command, node);
		if (!m->said)
			say_start(m);
	}
	if (!c->synced)
		say_sync(c);
}

static void on_look(void *arg)
{
	struct commands *c = arg;
	say_again(c);
	if (c->configured || c->running || !c->synced)
		loop_timer_start(c->look, LOOK_MS);
	if (c->running && !c->asking) {
		c->asking = true;
		c->asked_at = c->added;
		queue_exec_held(c->queue, on_held, c);
	}
	claim(c);
}

static void on_renew(void *arg)
{
	struct commands *c = arg;
	if (c->running)
		queue_renew(c->queue);
	loop_timer_start(c->renew, RENEW_MS);
}

void commands_configure(struct commands *c, const struct config *config)
{
	const struct config_worker *own = config_worker(config, "scheduler");
	c->slots = own ? (size_t)MAX(own->concurrency, (int64_t)1) : 1;
	c->configured = false;
	c->config = config;
	for (size_t i = 0; i < config->job_count; i++)
		c->configured |= config->jobs[i].kind && config->jobs[i].kind->runs_commands;
	if (c->taken)
		loop_timer_start(c->look, 0);
}
