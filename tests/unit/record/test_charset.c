/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "record/charset.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static char got[400];
static size_t got_len;

static bool sink(void *arg, const char *data, size_t len)
{
	(void)arg;
	memcpy(got + got_len, data, len);
	got_len += len;
	got[got_len] = '\0';
	return true;
}

static int convert(const char *name, const char *data, size_t len, size_t piece, struct err *err)
{
	struct record_charset *c;
	assert_int_equal(record_charset_new(&c, sink, NULL), 0);
	record_charset_restart(c, name);
	got_len = 0;
	got[0] = '\0';
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = record_charset_feed(c, data + at, len - at < piece ? len - at : piece, err);
	if (rc == 0)
		rc = record_charset_end(c, err);
	record_charset_free(c);
	return rc;
}

static void becomes(const char *name, const char *data, size_t len, const char *expected)
{
	for (size_t piece = 1; piece <= len; piece++) {
		struct err err = { 0 };
		if (convert(name, data, len, piece, &err) < 0)
			fail_msg("%s: %s", name ? name : "nothing said", err.text);
		assert_string_equal(got, expected);
	}
}
#define BECOMES(name, data, expected) becomes(name, data, sizeof(data) - 1, expected)

static void what_is_said_is_read_however_it_is_cut(void **state)
{
	(void)state;
	BECOMES("euc-kr", "\xbc\xad\xbf\xef 1,\xc7\xd1", "서울 1,한");
	BECOMES("shift_jis", "\x93\x8c\x8b\x9e", "東京");
	BECOMES("gb18030", "\x81\x30\x81\x30\xd6\xd0", "\xc2\x80中");
	BECOMES("iso-8859-2", "a\xb1", "aą");
	BECOMES("windows-1252", "\x80 \xe9\x81", "€ é\xc2\x81");
	BECOMES("utf-16le", "a\0\x2d\xd5", "a픭");
	BECOMES("utf-8", "\xc3\xa9\xff", "\xc3\xa9\xff");
	BECOMES(NULL, "\xc3\xa9", "é");
	BECOMES("iso-2022-jp", "\x1b$B$\"\x1b(Bx", "あx");
}

static void a_byte_order_mark_decides_and_goes(void **state)
{
	(void)state;
	BECOMES("euc-kr", "\xef\xbb\xbf\xed\x95\x9c", "한");
	BECOMES(NULL,
		"\xff\xfe"
		"a\0",
		"a");
	BECOMES("utf-8", "\xfe\xff\0a", "a");
	BECOMES(NULL, "\xef\xbb", "\xef\xbb");
	BECOMES(NULL, "a", "a");
}

static void bytes_that_mean_nothing_are_named_with_their_place(void **state)
{
	struct err err = { 0 };
	(void)state;
	for (size_t piece = 1; piece < 8; piece++) {
		assert_int_equal(convert("euc-kr", "ab\xbc\xad\xff\xffz", 7, piece, &err), -EINVAL);
		assert_string_equal(err.text, "byte 4 of the answer means nothing in euc-kr");
		assert_int_equal(convert("euc-kr", "abcd\xbc", 5, piece, &err), -EINVAL);
		assert_string_equal(err.text, "byte 4 of the answer means nothing in euc-kr");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_read_however_it_is_cut),
		cmocka_unit_test(a_byte_order_mark_decides_and_goes),
		cmocka_unit_test(bytes_that_mean_nothing_are_named_with_their_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
