/* SPDX-License-Identifier: MIT */
/* Limits and retries, judged by what arrives at the server. */
#include "unit.h"

#include "base/clock.h"
#include "base/err.h"
#include "http/fetch.h"
#include "http/server.h"
#include "log/log.h"
#include "loop/loop.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop *loop;
static struct http_client *client;
static struct limits *limits;
static struct fetcher *fetcher;
static struct server *server;
static struct loop_timer *stopper;
static char dir[64], path[96];

struct call {
	struct fetch *fetch;
	enum fetch_outcome outcome;
	enum http_outcome http;
	long status;
	int64_t wait_ms, requests;
	char body[256], error[256];
	size_t body_len;
	int done, restarts;
	bool answered, renewed, unsure;
};
static int open_calls;

static bool on_body(void *arg, const char *data, size_t len)
{
	struct call *call = arg;
	assert_int_not_equal(fetch_status(call->fetch), 0);
	if (call->body_len + len < sizeof(call->body)) {
		memcpy(call->body + call->body_len, data, len);
		call->body_len += len;
	}
	return true;
}

static void on_restart(void *arg)
{
	struct call *call = arg;
	call->restarts++;
	call->body_len = 0;
	memset(call->body, 0, sizeof(call->body));
}

static void on_done(void *arg, const struct fetch_result *r)
{
	struct call *call = arg;
	call->done++;
	call->fetch = NULL;
	call->outcome = r->outcome;
	call->wait_ms = r->wait_ms;
	call->requests = r->requests;
	call->renewed = r->renewed;
	call->unsure = r->unsure;
	if (r->http) {
		call->answered = true;
		call->http = r->http->outcome;
		call->status = r->http->status;
		snprintf(call->error, sizeof(call->error), "%s", r->http->error);
	}
	if (--open_calls == 0)
		loop_stop(loop);
}

static const struct fetch_ops ops = { .body = on_body, .restart = on_restart, .done = on_done };

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static int set_up(void **state)
{
	(void)state;
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	snprintf(dir, sizeof(dir), "/tmp/drover-fetch-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/limits", dir);
	server = server_start();
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(limits_open(&limits, path, &err), 0);
	assert_int_equal(http_client_new(&client, loop, "drover-test", &err), 0);
	assert_int_equal(fetcher_new(&fetcher, loop, client, limits), 0);
	stopper = loop_timer_new(loop, stop_loop, loop);
	open_calls = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fetcher_free(fetcher);
	http_client_free(client);
	limits_close(limits);
	loop_timer_free(stopper);
	loop_free(loop);
	server_stop(server);
	unlink(path);
	rmdir(dir);
	return 0;
}

static struct config_retry_when on_trouble(void)
{
	struct config_retry_when when = { .timeout = true, .connect = true };
	for (int status = 500; status < 600; status++)
		when.status[(status - 100) / 8] |= (uint8_t)(1 << (status - 100) % 8);
	when.status[(429 - 100) / 8] |= 1 << (429 - 100) % 8;
	return when;
}

static struct config_retry_when trouble;

static struct fetch_spec spec(
	char *url, size_t size, const char *what, const struct limit_spec *limit)
{
	trouble = on_trouble();
	snprintf(url, size, "http://127.0.0.1:%d%s", server_port(server), what);
	return (struct fetch_spec) {
		.request = { .method = "GET",
			.url = url,
			.connect_ms = 2000,
			.idle_ms = 2000,
			.total_ms = 30000,
			.max_body = 1000000,
			.allow_private = true },
		.limits = limit,
		.limit_count = limit ? 1 : 0,
		.retry = { .attempts = 3,
			.when = &trouble,
			.backoff_initial_ms = 20,
			.backoff_factor = 2,
			.backoff_max_ms = 100 },
		.max_wait_ms = 60000,
	};
}

static void start(struct call *call, const struct fetch_spec *s)
{
	struct err err;
	memset(call, 0, sizeof(*call));
	assert_int_equal(fetch_start(&call->fetch, fetcher, s, &ops, call, &err), 0);
	open_calls++;
}

