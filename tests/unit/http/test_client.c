/* SPDX-License-Identifier: MIT */
/* The real client on the real loop against a server on loopback. */
#include "unit.h"

#include "base/clock.h"
#include "base/err.h"
#include "http/http.h"
#include "http/server.h"
#include "loop/loop.h"
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * libcurl's resolver threads end up here. Names of ".test" are known to nobody else: slow.test
 * takes 1.5 s, fast.test is loopback, none.test does not exist.
 */
static atomic_int resolving, most_resolving, resolved;

static int answer_loopback(
	const char *service, const struct addrinfo *hints, struct addrinfo **out);

int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	int now = atomic_fetch_add(&resolving, 1) + 1;
	if (now > atomic_load(&most_resolving))
		atomic_store(&most_resolving, now);
	if (strcmp(node, "slow.test") == 0)
		nanosleep(&(struct timespec) { 1, 500000000 }, NULL);
	else
		nanosleep(&(struct timespec) { 0, 30000000 }, NULL);
	atomic_fetch_sub(&resolving, 1);
	atomic_fetch_add(&resolved, 1);
	if (strcmp(node, "fast.test") != 0)
		return EAI_NONAME;
	return answer_loopback(service, hints, out);
}

static int answer_loopback(const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(struct sockaddr_in));
	struct sockaddr_in *at = (void *)(ai + 1);
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at->sin_port = htons((uint16_t)(service ? atoi(service) : 0));
	ai->ai_family = AF_INET;
	ai->ai_socktype = hints && hints->ai_socktype ? hints->ai_socktype : SOCK_STREAM;
	ai->ai_addrlen = sizeof(*at);
	ai->ai_addr = (void *)at;
	*out = ai;
	return 0;
}

void freeaddrinfo(struct addrinfo *ai)
{
	free(ai);
}

static struct loop *loop;
static struct http_client *client;
static struct server *server;

struct call {
	enum http_outcome outcome;
	long status;
	int64_t bytes, retry_after_ms, duration_us, sendings;
	char location[128], content_type[64], error[512], body[20000];
	size_t body_len;
	int done, resends;
	bool allow_resend, stop_at_body, cancel_at_body;
	struct http_transfer *transfer;
};
static int open_calls;

static bool on_body(void *arg, const char *data, size_t len)
{
	struct call *call = arg;
	if (call->body_len + len < sizeof(call->body)) {
		memcpy(call->body + call->body_len, data, len);
		call->body_len += len;
	}
	if (call->cancel_at_body) {
		http_cancel(call->transfer);
		open_calls--;
		loop_defer(loop, (void (*)(void *))loop_stop, loop);
	}
	return !call->stop_at_body;
}

static bool on_resend(void *arg)
{
	struct call *call = arg;
	call->resends++;
	return call->allow_resend;
}

static void on_done(void *arg, const struct http_result *r)
{
	struct call *call = arg;
	call->done++;
	call->outcome = r->outcome;
	call->status = r->status;
	call->bytes = r->body_bytes;
	call->retry_after_ms = r->retry_after_ms;
	call->duration_us = r->duration_us;
	call->sendings = r->sendings;
	snprintf(call->location, sizeof(call->location), "%s", r->location);
	snprintf(call->content_type, sizeof(call->content_type), "%s", r->content_type);
	snprintf(call->error, sizeof(call->error), "%s", r->error);
	const char *by_name = http_header(r, "location", 0);
	assert_string_equal(by_name ? by_name : "", r->location);
	assert_null(http_header(r, "Location", 1));
	if (--open_calls == 0)
		loop_stop(loop);
}

static const struct http_ops ops = { .body = on_body, .resend = on_resend, .done = on_done };

static struct http_request request(const char *url)
{
	return (struct http_request) {
		.method = "GET",
		.url = url,
		.connect_ms = 3000,
		.idle_ms = 30000,
		.total_ms = 60000,
		.max_body = 50 * 1024 * 1024,
		.allow_private = true,
	};
}

static const char *at(const char *path)
{
	static char url[4][256];
	static int next;
	char *to = url[next++ % 4];
	snprintf(to, sizeof(url[0]), "http://127.0.0.1:%d%s", server_port(server), path);
	return to;
}

