/* SPDX-License-Identifier: MIT */
/* The real client through a proxy on loopback. Names of ".test" are known to nobody here. */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "config/config.h"
#include "http/http.h"
#include "http/server.h"
#include "loop/loop.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop *loop;
static struct http_client *client;
static struct server *server;
static struct config_proxy proxy;
static char proxy_url[64], head[2048];

struct call {
	enum http_outcome outcome;
	long status;
	int64_t sendings;
	char error[512], body[4096];
	size_t body_len;
};

static bool on_body(void *arg, const char *data, size_t len)
{
	struct call *call = arg;
	if (call->body_len + len < sizeof(call->body)) {
		memcpy(call->body + call->body_len, data, len);
		call->body_len += len;
	}
	return true;
}

static void on_done(void *arg, const struct http_result *r)
{
	struct call *call = arg;
	call->outcome = r->outcome;
	call->status = r->status;
	call->sendings = r->sendings;
	snprintf(call->error, sizeof(call->error), "%s", r->error);
	loop_stop(loop);
}

static void set_proxy(const char *scheme)
{
	snprintf(proxy_url, sizeof(proxy_url), "%s://127.0.0.1:%d", scheme, server_port(server));
	proxy = (struct config_proxy) { .url = proxy_url };
}

static int set_up(void **state)
{
	(void)state;
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	server = server_start();
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(http_client_new(&client, loop, "drover-test", &err), 0);
	set_proxy("http");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	http_client_free(client);
	loop_free(loop);
	server_stop(server);
	return 0;
}

static struct http_request request(const char *url)
{
	return (struct http_request) {
		.method = "GET",
		.url = url,
		.profile = { .proxy = &proxy },
		.connect_ms = 3000,
		.idle_ms = 3000,
		.total_ms = 6000,
		.max_body = 1 << 20,
	};
}

static struct call ask(const struct http_request *r)
{
	static const struct http_ops ops = { .body = on_body, .done = on_done };
	struct call call = { 0 };
	struct http_transfer *transfer;
	struct err err;
	assert_int_equal(http_send(&transfer, client, r, &ops, &call, &err), 0);
	loop_run(loop);
	server_last_head(server, head, sizeof(head));
	return call;
}

static struct call get(const char *url)
{
	const struct http_request r = request(url);
	return ask(&r);
}

static void plain_http_is_given_to_the_proxy_whole_with_its_credentials(void **state)
{
	(void)state;
	proxy.user = "u";
	proxy.password = "p w";
	struct call call = get("http://nobody.test/echo?a=1");
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.status, 200);
	assert_non_null(strstr(call.body, "GET http://nobody.test/echo?a=1 HTTP/1.1\r\n"));
	assert_non_null(strstr(call.body, "Host: nobody.test\r\n"));
	assert_non_null(strstr(call.body, "Proxy-Authorization: Basic dTpwIHc=\r\n"));
}

static void a_tunnel_is_asked_for_without_what_is_meant_for_the_server(void **state)
{
	(void)state;
	struct config_pair pairs[] = { { "Authorization", "Bearer s3cret" },
		{ "X-Own", "s3cret" } };
	struct http_request r = request("https://refuse-502.test/s3cret?s3cret=1");
	r.headers = (struct config_pairs) { pairs, 2 };
	proxy.user = "u";
	proxy.password = "p";
	(void)ask(&r);
	assert_non_null(strstr(head, "CONNECT refuse-502.test:443 HTTP/1.1\r\n"));
	assert_non_null(strstr(head, "Proxy-Authorization: Basic dTpw\r\n"));
	assert_null(strstr(head, "s3cret"));
}

static void socks_gets_the_name_and_looks_it_up_itself(void **state)
{
	(void)state;
	set_proxy("socks5h");
	proxy.user = "u";
	proxy.password = "p";
	struct call call = get("http://nobody.test:8080/echo");
	assert_int_equal(call.status, 200);
	assert_non_null(strstr(call.body, "GET /echo HTTP/1.1\r\n"));
	assert_null(strstr(call.body, "Proxy"));
	assert_string_equal(head, "SOCKS u:p@nobody.test:8080");
}

static void what_needs_no_proxy_is_asked_directly(void **state)
{
	(void)state;
	static const char *direct[] = { "Example.org.", "127.0.0.1" };
	static const struct {
		const char *url;
		bool proxied;
	} cases[] = {
		{ "http://example.org/", false },
		{ "https://a.b.EXAMPLE.org:8443/", false },
		{ "http://badexample.org/", true },
		{ "http://example.org.evil.test/", true },
		{ "http://127.1/", false },
		{ "http://127.0.0.2/", true },
	};
	char url[64];
	proxy.no_proxy = (struct config_strings) { direct, 2 };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(http_proxied(&proxy, cases[i].url), cases[i].proxied);
	assert_false(http_proxied(NULL, "http://example.org/"));
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", server_port(server));
	struct http_request r = request(url);
	r.allow_private = true;
	assert_non_null(strstr(ask(&r).body, "GET /echo HTTP/1.1\r\n"));
	/* Who is asked directly is judged as ever. */
	r.allow_private = false;
	assert_int_equal(ask(&r).outcome, HTTP_PRIVATE);
}

