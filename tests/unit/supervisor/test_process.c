/* SPDX-License-Identifier: MIT */
/* Whole lives of slots as scripts on the fake loop. */
#include "unit.h"

#include "base/clock.h"
#include "config/config.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "world.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Beats are answered (well) or not for `ms`. */
static void beat_for(struct world *w, int64_t ms, bool well)
{
	for (int64_t t = 0; t < ms; t += 50) {
		int before = w->probes;
		fake_loop_advance(w->loop, 50);
		if (well && w->probes > before)
			process_probe_answer(w->p, w->seq, true, -1, "beat");
	}
}

static void a_killed_process_is_back_at_once(void **state)
{
	struct world *w = *state;
	up(w);
	fake_loop_advance(w->loop, 500);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 2);
	assert_int_equal(w->p->incarnation, 2);
	assert_string_equal(w->p->last_exit.reason, "signal");
	assert_int_equal(w->p->last_exit.signal, 9);
	assert_int_equal(w->p->last_exit.code, -1);
}

static void a_start_waits_until_the_log_of_the_earlier_one_is_settled(void **state)
{
	struct world *w = *state;
	up(w);
	fake_loop_advance(w->loop, 500);
	w->unsettled = true;
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 1);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	w->unsettled = false;
	process_go_on(w->p);
	fake_loop_advance(w->loop, 0);
	assert_int_equal(w->spawned, 2);
	/* Told or not: it asks again by itself. */
	process_ready(w->p);
	w->rules.restart.min_interval_ms = 0;
	w->unsettled = true;
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 2);
	w->unsettled = false;
	fake_loop_advance(w->loop, 200);
	assert_int_equal(w->spawned, 3);
}

static void a_second_death_inside_the_interval_is_held_and_shown(void **state)
{
	struct world *w = *state;
	up(w);
	fake_loop_advance(w->loop, 500);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 10);
	process_ready(w->p);
	end(w, CLD_EXITED, 1);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	assert_true(w->p->due_at_ms > 0);
	fake_loop_advance(w->loop, 59000);
	assert_int_equal(w->spawned, 2);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 3);
}

static void three_missed_beats_replace_it_exactly_once(void **state)
{
	struct world *w = *state;
	up(w);
	beat_for(w, 1000 + 2 * 1000 + 150, false);
	assert_int_equal(w->p->strikes, 2);
	assert_int_equal(w->terminated, 0);
	beat_for(w, 100, false);
	assert_int_equal(w->terminated, 1);
	assert_int_equal(w->stop_ms, 200); /* hung: not worth its whole stop.timeout */
	fake_loop_advance(w->loop, 250);
	assert_int_equal(w->killed > 0, 1);
	assert_int_equal(w->spawned, 1); /* dead, but its end is not told yet */
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 2);
	assert_string_equal(w->p->last_exit.reason, "probe");
	fake_loop_advance(w->loop, 5000);
	assert_int_equal(w->spawned, 2);
}

static void a_restart_resets_the_strikes(void **state)
{
	struct world *w = *state;
	w->rules.restart.min_interval_ms = 0;
	up(w);
	beat_for(w, 3250, false);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 200);
	process_ready(w->p);
	assert_int_equal(w->p->strikes, 0);
	beat_for(w, 1000 + 2 * 1000 + 150, false);
	assert_int_equal(w->p->strikes, 2);
	assert_int_equal(w->terminated, 1);
	beat_for(w, 100, false);
	assert_int_equal(w->terminated, 2);
}

static void one_good_beat_forgives(void **state)
{
	struct world *w = *state;
	up(w);
	for (int i = 0; i < 4; i++) {
		beat_for(w, 2000, false);
		beat_for(w, 1000, true);
	}
	assert_int_equal(w->terminated, 0);
}

