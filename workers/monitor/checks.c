/* SPDX-License-Identifier: MIT */
#include "monitor/checks.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
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
	struct loop_timer *deadline;
	int64_t timeout_ms;
	uint64_t id, incarnation;
	char *slot;
	struct str_statuses statuses;
	char *wanted; /* text that the body must hold; NULL: none */
	char tail[PROBE_BODY_MAX];
	size_t tail_len; /* of what was read: `wanted` may begin in it */
	bool found;
	bool overslept; /* we were stopped or starved while it ran: its timeout proves nothing */
};

struct checks {
	struct monitor *monitor;
	struct list running;
	struct loop_timer *look;
	int64_t looked_ms;
};

static void look(void *arg);
static void on_deadline(void *arg);

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
	loop_timer_free(check->deadline);
	free(check->wanted);
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

/* libcurl's own timeout does not run while a name waits for another's answer; this one always does.
 */
static void on_deadline(void *arg)
{
	struct check *check = arg;
	char detail[160];
	notice_sleep(check->checks);
	long status = http_transfer_status(check->transfer);
	http_cancel(check->transfer);
	if (check->overslept && !MUTANT(MONITOR_BLAMES_ITS_SLEEP)) {
		check_free(check); /* unknown */
		return;
	}
	if (status > 0)
		snprintf(detail, sizeof(detail),
			"timeout: HTTP %ld, but the answer did not end within %lld ms", status,
			(long long)check->timeout_ms);
	else
		snprintf(detail, sizeof(detail), "timeout: no answer within %lld ms",
			(long long)check->timeout_ms);
	report(check, false, check->timeout_ms * 1000, detail);
}

/* It may lie across the ends of pieces. */
static bool on_body(void *arg, const char *data, size_t len)
{
	struct check *check = arg;
	char joint[2 * PROBE_BODY_MAX];
	if (!check->wanted || check->found)
		return true;
	size_t wanted_len = strlen(check->wanted), keep = wanted_len - 1;
	size_t head = MIN(len, keep);
	memcpy(joint, check->tail, check->tail_len);
	memcpy(joint + check->tail_len, data, head);
	check->found = memmem(joint, check->tail_len + head, check->wanted, wanted_len) ||
		       memmem(data, len, check->wanted, wanted_len);
	if (len >= keep) {
		memcpy(check->tail, data + len - keep, keep);
		check->tail_len = keep;
		return true;
	}
	size_t drop = check->tail_len + len > keep ? check->tail_len + len - keep : 0;
	check->tail_len += head - drop;
	memcpy(check->tail, joint + drop, check->tail_len);
	return true;
}

static bool judge(const struct check *check, const struct http_result *r, char *detail, size_t size)
{
	if (r->outcome != HTTP_OK) {
		snprintf(detail, size, "%s: %s", http_outcome_name(r->outcome), r->error);
		return false;
	}
	bool good = str_has_status(&check->statuses, r->status);
	bool lacking = good && check->wanted && !check->found;
	snprintf(detail, size, "HTTP %ld%s", r->status,
		lacking ? ", without the text that is looked for" : "");
	return good && !lacking;
}

static void on_http_done(void *arg, const struct http_result *r)
{
	struct check *check = arg;
	char detail[256];
	bool ok = judge(check, r, detail, sizeof(detail));
	report(check, ok, r->duration_us, detail);
}

static void on_tcp_done(void *arg, const struct http_result *r)
{
	struct check *check = arg;
	char detail[256];
	bool ok = r->outcome == HTTP_OK;
	snprintf(detail, sizeof(detail), ok ? "connected" : "%s: %s", http_outcome_name(r->outcome),
		r->error);
	report(check, ok, r->duration_us, detail);
}

static struct check *check_new(struct checks *c, uint64_t id, const char *slot,
	uint64_t incarnation, uint64_t timeout_ms, const char *wanted)
{
	struct check *check = NEW(struct check);
	if (!check)
		return NULL;
	*check = (struct check) { .checks = c,
		.id = id,
		.incarnation = incarnation,
		.timeout_ms = (int64_t)timeout_ms,
		.slot = strdup(slot),
		.wanted = *wanted ? strndup(wanted, PROBE_BODY_MAX) : NULL,
		.deadline = loop_timer_new(c->monitor->loop, on_deadline, check) };
	list_init(&check->node);
	if (!check->slot || !check->deadline || (*wanted && !check->wanted)) {
		check_free(check);
		return NULL;
	}
	if (list_empty(&c->running)) {
		c->looked_ms = clock_mono_ms();
		loop_timer_start(c->look, LOOK_MS);
	}
	list_add_tail(&c->running, &check->node);
	loop_timer_start(check->deadline, check->timeout_ms);
	return check;
}

static void begin(struct check *check, const char *url, bool connect_only,
	void (*done)(void *arg, const struct http_result *result))
{
	const struct http_ops ops = { .body = on_body, .done = done };
	struct err err = { 0 };
	/* The operator's own services: any address that the configuration names. */
	const struct http_request request = { .method = "GET",
		.url = url,
		.max_body = BODY_MAX,
		.allow_private = true,
		.fresh = true,
		.connect_only = connect_only };
	int rc = http_send(
		&check->transfer, check->checks->monitor->client, &request, &ops, check, &err);
	if (rc == -ENOMEM)
		check_free(check); /* our own trouble: unknown, no failure of theirs */
	else if (rc < 0)
		report(check, false, 0, err.text);
}

void checks_ask_http(struct checks *c, const struct msg_check_http *ask)
{
	struct check *check = check_new(
		c, ask->id, ask->slot, ask->incarnation, ask->timeout_ms, ask->body);
	if (!check)
		return;
	if (!str_statuses(&check->statuses, ask->status))
		report(check, false, 0, "the statuses that are asked for cannot be read");
	else
		begin(check, ask->url, false, on_http_done);
}

void checks_ask_tcp(struct checks *c, const struct msg_check_tcp *ask)
{
	char url[512];
	struct check *check = check_new(
		c, ask->id, ask->slot, ask->incarnation, ask->timeout_ms, "");
	if (!check)
		return;
	snprintf(url, sizeof(url), "http://%s/", ask->address);
	begin(check, url, true, on_tcp_done);
}
