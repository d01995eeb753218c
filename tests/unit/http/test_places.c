/* SPDX-License-Identifier: MIT */
/* Calls at a time to one host and of one pool, judged by the server. */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "http/fetch.h"
#include "http/server.h"
#include "loop/loop.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROCESSES = 2, CALLS = 16 };

/* Each as in a process of its own: they share the file of limits only. */
static struct process {
	struct http_client *client;
	struct limits *limits;
	struct fetcher *fetcher;
} processes[PROCESSES];
static struct loop *loop;
static struct server *server;
static char dir[64], path[96], url[64], key[64];
static int open_calls, done_calls;
static const struct limit_window many = { 1000, 0 };
static const struct limit_spec provider_a = {
	.key = "provider/a", .windows = &many, .window_count = 1
};
static const struct limit_spec provider_b = {
	.key = "provider/b", .windows = &many, .window_count = 1
};

static int set_up(void **state)
{
	(void)state;
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	snprintf(dir, sizeof(dir), "/tmp/drover-places-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/limits", dir);
	server = server_start();
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/slow/20", server_port(server));
	snprintf(key, sizeof(key), "127.0.0.1:%d", server_port(server));
	assert_int_equal(loop_new(&loop, &err), 0);
	for (size_t i = 0; i < PROCESSES; i++) {
		struct process *p = &processes[i];
		assert_int_equal(limits_open(&p->limits, path, &err), 0);
		assert_int_equal(http_client_new(&p->client, loop, "drover-test", &err), 0);
		assert_int_equal(fetcher_new(&p->fetcher, loop, p->client, p->limits), 0);
	}
	open_calls = done_calls = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROCESSES; i++) {
		fetcher_free(processes[i].fetcher);
		http_client_free(processes[i].client);
		limits_close(processes[i].limits);
	}
	loop_free(loop);
	server_stop(server);
	unlink(path);
	rmdir(dir);
	return 0;
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void on_done(void *arg, const struct fetch_result *r)
{
	assert_int_equal(r->outcome, FETCH_ANSWER);
	*(int *)arg = done_calls++;
	if (--open_calls == 0)
		loop_stop(loop);
}

/* *order: how many had their answer before it. */
static void start(size_t process, const struct limit_spec *limit, const struct fetch_places *places,
	int *order)
{
	static const struct fetch_ops ops = { .done = on_done };
	const struct fetch_spec spec = {
		.request = { .method = "GET",
			.url = url,
			.connect_ms = 5000,
			.idle_ms = 5000,
			.total_ms = 30000,
			.max_body = 1000,
			.allow_private = true },
		.limits = limit,
		.limit_count = 1,
		.places = *places,
		.retry = { .attempts = 1 },
		.max_wait_ms = 60000,
	};
	struct fetch *fetch;
	struct err err;
	assert_int_equal(
		fetch_start(&fetch, processes[process].fetcher, &spec, &ops, order, &err), 0);
	open_calls++;
}

static void calls_to_one_host_are_counted_over_names_and_processes(void **state)
{
	(void)state;
	const struct fetch_host host = { key, 3 };
	const struct fetch_places places = { .hosts = &host, .host_count = 1 };
	int order[CALLS];
	for (size_t i = 0; i < CALLS; i++)
		start(i % PROCESSES, i % 4 < 2 ? &provider_a : &provider_b, &places, &order[i]);
	loop_run(loop);
	assert_int_equal(server_count(server), CALLS);
	assert_in_range(server_most_active(server), 2, 3);
}

static void who_waits_longest_for_a_host_goes_first(void **state)
{
	(void)state;
	const struct fetch_places places = { .per_host = 1 };
	int first[8], between, last[8];
	for (size_t i = 0; i < 8; i++)
		start(0, &provider_a, &places, &first[i]);
	struct loop_timer *timer = loop_timer_new(loop, stop_loop, loop);
	loop_timer_start(timer, 5);
	loop_run(loop);
	start(0, &provider_b, &places, &between);
	loop_timer_start(timer, 5);
	loop_run(loop);
	loop_timer_free(timer);
	for (size_t i = 0; i < 8; i++)
		start(0, &provider_a, &places, &last[i]);
	loop_run(loop);
	assert_in_range(between, 7, 10);
	assert_int_equal(server_most_active(server), 1);
}