static void a_service_held_by_the_interval_keeps_running_and_may_recover(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	w->rules.probe.http = "http://127.0.0.1/";
	w->rules.restart.when_held = HELD_KEEP;
	up(w);
	end(w, CLD_KILLED, 9); /* uses up the interval */
	fake_loop_advance(w->loop, 100);
	process_ready(w->p);
	assert_int_equal(w->spawned, 2);
	for (int i = 0; i < 4; i++) {
		int before = w->probes;
		while (w->probes == before)
			fake_loop_advance(w->loop, 50);
		process_probe_answer(w->p, w->seq, false, 1, "500");
	}
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_true(w->p->held);
	assert_true(w->p->due_at_ms > 0);
	int before = w->probes;
	while (w->probes == before)
		fake_loop_advance(w->loop, 50);
	process_probe_answer(w->p, w->seq, true, 1, "200");
	assert_false(w->p->held);
	assert_int_equal(w->p->due_at_ms, 0);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->terminated, 0);
}

static void a_held_restart_happens_by_itself(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	w->rules.probe.http = "http://127.0.0.1/";
	w->rules.restart.when_held = HELD_KEEP;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	process_ready(w->p);
	while (!w->p->held) {
		int before = w->probes;
		while (w->probes == before)
			fake_loop_advance(w->loop, 50);
		process_probe_answer(w->p, w->seq, false, 1, "500");
	}
	fake_loop_advance(w->loop, 60000);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_EXITED, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 3);
}

static void what_ignores_the_signal_is_killed_at_the_deadline(void **state)
{
	struct world *w = *state;
	up(w);
	process_stop(w->p, CAUSE_OPERATOR);
	fake_loop_advance(w->loop, 2999);
	assert_int_equal(w->killed, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->killed > 0, 1);
	end(w, CLD_KILLED, 9);
	assert_int_equal(w->p->state, PROCESS_STOPPED);
	assert_string_equal(w->p->last_exit.reason, "operator");
}

static void what_cannot_be_killed_is_stuck_and_nothing_starts_over_it(void **state)
{
	struct world *w = *state;
	up(w);
	w->immortal = true;
	process_restart(w->p, CAUSE_OPERATOR);
	/* S4: after stop.timeout + 1 s */
	fake_loop_advance(w->loop, 3000 + 990);
	assert_int_equal(w->p->state, PROCESS_STOPPING);
	fake_loop_advance(w->loop, 10);
	assert_int_equal(w->p->state, PROCESS_STUCK);
	process_start(w->p, CAUSE_OPERATOR);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 1);
	w->immortal = false;
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 2);
}

static void one_that_died_and_whose_end_we_come_to_late_is_not_stuck(void **state)
{
	struct world *w = *state;
	up(w);
	w->immortal = true;
	process_restart(w->p, CAUSE_OPERATOR);
	fake_loop_advance(w->loop, 3000 + 990);
	w->living = 0;
	fake_loop_advance(w->loop, 400);
	assert_int_equal(w->p->state, PROCESS_STOPPING);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 2);
}

static void the_rest_of_a_tree_is_gone_before_the_next_start(void **state)
{
	struct world *w = *state;
	up(w);
	siginfo_t info = { .si_code = CLD_EXITED };
	w->immortal = true;
	process_exited(w->p, &info);
	fake_loop_advance(w->loop, 900);
	assert_int_equal(w->spawned, 1);
	assert_true(w->killed > 1);
	w->immortal = false;
	fake_loop_advance(w->loop, 50);
	assert_int_equal(w->spawned, 2);
}

static void start_during_stop_and_stop_during_start_end_as_the_last_command_says(void **state)
{
	struct world *w = *state;
	up(w);
	process_stop(w->p, CAUSE_OPERATOR);
	process_start(w->p, CAUSE_OPERATOR);
	end(w, CLD_EXITED, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 2);
	process_stop(w->p, CAUSE_OPERATOR); /* not ready yet */
	process_restart(w->p, CAUSE_OPERATOR);
	process_stop(w->p, CAUSE_OPERATOR);
	end(w, CLD_EXITED, 0);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 2);
	assert_int_equal(w->p->state, PROCESS_STOPPED);
}

static void an_operators_restart_is_not_held(void **state)
{
	struct world *w = *state;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	process_ready(w->p);
	for (int i = 0; i < 3; i++) {
		process_restart(w->p, CAUSE_OPERATOR);
		end(w, CLD_EXITED, 0);
		fake_loop_advance(w->loop, 1);
		process_ready(w->p);
		assert_int_equal(w->spawned, 3 + i);
	}
	/* and does not use up the interval that the automatic one began */
	end(w, CLD_KILLED, 9);
	assert_int_equal(w->p->state, PROCESS_WAITING);
}

