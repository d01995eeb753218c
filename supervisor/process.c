/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process_inner.h"
#include "process_probe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KILLED_MS = 1000,     /* from KILL until we call it stuck */
	TOLD_MS = 500,	      /* from a death until its end is told, when we are late */
	SWEEP_MS = 20,	      /* how often we look whether a killed tree is gone */
	SWEEP_SLOW_MS = 1000, /* the same for a stuck one */
	STALL_MS = 1000,      /* a deadline met later than this is our own lateness */
	SETTLE_AGAIN_MS = 20, /* a start that waits for its log asks again */
	STOP_MS = 10000,      /* the default of stop.timeout */
};

static void act(struct process *p, enum process_action action);
static void on_start_timer(void *arg);
static void on_deadline(void *arg);
static void on_sweep(void *arg);
static bool send_probe(void *arg, uint64_t seq);
static void on_verdict(
	void *arg, enum probe_verdict verdict, int64_t latency_ms, const char *detail);
static const char no_words[] = "";

struct process *process_new(struct loop *loop, const struct process_ops *ops, void *owner,
	const char *name, const struct config_supervision *rules)
{
	static const struct probe_ops probe_ops = { .send = send_probe, .verdict = on_verdict };
	size_t len = strnlen(name, SLOT_NAME_SIZE - 1);
	struct process *p = calloc(1, sizeof(struct process) + len + 1);
	if (!p)
		return NULL;
	list_init(&p->node);
	p->loop = loop;
	p->ops = ops;
	p->owner = owner;
	p->rules = rules;
	p->name = memcpy(p + 1, name, len);
	p->state = PROCESS_STOPPED;
	p->wanted = true;
	p->last_start_ms = p->last_automatic_ms = p->before_automatic_ms = p->due_ms = -1;
	p->last_exit = (struct process_exit) { .code = -1, .signal = -1 };
	p->waits_for = p->start_error = p->last_probe.detail = p->said = no_words;
	p->failed_start.step = no_words;
	p->start_timer = loop_timer_new(loop, on_start_timer, p);
	p->deadline_timer = loop_timer_new(loop, on_deadline, p);
	p->sweep_timer = loop_timer_new(loop, on_sweep, p);
	if (!p->start_timer || !p->deadline_timer || !p->sweep_timer ||
		probe_init(&p->probe, loop, &probe_ops, p) < 0) {
		process_free(p);
		return NULL;
	}
	return p;
}

void process_words(const char **words, const char *text)
{
	const char *old = *words;
	size_t len = text ? strnlen(text, PROCESS_DETAIL - 1) : 0;
	char *copy = len ? strndup(text, len) : NULL;
	*words = copy ? copy : no_words;
	if (old != no_words)
		free((char *)(uintptr_t)old);
}

void process_free(struct process *p)
{
	if (!p)
		return;
	list_remove(&p->node);
	history_finish(&p->history);
	const char **words[] = { &p->waits_for, &p->start_error, &p->last_probe.detail, &p->said,
		&p->failed_start.step };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		process_words(words[i], "");
	probe_finish(&p->probe);
	if (p->task)
		loop_timer_free(p->task->timer);
	free(p->task);
	free(p->kept_rules);
	loop_timer_free(p->start_timer);
	loop_timer_free(p->deadline_timer);
	loop_timer_free(p->sweep_timer);
	free(p);
}

const char *process_kind_name(const struct process *p)
{
	return p->kind ? p->kind->name : p->task ? "exec" : "service";
}

bool process_is_of(const struct process *p, const char *name)
{
	return str_eq(p->name, name) || (p->kind && str_eq(p->kind->name, name)) ||
	       (p->service && str_eq(p->service->name, name));
}

void process_remember(struct process *p, const char *event, const char *reason, const char *detail)
{
	history_add(&p->history, event, reason, detail);
}

