/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "config/load.h"
#include "store/store.h"

static void a_pool_is_what_the_configuration_says(void **state)
{
	(void)state;
	struct config *config = must_load(
		"store: {url: \"postgresql://h/d\", pool: {min: 3, max: 7, acquire_timeout: 11s,\n"
		"  connect_timeout: 12s, statement_timeout: 13s, idle: 14s, recycle: 15s,\n"
		"  pre_ping: false}}\n");
	const struct store_pool pool = store_pool_of(&config->store.pool);
	assert_int_equal(pool.min, 3);
	assert_int_equal(pool.max, 7);
	assert_int_equal(pool.acquire_ms, 11000);
	assert_int_equal(pool.connect_ms, 12000);
	assert_int_equal(pool.statement_ms, 13000);
	assert_int_equal(pool.idle_ms, 14000);
	assert_int_equal(pool.recycle_ms, 15000);
	assert_true(pool.no_pre_ping);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_is_what_the_configuration_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
