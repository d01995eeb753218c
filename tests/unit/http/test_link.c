/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "cases/cases.h"
#include "http/link.h"
#include <stdlib.h>
#include <string.h>

/* "-": there is none */
static const char *found(const char *field, const char *rel)
{
	static char text[1024];
	const char *uri;
	size_t len;
	if (!http_link_find(field, rel, &uri, &len))
		return "-";
	assert_true(len < sizeof(text));
	memcpy(text, uri, len);
	text[len] = '\0';
	return text;
}

static void the_link_of_a_relation_is_found_among_others(void **state)
{
	(void)state;
	const char *field =
		"</a?x=1,2;3>; rel=prev, , <b>;title=\"x, <y>; rel=next\" ; rel=\"last\t"
		"NEXT\",<c>; rel=next";
	assert_string_equal(found(field, "next"), "b");
	assert_string_equal(found(field, "prev"), "/a?x=1,2;3");
	assert_string_equal(found(field, "first"), "-");
	assert_string_equal(found("<>;rel=next", "next"), "");
	assert_string_equal(found("<a>; rel=nextpage", "next"), "-");
	assert_string_equal(found("<a>; rel=prev; rel=next", "next"), "-");
	assert_string_equal(found("<a>; rel=next; anchor=\"#x\", <b>; rel=next", "next"), "b");
}

static void a_mistake_ends_the_field(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "a; rel=next", "<a; rel=next", "<a>; rel=\"next",
		"<a> rel=next", "<a>; rel=\"next\" x", "<a>;rel=\"next\\\"" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_string_equal(found(bad[i], "next"), "-");
	assert_string_equal(found("<a>; rel=next, oops", "next"), "a");
}

static void links_agree_with_other_readers(void **state)
{
	(void)state;
	struct cases cases;
	if (!cases_open(&cases, "http/link-header.tsv"))
		skip();
	while (cases_next(&cases)) {
		char *value = cases_text(&cases, "value");
		assert_string_equal(found(value, "next"), cases_get(&cases, "next"));
		free(value);
	}
	assert_true(cases.rows >= 30);
	cases_close(&cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_link_of_a_relation_is_found_among_others),
		cmocka_unit_test(a_mistake_ends_the_field),
		cmocka_unit_test(links_agree_with_other_readers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