static void connections_of_a_pool_are_bounded_in_this_process(void **state)
{
	(void)state;
	const struct fetch_places places = { .pool = "p", .total = 2 };
	int order[CALLS];
	/* Two sets of limits, one pool; and another process. */
	for (size_t i = 0; i < CALLS; i++)
		start(0, i % 2 ? &provider_a : &provider_b, &places, &order[i]);
	loop_run(loop);
	assert_int_equal(server_most_active(server), 2);
	for (size_t i = 0; i < CALLS; i++)
		start(i % PROCESSES, &provider_a, &places, &order[i]);
	loop_run(loop);
	assert_in_range(server_most_active(server), 3, 4);
	assert_int_equal(server_count(server), 2 * CALLS);
}

static void a_cancelled_call_gives_its_places_back(void **state)
{
	(void)state;
	const struct fetch_places places = { .per_host = 1, .pool = "p", .total = 1 };
	static const struct fetch_ops ops = { .done = on_done };
	char silent[128];
	struct fetch *fetch;
	struct err err;
	int order;
	snprintf(silent, sizeof(silent), "http://%s/silent", key);
	const struct fetch_spec spec = { .request = { .method = "GET",
						 .url = silent,
						 .total_ms = 60000,
						 .allow_private = true },
		.limits = &provider_a,
		.limit_count = 1,
		.places = places,
		.retry = { .attempts = 1 },
		.max_wait_ms = 60000 };
	assert_int_equal(fetch_start(&fetch, processes[0].fetcher, &spec, &ops, &order, &err), 0);
	struct loop_timer *timer = loop_timer_new(loop, stop_loop, loop);
	loop_timer_start(timer, 50);
	loop_run(loop);
	assert_int_equal(server_count(server), 1);
	start(0, &provider_b, &places, &order);
	loop_timer_start(timer, 50);
	loop_run(loop);
	assert_int_equal(server_count(server), 1);
	fetch_cancel(fetch);
	loop_run(loop);
	loop_timer_free(timer);
	assert_int_equal(server_count(server), 2);
}

static void the_least_that_is_said_of_a_host_holds(void **state)
{
	(void)state;
	static const struct fetch_host hosts[] = { { "a.example:443", 5 }, { "a.example:443", 3 },
		{ "a.example:80", 9 } };
	static const struct {
		int64_t per_host;
		const char *url;
		int64_t most; /* 0: none */
	} cases[] = {
		{ 0, "https://A.example/x?y", 3 },
		{ 2, "https://a.example./", 2 },
		{ 7, "https://a.example/", 3 },
		{ 0, "http://a.example/", 9 },
		{ 0, "https://a.example:8443/", 0 },
		{ 4, "https://b.example/", 4 },
		{ 0, "https://b.example/", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fetch_places places = {
			.hosts = hosts, .host_count = 3, .per_host = cases[i].per_host
		};
		struct host_set set;
		assert_int_equal(host_set_of(&set, &places, cases[i].url), cases[i].most > 0);
		if (cases[i].most)
			assert_int_equal(set.spec.windows[0].count, cases[i].most);
	}
	struct host_set set;
	const struct fetch_places places = { .per_host = 1 };
	assert_true(host_set_of(&set, &places, "https://A.example:443/"));
	assert_string_equal(set.spec.key, "calls/a.example:443");
	assert_int_equal(set.spec.windows[0].period_ms, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(calls_to_one_host_are_counted_over_names_and_processes),
		TEST(who_waits_longest_for_a_host_goes_first),
		TEST(connections_of_a_pool_are_bounded_in_this_process),
		TEST(a_cancelled_call_gives_its_places_back),
		cmocka_unit_test(the_least_that_is_said_of_a_host_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
