/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "crawl/kind.h"
#include "crawl/known.h"
#include "crawl/plan.h"
#include "url/url.h"

#include <stdio.h>
#include <string.h>

static const char *starts[] = { "http://Docs.example.org:8080/a", "https://other.example/" };
static struct config_column news_fields[] = { { .name = "title", .xpath = "//h1" },
	{ .name = "stars", .xpath = "//b", .type = COLUMN_INTEGER } };
static struct config_column other_fields[] = { { .name = "body", .xpath = "//p" },
	{ .name = "title", .xpath = "//title" } };
static struct crawl_extract rules[] = {
	{ .match = "/news/[0-9]+$", .fields = { news_fields, 2 } },
	{ .match = ".*", .fields = { other_fields, 2 } },
};
static struct crawl_job spec;
static struct config_job job = {
	.name = "docs", .kind = &worker_kind_crawl, .store = { .table = "pages" }, .spec = &spec
};
static struct config config = { .jobs = &job, .job_count = 1 };

static struct plan_set *make(void)
{
	struct plan_set *set = NULL;
	struct err err = { 0 };
	if (plan_set_new(&set, &config, &err) < 0)
		fail_msg("%s", err.text);
	return set;
}

static int reset(void **state)
{
	(void)state;
	spec = (struct crawl_job) { .start = { starts, 2 },
		.follow = { .depth = 3, .max_pages = 10 },
		.extract = { rules, 2 } };
	return 0;
}

static void assert_refused(struct plan *plan, const char *text, int64_t depth, const char *why)
{
	CLEANUP(url_freep) struct url *url = NULL;
	assert_int_equal(url_parse(&url, text, URL_MAX_DEFAULT, NULL), 0);
	const char *got = plan_refuses(plan, url, depth);
	if (why)
		assert_string_equal(got, why);
	else if (got)
		fail_msg("%s is refused: %s", text, got);
}

static void without_domains_the_hosts_of_the_start_urls_are_followed(void **state)
{
	(void)state;
	struct plan_set *set = make();
	struct plan *plan = plan_find(set, "docs");
	assert_refused(plan, "http://docs.example.org/x", 1, NULL);
	assert_refused(plan, "https://sub.docs.example.org/x", 1, NULL);
	assert_refused(plan, "https://other.example/x", 1, NULL);
	assert_refused(plan, "https://example.org/x", 1, "domain");
	assert_refused(plan, "https://notdocs.example.org/x", 1, "domain");
	plan_set_drop(set);
}

static void domains_that_are_named_are_the_only_ones(void **state)
{
	(void)state;
	static const char *domains[] = { "Example.org", "127.0.0.1" };
	spec.follow.domains = (struct config_strings) { domains, 2 };
	struct plan_set *set = make();
	struct plan *plan = plan_find(set, "docs");
	assert_refused(plan, "http://docs.example.org/x", 1, NULL);
	assert_refused(plan, "http://127.0.0.1:99/x", 1, NULL);
	assert_refused(plan, "http://other.example/x", 1, "domain");
	plan_set_drop(set);
}

static void depth_and_traps_are_refused(void **state)
{
	(void)state;
	struct plan_set *set = make();
	struct plan *plan = plan_find(set, "docs");
	char deep[512] = "http://docs.example.org";
	assert_refused(plan, "http://docs.example.org/x", 3, NULL);
	assert_refused(plan, "http://docs.example.org/x", 4, "depth");
	assert_refused(plan, "http://docs.example.org/a/b/a/b/a/b", 1, NULL);
	assert_refused(plan, "http://docs.example.org/a/b/a/b/a/b/a", 1, "repeated path");
	assert_refused(plan, "http://docs.example.org//x////", 1, NULL);
	assert_refused(plan, "http://docs.example.org/?q=/a/a/a/a/a", 1, NULL);
	for (int i = 0; i < 70; i++)
		snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "/%d", i);
	assert_refused(plan, deep, 1, "repeated path");
	plan_set_drop(set);
}

static void the_first_rule_that_matches_fills_its_columns(void **state)
{
	(void)state;
	struct plan_set *set = make();
	struct plan *plan = plan_find(set, "docs");
	assert_null(plan_find(set, "nosuch"));
	assert_int_equal(plan->table.column_count, PAGE_COLUMNS + 3);
	assert_string_equal(plan->table.columns[PAGE_COLUMNS + 2].name, "body");
	assert_int_equal(plan->table.columns[PAGE_COLUMNS + 1].type, COLUMN_INTEGER);
	assert_string_equal(plan->table.key[0], "url");
	const struct plan_rule *rule = plan_rule(plan, "http://docs.example.org/news/12");
	assert_int_equal(rule->count, 2);
	assert_string_equal(set->xpaths[rule->xpaths[1]], "//b");
	assert_int_equal(rule->columns[0], PAGE_COLUMNS);
	rule = plan_rule(plan, "http://docs.example.org/news/12x");
	assert_string_equal(set->xpaths[rule->xpaths[0]], "//p");
	assert_int_equal(rule->columns[0], PAGE_COLUMNS + 2);
	assert_int_equal(rule->columns[1], PAGE_COLUMNS);
	plan_set_drop(set);
}

static void each_set_has_its_own_generation(void **state)
{
	(void)state;
	struct plan_set *a = make(), *b = make();
	assert_true(a->generation && a->generation != b->generation);
	assert_ptr_equal(plan_set_hold(a), a);
	plan_set_drop(a);
	assert_non_null(plan_find(a, "docs"));
	plan_set_drop(a);
	plan_set_drop(b);
}

static void what_is_known_is_known_of_one_run_and_kind(void **state)
{
	(void)state;
	struct known *known = known_new();
	char url[64];
	assert_false(known_has(known, 1, false, "http://h/"));
	known_add(known, 1, false, "http://h/");
	assert_true(known_has(known, 1, false, "http://h/"));
	assert_false(known_has(known, 1, true, "http://h/"));
	assert_false(known_has(known, 2, false, "http://h/"));
	for (int i = 0; i < 500000; i++) {
		snprintf(url, sizeof(url), "http://h/%d", i);
		assert_false(known_has(known, 1, false, url)); /* never invents */
		known_add(known, 1, false, url);
		assert_true(known_has(known, 1, false, url));
	}
	known_free(known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			without_domains_the_hosts_of_the_start_urls_are_followed, reset),
		cmocka_unit_test_setup(domains_that_are_named_are_the_only_ones, reset),
		cmocka_unit_test_setup(depth_and_traps_are_refused, reset),
		cmocka_unit_test_setup(the_first_rule_that_matches_fills_its_columns, reset),
		cmocka_unit_test_setup(each_set_has_its_own_generation, reset),
		cmocka_unit_test(what_is_known_is_known_of_one_run_and_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
