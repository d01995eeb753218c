/* SPDX-License-Identifier: MIT */
/* Names that are looked up ahead. Each look-up goes through our getaddrinfo(). */
#include "unit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "config/config.h"
#include "http/http.h"
#include "http/server.h"
#include "log/log.h"
#include "loop/loop.h"
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int begun, looked_up; /* how often; of all names */
static atomic_int takes_ms;
static atomic_bool away;

int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	int ms = atomic_load(&takes_ms);
	(void)node, (void)service;
	atomic_fetch_add(&begun, 1);
	nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000L }, NULL);
	atomic_fetch_add(&looked_up, 1);
	if (atomic_load(&away))
		return EAI_AGAIN;
	struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(struct sockaddr_in));
	struct sockaddr_in *at = (void *)(ai + 1);
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ai->ai_family = AF_INET;
	ai->ai_socktype = hints->ai_socktype;
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
static struct loop_timer *timer, *poll;
static char url[64];
static int wanted_look_ups, open_calls, ticks;

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void on_poll(void *arg)
{
	(void)arg;
	ticks++;
	if (wanted_look_ups && atomic_load(&looked_up) >= wanted_look_ups)
		loop_stop(loop);
	loop_timer_start(poll, 10);
}

static void run_for(int64_t ms)
{
	loop_timer_start(timer, ms);
	loop_run(loop);
	loop_timer_stop(timer);
}

/* And the turn that takes it up. */
static void run_until_looked_up(int times)
{
	wanted_look_ups = times;
	run_for(20000);
	wanted_look_ups = 0;
	assert_true(atomic_load(&looked_up) >= times);
	run_for(30);
}

static int set_up(void **state)
{
	(void)state;
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	atomic_store(&looked_up, 0);
	atomic_store(&begun, 0);
	atomic_store(&takes_ms, 0);
	atomic_store(&away, false);
	server = server_start();
	snprintf(url, sizeof(url), "http://api.test:%d/ok", server_port(server));
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(http_client_new(&client, loop, "drover-test", &err), 0);
	timer = loop_timer_new(loop, stop_loop, loop);
	poll = loop_timer_new(loop, on_poll, NULL);
	loop_timer_start(poll, 10);
	ticks = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	http_client_free(client);
	loop_timer_free(timer);
	loop_timer_free(poll);
	loop_free(loop);
	server_stop(server);
	return 0;
}

struct call {
	enum http_outcome outcome;
	char error[256];
};

static void on_done(void *arg, const struct http_result *r)
{
	struct call *call = arg;
	call->outcome = r->outcome;
	snprintf(call->error, sizeof(call->error), "%s", r->error);
	if (--open_calls == 0)
		loop_stop(loop);
}

static void start(struct call *call, const struct config_proxy *proxy)
{
	static const struct http_ops ops = { .done = on_done };
	const struct http_request request = {
		.method = "GET",
		.url = url,
		.profile = { .dns_ttl_ms = 60000, .proxy = proxy },
		.connect_ms = 5000,
		.idle_ms = 5000,
		.total_ms = 10000,
		.allow_private = true,
		.fresh = true, /* each would need the address */
	};
	struct http_transfer *transfer;
	struct err err;
	assert_int_equal(http_send(&transfer, client, &request, &ops, call, &err), 0);
	open_calls++;
}

static struct call get(void)
{
	struct call call;
	start(&call, NULL);
	loop_run(loop);
	return call;
}

static void look_ahead(int64_t ttl_ms)
{
	const struct http_name names[] = { { url, "p", ttl_ms }, { url, "q", 2 * ttl_ms },
		{ "http://127.0.0.1/", "r", ttl_ms }, { "http://localhost/", "s", ttl_ms } };
	http_client_look_ahead(client, names, ARRAY_SIZE(names));
}

