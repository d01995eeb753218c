/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "collect/incremental.h"
#include "collect/kind.h"
#include "collect/payload.h"
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
	const struct position at = {
		.page = page, .seen = (page - 1) * 100, .since = POSITION_NONE, .token = token
	};
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

static int read_value(char **out, const char *payload, struct err *err)
{
	struct task_payload read = { 0 };
	int rc = payload_read(&read, &plan, payload, err);
	*out = read.value;
	return rc;
}

static void a_window_stands_beside_the_value(void **state)
{
	(void)state;
	struct err err;
	struct buf text = BUF_INIT;
	struct task_payload back;
	const struct task_payload window = { (char *)"a\"", 5, 7 };
	(void)url_of("https://a.example", "/", 1);
	spec.for_each.as = "sym";
	payload_write(&text, "sym", &window);
	assert_string_equal(buf_str(&text), "{\"sym\":\"a\\\"\",\"@since\":5,\"@until\":7}");
	assert_int_equal(payload_read(&back, &plan, buf_str(&text), &err), 0);
	assert_string_equal(back.value, "a\"");
	assert_int_equal(back.since, 5);
	assert_int_equal(back.until, 7);
	free(back.value);
	spec.for_each.as = NULL;
	assert_int_equal(payload_read(&back, &plan, "{\"@since\":5,\"@until\":7}", &err), 0);
	assert_int_equal(back.since, 5);
	assert_int_equal(payload_read(&back, &plan, "{}", &err), 0);
	assert_int_equal(back.since, POSITION_NONE);
	buf_finish(&text);
}

static void times_are_written_as_the_api_wants_them(void **state)
{
	(void)state;
	static const char *const forms[][2] = { { "rfc3339", "2026-03-09T08:05:07Z" },
		{ "date", "2026-03-09" }, { "unix", "1773043507" }, { "unix_ms", "1773043507999" },
		{ "%Y%m%d%H%M%S", "20260309080507" }, { "%d/%m/%Y 100%%", "09/03/2026 100%" } };
	struct collect_incremental inc = { .cursor = "at" };
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct buf text = BUF_INIT;
		inc.format = forms[i][0];
		incremental_write(&text, &inc, 1773043507999);
		assert_string_equal(buf_str(&text), forms[i][1]);
		buf_finish(&text);
	}
	spec.incremental = (struct collect_incremental) {
		.cursor = "at", .param = "since", .until = "to", .format = "rfc3339"
	};
	(void)url_of("https://a.example", "/l", 1);
	char *url = NULL;
	struct err err;
	struct position at = { .page = 1, .since = 0, .until = POSITION_NONE };
	assert_int_equal(request_url(&url, &plan, NULL, &at, &err), 0);
	assert_string_equal(url, "https://a.example/l?since=1970-01-01T00%3A00%3A00Z");
	free(url);
	at.until = 86400000;
	assert_int_equal(request_url(&url, &plan, NULL, &at, &err), 0);
	assert_non_null(strstr(url, "&to=1970-01-02T00%3A00%3A00Z"));
	free(url);
}

static void a_run_begins_before_the_cursor_and_not_before_the_start(void **state)
{
	(void)state;
	const struct collect_incremental inc = {
		.first = 1000, .lookback_ms = 300, .step_ms = 100
	};
	int64_t cursor = 5000, begins[3];
	assert_int_equal(incremental_since(&inc, NULL), 1000);
	assert_int_equal(incremental_since(&inc, &cursor), 4700);
	cursor = 1100;
	assert_int_equal(incremental_since(&inc, &cursor), 1000);
	int64_t since = 4700;
	assert_int_equal(incremental_cut(&inc, &since, 5050, begins, 3), 3);
	assert_int_equal(begins[0], 4700);
	assert_int_equal(begins[2], 4900);
	assert_int_equal(since, 5000);
	assert_int_equal(incremental_cut(&inc, &since, 5050, begins, 3), 1);
	assert_int_equal(since, 5050);
	assert_int_equal(incremental_cut(&inc, &since, 5050, begins, 3), 0);
}

static void a_task_brings_its_value(void **state)
{
	(void)state;
	struct err err;
	char *got = NULL;
	(void)url_of("https://a.example", "/", 1);
	assert_int_equal(read_value(&got, "{}", &err), 0);
	assert_null(got);
	assert_int_equal(read_value(&got, "{\"sym\":\"A\"}", &err), -EINVAL);
	spec.for_each.as = "sym";
	assert_int_equal(read_value(&got, "{\"sym\":\"A \\\"b\"}", &err), 0);
	assert_string_equal(got, "A \"b");
	free(got);
	static const char *const bad[] = { "{}", "", "x", "{\"other\":\"A\"}", "[]" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_value(&got, bad[i], &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_url_is_base_path_query_and_page, set_up),
		cmocka_unit_test_setup(each_style_of_paging_has_its_place_in_the_url, set_up),
		cmocka_unit_test_setup(what_makes_no_url_is_refused_without_its_secrets, set_up),
		cmocka_unit_test_setup(a_value_is_escaped_where_it_stands, set_up),
		cmocka_unit_test_setup(a_value_leads_to_no_other_path, set_up),
		cmocka_unit_test_setup(a_window_stands_beside_the_value, set_up),
		cmocka_unit_test_setup(times_are_written_as_the_api_wants_them, set_up),
		cmocka_unit_test_setup(
			a_run_begins_before_the_cursor_and_not_before_the_start, set_up),
		cmocka_unit_test_setup(a_task_brings_its_value, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
