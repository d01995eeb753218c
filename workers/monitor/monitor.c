/* SPDX-License-Identifier: MIT */
#include "monitor/monitor.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "http/http.h"
#include "ipc/messages.h"
#include "log/log.h"
#include "loop/loop.h"
#include "monitor/checks.h"
#include "monitor/health.h"
#include "monitor/server.h"
#include "store/store.h"
#include "worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SAMPLE_MS = 5000, STORE_RETRY_MS = 500, SUMMARY_MAX = MESSAGE_MAX };

/* ---- the machine ---- */

static bool read_file(const char *path, char *text, size_t size)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

static void sample_cpu(struct monitor *m)
{
	char text[512];
	unsigned long long v[8] = { 0 };
	m->machine.cpu_percent = -1;
	if (!read_file("/proc/stat", text, sizeof(text)))
		return;
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		    &v[4], &v[5], &v[6], &v[7]) < 4)
		return;
	uint64_t total = 0, idle = v[3] + v[4];
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		total += v[i];
	uint64_t busy = total - idle;
	if (m->cpu_total && total > m->cpu_total)
		m->machine.cpu_percent = 100.0 * (double)(busy - m->cpu_busy) /
					 (double)(total - m->cpu_total);
	m->cpu_total = total;
	m->cpu_busy = busy;
}

static long long meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

static void sample_machine(struct monitor *m)
{
	char text[4096];
	struct statvfs fs;
	sample_cpu(m);
	m->machine.memory_percent = -1;
	m->machine.disk_percent = -1;
	if (read_file("/proc/meminfo", text, sizeof(text))) {
		long long total = meminfo(text, "MemTotal:"),
			  available = meminfo(text, "MemAvailable:");
		if (total > 0 && available >= 0)
			m->machine.memory_percent = 100.0 * (double)(total - available) /
						    (double)total;
	}
	if (statvfs(worker_state_dir(m->worker), &fs) == 0 && fs.f_blocks > 0)
		/* As df counts: what root alone may use is neither free nor used. */
		m->machine.disk_percent = 100.0 * (double)(fs.f_blocks - fs.f_bfree) /
					  (double)(fs.f_blocks - fs.f_bfree + fs.f_bavail);
}

static void on_queue_metrics(
	void *arg, enum queue_status status, const struct queue_metrics *metrics)
{
	struct monitor *m = arg;
	m->queue_asked = false;
	m->queue_known = status == QUEUE_OK;
	if (m->queue_known)
		m->queue = *metrics;
	else
		loop_timer_start(m->sampler, STORE_RETRY_MS);
}

static void sample(void *arg)
{
	struct monitor *m = arg;
	sample_machine(m);
	if (!m->queue_asked) {
		m->queue_asked = true;
		queue_metrics(m->store, on_queue_metrics, m);
	}
	loop_timer_start(m->sampler, SAMPLE_MS);
}

/* ---- questions ---- */

static void answer(struct monitor *m, const struct msg_question *q)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct msg_answer page = { .id = q->id, .last = 1 };
	if (str_eq(q->verb, "health")) {
		health_json(m, &json);
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
	loop_timer_free(m->sampler);
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
		.state_dir = worker_state_dir(w) };
	int rc = http_client_new(&m->client, m->loop, "drover-monitor/" DROVER_VERSION, err);
	if (rc == 0)
		rc = store_open(&m->store, m->loop, &options, err);
	m->sampler = loop_timer_new(m->loop, sample, m);
	m->checks = checks_new(m);
	m->server = server_new(m);
	if (rc == 0 && (!m->sampler || !m->checks || !m->server))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc < 0) {
		stop(w);
		return rc;
	}
	sample(m);
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
