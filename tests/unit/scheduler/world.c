/* SPDX-License-Identifier: MIT */
#include "scheduler/world.h"

#include "config/config.h"
#include "ipc/messages.h"
#include "scheduler/answers.h"
#include "scheduler/chain.h"
#include "scheduler/ticker.h"
#include "worker/worker.h"
#include <errno.h>

struct world *world;

/* ---- what the worker's frame and scheduler.c would do ---- */

int worker_send(struct worker *w UNUSED, enum message_id id, const void *body)
{
	assert_int_equal(id, MSG_ANSWER);
	const struct msg_answer *answer = body;
	struct page *page = &world->pages[world->page_count];
	if (world->refuse_pages)
		return -ENOBUFS;
	assert_true(world->page_count++ < PAGES_MAX);
	*page = (struct page) { .json = strndup(answer->json.data, answer->json.len),
		.len = answer->json.len,
		.last = answer->last,
		.exit_code = answer->exit_code };
	return 0;
}

void scheduler_wake(struct scheduler *s UNUSED, const char *kind UNUSED)
{
	world->wakes++;
}

void scheduler_store_said(
	struct scheduler *s UNUSED, enum store_status status, const char *error UNUSED)
{
	world->worst = MAX(world->worst, status);
}

/* ---- the world ---- */

int world_setup(void **state)
{
	fake_clock_reset();
	queue_setup(state);
	world = NEW(struct world);
	assert_non_null(world);
	world->f = *state;
	world->s.loop = world->f->loop;
	world->s.store = world->f->store;
	world->s.ready = true;
	list_init(&world->s.gone);
	world->s.ticker = ticker_new(&world->s);
	world->s.chain = chain_new(&world->s);
	world->s.answers = answers_new(&world->s);
	assert_non_null(world->s.chain);
	assert_non_null(world->s.ticker);
	assert_non_null(world->s.answers);
	return 0;
}

int world_teardown(void **state)
{
	answers_free(world->s.answers);
	chain_free(world->s.chain);
	ticker_free(world->s.ticker);
	config_free(world->config);
	for (size_t i = 0; i < world->page_count; i++)
		free(world->pages[i].json);
	free(world);
	world = NULL;
	return fixture_teardown(state);
}

struct config *tick_config(const char *schedule)
{
	char yaml[1024];
	snprintf(yaml, sizeof(yaml),
		"providers:\n"
		"  p: {base_url: \"https://api.example.org/\"}\n"
		"jobs:\n"
		"  tick:\n"
		"    kind: collect\n"
		"%s%s\n"
		"    request: {provider: p, path: /x}\n"
		"    fields: {id: id}\n"
		"    store: {table: t, key: [id]}\n",
		schedule ? "    schedule: " : "", schedule ? schedule : "");
	return must_load(yaml);
}

void world_settle(void)
{
	/* A transaction's done may submit the next one. */
	while (store_pending(world->f->store) > 0)
		run_tx(world->f, store_tx_new(world->f->store, 0));
}

static void take_up(struct config *config)
{
	struct err err;
	struct config *before = world->config;
	assert_int_equal(ticker_configure(world->s.ticker, config, &err), 0);
	chain_configure(world->s.chain);
	world->config = config;
	if (before != config)
		config_free(before);
}

void world_configure(struct config *config)
{
	bool first = !world->config;
	take_up(config);
	if (first) {
		ticker_start(world->s.ticker);
		chain_start(world->s.chain);
	}
	world_settle();
}

void world_advance(int64_t ms)
{
	fake_clock_advance_ms(ms);
	/* The same configuration once more makes it look at the clock at once. */
	take_up(world->config);
	world_settle();
}

void world_set_clock(int64_t real_ms)
{
	fake_clock_set_real_ms(real_ms);
	world_advance(0);
}

void world_restart_ticker(void)
{
	chain_free(world->s.chain);
	ticker_free(world->s.ticker);
	world->s.chain = chain_new(&world->s);
	assert_non_null(world->s.chain);
	world->s.ticker = ticker_new(&world->s);
	assert_non_null(world->s.ticker);
	take_up(world->config);
	ticker_start(world->s.ticker);
	chain_start(world->s.chain);
	world_settle();
}

void world_look(void)
{
	for (int i = 0; i < 3; i++) {
		chain_look(world->s.chain);
		world_settle();
	}
}

void world_finish_runs(void)
{
	assert_ok(run_sql(world->f, "DELETE FROM drover_task"));
	assert_ok(run_sql(world->f,
		"UPDATE drover_run SET state = 'succeeded', finished_at = 1 WHERE finished_at IS "
		"NULL"));
}

int64_t world_number(const char *sql)
{
	return peek(world->f, sql);
}

const char *world_text(const char *sql)
{
	assert_ok(run_sql(world->f, sql));
	return world->f->out.rows ? world->f->out.text : "";
}
