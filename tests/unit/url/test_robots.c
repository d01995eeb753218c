/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/mem.h"
#include "url/robots.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct robots *parsed(const char *text)
{
	struct robots *robots = robots_parse(text, strlen(text));
	assert_non_null(robots);
	return robots;
}

static void check(const char *text, const char *target, bool allowed, int line)
{
	CLEANUP(robots_freep) struct robots *robots = parsed(text);
	struct robots_verdict v = robots_check(robots, "drover/1.0 (+http://example.org)", target);
	if (v.allowed != allowed || v.line != line)
		fail_msg("%s: allowed %d by line %d (%s)", target, v.allowed, v.line,
			v.rule ? v.rule : "none");
}

static void the_longest_rule_decides_and_allow_wins_a_tie(void **state)
{
	(void)state;
	const char *text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: "
			   "/t\nDisallow: /t\n";
	check(text, "/x", true, 0);
	check(text, "/a", false, 2);
	check(text, "/a/b", true, 3);
	check(text, "/a/b/c?d", false, 4);
	check(text, "/t", true, 5);
}

static void our_group_counts_and_others_do_not(void **state)
{
	(void)state;
	const char *text =
		"User-agent: other\nUser-agent: DROVER/2 x\nDisallow: /ours\n\n"
		"User-agent: *\nDisallow: /\n\nUser-agent: drover-news\nDisallow: /news\n\n"
		"User-agent: drover\nDisallow: /again\n";
	check(text, "/ours", false, 3);
	check(text, "/again", false, 12);
	check(text, "/news", true, 0);
	check(text, "/anything", true, 0);
	check("User-agent: other\nDisallow: /\n", "/", true, 0);
	check("User-agent: *\nDisallow: /\n", "/x", false, 2);
	check("User-agent: *\nDisallow: /\n", "/robots.txt", true, 0);
	check("User-agent: *\nDisallow:\n", "/x", true, 0);
	check("Disallow: /\nUser-agent: *\n", "/x", true, 0);
	/* a group for a name that is none is not the group before it */
	check("User-agent: *\nDisallow: /a\nUser-agent: 123\nDisallow: /b\n", "/b", true, 0);
}

