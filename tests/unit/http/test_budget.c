/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "http/budget.h"

#define NOW INT64_C(1795250700000) /* 2026-11-21T08:45:00Z */
#define DAY INT64_C(86400000)

static void expect(const struct http_budget_headers headers, int64_t remaining, int64_t reset_ms)
{
	struct http_budget budget = { -1, -1 };
	assert_true(http_budget_of(&budget, &headers, NOW));
	assert_int_equal(budget.remaining, remaining);
	assert_int_equal(budget.reset_ms, reset_ms);
}

#define PAIR(a, b)   ((struct http_budget_headers) { .remaining = (a), .reset = (b) })
#define DATED(a, b)  ((struct http_budget_headers) { .remaining = "1", .reset = (a), .date = (b) })
#define RATELIMIT(a) ((struct http_budget_headers) { .ratelimit = (a) })

static void seconds_and_instants_are_told_apart(void **state)
{
	(void)state;
	expect(PAIR("49", "30"), 49, 31000);
	expect(PAIR("0", "0"), 0, 1000);
	expect(PAIR("7", "1.25"), 7, 2250);
	expect(PAIR("7", "1795250760"), 7, 61000);
	expect(PAIR("7", "1795250760500"), 7, 61500);
	expect(PAIR("7", "1795250000"), 7, 1000); /* over already */
	expect(PAIR("7", "Sat, 21 Nov 2026 08:46:00 GMT"), 7, 61000);
}

static void an_instant_is_counted_by_the_servers_clock(void **state)
{
	(void)state;
	/* It is an hour behind ours. */
	expect(DATED("1795247160", "Sat, 21 Nov 2026 07:45:00 GMT"), 1, 61000);
	expect(DATED("60", "Sat, 21 Nov 2026 07:45:00 GMT"), 1, 61000);
	expect(DATED("1795250760", "nonsense"), 1, 61000);
}

static void the_drafts_of_the_ietf_are_read(void **state)
{
	(void)state;
	expect(RATELIMIT("limit=100, remaining=50, reset=5"), 50, 6000);
	expect(RATELIMIT("\"default\";r=50;t=30"), 50, 31000);
	expect(RATELIMIT("\"t=1;r=2\";r=0;t=7"), 0, 8000);
	expect((struct http_budget_headers) { .ratelimit = "?", .remaining = "3", .reset = "4" }, 3,
		5000);
}

static void what_is_absurd_is_bounded(void **state)
{
	(void)state;
	expect(PAIR("-3", "30"), 0, 31000);
	expect(PAIR("99999999999999999999999", "99999999999999999999999"), 1000000000000000, DAY);
	expect(PAIR("5, 100", "86400"), 5, DAY);
	static const struct http_budget_headers none[] = { { 0 }, { .remaining = "5" },
		{ .reset = "5" }, { .remaining = "many", .reset = "5" },
		{ .remaining = "5", .reset = "soon" }, { .remaining = "5", .reset = "-1" },
		{ .ratelimit = "\"a\";r=5" }, { .ratelimit = "" } };
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct http_budget budget;
		assert_false(http_budget_of(&budget, &none[i], NOW));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seconds_and_instants_are_told_apart),
		cmocka_unit_test(an_instant_is_counted_by_the_servers_clock),
		cmocka_unit_test(the_drafts_of_the_ietf_are_read),
		cmocka_unit_test(what_is_absurd_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
