/* SPDX-License-Identifier: MIT */
#include "scheduler/scheduler.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "loop/loop.h"
#include "queue/queue.h"
#include "queue/queue_exec.h"
#include "scheduler/answers.h"
#include "scheduler/chain.h"
#include "scheduler/clock_steps.h"
#include "scheduler/commands.h"
#include "scheduler/keeper.h"
#include "scheduler/leases.h"
#include "scheduler/tables.h"
#include "scheduler/ticker.h"
#include "scheduler/zones.h"
#include "store/store.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 500, REFUSED_RETRY_MS = 5000 };

/* One dead owner whose tasks are not yet known to be free. */
struct gone_owner {
	struct list node;
	struct scheduler *scheduler;
	struct loop_timer *retry;
	char owner[];
};

static const char *const task_kinds[] = { "collect", "crawl", QUEUE_EXEC };

void scheduler_wake(struct scheduler *s, const char *kind)
{
	struct msg_wake wake = { .kind = kind };
	if (str_eq(kind, QUEUE_EXEC)) {
		commands_wake(s->commands);
		return;
	}
	worker_send(s->worker, MSG_WAKE, &wake);
}

static void wake_all(struct scheduler *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(task_kinds); i++)
		scheduler_wake(s, task_kinds[i]);
}

/* ---- the store comes and goes: said once each time ---- */

static void start_over(struct scheduler *s)
{
	if (!s->ready)
		return;
	s->ready = false;
	ticker_stop(s->ticker);
	keeper_stop(s->keeper);
	chain_stop(s->chain);
	commands_stop(s->commands);
	leases_stop(s->leases);
	loop_timer_start(s->retry, RETRY_MS);
}

void scheduler_store_said(struct scheduler *s, enum store_status status, const char *error)
{
	if (status == STORE_OK) {
		if (s->trouble[0])
			log_info(MAIN, "store_back", KV_STR("name", worker_name(s->worker)));
		s->trouble[0] = '\0';
		return;
	}
	if (strncmp(s->trouble, error, sizeof(s->trouble) - 1) != 0)
		log_warn(MAIN, "store_unavailable", KV_STR("name", worker_name(s->worker)),
			KV_STR("error", error));
	str_copy(s->trouble, sizeof(s->trouble), error[0] ? error : "the store failed");
	/* A statement that was right before: somebody put another database in its place. */
	if (status == STORE_FAILED)
		start_over(s);
}

static bool queue_failed(struct scheduler *s, enum queue_status status)
{
	scheduler_store_said(s,
		status == QUEUE_OK	 ? STORE_OK
		: status == QUEUE_FAILED ? STORE_FAILED
					 : STORE_UNAVAILABLE,
		queue_error());
	return status != QUEUE_OK;
}

/* ---- start-up: schema, then the tasks of an earlier supervisor's workers, then the clock ---- */

static void on_earlier_freed(void *arg, enum queue_status status)
{
	struct scheduler *s = arg;
	if (queue_failed(s, status)) {
		loop_timer_start(s->retry, RETRY_MS);
		return;
	}
	s->ready = true;
	log_info(MAIN, "scheduler_ready", KV_STR("name", worker_name(s->worker)));
	wake_all(s);
	ticker_start(s->ticker);
	keeper_start(s->keeper);
	tables_start(s->tables);
	chain_start(s->chain);
	commands_start(s->commands);
	leases_start(s->leases);
}

/* "node/epoch/slot/incarnation" -> epoch */
void scheduler_epoch(const struct scheduler *s, char *epoch, size_t size)
{
	const char *owner = worker_owner(s->worker), *from = strchr(owner, '/');
	from = from ? from + 1 : owner;
	size_t len = strcspn(from, "/");
	len = MIN(len, size - 1);
	memcpy(epoch, from, len);
	epoch[len] = '\0';
}

static void on_migrated(void *arg, enum queue_status status)
{
	struct scheduler *s = arg;
	char epoch[64];
	/* Tables of a newer drover may be exchanged for ours by hand; until then questions are
	 * answered with the reason. */
	if (queue_failed(s, status)) {
		loop_timer_start(s->retry, status == QUEUE_FAILED ? REFUSED_RETRY_MS : RETRY_MS);
		return;
	}
	scheduler_epoch(s, epoch, sizeof(epoch));
	queue_free_other_epochs(s->store, worker_node(s->worker), epoch, on_earlier_freed, s);
}

static void start_up(void *arg)
{
	struct scheduler *s = arg;
	queue_migrate(s->store, on_migrated, s);
}

/* ---- dead owners ---- */

static void gone_owner_free(struct gone_owner *gone)
{
	list_remove(&gone->node);
	loop_timer_free(gone->retry);
	free(gone);
}

static void on_owner_freed(void *arg, enum queue_status status)
{
	struct gone_owner *gone = arg;
	struct scheduler *s = gone->scheduler;
	if (queue_failed(s, status)) {
		loop_timer_start(gone->retry, RETRY_MS);
		return;
	}
	struct msg_owner_gone freed = { .owner = gone->owner };
	log_info(MAIN, "owner_freed", KV_STR("owner", gone->owner));
	worker_send(s->worker, MSG_OWNER_FREED, &freed);
	wake_all(s);
	gone_owner_free(gone);
}

