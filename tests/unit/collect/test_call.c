/* SPDX-License-Identifier: MIT */
/* What is sent to ask for a page. */
#include "unit.h"

#include "base/err.h"
#include "collect/call.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/position.h"
#include <errno.h>
#include <string.h>

static struct config_provider provider;
static struct collect_job spec;
static struct config_job job;
static struct plan plan;
static struct call call;

static int set_up(void **state)
{
	(void)state;
	provider = (struct config_provider) { .name = "kto", .base_url = "https://a.example/v1" };
	spec = (struct collect_job) { .request = { .path = "/l" } };
	job = (struct config_job) { .name = "j", .spec = &spec };
	plan = (struct plan) { .job = &job, .spec = &spec, .provider = &provider };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	call_finish(&call);
	return 0;
}

static void make(const char *value)
{
	struct err err = { 0 };
	call_finish(&call);
	const struct position first = { .page = 1 };
	if (call_init(&call, &plan, value, &first, &err) < 0)
		fail_msg("%s", err.text);
}

static const char *header(const char *name)
{
	const char *found = NULL;
	for (size_t i = 0; i < call.headers.count; i++) {
		if (strcasecmp(call.headers.items[i].name, name) != 0)
			continue;
		assert_null(found);
		found = call.headers.items[i].value;
	}
	return found ? found : "";
}

static void a_get_is_its_url_and_the_provider_s_headers(void **state)
{
	(void)state;
	struct config_pair headers[] = { { "Accept", "application/json" }, { "X-A", "1" } };
	provider.headers = (struct config_pairs) { headers, 2 };
	make(NULL);
	assert_string_equal(call.method, "GET");
	assert_string_equal(call.url, "https://a.example/v1/l");
	assert_null(call.body);
	assert_false(call.once);
	assert_int_equal(call.headers.count, 2);
	assert_string_equal(header("accept"), "application/json");
}

static void a_request_s_header_stands_instead_of_the_provider_s(void **state)
{
	(void)state;
	struct config_pair theirs[] = { { "Accept", "application/json" }, { "X-A", "1" } };
	struct config_pair own[] = { { "accept", "text/{{v}}" }, { "X-B", "{{v}}" } };
	provider.headers = (struct config_pairs) { theirs, 2 };
	spec.request.headers = (struct config_pairs) { own, 2 };
	spec.for_each.as = "v";
	make("csv");
	assert_int_equal(call.headers.count, 3);
	assert_string_equal(header("Accept"), "text/csv");
	assert_string_equal(header("X-B"), "csv");
	assert_string_equal(header("X-A"), "1");
}

static void json_and_form_escape_the_value_as_they_demand(void **state)
{
	(void)state;
	struct config_pair form[] = { { "q", "a {{v}}&" }, { "n m", "1" } };
	spec.request.method = METHOD_POST;
	spec.for_each.as = "v";
	spec.request.body.json = "{\"q\": \"<{{v}}>\"}";
	make("a\"b\\c\nd\xc3\xa9");
	assert_string_equal(call.body, "{\"q\": \"<a\\\"b\\\\c\\u000ad\xc3\xa9>\"}");
	assert_int_equal(call.body_len, strlen(call.body));
	assert_string_equal(header("Content-Type"), "application/json");
	spec.request.body = (struct collect_body) { .form = { form, 2 } };
	make("x=y/");
	assert_string_equal(call.body, "q=a%20x%3Dy%2F%26&n%20m=1");
	assert_string_equal(header("Content-Type"), "application/x-www-form-urlencoded");
	struct config_pair own[] = { { "Content-Type", "application/vnd.api+json" } };
	spec.request.headers = (struct config_pairs) { own, 1 };
	make("x");
	assert_string_equal(header("Content-Type"), "application/vnd.api+json");
}