static void start(struct call *call, const struct http_request *r)
{
	struct err err;
	int rc = http_send(&call->transfer, client, r, &ops, call, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	open_calls++;
	assert_int_equal(call->done, 0); /* never from within */
}

static void run(struct call *call, const struct http_request *r)
{
	start(call, r);
	loop_run(loop);
	assert_int_equal(call->done, 1);
}

static void get(struct call *call, const char *path)
{
	const struct http_request r = request(at(path));
	memset(call, 0, sizeof(*call));
	run(call, &r);
}

static int set_up(void **state)
{
	(void)state;
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	server = server_start();
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(http_client_new(&client, loop, "drover-test", &err), 0);
	open_calls = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(http_client_active(client), 0);
	http_client_free(client);
	loop_free(loop);
	server_stop(server);
	return 0;
}

static struct call call;

static void an_answer_is_given_whole(void **state)
{
	(void)state;
	get(&call, "/ok");
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.status, 200);
	assert_string_equal(call.body, "hello");
	assert_string_equal(call.content_type, "text/plain");
	assert_string_equal(call.error, "");
	assert_int_equal(call.bytes, 5);
	assert_int_equal(call.sendings, 1);
	assert_int_equal(call.retry_after_ms, -1);
	get(&call, "/status/404");
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.status, 404);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
	(void)state;
	struct call *calls = calloc(50, sizeof(*calls));
	for (int i = 0; i < 50; i++) {
		const struct http_request r = request(at("/ok"));
		run(&calls[i], &r);
		assert_int_equal(calls[i].status, 200);
	}
	free(calls);
	assert_int_equal(server_count(server), 50);
	assert_int_equal(server_most_active(server), 1);
}

static void many_requests_go_at_once(void **state)
{
	(void)state;
	struct call *calls = calloc(40, sizeof(*calls));
	int64_t from = clock_mono_ms();
	for (int i = 0; i < 40; i++) {
		const struct http_request r = request(at("/slow/200"));
		start(&calls[i], &r);
	}
	assert_int_equal(http_client_active(client), 40);
	loop_run(loop);
	for (int i = 0; i < 40; i++)
		assert_int_equal(calls[i].status, 200);
	free(calls);
	assert_in_range(clock_mono_ms() - from, 200, 2500);
	assert_in_range(server_most_active(server), 20, 40);
}

static void redirects_are_told_and_not_followed(void **state)
{
	(void)state;
	get(&call, "/redirect");
	assert_int_equal(call.status, 302);
	assert_string_equal(call.location, "/ok");
	assert_int_equal(server_count(server), 1);
}

static void headers_are_sent_and_no_other_can_be_smuggled_in(void **state)
{
	(void)state;
	struct config_pair pairs[] = { { "Accept", "application/json" }, { "X-Empty", "" } };
	struct http_request r = request(at("/echo?a=%20b"));
	r.headers = (struct config_pairs) { pairs, 2 };
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_non_null(strstr(call.body, "GET /echo?a=%20b HTTP/1.1\r\n"));
	assert_non_null(strstr(call.body, "Accept: application/json\r\n"));
	assert_non_null(strstr(call.body, "X-Empty:"));
	assert_non_null(strstr(call.body, "User-Agent: drover-test\r\n"));
	assert_non_null(strstr(call.body, "gzip"));
	struct err err;
	pairs[0].value = "x\r\nX-Evil: 1";
	assert_int_equal(http_send(&call.transfer, client, &r, &ops, &call, &err), -EINVAL);
	pairs[0].value = "x";
	pairs[0].name = "A: b";
	assert_int_equal(http_send(&call.transfer, client, &r, &ops, &call, &err), -EINVAL);
}

static void what_is_no_http_url_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "ftp://127.0.0.1/", "file:///etc/passwd",
		"/relative", "http://", "http://a b/", "gopher://127.0.0.1/",
		"http://127.0.0.1:99999/" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err;
		const struct http_request r = request(bad[i]);
		int rc = http_send(&call.transfer, client, &r, &ops, &call, &err);
		if (rc != -EINVAL)
			print_error("%s: %d\n", bad[i], rc);
		assert_int_equal(rc, -EINVAL);
		assert_true(err.text[0]);
	}
	struct err err;
	struct http_request r = request(at("/ok"));
	r.method = "TRACE";
	assert_int_equal(http_send(&call.transfer, client, &r, &ops, &call, &err), -EINVAL);
}

static void retry_after_is_read(void **state)
{
	(void)state;
	server_set_retry_after(server, "7");
	get(&call, "/status/429");
	assert_int_equal(call.status, 429);
	assert_int_equal(call.retry_after_ms, 7000);
	server_set_retry_after(server, "soon");
	get(&call, "/status/503");
	assert_int_equal(call.retry_after_ms, -1);
}

