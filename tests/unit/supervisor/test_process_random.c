/* SPDX-License-Identifier: MIT */
/*
 * Random lives of one slot on the fake loop: commands, turns, ends, answers, reloads, stalls,
 * suspends, wall clocks that jump and crashes of droverd in any order, and what must hold after
 * each step. DROVER_SEED=N replays one seed.
 */
#include "unit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "config/config.h"
#include "config/kind.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "log/log.h"
#include "process.h"
#include "process_memory.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEPS = 20000, /* of a seed: 10^5 with all five, as a worker, a service, one that speaks */
	SEEDS = 5,
	KILLED_MS = 1000,
	STALL_MS = 1000,
};

struct world {
	struct loop *loop;
	struct process *p;
	struct config_supervision rules[2]; /* a reload changes to the other one */
	size_t rule;
	uint64_t random;
	unsigned long seed;
	int step;
	bool main_lives, told; /* told: process_exited() was called for the present instance */
	int kids;
	bool immortal, cannot_fork, sick;
	uint64_t seq;
	bool asked;
	int64_t last_automatic_ms; /* CLOCK_BOOTTIME of the last automatic start, by the world's own
				      count */
	int64_t stop_began_ms;	   /* loop time; -1: none is under way */
	int64_t stop_bound_ms;
	uint64_t stopping; /* the instance */
	int spawned;
	struct met {
		int spawned, stuck, failed, adopted, early, held, fenced, large;
	} * met;
	bool inherited; /* the present instance is an earlier droverd's child */
	bool down;	/* the operator's last word */
};

static const struct worker_kind kind = { .name = "crawl" };

/* xorshift64*: the same on each machine. */
static uint64_t draw(struct world *w, uint64_t below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (w->random * UINT64_C(2685821657736338717) >> 33) % below;
}

