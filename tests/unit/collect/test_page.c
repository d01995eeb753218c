/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "collect/kind.h"
#include "collect/page.h"
#include "collect/plan.h"
#include "config/load.h"
#include <stdio.h>
#include <string.h>

static struct config_column columns[] = {
	{ .name = "id", .path = "id", .type = COLUMN_INTEGER },
	{ .name = "title", .path = "t", .type = COLUMN_TEXT },
};
static const char *key[] = { "ID" };
static struct config_provider provider = { .name = "p", .base_url = "http://p.example/" };
static struct collect_job spec;
static struct config_job job;
static struct plan *plan;
static struct page page;
static struct list out;
static struct position at;

static int set_up(void **state)
{
	(void)state;
	struct err err;
	spec = (struct collect_job) {
		.paginate = { .by = PAGINATE_PAGE,
			.param = "p",
			.size = 5,
			.start = 1,
			.max_pages = 3 },
		.records = "items",
		.fields = { columns, 2 },
		.provider = &provider,
	};
	job = (struct config_job) {
		.name = "j", .store = { .table = "t", .key = { key, 1 }, .batch = 2 }, .spec = &spec
	};
	list_init(&out);
	assert_int_equal(plan_new(&plan, &job, &err), 0);
	assert_int_equal(page_init(&page, plan, &out, &err), 0);
	at = (struct position) { .page = 1 };
	return 0;
}

static void drop_out(void)
{
	LIST_FOR_EACH_SAFE (node, &out)
		batch_free(LIST_ENTRY(node, struct batch, node));
}

static int tear_down(void **state)
{
	(void)state;
	drop_out();
	page_finish(&page);
	plan_free(plan);
	return 0;
}

/* "1:r2:p1,r2 2:..." : ids of each batch, how many were rejected, the position after it. */
static const char *shown(void)
{
	static char text[1024];
	size_t n = 0;
	text[0] = '\0';
	LIST_FOR_EACH (node, &out) {
		const struct batch *b = LIST_ENTRY(node, struct batch, node);
		for (size_t i = 0; i < b->rows; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld%s",
				(long long)b->values[2 * i].i, i + 1 < b->rows ? "," : "");
		n += (size_t)snprintf(text + n, sizeof(text) - n, "|%lld|p%lld.%lld ",
			(long long)b->rejected, (long long)b->after.page,
			(long long)b->after.records);
	}
	return text;
}

static const struct page_origin origin = { .url = "http://p.example/l" };

static enum page_end read_page(const char *body)
{
	struct err err;
	assert_int_equal(page_begin(&page, &at, &err), 0);
	if (!page_body(&page, body, strlen(body)))
		return PAGE_BAD;
	return page_end(&page, &origin);
}

#define FULL "{\"items\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4},{\"id\":5}]}"

static void a_full_page_is_cut_into_batches_and_leads_to_the_next(void **state)
{
	(void)state;
	assert_int_equal(read_page(FULL), PAGE_MORE);
	assert_string_equal(shown(), "1,2|0|p1.2 3,4|0|p1.4 5|0|p2.0 ");
	assert_int_equal(page.at.page, 2);
	assert_int_equal(strlen(page.at.last), 16);
}

static void a_batch_has_as_many_rows_as_the_job_says(void **state)
{
	(void)state;
	struct config *config = must_load(
		"providers: {p: {base_url: \"http://p.example/\"}}\n"
		"jobs: {j: {kind: collect, request: {provider: p}, records: items,\n"
		"  fields: {id: {path: id, type: integer}, t: t},\n"
		"  store: {table: t, key: [id], batch: 3}}}\n");
	struct err err;
	page_finish(&page);
	plan_free(plan);
	assert_int_equal(plan_new(&plan, config_job(config, "j"), &err), 0);
	assert_int_equal(page_init(&page, plan, &out, &err), 0);
	assert_int_equal(read_page(FULL), PAGE_LAST);
	assert_string_equal(shown(), "1,2,3|0|p1.3 4,5|0|p2.0 ");
	drop_out();
	page_finish(&page);
	plan_free(plan);
	config_free(config);
	(void)set_up(NULL);
}