static void an_answer_over_its_bound_is_cut_off(void **state)
{
	(void)state;
	static const char *const paths[] = { "/large/3000000", "/declared/3000000",
		"/packed/3000000" };
	for (size_t i = 0; i < 3; i++) {
		struct http_request r = request(at(paths[i]));
		r.max_body = 1000000;
		memset(&call, 0, sizeof(call));
		run(&call, &r);
		assert_int_equal(call.outcome, HTTP_TOO_LARGE);
		assert_in_range(call.bytes, 1000000, 1100000);
	}
	get(&call, "/large/3000000");
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.bytes, 3000000);
	get(&call, "/packed/1000000"); /* small enough to be packed as tightly as one likes */
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.bytes, 1000000);
}

static void an_answer_packed_too_tightly_is_cut_off(void **state)
{
	(void)state;
	get(&call, "/packed/45000000");
	assert_int_equal(call.outcome, HTTP_TOO_LARGE);
	assert_non_null(strstr(call.error, "packed"));
	assert_in_range(call.bytes, 1, 8000000);
	struct http_request r = request(at("/packed/45000000"));
	r.ratio_max = 2000;
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.bytes, 45000000);
}

static void header_lines_without_end_are_cut_off(void **state)
{
	(void)state;
	get(&call, "/headers");
	assert_int_equal(call.outcome, HTTP_TOO_LARGE);
	assert_non_null(strstr(call.error, "headers"));
}

static void silence_ends_by_the_idle_time_and_drops_by_the_total(void **state)
{
	(void)state;
	struct http_request r = request(at("/silent"));
	r.idle_ms = 150;
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_TIMEOUT);
	assert_in_range(call.duration_us, 140000, 1500000);
	r.url = at("/drip/60"); /* never silent for 150 ms, over after 600 ms */
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.bytes, 10);
	r.total_ms = 300;
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_TIMEOUT);
	assert_in_range(call.bytes, 1, 9);
}

static void errors_have_their_outcome_and_words(void **state)
{
	(void)state;
	get(&call, "/drop");
	assert_int_equal(call.outcome, HTTP_BROKEN);
	assert_int_equal(call.status, 0);
	assert_true(call.error[0]);
	get(&call, "/garbage");
	assert_int_equal(call.outcome, HTTP_BROKEN);
	const struct http_request nobody = request("http://127.0.0.1:1/");
	memset(&call, 0, sizeof(call));
	run(&call, &nobody);
	assert_int_equal(call.outcome, HTTP_CONNECT);
	assert_int_equal(call.sendings, 0);
	const struct http_request unknown = request("http://none.test/");
	memset(&call, 0, sizeof(call));
	run(&call, &unknown);
	assert_int_equal(call.outcome, HTTP_CONNECT);
}

static void libcurls_second_sending_needs_leave(void **state)
{
	(void)state;
	get(&call, "/drop-kept"); /* a kept connection that will die */
	assert_int_equal(call.status, 200);
	get(&call, "/drop-kept");
	assert_int_equal(call.outcome, HTTP_RESENT);
	assert_int_equal(call.resends, 1);
	assert_int_equal(call.sendings, 1);
	assert_int_equal(server_count(server), 2);
	get(&call, "/drop-kept");
	const struct http_request r = request(at("/drop-kept"));
	memset(&call, 0, sizeof(call));
	call.allow_resend = true;
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(call.resends, 1);
	assert_int_equal(call.sendings, 2);
	assert_int_equal(server_count(server), 5);
}

static void private_addresses_are_refused_unless_allowed(void **state)
{
	(void)state;
	char url[128], mapped[128];
	snprintf(url, sizeof(url), "http://fast.test:%d/ok", server_port(server));
	snprintf(mapped, sizeof(mapped), "http://[::ffff:127.0.0.1]:%d/ok", server_port(server));
	const char *const urls[] = { at("/ok"), url, mapped };
	for (size_t i = 0; i < 3; i++) {
		struct http_request r = request(urls[i]);
		r.allow_private = false;
		memset(&call, 0, sizeof(call));
		run(&call, &r);
		assert_int_equal(call.outcome, HTTP_PRIVATE);
	}
	assert_int_equal(server_count(server), 0);
	/* Nor over a connection that somebody else was allowed to open. */
	get(&call, "/ok");
	struct http_request r = request(at("/ok"));
	r.allow_private = false;
	memset(&call, 0, sizeof(call));
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_PRIVATE);
	assert_int_equal(server_count(server), 1);
}