static void run(struct call *call, const struct fetch_spec *s)
{
	start(call, s);
	loop_run(loop);
	assert_int_equal(call->done, 1);
	assert_int_equal(fetcher_active(fetcher), 0);
}

static void an_answer_comes_back(void **state)
{
	(void)state;
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/ok", NULL);
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_string_equal(call.body, "hello");
	assert_int_equal(call.requests, 1);
	s = spec(url, sizeof(url), "/status/404", NULL);
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_int_equal(call.status, 404);
	assert_int_equal(call.requests, 1);
}

static void trouble_is_tried_again_and_its_pages_are_not_shown(void **state)
{
	(void)state;
	char url[256];
	struct call call;
	const struct fetch_spec s = spec(url, sizeof(url), "/flaky", NULL);
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_string_equal(call.body, "hello");
	assert_int_equal(call.requests, 3);
	assert_int_equal(call.restarts, 0);
	/* 20 ms, then 40 ms, without jitter */
	assert_true(server_arrival_ms(server, 1) - server_arrival_ms(server, 0) >= 19);
	assert_true(server_arrival_ms(server, 2) - server_arrival_ms(server, 1) >= 39);
}

static void attempts_are_bounded(void **state)
{
	(void)state;
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/status/500", NULL);
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_int_equal(call.status, 500);
	assert_int_equal(call.requests, 3);
	s = spec(url, sizeof(url), "/drop", NULL);
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_int_equal(call.http, HTTP_BROKEN);
	/* The connection was a kept one: libcurl sent once more by itself, and that is counted. */
	assert_int_equal(call.requests, 4);
	assert_int_equal(server_count(server), 7);
	s.retry.when = NULL;
	run(&call, &s);
	assert_int_equal(call.requests, 1);
	assert_int_equal(server_count(server), 8);
}

static void a_body_that_broke_off_is_forgotten(void **state)
{
	(void)state;
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/drip/100", NULL);
	s.request.total_ms = 450;
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_int_equal(call.http, HTTP_TIMEOUT);
	assert_int_equal(call.requests, 3);
	assert_int_equal(call.restarts, 2);
	assert_in_range(call.body_len, 1, 9);
}

static void no_window_of_the_server_holds_more_than_the_limit(void **state)
{
	(void)state;
	enum { CALLS = 60, LIMIT = 5, PERIOD_MS = 100 };
	const struct limit_window windows[] = { { LIMIT, PERIOD_MS }, { 3, 0 } };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = windows, .window_count = 2
	};
	char url[256];
	struct call *calls = calloc(CALLS, sizeof(*calls));
	const struct fetch_spec s = spec(url, sizeof(url), "/slow/15", &limit);
	for (int i = 0; i < CALLS; i++)
		start(&calls[i], &s);
	loop_run(loop);
	for (int i = 0; i < CALLS; i++)
		assert_int_equal(calls[i].outcome, FETCH_ANSWER);
	free(calls);
	assert_int_equal(server_count(server), CALLS);
	for (size_t i = 0; i + LIMIT < CALLS; i++)
		assert_true(server_arrival_ms(server, i + LIMIT) - server_arrival_ms(server, i) >=
			    PERIOD_MS);
	assert_in_range(server_most_active(server), 2, 3);
}