/* Told by those only whose being ready is more than their running. */
static void become_ready(struct process *p)
{
	if (p->ready)
		return;
	p->ready = true;
	p->ops->save(p);
	if (!p->kind && process_probe_kind(p) != PROBE_NONE)
		log_info(MAIN, "process_ready", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation));
}

static void set_deadline(struct process *p, enum process_event event, int64_t ms)
{
	p->deadline_event = event;
	p->deadline_ms = loop_now_ms(p->loop) + ms;
	loop_timer_start(p->deadline_timer, ms);
}

/* --- commands --- */

void process_start(struct process *p, enum start_cause cause)
{
	/* It runs still, and must not go on with what is not configured any more. */
	if (p->turn == TURN_STOP && p->outdated) {
		process_restart(p, CAUSE_CONFIG);
		return;
	}
	p->wanted = true;
	p->stay_down = false;
	if (p->turn == TURN_STOP)
		p->turn = TURN_NONE;
	/* A start of one that is being ended by the policy is the operator's: not bound by the
	 * interval. */
	if (p->state != PROCESS_STARTING && p->state != PROCESS_RUNNING)
		p->next_cause = cause;
	process_feed(p, EV_START);
	p->ops->save(p);
}

void process_stop(struct process *p, enum start_cause cause)
{
	p->wanted = false;
	p->turn = TURN_NONE;
	p->stay_down = p->stay_down || cause == CAUSE_OPERATOR;
	if (p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING)
		p->end_cause = cause;
	process_feed(p, EV_STOP);
	p->ops->save(p);
}

void process_restart(struct process *p, enum start_cause cause)
{
	p->wanted = true;
	p->stay_down = false;
	p->turn = TURN_NONE;
	p->next_cause = cause;
	if (p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING)
		p->end_cause = cause;
	process_feed(p, EV_RESTART);
	p->ops->save(p);
}

void process_quit(struct process *p)
{
	p->wanted = false;
	p->turn = TURN_NONE;
	if (p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING)
		p->end_cause = CAUSE_OPERATOR;
	process_feed(p, EV_STOP);
	/* What was killed already is not given its time anew. */
	if (p->state == PROCESS_STOPPING && p->deadline_event == EV_KILL_DUE)
		process_feed(p, EV_KILL_DUE);
}

void process_hurry(struct process *p, int64_t ms)
{
	if (p->state == PROCESS_STOPPING && p->deadline_event == EV_KILL_DUE &&
		loop_timer_armed(p->deadline_timer) && p->deadline_ms > loop_now_ms(p->loop) + ms)
		set_deadline(p, EV_KILL_DUE, ms);
}

/* --- what the world reports --- */

void process_parts(struct process *p)
{
	if (p->state != PROCESS_STOPPING || p->parted)
		return;
	p->parted = true;
	p->ops->changed(p);
}

void process_ready(struct process *p)
{
	if (p->state != PROCESS_STARTING)
		return; /* it is being stopped already */
	process_feed(p, EV_READY);
}

static void note_exit(struct process *p, const siginfo_t *info)
{
	bool by_signal = info && info->si_code != CLD_EXITED;
	struct process_exit *e = &p->last_exit;
	e->code = info && !by_signal ? info->si_status : -1;
	e->signal = by_signal ? info->si_status : -1;
	e->at_ms = clock_real_ms();
	/* Whatever code it ends with when it is told to end: it was ended for a failure. */
	p->end_failed = !info || by_signal || info->si_status != 0 ||
			start_is_automatic(p->end_cause);
	enum start_cause cause = p->end_cause;
	if (cause == CAUSE_NONE)
		cause = !info ? CAUSE_LOST : by_signal ? CAUSE_SIGNAL : CAUSE_EXIT;
	/* Nobody asked for this end: it is the process's own, and the policy's matter. */
	if (p->end_cause == CAUSE_NONE)
		p->next_cause = p->end_cause = cause;
	e->cause = cause;
	e->reason = start_cause_name(cause);
}

