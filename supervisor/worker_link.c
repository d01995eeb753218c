/* SPDX-License-Identifier: MIT */
#include "worker_link.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "instance.h"
#include "ipc/messages.h"
#include "log/log.h"
#include "log_room.h"
#include "owners.h"
#include "process_memory.h"
#include "relay.h"
#include "reserve.h"
#include "stats/stats.h"
#include "supervisor.h"
#include "task_slot.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *worker_link_find(const char *program_dir, const char *program)
{
	static char path[PROGRAM_PATH + 256];
	snprintf(path, sizeof(path), "%s/%s", program_dir, program);
	if (access(path, X_OK) == 0)
		return path;
	snprintf(path, sizeof(path), "%s/../libexec/drover/%s", program_dir, program);
	if (access(path, X_OK) == 0)
		return path;
	/* It is missing: the failed exec names the place beside us. */
	snprintf(path, sizeof(path), "%s/%s", program_dir, program);
	return path;
}

const char *worker_link_program(const struct supervisor *sv, const struct worker_kind *kind)
{
	return worker_link_find(sv->program_dir, kind->program);
}

static void set_up(struct process *p)
{
	const struct supervisor *sv = p->owner;
	char owner[256];
	int fds[1 + LOG_CATEGORIES];
	fds[0] = stats_fd(sv->stats);
	memcpy(&fds[1], log_room_categories(sv->logs), sizeof(int) * LOG_CATEGORIES);
	instance_owner(p, owner, sizeof(owner));
	const struct msg_setup setup = { .name = p->name,
		.owner = owner,
		.node = sv->node,
		.incarnation = p->incarnation,
		.stats_slot = p->stats_slot,
		.log_level = (uint32_t)sv->config->logs.level,
		.state_dir = sv->state_dir };
	instance_send(p, MSG_SETUP, &setup, fds, 1 + LOG_CATEGORIES);
}

void worker_link_configure(struct process *p)
{
	const struct supervisor *sv = p->owner;
	const struct msg_config config = { .generation = sv->generation };
	struct err err = { 0 };
	reserve_give(contain_reserve(sv->contain), 1);
	int fd = config_handover(sv->config, p->kind, &err);
	if (fd >= 0) {
		instance_send(p, MSG_CONFIG, &config, &fd, 1);
		close(fd);
	}
	reserve_take(contain_reserve(sv->contain));
	if (fd < 0)
		process_fail(p, err.text);
}

static void on_hello(struct process *p, const struct msg_hello *hello)
{
	if (p->instance->greeted || hello->version != PROTOCOL_VERSION ||
		!str_eq(hello->kind, p->kind->name)) {
		process_fail(p, "its greeting is of another version or kind");
		return;
	}
	p->instance->greeted = true;
	set_up(p);
	process_greets(p);
	worker_link_configure(p);
}

static void on_config_result(struct process *p, const struct msg_config_result *result)
{
	struct supervisor *sv = p->owner;
	if (!result->ok) {
		log_error(MAIN, "config_refused", KV_STR("name", p->name),
			KV_STR("error", result->error));
		/* The first one: it cannot work. A later one: it goes on with the one it has. */
		if (!p->instance->configured)
			process_fail(p, result->error);
		return;
	}
	if (p->instance->configured)
		return;
	p->instance->configured = true;
	process_ready(p);
	if (str_eq(p->kind->name, "scheduler"))
		owners_tell_all(sv->owners);
	if (str_eq(p->kind->name, "monitor"))
		supervisor_changed(sv, p);
}

static void on_beat(struct process *p, const struct msg_beat *beat)
{
	char detail[128];
	bool stalled = beat->working && beat->stalled_ms > beat->stall_limit_ms;
	if (stalled)
		snprintf(detail, sizeof(detail), "a task made no progress for %llu ms",
			(unsigned long long)beat->stalled_ms);
	else
		snprintf(detail, sizeof(detail), "beat, %u tasks held", beat->working);
	process_probe_answer(p, beat->seq, !stalled, -1, detail);
}

static void on_trimmed(struct process *p, const struct msg_trimmed *t)
{
	process_trimmed(p, t->seq, (int64_t)MIN(t->before, (uint64_t)INT64_MAX),
		(int64_t)MIN(t->after, (uint64_t)INT64_MAX));
}

static void on_check_result(struct supervisor *sv, const struct msg_check_result *r)
{
	struct process *p = supervisor_process(sv, r->slot);
	/* Late ones, of an earlier instance or question, are dropped (S2). */
	if (p && p->incarnation == r->incarnation)
		process_probe_answer(p, r->id, r->ok != 0, (int64_t)r->latency_ms, r->detail);
}

