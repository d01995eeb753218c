/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "url/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct url *parsed(const char *text)
{
	struct url *url = NULL;
	struct err err = { 0 };
	if (url_parse(&url, text, URL_MAX_DEFAULT, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return url;
}

static void resolves(const char *base_text, const char *href, const char *expected)
{
	CLEANUP(url_freep) struct url *base = parsed(base_text), *url = NULL;
	struct err err = { 0 };
	if (url_resolve(&url, base, href, strlen(href), URL_MAX_DEFAULT, &err) < 0)
		fail_msg("%s: %s", href, err.text);
	assert_string_equal(url->text, expected);
	assert_int_equal(url->len, strlen(expected));
}

static void refused(const char *href, int code)
{
	CLEANUP(url_freep) struct url *base = parsed("http://example.org/a/b"), *url = NULL;
	struct err err = { 0 };
	int rc = url_resolve(&url, base, href, strlen(href), URL_MAX_DEFAULT, &err);
	if (rc != code)
		fail_msg("%s: %d %s", href, rc, url ? url->text : err.text);
	assert_null(url);
	assert_string_not_equal(err.text, "");
}

static void an_empty_or_fragment_only_reference_is_the_page_itself(void **state)
{
	(void)state;
	resolves("http://h/a/b?q#old", "", "http://h/a/b?q");
	resolves("http://h/a/b?q#old", " \t\n ", "http://h/a/b?q");
	resolves("http://h/a/b?q#old", "#top", "http://h/a/b?q#top");
	resolves("http://h/a/b?q", "#", "http://h/a/b?q#");
	resolves("http://h/a/b?q", "?", "http://h/a/b?");
	resolves("http://h/a/b?q", "?x=1", "http://h/a/b?x=1");
}

static void references_are_relative_to_the_folder(void **state)
{
	(void)state;
	resolves("https://h/a/b/c.html", "d.html", "https://h/a/b/d.html");
	resolves("https://h/a/b/c.html", "../d.html", "https://h/a/d.html");
	resolves("https://h/a/b/c.html", "../../../../d", "https://h/d");
	resolves("https://h/a/b/c.html", "./", "https://h/a/b/");
	resolves("https://h/a/b/c.html", "..", "https://h/a/");
	resolves("https://h/a/b/c.html", "/d", "https://h/d");
	resolves("https://h/a/b/c.html", "\\d\\e", "https://h/d/e");
	resolves("https://h/a/b/c.html", "//other/x", "https://other/x");
	resolves("https://h/a/b/c.html", "http://other", "http://other/");
	resolves("https://h/a/b/c.html", "a%2eb/%2E%2e/x", "https://h/a/b/x");
	resolves("https://h/a/b/c.html", "x\ty\r\nz", "https://h/a/b/xyz");
	resolves("https://u:p@h:8443/a", "b", "https://u:p@h:8443/b");
}

static void other_schemes_are_told_apart_and_not_copied(void **state)
{
	(void)state;
	refused("mailto:a@b.c", -EPROTONOSUPPORT);
	refused("javascript:void(0)", -EPROTONOSUPPORT);
	refused("ftp://h/", -EPROTONOSUPPORT);
	refused("file:///etc/passwd", -EPROTONOSUPPORT);
	refused(" java\nscript:x", -EPROTONOSUPPORT);
	refused("httpx://h/", -EPROTONOSUPPORT);
	size_t len = 1024 * 1024;
	char *data = malloc(len + 1);
	memset(data, 'x', len);
	memcpy(data, "data:", 5);
	data[len] = '\0';
	refused(data, -EPROTONOSUPPORT);
	free(data);
}

static void what_is_no_url_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "http://", "http:///", "http://:80/", "http://u@/",
		"http://h:x/", "http://h:65536/", "http://a b/", "http://a%20b/", "http://a%00b/",
		"http://[::1/", "http://[1:2:3:4:5:6:7:8:9]/", "http://[::1::]/",
		"http://1.2.3.4.5/", "http://256.1.1.1/", "http://0x1ffffffff/", "http://a<b/",
		"http://\xff\xfe/" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		refused(bad[i], -EINVAL);
	struct url *url = NULL;
	assert_int_equal(url_parse(&url, "relative", 100, NULL), -EINVAL);
	assert_int_equal(url_parse(&url, "", 100, NULL), -EINVAL);
}

static void lengths_are_bounded_before_and_after_encoding(void **state)
{
	(void)state;
	struct url *url = NULL;
	assert_int_equal(url_parse(&url, "http://h/12345", 14, NULL), 0);
	url_free(url);
	url = NULL;
	assert_int_equal(url_parse(&url, "http://h/12345", 13, NULL), -E2BIG);
	assert_int_equal(url_parse(&url, "http://h/ 2345", 14, NULL), -E2BIG); /* %20 */
	assert_int_equal(url_parse(&url, "http://h", 8, NULL), -E2BIG);	       /* its slash */
	assert_null(url);
}

static void hosts_have_one_form(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "http://EXAMPLE.com:80", "http://example.com/" },
		{ "https://b\xc3\xbc\x63her.example/", "https://xn--bcher-kva.example/" },
		{ "https://fa\xc3\x9f.de/", "https://xn--fa-hia.de/" }, /* non-transitional */
		{ "http://%65xample.com/", "http://example.com/" },
		{ "http://0x7f.1/", "http://127.0.0.1/" },
		{ "http://2130706433/", "http://127.0.0.1/" },
		{ "http://017700000001/", "http://127.0.0.1/" },
		{ "http://127.0.0.1./", "http://127.0.0.1/" },
		{ "http://[0:0:0:0:0:0:0:1]/", "http://[::1]/" },
		{ "http://[2001:DB8:0:0:1:0:0:1]/", "http://[2001:db8::1:0:0:1]/" },
		{ "http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/" },
		{ "http://[1:2:3:4:5:6:7::]/", "http://[1:2:3:4:5:6:7:0]/" },
		{ "http://example.com./", "http://example.com./" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CLEANUP(url_freep) struct url *url = parsed(rows[i][0]);
		assert_string_equal(url->text, rows[i][1]);
	}
}

