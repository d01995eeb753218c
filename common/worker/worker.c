/* SPDX-License-Identifier: MIT */
#include "worker/worker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/kernel_file.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "ipc/channel.h"
#include "log/log.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include "worker/pressure.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	CHANNEL_FD = 3,
	/* S5: a worker that lost its supervisor is gone within 5 s. */
	LOST_DRAIN_MS = 3500,
	LOST_EXIT_MS = 4500,
	LOST_END_MS = 4800,
	SETUP_FDS = 1 + LOG_CATEGORIES,
	TRIM_MS = 100, /* other threads give back what is theirs meanwhile */
	GAP_MS = 250,  /* how often a full log is tried for saying that lines are missing */
};

struct worker_ticket {
	struct list node;
	struct worker *worker;
	int64_t limit_ms, touched_ms;
};

struct worker {
	const struct worker_kind *kind;
	const struct worker_ops *ops;
	struct loop *loop;
	struct channel *channel;
	struct loop_signal *on_term;
	struct loop_timer *exit_timer, *trim_timer, *gap_timer;
	struct stats *stats;
	struct stats_slot *slot;
	struct config *config;
	void *state;
	char *name, *owner, *node, *state_dir;
	struct list tickets;
	uint64_t progress;
	bool set_up, draining, configured, holding;
	bool parted; /* said so */
	bool alone;  /* nobody supervises it, and the loop is another's */
	int exit_code;
	struct pressure pressure;
	struct msg_trimmed trimmed; /* the answer that is due; seq 0: none */
};

static void on_message(void *arg, struct message *m);
static void on_closed(void *arg, const char *why);

/* What is submitted is finished while the store is closed: a server that is a service of this
 * droverd must not go before that. */
static bool needs_services(const struct worker *w)
{
	return w->config && !str_starts(w->config->store.url, "sqlite:");
}

static void part(struct worker *w)
{
	const struct msg_empty body = { 0 };
	if (w->parted || needs_services(w))
		return;
	w->parted = true;
	worker_send(w, MSG_DRAINED, &body);
}

static void begin_drain(struct worker *w, int64_t deadline_ms)
{
	if (w->draining)
		return;
	w->draining = true;
	if (list_empty(&w->tickets))
		part(w);
	/* Who is not done in time is cut off: leases and fences make that harmless. */
	loop_timer_start(w->exit_timer, deadline_ms + (LOST_EXIT_MS - LOST_DRAIN_MS));
	if (!w->configured) {
		worker_drained(w);
		return;
	}
	w->ops->drain(w, deadline_ms);
}

static void on_term(void *arg, int signo UNUSED)
{
	struct worker *w = arg;
	begin_drain(w, w->kind->drain_ms);
}

static void on_exit_timer(void *arg)
{
	struct worker *w = arg;
	log_warn(MAIN, "drain_cut_short", KV_STR("name", w->name));
	w->exit_code = 1;
	loop_stop(w->loop);
}

/* Also when what is freed at the end hangs: a store that waits for a disk or for another's lock. */
static void end_by_alarm(int64_t after_ms)
{
	const struct itimerval once = { .it_value = { .tv_sec = after_ms / 1000,
						.tv_usec = after_ms % 1000 * 1000 } };
	setitimer(ITIMER_REAL, &once, NULL);
}

static void on_closed(void *arg, const char *why)
{
	struct worker *w = arg;
	end_by_alarm(LOST_END_MS);
	log_warn(MAIN, "supervisor_lost", KV_STR("name", w->name),
		KV_STR("error", why ? why : "channel closed"));
	channel_free(w->channel);
	w->channel = NULL;
	if (w->draining)
		loop_timer_start(w->exit_timer, LOST_EXIT_MS);
	begin_drain(w, LOST_DRAIN_MS);
}

/* Who says nothing more must not leave the gap untold. */
static void on_log_gap(void *arg)
{
	struct worker *w = arg;
	if (!loop_timer_armed(w->gap_timer))
		loop_timer_start(w->gap_timer, GAP_MS);
}

