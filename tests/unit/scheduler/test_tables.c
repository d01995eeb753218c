/* SPDX-License-Identifier: MIT */
/* Jobs' tables are there before the first row, and what is refused is said at once. */
#include "scheduler/world.h"

#include "scheduler/tables.h"

static struct tables *tables;
static struct config *config;

static void configure(const char *store)
{
	char yaml[1024];
	struct err err;
	struct config *before = config;
	snprintf(yaml, sizeof(yaml),
		"providers:\n"
		"  p: {base_url: \"https://api.example.org/\"}\n"
		"jobs:\n"
		"  c:\n"
		"    kind: collect\n"
		"    request: {provider: p, path: /x}\n"
		"    fields: {id: id, n: {path: n, type: integer}}\n"
		"    store: {table: places, key: [id]%s}\n"
		"  w:\n"
		"    kind: crawl\n"
		"    start: [\"https://w.example.org/\"]\n"
		"    extract: [{match: a, fields: {title: {xpath: //h1}}},\n"
		"      {fields: {title: {xpath: //h2}}}]\n"
		"    store: {table: pages, key: [url], indexes: [[title, url], status]}\n",
		store);
	config = must_load(yaml);
	assert_int_equal(tables_configure(tables, config, &err), 0);
	config_free(before); /* nothing is borrowed */
	world_settle();
}

static int setup(void **state)
{
	world_setup(state);
	tables = tables_new(&world->s);
	assert_non_null(tables);
	return 0;
}

static int teardown(void **state)
{
	tables_free(tables);
	config_free(config);
	config = NULL;
	return world_teardown(state);
}

static void tables_and_indexes_are_made_when_the_store_is_ready(void **state UNUSED)
{
	configure("");
	assert_int_equal(
		world_number("SELECT COUNT(*) FROM sqlite_master WHERE name = 'places'"), 0);
	tables_start(tables);
	world_settle();
	assert_int_equal(world_number("SELECT COUNT(*) FROM pragma_table_info('places')"), 2);
	assert_int_equal(world_number("SELECT COUNT(*) FROM pragma_table_info('pages')"), 5);
	assert_int_equal(world_number("SELECT COUNT(*) FROM pragma_index_list('pages')"), 3);
}

static void a_reload_widens_and_adds_but_takes_nothing_away(void **state UNUSED)
{
	tables_start(tables);
	configure(", indexes: [[n]]");
	configure(", history: month");
	assert_int_equal(world_number("SELECT COUNT(*) FROM pragma_index_list('places')"), 2);
	assert_int_equal(
		world_number("SELECT COUNT(*) FROM pragma_table_info('places_history')"), 3);
}

static void one_that_is_refused_does_not_keep_the_others_from_theirs(void **state UNUSED)
{
	assert_ok(run_sql(world->f, "CREATE TABLE places (id BLOB, n TEXT)"));
	tables_start(tables);
	configure("");
	assert_int_equal(world_number("SELECT COUNT(*) FROM pragma_index_list('pages')"), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_and_indexes_are_made_when_the_store_is_ready),
		TEST(a_reload_widens_and_adds_but_takes_nothing_away),
		TEST(one_that_is_refused_does_not_keep_the_others_from_theirs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