static void a_short_or_empty_page_is_the_last(void **state)
{
	(void)state;
	assert_int_equal(read_page("{\"items\":[{\"id\":1}]}"), PAGE_LAST);
	assert_string_equal(shown(), "1|0|p2.0 ");
	drop_out();
	assert_int_equal(read_page("{\"items\":[]}"), PAGE_LAST);
	assert_string_equal(shown(), "|0|p2.0 ");
	drop_out();
	spec.paginate.by = PAGINATE_NONE;
	assert_int_equal(read_page(FULL), PAGE_LAST);
}

static void records_that_are_stored_are_passed_over(void **state)
{
	(void)state;
	at.records = 3;
	assert_int_equal(read_page(FULL), PAGE_MORE);
	assert_string_equal(shown(), "4,5|0|p2.0 ");
	drop_out();
	at.records = 5;
	assert_int_equal(read_page(FULL), PAGE_MORE);
	assert_string_equal(shown(), "|0|p2.0 ");
}

static void rejected_records_are_counted_with_their_reasons(void **state)
{
	(void)state;
	assert_int_equal(read_page("{\"items\":[{\"id\":1},{\"id\":\"x\"},7,{\"t\":\"no id\"},"
				   "{\"id\":5,\"id\":6}]}"),
		PAGE_MORE);
	assert_string_equal(shown(), "1|4|p2.0 ");
	const struct batch *b = LIST_ENTRY(out.next, struct batch, node);
	assert_int_equal(b->error_count, 4);
	assert_string_equal(b->errors[0], "page 1, record 2: field id: \"x\" is not an integer");
	assert_string_equal(b->errors[1], "page 1, record 3: not an object");
	assert_string_equal(b->errors[2], "page 1, record 4: field id: a key cannot be empty");
	assert_non_null(strstr(b->errors[3], "duplicate"));
}

static void a_value_is_filled_in_from_task_and_record(void **state)
{
	struct config_column own[] = { columns[0],
		{ .name = "w", .value = "{{v}}/{{ record.t }}/{{run.id}}" } };
	struct err err;
	(void)state;
	spec.fields.items = own;
	spec.for_each.as = "v";
	page_finish(&page);
	plan_free(plan);
	assert_int_equal(plan_new(&plan, &job, &err), 0);
	assert_int_equal(page_init(&page, plan, &out, &err), 0);
	page.context = (struct row_context) { .run_id = 9, .value = "a b" };
	assert_int_equal(read_page("{\"items\":[{\"id\":1,\"t\":1.50},{\"id\":2}]}"), PAGE_LAST);
	const struct batch *b = LIST_ENTRY(out.next, struct batch, node);
	assert_int_equal(b->rows, 2);
	assert_int_equal(b->values[1].len, strlen("a b/1.50/9"));
	assert_memory_equal(b->values[1].data, "a b/1.50/9", b->values[1].len);
	assert_int_equal(b->values[3].type, STORE_NULL);
}

static void a_broken_page_gives_nothing_out(void **state)
{
	(void)state;
	assert_int_equal(read_page("{\"items\":[{\"id\":1},{\"id\":2},{\"id\":3}"), PAGE_BAD);
	assert_string_equal(shown(), "");
	assert_non_null(strstr(page.err.text, "ends too early"));
	assert_int_equal(read_page("{\"items\":[{\"id\":1},{\"id\":2},oops"), PAGE_BAD);
	assert_non_null(strstr(page.err.text, "byte 28"));
	assert_string_equal(shown(), "");
	assert_int_equal(read_page("{\"error\":\"LIMITED NUMBER\"}"), PAGE_BAD);
	assert_non_null(strstr(page.err.text, "\"items\" has no \"items\""));
}