static void the_stamp_of_a_start_is_saved_before_the_fork(void **state)
{
	struct world *w = *state;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	assert_true(w->automatic_at_save >= 0);
}

static void a_fork_that_fails_is_tried_again_and_counts_for_nothing(void **state)
{
	struct world *w = *state;
	w->spawn_error = -EAGAIN;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 500);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	assert_non_null(strstr(w->p->start_error, "fork"));
	w->spawn_error = 0;
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 1);
	assert_int_equal(w->p->last_automatic_ms, -1);
}

/* --- what an earlier supervisor left --- */

static void lost(struct world *w)
{
	w->living = 0;
	process_exited(w->p, NULL);
	fake_loop_advance(w->loop, 0);
}

static void left_over(struct world *w, int64_t strikes)
{
	w->p->kind = NULL;
	w->rules.probe.http = "http://127.0.0.1/";
	w->rules.restart.when_held = HELD_KEEP;
	w->living = 1;
	w->p->pid = 77;
	w->p->incarnation = 5;
	w->p->last_start_ms = clock_boot_ms();
	w->p->strikes = strikes;
	w->p->ready = true;
}

static void an_adopted_instance_goes_on_without_a_start(void **state)
{
	struct world *w = *state;
	left_over(w, 2);
	process_adopt(w->p, true);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_int_equal(w->spawned, 0);
	assert_int_equal(w->p->incarnation, 5);
	assert_int_equal(w->p->strikes, 2);
	assert_true(w->saved > 0);
	/* The third strike is the third, not the first of a new count. */
	beat_for(w, 2300, false);
	process_probe_answer(w->p, w->seq, false, 1, "status 500");
	assert_int_equal(w->terminated, 1);
	assert_int_equal(w->p->end_cause, CAUSE_PROBE);
}

static void a_late_answer_to_the_earlier_supervisor_counts_for_nothing(void **state)
{
	struct world *w = *state;
	left_over(w, 2);
	fake_clock_advance_ms(5000);
	process_adopt(w->p, true);
	while (!w->probes)
		fake_loop_advance(w->loop, 50);
	for (uint64_t seq = 0; seq < 100; seq++)
		assert_false(process_probe_answer(w->p, seq, false, 1, "late"));
	assert_int_equal(w->p->strikes, 2);
}

static void the_end_of_an_adopted_one_is_lost_and_a_failure(void **state)
{
	struct world *w = *state;
	left_over(w, 0);
	w->rules.restart.policy = RESTART_ON_FAILURE;
	process_adopt(w->p, true);
	fake_loop_advance(w->loop, 1000);
	lost(w);
	assert_string_equal(w->p->last_exit.reason, "lost");
	assert_int_equal(w->p->last_exit.code, -1);
	assert_int_equal(w->p->last_exit.signal, -1);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 1);
	assert_true(w->p->last_automatic_ms >= 0);
	assert_int_equal(w->p->restarts, 1);
}

static void an_adopted_one_that_ended_stays_down_when_the_policy_says_never(void **state)
{
	struct world *w = *state;
	left_over(w, 0);
	w->rules.restart.policy = RESTART_NEVER;
	process_adopt(w->p, true);
	lost(w);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 0);
	assert_int_equal(w->p->state, PROCESS_FAILED);
}

static void a_held_restart_is_held_on_and_happens_when_it_was_due(void **state)
{
	struct world *w = *state;
	left_over(w, 3);
	w->p->held = true;
	w->p->last_automatic_ms = clock_boot_ms() - 40000;
	w->p->due_ms = clock_boot_ms() + 20000;
	process_adopt(w->p, true);
	beat_for(w, 19000, false);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_int_equal(w->terminated, 0);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->terminated, 1);
	assert_int_equal(w->p->end_cause, CAUSE_PROBE);
}