void process_note_end(struct process *p, const siginfo_t *info)
{
	char detail[PROCESS_DETAIL] = "end unknown";
	note_exit(p, info);
	if (p->last_exit.code >= 0)
		snprintf(detail, sizeof(detail), "exit code %d", p->last_exit.code);
	else if (p->last_exit.signal >= 0)
		snprintf(detail, sizeof(detail), "signal %d (%s)", p->last_exit.signal,
			sigabbrev_np(p->last_exit.signal) ?: "?");
	log_info(MAIN, "process_exited", KV_STR("name", p->name), KV_INT("pid", p->pid),
		KV_INT("incarnation", p->incarnation), KV_STR("reason", p->last_exit.reason),
		KV_INT("code", p->last_exit.code), KV_INT("signal", p->last_exit.signal));
	process_remember(p, "process_exited", p->last_exit.reason, detail);
}

void process_exited(struct process *p, const siginfo_t *info)
{
	p->main_ended = true;
	process_note_end(p, info);
	process_feed(p, EV_EXIT);
}

void process_end_for(struct process *p, enum start_cause cause)
{
	p->next_cause = p->end_cause = cause;
	p->end_failed = true;
}

void process_fail(struct process *p, const char *why)
{
	if (p->state != PROCESS_STARTING && p->state != PROCESS_RUNNING)
		return;
	log_error(MAIN, "process_failed", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("error", why));
	process_remember(p, "process_failed", "exit", why);
	process_words(&p->start_error, why);
	process_end_for(p, CAUSE_EXIT);
	process_feed(p, p->state == PROCESS_STARTING ? EV_LATE : EV_LAST_STRIKE);
}

bool process_probe_answer(
	struct process *p, uint64_t seq, bool ok, int64_t latency_ms, const char *detail)
{
	return probe_answer(&p->probe, seq, ok, latency_ms, detail);
}

static bool send_probe(void *arg, uint64_t seq)
{
	struct process *p = arg;
	return p->ops->probe(p, seq);
}

static void on_verdict(
	void *arg, enum probe_verdict verdict, int64_t latency_ms, const char *detail)
{
	struct process *p = arg;
	if (p->ops->probe_over)
		p->ops->probe_over(p);
	bool was_ready = p->ready, news = p->last_probe.verdict != verdict || !p->last_probe.at_ms;
	p->last_probe.at_ms = clock_real_ms();
	p->last_probe.latency_ms = latency_ms;
	p->last_probe.verdict = verdict;
	process_words(&p->last_probe.detail, detail);
	if (verdict == PROBE_UNKNOWN)
		return;
	int64_t before = p->strikes;
	enum strike_verdict strike = strike_count(&p->strikes, p->rules->probe.failures,
		verdict == PROBE_OK,
		process_held_for(p, CAUSE_PROBE) || (MUTANT(PROBE_FORGIVES_MEMORY) && p->held));
	if (verdict == PROBE_FAILED) {
		log_warn(HEALTH, "probe_failed", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_INT("strikes", p->strikes),
			KV_STR("detail", p->last_probe.detail));
		process_remember(p, "probe_failed", NULL, p->last_probe.detail);
	} else if (before > 0) {
		log_info(HEALTH, "probe_recovered", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_INT("strikes", before));
		process_remember(p, "probe_recovered", NULL, p->last_probe.detail);
	}
	if (verdict == PROBE_OK)
		become_ready(p);
	if (p->strikes != before)
		p->ops->save(p);
	if (strike == STRIKE_RESTART)
		process_replace(p, CAUSE_PROBE);
	else if (strike == STRIKE_OVER)
		process_feed(p, EV_WELL);
	/* That it is as well as it was is shown to who asks, and wakes nobody. */
	if (news || p->strikes != before || p->ready != was_ready)
		p->ops->changed(p);
}

