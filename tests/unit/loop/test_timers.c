/* SPDX-License-Identifier: MIT */
/* Many timers at once, against the real clock. */
#include "story.h"

#include "base/clock.h"
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 300, STEPS = 3000, WITHIN_MS = 150 };

struct one {
	struct loop_timer *timer;
	int64_t due_ms; /* -1: at rest */
	int fired;
};

static struct one ones[MANY];
static int64_t last_due_ms;

static int setup_ones(void **state)
{
	memset(ones, 0, sizeof(ones));
	last_due_ms = 0;
	return setup(state);
}

static void note(void *arg)
{
	struct one *o = arg;
	assert_true(o->due_ms >= 0);
	assert_true(o->due_ms <= loop_now_ms(loop));
	assert_true(o->due_ms >= last_due_ms);
	assert_false(loop_timer_armed(o->timer));
	last_due_ms = o->due_ms;
	o->due_ms = -1;
	o->fired++;
}

static void start(struct one *o, int64_t after_ms)
{
	loop_timer_start(o->timer, after_ms);
	o->due_ms = loop_now_ms(loop) + after_ms;
}

static int moved, stopped, expected;

/* From within the loop, where one turn has one time. */
static void move_them(void *arg UNUSED)
{
	for (int i = 0; i < STEPS; i++) {
		struct one *o = &ones[rand() % MANY];
		assert_int_equal(loop_timer_armed(o->timer), o->due_ms >= 0);
		moved += o->due_ms >= 0;
		if (rand() % 4) {
			start(o, rand() % WITHIN_MS);
			continue;
		}
		stopped += o->due_ms >= 0;
		loop_timer_stop(o->timer);
		o->due_ms = -1;
	}
	for (int i = 0; i < MANY; i++)
		expected += ones[i].due_ms >= 0;
}

static void of_many_armed_moved_and_stopped_each_fires_once_and_in_order(void **state UNUSED)
{
	int fired = 0;
	srand(7);
	moved = stopped = expected = 0;
	for (int i = 0; i < MANY; i++) {
		ones[i].timer = loop_timer_new(loop, note, &ones[i]);
		ones[i].due_ms = -1;
	}
	loop_defer(loop, move_them, NULL);
	run_for(WITHIN_MS + 50);
	assert_true(moved > MANY && stopped > MANY && expected > MANY / 2);
	for (int i = 0; i < MANY; i++) {
		assert_true(ones[i].fired <= 1 && ones[i].due_ms == -1);
		fired += ones[i].fired;
		loop_timer_free(ones[i].timer);
	}
	assert_int_equal(fired, expected);
}

static uint64_t turns[3];
static int turn_count;

static void again(void *arg)
{
	struct one *o = arg;
	turns[turn_count++] = loop_turn(loop);
	if (turn_count < 3)
		loop_timer_start(o->timer, 0);
	else
		loop_stop(loop);
}

static void one_that_arms_itself_at_once_waits_for_the_next_turn(void **state UNUSED)
{
	turn_count = 0;
	ones[0].timer = loop_timer_new(loop, again, &ones[0]);
	loop_timer_start(ones[0].timer, 0);
	loop_run(loop);
	assert_true(turns[0] < turns[1] && turns[1] < turns[2]);
	loop_timer_free(ones[0].timer);
}

static void defer(void *arg)
{
	tell_letter(arg);
	loop_defer(loop, tell_letter, LETTER(d));
	loop_timer_start(ones[2].timer, 0);
}

static void what_one_defers_comes_before_the_next_that_is_due(void **state UNUSED)
{
	ones[0].timer = loop_timer_new(loop, defer, LETTER(a));
	ones[1].timer = loop_timer_new(loop, defer, LETTER(b));
	ones[2].timer = loop_timer_new(loop, tell_letter, LETTER(c));
	loop_timer_start(ones[0].timer, 1);
	loop_timer_start(ones[1].timer, 2);
	usleep(5000); /* all are due before the loop looks */
	run_for(20);
	assert_string_equal(story, "adbdc");
	for (int i = 0; i < 3; i++)
		loop_timer_free(ones[i].timer);
}

/* In one turn, so with one time. */
static void arm_at_once(void *arg UNUSED)
{
	for (int i = 0; i < 20; i++)
		loop_timer_start(ones[i].timer, 10);
}

static void of_those_due_at_once_the_one_armed_first_is_first(void **state UNUSED)
{
	for (int i = 0; i < 20; i++) {
		ones[i].timer = loop_timer_new(loop, tell_letter, &letters[i]);
		loop_timer_start(ones[i].timer, 1000);
	}
	loop_defer(loop, arm_at_once, NULL);
	run_for(30);
	assert_string_equal(story, "abcdefghijklmnopqrst");
	for (int i = 0; i < 20; i++)
		loop_timer_free(ones[i].timer);
}

static void free_the_others(void *arg UNUSED)
{
	for (int i = 1; i < MANY; i++)
		loop_timer_free(ones[i].timer);
	tell('x');
}

static void those_that_are_due_too_may_be_freed_by_the_first(void **state UNUSED)
{
	ones[0].timer = loop_timer_new(loop, free_the_others, NULL);
	loop_timer_start(ones[0].timer, 0);
	for (int i = 1; i < MANY; i++) {
		ones[i].timer = loop_timer_new(loop, tell_letter, LETTER(z));
		loop_timer_start(ones[i].timer, 1);
	}
	usleep(5000); /* all are due before the loop looks */
	run_for(20);
	assert_string_equal(story, "x");
	loop_timer_free(ones[0].timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_ones, teardown)
		T(of_many_armed_moved_and_stopped_each_fires_once_and_in_order),
		T(one_that_arms_itself_at_once_waits_for_the_next_turn),
		T(what_one_defers_comes_before_the_next_that_is_due),
		T(of_those_due_at_once_the_one_armed_first_is_first),
		T(those_that_are_due_too_may_be_freed_by_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
