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
			only_post_and_patch_must_not_be_received_twice, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