/* It is asked otherwise now, or not at all: what the old question found says nothing any more. */
static void change_probe(struct process *p)
{
	if (p->state != PROCESS_RUNNING)
		return;
	process_end_probes(p);
	p->strikes = 0;
	p->ops->save(p);
	if (process_held_for(p, CAUSE_PROBE))
		process_feed(p, EV_WELL);
	if (process_probe_kind(p) == PROBE_NONE)
		p->ready = true;
	else
		process_begin_probes(p, p->rules->probe.interval_ms);
	p->ops->changed(p);
}

void process_adjust(struct process *p, const struct config_supervision *rules)
{
	int64_t old_interval_ms = p->rules->restart.min_interval_ms;
	enum probe_kind old_kind = process_probe_kind(p);
	bool alike = process_asks_alike(&p->rules->probe, &rules->probe);
	p->rules = rules;
	process_adjust_due(p, old_interval_ms);
	if (process_probe_kind(p) != old_kind)
		change_probe(p);
	else
		probe_adjust(&p->probe, process_first_probe_ms(p), process_probe_interval_ms(p),
			rules->probe.timeout_ms);
	if (!alike)
		probe_drop(&p->probe, "asked otherwise since a reload");
}

void process_orphan(struct process *p)
{
	static const struct config_supervision usual = { .stop = { .signal = SIGTERM,
								 .timeout_ms = STOP_MS } };
	if (!p->kept_rules)
		p->kept_rules = malloc(sizeof(*p->kept_rules));
	if (p->kept_rules) {
		*p->kept_rules = *p->rules;
		p->kept_rules->probe.http = p->kept_rules->probe.tcp = NULL;
		p->kept_rules->probe.exec = (struct config_strings) { 0 };
		p->kept_rules->probe.notify = false;
	}
	p->rules = p->kept_rules ? p->kept_rules : &usual;
	p->rank = p->service ? p->service->rank : 0;
	p->worker = NULL;
	p->service = NULL;
	p->removed = true;
	if (!p->kind)
		process_end_probes(p);
}

void process_stop_in_turn(struct process *p, enum start_cause cause, bool anew, bool after_workers)
{
	p->turn = anew ? TURN_RESTART : TURN_STOP;
	p->turn_cause = cause;
	p->turn_after_workers = after_workers;
	p->wanted = anew;
	p->stay_down = !anew && (p->stay_down || cause == CAUSE_OPERATOR);
	p->ops->save(p);
	p->ops->changed(p);
}

void process_take_turn(struct process *p)
{
	if (p->turn == TURN_RESTART)
		process_restart(p, p->turn_cause);
	else if (p->turn == TURN_STOP)
		process_stop(p, p->turn_cause);
}

/* --- the table --- */

void process_feed(struct process *p, enum process_event event)
{
	struct process_step step = process_step(p->state, event);
	if (step.next == PROCESS_INVALID) {
		log_error(MAIN, "process_event_unexpected", KV_STR("name", p->name),
			KV_STR("state", process_state_name(p->state)),
			KV_STR("detail", process_event_name(event)));
		return;
	}
	bool same = step.next == p->state && step.action == ACT_NONE;
	p->state = step.next;
	act(p, step.action);
	/* The next supervisor goes on from here, whenever this one dies. */
	if (!same)
		p->ops->save(p);
	p->ops->changed(p);
}

/* All is on record before the fork: a crash in between costs no interval, and the next supervisor
 * knows what this one was started with. */
static void note_start(struct process *p)
{
	int64_t now_ms = clock_boot_ms();
	p->attempts++;
	p->incarnation++;
	p->last_start_ms = now_ms;
	p->before_automatic_ms = p->last_automatic_ms;
	if (start_is_automatic(p->next_cause))
		p->last_automatic_ms = process_interval_stamp_ms();
	p->started_at_ms = clock_real_ms();
	p->due_ms = -1;
	p->due_at_ms = 0;
	p->main_ended = p->parted = false;
	p->ready = p->outdated = false;
	process_words(&p->said, "");
	p->extend_until_ms = 0;
	p->told_interval_ms = p->rules->probe.interval_ms;
	p->end_cause = CAUSE_NONE;
	p->memory.level = MEMORY_NORMAL;
	process_words(&p->start_error, "");
	if (!MUTANT(STRIKES_KEPT_OVER_RESTART))
		p->strikes = 0;
	p->fingerprint = p->ops->fingerprint ? p->ops->fingerprint(p) : 0;
	p->ops->save(p);
}

