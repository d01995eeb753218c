/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "json/path.h"
#include "json/record.h"
#include "json/scan.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct seen {
	struct buf text; /* records, each between < and > */
	size_t stop_after, too_large, read;
	struct json_record *record;
	uint64_t too_large_at;
};

static bool on_record(void *arg, const char *data, size_t len)
{
	struct seen *seen = arg;
	buf_add_char(&seen->text, '<');
	buf_add(&seen->text, data, len);
	buf_add_char(&seen->text, '>');
	return seen->stop_after == 0 || --seen->stop_after > 0;
}

/* What lies in the record is what a record of its own would have. */
static bool on_read(void *arg, const char *data, size_t len)
{
	struct seen *seen = arg;
	struct err err;
	struct json_record *alone = NULL;
	struct json_path *whole = NULL;
	struct buf text[2] = { BUF_INIT, BUF_INIT };
	seen->read++;
	assert_int_equal(json_record_new(&alone, data, len, &err), 0);
	assert_int_equal(json_path_new(&whole, "$", &err), 0);
	for (size_t i = 0; i < 2; i++) {
		struct json_out out;
		json_out_init(&out, &text[i]);
		assert_int_equal(json_record_select(i ? alone : seen->record, whole, &out), 1);
	}
	assert_string_equal(buf_str(&text[0]), buf_str(&text[1]));
	buf_finish(&text[0]);
	buf_finish(&text[1]);
	json_path_free(whole);
	json_record_free(alone);
	return on_record(arg, data, len);
}

static void on_too_large(void *arg, uint64_t offset)
{
	struct seen *seen = arg;
	seen->too_large++;
	seen->too_large_at = offset;
}

static const struct json_scan_ops ops = { on_record, on_too_large, on_read };

struct outcome {
	int rc;
	struct err err;
	char text[4096];
	char missing[64];
	uint64_t records;
	size_t read;
};

/* Feeds the document in pieces of `piece` bytes. */
static struct outcome scan_with(struct json_record *record, const char *path_text, const char *doc,
	size_t len, size_t piece, size_t max_record, bool whole)
{
	struct outcome out = { 0 };
	struct seen seen = { .text = BUF_INIT, .record = record };
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	CLEANUP(json_scan_freep) struct json_scan *scan = NULL;
	assert_int_equal(json_path_new(&path, path_text, &out.err), 0);
	const struct json_scan_options options = { path, max_record, whole, record };
	assert_int_equal(json_scan_new(&scan, &options, &ops, &seen, &out.err), 0);
	for (size_t at = 0; at < len && out.rc == 0; at += piece) {
		/* A copy of its own, so that reading past a piece is seen. */
		size_t n = MIN(piece, len - at);
		CLEANUP(freep) char *copy = malloc(n);
		memcpy(copy, doc + at, n);
		out.rc = json_scan_feed(scan, copy, n, &out.err);
	}
	if (out.rc == 0)
		out.rc = json_scan_end(scan, &out.err);
	snprintf(out.text, sizeof(out.text), "%s", buf_str(&seen.text));
	const char *missing = out.rc == 0 ? json_scan_missing(scan) : NULL;
	snprintf(out.missing, sizeof(out.missing), "%s", missing ? missing : "");
	out.records = json_scan_records(scan);
	out.read = seen.read;
	buf_finish(&seen.text);
	return out;
}

/* With a record to read into and without. */
static struct outcome scan_pieces(
	const char *path, const char *doc, size_t len, size_t piece, size_t max_record, bool whole)
{
	struct outcome out = scan_with(NULL, path, doc, len, piece, max_record, whole);
	CLEANUP(json_record_freep) struct json_record *record = json_record_empty();
	assert_non_null(record);
	struct outcome read = scan_with(record, path, doc, len, piece, max_record, whole);
	assert_int_equal(read.rc, out.rc);
	assert_string_equal(read.text, out.text);
	assert_string_equal(read.err.text, out.err.text);
	assert_string_equal(read.missing, out.missing);
	assert_int_equal(read.records, out.records);
	return read;
}

