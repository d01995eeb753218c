/* SPDX-License-Identifier: MIT */
/*
 * The collect worker's own code without supervisor and scheduler: for tests that need a hostile
 * provider, not a whole house. It plays the frame (worker/worker.h) and the scheduler: makes the
 * tables, frees what dead owners hold, makes a run, works until no run is open, exits 0.
 *
 * collect_alone STATE_DIR CONFIG [JOB [REQUEST_ID]]
 *   JOB: a manual run of it, once for each REQUEST_ID
 *   SIGHUP: reads CONFIG again; SIGTERM: drains (3 s), exits 3
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "collect/collect.h"
#include "collect/kind.h"
#include "config/config.h"
#include "config/kind.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "stats/stats.h"
#include "store/store.h"
#include "worker/worker.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 20, RETRY_MS = 100 };

struct worker {
	struct loop *loop;
	void *state;
	const char *state_dir, *file, *job, *request_id;
	struct config *config;
	char owner[64];
	struct store *store;
	struct loop_timer *look, *again;
	int result;
};

/* ---- the frame ---- */

int worker_main(const struct worker_kind *kind, const struct worker_ops *ops, int argc, char **argv)
{
	(void)kind, (void)ops, (void)argc, (void)argv;
	return 1;
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
const char *worker_owner(const struct worker *w)
{
	return w->owner;
}
const char *worker_state_dir(const struct worker *w)
{
	return w->state_dir;
}
bool worker_may_take(struct worker *w)
{
	(void)w;
	return true;
}
struct stats_slot *worker_stats(struct worker *w)
{
	(void)w;
	return NULL;
}
struct worker_ticket *worker_ticket_new(struct worker *w, int64_t limit_ms)
{
	(void)w, (void)limit_ms;
	return malloc(1);
}
void worker_ticket_touch(struct worker_ticket *ticket)
{
	(void)ticket;
}
void worker_ticket_free(struct worker_ticket *ticket)
{
	free(ticket);
}
void worker_drained(struct worker *w)
{
	loop_stop(w->loop);
}
void worker_rests(struct worker *w)
{
	(void)w;
}

static void give_up(struct worker *w, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	w->result = 2;
	loop_stop(w->loop);
}

/* ---- the scheduler's part ---- */

static void on_seen(void *arg, const struct store_result *r)
{
	struct worker *w = arg;
	if (store_result_status(r) == STORE_OK && store_result_int(r, 0, 0, 0) == 0) {
		w->result = 0;
		collect_ops.drain(w, 1000);
		return;
	}
	loop_timer_start(w->look, LOOK_MS);
}

static void look(void *arg)
{
	struct worker *w = arg;
	struct store_tx *tx = store_tx_new(w->store, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT COUNT(*) FROM drover_run WHERE finished_at IS NULL", NULL, 0);
	store_submit(w->store, tx, on_seen, w);
}

static bool configure(struct worker *w)
{
	struct err err = { 0 };
	struct buf report = BUF_INIT;
	struct config *config = NULL;
	const struct config_options options = { .file = w->file,
		.state_dir = w->state_dir,
		.runtime_dir = w->state_dir,
		.log_dir = w->state_dir,
		.kinds = worker_kinds };
	int rc = config_load(&config, &options, &report);
	if (rc < 0)
		fprintf(stderr, "%s", buf_str(&report));
	buf_finish(&report);
	if (rc == 0)
		rc = collect_ops.configure(w, config, &err);
	if (rc < 0) {
		config_free(config);
		give_up(w, "configure", err.text);
		return false;
	}
	config_free(w->config);
	w->config = config;
	return true;
}

static void on_made(void *arg, const struct store_result *r)
{
	struct worker *w = arg;
	if (store_result_status(r) != STORE_OK)
		give_up(w, "no run", store_result_error(r));
	else if (configure(w))
		loop_timer_start(w->look, LOOK_MS);
}

static void make_run(struct worker *w)
{
	static const char *const payloads[] = { "{}" };
	const struct config_job *job = NULL;
	struct config *config = NULL;
	struct buf report = BUF_INIT;
	const struct config_options options = { .file = w->file,
		.state_dir = w->state_dir,
		.runtime_dir = w->state_dir,
		.log_dir = w->state_dir,
		.kinds = worker_kinds };
	if (config_load(&config, &options, &report) == 0)
		job = config_job(config, w->job ? w->job : "");
	struct store_tx *tx = store_tx_new(w->store, 0);
	if (job) {
		const struct run_request run = { .job = job->name,
			.kind = "collect",
			.trigger = "manual",
			.request_id = w->request_id,
			.max_attempts = job->retry.attempts,
			.timeout_ms = job->timeout_ms,
			.priority = PRIORITY_MEDIUM,
			.payloads = payloads,
			.payload_count = 1 };
		queue_tx_run(tx, &run, clock_real_ms());
	}
	store_submit(w->store, tx, on_made, w);
	config_free(config);
	if (report.len)
		fprintf(stderr, "%s", buf_str(&report));
	buf_finish(&report);
}

static void start(void *arg);

static void on_freed(void *arg, enum queue_status status)
{
	struct worker *w = arg;
	if (status == QUEUE_OK)
		make_run(w);
	else
		loop_timer_start(w->again, RETRY_MS);
}

/* Every process here is an epoch of its own; $ALONE_EPOCH joins several into one. */
static void on_migrated(void *arg, enum queue_status status)
{
	struct worker *w = arg;
	const char *epoch = getenv("ALONE_EPOCH");
	char own[32];
	snprintf(own, sizeof(own), "%d", (int)getpid());
	if (status == QUEUE_FAILED)
		give_up(w, "migrate", queue_error());
	else if (status == QUEUE_OK)
		queue_free_other_epochs(w->store, "node", epoch ? epoch : own, on_freed, w);
	else
		loop_timer_start(w->again, RETRY_MS);
}

static void start(void *arg)
{
	struct worker *w = arg;
	queue_migrate(w->store, on_migrated, w);
}

static void on_signal(void *arg, int signo)
{
	struct worker *w = arg;
	if (!w->state)
		return;
	if (signo == SIGHUP) {
		(void)configure(w);
		return;
	}
	w->result = 3;
	loop_timer_stop(w->look);
	store_forget(w->store, w);
	collect_ops.drain(w, 6000);
}

int main(int argc, char **argv)
{
	struct worker w = { .state_dir = argc > 1 ? argv[1] : NULL,
		.file = argc > 2 ? argv[2] : NULL,
		.job = argc > 3 ? argv[3] : NULL,
		.request_id = argc > 4 ? argv[4] : "one",
		.result = 2 };
	struct err err = { 0 };
	const struct store_options options = {
		.url = "sqlite:drover.db", .state_dir = w.state_dir, .create = true
	};
	const char *epoch = getenv("ALONE_EPOCH");
	signal(SIGPIPE, SIG_IGN);
	if (epoch)
		snprintf(w.owner, sizeof(w.owner), "node/%.20s/collect/%d", epoch, (int)getpid());
	else
		snprintf(w.owner, sizeof(w.owner), "node/%d/collect/1", (int)getpid());
	if (argc < 3 || loop_new(&w.loop, &err) < 0 ||
		store_open(&w.store, w.loop, &options, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	w.look = loop_timer_new(w.loop, look, &w);
	w.again = loop_timer_new(w.loop, start, &w);
	struct loop_signal *hup = loop_signal_new(w.loop, SIGHUP, on_signal, &w);
	struct loop_signal *term = loop_signal_new(w.loop, SIGTERM, on_signal, &w);
	start(&w);
	loop_run(w.loop);
	collect_ops.stop(&w);
	store_close(w.store);
	loop_signal_free(hup);
	loop_signal_free(term);
	loop_timer_free(w.look);
	loop_timer_free(w.again);
	config_free(w.config);
	loop_free(w.loop);
	return w.result;
}