static void a_good_probe_cancels_a_restart_that_the_earlier_supervisor_held(void **state)
{
	struct world *w = *state;
	left_over(w, 3);
	w->p->held = true;
	w->p->last_automatic_ms = clock_boot_ms() - 40000;
	w->p->due_ms = clock_boot_ms() + 20000;
	process_adopt(w->p, true);
	beat_for(w, 3000, true);
	assert_false(w->p->held);
	assert_int_equal(w->p->strikes, 0);
	fake_loop_advance(w->loop, 20000);
	assert_int_equal(w->terminated, 0);
}

static void one_that_was_starting_is_adopted_as_starting(void **state)
{
	struct world *w = *state;
	left_over(w, 0);
	w->rules.probe.http = NULL;
	w->p->ready = false;
	process_adopt(w->p, false);
	assert_int_equal(w->p->state, PROCESS_STARTING);
	process_ready(w->p);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_true(w->p->ready);
	assert_int_equal(w->spawned, 0);
}

static void an_adopted_one_that_is_not_wanted_is_ended(void **state)
{
	struct world *w = *state;
	left_over(w, 0);
	process_adopt(w->p, true);
	process_stop(w->p, CAUSE_OPERATOR);
	assert_int_equal(w->terminated, 1);
	lost(w);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 0);
	assert_int_equal(w->p->state, PROCESS_STOPPED);
	assert_string_equal(w->p->last_exit.reason, "operator");
}

static void a_start_that_waited_is_due_when_it_was(void **state)
{
	struct world *w = *state;
	w->p->last_start_ms = w->p->last_automatic_ms = clock_boot_ms();
	w->rules.restart.jitter_ms = 10000;
	w->p->next_cause = CAUSE_EXIT;
	process_resume(w->p, clock_boot_ms() + 63000);
	assert_int_equal(w->p->due_ms, clock_boot_ms() + 63000);
	fake_loop_advance(w->loop, 62999);
	assert_int_equal(w->spawned, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 1);
	assert_int_equal(w->p->restarts, 1);
}

static void a_due_time_out_of_its_bounds_is_brought_into_them(void **state)
{
	struct world *w = *state;
	w->p->last_start_ms = w->p->last_automatic_ms = clock_boot_ms();
	w->p->next_cause = CAUSE_EXIT;
	process_resume(w->p, INT64_MAX);
	assert_int_equal(w->p->due_ms, clock_boot_ms() + 60000);
	process_stop(w->p, CAUSE_OPERATOR);
	w->p->state = PROCESS_STOPPED;
	w->p->next_cause = CAUSE_EXIT;
	process_resume(w->p, 0);
	assert_int_equal(w->p->due_ms, clock_boot_ms() + 60000);
}

static void what_has_to_go_goes_before_the_start(void **state)
{
	struct world *w = *state;
	w->living = 1;
	w->p->next_cause = w->p->end_cause = CAUSE_LOST;
	process_fence(w->p);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 0);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_KILLED, 15);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 1);
	assert_true(w->p->last_automatic_ms >= 0);
}

static void a_worker_that_does_not_leave_without_its_supervisor_is_killed_after_5_s(void **state)
{
	struct world *w = *state;
	struct config_supervision slow = w->rules;
	slow.stop.timeout_ms = 30000;
	process_adjust(w->p, &slow);
	w->living = 1;
	w->p->next_cause = w->p->end_cause = CAUSE_LOST;
	process_fence(w->p);
	fake_loop_advance(w->loop, 4900);
	assert_int_equal(w->killed, 0);
	fake_loop_advance(w->loop, 200);
	assert_true(w->killed > 0);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 1);
}

static void what_was_stopped_before_the_crash_stays_stopped(void **state)
{
	struct world *w = *state;
	w->p->wanted = false;
	w->living = 1;
	w->p->next_cause = w->p->end_cause = CAUSE_LOST;
	process_fence(w->p);
	end(w, CLD_KILLED, 15);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 0);
	assert_int_equal(w->p->state, PROCESS_STOPPED);
}

static void what_ended_while_nobody_looked_is_lost_and_started_by_the_policy(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	w->p->last_start_ms = clock_boot_ms();
	process_lost(w->p);
	assert_string_equal(w->p->last_exit.reason, "lost");
	assert_int_equal(w->p->next_cause, CAUSE_LOST);
	process_resume(w->p, -1);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 1);
}

