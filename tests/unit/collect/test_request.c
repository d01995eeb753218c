/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/request.h"
#include <errno.h>
#include <string.h>

static struct config_provider provider;
static struct collect_job spec;
static struct config_job job;
static struct plan plan;
static const char *value; /* of for_each */

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
	return request_url(&url, &plan, value, page, &err) == 0 ? url
	       : err.text[0]					? "refused"
								: "?";
}

static int set_up(void **state)
{
	(void)state;
	spec = (struct collect_job) { 0 };
	value = NULL;
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

static void what_makes_no_url_is_refused_without_its_secrets(void **state)
{
	(void)state;
	struct config_pair query[] = { { "key", "s3cret" } };
	struct err err;
	char *url = NULL;
	spec.request.query = (struct config_pairs) { query, 1 };
	assert_string_equal(url_of("nonsense", "/l", 1), "refused");
	assert_int_equal(request_url(&url, &plan, NULL, 1, &err), -EINVAL);
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

static void a_checkpoint_comes_back_as_it_was(void **state)
{
	(void)state;
	struct position p, back;
	struct err err;
	char text[POSITION_TEXT];
	assert_int_equal(position_read(&p, "", 1, &err), 0);
	assert_int_equal(p.page, 1);
	assert_int_equal(p.records, 0);
	assert_string_equal(p.last, "");
	p = (struct position) { .page = 7, .records = 300, .last = "0123456789abcdef" };
	assert_int_equal(position_read(&back, position_write(text, &p), 1, &err), 0);
	assert_int_equal(back.page, 7);
	assert_int_equal(back.records, 300);
	assert_string_equal(back.last, p.last);
	assert_int_equal(position_read(&back, "12", 1, &err), 0);
	assert_int_equal(back.page, 12);
	assert_int_equal(back.records, 0);
	static const char *const bad[] = { "x", "{}", "{\"page\":\"one\"}", "null", "{\"page\":-1}",
		"[1]", "{\"page\":1,\"records\":-5}", "{\"page\":1,\"last\":\"0123456789abcdef0\"}",
		"1.5" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(position_read(&back, bad[i], 1, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_url_is_base_path_query_and_page, set_up),
		cmocka_unit_test_setup(what_makes_no_url_is_refused_without_its_secrets, set_up),
		cmocka_unit_test_setup(a_value_is_escaped_where_it_stands, set_up),
		cmocka_unit_test_setup(a_value_leads_to_no_other_path, set_up),
		cmocka_unit_test_setup(a_task_brings_its_value, set_up),
		cmocka_unit_test_setup(a_checkpoint_comes_back_as_it_was, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