/* Whatever the pieces are, the outcome is the same. */
static struct outcome scan_text(const char *path, const char *doc)
{
	struct outcome first = scan_pieces(path, doc, strlen(doc), strlen(doc) + 1, 0, false);
	for (size_t piece = 1; piece <= strlen(doc); piece++) {
		struct outcome next = scan_pieces(path, doc, strlen(doc), piece, 0, false);
		assert_int_equal(next.rc, first.rc);
		assert_string_equal(next.text, first.text);
		assert_string_equal(next.err.text, first.err.text);
		assert_string_equal(next.missing, first.missing);
	}
	return first;
}

static void expect(const char *path, const char *doc, const char *records)
{
	struct outcome out = scan_text(path, doc);
	if (out.rc < 0)
		print_error("%s: %s\n", doc, out.err.text);
	assert_int_equal(out.rc, 0);
	assert_string_equal(out.text, records);
}

static void elements_of_the_list_at_the_path_are_the_records(void **state)
{
	(void)state;
	expect("response.body.items.item",
		"{\"response\":{\"header\":{\"item\":[9]},\"body\":{\"items\":{\"item\": [ "
		"{\"a\":1} , "
		"{\"b\":[1,{\"c\":\"]}\"}]}\n]},\"total\":2}}}",
		"<{\"a\":1}><{\"b\":[1,{\"c\":\"]}\"}]}>");
	expect("items", "{\"items\":[1, -2.50e+3 ,\"x\",true,null,[],[1,2],{}]}",
		"<1><-2.50e+3><\"x\"><true><null><[]><[1,2]><{}>");
	expect("a", "{\"b\":[1],\"a\":[],\"c\":[2]}", "");
}

static void an_object_at_the_path_is_one_record_and_null_is_none(void **state)
{
	(void)state;
	expect("item", "{\"item\":{\"a\":{\"item\":1}}}", "<{\"a\":{\"item\":1}}>");
	expect("item", "{\"item\":null}", "");
	expect("item", "{\"item\": \"x\" }", "<\"x\">");
	expect("item", "{\"item\":12}", "<12>");
}

static void an_empty_path_is_the_document_itself(void **state)
{
	(void)state;
	expect("", "[{\"a\":1},{\"a\":2}]", "<{\"a\":1}><{\"a\":2}>");
	expect("", " {\"a\":[1]} ", "<{\"a\":[1]}>");
	expect("$", "[[1],[2]]", "<[1]><[2]>");
	expect("", "-0.5", "<-0.5>");
	expect("", "\xef\xbb\xbf[1]", "<1>");
}

static void indexes_and_wildcards_select(void **state)
{
	(void)state;
	const char *doc =
		"{\"a\":{\"b\":[{\"c\":[1,2]},{\"c\":[3]},{\"d\":[4]}],\"e\":{\"c\":[5]}}}";
	expect("a.b[1].c", doc, "<3>");
	expect("a.b[*].c", doc, "<1><2><3>");
	expect("a.*[0].c", doc, "<1><2>");
	expect("a.e.*", doc, "<5>");
	expect("[1]", "[[1],[2,3],[4]]", "<2><3>");
	expect("[*]", "[[1],[2,3]]", "<1><2><3>");
	expect("$[0][1]", "[[7,{\"x\":[8]}]]", "<{\"x\":[8]}>");
}

