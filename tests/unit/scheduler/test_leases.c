/* SPDX-License-Identifier: MIT */
/* Hosts whose clocks were set at one time, or that slept together. */
#include "scheduler/world.h"

#include "scheduler/leases.h"
#include "worker/worker.h"

#define CLAIMED "SELECT COUNT(*) FROM drover_task WHERE state = 1"

static struct leases *leases;
static struct queue *elsewhere;

const char *worker_node(const struct worker *w UNUSED)
{
	return "n";
}

void scheduler_epoch(const struct scheduler *s UNUSED, char *epoch, size_t size)
{
	snprintf(epoch, size, "e");
}

static int begin(void **state)
{
	struct claim c;
	if (world_setup(state) != 0)
		return -1;
	leases = leases_new(&world->s);
	elsewhere = open_queue(world->f, "n2/e/collect:1/1");
	make_run(world->f, NULL, 1, PRIORITY_MEDIUM, 1);
	assert_int_equal(claim(world->f, elsewhere, 1, &c), 1);
	unclaim(&c);
	return leases ? 0 : -1;
}

static int end(void **state)
{
	queue_close(elsewhere);
	leases_free(leases);
	return world_teardown(state);
}

static void look_for(int64_t ms)
{
	for (int64_t passed = 0; passed < ms; passed += 5000) {
		leases_look(leases);
		world_settle();
		fake_clock_advance_ms(5000);
	}
}

static void a_holder_that_is_silent_loses_its_task_after_a_lease(void **state UNUSED)
{
	look_for(30000);
	assert_int_equal(world_number(CLAIMED), 1);
	look_for(10000);
	assert_int_equal(world_number(CLAIMED), 0);
}

static void after_a_step_of_the_clock_leases_get_the_time_to_be_renewed(void **state UNUSED)
{
	look_for(10000);
	fake_clock_set_real_ms(clock_real_ms() + 3600000);
	look_for(30000);
	assert_int_equal(world_number(CLAIMED), 1);
	look_for(10000);
	assert_int_equal(world_number(CLAIMED), 0);
}

static void so_do_they_after_a_suspend(void **state UNUSED)
{
	look_for(10000);
	fake_clock_suspend_ms(60000);
	look_for(30000);
	assert_int_equal(world_number(CLAIMED), 1);
	look_for(10000);
	assert_int_equal(world_number(CLAIMED), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_holder_that_is_silent_loses_its_task_after_a_lease),
		TEST(after_a_step_of_the_clock_leases_get_the_time_to_be_renewed),
		TEST(so_do_they_after_a_suspend),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