/* A start takes its time where processors are short: the interval to the next is from its end. */
static void note_started(struct process *p)
{
	if (start_is_automatic(p->next_cause) && !MUTANT(INTERVAL_FROM_FORK))
		p->last_automatic_ms = process_interval_stamp_ms();
}

static void await(struct process *p)
{
	set_deadline(p, EV_LATE, process_ready_within_ms(p));
}

static void spawn(struct process *p)
{
	struct err err = { 0 };
	note_start(p);
	if (p->again) {
		log_info(MAIN, "process_restarting", KV_STR("name", p->name),
			KV_STR("reason", start_cause_name(p->next_cause)),
			KV_INT("incarnation", p->incarnation));
		process_remember(p, "process_restarting", start_cause_name(p->next_cause), NULL);
	}
	int rc = p->ops->spawn(p, &err);
	if (rc < 0) {
		/* Nothing was started, so nothing counts. */
		p->last_automatic_ms = p->before_automatic_ms;
		p->started_at_ms = 0;
		process_start_failed(p, err.text, -rc);
		process_feed(p, EV_SPAWN_FAILED);
		p->ops->save(p);
		return;
	}
	note_started(p);
	p->restarts += p->again;
	p->again = false;
	p->spawn_failures = 0;
	process_remember(p, "process_starting", start_cause_name(p->next_cause), NULL);
	log_info(MAIN, "process_starting", KV_STR("name", p->name), KV_INT("pid", p->pid),
		KV_INT("incarnation", p->incarnation));
	await(p);
}

static void watch(struct process *p)
{
	enum probe_kind kind = process_probe_kind(p);
	loop_timer_stop(p->deadline_timer);
	if (!p->kind)
		note_started(p);
	p->next_cause = CAUSE_NONE;
	process_words(&p->failed_start.step, "");
	log_info(MAIN, "process_running", KV_STR("name", p->name), KV_INT("pid", p->pid),
		KV_INT("incarnation", p->incarnation));
	process_remember(p, "process_running", NULL, NULL);
	if (kind == PROBE_NONE || kind == PROBE_BEAT || kind == PROBE_NOTIFY)
		become_ready(p);
	if (kind != PROBE_NONE)
		process_begin_probes(p, process_first_probe_ms(p));
}

static void terminate(struct process *p)
{
	int64_t timeout_ms = p->rules->stop.timeout_ms;
	/* A worker that misses its beats reads neither signal nor message: little is worth waiting
	 * for. */
	if (p->kind && p->end_cause == CAUSE_PROBE)
		timeout_ms = MIN(timeout_ms, p->rules->probe.timeout_ms);
	process_end_probes(p);
	loop_timer_stop(p->start_timer);
	p->ready = false;
	p->held = false;
	p->due_ms = -1;
	p->due_at_ms = 0;
	log_info(MAIN, "process_stopping", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation),
		KV_STR("reason", start_cause_name(p->end_cause)));
	process_remember(p, "process_stopping", start_cause_name(p->end_cause), NULL);
	set_deadline(p, EV_KILL_DUE, timeout_ms);
	/* Whose will its end is stands on record before it can end. */
	p->ops->save(p);
	p->ops->terminate(p, timeout_ms);
	/* Else its end is told by the pidfd. */
	if (p->main_ended)
		loop_timer_start(p->sweep_timer, 0);
}

static void kill_tree(struct process *p)
{
	p->ops->kill_tree(p);
	p->end_awaited = false;
	set_deadline(p, EV_UNKILLABLE, KILLED_MS);
	loop_timer_start(p->sweep_timer, 0);
}

