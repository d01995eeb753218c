/* SPDX-License-Identifier: MIT */
/*
 * bench_fetch bare|drover URL COUNT CONCURRENCY: fetches URL COUNT times, keep-alive, and prints
 * one line of JSON with wall seconds and CPU microseconds a request. `bare` is a minimal libcurl
 * multi handle on libev, the limit; `drover` is common/http as the collect worker uses it, with its
 * timeouts, address check and byte counts.
 */
#include "base/clock.h"
#include "base/err.h"
#include "http/http.h"
#include "loop/loop.h"
#include <curl/curl.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static long left, running, bytes, failures;
static const char *url;

static double cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- bare ---- */

static struct ev_loop *ev;
static CURLM *multi;
static struct ev_timer timer;

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	bytes += (long)(size * n);
	return size * n;
}

static void add_bare(CURL *easy)
{
	left--;
	running++;
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_multi_add_handle(multi, easy);
}

static void check_done(void)
{
	CURLMsg *m;
	int queued;
	while ((m = curl_multi_info_read(multi, &queued))) {
		CURL *easy = m->easy_handle;
		if (m->msg != CURLMSG_DONE)
			continue;
		if (m->data.result != CURLE_OK)
			failures++;
		curl_multi_remove_handle(multi, easy);
		running--;
		if (left > 0)
			add_bare(easy);
		else
			curl_easy_cleanup(easy);
	}
	if (running == 0)
		ev_break(ev, EVBREAK_ALL);
}

static void on_socket_event(struct ev_loop *l, struct ev_io *io, int events)
{
	int n;
	(void)l;
	curl_multi_socket_action(multi, io->fd,
		((events & EV_READ) ? CURL_CSELECT_IN : 0) |
			((events & EV_WRITE) ? CURL_CSELECT_OUT : 0),
		&n);
	check_done();
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct ev_io *io = socket_arg;
	(void)easy;
	(void)arg;
	if (what == CURL_POLL_REMOVE) {
		if (io) {
			ev_io_stop(ev, io);
			free(io);
			curl_multi_assign(multi, fd, NULL);
		}
		return 0;
	}
	if (!io) {
		io = calloc(1, sizeof(*io));
		ev_init(io, on_socket_event);
		curl_multi_assign(multi, fd, io);
	} else {
		ev_io_stop(ev, io);
	}
	ev_io_set(io, fd,
		((what & CURL_POLL_IN) ? EV_READ : 0) | ((what & CURL_POLL_OUT) ? EV_WRITE : 0));
	ev_io_start(ev, io);
	return 0;
}

static void on_timeout(struct ev_loop *l, struct ev_timer *t, int events)
{
	int n;
	(void)l;
	(void)t;
	(void)events;
	curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &n);
	check_done();
}

static int on_timer(CURLM *m, long ms, void *arg)
{
	(void)m;
	(void)arg;
	ev_timer_stop(ev, &timer);
	if (ms >= 0) {
		ev_timer_set(&timer, (double)ms / 1000.0, 0.0);
		ev_timer_start(ev, &timer);
	}
	return 0;
}

static void run_bare(long concurrency)
{
	ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	multi = curl_multi_init();
	ev_init(&timer, on_timeout);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, concurrency * 2);
	for (long i = 0; i < concurrency && left > 0; i++)
		add_bare(curl_easy_init());
	ev_run(ev, 0);
	curl_multi_cleanup(multi);
}

/* ---- drover ---- */

static struct loop *loop;
static struct http_client *client;
static void send_one(void *arg);

static bool on_body(void *arg, const char *data, size_t len)
{
	(void)arg;
	(void)data;
	bytes += (long)len;
	return true;
}

static void on_done(void *arg, const struct http_result *r)
{
	(void)arg;
	if (r->outcome != HTTP_OK || r->status != 200)
		failures++;
	running--;
	if (left > 0)
		send_one(NULL);
	else if (running == 0)
		loop_stop(loop);
}

static void send_one(void *arg)
{
	static const struct http_ops ops = { .body = on_body, .done = on_done };
	const struct http_request request = { .method = "GET",
		.url = url,
		.connect_ms = 10000,
		.idle_ms = 20000,
		.total_ms = 30000,
		.max_body = 10000000,
		.allow_private = true };
	struct http_transfer *transfer;
	struct err err;
	(void)arg;
	left--;
	running++;
	if (http_send(&transfer, client, &request, &ops, NULL, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

static void run_drover(long concurrency)
{
	struct err err;
	if (loop_new(&loop, &err) < 0 || http_client_new(&client, loop, "drover-bench", &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	for (long i = 0; i < concurrency && left > 0; i++)
		send_one(NULL);
	loop_run(loop);
	http_client_free(client);
	loop_free(loop);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: bench_fetch bare|drover URL COUNT CONCURRENCY\n");
		return 2;
	}
	url = argv[2];
	left = strtol(argv[3], NULL, 10);
	long count = left, concurrency = strtol(argv[4], NULL, 10);
	curl_global_init(CURL_GLOBAL_ALL);
	double cpu = cpu_us();
	int64_t wall = clock_mono_us();
	if (strcmp(argv[1], "bare") == 0)
		run_bare(concurrency);
	else
		run_drover(concurrency);
	wall = clock_mono_us() - wall;
	cpu = cpu_us() - cpu;
	printf("{\"what\": \"%s\", \"count\": %ld, \"failures\": %ld, \"bytes\": %ld, \"wall_s\": "
	       "%.3f, "
	       "\"cpu_us_per_request\": %.2f}\n",
		argv[1], count, failures, bytes, (double)wall / 1e6, cpu / (double)count);
	return failures ? 1 : 0;
}
