/* SPDX-License-Identifier: MIT */
/* A reload gives a slot new rules: each is obeyed from then on, and nothing is armed again. */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/loop.h"
#include "world.h"
#include <stdlib.h>

/* What starts again at once has done so. */
static void end_and_back(struct world *w, int code, int status)
{
	end(w, code, status);
	fake_loop_advance(w->loop, 100);
}

static void ask(struct world *w)
{
	int before = w->probes;
	for (int i = 0; i < 10000 && w->probes == before; i++)
		fake_loop_advance(w->loop, 10);
	assert_int_equal(w->probes, before + 1);
}

static void miss(struct world *w)
{
	ask(w);
	fake_loop_advance(w->loop, w->p->rules->probe.timeout_ms + 10);
}

/* An automatic start at this moment: what comes next is too early. */
static void use_up_the_interval(struct world *w)
{
	up(w);
	end_and_back(w, CLD_KILLED, 9);
	process_ready(w->p);
	assert_int_equal(w->spawned, 2);
}

static void fewer_failures_are_enough(struct world *w)
{
	up(w);
	miss(w);
	assert_int_equal(w->p->strikes, 1);
	w->changed.probe.failures = 2;
	process_adjust(w->p, &w->changed);
	assert_int_equal(w->p->strikes, 1); /* none is lost */
	miss(w);
	assert_int_equal(w->terminated, 1);
}

static void the_next_question_keeps_to_the_new_interval(struct world *w)
{
	up(w);
	ask(w);
	w->changed.probe.interval_ms = 400;
	process_adjust(w->p, &w->changed);
	process_probe_answer(w->p, w->seq, true, -1, "beat");
	int64_t first_ms = w->asked_ms;
	ask(w);
	assert_int_equal(w->asked_ms - first_ms, 400);
}

static void a_question_under_way_keeps_its_time(struct world *w)
{
	up(w);
	ask(w);
	w->changed.probe.timeout_ms = 5000;
	w->changed.probe.interval_ms = 700;
	for (int i = 0; i < 19; i++) {
		fake_loop_advance(w->loop, 10);
		process_adjust(w->p, i % 2 ? &w->changed : &w->rules);
	}
	assert_int_equal(w->p->strikes, 0);
	fake_loop_advance(w->loop, 10);
	assert_int_equal(w->p->strikes, 1);
	assert_int_equal(w->probes, 1);
}

static void a_question_that_is_another_now_is_not_answered(struct world *w)
{
	w->p->kind = NULL;
	w->rules.probe.http = "http://127.0.0.1/wrong";
	w->changed = w->rules;
	w->changed.probe.http = "http://127.0.0.1/right";
	up(w);
	ask(w);
	process_probe_answer(w->p, w->seq, false, 1, "404");
	assert_int_equal(w->p->strikes, 1);
	ask(w);
	uint64_t old = w->seq;
	process_adjust(w->p, &w->changed);
	assert_false(process_probe_answer(w->p, old, false, 1, "404"));
	assert_int_equal(w->p->strikes, 1); /* a reload forgives nothing either */
	int64_t asked_ms = w->asked_ms;
	ask(w);
	assert_int_equal(w->asked_ms - asked_ms, 1000); /* and puts off nothing */
	/* The same words in another place of memory are the same question. */
	char same[] = "http://127.0.0.1/right";
	w->rules.probe.http = same;
	process_adjust(w->p, &w->rules);
	assert_true(process_probe_answer(w->p, w->seq, true, 1, "200"));
}

static void an_answer_has_the_new_time(struct world *w)
{
	up(w);
	w->changed.probe.timeout_ms = 700;
	process_adjust(w->p, &w->changed);
	ask(w);
	fake_loop_advance(w->loop, 600);
	assert_true(process_probe_answer(w->p, w->seq, true, -1, "beat"));
	assert_int_equal(w->p->strikes, 0);
}

static void the_next_start_has_the_new_start_period(struct world *w)
{
	w->p->kind = NULL;
	w->rules.probe.http = w->changed.probe.http = "http://127.0.0.1/";
	up(w);
	w->changed.probe.start_period_ms = 20000;
	process_adjust(w->p, &w->changed);
	process_restart(w->p, CAUSE_OPERATOR);
	end_and_back(w, CLD_EXITED, 0);
	int before = w->probes;
	process_ready(w->p);
	fake_loop_advance(w->loop, 19000);
	assert_int_equal(w->probes, before);
	fake_loop_advance(w->loop, 3000);
	assert_true(w->probes > before);
}

static void the_next_end_meets_the_new_policy(struct world *w)
{
	up(w);
	w->changed.restart.policy = RESTART_NEVER;
	process_adjust(w->p, &w->changed);
	end_and_back(w, CLD_KILLED, 9);
	assert_int_equal(w->p->state, PROCESS_FAILED);
}

static void what_is_held_now_is_kept(struct world *w)
{
	use_up_the_interval(w);
	w->changed.restart.when_held = HELD_KEEP;
	process_adjust(w->p, &w->changed);
	for (int i = 0; i < 3; i++)
		miss(w);
	assert_int_equal(w->terminated, 0);
	assert_true(w->p->held);
}

