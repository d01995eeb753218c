/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/follow.h"
#include "collect/kind.h"
#include "collect/paginate.h"
#include "json/scan.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct collect_paginate spec;
static struct position at;
static struct err why;
static char token[64]; /* at's */

static int set_up(void **state)
{
	(void)state;
	spec = (struct collect_paginate) {
		.by = PAGINATE_PAGE, .param = "p", .size = 100, .start = 1, .max_pages = 1000
	};
	at = (struct position) { .page = 1 };
	return 0;
}

/* A page with so many records, all new; goes on to the next. */
static enum paginate_stop page(int64_t seen, const char *next_token, int64_t total, int more)
{
	static int n;
	char hash[POSITION_HASH];
	struct position next;
	snprintf(hash, sizeof(hash), "%016x", ++n);
	const struct page_facts facts = {
		.seen = seen, .hash = hash, .token = next_token, .total = total, .more = more
	};
	enum paginate_stop stop = paginate_next(&spec, &at, &facts, &next, &why);
	at = next;
	if (next.token)
		at.token = str_copy(token, sizeof(token), next.token) ? token : NULL;
	return stop;
}

static void a_page_is_the_last_by_its_size(void **state)
{
	(void)state;
	assert_int_equal(page(100, NULL, -1, -1), STOP_NOT);
	assert_int_equal(page(99, NULL, -1, -1), STOP_SHORT_PAGE);
	assert_int_equal(at.seen, 199);
	assert_int_equal(page(0, NULL, -1, -1), STOP_EMPTY_PAGE);
	spec.until = UNTIL_EMPTY;
	assert_int_equal(page(99, NULL, -1, -1), STOP_NOT);
	assert_int_equal(page(0, NULL, -1, -1), STOP_EMPTY_PAGE);
	spec.by = PAGINATE_NONE;
	assert_int_equal(page(100, NULL, -1, -1), STOP_ONE_PAGE);
}

static void a_total_ends_it_and_a_short_page_then_does_not(void **state)
{
	(void)state;
	assert_int_equal(page(40, NULL, 120, -1), STOP_NOT);
	assert_int_equal(page(40, NULL, 120, -1), STOP_NOT);
	assert_int_equal(page(40, NULL, 120, -1), STOP_TOTAL);
	/* One that is too large ends with what there is. */
	assert_int_equal(page(0, NULL, 500, -1), STOP_EMPTY_PAGE);
	/* One that is too small is not believed. */
	assert_int_equal(page(100, NULL, 150, -1), STOP_NOT);
	assert_int_equal(page(99, NULL, 150, -1), STOP_SHORT_PAGE);
}

static void the_provider_says_whether_there_is_more(void **state)
{
	(void)state;
	assert_int_equal(page(3, NULL, -1, 1), STOP_NOT);
	assert_int_equal(page(100, NULL, -1, 0), STOP_NO_MORE);
	spec.by = PAGINATE_CURSOR;
	assert_int_equal(page(3, "a", -1, 1), STOP_NOT);
	assert_int_equal(page(3, "b", -1, 0), STOP_NO_MORE);
}

static void a_token_leads_on_whatever_the_page_holds(void **state)
{
	(void)state;
	for (int by = PAGINATE_CURSOR; by <= PAGINATE_LINK; by++) {
		spec.by = by;
		at = (struct position) { .page = 1 };
		assert_int_equal(page(3, "a", -1, -1), STOP_NOT);
		assert_int_equal(page(0, "b", -1, -1), STOP_NOT);
		assert_int_equal(page(0, "c", -1, -1), STOP_NOT);
		assert_int_equal(page(100, NULL, -1, -1), STOP_NO_TOKEN);
	}
	/* Some give the last token for ever. */
	at = (struct position) { .page = 1 };
	assert_int_equal(page(3, "a", -1, -1), STOP_NOT);
	assert_int_equal(page(0, "a", -1, -1), STOP_EMPTY_PAGE);
}