static void free_owner(void *arg)
{
	struct gone_owner *gone = arg;
	if (!gone->scheduler->ready) {
		loop_timer_start(gone->retry, RETRY_MS / 5);
		return;
	}
	queue_free_owner(gone->scheduler->store, gone->owner, on_owner_freed, gone);
}

/* The supervisor asks again until OWNER_FREED; doing it twice is harmless. */
static void on_owner_gone(struct scheduler *s, const char *owner)
{
	size_t size = strlen(owner) + 1;
	LIST_FOR_EACH (node, &s->gone)
		if (str_eq(LIST_ENTRY(node, struct gone_owner, node)->owner, owner))
			return;
	struct gone_owner *gone = malloc(sizeof(*gone) + size);
	if (!gone)
		return;
	gone->scheduler = s;
	gone->retry = loop_timer_new(s->loop, free_owner, gone);
	memcpy(gone->owner, owner, size);
	if (!gone->retry) {
		free(gone);
		return;
	}
	list_add_tail(&s->gone, &gone->node);
	free_owner(gone);
}

/* ---- the frame's calls ---- */

static void stop(struct worker *w)
{
	struct scheduler *s = worker_state(w);
	answers_free(s->answers);
	tables_free(s->tables);
	chain_free(s->chain);
	clock_steps_free(s->clock_steps);
	zones_free(s->zones);
	ticker_free(s->ticker);
	commands_free(s->commands);
	keeper_free(s->keeper);
	loop_timer_free(s->retry);
	leases_free(s->leases);
	store_close(s->store);
	LIST_FOR_EACH_SAFE (node, &s->gone)
		gone_owner_free(LIST_ENTRY(node, struct gone_owner, node));
	free(s);
}

static int open_all(struct worker *w, const struct config *config, struct err *err)
{
	struct scheduler *s = NEW(struct scheduler);
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->worker = w;
	s->loop = worker_loop(w);
	s->stats = worker_stats_segment(w);
	list_init(&s->gone);
	struct store_options options = {
		.url = config->store.url,
		.pool = store_pool_of(&config->store.pool),
		.state_dir = worker_state_dir(w),
		.create = true,
		.stats = worker_stats(w),
	};
	int rc = store_open(&s->store, s->loop, &options, err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	worker_set_state(w, s);
	s->retry = loop_timer_new(s->loop, start_up, s);
	s->leases = leases_new(s);
	s->ticker = ticker_new(s);
	s->zones = zones_new(s);
	s->clock_steps = s->ticker ? clock_steps_new(s->loop, s->ticker) : NULL;
	s->keeper = keeper_new(s);
	s->chain = chain_new(s);
	s->answers = answers_new(s);
	s->tables = tables_new(s);
	s->commands = commands_new(s);
	if (!s->commands || !s->retry || !s->leases || !s->clock_steps || !s->keeper || !s->zones ||
		!s->chain || !s->answers || !s->tables) {
		stop(w);
		worker_set_state(w, NULL);
		return err_set(err, -ENOMEM, "out of memory");
	}
	loop_timer_start(s->retry, 0);
	return 0;
}

static int configure(struct worker *w, const struct config *config, struct err *err)
{
	bool first = !worker_state(w);
	int rc = first ? open_all(w, config, err) : 0;
	if (rc == 0)
		rc = ticker_configure(((struct scheduler *)worker_state(w))->ticker, config, err);
	if (rc == 0)
		rc = tables_configure(((struct scheduler *)worker_state(w))->tables, config, err);
	if (rc == 0) {
		struct scheduler *s = worker_state(w);
		chain_configure(s->chain);
		commands_configure(s->commands, config);
		keeper_configure(s->keeper, config->store.history_ms);
	}
	if (rc < 0 && first && worker_state(w)) {
		stop(w);
		worker_set_state(w, NULL);
	}
	return rc;
}

static void message(struct worker *w, const struct message *m)
{
	struct scheduler *s = worker_state(w);
	if (m->id == MSG_OWNER_GONE)
		on_owner_gone(s, m->body.owner_gone.owner);
	else if (m->id == MSG_QUESTION)
		answers_ask(s->answers, &m->body.question);
	else if (m->id == MSG_EXEC_STARTED || m->id == MSG_EXEC_ENDED)
		commands_message(s->commands, m);
}

static void trim(struct worker *w)
{
	const struct scheduler *s = worker_state(w);
	store_trim(s->store);
}

static void on_drained(void *arg)
{
	worker_drained(arg);
}

static void drain(struct worker *w, int64_t deadline_ms UNUSED)
{
	struct scheduler *s = worker_state(w);
	/* What is submitted is finished by store_close(). Commands go on: droverd keeps how they
	 * end. */
	if (s)
		commands_drain(s->commands, on_drained, w);
	else
		worker_drained(w);
}

extern const struct worker_kind *const worker_kinds[];

const struct worker_ops scheduler_ops = {
	.kinds = worker_kinds,
	.configure = configure,
	.message = message,
	.drain = drain,
	.trim = trim,
	.stop = stop,
};