static void a_page_that_repeats_the_one_before_is_told_and_not_stored(void **state)
{
	(void)state;
	assert_int_equal(read_page(FULL), PAGE_MORE);
	drop_out();
	at = page.at;
	assert_int_equal(read_page(FULL), PAGE_REPEATED);
	assert_string_equal(shown(), "");
	assert_non_null(strstr(page.err.text, "page 2 is page 1 again"));
	assert_int_equal(
		read_page("{\"items\":[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4},{\"id\":6}]}"),
		PAGE_MORE);
}

static void pages_that_differ_in_their_envelope_only_are_repetitions(void **state)
{
	(void)state;
	assert_int_equal(read_page("{\"at\":1,\"items\":[1,2,3,4,5]}"), PAGE_MORE);
	drop_out();
	at = page.at;
	assert_int_equal(read_page("{\"at\":2, \"items\":[1,2,3,4,5]}"), PAGE_REPEATED);
	/* The end of one record is no beginning of the next. */
	assert_int_equal(read_page("{\"items\":[12,3,4,5,6]}"), PAGE_MORE);
}

static void pages_in_a_circle_are_found_out(void **state)
{
	(void)state;
	spec.paginate.max_pages = 1000;
	enum page_end end = PAGE_MORE;
	for (int n = 0; n < 60 && end == PAGE_MORE; n++) {
		char body[64];
		snprintf(body, sizeof(body), "{\"items\":[%d,2,3,4,5]}", n < 2 ? n : n % 7 + 10);
		end = read_page(body);
		drop_out();
		at = page.at;
	}
	assert_int_equal(end, PAGE_REPEATED);
	assert_non_null(strstr(page.err.text, "page 15 is page 8 again"));
}

static void max_pages_ends_it(void **state)
{
	(void)state;
	at.page = 3;
	assert_int_equal(read_page(FULL), PAGE_CUT);
	assert_string_equal(shown(), "1,2|0|p3.2 3,4|0|p3.4 5|0|p4.0 ");
}

static void a_page_larger_than_what_is_held_goes_out_early_and_is_not_given_twice(void **state)
{
	(void)state;
	struct buf body = BUF_INIT;
	buf_add_str(&body, "{\"items\":[");
	for (int i = 0; i < 300; i++)
		buf_addf(&body, "%s{\"id\":%d,\"t\":\"%050000d\"}", i ? "," : "", i, i);
	struct err err;
	assert_int_equal(page_begin(&page, &at, &err), 0);
	assert_true(page_body(&page, buf_str(&body), body.len));
	size_t early = 0;
	LIST_FOR_EACH (node, &out)
		early++;
	assert_in_range(early, 40, 149);
	assert_true(page.held_bytes < HELD_BYTES);
	page_restart(&page); /* it broke off and is fetched again */
	buf_add_str(&body, "]}");
	assert_true(page_body(&page, buf_str(&body), body.len));
	assert_int_equal(page_end(&page, &origin), PAGE_MORE);
	int next = 0;
	LIST_FOR_EACH (node, &out) {
		const struct batch *b = LIST_ENTRY(node, struct batch, node);
		for (size_t i = 0; i < b->rows; i++)
			assert_int_equal(b->values[2 * i].i, next++);
	}
	assert_int_equal(next, 300);
	buf_finish(&body);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_full_page_is_cut_into_batches_and_leads_to_the_next),
		TEST(a_batch_has_as_many_rows_as_the_job_says),
		TEST(a_short_or_empty_page_is_the_last),
		TEST(records_that_are_stored_are_passed_over),
		TEST(rejected_records_are_counted_with_their_reasons),
		TEST(a_value_is_filled_in_from_task_and_record),
		TEST(a_broken_page_gives_nothing_out),
		TEST(a_page_that_repeats_the_one_before_is_told_and_not_stored),
		TEST(pages_that_differ_in_their_envelope_only_are_repetitions),
		TEST(pages_in_a_circle_are_found_out),
		TEST(max_pages_ends_it),
		TEST(a_page_larger_than_what_is_held_goes_out_early_and_is_not_given_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