static enum process_event gone_event(const struct process *p)
{
	if (p->task && !MUTANT(COMMAND_STARTED_AGAIN))
		return EV_GONE_FINAL;
	if (!p->wanted || p->removed)
		return EV_GONE_DOWN;
	/* A worker leaves when its supervisor is lost: that is no end of its own. */
	if (p->kind && p->next_cause == CAUSE_LOST)
		return EV_GONE_AGAIN;
	return restart_allowed(&p->rules->restart, p->next_cause, p->end_failed) ? EV_GONE_AGAIN
										 : EV_GONE_FINAL;
}

static void tree_is_gone(struct process *p)
{
	loop_timer_stop(p->deadline_timer);
	loop_timer_stop(p->sweep_timer);
	p->started_at_ms = 0;
	p->pid = 0;
	p->held = false;
	log_info(MAIN, "process_stopped", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation),
		KV_STR("reason", start_cause_name(p->end_cause)));
	process_remember(p, "process_stopped", start_cause_name(p->end_cause), NULL);
	p->ops->gone(p);
	p->again = gone_event(p) == EV_GONE_AGAIN;
	process_feed(p, gone_event(p));
	p->ops->save(p);
}

static void sweep(struct process *p)
{
	process_end_probes(p);
	loop_timer_stop(p->start_timer);
	p->ready = false;
	p->held = false;
	p->due_ms = -1;
	p->due_at_ms = 0;
	/* Mostly nothing is left, and one look is enough. */
	if (p->ops->living(p) == 0 || MUTANT(MAIN_DEATH_STARTS))
		tree_is_gone(p);
	else
		kill_tree(p);
}

/* The wrapper is gone, its children were asked at the same time: they keep the time that is left.
 */
static void linger(struct process *p)
{
	if (p->ops->living(p) == 0) {
		tree_is_gone(p);
		return;
	}
	if (p->deadline_event == EV_KILL_DUE)
		p->ops->terminate(p, MAX(p->deadline_ms - loop_now_ms(p->loop), (int64_t)0));
	loop_timer_start(p->sweep_timer, SWEEP_MS);
}

static void report_stuck(struct process *p)
{
	log_error(MAIN, "process_stuck", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_INT("count", p->ops->living(p)));
	process_remember(p, "process_stuck", NULL, "killed, and the kernel does not let it die");
	loop_timer_start(p->sweep_timer, SWEEP_SLOW_MS);
}

static void act(struct process *p, enum process_action action)
{
	switch (action) {
	case ACT_NONE: break;
	case ACT_START_NOW:
		p->due_ms = clock_boot_ms();
		p->due_at_ms = clock_real_ms();
		loop_timer_start(p->start_timer, 0);
		break;
	case ACT_START_LATER: process_start_later(p); break;
	case ACT_RETRY_LATER: process_retry_later(p); break;
	case ACT_FORGET:
		p->again = p->blocked = false;
		loop_timer_stop(p->start_timer);
		p->due_ms = -1;
		p->due_at_ms = 0;
		log_info(MAIN, "process_stopped", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation));
		process_remember(p, "process_stopped", "operator", NULL);
		break;
	case ACT_SPAWN: spawn(p); break;
	case ACT_WATCH: watch(p); break;
	case ACT_ADOPT: process_take_up(p); break;
	case ACT_AWAIT: await(p); break;
	case ACT_TERMINATE: terminate(p); break;
	case ACT_SWEEP: sweep(p); break;
	case ACT_LINGER: linger(p); break;
	case ACT_KILL: kill_tree(p); break;
	case ACT_REPORT_STUCK: report_stuck(p); break;
	case ACT_HOLD:
		p->held = true;
		process_say_held(p, p->next_cause);
		process_wait_until_due(p);
		break;
	case ACT_UNHOLD:
		p->held = false;
		p->due_ms = -1;
		p->due_at_ms = 0;
		loop_timer_stop(p->start_timer);
		log_info(MAIN, "restart_cancelled", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation),
			KV_STR("reason", start_cause_name(p->next_cause)));
		process_remember(p, "restart_cancelled", start_cause_name(p->next_cause),
			p->next_cause == CAUSE_MEMORY ? "it needs less memory"
						      : "a probe went well");
		p->next_cause = CAUSE_NONE;
		break;
	}
}