static void the_next_held_start_is_spread(struct world *w)
{
	bool spread = false;
	use_up_the_interval(w);
	w->changed.restart.jitter_ms = 30000;
	process_adjust(w->p, &w->changed);
	for (int i = 0; i < 8; i++) { /* drawn anew each time: 0 ms eight times is beyond belief */
		int64_t earliest_ms = w->p->last_automatic_ms + 60000;
		end_and_back(w, CLD_KILLED, 9);
		assert_int_equal(w->p->state, PROCESS_WAITING);
		assert_true(w->p->due_ms >= earliest_ms && w->p->due_ms <= earliest_ms + 30000);
		spread = spread || w->p->due_ms > earliest_ms;
		while (w->p->state == PROCESS_WAITING)
			fake_loop_advance(w->loop, 100);
		process_ready(w->p);
	}
	assert_true(spread);
}

static void the_next_stop_has_the_new_time(struct world *w)
{
	up(w);
	w->changed.stop.timeout_ms = 500;
	process_adjust(w->p, &w->changed);
	process_stop(w->p, CAUSE_OPERATOR);
	assert_int_equal(w->stop_ms, 500);
	/* One that is under way keeps its own. */
	w->rules.stop.timeout_ms = 60000;
	process_adjust(w->p, &w->rules);
	fake_loop_advance(w->loop, 499);
	assert_int_equal(w->living, 1);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->living, 0);
	end_and_back(w, CLD_KILLED, 9);
}

static void each_rule_is_obeyed_from_its_change_on(void **state)
{
	static void (*const rules[])(struct world * w) = { fewer_failures_are_enough,
		the_next_question_keeps_to_the_new_interval, a_question_under_way_keeps_its_time,
		a_question_that_is_another_now_is_not_answered, an_answer_has_the_new_time,
		the_next_start_has_the_new_start_period, the_next_end_meets_the_new_policy,
		what_is_held_now_is_kept, the_next_held_start_is_spread,
		the_next_stop_has_the_new_time };
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		void *world;
		set_up(&world);
		rules[i](world);
		tear_down(&world);
	}
}

static void a_reload_may_give_and_take_a_probe(void **state)
{
	void *world;
	(void)state;
	set_up(&world);
	struct world *w = world;
	w->p->kind = NULL;
	up(w);
	fake_loop_advance(w->loop, 10000);
	assert_int_equal(w->probes, 0);
	w->changed.probe.http = "http://127.0.0.1/";
	process_adjust(w->p, &w->changed);
	ask(w);
	process_probe_answer(w->p, w->seq, false, 1, "500");
	assert_int_equal(w->p->strikes, 1);
	process_adjust(w->p, &w->rules);
	int before = w->probes;
	fake_loop_advance(w->loop, 10000);
	assert_int_equal(w->probes, before);
	assert_int_equal(w->p->strikes, 0);
	tear_down(&world);
}

/* Also what the next supervisor reads when this one dies before the end. */
static void a_worker_that_failed_is_started_again_whatever_it_exits_with(void **state)
{
	void *world;
	(void)state;
	set_up(&world);
	struct world *w = world;
	w->rules.restart.policy = RESTART_ON_FAILURE;
	up(w);
	process_fail(w->p, "it broke the protocol");
	assert_int_equal(w->p->state, PROCESS_STOPPING);
	assert_true(w->p->end_failed);
	end_and_back(w, CLD_EXITED, 0);
	assert_int_equal(w->spawned, 2);
	process_ready(w->p);
	end_and_back(w, CLD_EXITED, 0); /* this end is its own */
	assert_false(w->p->end_failed);
	assert_int_equal(w->p->state, PROCESS_FAILED);
	tear_down(&world);
}

static void a_stop_that_is_taken_back_leaves_no_old_configuration(void **state)
{
	(void)state;
	for (int changed = 0; changed < 2; changed++) {
		void *world;
		set_up(&world);
		struct world *w = world;
		w->p->kind = NULL;
		up(w);
		process_stop_in_turn(w->p, CAUSE_OPERATOR, false, false);
		w->p->outdated = changed;
		process_start(w->p, CAUSE_OPERATOR);
		assert_true(w->p->wanted && !w->p->stay_down && w->p->turn == TURN_NONE);
		assert_int_equal(w->p->state, changed ? PROCESS_STOPPING : PROCESS_RUNNING);
		assert_int_equal(w->terminated, changed);
		if (changed)
			end_and_back(w, CLD_KILLED, 15);
		assert_int_equal(w->spawned, 1 + changed);
		assert_false(w->p->outdated);
		tear_down(&world);
	}
}

/* Whatever its slot's rules say, and whoever stops it: how it ended is all that its task wants. */
static void the_command_of_a_task_is_started_once(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		void *world;
		set_up(&world);
		struct world *w = world;
		w->p->kind = NULL;
		w->p->task = calloc(1, sizeof(*w->p->task));
		assert_non_null(w->p->task);
		up(w);
		if (how == 1)
			process_stop(w->p, CAUSE_TIMEOUT);
		if (how == 2)
			process_restart(w->p, CAUSE_OPERATOR);
		end_and_back(w, how == 3 ? CLD_KILLED : CLD_EXITED, how == 3 ? 9 : 0);
		fake_loop_advance(w->loop, 600000);
		assert_int_equal(w->spawned, 1);
		assert_int_equal(w->p->state, PROCESS_FAILED);
		assert_string_equal(w->p->last_exit.reason, how == 1   ? "timeout"
							    : how == 2 ? "operator"
							    : how == 3 ? "signal"
								       : "exit");
		tear_down(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_command_of_a_task_is_started_once),
		cmocka_unit_test(each_rule_is_obeyed_from_its_change_on),
		cmocka_unit_test(a_reload_may_give_and_take_a_probe),
		cmocka_unit_test(a_stop_that_is_taken_back_leaves_no_old_configuration),
		cmocka_unit_test(a_worker_that_failed_is_started_again_whatever_it_exits_with),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