static void a_name_is_known_before_the_first_call(void **state)
{
	(void)state;
	atomic_store(&takes_ms, 300);
	look_ahead(60000);
	run_until_looked_up(1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(get().outcome, HTTP_OK);
	assert_int_equal(atomic_load(&looked_up), 1);
}

static void calls_that_come_while_it_is_looked_up_wait_for_that(void **state)
{
	(void)state;
	struct call calls[10];
	atomic_store(&takes_ms, 200);
	look_ahead(60000);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		start(&calls[i], NULL);
	loop_run(loop);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(calls[i].outcome, HTTP_OK);
	assert_int_equal(atomic_load(&looked_up), 1);
}

static void it_is_looked_up_again_before_its_time_ends(void **state)
{
	(void)state;
	look_ahead(300);
	run_until_looked_up(3);
	/* Without those names nobody asks any more. */
	http_client_look_ahead(client, NULL, 0);
	run_for(30);
	int times = atomic_load(&looked_up);
	run_for(500);
	assert_int_equal(atomic_load(&looked_up), times);
}

static void no_call_waits_while_it_is_looked_up_again(void **state)
{
	(void)state;
	look_ahead(60000);
	run_until_looked_up(1);
	look_ahead(200); /* from now on */
	atomic_store(&takes_ms, 1000);
	while (atomic_load(&begun) < 2)
		run_for(10);
	assert_int_equal(get().outcome, HTTP_OK);
	assert_int_equal(atomic_load(&looked_up), 1);
}

static size_t count_of(const char *text, const char *word)
{
	size_t n = 0;
	while ((text = strstr(text, word))) {
		n++;
		text++;
	}
	return n;
}

static void a_failure_is_told_once_and_holds_nobody(void **state)
{
	(void)state;
	static int p[2]; /* the log keeps it */
	char text[8192] = "";
	int fds[LOG_CATEGORIES];
	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	for (int i = 0; i < LOG_CATEGORIES; i++)
		fds[i] = p[1];
	log_open("collect:1", fds, LOG_INFO);
	atomic_store(&away, true);
	atomic_store(&takes_ms, 200);
	look_ahead(200);
	run_until_looked_up(3);
	assert_true(ticks > 20); /* of 600 ms */
	struct call call = get();
	assert_int_equal(call.outcome, HTTP_CONNECT);
	assert_non_null(strstr(call.error, "Could not resolve host: api.test"));
	atomic_store(&away, false);
	run_until_looked_up(atomic_load(&looked_up) + 2);
	assert_int_equal(get().outcome, HTTP_OK);
	assert_true(read(p[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(count_of(text, "\"name_not_resolved\""), 1);
	assert_int_equal(count_of(text, "\"name_resolved\""), 1);
	assert_non_null(strstr(text, "\"provider\":\"p\""));
}

static void what_is_known_serves_while_the_name_server_is_away(void **state)
{
	(void)state;
	look_ahead(60000);
	run_until_looked_up(1);
	atomic_store(&away, true);
	look_ahead(60000);
	assert_int_equal(get().outcome, HTTP_OK);
	assert_int_equal(atomic_load(&looked_up), 1);
}

static void of_a_proxy_its_own_name_is_looked_up(void **state)
{
	(void)state;
	char proxy_url[64];
	snprintf(proxy_url, sizeof(proxy_url), "socks5h://proxy.test:%d", server_port(server));
	const struct config_proxy proxy = { .url = proxy_url };
	const struct http_name name = { proxy_url, "p", 60000 };
	http_client_look_ahead(client, &name, 1);
	run_until_looked_up(1);
	struct call call;
	start(&call, &proxy);
	loop_run(loop);
	assert_int_equal(call.outcome, HTTP_OK);
	assert_int_equal(atomic_load(&looked_up), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_known_before_the_first_call),
		TEST(calls_that_come_while_it_is_looked_up_wait_for_that),
		TEST(it_is_looked_up_again_before_its_time_ends),
		TEST(no_call_waits_while_it_is_looked_up_again),
		TEST(a_failure_is_told_once_and_holds_nobody),
		TEST(what_is_known_serves_while_the_name_server_is_away),
		TEST(of_a_proxy_its_own_name_is_looked_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