static void a_token_that_leads_back_is_found_out(void **state)
{
	(void)state;
	spec.by = PAGINATE_CURSOR;
	assert_int_equal(page(3, "a", -1, -1), STOP_NOT);
	assert_int_equal(page(3, "a", -1, -1), STOP_REPEATED_TOKEN);
	assert_string_equal(
		why.text, "page 2 leads back to an earlier one: its token was there before");
	/* A circle of five, met after three steps. */
	at = (struct position) { .page = 1 };
	enum paginate_stop stop = STOP_NOT;
	int n = 0;
	for (; n < 40 && stop == STOP_NOT; n++) {
		char text[16];
		snprintf(text, sizeof(text), "t%d", n < 3 ? n : 3 + (n - 3) % 5);
		stop = page(3, text, -1, -1);
	}
	assert_int_equal(stop, STOP_REPEATED_TOKEN);
	assert_in_range(n, 9, 20);
}

static void no_more_pages_than_allowed(void **state)
{
	(void)state;
	spec.max_pages = 2;
	spec.start = 0;
	at.page = 0;
	assert_int_equal(page(100, NULL, -1, -1), STOP_NOT);
	assert_int_equal(page(100, NULL, -1, -1), STOP_MAX_PAGES);
	assert_string_equal(paginate_stop_name(STOP_MAX_PAGES), "max_pages");
}

static const char *resolved(const char *base, const char *from, const char *next)
{
	static char *url;
	free(url);
	url = NULL;
	why = (struct err) { 0 };
	return paginate_resolve(&url, base, from, next, &why) == 0 ? url : why.text;
}