/* --- timers --- */

/* Told once: order_settle() asks again after every change, and the reason may be another then. */
static bool may_start(struct process *p)
{
	char why[PROCESS_DETAIL];
	bool was = p->blocked;
	p->blocked = p->ops->may_start && !p->ops->may_start(p, why, sizeof(why));
	if (!p->blocked)
		return true;
	p->due_ms = -1;
	p->due_at_ms = 0;
	if (was && str_eq(p->waits_for, why))
		return false;
	process_words(&p->waits_for, why);
	if (!was) {
		log_info(MAIN, "start_waits", KV_STR("name", p->name), KV_STR("detail", why));
		process_remember(p, "start_waits", NULL, why);
	}
	p->ops->changed(p);
	return false;
}

static void on_start_timer(void *arg)
{
	struct process *p = arg;
	/* Who tries sooner than the timer has tried for it, too. */
	loop_timer_stop(p->start_timer);
	/* Armed on the monotonic clock, due on the boot clock: they part during a suspend. */
	if (p->due_ms > clock_boot_ms()) {
		process_wait_until_due(p);
		return;
	}
	if (p->state == PROCESS_RUNNING) {
		process_end_for(p, p->next_cause);
		process_feed(p, EV_HELD_DUE);
		return;
	}
	/* Bounded by those who are waited for. */
	if (p->ops->may_spawn && !p->ops->may_spawn(p)) {
		loop_timer_start(p->start_timer, SETTLE_AGAIN_MS);
		return;
	}
	if (may_start(p))
		process_feed(p, EV_DUE);
}

void process_try_start(struct process *p)
{
	if (p->state == PROCESS_WAITING && p->blocked)
		on_start_timer(p);
}

void process_go_on(struct process *p)
{
	if (p->state == PROCESS_WAITING && loop_timer_armed(p->start_timer) &&
		p->due_ms <= clock_boot_ms())
		loop_timer_start(p->start_timer, 0);
}

static void on_deadline(void *arg)
{
	struct process *p = arg;
	/* We were stopped or starved: what it said meanwhile was not read yet. */
	if (p->deadline_event != EV_KILL_DUE && loop_now_ms(p->loop) - p->deadline_ms > STALL_MS) {
		set_deadline(p, p->deadline_event,
			p->deadline_event == EV_LATE ? process_ready_within_ms(p) : KILLED_MS);
		return;
	}
	/* It died, and we come to its end in this turn or the next: with many to kill, we are late.
	 */
	if (p->deadline_event == EV_UNKILLABLE && !p->end_awaited && p->ops->living(p) == 0) {
		p->end_awaited = true;
		set_deadline(p, EV_UNKILLABLE, TOLD_MS);
		process_look(p);
		return;
	}
	if (p->deadline_event == EV_LATE && !process_note_late(p))
		process_ready(p);
	else
		process_feed(p, p->deadline_event);
}

/* Killing once is not enough: what forked between the look and the signal is met by the next look.
 */
void process_look(struct process *p)
{
	if (p->state != PROCESS_STOPPING && p->state != PROCESS_STUCK)
		return;
	int living = p->ops->living(p);
	/* A dead main process whose end was not told yet: the pidfd's watcher comes in this turn.
	 */
	if (living == 0 && p->main_ended) {
		tree_is_gone(p);
		return;
	}
	if (p->deadline_event == EV_UNKILLABLE)
		p->ops->kill_tree(p);
	loop_timer_start(p->sweep_timer, p->state == PROCESS_STUCK ? SWEEP_SLOW_MS : SWEEP_MS);
}

static void on_sweep(void *arg)
{
	process_look(arg);
}
