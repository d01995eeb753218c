/* SPDX-License-Identifier: MIT */
/* Other projects' facts about URLs, read from ../shared/cases (SKIPPED where that is absent). No
 * row is excepted. */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "cases/cases.h"
#include "url/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The JSON decoder ends a text at a NUL, so a row with one is given with its length. */
static size_t href_length(const struct cases *cases, const char *href)
{
	const char *raw = cases_get(cases, "href"), *nul = strstr(raw, "\\u0000");
	return nul ? strlen(href) + 1 + strlen(href + strlen(href) + 1) : strlen(href);
}

/* @return the resolved text or FAIL; caller frees */
static char *resolved(const char *base_text, const char *href, size_t len)
{
	CLEANUP(url_freep) struct url *base = NULL, *url = NULL;
	struct err err = { 0 };
	if (*base_text)
		assert_int_equal(url_parse(&base, base_text, 8192, &err), 0);
	int rc = url_resolve(&url, base, href, len, 8192, &err);
	if (rc == 0)
		return strdup(url->text);
	assert_int_equal(rc, -EINVAL);
	assert_string_not_equal(err.text, "");
	return strdup("FAIL");
}

static void references_resolve_as_in_browsers(void **state)
{
	(void)state;
	struct cases cases;
	size_t wrong = 0;
	if (!cases_open(&cases, "url/url-resolve.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(freep)
		char *base = cases_text(&cases, "base"), *href = cases_text(&cases, "href");
		CLEANUP(freep) char *expected = cases_text(&cases, "expected");
		CLEANUP(freep) char *got = resolved(base, href, href_length(&cases, href));
		if (strcmp(got, expected) == 0)
			continue;
		wrong++;
		printf("%s: %s from %s: expected %s, got %s\n", cases_get(&cases, "id"),
			cases_get(&cases, "href"), base, expected, got);
	}
	printf("url-resolve: %zu rows, %zu wrong\n", cases.rows, wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

static void canonical_forms_are_those_of_the_table(void **state)
{
	(void)state;
	struct cases cases;
	size_t wrong = 0;
	if (!cases_open(&cases, "url/url-canonical.tsv"))
		skip();
	while (cases_next(&cases)) {
		CLEANUP(freep) char *text = cases_text(&cases, "url"), *got = NULL;
		CLEANUP(freep) char *expected = cases_text(&cases, "canonical");
		const char *class = cases_get(&cases, "class");
		struct err err = { 0 };
		unsigned flags = (strstr(class, "query-sort") ? URL_SORT_QUERY : 0) |
				 (strstr(class, "keep-fragment") ? URL_KEEP_FRAGMENT : 0);
		int rc = url_canonical(&got, text, flags, 8192, &err);
		if (rc == 0 && strcmp(got, expected) == 0)
			continue;
		wrong++;
		printf("%s (%s): %s: expected %s, got %s\n", cases_get(&cases, "id"), class,
			cases_get(&cases, "url"), expected, rc == 0 ? got : err.text);
	}
	printf("url-canonical: %zu rows, %zu wrong\n", cases.rows, wrong);
	assert_true(cases.rows > 0);
	cases_close(&cases);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_resolve_as_in_browsers),
		cmocka_unit_test(canonical_forms_are_those_of_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