static void retries_and_libcurls_resends_count_too(void **state)
{
	(void)state;
	const struct limit_window window = { 4, 60000 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/drop-kept", &limit);
	s.max_wait_ms = 200;
	run(&call, &s); /* 1 */
	run(&call, &s); /* 2, and again on a new connection: 3 */
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_int_equal(call.requests, 2);
	run(&call, &s); /* 4; its second sending has no permit */
	assert_int_equal(call.outcome, FETCH_LATER);
	assert_int_equal(call.requests, 1);
	assert_in_range(call.wait_ms, 50000, 60100);
	assert_int_equal(server_count(server), 4);
}

static void a_limit_that_opens_too_late_ends_the_fetch(void **state)
{
	(void)state;
	const struct limit_window window = { 2, 30000 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256];
	struct call calls[5];
	struct fetch_spec s = spec(url, sizeof(url), "/ok", &limit);
	s.max_wait_ms = 1000;
	int64_t from = clock_mono_ms();
	for (int i = 0; i < 5; i++)
		start(&calls[i], &s);
	loop_run(loop);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(calls[i].outcome, i < 2 ? FETCH_ANSWER : FETCH_LATER);
		assert_int_equal(calls[i].requests, i < 2);
		assert_int_equal(calls[i].answered, i < 2);
	}
	assert_in_range(calls[4].wait_ms, 1001, 30100);
	assert_in_range(clock_mono_ms() - from, 0, 1500); /* at once, not after max_wait */
	assert_int_equal(server_count(server), 2);
}

static void retry_after_closes_the_limit_for_all(void **state)
{
	(void)state;
	const struct limit_window window = { 100, 1000 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256], other_url[256];
	struct call call, other;
	server_set_retry_after(server, "1");
	struct fetch_spec s = spec(url, sizeof(url), "/status/429", &limit);
	s.retry.attempts = 2;
	struct fetch_spec o = spec(other_url, sizeof(other_url), "/ok", &limit);
	start(&call, &s);
	loop_timer_start(stopper, 150);
	loop_run(loop);
	assert_int_equal(server_count(server), 1);
	start(&other, &o);
	loop_run(loop);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_int_equal(call.status, 429);
	assert_int_equal(call.requests, 2);
	assert_int_equal(other.outcome, FETCH_ANSWER);
	assert_true(server_arrival_ms(server, 1) - server_arrival_ms(server, 0) >= 999);
	/* Longer than anyone wants to wait: the task is put back, the others too. */
	server_set_retry_after(server, "3000");
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_LATER);
	assert_int_equal(call.wait_ms, 3000000);
	o.max_wait_ms = 5000;
	run(&other, &o);
	assert_int_equal(other.outcome, FETCH_LATER);
	assert_int_equal(other.requests, 0);
}

static void a_429_without_a_time_slows_down_as_well(void **state)
{
	(void)state;
	const struct limit_window window = { 100, 1000 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/status/429", &limit);
	s.retry.attempts = 1;
	s.retry.backoff_initial_ms = s.retry.backoff_max_ms = 300;
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	s = spec(url, sizeof(url), "/ok", &limit);
	run(&call, &s);
	assert_true(server_arrival_ms(server, 1) - server_arrival_ms(server, 0) >= 299);
}

static void cancelled_fetches_say_nothing_and_hold_nothing(void **state)
{
	(void)state;
	const struct limit_window window = { 1, 0 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256], slow_url[256];
	struct call sent, waiting, last;
	struct fetch_spec slow = spec(slow_url, sizeof(slow_url), "/silent", &limit);
	struct fetch_spec s = spec(url, sizeof(url), "/ok", &limit);
	start(&sent, &slow);
	start(&waiting, &s);
	loop_timer_start(stopper, 100);
	loop_run(loop);
	assert_int_equal(server_count(server), 1);
	assert_int_equal(fetch_cancel(waiting.fetch), 0);
	assert_int_equal(fetch_cancel(sent.fetch), 1);
	open_calls -= 2;
	run(&last, &s);
	assert_int_equal(last.outcome, FETCH_ANSWER);
	assert_int_equal(sent.done + waiting.done, 0);
	start(&sent, &slow);
	start(&waiting, &s); /* tear_down drops them */
}

static void a_private_address_is_not_tried_again(void **state)
{
	(void)state;
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/ok", NULL);
	s.request.allow_private = false;
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_int_equal(call.http, HTTP_PRIVATE);
	assert_int_equal(call.requests, 0);
	s.request.url = "nonsense";
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_FAILED);
	assert_true(call.error[0]);
}