static void on_gap_timer(void *arg)
{
	if (!log_tell_drops())
		on_log_gap(arg);
}

static bool copy_text(char **to, const char *from)
{
	free(*to);
	*to = strdup(from);
	return *to != NULL;
}

static void set_up(struct worker *w, struct message *m)
{
	const struct msg_setup *s = &m->body.setup;
	struct err err = { 0 };
	int fds[LOG_CATEGORIES];
	if (m->fd_count != SETUP_FDS || w->set_up) {
		worker_fail(w, "setup_refused", "SETUP came twice or without its descriptors");
		return;
	}
	if (!copy_text(&w->name, s->name) || !copy_text(&w->owner, s->owner) ||
		!copy_text(&w->node, s->node) || !copy_text(&w->state_dir, s->state_dir)) {
		worker_fail(w, "setup_refused", "out of memory");
		return;
	}
	for (int i = 0; i < LOG_CATEGORIES; i++) {
		fds[i] = m->fds[1 + i];
		m->fds[1 + i] = -1; /* kept for ever */
	}
	log_open(w->name, fds, (enum log_level)s->log_level);
	log_on_drop(on_log_gap, w);
	if (stats_attach(&w->stats, m->fds[0], &err) < 0) {
		worker_fail(w, "setup_refused", err.text);
		return;
	}
	w->slot = stats_slot(w->stats, s->stats_slot, w->name);
	stats_set(w->slot, STAT_tasks_paused, 0); /* not the one's before */
	w->set_up = true;
}

/* A hold that came before the first configuration comes before the first task, too. */
static void begin_work(struct worker *w)
{
	bool first = !w->configured;
	w->configured = true;
	if (first && w->holding && w->ops->hold)
		w->ops->hold(w, true);
}

static void take_config(struct worker *w, struct message *m)
{
	struct config *config = NULL;
	struct err err = { 0 };
	const struct worker_kind *own[] = { w->kind, NULL };
	int rc = m->fd_count == 1 && w->set_up
			 ? config_from_handover(
				   &config, m->fds[0], w->ops->kinds ? w->ops->kinds : own, &err)
			 : err_set(&err, -EPROTO,
				   "CONFIG came before SETUP or without its descriptor");
	if (rc == 0 && w->draining)
		rc = err_set(&err, -ESHUTDOWN, "draining");
	if (rc == 0)
		rc = w->ops->configure(w, config, &err);
	struct msg_config_result result = { .generation = m->body.config.generation,
		.ok = rc == 0,
		.error = rc == 0 ? "" : err.text };
	if (rc == 0) {
		config_free(w->config);
		w->config = config;
		begin_work(w);
		log_set_level((enum log_level)config->logs.level);
	} else {
		config_free(config);
		log_error(
			MAIN, "config_refused", KV_STR("name", w->name), KV_STR("error", err.text));
	}
	worker_send(w, MSG_CONFIG_RESULT, &result);
	if (rc < 0 && !w->configured)
		worker_fail(w, "config_refused", err.text);
}

/* The ticket that is nearest to, or furthest beyond, its limit speaks for all. */
static void answer_probe(struct worker *w, const struct msg_probe *probe)
{
	struct msg_beat beat = { .seq = probe->seq, .progress = w->progress };
	int64_t now = clock_mono_ms(), worst = INT64_MIN;
	LIST_FOR_EACH (node, &w->tickets) {
		const struct worker_ticket *t = LIST_ENTRY(node, struct worker_ticket, node);
		int64_t stalled = now - t->touched_ms;
		beat.working++;
		if (stalled - t->limit_ms <= worst)
			continue;
		worst = stalled - t->limit_ms;
		beat.stalled_ms = (uint64_t)MAX(stalled, (int64_t)0);
		beat.stall_limit_ms = (uint64_t)t->limit_ms;
	}
	stats_set(w->slot, STAT_tasks_held, beat.working);
	uint64_t dropped = log_dropped();
	if (w->slot && dropped > stats_counter(w->slot, STAT_log_dropped))
		stats_add(w->slot, STAT_log_dropped,
			dropped - stats_counter(w->slot, STAT_log_dropped));
	worker_send(w, MSG_BEAT, &beat);
}

