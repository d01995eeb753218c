/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "../cases/cases.h"
#include "base/buf.h"
#include "base/mem.h"
#include "html/scan.h"
#include "known.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* All start tags with attributes: [["a", {"href": "x"}]]. */
static json_t *tags_of(const char *html, size_t len)
{
	CLEANUP(html_scanner_freep) struct html_scanner *s = html_scanner_new(html, len);
	CLEANUP(buf_finish) struct buf name = BUF_INIT;
	CLEANUP(buf_finish) struct buf value = BUF_INIT;
	json_t *tags = json_array();
	const struct html_tag *tag;
	while ((tag = html_scanner_next(s))) {
		if (tag->end || !tag->attr_count)
			continue;
		json_t *attrs = json_object();
		for (size_t i = 0; i < tag->attr_count; i++) {
			buf_reset(&name);
			buf_reset(&value);
			html_attr_name(&tag->attrs[i], &name);
			html_attr_value(&tag->attrs[i], &value);
			if (!json_object_get(
				    attrs, buf_str(&name))) /* of doubles the first counts */
				json_object_set_new(attrs, buf_str(&name),
					json_stringn(buf_str(&value), value.len));
		}
		struct html_attr as_attr = { .name = tag->name, .name_len = tag->name_len };
		buf_reset(&name);
		html_attr_name(&as_attr, &name);
		json_array_append_new(tags, json_pack("[s, o]", buf_str(&name), attrs));
	}
	return tags;
}

static void tags_and_attributes_are_those_of_the_standard(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0;
	if (!cases_open(&cases, "html/attr-values.tsv"))
		skip();
	while (cases_next(&cases)) {
		json_t *input = json_loads(
			cases_get(&cases, "input"), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		json_t *wanted = json_loads(cases_get(&cases, "tags"), 0, NULL);
		assert_non_null(input);
		assert_non_null(wanted);
		json_t *got = tags_of(json_string_value(input), json_string_length(input));
		CLEANUP(freep) char *text = json_dumps(got, JSON_COMPACT);
		wrong += known_judge(NULL, cases_get(&cases, "id"), json_equal(wanted, got),
			cases_get(&cases, "tags"), text);
		json_decref(input);
		json_decref(wanted);
		json_decref(got);
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

/* The names of all tags in order: "a /a b". */
static void assert_tags(const char *html, const char *wanted)
{
	CLEANUP(html_scanner_freep) struct html_scanner *s = html_scanner_new(html, strlen(html));
	CLEANUP(buf_finish) struct buf got = BUF_INIT;
	const struct html_tag *tag;
	while ((tag = html_scanner_next(s)))
		buf_addf(&got, "%s%s%.*s", got.len ? " " : "", tag->end ? "/" : "",
			(int)tag->name_len, tag->name);
	assert_string_equal(buf_str(&got), wanted);
}

static void comments_hide_tags_however_they_end(void **state)
{
	(void)state;
	assert_tags("<!-- <a> --><b>", "b");
	assert_tags("<!--><b>", "b");
	assert_tags("<!---><b>", "b");
	assert_tags("<!-- <a> --!><b>", "b");
	assert_tags("<!-- <a> -- > ---><b>", "b");
	assert_tags("<!-- <a> <b>", "");
	assert_tags("<!doctype html><?php <a> ?><b></ bogus><c>", "b c");
}

static void raw_text_hides_tags_up_to_its_own_end_tag(void **state)
{
	(void)state;
	assert_tags("<script>'<a>'</scripty></script ><b>", "script /script b");
	assert_tags("<style><a></style><b>", "style /style b");
	assert_tags("<TITLE><a></title><b>", "TITLE /title b");
	assert_tags("<textarea><a></b></textarea><b>", "textarea /textarea b");
	assert_tags("<script><!-- <script> </script> <a> --></script><b>", "script /script b");
	assert_tags("<script><!-- <a> </script><b>", "script /script b");
	assert_tags("<script><!--><script></script><b>", "script /script b");
	assert_tags("<plaintext><a>", "plaintext");
	assert_tags("<noscript><a></noscript>", "noscript a /noscript");
}

static void cdata_is_text_in_svg_only(void **state)
{
	(void)state;
	assert_tags("<svg><![CDATA[<a>]]><b/></svg>", "svg b /svg");
	assert_tags("<![CDATA[<a>]]><b>", "b");
	assert_tags("<svg><title><a></title></svg>", "svg title a /title /svg");
	assert_tags("<svg><p><title><a></title>", "svg p title /title");
}

static void a_tag_that_the_end_cuts_off_is_none(void **state)
{
	(void)state;
	assert_tags("<a", "");
	assert_tags("<a href='x", "");
	assert_tags("<b><a href=x", "b");
	assert_tags("a < b <3 <", "");
}

static void attributes_beyond_the_cap_are_counted(void **state)
{
	(void)state;
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	buf_add_str(&html, "<a href=first");
	for (int i = 0; i < 100000; i++)
		buf_add_str(&html, " x");
	buf_add_str(&html, " last>");
	CLEANUP(html_scanner_freep) struct html_scanner *s = html_scanner_new(html.data, html.len);
	const struct html_tag *tag = html_scanner_next(s);
	assert_non_null(tag);
	assert_int_equal(tag->attr_count, HTML_ATTRS_MAX);
	assert_int_equal(tag->attr_total, 100002);
	assert_non_null(html_tag_attr(tag, "href"));
	assert_null(html_tag_attr(tag, "last"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_and_attributes_are_those_of_the_standard),
		cmocka_unit_test(comments_hide_tags_however_they_end),
		cmocka_unit_test(raw_text_hides_tags_up_to_its_own_end_tag),
		cmocka_unit_test(cdata_is_text_in_svg_only),
		cmocka_unit_test(a_tag_that_the_end_cuts_off_is_none),
		cmocka_unit_test(attributes_beyond_the_cap_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
