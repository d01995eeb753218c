/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "fakes/clock.h"
#include "fakes/loop.h"
#include "probe.h"

struct asked {
	struct loop *loop;
	struct probe probe;
	uint64_t last_seq;
	int sent, ok, failed, unknown;
	int64_t latency_ms;
	bool nobody;
};

static bool send_it(void *arg, uint64_t seq)
{
	struct asked *a = arg;
	if (a->nobody)
		return false;
	a->sent++;
	a->last_seq = seq;
	return true;
}

static void verdict(void *arg, enum probe_verdict v, int64_t latency_ms, const char *detail)
{
	struct asked *a = arg;
	(void)detail;
	a->ok += v == PROBE_OK;
	a->failed += v == PROBE_FAILED;
	a->unknown += v == PROBE_UNKNOWN;
	a->latency_ms = latency_ms;
}

static const struct probe_ops ops = { .send = send_it, .verdict = verdict };

static int set_up(void **state)
{
	static struct asked a;
	fake_clock_reset();
	a = (struct asked) { 0 };
	assert_int_equal(loop_new(&a.loop, NULL), 0);
	assert_int_equal(probe_init(&a.probe, a.loop, &ops, &a), 0);
	*state = &a;
	return 0;
}

static int tear_down(void **state)
{
	struct asked *a = *state;
	probe_finish(&a->probe);
	assert_int_equal(fake_loop_watchers(a->loop), 0);
	loop_free(a->loop);
	return 0;
}

static void silence_is_a_failure_at_its_timeout(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 1000, 1000, 200, true);
	fake_loop_advance(a->loop, 999);
	assert_int_equal(a->sent, 0);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 199);
	assert_int_equal(a->failed, 0);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->failed, 1);
	fake_loop_advance(a->loop, 800);
	assert_int_equal(a->sent, 2);
}

static void an_answer_settles_and_the_interval_counts_from_the_sending(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 0, 1000, 500, true);
	fake_loop_advance(a->loop, 0);
	fake_loop_advance(a->loop, 300);
	assert_true(probe_answer(&a->probe, a->last_seq, true, -1, "ok"));
	assert_int_equal(a->latency_ms, 300);
	assert_int_equal(a->ok, 1);
	fake_loop_advance(a->loop, 699);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 2);
}

static void a_stale_answer_counts_for_nothing(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 0, 1000, 100, true);
	fake_loop_advance(a->loop, 0);
	uint64_t old = a->last_seq;
	fake_loop_advance(a->loop, 1000);
	assert_int_equal(a->failed, 1);
	assert_false(probe_answer(&a->probe, old, true, -1, "late"));
	probe_end(&a->probe);
	assert_false(probe_answer(&a->probe, a->last_seq, true, -1, "after the end"));
	probe_begin(&a->probe, 0, 1000, 100, true);
	fake_loop_advance(a->loop, 0);
	assert_false(probe_answer(&a->probe, old, false, -1, "of an earlier instance"));
	assert_int_equal(a->ok, 0);
}

static void a_stalled_supervisor_blames_nobody(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 0, 1000, 200, true);
	fake_loop_advance(a->loop, 0);
	fake_loop_stall(a->loop, 300000);
	fake_loop_advance(a->loop, 0);
	assert_int_equal(a->failed, 0);
	assert_int_equal(a->unknown, 1);
	assert_int_equal(a->sent, 2);
	fake_loop_advance(a->loop, 200);
	assert_int_equal(a->failed, 1);
}

static void a_monitor_that_is_silent_or_away_is_unknown(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 0, 1000, 200, false);
	fake_loop_advance(a->loop, 0);
	fake_loop_advance(a->loop, 1200);
	assert_int_equal(a->failed, 0);
	assert_int_equal(a->unknown, 1);
	a->nobody = true;
	fake_loop_advance(a->loop, 5000);
	assert_int_equal(a->failed, 0);
	assert_true(a->unknown >= 5);
}