static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	char text[128];
	(void)kernel_file_read("/proc/self/statm", text, sizeof(text));
	return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void on_trim_timer(void *arg)
{
	struct worker *w = arg;
	malloc_trim(0);
	w->trimmed.after = resident_bytes();
	worker_send(w, MSG_TRIMMED, &w->trimmed);
	w->trimmed.seq = 0;
}

/* Of two that cross, the later one's answer speaks for both. */
static void trim(struct worker *w, uint64_t seq)
{
	if (!w->trimmed.seq)
		w->trimmed.before = resident_bytes();
	w->trimmed.seq = seq;
	if (w->ops->trim && w->configured)
		w->ops->trim(w);
	loop_timer_start(w->trim_timer, TRIM_MS);
}

static void hold(struct worker *w, bool on)
{
	const struct msg_hold off = { .on = 0 };
	w->holding = on;
	if (w->ops->hold && w->configured && !w->draining)
		w->ops->hold(w, on);
	if (!on)
		worker_send(w, MSG_RESTING, &off);
}

static void on_message(void *arg, struct message *m)
{
	struct worker *w = arg;
	switch (m->id) {
	case MSG_SETUP: set_up(w, m); break;
	case MSG_CONFIG: take_config(w, m); break;
	case MSG_PROBE: answer_probe(w, &m->body.probe); break;
	case MSG_TRIM: trim(w, m->body.trim.seq); break;
	case MSG_HOLD: hold(w, m->body.hold.on != 0); break;
	case MSG_DRAIN: begin_drain(w, (int64_t)m->body.drain.deadline_ms); break;
	default:
		if (w->ops->message && w->configured)
			w->ops->message(w, m);
		break;
	}
}

static int start(struct worker *w)
{
	struct err err = { 0 };
	struct msg_hello hello = {
		.version = PROTOCOL_VERSION, .kind = w->kind->name, .pid = (uint64_t)getpid()
	};
	if (loop_new(&w->loop, &err) < 0) {
		log_error(MAIN, "worker_failed", KV_STR("error", err.text));
		return -1;
	}
	static const struct channel_ops channel_ops = { .message = on_message,
		.closed = on_closed };
	w->on_term = loop_signal_new(w->loop, SIGTERM, on_term, w);
	w->exit_timer = loop_timer_new(w->loop, on_exit_timer, w);
	w->trim_timer = loop_timer_new(w->loop, on_trim_timer, w);
	w->gap_timer = loop_timer_new(w->loop, on_gap_timer, w);
	if (!w->on_term || !w->exit_timer || !w->trim_timer || !w->gap_timer ||
		channel_new(&w->channel, w->loop, CHANNEL_FD, TO_WORKER, &channel_ops, w) < 0)
		return -1;
	return worker_send(w, MSG_HELLO, &hello);
}

static void finish(struct worker *w)
{
	if (w->configured)
		w->ops->stop(w);
	channel_free(w->channel);
	loop_signal_free(w->on_term);
	loop_timer_free(w->exit_timer);
	loop_timer_free(w->trim_timer);
	log_on_drop(NULL, NULL);
	loop_timer_free(w->gap_timer);
	if (!w->alone)
		loop_free(w->loop);
	stats_close(w->stats);
	config_free(w->config);
	free(w->name);
	free(w->owner);
	free(w->node);
	free(w->state_dir);
	free(w);
}

