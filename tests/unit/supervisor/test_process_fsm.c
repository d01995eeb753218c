/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "process_fsm.h"
#include <stdbool.h>

static void expect(enum process_state from, enum process_event event, enum process_state to,
	enum process_action action)
{
	struct process_step step = process_step(from, event);
	assert_string_equal(process_state_name(step.next), process_state_name(to));
	assert_int_equal(step.action, action);
}

static void a_start_during_a_stop_waits_for_the_end_of_the_tree(void **state)
{
	(void)state;
	expect(PROCESS_STOPPING, EV_START, PROCESS_STOPPING, ACT_NONE);
	expect(PROCESS_STOPPING, EV_GONE_AGAIN, PROCESS_WAITING, ACT_START_LATER);
}

static void a_stop_during_a_start_ends_the_tree(void **state)
{
	(void)state;
	expect(PROCESS_STARTING, EV_STOP, PROCESS_STOPPING, ACT_TERMINATE);
	expect(PROCESS_STOPPING, EV_GONE_DOWN, PROCESS_STOPPED, ACT_NONE);
}

static void a_command_during_a_stop_arms_no_deadline_again(void **state)
{
	static const enum process_event commands[] = { EV_START, EV_STOP, EV_RESTART };
	(void)state;
	for (int i = 0; i < 3; i++) {
		expect(PROCESS_STOPPING, commands[i], PROCESS_STOPPING, ACT_NONE);
		expect(PROCESS_STUCK, commands[i], PROCESS_STUCK, ACT_NONE);
	}
}

static void only_waiting_leads_to_a_spawn(void **state)
{
	(void)state;
	for (int s = 0; s < PROCESS_STATES; s++)
		for (int e = 0; e < PROCESS_EVENTS; e++) {
			struct process_step step = process_step(
				(enum process_state)s, (enum process_event)e);
			if (step.action != ACT_SPAWN)
				continue;
			assert_int_equal(s, PROCESS_WAITING);
			assert_int_equal(step.next, PROCESS_STARTING);
		}
}

static void a_tree_that_may_live_is_never_forgotten(void **state)
{
	(void)state;
	static const enum process_state up[] = { PROCESS_STARTING, PROCESS_RUNNING,
		PROCESS_STOPPING, PROCESS_STUCK };
	for (int i = 0; i < 4; i++)
		for (int e = 0; e < PROCESS_EVENTS; e++) {
			struct process_step step = process_step(up[i], (enum process_event)e);
			bool down = step.next == PROCESS_STOPPED || step.next == PROCESS_WAITING ||
				    step.next == PROCESS_FAILED;
			if (down)
				assert_true(e == EV_GONE_DOWN || e == EV_GONE_AGAIN ||
					    e == EV_GONE_FINAL || e == EV_SPAWN_FAILED);
		}
}

static void an_unlisted_cell_is_invalid(void **state)
{
	(void)state;
	expect(PROCESS_STOPPED, EV_READY, PROCESS_INVALID, ACT_NONE);
	expect(PROCESS_WAITING, EV_EXIT, PROCESS_INVALID, ACT_NONE);
}

static void a_stuck_tree_that_dies_at_last_goes_on_as_wanted(void **state)
{
	(void)state;
	expect(PROCESS_STOPPING, EV_UNKILLABLE, PROCESS_STUCK, ACT_REPORT_STUCK);
	expect(PROCESS_STUCK, EV_GONE_AGAIN, PROCESS_WAITING, ACT_START_LATER);
	expect(PROCESS_STUCK, EV_GONE_DOWN, PROCESS_STOPPED, ACT_NONE);
}

static void every_state_and_event_has_a_name(void **state)
{
	(void)state;
	for (int s = 0; s < PROCESS_STATES; s++)
		assert_non_null(process_state_name((enum process_state)s));
	for (int e = 0; e < PROCESS_EVENTS; e++)
		assert_non_null(process_event_name((enum process_event)e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_during_a_stop_waits_for_the_end_of_the_tree),
		cmocka_unit_test(a_stop_during_a_start_ends_the_tree),
		cmocka_unit_test(a_command_during_a_stop_arms_no_deadline_again),
		cmocka_unit_test(only_waiting_leads_to_a_spawn),
		cmocka_unit_test(a_tree_that_may_live_is_never_forgotten),
		cmocka_unit_test(an_unlisted_cell_is_invalid),
		cmocka_unit_test(a_stuck_tree_that_dies_at_last_goes_on_as_wanted),
		cmocka_unit_test(every_state_and_event_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