static void new_times_arm_nothing_again(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 1000, 1000, 200, true);
	fake_loop_advance(a->loop, 900);
	probe_adjust(&a->probe, 1000, 5000, 300);
	fake_loop_advance(a->loop, 100);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 300);
	assert_int_equal(a->failed, 1);
}

static void times_that_did_not_change_arm_nothing_again(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 1000, 1000, 200, true);
	for (int i = 0; i < 1000; i++) {
		fake_loop_advance(a->loop, 1);
		probe_adjust(&a->probe, 1000, 1000, 200);
	}
	assert_int_equal(a->sent, 1);
	probe_answer(&a->probe, a->last_seq, true, -1, "ok");
	for (int i = 0; i < 1000; i++) {
		fake_loop_advance(a->loop, 1);
		probe_adjust(&a->probe, 1000, 1000, 200);
	}
	assert_int_equal(a->sent, 2);
}

static void a_shorter_interval_does_not_wait_for_the_end_of_the_longer(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 0, 3600000, 200, true);
	fake_loop_advance(a->loop, 0);
	probe_answer(&a->probe, a->last_seq, true, -1, "ok");
	fake_loop_advance(a->loop, 5000);
	probe_adjust(&a->probe, 0, 6000, 200);
	fake_loop_advance(a->loop, 999);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 2);
}

static void after_a_stall_not_all_are_asked_in_one_tick(void **state)
{
	struct asked *a = *state;
	a->probe.spread_ms = 400;
	probe_begin(&a->probe, 0, 1000, 200, true);
	fake_loop_advance(a->loop, 0);
	probe_answer(&a->probe, a->last_seq, true, -1, "ok");
	fake_loop_stall(a->loop, 300000);
	fake_loop_advance(a->loop, 399);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 2);
	fake_loop_stall(a->loop, 300000); /* this time with a question out */
	assert_int_equal(a->unknown, 1);
	assert_int_equal(a->failed, 0);
	fake_loop_advance(a->loop, 399);
	assert_int_equal(a->sent, 2);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 3);
}

static void a_word_unasked_answers_the_next_question(void **state)
{
	struct asked *a = *state;
	probe_hear(&a->probe, true, "before it began");
	assert_int_equal(a->ok, 0);
	probe_begin(&a->probe, 1000, 1000, 200, true);
	for (int i = 0; i < 5; i++)
		probe_hear(&a->probe, true, "well");
	assert_int_equal(a->ok, 1);
	fake_loop_advance(a->loop, 1999);
	assert_int_equal(a->sent, 0); /* the one at 1000 was answered */
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->sent, 1);
	fake_loop_advance(a->loop, 199);
	probe_hear(&a->probe, true, "just in time");
	assert_int_equal(a->ok, 2);
	fake_loop_advance(a->loop, 1000);
	assert_int_equal(a->failed, 0);
	fake_loop_advance(a->loop, 1);
	assert_int_equal(a->failed, 1);
}

static void complaints_count_once_between_two_questions(void **state)
{
	struct asked *a = *state;
	probe_begin(&a->probe, 1000, 1000, 200, true);
	probe_hear(&a->probe, true, "well");
	for (int i = 0; i < 5; i++)
		probe_hear(&a->probe, false, "ill");
	probe_hear(&a->probe, true, "well after all");
	assert_int_equal(a->ok, 1);
	assert_int_equal(a->failed, 1);
	fake_loop_advance(a->loop, 1000);
	probe_hear(&a->probe, false, "ill");
	assert_int_equal(a->failed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			silence_is_a_failure_at_its_timeout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_answer_settles_and_the_interval_counts_from_the_sending, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_stale_answer_counts_for_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_stalled_supervisor_blames_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_monitor_that_is_silent_or_away_is_unknown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_times_arm_nothing_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			times_that_did_not_change_arm_nothing_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_shorter_interval_does_not_wait_for_the_end_of_the_longer, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			after_a_stall_not_all_are_asked_in_one_tick, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_word_unasked_answers_the_next_question, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			complaints_count_once_between_two_questions, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
