/* SPDX-License-Identifier: MIT */
#include "monitor/checks.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "http/http.h"
#include "ipc/messages.h"
#include "loop/loop.h"
#include "monitor/monitor.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A health page may say why it is ill, but not for ever. */
	BODY_MAX = 1048576,
	/* While a check runs, we look at the clock this often; a look that comes later than LATE_MS
	   was our own sleep, and no service is blamed for it. */
	LOOK_MS = 100,
	LATE_MS = 250,
};

struct check {
	struct list node;
	struct checks *checks;
	struct http_transfer *transfer;
	uint64_t id, incarnation;
	char *slot;
	bool overslept; /* we were stopped or starved while it ran: its timeout proves nothing */
};

struct checks {
	struct monitor *monitor;
	struct list running;
	struct loop_timer *look;
	int64_t looked_ms;
};

static void look(void *arg);

struct checks *checks_new(struct monitor *m)
{
	struct checks *c = NEW(struct checks);
	if (!c)
		return NULL;
	c->monitor = m;
	list_init(&c->running);
	c->look = loop_timer_new(m->loop, look, c);
	if (!c->look) {
		free(c);
		return NULL;
	}
	return c;
}

static void notice_sleep(struct checks *c)
{
	int64_t now = clock_mono_ms();
	bool late = now - c->looked_ms > LATE_MS;
	c->looked_ms = now;
	if (!late)
		return;
	LIST_FOR_EACH (node, &c->running)
		LIST_ENTRY(node, struct check, node)->overslept = true;
}

static void look(void *arg)
{
	struct checks *c = arg;
	notice_sleep(c);
	if (!list_empty(&c->running))
		loop_timer_start(c->look, LOOK_MS);
}

static void check_free(struct check *check)
{
	list_remove(&check->node);
	free(check->slot);
	free(check);
}

void checks_free(struct checks *c)
{
	if (!c)
		return;
	LIST_FOR_EACH_SAFE (node, &c->running) {
		struct check *check = LIST_ENTRY(node, struct check, node);
		http_cancel(check->transfer);
		check_free(check);
	}
	loop_timer_free(c->look);
	free(c);
}

static void report(struct check *check, bool ok, int64_t duration_us, const char *detail)
{
	struct msg_check_result result = {
		.id = check->id,
		.slot = check->slot,
		.incarnation = check->incarnation,
		.ok = ok,
		.latency_ms = (uint64_t)MAX(duration_us, (int64_t)0) / 1000,
		.detail = detail,
	};
	worker_send(check->checks->monitor->worker, MSG_CHECK_RESULT, &result);
	check_free(check);
}

static bool on_body(void *arg UNUSED, const char *data UNUSED, size_t len UNUSED)
{
	return true;
}

static void on_done(void *arg, const struct http_result *r)
{
	struct check *check = arg;
	char detail[256];
	notice_sleep(check->checks);
	if (check->overslept && r->outcome == HTTP_TIMEOUT && !MUTANT(MONITOR_BLAMES_ITS_SLEEP)) {
		check_free(check); /* unknown */
		return;
	}
	bool ok = r->outcome == HTTP_OK && r->status >= 200 && r->status < 300;
	if (r->outcome == HTTP_OK)
		snprintf(detail, sizeof(detail), "HTTP %ld", r->status);
	else
		snprintf(detail, sizeof(detail), "%s: %s", http_outcome_name(r->outcome), r->error);
	report(check, ok, r->duration_us, detail);
}

void checks_ask(struct checks *c, const struct msg_check_http *ask)
{
	static const struct http_ops ops = { .body = on_body, .done = on_done };
	struct err err = { 0 };
	struct check *check = NEW(struct check);
	if (!check)
		return;
	*check = (struct check) { .checks = c,
		.id = ask->id,
		.incarnation = ask->incarnation,
		.slot = strdup(ask->slot) };
	list_init(&check->node);
	if (!check->slot) {
		check_free(check);
		return;
	}
	if (list_empty(&c->running)) {
		c->looked_ms = clock_mono_ms();
		loop_timer_start(c->look, LOOK_MS);
	}
	list_add_tail(&c->running, &check->node);
	/* The operator's own services: any address that the configuration names. */
	struct http_request request = {
		.method = "GET",
		.url = ask->url,
		.connect_ms = (int64_t)ask->timeout_ms,
		.idle_ms = (int64_t)ask->timeout_ms,
		.total_ms = (int64_t)ask->timeout_ms,
		.max_body = BODY_MAX,
		.allow_private = true,
	};
	int rc = http_send(&check->transfer, c->monitor->client, &request, &ops, check, &err);
	if (rc == -ENOMEM)
		check_free(check); /* our own trouble: unknown, no failure of theirs */
	else if (rc < 0)
		report(check, false, 0, err.text);
}