/* ---- tokens ---- */

struct purse {
	char header[32];
	int given, refused;
};

static const char *purse_header(void *arg)
{
	struct purse *p = arg;
	snprintf(p->header, sizeof(p->header), "Bearer t%d", p->given);
	return p->header;
}

static void purse_want(void *arg, struct token_wait *wait)
{
	(void)arg;
	(void)wait;
	fail_msg("there is always one");
}

static void purse_refuse(void *arg, const char *header)
{
	struct purse *p = arg;
	assert_string_equal(header, p->header);
	p->refused++;
	p->given++;
}

static int stale_answers; /* so many more are judged to be of a stale token */

static enum fetch_verdict judge_stale(void *arg, const struct http_result *http, int64_t *wait_ms)
{
	(void)arg;
	(void)http;
	(void)wait_ms;
	return stale_answers-- > 0 ? FETCH_NEW_TOKEN : FETCH_AS_USUAL;
}

/* A POST that must not be received twice, whose first answers are judged to be of a stale token. */
static void post_with(struct call *call, struct purse *purse, const char *what, int stale)
{
	static const struct fetch_tokens tokens = { purse_header, purse_want, purse_refuse };
	static const struct fetch_ops judging = {
		.judge = judge_stale, .body = on_body, .restart = on_restart, .done = on_done
	};
	static const struct limit_window window = { 100, 60000 };
	static const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256];
	struct err err;
	struct fetch_spec s = spec(url, sizeof(url), what, &limit);
	s.request.method = "POST";
	s.request.once = true;
	s.tokens = &tokens;
	s.tokens_arg = purse;
	stale_answers = stale;
	memset(call, 0, sizeof(*call));
	assert_int_equal(fetch_start(&call->fetch, fetcher, &s, &judging, call, &err), 0);
	open_calls++;
	loop_run(loop);
	assert_int_equal(call->done, 1);
}

static void a_stale_token_is_replaced_and_the_call_made_once_more(void **state)
{
	(void)state;
	struct purse purse = { .given = 1 };
	struct call call;
	post_with(&call, &purse, "/echo", 1);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_int_equal(call.requests, 2);
	assert_int_equal(call.restarts, 1);
	assert_int_equal(purse.refused, 1);
	assert_true(call.renewed);
	assert_non_null(strstr(call.body, "Bearer t2"));
}

static void a_second_stale_answer_comes_back_and_is_not_tried_again(void **state)
{
	(void)state;
	struct purse purse = { .given = 1 };
	struct call call;
	post_with(&call, &purse, "/status/500", 9);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_int_equal(call.status, 500);
	assert_int_equal(call.requests, 2);
	assert_int_equal(purse.refused, 1);
	assert_true(call.renewed && !call.unsure);
	/* A 401 before it was the first already. */
	purse = (struct purse) { .given = 1 };
	post_with(&call, &purse, "/status/401", 9);
	assert_int_equal(call.requests, 2);
	assert_int_equal(purse.refused, 1);
}

/* ---- slow ones ---- */

static void cancel(void *arg)
{
	struct call *call = arg;
	fetch_cancel(call->fetch);
	if (--open_calls == 0)
		loop_stop(loop);
}

/* The one line of `text` that has `needle`, in `copy`. */
static const char *only_line(const char *text, char *copy, const char *needle)
{
	memcpy(copy, text, strlen(text) + 1);
	char *found = strstr(copy, needle);
	assert_non_null(found);
	assert_null(strstr(found + 1, needle));
	while (found > copy && found[-1] != '\n')
		found--;
	*strchrnul(found, '\n') = '\0';
	return found;
}

static long process_time(const char *line)
{
	static const char key[] = "\"process_time_ms\":";
	const char *at = strstr(line, key);
	assert_non_null(at);
	return strtol(at + sizeof(key) - 1, NULL, 10);
}

