/* SPDX-License-Identifier: MIT */
#include "http/client.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "config/config.h"
#include "loop/loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_KEPT = 128 };

/*
 * libcurl is entered at four places only: on_socket, on_timer, settle (add) and http_send. While it
 * is on the stack `inside` is set, and what a callback asks for waits until it is off: calling it
 * from its own callbacks is refused (CURLM_RECURSIVE_API_CALL) or worse.
 */
static void settle(struct http_client *client);

static void on_settle(void *arg)
{
	struct http_client *client = arg;
	client->settling = false;
	settle(client);
}

static void settle_later(struct http_client *client)
{
	if (client->settling)
		return;
	client->settling = true;
	loop_defer(client->loop, on_settle, client);
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct http_client *client = arg;
	int running, flags = (events & LOOP_READ ? CURL_CSELECT_IN : 0) |
			     (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	client->inside = true;
	(void)curl_multi_socket_action(client->multi, fd, flags, &running);
	client->inside = false;
	settle(client);
}

static void on_timer(void *arg)
{
	struct http_client *client = arg;
	int running;
	client->inside = true;
	(void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	client->inside = false;
	settle(client);
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *client = arg;
	struct loop_io *io = socket_arg;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		/* The transfer ended, the connection may be kept: a new watcher comes with the next
		 * one, as the descriptor may be another's by then. */
		loop_io_free(io);
		(void)curl_multi_assign(client->multi, fd, NULL);
		return 0;
	}
	unsigned events = (what & CURL_POLL_IN ? LOOP_READ : 0) |
			  (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
	if (io) {
		loop_io_set(io, events);
		return 0;
	}
	io = loop_io_new(client->loop, fd, events, on_socket, client);
	if (!io)
		return -1;
	(void)curl_multi_assign(client->multi, fd, io);
	return 0;
}

static int timer_wanted(CURLM *multi, long ms, void *arg)
{
	struct http_client *client = arg;
	(void)multi;
	if (ms < 0) {
		loop_timer_stop(client->timer);
	} else {
		loop_update_now(client->loop); /* after a long callback timers would fire early */
		loop_timer_start(client->timer, ms);
	}
	return 0;
}

int http_client_new(
	struct http_client **out, struct loop *loop, const char *user_agent, struct err *err)
{
	static bool initialised;
	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -ENOMEM, "libcurl does not start");
	initialised = true;
	struct http_client *client = NEW(struct http_client);
	if (!client)
		return err_set(err, -ENOMEM, "HTTP client: out of memory");
	client->loop = loop;
	list_init(&client->transfers);
	list_init(&client->starting);
	list_init(&client->failing);
	list_init(&client->pool);
	client->multi = curl_multi_init();
	client->timer = loop_timer_new(loop, on_timer, client);
	client->user_agent = strdup(user_agent);
	if (!client->multi || !client->timer || !client->user_agent) {
		http_client_free(client);
		return err_set(err, -ENOMEM, "HTTP client: out of memory");
	}
	(void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	(void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	(void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	(void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	http_client_keep(client, 0);
	*out = client;
	return 0;
}

void http_client_keep(struct http_client *client, size_t count)
{
	long kept = (long)MAX(count, (size_t)CONNECTIONS_KEPT);
	/* The default would follow the number of handles added, and drop kept connections. */
	(void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, kept);
}

static void free_list(struct list *list)
{
	LIST_FOR_EACH_SAFE (node, list)
		transfer_free(LIST_ENTRY(node, struct http_transfer, node));
	list_init(list);
}

void http_client_trim(struct http_client *client)
{
	free_list(&client->pool);
	client->pooled = 0;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	for (struct http_transfer *t;
		(t = LIST_FIRST(&client->transfers, struct http_transfer, node));)
		http_cancel(t);
	free_list(&client->starting);
	free_list(&client->failing);
	free_list(&client->pool);
	gate_finish(client);
	loop_cancel_deferred(client->loop, client);
	if (client->multi)
		(void)curl_multi_cleanup(client->multi);
	loop_timer_free(client->timer);
	free(client->user_agent);
	free(client);
}

size_t http_client_active(const struct http_client *client)
{
	return client->active;
}

static void add(struct http_client *client, struct http_transfer *t)
{
	list_remove(&t->node);
	CURLMcode rc = curl_multi_add_handle(client->multi, t->easy);
	if (rc != CURLM_OK) {
		client_fail(client, t, curl_multi_strerror(rc));
		return;
	}
	t->added = true;
	list_add_tail(&client->transfers, &t->node);
}

void client_start(struct http_client *client, struct http_transfer *t)
{
	list_remove(&t->node);
	if (!client->inside) {
		add(client, t);
		return;
	}
	list_add_tail(&client->starting, &t->node);
	settle_later(client);
}

void client_fail(struct http_client *client, struct http_transfer *t, const char *words)
{
	/* The words are libcurl's own, or live in the error text of another transfer: keep them. */
	strncpy(t->error, words, sizeof(t->error) - 1);
	t->failed = t->error;
	list_remove(&t->node);
	list_add_tail(&client->failing, &t->node);
	settle_later(client);
}

void client_retire(struct http_client *client, struct http_transfer *t)
{
	if (t->added)
		(void)curl_multi_remove_handle(client->multi, t->easy);
	t->added = false;
	list_remove(&t->node);
	client->active--;
	if (client->pooled >= POOL_MAX) {
		transfer_free(t);
		return;
	}
	transfer_reset(t);
	list_add_tail(&client->pool, &t->node);
	client->pooled++;
}

static void finish(struct http_client *client, struct http_transfer *t, CURLcode code)
{
	if (!t->doomed)
		transfer_report(t, code);
	client_retire(client, t);
}

static void settle_failing(struct http_client *client)
{
	for (struct http_transfer *t;
		(t = LIST_FIRST(&client->failing, struct http_transfer, node));) {
		list_remove(&t->node);
		if (!t->doomed)
			transfer_report(t, CURLE_COULDNT_RESOLVE_HOST);
		client_retire(client, t);
	}
}

/* libcurl would call the body's callback from within, so it is on the stack here too. */
static void pause_or_go_on(struct http_client *client, struct http_transfer *t)
{
	t->paused = t->held;
	t->heard_ms = clock_mono_ms();
	client->inside = true;
	(void)curl_easy_pause(t->easy, t->paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
	client->inside = false;
}

static void settle(struct http_client *client)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(client->multi, &left));) {
		struct http_transfer *t = NULL;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		finish(client, t, code);
	}
	LIST_FOR_EACH_SAFE (node, &client->transfers) {
		struct http_transfer *t = LIST_ENTRY(node, struct http_transfer, node);
		if (t->doomed) {
			gate_leave(t);
			client_retire(client, t);
		} else if (t->held != t->paused) {
			pause_or_go_on(client, t);
		}
	}
	settle_failing(client);
	for (struct http_transfer *t;
		(t = LIST_FIRST(&client->starting, struct http_transfer, node));)
		add(client, t);
}

int client_host_of(const char *url, bool is_proxy, char **host, long *port, struct err *err)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL, *digits = NULL;
	unsigned any = is_proxy ? CURLU_NON_SUPPORT_SCHEME : 0;
	CURLUcode rc = parsed ? curl_url_set(parsed, CURLUPART_URL, url, any)
			      : CURLUE_OUT_OF_MEMORY;
	if (rc == CURLUE_OK)
		rc = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
	if (rc == CURLUE_OK && !is_proxy && strcmp(scheme, "http") != 0 &&
		strcmp(scheme, "https") != 0)
		rc = CURLUE_UNSUPPORTED_SCHEME;
	if (rc == CURLUE_OK)
		rc = curl_url_get(parsed, CURLUPART_PORT, &digits, CURLU_DEFAULT_PORT);
	if (rc == CURLUE_OK)
		rc = curl_url_get(parsed, CURLUPART_HOST, host, 0);
	*port = rc == CURLUE_OK ? strtol(digits, NULL, 10) : 0;
	curl_free(digits);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	if (rc == CURLUE_OUT_OF_MEMORY)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	/* Not the URL itself: it may hold a key. */
	return rc == CURLUE_OK ? 0 : err_set(err, -EINVAL, "URL: %s", curl_url_strerror(rc));
}

/* Whose address is looked for here. */
static int nearest_host(
	struct http_transfer *t, const struct http_request *request, char **host, struct err *err)
{
	if (!t->proxied)
		return 0;
	curl_free(*host);
	*host = NULL;
	return client_host_of(request->profile.proxy->url, true, host, &t->port, err);
}

static struct http_transfer *take_pooled(struct http_client *client)
{
	struct http_transfer *t = LIST_FIRST(&client->pool, struct http_transfer, node);
	if (!t)
		return transfer_new(client);
	list_remove(&t->node);
	client->pooled--;
	return t;
}

int http_send(struct http_transfer **out, struct http_client *client,
	const struct http_request *request, const struct http_ops *ops, void *arg, struct err *err)
{
	char *host = NULL;
	long port;
	int rc = client_host_of(request->url, false, &host, &port, err);
	if (rc < 0)
		return rc;
	struct http_transfer *t = take_pooled(client);
	rc = t ? transfer_set_up(t, request, err) : err_set(err, -ENOMEM, "HTTP: out of memory");
	if (rc == 0) {
		t->port = port;
		rc = nearest_host(t, request, &host, err);
	}
	if (rc == 0) {
		t->ops = *ops;
		t->arg = arg;
		t->allow_private |= MUTANT(URL_TEXT_JUDGED) && !t->proxied &&
				    strspn(host, "0123456789.[") == 0;
		t->started_us = clock_mono_us();
		client->active++;
		if (t->refused_private)
			client_fail(client, t, "");
		else
			rc = gate_enter(client, t, host);
		if (rc < 0) {
			client->active--;
			err_set(err, rc, "HTTP: out of memory");
		}
	}
	curl_free(host);
	if (rc < 0) {
		transfer_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

int64_t http_transfer_sendings(const struct http_transfer *t)
{
	return t->sendings;
}

long http_transfer_status(const struct http_transfer *t)
{
	long status = 0;
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

void http_hold(struct http_transfer *t, bool on)
{
	if (t->held == on)
		return;
	t->held = on;
	settle_later(t->client);
}

void http_cancel(struct http_transfer *t)
{
	if (!t)
		return;
	struct http_client *client = t->client;
	if (client->inside) {
		t->doomed = true;
		t->ops = (struct http_ops) { 0 };
		settle_later(client);
		return;
	}
	gate_leave(t);
	client_retire(client, t);
}
