/* SPDX-License-Identifier: MIT */
/* The rules of a time zone change while the scheduler runs. */
#include "scheduler/world.h"

#include "schedule/zone.h"
#include "scheduler/ticker.h"
#include "scheduler/zones.h"

#define T0   FAKE_CLOCK_REAL_MS /* 2027-01-15T08:00:00Z */
#define HOUR INT64_C(3600000)
#define NEXT "SELECT next_due_at FROM drover_job WHERE name = 'tick'"
#define DUES "SELECT COUNT(*) FROM drover_due"

static char folder[] = "/tmp/drover-zones-XXXXXX";
static struct zones *zones;

/* As a package does it: a new file takes the old one's name. */
static void install(const char *zone)
{
	char from[100], path[100], fresh[110], data[8192];
	snprintf(from, sizeof(from), "/usr/share/zoneinfo/%s", zone);
	snprintf(path, sizeof(path), "%s/Test", folder);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *in = fopen(from, "re"), *out = fopen(fresh, "we");
	assert_true(in && out);
	size_t n = fread(data, 1, sizeof(data), in);
	assert_int_equal(fwrite(data, 1, n, out), n);
	fclose(in);
	fclose(out);
	assert_int_equal(rename(fresh, path), 0);
}

static int begin(void **state)
{
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	zone_set_folder(folder);
	install("Asia/Seoul");
	if (world_setup(state) != 0)
		return -1;
	zones = zones_new(&world->s);
	world_configure(tick_config("{cron: \"0 18 * * *\", timezone: Test}"));
	return zones ? 0 : -1;
}

static int end(void **state)
{
	char path[100];
	zones_free(zones);
	zone_set_folder(NULL);
	snprintf(path, sizeof(path), "%s/Test", folder);
	unlink(path);
	rmdir(folder);
	return world_teardown(state);
}

static void due_times_ahead_follow_the_new_rules(void **state UNUSED)
{
	assert_int_equal(world_number(NEXT), T0 + HOUR); /* 18:00+09:00 */
	install("Asia/Shanghai");			 /* an hour later */
	zones_look(zones);
	world_settle();
	assert_int_equal(world_number(NEXT), T0 + 2 * HOUR);
	world_advance(HOUR + HOUR / 2);
	assert_int_equal(world_number(DUES), 0);
	world_advance(HOUR);
	assert_int_equal(
		world_number(DUES " WHERE outcome = 'fired' AND due_at = 1800007200000"), 1);
	world_finish_runs();
	install("Asia/Tokyo"); /* an hour earlier again: what was due stays accounted for */
	zones_look(zones);
	world_settle();
	assert_int_equal(world_number(NEXT), T0 + 25 * HOUR);
	assert_int_equal(world_number(DUES), 1);
}

static void rules_that_changed_while_the_scheduler_was_away_hold_too(void **state UNUSED)
{
	struct config *again;
	install("Asia/Shanghai");
	again = tick_config("{cron: \"0 18 * * *\", timezone: Test}");
	world_configure(again); /* a worker that starts makes its zones anew */
	world_restart_ticker();
	assert_int_equal(world_number(NEXT), T0 + 2 * HOUR);
}

static void a_zone_that_vanished_keeps_its_rules(void **state UNUSED)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/Test", folder);
	unlink(path);
	zones_look(zones);
	world_settle();
	world_advance(HOUR);
	assert_int_equal(
		world_number(DUES " WHERE outcome = 'fired' AND due_at = 1800003600000"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(due_times_ahead_follow_the_new_rules),
		TEST(rules_that_changed_while_the_scheduler_was_away_hold_too),
		TEST(a_zone_that_vanished_keeps_its_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
