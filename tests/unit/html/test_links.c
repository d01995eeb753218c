/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "../cases/cases.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "html/page.h"
#include "known.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct html_page read_page(
	struct arena *arena, const char *html, const char *url, unsigned flags)
{
	struct html_page page;
	struct err err = { 0 };
	if (html_page_read(&page, arena, html, strlen(html), url, flags, &err) < 0)
		fail_msg("%s", err.text);
	return page;
}

/* [["http://...", "follow"]] as the table has it. */
static json_t *links_of(const struct html_page *page)
{
	json_t *links = json_array();
	for (size_t i = 0; i < page->link_count; i++)
		json_array_append_new(
			links, json_pack("[s, s]", page->links[i].url,
				       page->links[i].nofollow ? "nofollow" : "follow"));
	return links;
}

static void links_are_found_as_others_find_them(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0, judged = 0;
	if (!cases_open(&cases, "html/links.tsv"))
		skip();
	while (cases_next(&cases)) {
		if (strcmp(cases_get(&cases, "kind"), "a-area") != 0)
			continue;
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(freep) char *html = cases_text(&cases, "html");
		CLEANUP(freep) char *base = cases_text(&cases, "base");
		struct html_page page = read_page(arena, html, base, 0);
		json_t *wanted = json_loads(cases_get(&cases, "links"), 0, NULL);
		json_t *got = links_of(&page);
		CLEANUP(freep) char *text = json_dumps(got, JSON_COMPACT);
		wrong += known_judge(NULL, cases_get(&cases, "id"), json_equal(wanted, got),
			cases_get(&cases, "links"), text);
		judged++;
		json_decref(wanted);
		json_decref(got);
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
	assert_true(judged > 0);
}

static void the_base_is_found_as_others_find_it(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0;
	if (!cases_open(&cases, "html/base-href.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(freep) char *html = cases_text(&cases, "html");
		CLEANUP(freep) char *base = cases_text(&cases, "base");
		bool none = strcmp(base, "-") == 0;
		struct html_page page = read_page(
			arena, html, none ? "http://none.example/" : base, 0);
		const char *wanted = cases_get(&cases, "result");
		const char *got = none && strcmp(page.base, "http://none.example/") == 0
					  ? "-"
					  : page.base;
		wrong += known_judge(
			NULL, cases_get(&cases, "id"), strcmp(wanted, got) == 0, wanted, got);
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void a_meta_refresh_is_found_as_others_find_it(void **state)
{
	(void)state;
	struct cases cases;
	int wrong = 0;
	if (!cases_open(&cases, "html/meta-refresh.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(freep) char *html = cases_text(&cases, "html");
		CLEANUP(freep) char *base = cases_text(&cases, "base");
		struct html_page page = read_page(arena, html, base, 0);
		const char *got = "-", *wanted = cases_get(&cases, "target");
		for (size_t i = 0; i < page.link_count; i++)
			if (page.links[i].kind == HTML_LINK_REFRESH)
				got = page.links[i].url;
		double seconds = strcmp(wanted, "-") == 0
					 ? -1
					 : strtod(cases_get(&cases, "seconds"), NULL);
		bool right = strcmp(wanted, got) == 0 && fabs(seconds - page.refresh_s) < 1e-9;
		wrong += known_judge(NULL, cases_get(&cases, "id"), right, wanted, got);
	}
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

/* The links of a page at http://h/d/p, as a crawl gets them: "URL URL-" with '-' behind nofollow.
 */
static void assert_links(const char *html, const char *wanted)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(buf_finish) struct buf got = BUF_INIT;
	struct html_page page = read_page(arena, html, "http://h/d/p", HTML_LINKS_UNIQUE);
	for (size_t i = 0; i < page.link_count; i++)
		buf_addf(&got, "%s%s%s", got.len ? " " : "", page.links[i].url,
			page.links[i].nofollow ? "-" : "");
	assert_string_equal(buf_str(&got), wanted);
}

static void an_empty_or_fragment_href_is_the_page_itself(void **state)
{
	(void)state;
	assert_links("<a href=''><a href='#top'><a href='p'><a href='p#x'><a href='?'>",
		"http://h/d/p?");
	assert_links("<base href='/e/q'><a href=''><a href='#top'>", "http://h/e/q");
}

static void the_same_page_is_linked_once(void **state)
{
	(void)state;
	assert_links("<a href=a><a href=a#1><a href='/d/a'><a href='HTTP://H:80/d/./a'>",
		"http://h/d/a");
	assert_links("<a href=b><a href=a rel=nofollow><a href=c rel=nofollow><a href='./a'>",
		"http://h/d/b http://h/d/a http://h/d/c-");
}

static void links_of_other_schemes_are_left_out(void **state)
{
	(void)state;
	assert_links("<a href='mailto:x@y'><a href='javascript:void(0)'><a href='ftp://h/'><a "
		     "href='data:,x'>"
		     "<a href='http://[bad'><a href='https://ok/'>",
		"https://ok/");
}

static void blanks_and_line_ends_in_an_href_go(void **state)
{
	(void)state;
	assert_links(
		"<a href='  http://h/\n x \t'><a href=\" \r\n/y\">", "http://h/%20x http://h/y");
}

static void frames_and_areas_and_a_refresh_are_links(void **state)
{
	(void)state;
	assert_links("<meta http-equiv=Refresh content='0; URL=r'><area href=s><frame "
		     "src=t><iframe src=u>",
		"http://h/d/r http://h/d/s http://h/d/t http://h/d/u");
}

static void a_robots_meta_counts_for_all_links(void **state)
{
	(void)state;
	assert_links("<a href=a><meta name=ROBOTS content='noarchive, NoFollow'>", "http://h/d/a-");
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct html_page page = read_page(arena, "<meta name=robots content=none>", "http://h/", 0);
	assert_true(page.nofollow && page.noindex);
	page = read_page(arena, "<meta name=robots content=noindexing>", "http://h/", 0);
	assert_false(page.nofollow || page.noindex);
}

static void the_canonical_link_is_told_and_not_followed(void **state)
{
	(void)state;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct html_page page = read_page(arena,
		"<link rel='x Canonical' href='/c?a#b'><link rel=canonical href=/d>", "http://h/",
		0);
	assert_int_equal(page.link_count, 0);
	assert_string_equal(page.canonical, "http://h/c?a");
}

static void a_page_of_a_million_links_is_cut(void **state)
{
	(void)state;
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	for (int i = 0; i < 1000000; i++)
		buf_addf(&html, "<a href=%d>", i % 20000);
	struct html_page page = read_page(arena, buf_str(&html), "http://h/", HTML_LINKS_UNIQUE);
	assert_int_equal(page.link_count, HTML_LINKS_MAX);
	assert_true(page.cut);
}

static void long_hrefs_and_long_bases_stay_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	buf_add_str(&html, "<base href='/");
	for (int i = 0; i < 2000; i++)
		buf_add_char(&html, 'b');
	buf_add_str(&html, "/'><a href='");
	for (int i = 0; i < HTML_HREF_MAX; i++)
		buf_add_char(&html, 'x');
	buf_add_str(&html, "y'>");
	for (int i = 0; i < 9000; i++)
		buf_addf(&html, "<a href=%d>", i);
	struct html_page page = read_page(arena, buf_str(&html), "http://h/", HTML_LINKS_UNIQUE);
	assert_true(page.cut);
	assert_true(page.link_count > 4000 && page.link_count < 4300);
	assert_true(arena_used(arena) < 16 << 20);
}

static void a_link_that_is_too_long_for_a_url_is_told(void **state)
{
	(void)state;
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	buf_add_str(&html, "<a href=mailto:x><a href='data:,");
	for (int i = 0; i < 3000; i++)
		buf_add_char(&html, 'x');
	buf_add_str(&html, "'><a href=/short>");
	struct html_page page = read_page(arena, buf_str(&html), "http://h/", HTML_LINKS_UNIQUE);
	assert_int_equal(page.link_count, 1);
	assert_false(page.cut);
	buf_add_str(&html, "<a href='/");
	for (int i = 0; i < 3000; i++)
		buf_add_char(&html, 'x');
	buf_add_str(&html, "'>");
	page = read_page(arena, buf_str(&html), "http://h/", HTML_LINKS_UNIQUE);
	assert_int_equal(page.link_count, 1);
	assert_true(page.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_found_as_others_find_them),
		cmocka_unit_test(the_base_is_found_as_others_find_it),
		cmocka_unit_test(a_meta_refresh_is_found_as_others_find_it),
		cmocka_unit_test(an_empty_or_fragment_href_is_the_page_itself),
		cmocka_unit_test(the_same_page_is_linked_once),
		cmocka_unit_test(links_of_other_schemes_are_left_out),
		cmocka_unit_test(blanks_and_line_ends_in_an_href_go),
		cmocka_unit_test(frames_and_areas_and_a_refresh_are_links),
		cmocka_unit_test(a_robots_meta_counts_for_all_links),
		cmocka_unit_test(the_canonical_link_is_told_and_not_followed),
		cmocka_unit_test(a_page_of_a_million_links_is_cut),
		cmocka_unit_test(long_hrefs_and_long_bases_stay_bounded),
		cmocka_unit_test(a_link_that_is_too_long_for_a_url_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
