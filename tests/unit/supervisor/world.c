/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "unit.h"

#include "base/err.h"
#include "config/kind.h"
#include "fakes/clock.h"
#include "fakes/loop.h"

static int w_spawn(struct process *p, struct err *err)
{
	struct world *w = p->owner;
	if (w->spawn_error)
		return err_set(err, w->spawn_error, "fork");
	assert_int_equal(w->living, 0); /* S1 */
	w->automatic_at_save = p->last_automatic_ms;
	w->fingerprint_at_fork = w->fingerprint_saved;
	w->spawned++;
	w->living = 1;
	fake_clock_advance_ms(w->fork_ms);
	p->pid = 1000 + w->spawned;
	return 0;
}
static void w_terminate(struct process *p, int64_t deadline_ms)
{
	struct world *w = p->owner;
	w->terminated += !p->main_ended; /* else the rest is asked once more */
	w->stop_ms = deadline_ms;
}
static void w_kill(struct process *p)
{
	struct world *w = p->owner;
	w->killed++;
	if (!w->immortal)
		w->living = 0;
}
static int w_living(struct process *p)
{
	return ((struct world *)p->owner)->living;
}
static void w_gone(struct process *p)
{
	((struct world *)p->owner)->gone++;
}
static bool w_probe(struct process *p, uint64_t seq)
{
	struct world *w = p->owner;
	w->probes++;
	w->seq = seq;
	w->asked_ms = loop_now_ms(w->loop);
	return true;
}
static void w_save(struct process *p)
{
	struct world *w = p->owner;
	w->saved++;
	w->fingerprint_saved = p->fingerprint;
}
static void w_changed(struct process *p)
{
	(void)p;
}
static uint64_t w_fingerprint(const struct process *p)
{
	return ((struct world *)p->owner)->fingerprint;
}

static bool w_may_spawn(const struct process *p)
{
	return !((struct world *)p->owner)->unsettled;
}
static bool w_trim(struct process *p, uint64_t seq)
{
	struct world *w = p->owner;
	(void)seq;
	w->trims += !w->away;
	return !w->away;
}
static bool w_hold_tasks(struct process *p, bool hold)
{
	struct world *w = p->owner;
	if (!w->away)
		w->holding = hold;
	return !w->away;
}
static const char *w_stands_at(const struct process *p)
{
	return ((struct world *)p->owner)->stands_at;
}

static const struct process_ops ops = { .spawn = w_spawn,
	.terminate = w_terminate,
	.kill_tree = w_kill,
	.living = w_living,
	.gone = w_gone,
	.probe = w_probe,
	.save = w_save,
	.fingerprint = w_fingerprint,
	.changed = w_changed,
	.may_spawn = w_may_spawn,
	.trim = w_trim,
	.hold_tasks = w_hold_tasks,
	.stands_at = w_stands_at };
static const struct worker_kind kind = { .name = "crawl", .takes_tasks = true };

int set_up(void **state)
{
	static struct world w;
	fake_clock_reset();
	w = (struct world) { 0 };
	w.rules = (struct config_supervision) {
		.probe = { .interval_ms = 1000, .timeout_ms = 200, .failures = 3 },
		.restart = { .min_interval_ms = 60000, .when_held = HELD_STOP },
		.stop = { .signal = 15, .timeout_ms = 3000 },
	};
	w.changed = w.rules;
	assert_int_equal(loop_new(&w.loop, NULL), 0);
	w.p = process_new(w.loop, &ops, &w, "crawl", &w.rules);
	w.p->kind = &kind;
	*state = &w;
	return 0;
}

int tear_down(void **state)
{
	struct world *w = *state;
	process_free(w->p);
	assert_int_equal(fake_loop_watchers(w->loop), 0);
	loop_free(w->loop);
	return 0;
}

void up(struct world *w)
{
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 0);
	process_ready(w->p);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
}

void end(struct world *w, int code, int status)
{
	siginfo_t info = { .si_code = code };
	info.si_status = status;
	w->living = 0;
	process_exited(w->p, &info);
	fake_loop_advance(w->loop, 0);
}
