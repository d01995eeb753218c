/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "collect/limits.h"
#include <string.h>

static struct config_rate rates[] = { { 100, 60000 }, { 1000, 3600000 } };
static struct config_endpoint endpoints[] = {
	{ .match = "^/search", .rate = { rates, 1 } },
	{ .match = "/export$", .concurrency = 2, .min_delay_ms = 500 },
};

static struct config_provider provider_of(const char *base_url)
{
	return (struct config_provider) {
		.name = "p",
		.base_url = base_url,
		.limits = { .rate = { rates, 2 },
			.concurrency = 5,
			.adaptive = true,
			.min_delay_ms = 200,
			.endpoints = { endpoints, ARRAY_SIZE(endpoints) } },
	};
}

static void a_call_keeps_the_limits_of_each_endpoint_that_it_matches(void **state)
{
	(void)state;
	static const struct {
		const char *base, *url, *keys[3];
	} cases[] = {
		{ "https://a.example", "https://a.example/items?x=/export", { "provider/p" } },
		{ "https://a.example", "https://a.example/search?q=1",
			{ "provider/p", "provider/p ^/search" } },
		{ "https://a.example/v1/", "https://a.example/v1/search/export",
			{ "provider/p", "provider/p ^/search", "provider/p /export$" } },
		{ "https://a.example/search", "https://a.example/search/items", { "provider/p" } },
		/* Not below base_url: the whole path is looked at. */
		{ "https://a.example/v1", "https://b.example/search",
			{ "provider/p", "provider/p ^/search" } },
		{ "https://a.example", "https://a.example", { "provider/p" } },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct job_limits limits = { 0 };
		struct call_limits call;
		struct err err;
		const struct config_provider p = provider_of(cases[i].base);
		assert_int_equal(job_limits_init(&limits, &p, &err), 0);
		job_limits_of(&limits, cases[i].url, &call);
		size_t n = 0;
		for (; n < ARRAY_SIZE(cases[i].keys) && cases[i].keys[n]; n++) {
			assert_true(n < call.count);
			assert_string_equal(call.specs[n].key, cases[i].keys[n]);
		}
		assert_int_equal(call.count, n);
		job_limits_finish(&limits);
	}
}

static void each_set_has_its_windows(void **state)
{
	(void)state;
	struct job_limits limits = { 0 };
	struct err err;
	struct config_provider p = provider_of("https://a.example");
	assert_int_equal(job_limits_init(&limits, &p, &err), 0);
	const struct limit_spec *own = &limits.items[0].spec, *export = &limits.items[2].spec;
	assert_int_equal(own->window_count, 3);
	assert_int_equal(own->windows[1].count, 1000);
	assert_int_equal(own->windows[1].period_ms, 3600000);
	assert_int_equal(own->windows[2].count, 5);
	assert_int_equal(own->windows[2].period_ms, 0);
	assert_int_equal(own->min_delay_ms, 200);
	assert_true(own->adaptive);
	assert_int_equal(export->window_count, 1);
	assert_int_equal(export->windows[0].count, 2);
	assert_int_equal(export->min_delay_ms, 500);
	assert_false(export->adaptive);
	job_limits_finish(&limits);
	p.limits.concurrency = 0;
	p.limits.adaptive = false;
	assert_int_equal(job_limits_init(&limits, &p, &err), 0);
	/* Calls under way are counted all the same. */
	assert_int_equal(limits.items[0].windows[2].count, LIMIT_ACTIVE_MAX);
	job_limits_finish(&limits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_keeps_the_limits_of_each_endpoint_that_it_matches),
		cmocka_unit_test(each_set_has_its_windows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
