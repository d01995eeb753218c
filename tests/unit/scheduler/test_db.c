/* SPDX-License-Identifier: MIT */
/* db, db.slow and db.reset as the scheduler answers them, on SQLite. */
#include "scheduler/world.h"

#include "ipc/messages.h"
#include "scheduler/answers.h"
#include "stats/stats.h"
#include <string.h>

static unsigned ask_as(const char *verb, bool may_change)
{
	static uint64_t id;
	for (size_t i = 0; i < world->page_count; i++)
		free(world->pages[i].json);
	world->page_count = 0;
	const struct msg_question question = {
		.id = ++id, .may_change = may_change, .verb = verb, .args = { "{}", 2 }
	};
	answers_ask(world->s.answers, &question);
	world_settle();
	for (size_t i = 0; i < world->page_count; i++)
		assert_int_equal(world->pages[i].last, i == world->page_count - 1);
	return world->pages[world->page_count - 1].exit_code;
}

/* Pages joined as the command line does it; the caller decrefs. */
static json_t *answer(void)
{
	json_t *all = json_object(), *value;
	const char *key;
	for (size_t i = 0; i < world->page_count; i++) {
		assert_true(world->pages[i].len <= PAGE_MAX);
		json_t *page = json_loadb(world->pages[i].json, world->pages[i].len, 0, NULL);
		assert_non_null(page);
		json_object_foreach(page, key, value)
		{
			json_t *before = json_object_get(all, key);
			if (json_is_array(before))
				json_array_extend(before, value);
			else
				json_object_set(all, key, value);
		}
		json_decref(page);
	}
	return all;
}

static void db_tells_of_the_connections_of_each_process(void **state UNUSED)
{
	struct err err;
	char path[200];
	snprintf(path, sizeof(path), "%s/stats", world->f->dir);
	assert_int_equal(stats_create(&world->s.stats, path, &err), 0);
	struct stats_slot *slot = stats_slot(world->s.stats, 3, "collect:1");
	stats_add(slot, STAT_db_transactions, 200);
	stats_add(slot, STAT_db_waits, 50);
	stats_set(slot, STAT_db_active, 2);
	stats_slot(world->s.stats, 4, "monitor"); /* has no database */
	world_configure(tick_config(NULL));
	assert_int_equal(ask_as("db", false), 0);
	json_t *all = answer(), *db = json_object_get(all, "db");
	assert_string_equal(json_string_value(json_object_get(db, "engine")), "sqlite");
	assert_true(json_integer_value(json_object_get(db, "size_bytes")) > 4096);
	const json_t *processes = json_object_get(db, "processes");
	assert_int_equal(json_array_size(processes), 1);
	const json_t *p = json_array_get(processes, 0);
	assert_string_equal(json_string_value(json_object_get(p, "name")), "collect:1");
	assert_int_equal(json_integer_value(json_object_get(p, "active")), 2);
	assert_float_equal(json_number_value(json_object_get(p, "hit_rate")), 0.75, 0.001);
	json_decref(all);
	stats_close(world->s.stats);
	unlink(path);
}

static const json_t *statement_of(const json_t *all, const char *part)
{
	size_t i;
	json_t *s;
	json_array_foreach(json_object_get(all, "statements"), i,
		s) if (strstr(json_string_value(json_object_get(s, "query")), part)) return s;
	return NULL;
}

static void db_slow_shows_what_steps_over_many_rows(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	assert_ok(run_sql(world->f, "CREATE TABLE planted (a INTEGER, b INTEGER)"));
	assert_ok(run_sql(world->f,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
		" INSERT INTO planted SELECT i, i FROM n"));
	assert_ok(run_sql(world->f, "SELECT COUNT(*) FROM planted WHERE b = 7"));
	assert_int_equal(ask_as("db.slow", false), 0);
	json_t *all = answer();
	const json_t *s = statement_of(all, "FROM planted WHERE b = 7");
	assert_non_null(s);
	assert_in_range(json_integer_value(json_object_get(s, "scanned")), 4990, 5010);
	assert_true(json_is_null(json_object_get(s, "total_ms")));
	bool found = false;
	size_t i;
	json_t *a;
	json_array_foreach(json_object_get(all, "advice"), i, a)
		found |= strcmp(json_string_value(json_object_get(a, "table")), "planted") == 0;
	assert_true(found);
	assert_int_equal(json_array_size(json_object_get(all, "notes")), 1);
	json_decref(all);

	assert_int_equal(ask_as("db.reset", true), 0);
	assert_int_equal(ask_as("db.slow", false), 0);
	all = answer();
	assert_null(statement_of(all, "FROM planted WHERE b = 7"));
	json_decref(all);
}

static void who_may_not_change_may_not_reset(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	assert_int_equal(ask_as("db.reset", false), 5);
}

static void a_client_that_leaves_takes_no_harm(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	world->refuse_pages = true;
	const struct msg_question question = { .id = 9, .verb = "db.slow", .args = { "{}", 2 } };
	answers_ask(world->s.answers, &question);
	world_settle();
	world->refuse_pages = false;
	assert_int_equal(ask_as("db", false), 0);
}

static void a_scheduler_that_ends_in_the_middle_forgets_the_question(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	const struct msg_question question = { .id = 9, .verb = "db.slow", .args = { "{}", 2 } };
	answers_ask(world->s.answers, &question);
	answers_free(world->s.answers);
	world->s.answers = answers_new(&world->s);
	world_settle();
	assert_int_equal(world->page_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(db_tells_of_the_connections_of_each_process),
		TEST(db_slow_shows_what_steps_over_many_rows),
		TEST(who_may_not_change_may_not_reset),
		TEST(a_client_that_leaves_takes_no_harm),
		TEST(a_scheduler_that_ends_in_the_middle_forgets_the_question),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
