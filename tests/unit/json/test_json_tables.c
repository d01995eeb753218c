/* SPDX-License-Identifier: MIT */
/* The JSONPath compliance suite's plain selections, for paths in our dotted form. */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "cases/cases.h"
#include "json/path.h"
#include "json/record.h"
#include "json/scan.h"
#include <jansson.h>
#include <string.h>

static bool any_equal(const char *expected_any, const char *got)
{
	json_t *all = json_loads(expected_any, 0, NULL);
	json_t *mine = json_loads(got, 0, NULL);
	assert_non_null(all);
	assert_non_null(mine);
	bool found = false;
	for (size_t i = 0; i < json_array_size(all); i++)
		found |= json_equal(json_array_get(all, i), mine);
	json_decref(all);
	json_decref(mine);
	return found;
}

static bool add(void *arg, const char *data, size_t len)
{
	json_raw(arg, NULL, data, len);
	return true;
}

static void with_record(
	const struct json_path *path, const char *doc, struct json_out *json, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	assert_int_equal(json_record_new(&record, doc, strlen(doc), err), 0);
	(void)json_record_select(record, path, json);
}

static bool with_scan(
	const struct json_path *path, const char *doc, struct json_out *json, struct err *err)
{
	CLEANUP(json_scan_freep) struct json_scan *scan = NULL;
	const struct json_scan_ops ops = { .record = add };
	const struct json_scan_options options = { .path = path, .whole = true };
	if (json_scan_new(&scan, &options, &ops, json, err) < 0)
		return false; /* counts from the end */
	assert_int_equal(json_scan_feed(scan, doc, strlen(doc), err), 0);
	assert_int_equal(json_scan_end(scan, err), 0);
	return true;
}

static void selections_agree_with_the_compliance_suite(void **state)
{
	(void)state;
	struct cases cases;
	size_t records = 0, scans = 0;
	if (!cases_open(&cases, "json/jsonpath-simple.tsv"))
		skip();
	while (cases_next(&cases)) {
		const char *text = cases_get(&cases, "path_dotted");
		const char *doc = cases_get(&cases, "document");
		if (strcmp(text, "-") == 0)
			continue;
		struct err err;
		CLEANUP(json_path_freep) struct json_path *path = NULL;
		assert_int_equal(json_path_new(&path, text, &err), 0);
		for (int way = 0; way < 2; way++) {
			struct buf buf = BUF_INIT;
			struct json_out json;
			json_out_init(&json, &buf);
			json_open_array(&json, NULL);
			bool done = true;
			if (way == 0)
				with_record(path, doc, &json, &err);
			else
				done = with_scan(path, doc, &json, &err);
			json_close_array(&json);
			if (done && !any_equal(cases_get(&cases, "expected_any"), buf_str(&buf))) {
				print_error("%s: %s of %s is %s\n", cases_get(&cases, "id"), text,
					doc, buf_str(&buf));
				fail();
			}
			records += way == 0;
			scans += way == 1 && done;
			buf_finish(&buf);
		}
	}
	cases_close(&cases);
	print_message("%zu paths by record, %zu by scanner\n", records, scans);
	assert_true(records >= 20);
	assert_true(scans >= 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selections_agree_with_the_compliance_suite),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