static void wildcards_and_end_marks_match(void **state)
{
	(void)state;
	static const struct {
		const char *rule, *target;
		bool matches;
	} rows[] = {
		{ "/*.php$", "/a.php", true },
		{ "/*.php$", "/a.php?x", false },
		{ "/*.php", "/a.php?x", true },
		{ "/fish*", "/fishheads", true },
		{ "/a*b*c$", "/axxbxxbc", true },
		{ "/a*b*c$", "/axxbxxcd", false },
		{ "*x", "/a/x", true },
		{ "/a$", "/a", true },
		{ "/a$", "/ab", false },
		{ "/a$b", "/a$b", true },
		{ "/a%2Ab", "/a*b", true },
		{ "/a%2Ab", "/axb", false },
		{ "/%7Ea", "/~a", true },
		{ "/a%3cd.html", "/a%3Cd.html", true },
		{ "/a%2fb", "/a/b", false },
		{ "/\xc3\xbc", "/%C3%BC", true },
		{ "/a b", "/a%20b", true },
		{ "/**a", "/xa", true },
		{ "/*$", "/anything", true },
		{ "fish", "/fish", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[100];
		snprintf(text, sizeof(text), "User-agent: *\nDisallow: %s\n", rows[i].rule);
		check(text, rows[i].target, !rows[i].matches, rows[i].matches ? 2 : 0);
	}
}

static void any_line_end_comment_and_case_is_read(void **state)
{
	(void)state;
	const char *text = "\xef\xbb\xbfUSER-AGENT : * # all\r\n\r\rdisAllow:/a#b\nnonsense\nAllow "
			   "/x\n Disallow : /c \n";
	check(text, "/a", false, 4);
	check(text, "/c", false, 7);
	check(text, "/x", true, 0);
}

static void the_rule_that_decided_is_shown(void **state)
{
	(void)state;
	CLEANUP(robots_freep)
	struct robots *robots = parsed("User-agent: *\ndisallow:  /p*/q  # no\n");
	assert_string_equal(robots_check(robots, "x", "/p/q").rule, "Disallow: /p*/q");
	assert_null(robots_check(robots, "x", "/").rule);
}

static void delays_and_sitemaps_are_found(void **state)
{
	(void)state;
	CLEANUP(robots_freep)
	struct robots *robots = parsed(
		"Sitemap: http://h/1.xml\nUser-agent: a\nCrawl-delay: 0.25\nUser-agent: "
		"b\nSitemap: /2.xml\n"
		"Crawl-delay: 99999999999999999999\nUser-agent: *\nCrawl-delay: 3\n");
	assert_int_equal(robots_crawl_delay_ms(robots, "a/1"), 250);
	assert_int_equal(robots_crawl_delay_ms(robots, "b"), ROBOTS_DELAY_MAX_MS);
	assert_int_equal(robots_crawl_delay_ms(robots, "c"), 3000);
	assert_string_equal(robots_sitemap(robots, 0), "http://h/1.xml");
	assert_string_equal(robots_sitemap(robots, 1), "/2.xml");
	assert_null(robots_sitemap(robots, 2));
	CLEANUP(robots_freep) struct robots *none = parsed("User-agent: *\nCrawl-delay: -1\n");
	assert_int_equal(robots_crawl_delay_ms(none, "c"), -1);
}

static void a_status_means_what_rfc_9309_says(void **state)
{
	(void)state;
	assert_int_equal(robots_from_status(200, 0), ROBOTS_RULES);
	assert_int_equal(robots_from_status(301, 4), ROBOTS_REDIRECT);
	assert_int_equal(robots_from_status(302, 5), ROBOTS_ALLOW_ALL);
	assert_int_equal(robots_from_status(404, 0), ROBOTS_ALLOW_ALL);
	assert_int_equal(robots_from_status(403, 0), ROBOTS_ALLOW_ALL);
	assert_int_equal(robots_from_status(429, 0), ROBOTS_DISALLOW_RETRY);
	assert_int_equal(robots_from_status(503, 0), ROBOTS_DISALLOW_RETRY);
	assert_int_equal(robots_from_status(0, 0), ROBOTS_DISALLOW_RETRY);
}

static void what_lies_behind_the_bound_is_not_read(void **state)
{
	(void)state;
	size_t len = ROBOTS_BYTES_MAX + 100;
	CLEANUP(freep) char *text = malloc(len);
	static const char head[] = "User-agent: *\nDisallow: /head\n#";
	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, head, strlen(head));
	/* a rule that the bound cuts to "Disallow: /" is not that rule */
	memcpy(text + ROBOTS_BYTES_MAX - 12, "\nDisallow: /tail\n", 17);
	CLEANUP(robots_freep) struct robots *robots = robots_parse(text, len);
	assert_non_null(robots);
	assert_false(robots_check(robots, "a", "/head").allowed);
	assert_true(robots_check(robots, "a", "/tail").allowed);
	assert_true(robots_check(robots, "a", "/other").allowed);
}

/* A backtracking matcher needs 2^n steps here; ours ends at once. */
static void a_hostile_file_costs_little(void **state)
{
	(void)state;
	CLEANUP(freep) char *text = malloc(ROBOTS_BYTES_MAX + 1);
	char target[2049];
	assert_non_null(text);
	memcpy(text, "User-agent: *\n", 14);
	size_t len = 14;
	while (len + 60 < ROBOTS_BYTES_MAX) {
		memcpy(text + len, "Disallow: /*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b$\n", 53);
		len += 53;
	}
	memset(target, 'a', sizeof(target));
	target[0] = '/';
	target[2048] = '\0';
	CLEANUP(robots_freep) struct robots *robots = robots_parse(text, len);
	assert_non_null(robots);
	clock_t start = clock();
	assert_true(robots_check(robots, "x", target).allowed);
	assert_true(clock() - start < CLOCKS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_rule_decides_and_allow_wins_a_tie),
		cmocka_unit_test(our_group_counts_and_others_do_not),
		cmocka_unit_test(wildcards_and_end_marks_match),
		cmocka_unit_test(any_line_end_comment_and_case_is_read),
		cmocka_unit_test(the_rule_that_decided_is_shown),
		cmocka_unit_test(delays_and_sitemaps_are_found),
		cmocka_unit_test(a_status_means_what_rfc_9309_says),
		cmocka_unit_test(what_lies_behind_the_bound_is_not_read),
		cmocka_unit_test(a_hostile_file_costs_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