static void a_suspend_counts_for_the_interval(void **state)
{
	struct world *w = *state;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	process_ready(w->p);
	end(w, CLD_KILLED, 9);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	fake_clock_suspend_ms(3600000);
	process_start(w->p, CAUSE_OPERATOR);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 3);
}

static void nobody_who_sets_the_wall_clock_moves_the_interval(void **state)
{
	struct world *w = *state;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	process_ready(w->p);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS + 7200000);
	end(w, CLD_KILLED, 9);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	fake_loop_advance(w->loop, 59000);
	assert_int_equal(w->spawned, 2);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 3);
	process_ready(w->p);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS - 7200000);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 59000);
	assert_int_equal(w->spawned, 3);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 4);
}

static void the_interval_is_from_the_end_of_a_start_that_took_its_time(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	up(w);
	w->fork_ms = 170;
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 2);
	int64_t forked_ms = clock_boot_ms();
	assert_true(w->p->last_automatic_ms >= forked_ms - 100);
	/* Its exec takes as long again. */
	fake_loop_advance(w->loop, 200);
	process_ready(w->p);
	int64_t executed_ms = clock_boot_ms();
	w->fork_ms = 0;
	end(w, CLD_KILLED, 9);
	while (w->spawned == 2)
		fake_loop_advance(w->loop, 1);
	assert_true(clock_boot_ms() - executed_ms >= 60000);
}

static void a_worker_that_never_gets_ready_is_replaced(void **state)
{
	struct world *w = *state;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 29999);
	assert_int_equal(w->terminated, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->terminated, 1);
}

static void a_supervisor_that_was_stopped_blames_no_worker_that_starts(void **state)
{
	struct world *w = *state;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 10);
	fake_loop_stall(w->loop, 60000);
	assert_int_equal(w->terminated, 0);
	fake_loop_advance(w->loop, 29999);
	assert_int_equal(w->terminated, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->terminated, 1);
}

static void a_held_restart_follows_a_new_interval(void **state)
{
	struct world *w = *state;
	struct config_supervision longer = w->rules, shorter = w->rules;
	up(w);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 200);
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	longer.restart.min_interval_ms = 120000;
	process_adjust(w->p, &longer);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->spawned, 2);
	shorter.restart.min_interval_ms = 1000;
	process_adjust(w->p, &shorter);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 3);
}

static void a_policy_that_says_no_more_ends_as_failed(void **state)
{
	struct world *w = *state;
	w->rules.restart.policy = RESTART_ON_FAILURE;
	up(w);
	end(w, CLD_EXITED, 0);
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->p->state, PROCESS_FAILED);
	assert_int_equal(w->spawned, 1);
	process_start(w->p, CAUSE_OPERATOR);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->spawned, 2);
}

static void a_service_is_ready_at_once_or_by_its_first_good_probe(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	up(w);
	assert_true(w->p->ready);
	process_stop(w->p, CAUSE_OPERATOR);
	assert_false(w->p->ready);
	end(w, CLD_EXITED, 0);
	w->rules.probe.http = "http://127.0.0.1/";
	up(w);
	assert_false(w->p->ready);
	beat_for(w, 1500, true);
	assert_true(w->p->ready);
	beat_for(w, 2000, false); /* ill for once, but it has been ready */
	assert_true(w->p->ready);
	end(w, CLD_EXITED, 1);
	assert_false(w->p->ready);
}

static void a_worker_is_ready_when_it_is_configured(void **state)
{
	struct world *w = *state;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 10);
	assert_false(w->p->ready);
	process_ready(w->p);
	assert_true(w->p->ready);
	end(w, CLD_KILLED, 9);
	assert_false(w->p->ready);
}

/* Advances until a question is out. @return its loop time */
static int64_t asked_at(struct world *w)
{
	for (int before = w->probes; w->probes == before;)
		fake_loop_advance(w->loop, 1);
	return loop_now_ms(w->loop);
}

static void the_restart_begins_at_the_third_failed_probe_and_in_time(void **state)
{
	struct world *w = *state;
	up(w);
	int64_t sent_ms[3];
	for (int i = 0; i < 3; i++) {
		assert_int_equal(w->terminated, 0);
		sent_ms[i] = asked_at(w);
		/* Not later than interval + timeout + 1 s: here to the millisecond. */
		if (i > 0)
			assert_int_equal(sent_ms[i] - sent_ms[i - 1], 1000);
	}
	while (w->terminated == 0)
		fake_loop_advance(w->loop, 1);
	assert_true(loop_now_ms(w->loop) - sent_ms[2] <= 200 + 1000);
	assert_int_equal(w->probes, 3);
}

