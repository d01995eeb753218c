/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/position.h"
#include "collect/request.h"
#include <errno.h>
#include <string.h>

static struct config_provider provider;
static struct collect_job spec;
static struct config_job job;
static struct plan plan;
static const char *value; /* of for_each */
static const char *token; /* of the page */

static const char *url_of(const char *base, const char *path, int64_t page)
{
	static char *url;
	struct err err;
	free(url);
	url = NULL;
	provider = (struct config_provider) { .name = "kto", .base_url = base };
	spec.request.path = path;
	job = (struct config_job) { .name = "j", .spec = &spec };
	plan = (struct plan) { .job = &job, .spec = &spec, .provider = &provider };
	const struct position at = { .page = page, .seen = (page - 1) * 100, .token = token };
	return request_url(&url, &plan, value, &at, &err) == 0 ? url
	       : err.text[0]				       ? "refused"
							       : "?";
}

static int set_up(void **state)
{
	(void)state;
	spec = (struct collect_job) { 0 };
	value = token = NULL;
	return 0;
}

static void a_url_is_base_path_query_and_page(void **state)
{
	(void)state;
	struct config_pair query[] = { { "lang", "en" }, { "q", "a b&c=\xc3\xa9+/" } };
	assert_string_equal(url_of("https://a.example/x", "/list", 1), "https://a.example/x/list");
	assert_string_equal(url_of("https://a.example/x/", "/list", 1), "https://a.example/x/list");
	assert_string_equal(url_of("https://a.example", "", 1), "https://a.example/");
	spec.request.query = (struct config_pairs) { query, 2 };
	assert_string_equal(url_of("https://a.example", "/l", 1),
		"https://a.example/l?lang=en&q=a%20b%26c%3D%C3%A9%2B%2F");
	spec.request.query.count = 1;
	spec.paginate = (struct collect_paginate) {
		.by = PAGINATE_PAGE, .param = "pageNo", .size_param = "numOfRows", .size = 50
	};
	assert_string_equal(url_of("https://a.example", "/l?x=1", 12),
		"https://a.example/l?x=1&lang=en&pageNo=12&numOfRows=50");
}

static void each_style_of_paging_has_its_place_in_the_url(void **state)
{
	(void)state;
	spec.paginate = (struct collect_paginate) {
		.by = PAGINATE_OFFSET, .param = "start", .size_param = "n", .size = 100, .offset = 1
	};
	assert_string_equal(
		url_of("https://a.example", "/l", 3), "https://a.example/l?start=201&n=100");
	spec.paginate.by = PAGINATE_CURSOR;
	assert_string_equal(url_of("https://a.example", "/l", 1), "https://a.example/l?n=100");
	token = "a&b=/\xc3\xa9";
	assert_string_equal(url_of("https://a.example", "/l", 2),
		"https://a.example/l?start=a%26b%3D%2F%C3%A9&n=100");
	spec.paginate.by = PAGINATE_NEXT;
	token = "https://a.example/l?at=7";
	assert_string_equal(url_of("https://a.example", "/l", 2), token);
	token = NULL;
	assert_string_equal(url_of("https://a.example", "/l", 1), "https://a.example/l?n=100");
}

static void what_makes_no_url_is_refused_without_its_secrets(void **state)
{
	(void)state;
	struct config_pair query[] = { { "key", "s3cret" } };
	struct err err;
	char *url = NULL;
	spec.request.query = (struct config_pairs) { query, 1 };
	assert_string_equal(url_of("nonsense", "/l", 1), "refused");
	const struct position first = { .page = 1 };
	assert_int_equal(request_url(&url, &plan, NULL, &first, &err), -EINVAL);
	assert_null(strstr(err.text, "s3cret"));
	char name[200];
	spec.paginate.by = PAGINATE_PAGE;
	spec.request.path = "/l?key=s3cret";
	assert_string_equal(request_name(name, sizeof(name), &plan, NULL, 3), "GET kto /l page 3");
}

static void a_value_is_escaped_where_it_stands(void **state)
{
	(void)state;
	struct config_pair query[] = { { "q", "{{ sym }}&x={{sym}}" } };
	spec.for_each.as = "sym";
	spec.request.query = (struct config_pairs) { query, 1 };
	value = "a/b?\xc3\xa9&";
	assert_string_equal(url_of("https://a.example/v", "/p/{{sym}}/l", 1),
		"https://a.example/v/p/a%2Fb%3F%C3%A9%26/l?q=a%2Fb%3F%C3%A9%26%26x%3Da%2Fb%3F%C3%A9"
		"%26");
	/* What a value brings in is not looked at again. */
	value = "{{sym}}";
	assert_string_equal(url_of("https://a.example", "/{{sym}}", 1),
		"https://a.example/%7B%7Bsym%7D%7D?q=%7B%7Bsym%7D%7D%26x%3D%7B%7Bsym%7D%7D");
	char name[200];
	spec.paginate.by = PAGINATE_PAGE;
	assert_string_equal(request_name(name, sizeof(name), &plan, "AAPL", 3),
		"GET kto /{{sym}} sym=AAPL page 3");
}

static void a_value_leads_to_no_other_path(void **state)
{
	(void)state;
	spec.for_each.as = "sym";
	static const char *const bad[] = { ".", "..", "" };
	for (size_t i = 0; i < 2; i++) {
		value = bad[i];
		assert_string_equal(url_of("https://a.example/v", "/p/{{sym}}", 1), "refused");
		assert_string_equal(url_of("https://a.example/v", "/p/{{sym}}/l", 1), "refused");
	}
	value = ".";
	assert_string_equal(url_of("https://a.example/v", "/p/{{sym}}{{sym}}/l", 1), "refused");
	value = "...";
	assert_string_equal(
		url_of("https://a.example/v", "/p/{{sym}}", 1), "https://a.example/v/p/...");
	value = bad[2];
	assert_string_equal(url_of("https://a.example", "/p/{{sym}}", 1), "https://a.example/p/");
}

static void a_task_brings_its_value(void **state)
{
	(void)state;
	struct err err;
	char *got = NULL;
	(void)url_of("https://a.example", "/", 1);
	assert_int_equal(request_value(&got, &plan, "{}", &err), 0);
	assert_null(got);
	assert_int_equal(request_value(&got, &plan, "{\"sym\":\"A\"}", &err), -EINVAL);
	spec.for_each.as = "sym";
	assert_int_equal(request_value(&got, &plan, "{\"sym\":\"A \\\"b\"}", &err), 0);
	assert_string_equal(got, "A \"b");
	free(got);
	static const char *const bad[] = { "{}", "", "x", "{\"other\":\"A\"}", "[]" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(request_value(&got, &plan, bad[i], &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_url_is_base_path_query_and_page, set_up),
		cmocka_unit_test_setup(each_style_of_paging_has_its_place_in_the_url, set_up),
		cmocka_unit_test_setup(what_makes_no_url_is_refused_without_its_secrets, set_up),
		cmocka_unit_test_setup(a_value_is_escaped_where_it_stands, set_up),
		cmocka_unit_test_setup(a_value_leads_to_no_other_path, set_up),
		cmocka_unit_test_setup(a_task_brings_its_value, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