int worker_main(
	const struct worker_kind *kind, const struct worker_ops *ops, int argc UNUSED, char **argv)
{
	if (fcntl(CHANNEL_FD, F_GETFD) == -1) {
		dprintf(STDERR_FILENO,
			"%s is started by droverd, not by hand: descriptor 3 is not open\n",
			argv[0]);
		return 2;
	}
	fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	/* A file over the limit is an error of write, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	struct worker *w = NEW(struct worker);
	if (!w)
		return 1;
	w->kind = kind;
	w->ops = ops;
	list_init(&w->tickets);
	if (start(w) < 0)
		w->exit_code = 1;
	else
		loop_run(w->loop);
	int code = w->exit_code;
	finish(w);
	return code;
}

int worker_alone(struct worker **out, const struct worker_kind *kind, const struct worker_ops *ops,
	struct loop *loop, const char *state_dir, struct config *config, struct err *err)
{
	struct worker *w = NEW(struct worker);
	if (!w) {
		config_free(config);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*w = (struct worker) {
		.kind = kind, .ops = ops, .loop = loop, .alone = true, .config = config
	};
	list_init(&w->tickets);
	w->exit_timer = loop_timer_new(loop, on_exit_timer, w);
	if (asprintf(&w->owner, "alone/%d", (int)getpid()) < 0)
		w->owner = NULL;
	int rc = copy_text(&w->name, kind->name) && copy_text(&w->node, "alone") &&
				 copy_text(&w->state_dir, state_dir) && w->owner && w->exit_timer
			 ? ops->configure(w, config, err)
			 : err_set(err, -ENOMEM, "out of memory");
	w->configured = rc == 0;
	if (rc < 0)
		worker_alone_free(w);
	else
		*out = w;
	return rc;
}

void worker_alone_free(struct worker *w)
{
	if (w)
		finish(w);
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}

void worker_set_state(struct worker *w, void *state)
{
	w->state = state;
}

void *worker_state(struct worker *w)
{
	return w->state;
}

const char *worker_name(const struct worker *w)
{
	return w->name;
}

const char *worker_owner(const struct worker *w)
{
	return w->owner;
}

const char *worker_node(const struct worker *w)
{
	return w->node;
}

const char *worker_state_dir(const struct worker *w)
{
	return w->state_dir;
}

const struct config *worker_config(const struct worker *w)
{
	return w->config;
}

struct stats_slot *worker_stats(struct worker *w)
{
	return w->slot;
}

struct stats *worker_stats_segment(struct worker *w)
{
	return w->stats;
}

struct worker_ticket *worker_ticket_new(struct worker *w, int64_t limit_ms)
{
	struct worker_ticket *t = NEW(struct worker_ticket);
	if (!t)
		return NULL;
	*t = (struct worker_ticket) {
		.worker = w, .limit_ms = limit_ms, .touched_ms = clock_mono_ms()
	};
	list_add_tail(&w->tickets, &t->node);
	return t;
}

void worker_ticket_touch(struct worker_ticket *t)
{
	if (!t)
		return;
	t->touched_ms = clock_mono_ms();
	t->worker->progress++;
}

void worker_ticket_free(struct worker_ticket *t)
{
	if (!t)
		return;
	t->worker->progress++;
	list_remove(&t->node);
	free(t);
}

int worker_send(struct worker *w, enum message_id id, const void *body)
{
	return w->channel ? channel_send(w->channel, id, body, NULL, 0) : -EPIPE;
}

void worker_drained(struct worker *w)
{
	part(w);
	loop_timer_stop(w->exit_timer);
	loop_stop(w->loop);
}

bool worker_may_take(struct worker *w)
{
	return w->alone || pressure_allows(&w->pressure, w->name, w->slot);
}

void worker_rests(struct worker *w)
{
	const struct msg_hold on = { .on = 1 };
	worker_send(w, MSG_RESTING, &on);
}

void worker_fail(struct worker *w, const char *event, const char *error)
{
	log_error(MAIN, event, KV_STR("name", w->name ? w->name : w->kind->name),
		KV_STR("error", error));
	w->exit_code = 1;
	loop_stop(w->loop);
}