static void the_first_probe_waits_for_the_start_period_and_names_share_out_a_second(void **state)
{
	struct world *w = *state;
	static char names[8][16];
	int64_t first[8], different = 0;
	w->rules.probe.start_period_ms = 5000;
	w->rules.probe.interval_ms = 60000;
	for (int i = 0; i < 8; i++) {
		snprintf(names[i], sizeof(names[i]), "service-%d", i);
		w->p->name = names[i];
		up(w);
		int64_t begun_ms = loop_now_ms(w->loop);
		first[i] = asked_at(w) - begun_ms;
		assert_true(first[i] >= 5000 && first[i] <= 6000);
		different += i > 0 && first[i] != first[i - 1];
		process_stop(w->p, CAUSE_OPERATOR);
		end(w, CLD_EXITED, 0);
	}
	assert_true(different >= 5);
}

static void speaker(struct world *w)
{
	w->p->kind = NULL;
	w->rules.probe.notify = true;
	w->rules.probe.start_period_ms = 2000;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 0);
	assert_int_equal(w->p->state, PROCESS_STARTING);
}

static void a_speaker_that_is_not_ready_in_time_is_a_failed_start(void **state)
{
	struct world *w = *state;
	speaker(w);
	fake_loop_advance(w->loop, 2199);
	assert_int_equal(w->terminated, 0);
	fake_loop_advance(w->loop, 1);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_EXITED, 0);
	assert_string_equal(w->p->last_exit.reason, "probe");
}

static void more_time_to_get_ready_is_bounded(void **state)
{
	struct world *w = *state;
	speaker(w);
	process_said_extend(w->p, 1000); /* less than it has */
	process_said_extend(w->p, 5000000);
	fake_loop_advance(w->loop, 4999);
	assert_int_equal(w->terminated, 0);
	for (int i = 0; i < 4000 && !w->terminated; i++) {
		process_said_extend(w->p, UINT64_MAX);
		fake_loop_advance(w->loop, 1000);
	}
	assert_int_equal(w->terminated, 1);
	assert_int_equal(w->p->state, PROCESS_STOPPING);
}

static void a_speaker_is_ready_by_its_word_and_judged_by_its_silence(void **state)
{
	struct world *w = *state;
	speaker(w);
	process_said_well(w->p, true); /* too early to mean anything */
	process_said_ready(w->p);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_true(w->p->ready);
	for (int i = 0; i < 40; i++) {
		process_said_well(w->p, true);
		fake_loop_advance(w->loop, 500);
	}
	assert_int_equal(w->p->strikes, 0);
	/* The supervisor sleeps; what was said meanwhile is read afterwards. */
	fake_loop_stall(w->loop, 10000);
	assert_int_equal(w->p->strikes, 0);
	process_said_well(w->p, true);
	int64_t silent_ms = loop_now_ms(w->loop);
	while (w->terminated == 0)
		fake_loop_advance(w->loop, 1);
	assert_true(loop_now_ms(w->loop) - silent_ms <= 4 * 1000 + 200 + 1000);
	assert_int_equal(w->p->strikes, 3);
}

static void a_speaker_keeps_the_interval_that_it_was_told(void **state)
{
	struct world *w = *state;
	struct config_supervision shorter;
	speaker(w);
	process_said_ready(w->p);
	shorter = w->rules;
	shorter.probe.interval_ms = 300;
	process_adjust(w->p, &shorter);
	for (int i = 0; i < 20; i++) {
		process_said_well(w->p, true);
		fake_loop_advance(w->loop, 900);
	}
	assert_int_equal(w->p->strikes, 0);
	assert_int_equal(w->terminated, 0);
}

static void one_that_says_it_is_stopping_is_not_ready(void **state)
{
	struct world *w = *state;
	speaker(w);
	process_said_ready(w->p);
	process_said_status(w->p, "bye \033[1m\xff\tnow");
	process_said_stopping(w->p);
	assert_false(w->p->ready);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_string_equal(w->p->said, "bye ?[1m? now");
}