#define MUST(w, condition)                                                                \
	do {                                                                              \
		if (!(condition))                                                         \
			fail_msg("DROVER_SEED=%lu step %d, %s: %s", (w)->seed, (w)->step, \
				process_state_name((w)->p->state), #condition);           \
	} while (0)

static int w_spawn(struct process *p, struct err *err)
{
	struct world *w = p->owner;
	int64_t now_ms = clock_boot_ms();
	MUST(w, p->wanted && !w->down);
	MUST(w, !w->main_lives && w->kids == 0); /* S1 */
	MUST(w, p->strikes == 0);
	if (w->cannot_fork)
		return err_set(err, -EAGAIN, "fork");
	if (start_is_automatic(p->next_cause)) {
		/* S3 */
		MUST(w, w->last_automatic_ms < 0 ||
				now_ms - w->last_automatic_ms >= p->rules->restart.min_interval_ms);
		w->last_automatic_ms = now_ms;
	}
	w->main_lives = true;
	w->told = w->asked = w->inherited = false;
	w->spawned++;
	p->pid = 1000 + w->spawned;
	return 0;
}
static void w_terminate(struct process *p, int64_t deadline_ms)
{
	struct world *w = p->owner;
	MUST(w, deadline_ms >= 0);
	if (draw(w, 2) && !w->immortal)
		w->main_lives = false; /* its end is told later */
	if (draw(w, 2) && !w->immortal)
		w->kids = 0;
}
static void w_kill(struct process *p)
{
	struct world *w = p->owner;
	if (!w->immortal) {
		w->main_lives = false;
		w->kids = draw(w, 8) == 0; /* forked between the look and the signal */
	}
}
static int w_living(struct process *p)
{
	const struct world *w = p->owner;
	return w->main_lives + w->kids;
}
static void w_gone(struct process *p)
{
	struct world *w = p->owner;
	MUST(w, !w->main_lives && w->kids == 0 && w->told);
}
static bool w_probe(struct process *p, uint64_t seq)
{
	struct world *w = p->owner;
	MUST(w, p->state == PROCESS_RUNNING);
	w->seq = seq;
	w->asked = true;
	return draw(w, 8) != 0; /* else nobody can be asked */
}
static void w_save(struct process *p)
{
	(void)p;
}
static void w_changed(struct process *p)
{
	(void)p;
}
static const struct process_ops ops = { .spawn = w_spawn,
	.terminate = w_terminate,
	.kill_tree = w_kill,
	.living = w_living,
	.gone = w_gone,
	.probe = w_probe,
	.save = w_save,
	.changed = w_changed,
	.may_spawn = NULL };

static bool is_up(const struct process *p)
{
	return p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING;
}

/* --- what may happen --- */

/* The pidfd tells: in the same turn or a little later, but always. */
static void tell_end(struct world *w)
{
	siginfo_t info = { .si_code = draw(w, 2) ? CLD_EXITED : CLD_KILLED };
	info.si_status = (int)draw(w, 2);
	w->told = true;
	w->asked = false;
	process_exited(w->p, !w->inherited && draw(w, 6) ? &info : NULL);
}

static bool untold(const struct world *w)
{
	return w->spawned && !w->main_lives && !w->told &&
	       (is_up(w->p) || w->p->state == PROCESS_STOPPING || w->p->state == PROCESS_STUCK);
}

static void die(struct world *w)
{
	if (!w->main_lives || !w->spawned)
		return;
	if (draw(w, 3) == 0)
		w->kids = 1 + (int)draw(w, 3);
	w->main_lives = false;
	if (draw(w, 2))
		tell_end(w);
}

static void answer(struct world *w)
{
	uint64_t seq = draw(w, 4) ? w->seq : w->seq - 1 - draw(w, 3);
	bool fits = w->asked && seq == w->seq && w->p->state == PROCESS_RUNNING;
	int64_t before = w->p->strikes;
	bool taken = process_probe_answer(
		w->p, seq, draw(w, 8) == 0 ? w->sick : !w->sick, 1, "answer");
	MUST(w, !taken || fits);
	MUST(w, taken || w->p->strikes == before);
	w->asked = w->asked && !taken;
}

/* Strikes in a row are rare when all else happens between them. */
static void be_sick(struct world *w)
{
	w->sick = true;
	for (int i = 0; i < 8; i++) {
		answer(w);
		fake_loop_advance(w->loop, 400);
	}
}

/* Until it is over, only its end or a smaller tree takes the reason away. */
static void judge_memory(struct world *w)
{
	static const enum memory_level levels[] = { MEMORY_NORMAL, MEMORY_NORMAL, MEMORY_CRITICAL,
		MEMORY_OVER };
	struct process *p = w->p;
	enum memory_level level = levels[draw(w, ARRAY_SIZE(levels))];
	bool ran = p->state == PROCESS_RUNNING, held = p->held;
	process_judge_memory(p, 1000, level, levels[draw(w, 3)]);
	if (!ran)
		return;
	bool allowed = restart_allowed(&p->rules->restart, CAUSE_MEMORY, true);
	if (level == MEMORY_OVER && allowed)
		MUST(w, p->state == PROCESS_STOPPING || (p->held && p->next_cause == CAUSE_MEMORY));
	else if (level != MEMORY_OVER)
		MUST(w, !p->held || (held && p->next_cause == CAUSE_PROBE));
	w->met->large += level == MEMORY_OVER && p->held;
}

static void reload(struct world *w)
{
	bool same = draw(w, 8) != 0;
	int64_t due_ms = w->p->due_ms, deadline_ms = w->p->deadline_ms, strikes = w->p->strikes;
	enum process_state before = w->p->state;
	if (!same)
		w->rule = !w->rule;
	process_adjust(w->p, &w->rules[w->rule]);
	MUST(w, w->p->state == before);
	MUST(w, w->p->deadline_ms == deadline_ms); /* nothing is armed again */
	MUST(w, !same || (w->p->due_ms == due_ms && w->p->strikes == strikes));
}

static void command(struct world *w)
{
	uint64_t what = draw(w, 7);
	if (what == 2) { /* a reload with another command */
		w->p->outdated = true;
		if (w->p->wanted)
			process_restart(w->p, CAUSE_CONFIG);
		return;
	}
	w->down = what == 0 || what == 3;
	switch (what) {
	case 0: process_stop(w->p, CAUSE_OPERATOR); break;
	case 1: process_restart(w->p, CAUSE_OPERATOR); break;
	case 3:
	case 4: /* what depends on it is up */
		if (!is_up(w->p) || w->p->kind)
			w->down = w->p->stay_down;
		else
			process_stop_in_turn(w->p, CAUSE_OPERATOR, what == 4, false);
		break;
	default: process_start(w->p, CAUSE_OPERATOR); break;
	}
}

/* --- droverd dies, and the next one takes over: what its record holds is all that it has --- */

static struct process *next_slot(struct world *w, const struct process *r)
{
	struct process *p = process_new(w->loop, &ops, w, "crawl", &w->rules[w->rule]);
	assert_non_null(p);
	p->kind = r->kind;
	p->incarnation = r->incarnation;
	p->last_start_ms = r->last_start_ms;
	p->last_automatic_ms = r->last_automatic_ms;
	p->before_automatic_ms = r->before_automatic_ms;
	p->stay_down = r->stay_down;
	p->wanted = !r->stay_down;
	p->restarts = r->restarts;
	p->next_cause = r->next_cause;
	p->end_failed = r->end_failed;
	p->last_exit = r->last_exit;
	return p;
}

static void adopt(struct world *w, const struct process *r)
{
	w->p->pid = r->pid;
	w->p->strikes = r->strikes;
	w->p->held = r->held;
	w->p->due_ms = r->held ? r->due_ms : -1;
	w->p->ready = r->ready;
	w->met->adopted++;
	w->met->early += r->state == PROCESS_STARTING;
	w->met->held += r->held;
	process_adopt(w->p, r->state == PROCESS_RUNNING);
	MUST(w, w->p->state == r->state && w->p->incarnation == r->incarnation);
	MUST(w, !w->p->probed || w->p->strikes == r->strikes);
	MUST(w, !w->p->probed || w->p->held == r->held);
	if (!w->p->wanted)
		process_stop(w->p, CAUSE_OPERATOR);
	else if (r->outdated)
		process_restart(w->p, CAUSE_CONFIG);
}

static void fence(struct world *w, const struct process *r, bool had)
{
	struct process *p = w->p;
	bool ending = !is_up(r);
	p->main_ended = w->told = had && !w->main_lives;
	w->met->fenced++;
	if (p->main_ended && !ending)
		process_lost(p);
	p->end_cause = ending && r->end_cause != CAUSE_NONE ? r->end_cause : CAUSE_LOST;
	if (!ending || r->next_cause == CAUSE_NONE)
		p->next_cause = CAUSE_LOST;
	process_fence(p);
}

static void go_on_down(struct world *w, const struct process *r)
{
	struct process *p = w->p;
	if (is_up(r))
		process_lost(p);
	bool asked = r->state != PROCESS_WAITING && !(is_up(r) && p->kind);
	if (r->state == PROCESS_FAILED ||
		(asked && !restart_allowed(&p->rules->restart, p->next_cause, p->end_failed)))
		process_rest(p);
	else
		process_resume(p, r->state == PROCESS_WAITING ? r->due_ms : -1);
}

static void crash(struct world *w)
{
	const struct process r = *w->p;
	bool had = is_up(&r) || r.state == PROCESS_STOPPING || r.state == PROCESS_STUCK;
	process_free(w->p);
	w->p = next_slot(w, &r);
	w->inherited = had;
	w->asked = false;
	w->stop_began_ms = -1;
	if (w->main_lives && !r.kind && is_up(&r))
		adopt(w, &r);
	else if (w->main_lives || w->kids)
		fence(w, &r, had);
	else if (w->p->wanted)
		go_on_down(w, &r);
}

static void pass_time(struct world *w)
{
	if (untold(w) && draw(w, 8))
		tell_end(w);
	static const int64_t spans[] = { 0, 1, 20, 100, 200, 500, 1000, 1000, 1000, 1000, 3000,
		3000, 20000, 70000 };
	fake_loop_advance(w->loop, (int64_t)draw(w, 2) + spans[draw(w, ARRAY_SIZE(spans))]);
}

static void stall(struct world *w)
{
	int64_t ms = (int64_t)draw(w, 40000);
	fake_loop_stall(w->loop, ms);
	/* What fell due meanwhile has its time once more. */
	w->stop_bound_ms += ms + KILLED_MS;
}

static void happen(struct world *w)
{
	/* Rare, and there is much to forget. */
	if (w->p->held && draw(w, 2) == 0) {
		static void (*const then[])(struct world * w) = { crash, be_sick, judge_memory };
		then[draw(w, ARRAY_SIZE(then))](w);
	}
	switch (draw(w, 32)) {
	case 0:
	case 1: command(w); break;
	case 2: die(w); break;
	case 3:
	case 4: process_ready(w->p); break;
	case 5:
	case 6:
	case 7:
	case 22:
	case 23:
	case 24: answer(w); break;
	case 8: reload(w); break;
	case 9: w->kids = w->immortal ? w->kids : 0; break;
	case 10: w->cannot_fork = draw(w, 4) == 0; break;
	case 11: w->immortal = draw(w, 20) == 0; break;
	case 12: process_hurry(w->p, 1000); break;
	case 13: process_look(w->p); break;
	case 14:
		if (draw(w, 3) == 0 && w->main_lives)
			process_fail(w->p, "it broke the protocol");
		break;
	case 15: stall(w); break;
	case 16: fake_clock_suspend_ms((int64_t)draw(w, 100000)); break;
	case 17:
		if (draw(w, 40) == 0)
			process_quit(w->p);
		else if (draw(w, 2) == 0)
			crash(w);
		break;
	case 19: process_take_turn(w->p); break;
	case 25: be_sick(w); break;
	case 26: judge_memory(w); break;
	case 21: w->sick = draw(w, 2) == 0; break;
	case 20: fake_clock_set_real_ms(INT64_C(1700000000000) + (int64_t)draw(w, 1U << 31)); break;
	case 18:
		if (untold(w))
			tell_end(w);
		break;
	default: pass_time(w); break;
	}
}

/* --- what must hold --- */

static void timers_are_armed_just_when_needed(struct world *w)
{
	const struct process *p = w->p;
	bool start = loop_timer_armed(p->start_timer),
	     deadline = loop_timer_armed(p->deadline_timer),
	     sweep = loop_timer_armed(p->sweep_timer), probe = loop_timer_armed(p->probe.timer);
	MUST(w, start == (p->state == PROCESS_WAITING || (p->state == PROCESS_RUNNING && p->held)));
	MUST(w, !start || p->due_ms >= 0);
	MUST(w, deadline == (p->state == PROCESS_STARTING || p->state == PROCESS_STOPPING));
	MUST(w, !sweep || p->state == PROCESS_STOPPING || p->state == PROCESS_STUCK);
	MUST(w, p->state != PROCESS_STUCK || sweep);
	MUST(w, probe == (p->state == PROCESS_RUNNING && p->probed));
	MUST(w, !p->held || p->state == PROCESS_RUNNING);
}

static void check(struct world *w)
{
	const struct process *p = w->p;
	int64_t now_ms = loop_now_ms(w->loop);
	timers_are_armed_just_when_needed(w);
	MUST(w, !is_up(p) || p->wanted || p->turn == TURN_STOP);
	MUST(w, !is_up(p) || !p->outdated || p->turn != TURN_NONE);
	MUST(w, !w->down || p->stay_down);
	/* S2: the most that any of the rules allows */
	MUST(w, p->state != PROCESS_RUNNING || p->held || p->strikes < 3);
	MUST(w, p->state != PROCESS_WAITING || p->wanted);
	MUST(w, !process_is_down(p) || (!w->main_lives && w->kids == 0));
	w->met->stuck += p->state == PROCESS_STUCK;
	w->met->failed += p->state == PROCESS_FAILED;
	if (p->state != PROCESS_STOPPING) {
		w->stop_began_ms = -1;
		w->stop_bound_ms = 0;
	} else if (w->stop_began_ms < 0 || w->stopping != p->incarnation) {
		w->stopping = p->incarnation;
		w->stop_bound_ms = 0;
		w->stop_began_ms = now_ms;
	}
	/* S4: with each reload the longer of the two timeouts may have been the one at its start.
	 */
	int64_t longest_ms = MAX(w->rules[0].stop.timeout_ms, w->rules[1].stop.timeout_ms);
	MUST(w, w->stop_began_ms < 0 || now_ms - w->stop_began_ms <= longest_ms + KILLED_MS +
									     STALL_MS +
									     w->stop_bound_ms);
}

enum who { WORKER, SERVICE, SPEAKER };

static void begin(struct world *w, unsigned long seed, enum who who)
{
	bool service = who != WORKER;
	fake_clock_reset();
	*w = (struct world) {
		.seed = seed, .random = seed * 2 + 1, .last_automatic_ms = -1, .stop_began_ms = -1
	};
	for (int i = 0; i < 10; i++)
		draw(w, 2);
	w->rules[0] = (struct config_supervision) {
		.probe = { .interval_ms = 1000,
			.timeout_ms = 200,
			.failures = 3,
			.http = who == SERVICE ? "http://127.0.0.1/" : NULL,
			.notify = who == SPEAKER },
		.restart = { .min_interval_ms = 60000,
			.jitter_ms = 500,
			.when_held = service ? HELD_KEEP : HELD_STOP },
		.stop = { .signal = 15, .timeout_ms = 3000 },
	};
	w->rules[1] = w->rules[0];
	w->rules[1].probe.failures = 1;
	w->rules[1].probe.http = NULL;
	w->rules[1].restart = (struct config_restart) { .min_interval_ms = 5000,
		.policy = RESTART_ON_FAILURE,
		.when_held = service ? HELD_STOP : HELD_KEEP };
	w->rules[1].stop.timeout_ms = 500;
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	w->p = process_new(w->loop, &ops, w, "crawl", &w->rules[0]);
	assert_non_null(w->p);
	w->p->kind = service ? NULL : &kind;
	process_start(w->p, CAUSE_NONE);
}

/* All troubles end; a stop then ends with nothing left. */
static void heal(struct world *w)
{
	w->immortal = w->cannot_fork = false;
	process_stop(w->p, CAUSE_OPERATOR);
	for (int i = 0; i < 2000 && w->p->state != PROCESS_STOPPED; i++) {
		fake_loop_advance(w->loop, 20);
		if (untold(w))
			tell_end(w);
	}
	MUST(w, w->p->state == PROCESS_STOPPED);
	MUST(w, !w->main_lives && w->kids == 0);
	fake_loop_advance(w->loop, 1000000);
	MUST(w, w->p->state == PROCESS_STOPPED);
}

static void live(unsigned long seed, enum who who, struct met *met)
{
	static struct world w;
	begin(&w, seed, who);
	w.met = met;
	for (w.step = 0; w.step < STEPS; w.step++) {
		happen(&w);
		check(&w);
	}
	heal(&w);
	met->spawned += w.spawned;
	process_free(w.p);
	assert_int_equal(fake_loop_watchers(w.loop), 0);
	loop_free(w.loop);
}

static void live_all(enum who who)
{
	struct met met = { 0 };
	const char *given = getenv("DROVER_SEED");
	if (given) {
		live(strtoul(given, NULL, 10), who, &met);
		return;
	}
	for (unsigned long seed = 1; seed <= SEEDS; seed++)
		live(seed, who, &met);
	/* Walks that met nothing prove nothing. */
	assert_true(met.spawned > SEEDS * STEPS / 200);
	assert_true(met.stuck > 0 && met.failed > 0 && met.fenced > 0 && met.large > 0);
	assert_true(who == WORKER || (met.adopted > 100 && met.early > 50 && met.held > 2));
}

static void a_worker_keeps_its_promises_in_any_order_of_events(void **state)
{
	(void)state;
	live_all(WORKER);
}

static void a_service_keeps_its_promises_in_any_order_of_events(void **state)
{
	(void)state;
	live_all(SERVICE);
}

static void a_speaker_keeps_its_promises_in_any_order_of_events(void **state)
{
	(void)state;
	live_all(SPEAKER);
}

/* Thousands of lines of log tell nothing here. */
static int quiet(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_keeps_its_promises_in_any_order_of_events),
		cmocka_unit_test(a_service_keeps_its_promises_in_any_order_of_events),
		cmocka_unit_test(a_speaker_keeps_its_promises_in_any_order_of_events),
	};
	return cmocka_run_group_tests(tests, quiet, NULL);
}