static void names_are_compared_after_their_escapes_are_undone(void **state)
{
	(void)state;
	expect("it\xc3\xa9m", "{\"\\u0069t\\u00E9m\":[1],\"it\xc3\xa9\":[2]}", "<1>");
	expect("\xf0\x9d\x84\x9e", "{\"\\ud834\\udd1e\":[1]}", "<1>");
	expect("a", "{\"\\ud834\":[0],\"a\":[1]}", "<1>");
	expect("a", "{\"aa\":[0],\"\":[0],\"a\":[1]}", "<1>");
	char doc[2000];
	snprintf(doc, sizeof(doc), "{\"%01500d\":[0],\"a\":[1]}", 0);
	struct outcome out = scan_pieces("a", doc, strlen(doc), 7, 0, false);
	assert_string_equal(out.text, "<1>");
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	assert_string_equal(scan_text("a.b.c", "{\"a\":{\"x\":1}}").missing, "b");
	assert_string_equal(scan_text("a.b", "{\"error\":\"LIMITED NUMBER\"}").missing, "a");
	assert_string_equal(scan_text("a.b", "{\"a\":\"busy\"}").missing, "b");
	assert_string_equal(scan_text("a.b", "{\"a\":[{\"b\":1}]}").missing, "b");
	assert_string_equal(scan_text("a[3]", "{\"a\":[1]}").missing, "an element");
	/* Ways to say "none". */
	assert_string_equal(scan_text("a.b", "{\"a\":\"\"}").missing, "");
	assert_string_equal(scan_text("a.b", "{\"a\":null}").missing, "");
	assert_string_equal(scan_text("a.b", "{\"a\":{}}").missing, "");
	assert_string_equal(scan_text("a.b", "{\"a\":[]}").missing, "");
	assert_string_equal(scan_text("a.b", "{\"a\":{\"b\":[]}}").missing, "");
}