static void a_name_is_resolved_once_for_all_that_wait(void **state)
{
	(void)state;
	struct call *calls = calloc(30, sizeof(*calls));
	char url[128];
	atomic_store(&most_resolving, 0);
	atomic_store(&resolved, 0);
	snprintf(url, sizeof(url), "http://fast.test:%d/slow/50", server_port(server));
	for (int i = 0; i < 30; i++) {
		const struct http_request r = request(url);
		start(&calls[i], &r);
	}
	loop_run(loop);
	for (int i = 0; i < 30; i++)
		assert_int_equal(calls[i].status, 200);
	assert_int_equal(atomic_load(&most_resolving), 1);
	assert_int_equal(atomic_load(&resolved), 1);
	/* The first to fail fails for all. */
	for (int i = 0; i < 30; i++) {
		const struct http_request r = request("http://none.test/");
		memset(&calls[i], 0, sizeof(calls[i]));
		start(&calls[i], &r);
	}
	loop_run(loop);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(calls[i].outcome, HTTP_CONNECT);
		assert_true(calls[i].error[0]);
	}
	assert_int_equal(atomic_load(&resolved), 2);
	free(calls);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void cancelling_never_waits_for_the_resolver(void **state)
{
	(void)state;
	struct call *calls = calloc(3, sizeof(*calls));
	for (int i = 0; i < 3; i++) {
		const struct http_request r = request("http://slow.test/");
		start(&calls[i], &r);
	}
	struct loop_timer *timer = loop_timer_new(loop, stop_loop, loop);
	loop_timer_start(timer, 100);
	loop_run(loop);
	int64_t from = clock_mono_ms();
	for (int i = 0; i < 3; i++)
		http_cancel(calls[i].transfer);
	assert_in_range(clock_mono_ms() - from, 0, 200);
	open_calls = 0;
	/* By its own timeout neither. */
	memset(calls, 0, 3 * sizeof(*calls));
	struct http_request r = request("http://slow.test/");
	r.connect_ms = 200;
	from = clock_mono_ms();
	run(&calls[0], &r);
	assert_in_range(clock_mono_ms() - from, 150, 1000);
	assert_int_equal(calls[0].outcome, HTTP_TIMEOUT);
	loop_timer_free(timer);
	free(calls);
	while (atomic_load(&resolving) > 0) /* the threads that were let go */
		nanosleep(&(struct timespec) { 0, 10000000 }, NULL);
}

static void a_body_can_be_stopped_or_cancelled_while_it_comes(void **state)
{
	(void)state;
	struct http_request r = request(at("/large/1000000"));
	memset(&call, 0, sizeof(call));
	call.stop_at_body = true;
	run(&call, &r);
	assert_int_equal(call.outcome, HTTP_CANCELLED);
	memset(&call, 0, sizeof(call));
	call.cancel_at_body = true;
	start(&call, &r);
	loop_run(loop);
	struct loop_timer *timer = loop_timer_new(loop, stop_loop, loop);
	loop_timer_start(timer, 50);
	loop_run(loop);
	loop_timer_free(timer);
	assert_int_equal(call.done, 0);
	assert_int_equal(http_client_active(client), 0);
}

static void a_cancelled_transfer_says_nothing_more(void **state)
{
	(void)state;
	const struct http_request r = request(at("/slow/50"));
	struct call kept = { 0 };
	memset(&call, 0, sizeof(call));
	start(&call, &r);
	start(&kept, &r);
	http_cancel(call.transfer);
	open_calls--;
	loop_run(loop);
	assert_int_equal(kept.done, 1);
	assert_int_equal(call.done, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_given_whole),
		TEST(a_connection_is_kept_for_the_next_request),
		TEST(many_requests_go_at_once),
		TEST(redirects_are_told_and_not_followed),
		TEST(headers_are_sent_and_no_other_can_be_smuggled_in),
		TEST(what_is_no_http_url_is_refused),
		TEST(retry_after_is_read),
		TEST(an_answer_over_its_bound_is_cut_off),
		TEST(an_answer_packed_too_tightly_is_cut_off),
		TEST(header_lines_without_end_are_cut_off),
		TEST(silence_ends_by_the_idle_time_and_drops_by_the_total),
		TEST(errors_have_their_outcome_and_words),
		TEST(libcurls_second_sending_needs_leave),
		TEST(private_addresses_are_refused_unless_allowed),
		TEST(a_name_is_resolved_once_for_all_that_wait),
		TEST(cancelling_never_waits_for_the_resolver),
		TEST(a_body_can_be_stopped_or_cancelled_while_it_comes),
		TEST(a_cancelled_transfer_says_nothing_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