static void the_environment_decides_nothing(void **state)
{
	(void)state;
	static const char *const names[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
	char url[64];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		setenv(names[i], "http://127.0.0.1:1", 1);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", server_port(server));
	struct http_request r = request(url);
	r.allow_private = true;
	r.profile.proxy = NULL;
	assert_int_equal(ask(&r).status, 200);
	assert_non_null(strstr(head, "GET /echo HTTP/1.1\r\n"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	setenv("no_proxy", "*", 1);
	setenv("NO_PROXY", "*", 1);
	assert_int_equal(get("http://nobody.test/ok").status, 200);
	unsetenv("no_proxy");
	unsetenv("NO_PROXY");
}

static void private_numbers_are_refused_before_the_proxy_hears_of_them(void **state)
{
	(void)state;
	static const char *const urls[] = { "http://127.0.0.1/", "http://2130706433/",
		"http://0x7f.1/", "http://0177.0.0.1/", "https://127.1/", "http://[::1]/",
		"http://[::ffff:127.0.0.1]/", "http://10.1.2.3/", "https://169.254.169.254/",
		"http://localhost/", "http://a.localhost/" };
	static const char *const schemes[] = { "http", "socks5h" };
	for (size_t s = 0; s < ARRAY_SIZE(schemes); s++) {
		set_proxy(schemes[s]);
		for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
			assert_int_equal(get(urls[i]).outcome, HTTP_PRIVATE);
	}
	assert_int_equal(server_count(server), 0);
	set_proxy("http");
	struct http_request r = request("http://127.0.0.1:9/echo");
	r.allow_private = true;
	assert_int_equal(ask(&r).status, 200);
}

static void a_failure_says_whose_it_is(void **state)
{
	(void)state;
	static const struct {
		const char *scheme, *password, *url;
		enum http_outcome outcome;
		const char *words;
	} cases[] = {
		{ "http", "p", "http://nobody.test/status/407", HTTP_PROXY, "other credentials" },
		{ "http", "p", "https://refuse-407.test/", HTTP_PROXY, "other credentials" },
		{ "http", "p", "https://refuse-403.test/", HTTP_PROXY, "HTTP 403" },
		{ "http", "p", "https://refuse-502.test/", HTTP_CONNECT, "HTTP 502" },
		{ "http", "p", "http://nobody.test/status/502", HTTP_OK, "" },
		{ "socks5h", "wrong", "http://nobody.test/ok", HTTP_PROXY, "" },
		{ "socks5h", "p", "http://closed.test/ok", HTTP_CONNECT, "" },
		{ "socks5h", "p", "http://forbidden.test/ok", HTTP_PROXY, "" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set_proxy(cases[i].scheme);
		proxy.user = "u";
		proxy.password = cases[i].password;
		struct call call = get(cases[i].url);
		if (call.outcome != cases[i].outcome || !strstr(call.error, cases[i].words))
			print_error("%s %s: %s, %s\n", cases[i].scheme, cases[i].url,
				http_outcome_name(call.outcome), call.error);
		assert_int_equal(call.outcome, cases[i].outcome);
		assert_non_null(strstr(call.error, cases[i].words));
		assert_int_equal(call.status, call.outcome == HTTP_OK ? 502 : 0);
		if (strncmp(cases[i].url, "https:", 6) == 0 || cases[i].scheme[0] == 's')
			assert_int_equal(call.sendings, 0);
	}
}

static void a_proxy_that_is_not_there_is_no_connection(void **state)
{
	(void)state;
	static const char *const urls[] = { "http://127.0.0.1:1", "https://127.0.0.1:1",
		"socks5h://127.0.0.1:1", "http://unknown.invalid:3128" };
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		proxy.url = urls[i];
		struct call call = get("http://nobody.test/");
		assert_int_equal(call.outcome, HTTP_CONNECT);
		assert_int_equal(call.sendings, 0);
		assert_true(call.error[0]);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(plain_http_is_given_to_the_proxy_whole_with_its_credentials),
		TEST(a_tunnel_is_asked_for_without_what_is_meant_for_the_server),
		TEST(socks_gets_the_name_and_looks_it_up_itself),
		TEST(what_needs_no_proxy_is_asked_directly),
		TEST(the_environment_decides_nothing),
		TEST(private_numbers_are_refused_before_the_proxy_hears_of_them),
		TEST(a_failure_says_whose_it_is),
		TEST(a_proxy_that_is_not_there_is_no_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