static void pass_on_work(struct supervisor *sv, const char *kind)
{
	const struct msg_wake body = { .kind = kind };
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->kind && str_eq(p->kind->name, kind) && instance_ready(p) &&
			p->state == PROCESS_RUNNING)
			instance_send(p, MSG_WORK, &body, NULL, 0);
	}
}

/* What one kind alone may say: a crawl worker that a page has taken over ends no service by it. */
static const char *only_speaker(enum message_id id)
{
	switch (id) {
	case MSG_WATCHED:
	case MSG_CHECK_RESULT: return "monitor";
	case MSG_OWNER_FREED:
	case MSG_EXEC_START:
	case MSG_EXEC_STOP:
	case MSG_EXEC_FORGET:
	case MSG_EXEC_SYNC:
	case MSG_WAKE: return "scheduler";
	default: return NULL;
	}
}

void worker_link_message(struct process *p, struct message *m)
{
	struct supervisor *sv = p->owner;
	if (m->id != MSG_HELLO && !p->instance->greeted) {
		process_fail(p, "its first message is no greeting");
		return;
	}
	const char *only = only_speaker(m->id);
	if (only && !str_eq(p->kind->name, only)) {
		process_fail(p, "it said what is another kind's to say");
		return;
	}
	switch (m->id) {
	case MSG_HELLO: on_hello(p, &m->body.hello); break;
	case MSG_CONFIG_RESULT: on_config_result(p, &m->body.config_result); break;
	case MSG_BEAT: on_beat(p, &m->body.beat); break;
	case MSG_TRIMMED: on_trimmed(p, &m->body.trimmed); break;
	case MSG_DRAINED: process_parts(p); break;
	case MSG_RESTING: process_rests(p, m->body.hold.on != 0); break;
	case MSG_OWNER_FREED: owners_freed(sv->owners, m->body.owner_gone.owner); break;
	case MSG_WAKE: pass_on_work(sv, m->body.wake.kind); break;
	case MSG_CHECK_RESULT: on_check_result(sv, &m->body.check_result); break;
	case MSG_EXEC_START:
	case MSG_EXEC_STOP:
	case MSG_EXEC_FORGET:
	case MSG_EXEC_SYNC: task_slot_message(sv, m); break;
	case MSG_WATCHED: supervisor_watched(sv); break;
	case MSG_ANSWER: relay_answer(sv->relay, p, &m->body.answer); break;
	default: break;
	}
}

static bool ask_http(const struct process *p, struct process *monitor, uint64_t seq)
{
	const struct config_probe *probe = &p->rules->probe;
	CLEANUP(buf_finish) struct buf status = BUF_INIT;
	for (size_t i = 0; i < probe->http_status.count; i++)
		buf_addf(&status, "%s%s", i ? "," : "", probe->http_status.items[i]);
	if (!probe->http_status.count)
		buf_add_str(&status, "2xx");
	const struct msg_check_http check = { .id = seq,
		.slot = p->name,
		.incarnation = p->incarnation,
		.url = probe->http,
		.status = buf_str(&status),
		.body = probe->http_body ? probe->http_body : "",
		.timeout_ms = (uint64_t)probe->timeout_ms };
	return !buf_failed(&status) && instance_send(monitor, MSG_CHECK_HTTP, &check, NULL, 0);
}

static bool ask_tcp(const struct process *p, struct process *monitor, uint64_t seq)
{
	const struct msg_check_tcp check = { .id = seq,
		.slot = p->name,
		.incarnation = p->incarnation,
		.address = p->rules->probe.tcp,
		.timeout_ms = (uint64_t)p->rules->probe.timeout_ms };
	return instance_send(monitor, MSG_CHECK_TCP, &check, NULL, 0);
}

bool worker_link_ask_monitor(struct process *p, uint64_t seq)
{
	struct process *monitor = supervisor_worker(p->owner, "monitor");
	if (!monitor)
		return false;
	return p->rules->probe.tcp ? ask_tcp(p, monitor, seq) : ask_http(p, monitor, seq);
}

bool worker_link_probe(struct process *p, uint64_t seq)
{
	const struct msg_probe body = { .seq = seq };
	/* A worker that cannot be sent a probe is not excused: its silence counts. */
	instance_send(p, MSG_PROBE, &body, NULL, 0);
	/* Who is woken anyway costs nothing more. */
	if (supervisor_worker(p->owner, "monitor") == p)
		supervisor_refresh_summary(p->owner);
	return true;
}

bool worker_link_trim(struct process *p, uint64_t seq)
{
	const struct msg_trim body = { .seq = seq };
	return instance_ready(p) && instance_send(p, MSG_TRIM, &body, NULL, 0);
}

bool worker_link_hold(struct process *p, bool hold)
{
	const struct msg_hold body = { .on = hold };
	return p->instance && p->instance->greeted && instance_send(p, MSG_HOLD, &body, NULL, 0);
}
