/* SPDX-License-Identifier: MIT */
#include "monitor/monitor.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "http/http.h"
#include "ipc/messages.h"
#include "loop/loop.h"
#include "monitor/checks.h"
#include "monitor/health.h"
#include "monitor/limits.h"
#include "monitor/sampler.h"
#include "monitor/server.h"
#include "store/store.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdlib.h>

enum { SUMMARY_MAX = MESSAGE_MAX };

/* ---- questions ---- */

static void answer(struct monitor *m, const struct msg_question *q)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct msg_answer page = { .id = q->id, .last = 1 };
	if (str_eq(q->verb, "health")) {
		health_json(m, &json);
	} else if (str_eq(q->verb, "limits")) {
		monitor_limits_json(m, &json);
	} else {
		buf_add_str(&json, "{\"error\":\"monitor does not know this verb\"}");
		page.exit_code = 2;
	}
	page.json = (struct message_bytes) { buf_str(&json), json.len };
	worker_send(m->worker, MSG_ANSWER, &page);
}

/* ---- the frame's calls ---- */

static void stop(struct worker *w)
{
	struct monitor *m = worker_state(w);
	if (!m)
		return;
	server_free(m->server);
	checks_free(m->checks);
	http_client_free(m->client);
	sampler_stop(m);
	store_close(m->store);
	buf_finish(&m->summary);
	free(m);
	worker_set_state(w, NULL);
}

static int open_all(struct worker *w, const struct config *config, struct err *err)
{
	struct monitor *m = NEW(struct monitor);
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->worker = w;
	m->loop = worker_loop(w);
	m->summary.max = SUMMARY_MAX;
	worker_set_state(w, m);
	struct store_options options = { .url = config->store.url,
		.pool = store_pool_of(&config->store.pool),
		.state_dir = worker_state_dir(w) };
	int rc = http_client_new(&m->client, m->loop, "drover-monitor/" DROVER_VERSION, err);
	if (rc == 0)
		rc = store_open(&m->store, m->loop, &options, err);
	m->checks = checks_new(m);
	m->server = server_new(m);
	if (rc == 0 && (!m->checks || !m->server || sampler_start(m) < 0))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc < 0) {
		stop(w);
		return rc;
	}
	return 0;
}

static int configure(struct worker *w, const struct config *config, struct err *err)
{
	if (!worker_state(w)) {
		int rc = open_all(w, config, err);
		if (rc < 0)
			return rc;
	}
	struct monitor *m = worker_state(w);
	server_listen(m->server, config->http.listen);
	return 0;
}

static void message(struct worker *w, const struct message *msg)
{
	struct monitor *m = worker_state(w);
	switch (msg->id) {
	case MSG_CHECK_HTTP: checks_ask_http(m->checks, &msg->body.check_http); break;
	case MSG_CHECK_TCP: checks_ask_tcp(m->checks, &msg->body.check_tcp); break;
	case MSG_QUESTION: answer(m, &msg->body.question); break;
	case MSG_SUMMARY:
		buf_reset(&m->summary);
		buf_add_str(&m->summary, msg->body.summary.json);
		break;
	default: break;
	}
}

static void trim(struct worker *w)
{
	const struct monitor *m = worker_state(w);
	http_client_trim(m->client);
	store_trim(m->store);
}

static void drain(struct worker *w, int64_t deadline_ms UNUSED)
{
	/* A probe without an answer is unknown to the supervisor, never a failure: nothing to wait
	 * for. */
	worker_drained(w);
}

const struct worker_ops monitor_ops = {
	.configure = configure,
	.message = message,
	.drain = drain,
	.trim = trim,
	.stop = stop,
};
