/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "config/config.h"
#include "restart_policy.h"

static const struct config_restart rules = { .min_interval_ms = 300000, .jitter_ms = 1000 };

static int64_t due(int64_t last_automatic_ms, int64_t now_ms, enum start_cause cause)
{
	const struct start_history history = {
		.last_automatic_ms = last_automatic_ms, .last_start_ms = -1, .now_ms = now_ms
	};
	return restart_due_ms(&rules, &history, cause, 0);
}

static void an_early_restart_is_held_to_the_interval(void **state)
{
	(void)state;
	assert_int_equal(due(0, 60000, CAUSE_EXIT), 300000);
	assert_int_equal(due(0, 60000, CAUSE_PROBE), 300000);
	assert_int_equal(due(0, 60000, CAUSE_SIGNAL), 300000);
	assert_int_equal(due(0, 60000, CAUSE_LOST), 300000);
}

static void the_first_restart_is_immediate(void **state)
{
	(void)state;
	assert_int_equal(due(-1, 60000, CAUSE_EXIT), 60000);
}

static void a_restart_after_a_longer_up_time_is_immediate(void **state)
{
	(void)state;
	assert_int_equal(due(1000, 301000, CAUSE_EXIT), 301000);
	assert_int_equal(due(1000, 300999, CAUSE_EXIT), 301000);
}

static void an_operators_start_is_not_bound(void **state)
{
	(void)state;
	assert_int_equal(due(0, 1, CAUSE_OPERATOR), 1);
	assert_int_equal(due(0, 1, CAUSE_CONFIG), 1);
	assert_int_equal(due(0, 1, CAUSE_NONE), 1);
}

static void held_restarts_are_spread_by_the_jitter(void **state)
{
	const struct start_history history = {
		.last_automatic_ms = 0, .last_start_ms = 0, .now_ms = 1
	};
	(void)state;
	assert_int_equal(restart_due_ms(&rules, &history, CAUSE_EXIT, UINT32_MAX), 300999);
	assert_int_equal(restart_due_ms(&rules, &history, CAUSE_EXIT, UINT32_MAX / 2), 300499);
}

static void no_interval_is_still_no_busy_loop(void **state)
{
	const struct config_restart none = { .min_interval_ms = 0 };
	const struct start_history history = {
		.last_automatic_ms = 1000, .last_start_ms = 1000, .now_ms = 1003
	};
	(void)state;
	assert_int_equal(restart_due_ms(&none, &history, CAUSE_EXIT, 0), 1100);
}

static void the_third_strike_is_the_last_and_one_success_forgives_all(void **state)
{
	int64_t strikes = 0;
	(void)state;
	assert_int_equal(strike_count(&strikes, 3, false, false), STRIKE_NOTHING);
	assert_int_equal(strike_count(&strikes, 3, false, false), STRIKE_NOTHING);
	assert_int_equal(strike_count(&strikes, 3, true, false), STRIKE_NOTHING);
	assert_int_equal(strikes, 0);
	assert_int_equal(strike_count(&strikes, 3, false, false), STRIKE_NOTHING);
	assert_int_equal(strike_count(&strikes, 3, false, false), STRIKE_NOTHING);
	assert_int_equal(strike_count(&strikes, 3, false, false), STRIKE_RESTART);
}

static void a_success_cancels_a_held_restart(void **state)
{
	int64_t strikes = 5;
	(void)state;
	assert_int_equal(strike_count(&strikes, 3, false, true), STRIKE_NOTHING);
	assert_int_equal(strike_count(&strikes, 3, true, true), STRIKE_OVER);
}

static void the_policy_says_who_comes_back(void **state)
{
	const struct config_restart always = { .policy = RESTART_ALWAYS };
	const struct config_restart on_failure = { .policy = RESTART_ON_FAILURE };
	const struct config_restart never = { .policy = RESTART_NEVER };
	(void)state;
	assert_true(restart_allowed(&always, CAUSE_EXIT, false));
	assert_false(restart_allowed(&on_failure, CAUSE_EXIT, false));
	assert_true(restart_allowed(&on_failure, CAUSE_EXIT, true));
	assert_true(restart_allowed(&on_failure, CAUSE_SIGNAL, true));
	assert_false(restart_allowed(&never, CAUSE_EXIT, true));
	assert_false(restart_allowed(&never, CAUSE_PROBE, true));
	assert_true(restart_allowed(&never, CAUSE_OPERATOR, false));
	assert_false(restart_allowed(&never, CAUSE_LOST, true));
	/* how it ended is unknown: that counts as a failure */
	assert_true(restart_allowed(&on_failure, CAUSE_LOST, false));
}

static void failed_starts_are_tried_again_ever_more_slowly(void **state)
{
	(void)state;
	assert_int_equal(retry_delay_ms(1), 1000);
	assert_int_equal(retry_delay_ms(3), 4000);
	assert_int_equal(retry_delay_ms(1000), 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_early_restart_is_held_to_the_interval),
		cmocka_unit_test(the_first_restart_is_immediate),
		cmocka_unit_test(a_restart_after_a_longer_up_time_is_immediate),
		cmocka_unit_test(an_operators_start_is_not_bound),
		cmocka_unit_test(held_restarts_are_spread_by_the_jitter),
		cmocka_unit_test(no_interval_is_still_no_busy_loop),
		cmocka_unit_test(the_third_strike_is_the_last_and_one_success_forgives_all),
		cmocka_unit_test(a_success_cancels_a_held_restart),
		cmocka_unit_test(the_policy_says_who_comes_back),
		cmocka_unit_test(failed_starts_are_tried_again_ever_more_slowly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