static void a_slow_request_is_told_without_its_secrets(void **state)
{
	(void)state;
	char url[4][256], text[8192], again[8192];
	struct call calls[4];
	static int p[2]; /* the log keeps it */
	int fds[LOG_CATEGORIES];
	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	for (int i = 0; i < LOG_CATEGORIES; i++)
		fds[i] = p[1];
	log_open("collect:1", fds, LOG_INFO);
	struct fetch_spec quick = spec(url[0], sizeof(url[0]), "/ok?quick", NULL);
	struct fetch_spec slow = spec(url[1], sizeof(url[1]), "/slow/2100?key=SECRET", NULL);
	struct fetch_spec late = spec(url[2], sizeof(url[2]), "/silent?key=SECRET", NULL);
	struct fetch_spec dropped = spec(url[3], sizeof(url[3]), "/drip/2300?key=SECRET", NULL);
	slow.context = (struct request_context) { .job = "places", .provider = "x", .task = 3 };
	slow.request.idle_ms = late.request.idle_ms = dropped.request.idle_ms = 10000;
	late.request.total_ms = 2050;
	late.retry.attempts = 1;
	start(&calls[0], &quick);
	start(&calls[1], &slow);
	start(&calls[2], &late);
	start(&calls[3], &dropped);
	struct loop_timer *canceller = loop_timer_new(loop, cancel, &calls[3]);
	loop_timer_start(canceller, 2100);
	loop_run(loop);
	loop_timer_free(canceller);
	ssize_t len = read(p[0], text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	assert_null(strstr(text, "SECRET"));
	assert_null(strstr(text, "/ok"));
	const char *line = only_line(text, again, "/slow/2100\",\"status\":200");
	assert_non_null(strstr(line, "\"event\":\"SLOW_REQUEST\""));
	assert_non_null(strstr(line, "\"category\":\"performance\""));
	assert_non_null(strstr(line, "\"provider\":\"x\",\"job\":\"places\",\"task\":3"));
	assert_in_range(process_time(line), 2100, 9000);
	line = only_line(text, again, "/silent\",\"reason\":\"timeout\"");
	assert_in_range(process_time(line), 2050, 9000);
	line = only_line(text, again, "/drip/2300\",\"status\":200,\"reason\":\"cancelled\"");
	assert_in_range(process_time(line), 2050, 9000);
}

static void what_a_post_led_to_has_all_patience(void **state)
{
	(void)state;
	const struct limit_window window = { 1, 300 };
	const struct limit_spec limit = {
		.key = "provider/a", .windows = &window, .window_count = 1
	};
	char url[256];
	struct call call;
	struct fetch_spec s = spec(url, sizeof(url), "/redirect", &limit);
	s.request.method = "POST";
	s.request.once = true;
	s.redirects = true;
	s.max_wait_ms = 50;
	run(&call, &s);
	assert_int_equal(call.outcome, FETCH_ANSWER);
	assert_int_equal(server_count(server), 2);
	assert_true(server_arrival_ms(server, 1) - server_arrival_ms(server, 0) >= 300);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_comes_back),
		TEST(trouble_is_tried_again_and_its_pages_are_not_shown),
		TEST(attempts_are_bounded),
		TEST(a_body_that_broke_off_is_forgotten),
		TEST(no_window_of_the_server_holds_more_than_the_limit),
		TEST(retries_and_libcurls_resends_count_too),
		TEST(a_limit_that_opens_too_late_ends_the_fetch),
		TEST(retry_after_closes_the_limit_for_all),
		TEST(a_429_without_a_time_slows_down_as_well),
		TEST(a_slow_request_is_told_without_its_secrets),
		TEST(cancelled_fetches_say_nothing_and_hold_nothing),
		TEST(a_private_address_is_not_tried_again),
		TEST(what_a_post_led_to_has_all_patience),
		TEST(a_stale_token_is_replaced_and_the_call_made_once_more),
		TEST(a_second_stale_answer_comes_back_and_is_not_tried_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