static void malformed_text_is_reported_with_its_byte(void **state)
{
	(void)state;
	static const struct {
		const char *doc, *words;
	} cases[] = {
		{ "{\"a\":[1,]}", "byte 8: a value" },
		{ "{\"a\":1,}", "byte 7: a name" },
		{ "{\"a\" 1}", "byte 5: a colon" },
		{ "{\"a\":01}", "byte 6: a comma or }" },
		{ "[1 2]", "byte 3: a comma or ]" },
		{ "[1.]", "byte 3: not a number" },
		{ "[-]", "byte 2: not a number" },
		{ "[1e+]", "byte 4: not a number" },
		{ "[.5]", "byte 1: a value" },
		{ "[+1]", "byte 1: a value" },
		{ "[tru]", "byte 4: neither" },
		{ "[nan]", "byte 2: neither" },
		{ "[\"a\nb\"]", "byte 3: a control character" },
		{ "[\"\\x\"]", "byte 3: no such escape" },
		{ "[\"\\u12g4\"]", "byte 6: an escape needs" },
		{ "[\"\xc0\xaf\"]", "byte 2: not valid UTF-8" },
		{ "[\"\xed\xa0\x80\"]", "byte 3: not valid UTF-8" },
		{ "[\"\xf4\x90\x80\x80\"]", "byte 3: not valid UTF-8" },
		{ "[\"\xe2\x82\"]", "byte 4: not valid UTF-8" },
		{ "[1]]", "byte 3: something follows" },
		{ "{} {}", "byte 3: something follows" },
		{ "[1}", "byte 2: a comma or ]" },
		{ "}", "byte 0: a value" },
		{ "<html>", "byte 0: a value" },
		{ "{\"a\":1,\"a\":2}", "byte 9: a name of the path comes twice" },
		{ "", "byte 0: the text ends too early" },
		{ "[1", "byte 2: the text ends too early" },
		{ "{\"a\":\"x", "byte 7: the text ends too early" },
		{ "{\"a\":tr", "byte 7: the text ends too early" },
		{ "-", "byte 1: the text ends too early" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct outcome out = scan_text("a", cases[i].doc);
		if (out.rc != -EINVAL || !strstr(out.err.text, cases[i].words))
			print_error("%s -> %d %s\n", cases[i].doc, out.rc, out.err.text);
		assert_int_equal(out.rc, -EINVAL);
		assert_non_null(strstr(out.err.text, cases[i].words));
	}
}

static void records_before_the_error_were_yielded_and_the_error_stays(void **state)
{
	(void)state;
	struct outcome out = scan_text("", "[{\"a\":1},{\"a\":2},{\"a\":");
	assert_int_equal(out.rc, -EINVAL);
	assert_string_equal(out.text, "<{\"a\":1}><{\"a\":2}>");
	struct seen seen = { .text = BUF_INIT };
	struct json_scan *scan = NULL;
	struct err err;
	const struct json_scan_options options = { 0 };
	assert_int_equal(json_scan_new(&scan, &options, &ops, &seen, &err), 0);
	assert_int_equal(json_scan_feed(scan, "]", 1, &err), -EINVAL);
	assert_int_equal(json_scan_feed(scan, "[1]", 3, &err), -EINVAL);
	assert_int_equal(json_scan_end(scan, &err), -EINVAL);
	json_scan_restart(scan);
	assert_int_equal(json_scan_feed(scan, "[1]", 3, &err), 0);
	assert_int_equal(json_scan_end(scan, &err), 0);
	assert_string_equal(buf_str(&seen.text), "<1>");
	buf_finish(&seen.text);
	json_scan_free(scan);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	char doc[400] = "";
	memset(doc, '[', 128);
	memset(doc + 128, ']', 128);
	assert_int_equal(scan_pieces("a", doc, 256, 9, 0, false).rc, 0);
	memset(doc, '[', 200);
	struct outcome out = scan_pieces("a", doc, 200, 9, 0, false);
	assert_int_equal(out.rc, -EINVAL);
	assert_non_null(strstr(out.err.text, "byte 128: nested too deeply"));
}

static void a_record_over_the_bound_is_left_out_and_told(void **state)
{
	(void)state;
	const char *doc = "[\"1234567\",\"12345678\",\"x\",{\"a\":[1,2,3,4]},\"1234567\"]";
	for (size_t piece = 1; piece < 60; piece++) {
		struct seen seen = { .text = BUF_INIT };
		struct json_scan *scan = NULL;
		struct err err;
		const struct json_scan_options options = { .max_record = 9 };
		assert_int_equal(json_scan_new(&scan, &options, &ops, &seen, &err), 0);
		for (size_t at = 0; at < strlen(doc); at += piece)
			assert_int_equal(
				json_scan_feed(scan, doc + at, MIN(piece, strlen(doc) - at), &err),
				0);
		assert_int_equal(json_scan_end(scan, &err), 0);
		assert_string_equal(buf_str(&seen.text), "<\"1234567\"><\"x\"><\"1234567\">");
		assert_int_equal(seen.too_large, 2);
		assert_int_equal(seen.too_large_at, 26);
		assert_int_equal(json_scan_records(scan), 5);
		buf_finish(&seen.text);
		json_scan_free(scan);
	}
}

static void the_receiver_can_stop_the_scan(void **state)
{
	(void)state;
	struct seen seen = { .text = BUF_INIT, .stop_after = 2 };
	struct json_scan *scan = NULL;
	struct err err;
	const struct json_scan_options options = { 0 };
	assert_int_equal(json_scan_new(&scan, &options, &ops, &seen, &err), 0);
	assert_int_equal(json_scan_feed(scan, "[1,2,3]", 7, &err), -ECANCELED);
	assert_string_equal(buf_str(&seen.text), "<1><2>");
	buf_finish(&seen.text);
	json_scan_free(scan);
}

static void whole_values_are_yielded_when_asked_for(void **state)
{
	(void)state;
	const char *doc = "{\"a\":[1,[2]],\"b\":null}";
	assert_string_equal(scan_pieces("a", doc, strlen(doc), 3, 0, true).text, "<[1,[2]]>");
	assert_string_equal(scan_pieces("b", doc, strlen(doc), 3, 0, true).text, "<null>");
	assert_string_equal(
		scan_pieces("", doc, strlen(doc), 3, 0, true).text, "<{\"a\":[1,[2]],\"b\":null}>");
}

static void a_path_that_is_none_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "a..b", ".a", "a.", "a[", "a[]", "a[x]", "a[01]",
		"a[-0]", "a[1]b", "a]", "a['b']", "$a.\"b\"", "a. b", "$.", "a[9007199254740992]",
		"\xff", "a\x01" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct json_path *path = NULL;
		struct err err;
		int rc = json_path_new(&path, bad[i], &err);
		if (rc == 0)
			print_error("accepted: %s\n", bad[i]);
		assert_int_equal(rc, -EINVAL);
	}
	struct json_path *path = NULL;
	struct json_scan *scan = NULL;
	struct err err;
	assert_int_equal(json_path_new(&path, "a[-1]", &err), 0);
	const struct json_scan_options options = { .path = path };
	assert_int_equal(json_scan_new(&scan, &options, &ops, NULL, &err), -EINVAL);
	json_path_free(path);
}