/* Of page 3, whose token is "t\"2". */
static void makes(const char *body, const char *expected)
{
	struct err err = { 0 };
	call_finish(&call);
	const struct position at = { .page = 3, .seen = 40, .token = "t\"2" };
	spec.request.body.json = body;
	if (call_init(&call, &plan, NULL, &at, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(call.body, expected);
	assert_int_equal(call.body_len, strlen(expected));
	assert_string_equal(call.url, "https://a.example/v1/l");
}

static void what_makes_a_page_stands_in_the_json(void **state)
{
	(void)state;
	spec.request.method = METHOD_POST;
	spec.paginate = (struct collect_paginate) { .by = PAGINATE_CURSOR,
		.in = PAGINATE_IN_BODY,
		.param = "variables.page.after",
		.start = 1 };
	makes("{}", "{\"variables\":{\"page\":{\"after\":\"t\\\"2\"}}}");
	makes(" { \"q\": \"}\\\"{\" } ",
		" {\"variables\":{\"page\":{\"after\":\"t\\\"2\"}},\"q\": \"}\\\"{\" } ");
	makes("{\"variables\":{\"page\":{\"after\":null , \"n\":[1,{}]}},\"z\":1.50}",
		"{\"variables\":{\"page\":{\"after\":\"t\\\"2\" , \"n\":[1,{}]}},\"z\":1.50}");
	makes("{\"variables\" : null}", "{\"variables\" : {\"page\":{\"after\":\"t\\\"2\"}}}");
	makes("{\"variables\":{\"page\":{\"after\":7}}}",
		"{\"variables\":{\"page\":{\"after\":\"t\\\"2\"}}}");
	makes("null", "{\"variables\":{\"page\":{\"after\":\"t\\\"2\"}}}");
	spec.paginate.by = PAGINATE_PAGE;
	spec.paginate.param = "page";
	spec.paginate.size_param = "opts.size";
	spec.paginate.size = 20;
	makes("{\"page\":\"1\"}", "{\"opts\":{\"size\":20},\"page\":\"3\"}");
	makes("{\"opts\":{\"size\":100},\"page\":0}", "{\"opts\":{\"size\":20},\"page\":3}");
	spec.paginate.by = PAGINATE_OFFSET;
	spec.paginate.size_param = NULL;
	makes("{ }", "{\"page\":40}");
}

/* A first page has no token: its place is left as it stands. */
static void a_number_stays_one_and_the_first_page_is_as_written(void **state)
{
	(void)state;
	struct err err = { 0 };
	const struct position first = { .page = 1 }, next = { .page = 2, .token = "123" };
	spec.request.method = METHOD_POST;
	spec.request.body.json = "{\"after\":0}";
	spec.paginate = (struct collect_paginate) {
		.by = PAGINATE_CURSOR, .in = PAGINATE_IN_BODY, .param = "after", .start = 1
	};
	assert_int_equal(call_init(&call, &plan, NULL, &first, &err), 0);
	assert_string_equal(call.body, "{\"after\":0}");
	call_finish(&call);
	assert_int_equal(call_init(&call, &plan, NULL, &next, &err), 0);
	assert_string_equal(call.body, "{\"after\":123}");
	call_finish(&call);
	spec.request.body.json = "{\"after\":null}";
	assert_int_equal(call_init(&call, &plan, NULL, &next, &err), 0);
	assert_string_equal(call.body, "{\"after\":\"123\"}");
}

static void what_makes_a_page_stands_in_the_form_once(void **state)
{
	(void)state;
	struct config_pair form[] = { { "after", "" }, { "q", "a b" } };
	struct err err = { 0 };
	const struct position at = { .page = 2, .token = "x&y" };
	spec.request.method = METHOD_POST;
	spec.request.body.form = (struct config_pairs) { form, 2 };
	spec.paginate = (struct collect_paginate) { .by = PAGINATE_CURSOR,
		.in = PAGINATE_IN_BODY,
		.param = "after",
		.size_param = "n",
		.size = 5,
		.start = 1 };
	assert_int_equal(call_init(&call, &plan, NULL, &at, &err), 0);
	assert_string_equal(call.body, "q=a%20b&after=x%26y&n=5");
}

static void only_post_and_patch_must_not_be_received_twice(void **state)
{
	(void)state;
	for (int method = METHOD_GET; method <= METHOD_OPTIONS; method++) {
		spec.request.method = method;
		spec.request.idempotent = false;
		make(NULL);
		assert_int_equal(call.once, method == METHOD_POST || method == METHOD_PATCH);
		spec.request.idempotent = true;
		make(NULL);
		assert_false(call.once);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_get_is_its_url_and_the_provider_s_headers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_request_s_header_stands_instead_of_the_provider_s, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			json_and_form_escape_the_value_as_they_demand, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_makes_a_page_stands_in_the_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_number_stays_one_and_the_first_page_is_as_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_makes_a_page_stands_in_the_form_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_post_and_patch_must_not_be_received_twice, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
