/* SPDX-License-Identifier: MIT */
/* Other projects' facts about robots.txt, read from ../shared/cases (SKIPPED where that is absent).
 * No row is excepted. */
#include "unit.h"

#include "base/mem.h"
#include "cases/cases.h"
#include "url/robots.h"
#include "url/url.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool allowed(const char *text, size_t len, const char *agent, const char *url_text)
{
	CLEANUP(robots_freep) struct robots *robots = robots_parse(text, len);
	CLEANUP(url_freep) struct url *url = NULL;
	static char target[65536];
	assert_non_null(robots);
	assert_int_equal(url_parse(&url, url_text, sizeof(target) - 1, NULL), 0);
	url_target(target, sizeof(target), url);
	return robots_check(robots, agent, target).allowed;
}

static void decisions_are_those_of_the_table(void **state)
{
	(void)state;
	struct cases cases;
	size_t wrong = 0;
	if (!cases_open(&cases, "robots/robots.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(freep)
		char *text = cases_text(&cases, "robots_txt"), *url = cases_text(&cases, "url");
		const char *agent = cases_get(&cases, "user_agent");
		bool expected = strcmp(cases_get(&cases, "allowed"), "1") == 0;
		if (allowed(text, strlen(text), agent, url) == expected)
			continue;
		wrong++;
		printf("%s: %s asks %s, expected %d of %s (%s)\n", cases_get(&cases, "id"), agent,
			url, expected, cases_get(&cases, "robots_txt"),
			cases_get(&cases, "source"));
	}
	printf("robots: %zu rows, %zu wrong\n", cases.rows, wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static size_t from_base64(const char *s, char *out)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;
	unsigned bits = 0, count = 0;
	for (; *s && *s != '='; s++) {
		bits = bits << 6 | (unsigned)(strchr(letters, *s) - letters);
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[n++] = (char)(bits >> count);
		}
	}
	return n;
}

static char latin1(const char *s)
{
	return (char)((s[0] & 3) << 6 | (s[1] & 0x3f));
}

/* This table writes a URL's bytes as Latin-1 characters. */
static void from_latin1(char *s)
{
	char *to = s;
	for (; *s; s++)
		*to++ = (*s & 0xfc) == 0xc0 ? latin1(s++) : *s;
	*to = '\0';
}

static void bytes_that_are_not_utf8_are_compared_as_bytes(void **state)
{
	(void)state;
	struct cases cases;
	if (!cases_open(&cases, "robots/robots-bytes.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(freep) char *text = malloc(strlen(cases_get(&cases, "robots_txt_base64")));
		CLEANUP(freep) char *url = cases_text(&cases, "url");
		assert_non_null(text);
		from_latin1(url);
		size_t len = from_base64(cases_get(&cases, "robots_txt_base64"), text);
		bool expected = strcmp(cases_get(&cases, "allowed"), "1") == 0;
		if (allowed(text, len, cases_get(&cases, "user_agent"), url) != expected)
			fail_msg("%s", cases_get(&cases, "id"));
	}
	assert_true(cases.rows > 0);
	cases_close(&cases);
}

/* What the table writes: ["a", "b"], a number of seconds or none, allow and disallow. */
static void meta_answer(const struct cases *cases, char *out, size_t size)
{
	const char *kind = cases_get(cases, "kind");
	CLEANUP(freep) char *input = cases_text(cases, "input");
	if (strcmp(kind, "status") == 0) {
		static const char *const words[] = { [ROBOTS_RULES] = "rules",
			[ROBOTS_ALLOW_ALL] = "allow",
			[ROBOTS_DISALLOW_RETRY] = "disallow",
			[ROBOTS_REDIRECT] = "rules-of-target" };
		int redirects = strncmp(input, "redirects:", 10) == 0 ? atoi(input + 10) : 0;
		/* N redirects: the N-th answer says so after N - 1 were followed. No number: no
		 * answer. */
		enum robots_access access = robots_from_status(
			redirects ? 301 : atoi(input), redirects ? redirects - 1 : 0);
		snprintf(out, size, "%s", words[access]);
		return;
	}
	CLEANUP(robots_freep) struct robots *robots = robots_parse(input, strlen(input));
	assert_non_null(robots);
	if (strcmp(kind, "crawl-delay") == 0) {
		int64_t ms = robots_crawl_delay_ms(robots, cases_get(cases, "user_agent"));
		if (ms < 0)
			snprintf(out, size, "none");
		else
			snprintf(out, size, "%g", (double)ms / 1000);
		return;
	}
	assert_string_equal(kind, "sitemaps");
	size_t len = (size_t)snprintf(out, size, "[");
	const char *url;
	for (size_t i = 0; (url = robots_sitemap(robots, i)); i++)
		len += (size_t)snprintf(out + len, size - len, "%s\"%s\"", i ? ", " : "", url);
	snprintf(out + len, size - len, "]");
}

static void sitemaps_delays_and_statuses_are_those_of_the_table(void **state)
{
	(void)state;
	struct cases cases;
	size_t wrong = 0;
	if (!cases_open(&cases, "robots/robots-meta.tsv"))
		skip();
	while (cases_next(&cases)) {
		char got[4096];
		const char *expected = cases_get(&cases, "expected");
		meta_answer(&cases, got, sizeof(got));
		/* 429: the table leaves the choice; ours is to wait. */
		if (strcmp(expected, "allow-or-disallow") == 0)
			expected = "disallow";
		if (strcmp(got, expected) == 0)
			continue;
		wrong++;
		printf("%s: %s: expected %s, got %s\n", cases_get(&cases, "id"),
			cases_get(&cases, "input"), expected, got);
	}
	printf("robots-meta: %zu rows, %zu wrong\n", cases.rows, wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decisions_are_those_of_the_table),
		cmocka_unit_test(bytes_that_are_not_utf8_are_compared_as_bytes),
		cmocka_unit_test(sitemaps_delays_and_statuses_are_those_of_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