static void what_is_no_json_is_seen_at_its_place(void **state)
{
	(void)state;
	static const char *const good[] = { "0", "-1.5e+3", "\"{{a}} \\u00e9\"", "[]", " [1 , 2 ] ",
		"{\"a\":{\"b\":[null,true,false]}}", "{ }" };
	static const struct {
		const char *text;
		size_t at;
	} bad[] = { { "", 0 }, { "{", 1 }, { "[1,]", 3 }, { "{\"a\":{{v}}}", 6 }, { "{\"a\"}", 4 },
		{ "01", 1 }, { "1.", 2 }, { "\"a", 2 }, { "\"\\x\"", 2 }, { "[1 2]", 3 },
		{ "{a:1}", 1 }, { "nul", 3 }, { "[1]x", 3 }, { "\"\t\"", 1 } };
	struct err err;
	size_t at;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (json_check(good[i], strlen(good[i]), &at, &err) != 0)
			fail_msg("%s: %s", good[i], err.text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (json_check(bad[i].text, strlen(bad[i].text), &at, &err) == 0)
			fail_msg("%s is taken", bad[i].text);
		if (at != bad[i].at)
			fail_msg("%s: at %zu", bad[i].text, at);
	}
}

static void an_object_that_lies_in_a_piece_whole_is_read_in_the_same_pass(void **state)
{
	(void)state;
	const char *doc = "{\"a\": [{\"x\":1} , {\"x\":\"\\u00e9\",\"y\":[{}]}, [{}], 3, "
			  "{\"x\":1,\"x\":2}, {\"x\":\"\\ud800\"}, {\"z\":null}]}";
	struct outcome out = scan_pieces("a", doc, strlen(doc), strlen(doc), 0, false);
	assert_int_equal(out.records, 7);
	assert_int_equal(out.read, 3);
	assert_int_equal(scan_pieces("a", doc, strlen(doc), 1, 0, false).read, 0);
	assert_int_equal(scan_pieces("a", doc, strlen(doc), strlen(doc), 7, false).read, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_of_the_list_at_the_path_are_the_records),
		cmocka_unit_test(an_object_at_the_path_is_one_record_and_null_is_none),
		cmocka_unit_test(an_empty_path_is_the_document_itself),
		cmocka_unit_test(indexes_and_wildcards_select),
		cmocka_unit_test(names_are_compared_after_their_escapes_are_undone),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(malformed_text_is_reported_with_its_byte),
		cmocka_unit_test(records_before_the_error_were_yielded_and_the_error_stays),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(a_record_over_the_bound_is_left_out_and_told),
		cmocka_unit_test(the_receiver_can_stop_the_scan),
		cmocka_unit_test(whole_values_are_yielded_when_asked_for),
		cmocka_unit_test(a_path_that_is_none_is_refused),
		cmocka_unit_test(what_is_no_json_is_seen_at_its_place),
		cmocka_unit_test(an_object_that_lies_in_a_piece_whole_is_read_in_the_same_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
