/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "../cases/cases.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/charset.h"
#include "known.h"
#include <stdlib.h>
#include <string.h>

static size_t base64(const char *text, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, have = 0;
	size_t len = 0;
	for (; *text && *text != '='; text++) {
		bits = bits << 6 | (unsigned)(strchr(digits, *text) - digits);
		have += 6;
		if (have >= 8)
			out[len++] = (char)(bits >> (have -= 8));
	}
	return len;
}

static const struct known encodings_otherwise[] = {
	{ "e104", "gb2312 is gbk by WHATWG, its superset gb18030 by w3lib; one converter reads "
		  "both" },
	{ "e123", "nothing declared and only ASCII: the name does not matter, others say utf-8" },
	{ NULL, NULL },
};

static void encodings_are_recognised_as_others_do(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0;
	if (!cases_open(&cases, "html/encodings.tsv"))
		skip();
	while (cases_next(&cases)) {
		const char *wanted = cases_get(&cases, "encoding"),
			   *text = cases_get(&cases, "text_base64");
		CLEANUP(freep) char *type = cases_text(&cases, "content_type");
		CLEANUP(freep) char *body = malloc(strlen(cases_get(&cases, "body_base64")) + 1);
		CLEANUP(freep) char *decoded = malloc(strlen(text) + 1);
		CLEANUP(buf_finish) struct buf utf8 = BUF_INIT;
		size_t len = base64(cases_get(&cases, "body_base64"), body);
		bool body_only = str_starts(cases_get(&cases, "source"), "scrapy/w3lib:declared");
		const char *got = body_only ? html_charset_of_meta(body, len)
					    : html_charset_detect(body, len, type);
		if (!got)
			got = "NONE";
		bool right = strcmp(wanted, got) == 0;
		if (right && strcmp(text, "-") != 0) {
			size_t text_len = base64(text, decoded);
			assert_int_equal(html_charset_to_utf8(got, body, len, &utf8), 0);
			right = utf8.len == text_len &&
				memcmp(buf_str(&utf8), decoded, text_len) == 0;
			got = right ? got : buf_str(&utf8);
		}
		wrong += known_judge(
			encodings_otherwise, cases_get(&cases, "id"), right, wanted, got);
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void the_charset_of_a_content_type_is_read_as_others_do(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0;
	if (!cases_open(&cases, "http/content-type.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(freep) char *type = cases_text(&cases, "content_type");
		const char *got = html_charset_of_type(type),
			   *wanted = cases_get(&cases, "charset");
		wrong += known_judge(NULL, cases_get(&cases, "id"),
			strcmp(got ? got : "NONE", wanted) == 0, wanted, got ? got : "NONE");
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void assert_converts(const char *charset, const char *bytes, size_t len, const char *wanted)
{
	CLEANUP(buf_finish) struct buf out = BUF_INIT;
	assert_int_equal(html_charset_to_utf8(charset, bytes, len, &out), 0);
	assert_string_equal(buf_str(&out), wanted);
}

static void pages_become_utf8(void **state)
{
	(void)state;
	assert_converts("utf-8", "\xEF\xBB\xBFgr\xC3\xBC\xC3\x9F", 9, "gr\xC3\xBC\xC3\x9F");
	assert_converts("windows-1252", "gr\xFC\xDF \x80", 6, "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC");
	assert_converts("iso-8859-2", "\xA3", 1, "\xC5\x81");
	assert_converts("shift_jis", "\x93\xFA\x96\x7B", 4, "\xE6\x97\xA5\xE6\x9C\xAC");
	assert_converts("euc-kr", "\xC7\xD1", 2, "\xED\x95\x9C");
	assert_converts("utf-16le",
		"\xFF\xFE"
		"a\0\xAC\x20",
		6, "a\xE2\x82\xAC");
	assert_converts("utf-16be", "\0a", 2, "a");
}

static void what_cannot_be_decoded_becomes_a_replacement(void **state)
{
	(void)state;
	assert_converts("utf-8", "a\xFFz\xE2\x82", 5, "a\xEF\xBF\xBDz\xEF\xBF\xBD");
	assert_converts("utf-8", "a\0b", 3,
		"a\xEF\xBF\xBD"
		"b");
	assert_converts("windows-1252", "a\0b", 3,
		"a\xEF\xBF\xBD"
		"b");
	assert_converts("shift_jis", "a\x93", 2, "a\xEF\xBF\xBD");
	assert_converts("utf-16le", "a\0b", 3, "a\xEF\xBF\xBD");
	assert_converts("replacement", "<a href=x>", 10, "\xEF\xBF\xBD");
}

static void every_name_has_its_converter(void **state)
{
	(void)state;
	static const char *const labels[] = { "big5", "cp1251", "euc-jp", "gb2312", "gbk", "ibm866",
		"iso-2022-jp", "iso-8859-6", "koi8-r", "koi8-u", "ks_c_5601-1987", "latin2", "mac",
		"sjis", "tis-620", "x-mac-cyrillic" };
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		const char *name = html_charset_find(labels[i], strlen(labels[i]));
		assert_non_null(name);
		/* 0x80..: whatever it is, it is not what windows-1252, the fallback, says. */
		CLEANUP(buf_finish) struct buf one = BUF_INIT;
		CLEANUP(buf_finish) struct buf other = BUF_INIT;
		assert_int_equal(html_charset_to_utf8(name, "\xB0\xA1\xD0\xCF", 4, &one), 0);
		assert_int_equal(
			html_charset_to_utf8("windows-1252", "\xB0\xA1\xD0\xCF", 4, &other), 0);
		assert_string_not_equal(buf_str(&one), buf_str(&other));
		assert_true(str_is_utf8(buf_str(&one), one.len, NULL));
	}
	assert_null(html_charset_find("utf-7", 5));
}

static void a_page_without_a_type_is_told_by_its_beginning(void **state)
{
	(void)state;
	assert_true(html_sniff("\n <!DOCTYPE HTML>", 17));
	assert_true(html_sniff("<html lang=x>", 13));
	assert_true(html_sniff("<!-- x", 6));
	assert_false(html_sniff("{\"a\": 1}", 8));
	assert_false(html_sniff("<?xml version='1.0'?>", 21));
	assert_false(html_sniff("<htmlx>", 7));
	assert_false(html_sniff("", 0));
	assert_true(html_type_is_html("Text/HTML; charset=x"));
	assert_true(html_type_is_html("application/xhtml+xml"));
	assert_false(html_type_is_html("text/htmlx"));
	assert_false(html_type_is_html(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings_are_recognised_as_others_do),
		cmocka_unit_test(the_charset_of_a_content_type_is_read_as_others_do),
		cmocka_unit_test(pages_become_utf8),
		cmocka_unit_test(what_cannot_be_decoded_becomes_a_replacement),
		cmocka_unit_test(every_name_has_its_converter),
		cmocka_unit_test(a_page_without_a_type_is_told_by_its_beginning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