static void a_probe_of_another_kind_begins_anew_and_one_taken_away_forgives(void **state)
{
	struct world *w = *state;
	struct config_supervision tcp, none;
	w->p->kind = NULL;
	w->rules.probe.http = "http://127.0.0.1/";
	w->rules.restart.min_interval_ms = 3600000;
	up(w);
	for (int i = 0; i < 2; i++) {
		asked_at(w);
		process_probe_answer(w->p, w->seq, false, 1, "500");
	}
	assert_int_equal(w->p->strikes, 2);
	tcp = none = w->rules;
	asked_at(w);
	uint64_t old = w->seq;
	tcp.probe.http = none.probe.http = NULL;
	tcp.probe.tcp = "127.0.0.1:1";
	process_adjust(w->p, &tcp);
	assert_int_equal(w->p->strikes, 0);
	assert_false(process_probe_answer(w->p, old, false, 1, "of the old kind"));
	asked_at(w);
	process_probe_answer(w->p, w->seq, false, 1, "refused");
	assert_int_equal(w->p->strikes, 1);
	process_adjust(w->p, &none);
	assert_int_equal(w->p->strikes, 0);
	assert_true(w->p->ready);
	int before = w->probes;
	fake_loop_advance(w->loop, 100000);
	assert_int_equal(w->probes, before);
	assert_int_equal(w->terminated, 0);
}

static void what_was_ended_for_its_probe_failed_whatever_its_exit_code(void **state)
{
	struct world *w = *state;
	w->rules.restart.policy = RESTART_ON_FAILURE;
	w->rules.restart.min_interval_ms = 0;
	up(w);
	while (w->terminated == 0)
		fake_loop_advance(w->loop, 1);
	end(w, CLD_EXITED, 0);
	fake_loop_advance(w->loop, 100);
	assert_int_equal(w->spawned, 2);
}

static void a_start_that_hangs_before_it_is_executed_is_a_failed_one(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	w->stands_at = "directory";
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 4990);
	assert_int_equal(w->p->state, PROCESS_STARTING);
	fake_loop_advance(w->loop, 10);
	assert_int_equal(w->p->state, PROCESS_STOPPING);
	assert_string_equal(w->p->failed_start.step, "directory");
	assert_int_equal(w->p->failed_start.error, ETIMEDOUT);
	end(w, CLD_KILLED, 15);
	assert_string_equal(w->p->last_exit.reason, "exit");
	/* The first restart is free, the next is bound by the interval. */
	fake_loop_advance(w->loop, 200);
	assert_int_equal(w->spawned, 2);
	fake_loop_advance(w->loop, 5000);
	end(w, CLD_KILLED, 15);
	fake_loop_advance(w->loop, 50000);
	assert_int_equal(w->spawned, 2);
	fake_loop_advance(w->loop, 5200);
	assert_int_equal(w->spawned, 3);
	w->stands_at = NULL;
	process_ready(w->p);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_string_equal(w->p->failed_start.step, "");
}