static void part_is(const struct url *url, struct url_part part, const char *expected)
{
	assert_int_equal(part.len, strlen(expected));
	assert_memory_equal(url->text + part.at, expected, part.len);
}

static void parts_are_found(void **state)
{
	(void)state;
	char text[URL_ORIGIN_MAX];
	CLEANUP(url_freep) struct url *url = parsed("https://us er:p@ss@H.example:8443/p/a?q=1#f");
	assert_string_equal(url->text, "https://us%20er:p%40ss@h.example:8443/p/a?q=1#f");
	part_is(url, url->scheme, "https");
	part_is(url, url->user, "us%20er");
	part_is(url, url->password, "p%40ss");
	part_is(url, url->host, "h.example");
	part_is(url, url->path, "/p/a");
	part_is(url, url->query, "q=1");
	part_is(url, url->fragment, "f");
	assert_int_equal(url->port, 8443);
	assert_string_equal(url_origin(text, url), "https://h.example:8443");
	assert_string_equal(url_host_key(text, url), "h.example:8443");
	assert_int_equal(url_target(text, sizeof(text), url), 8);
	assert_string_equal(text, "/p/a?q=1");
	assert_int_equal(url_target(text, 5, url), 8);
	assert_string_equal(text, "/p/a");
	CLEANUP(url_freep) struct url *plain = parsed("http://h.example.");
	assert_string_equal(url_origin(text, plain), "http://h.example.");
	assert_string_equal(url_host_key(text, plain), "h.example:80");
	/* what is resolved against it has its own */
	CLEANUP(url_freep) struct url *next = NULL;
	assert_int_equal(url_resolve(&next, url, "b?z", 3, 100, NULL), 0);
	part_is(next, next->host, "h.example");
	part_is(next, next->path, "/p/b");
	part_is(next, next->query, "z");
	assert_false(next->has_fragment);
}