static void the_next_url_stays_with_the_provider(void **state)
{
	(void)state;
	const char *base = "https://a.example/v1", *from = "https://a.example/v1/list?page=1&k=s3";
	assert_string_equal(resolved(base, from, "?page=2"), "https://a.example/v1/list?page=2");
	assert_string_equal(resolved(base, from, "/v2/x#top"), "https://a.example/v2/x");
	assert_string_equal(
		resolved(base, from, "https://A.example:443/l?p=2"), "https://a.example/l?p=2");
	assert_string_equal(
		resolved(base, from, "http://a.example/l?p=2"), "https://a.example/l?p=2");
	static const char *const bad[] = { "https://b.example/l", "//b.example/l",
		"http://a.example:81/", "https://a.example.b.example/", "https://u:p@a.example/" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(
			strstr(resolved(base, from, bad[i]), "only https://a.example is asked"));
	assert_string_equal(
		resolved("http://a.example/", "http://a.example/l", "https://a.example/l"),
		"the provider's next page is at https://a.example: only http://a.example is asked, "
		"for "
		"whose host credentials and limits are meant");
	assert_null(strstr(resolved(base, from, "mailto:x"), "s3"));
	assert_non_null(strstr(why.text, "no URL"));
}

/* "token total more", or the error */
static const char *said(const char *body)
{
	static char text[800];
	struct follow *follow;
	struct follow_words words;
	assert_int_equal(follow_new(&follow, &spec, &why), 0);
	/* Two times: what was before is forgotten; in pieces: nothing depends on them. */
	assert_int_equal(follow_feed(follow, "{\"next\":\"old\",\"total\":5", 21, &why), 0);
	follow_restart(follow);
	for (const char *p = body; *p; p++)
		assert_int_equal(follow_feed(follow, p, 1, &why), 0);
	if (follow_end(follow, &words, &why) < 0)
		snprintf(text, sizeof(text), "%s", why.text);
	else
		snprintf(text, sizeof(text), "%s %lld %d", words.token ? words.token : "-",
			(long long)words.total, words.more);
	follow_free(follow);
	return text;
}

static void the_answer_is_asked_for_cursor_total_and_more(void **state)
{
	(void)state;
	spec.by = PAGINATE_CURSOR;
	spec.cursor = "meta.next";
	spec.total = "total";
	spec.more = "meta.more";
	assert_string_equal(
		said("{\"meta\":{\"next\":\"a\\u00e9\\\"b\",\"more\":true},\"total\":12}"),
		"a\xc3\xa9\"b 12 1");
	assert_string_equal(said("{\"meta\":{\"next\":123456789012345678901,\"more\":\"no\"}}"),
		"123456789012345678901 -1 0");
	static const char *const none[] = { "{}", "{\"meta\":{\"next\":null}}",
		"{\"meta\":{\"next\":\"\"}}", "{\"meta\":{\"next\":false}}", "{\"meta\":null}" };
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_string_equal(said(none[i]), "- -1 -1");
	assert_string_equal(said("{\"total\":\"many\"}"),
		"paginate.total: field total: \"many\" is not an integer");
	assert_non_null(strstr(said("{\"meta\":{\"more\":7}}"), "paginate.more"));
}

static void a_cursor_may_be_the_last_records_id(void **state)
{
	(void)state;
	spec.by = PAGINATE_CURSOR;
	spec.cursor = "data[-1].id";
	assert_string_equal(said("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}"), "b -1 -1");
	assert_string_equal(said("{\"data\":[{\"id\":\"a\"},{}]}"), "- -1 -1");
	assert_string_equal(said("{\"data\":[]}"), "- -1 -1");
	spec.cursor = "[-1]";
	assert_string_equal(said("[1,2,3]"), "3 -1 -1");
}

static void a_cursor_of_any_size_is_refused_or_kept_whole(void **state)
{
	(void)state;
	spec.by = PAGINATE_CURSOR;
	spec.cursor = "c";
	struct buf body = BUF_INIT;
	buf_addf(&body, "{\"c\":\"%0*d\"}", TOKEN_MAX + 1, 0);
	assert_string_equal(said(buf_str(&body)), "paginate.cursor: longer than 8192 bytes");
	buf_reset(&body);
	buf_addf(&body, "{\"c\":\"%0*d\"}", JSON_RECORD_MAX, 0);
	assert_string_equal(said(buf_str(&body)), "paginate.cursor: the value is too large");
	buf_finish(&body);
}

static void a_checkpoint_comes_back_as_it_was(void **state)
{
	(void)state;
	struct position p, back;
	char *own = NULL;
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	assert_int_equal(position_read(&p, &own, "", 1, &why), 0);
	assert_int_equal(p.page, 1);
	assert_int_equal(p.records, 0);
	assert_string_equal(p.last, "");
	assert_null(own);
	p = (struct position) { .page = 7,
		.records = 300,
		.seen = 600,
		.last = "0123456789abcdef",
		.mark = "1123456789abcdef",
		.token_mark = "2123456789abcdef",
		.token = "https://a.example/?a=\"\xc3\xa9\x01" };
	position_write(&text, &p);
	assert_int_equal(position_read(&back, &own, buf_str(&text), 1, &why), 0);
	assert_int_equal(back.page, 7);
	assert_int_equal(back.records, 300);
	assert_int_equal(back.seen, 600);
	assert_string_equal(back.last, p.last);
	assert_string_equal(back.mark, p.mark);
	assert_string_equal(back.token_mark, p.token_mark);
	assert_string_equal(back.token, p.token);
	free(own);
	own = NULL;
	assert_int_equal(position_read(&back, &own, "12", 1, &why), 0);
	assert_int_equal(back.page, 12);
	static const char *const bad[] = { "x", "{}", "{\"page\":\"one\"}", "null", "{\"page\":-1}",
		"[1]", "{\"page\":1,\"records\":-5}", "{\"page\":1,\"last\":\"0123456789abcdef0\"}",
		"1.5" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(position_read(&back, &own, bad[i], 1, &why), -EINVAL);
	assert_null(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_page_is_the_last_by_its_size, set_up),
		cmocka_unit_test_setup(a_total_ends_it_and_a_short_page_then_does_not, set_up),
		cmocka_unit_test_setup(the_provider_says_whether_there_is_more, set_up),
		cmocka_unit_test_setup(a_token_leads_on_whatever_the_page_holds, set_up),
		cmocka_unit_test_setup(a_token_that_leads_back_is_found_out, set_up),
		cmocka_unit_test_setup(no_more_pages_than_allowed, set_up),
		cmocka_unit_test_setup(the_next_url_stays_with_the_provider, set_up),
		cmocka_unit_test_setup(the_answer_is_asked_for_cursor_total_and_more, set_up),
		cmocka_unit_test_setup(a_cursor_may_be_the_last_records_id, set_up),
		cmocka_unit_test_setup(a_cursor_of_any_size_is_refused_or_kept_whole, set_up),
		cmocka_unit_test_setup(a_checkpoint_comes_back_as_it_was, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