static void a_service_whose_exec_was_not_told_is_up_when_its_time_is_over(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	process_start(w->p, CAUSE_NONE);
	fake_loop_advance(w->loop, 5000);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
	assert_int_equal(w->terminated, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static void quitting_again_does_not_put_off_that_it_is_stuck(void **state)
{
	struct world *w = *state;
	up(w);
	w->immortal = true;
	for (int i = 0; i < 10; i++) {
		process_quit(w->p);
		fake_loop_advance(w->loop, 1000);
	}
	assert_int_equal(w->p->state, PROCESS_STUCK);
	w->living = 0;
	end(w, CLD_KILLED, 9);
	fake_loop_advance(w->loop, 2000);
	assert_int_equal(w->p->state, PROCESS_STOPPED);
}

/* Or a droverd killed just after the fork left the number of the instance before, and the next one
 * restarted what had the new configuration already. */
static void what_it_is_started_with_is_on_record_before_the_fork(void **state)
{
	struct world *w = *state;
	w->fingerprint = 7;
	up(w);
	assert_int_equal(w->fingerprint_at_fork, 7);
	w->fingerprint = 8;
	process_restart(w->p, CAUSE_CONFIG);
	end(w, CLD_EXITED, 0);
	assert_int_equal(w->spawned, 2);
	assert_int_equal(w->fingerprint_at_fork, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_killed_process_is_back_at_once),
		TEST(what_it_is_started_with_is_on_record_before_the_fork),
		TEST(a_second_death_inside_the_interval_is_held_and_shown),
		TEST(three_missed_beats_replace_it_exactly_once),
		TEST(a_restart_resets_the_strikes),
		TEST(one_good_beat_forgives),
		TEST(a_service_held_by_the_interval_keeps_running_and_may_recover),
		TEST(a_held_restart_happens_by_itself),
		TEST(what_ignores_the_signal_is_killed_at_the_deadline),
		TEST(what_cannot_be_killed_is_stuck_and_nothing_starts_over_it),
		TEST(one_that_died_and_whose_end_we_come_to_late_is_not_stuck),
		TEST(the_rest_of_a_tree_is_gone_before_the_next_start),
		TEST(start_during_stop_and_stop_during_start_end_as_the_last_command_says),
		TEST(an_operators_restart_is_not_held),
		TEST(the_stamp_of_a_start_is_saved_before_the_fork),
		TEST(a_fork_that_fails_is_tried_again_and_counts_for_nothing),
		TEST(an_adopted_instance_goes_on_without_a_start),
		TEST(a_late_answer_to_the_earlier_supervisor_counts_for_nothing),
		TEST(the_end_of_an_adopted_one_is_lost_and_a_failure),
		TEST(an_adopted_one_that_ended_stays_down_when_the_policy_says_never),
		TEST(a_held_restart_is_held_on_and_happens_when_it_was_due),
		TEST(a_good_probe_cancels_a_restart_that_the_earlier_supervisor_held),
		TEST(one_that_was_starting_is_adopted_as_starting),
		TEST(an_adopted_one_that_is_not_wanted_is_ended),
		TEST(a_start_that_waited_is_due_when_it_was),
		TEST(a_due_time_out_of_its_bounds_is_brought_into_them),
		TEST(what_has_to_go_goes_before_the_start),
		TEST(what_ended_while_nobody_looked_is_lost_and_started_by_the_policy),
		TEST(a_worker_that_does_not_leave_without_its_supervisor_is_killed_after_5_s),
		TEST(what_was_stopped_before_the_crash_stays_stopped),
		TEST(a_start_waits_until_the_log_of_the_earlier_one_is_settled),
		TEST(a_suspend_counts_for_the_interval),
		TEST(nobody_who_sets_the_wall_clock_moves_the_interval),
		TEST(the_interval_is_from_the_end_of_a_start_that_took_its_time),
		TEST(a_worker_that_never_gets_ready_is_replaced),
		TEST(a_policy_that_says_no_more_ends_as_failed),
		TEST(a_supervisor_that_was_stopped_blames_no_worker_that_starts),
		TEST(a_held_restart_follows_a_new_interval),
		TEST(a_service_is_ready_at_once_or_by_its_first_good_probe),
		TEST(a_worker_is_ready_when_it_is_configured),
		TEST(the_restart_begins_at_the_third_failed_probe_and_in_time),
		TEST(the_first_probe_waits_for_the_start_period_and_names_share_out_a_second),
		TEST(a_speaker_that_is_not_ready_in_time_is_a_failed_start),
		TEST(more_time_to_get_ready_is_bounded),
		TEST(a_speaker_is_ready_by_its_word_and_judged_by_its_silence),
		TEST(a_speaker_keeps_the_interval_that_it_was_told),
		TEST(one_that_says_it_is_stopping_is_not_ready),
		TEST(a_probe_of_another_kind_begins_anew_and_one_taken_away_forgives),
		TEST(what_was_ended_for_its_probe_failed_whatever_its_exit_code),
		TEST(quitting_again_does_not_put_off_that_it_is_stuck),
		TEST(a_start_that_hangs_before_it_is_executed_is_a_failed_one),
		TEST(a_service_whose_exec_was_not_told_is_up_when_its_time_is_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