static void canonical(const char *text, unsigned flags, const char *expected)
{
	CLEANUP(freep) char *got = NULL;
	CLEANUP(freep) char *again = NULL;
	struct err err = { 0 };
	if (url_canonical(&got, text, flags, URL_MAX_DEFAULT, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(got, expected);
	assert_int_equal(url_canonical(&again, got, flags, URL_MAX_DEFAULT, &err), 0);
	assert_string_equal(again, expected); /* doing it twice changes nothing */
}

static void only_what_cannot_change_the_page_is_normalised(void **state)
{
	(void)state;
	canonical("HTTP://Example.COM:80/%7efoo/%2e%2E/b%c3%a9#x", 0, "http://example.com/b%C3%A9");
	canonical("http://h/a%2fb?x=%2f&y=%61", 0, "http://h/a%2Fb?x=%2F&y=a");
	canonical("http://h/A//b/", 0, "http://h/A//b/");
	canonical("http://h/a?", 0, "http://h/a?");
	canonical("http://h/|[]?{}[]|", 0, "http://h/%7C[]?%7B%7D[]%7C");
	canonical("http://h/%%30a%3%30%%7a%30", 0, "http://h/%%30a%3%30%z0");
	canonical("http://h/%zz%4", 0, "http://h/%zz%4");
	canonical("http://%55ser:%7e@h/", 0, "http://User:~@h/");
	canonical("http://h/?b=2&a=2&a=1&&c", URL_SORT_QUERY, "http://h/?&a=1&a=2&b=2&c");
	canonical("http://h/?b=2&a=1", 0, "http://h/?b=2&a=1");
	canonical("http://h/#%7e", URL_KEEP_FRAGMENT, "http://h/#~");
	canonical("http://A%20b.%63om/", 0, "http://a%20b.com/");
}

static void a_domain_holds_itself_and_what_is_below(void **state)
{
	(void)state;
	static const struct {
		const char *url, *domain;
		bool in;
	} rows[] = {
		{ "http://example.org/", "example.org", true },
		{ "http://docs.Example.org:81/", "example.org", true },
		{ "http://example.org./", "example.org", true },
		{ "http://badexample.org/", "example.org", false },
		{ "http://example.org.evil.com/", "example.org", false },
		{ "http://org/", "example.org", false },
		{ "http://10.1.2.3/", "2.3", false },
		{ "http://10.1.2.3/", "10.1.2.3", true },
		{ "http://h/", "", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CLEANUP(url_freep) struct url *url = parsed(rows[i].url);
		assert_int_equal(url_in_domain(url, rows[i].domain), rows[i].in);
	}
	char domain[URL_HOST_MAX];
	assert_int_equal(url_domain(domain, "B\xc3\xbc\x63her.Example.", NULL), 0);
	assert_string_equal(domain, "xn--bcher-kva.example");
	assert_int_equal(url_domain(domain, "http://x", NULL), -EINVAL);
	assert_int_equal(url_domain(domain, "x/y", NULL), -EINVAL);
	assert_int_equal(url_domain(domain, "x:80", NULL), -EINVAL);
	assert_int_equal(url_domain(domain, "", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_or_fragment_only_reference_is_the_page_itself),
		cmocka_unit_test(references_are_relative_to_the_folder),
		cmocka_unit_test(other_schemes_are_told_apart_and_not_copied),
		cmocka_unit_test(what_is_no_url_is_refused),
		cmocka_unit_test(lengths_are_bounded_before_and_after_encoding),
		cmocka_unit_test(hosts_have_one_form),
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(only_what_cannot_change_the_page_is_normalised),
		cmocka_unit_test(a_domain_holds_itself_and_what_is_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
