/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Ticker and answers over a real store on a real loop; the wall clock is the fake one. What they
 * say to the supervisor is caught here: scheduler.c and the worker's frame are not linked.
 */
#include "queue/queue_fixture.h"

#include "base/buf.h"
#include "config/load.h"
#include "fakes/clock.h"
#include "scheduler/scheduler.h"
#include <jansson.h>

enum { PAGES_MAX = 256 };

struct page {
	char *json;
	size_t len;
	bool last;
	unsigned exit_code;
};

struct world {
	struct fixture *f;
	struct scheduler s;
	struct config *config;
	struct page pages[PAGES_MAX]; /* of ANSWERs, in order */
	size_t page_count;
	bool refuse_pages; /* as a channel whose queue is full */
	int wakes;
	enum store_status worst; /* that scheduler_store_said() heard */
};

extern struct world *world;

int world_setup(void **state);
int world_teardown(void **state);
/** A collect job "tick" with this schedule (flow mapping; NULL: none), nothing else. */
struct config *tick_config(const char *schedule);
/** Takes up a configuration (takes it) and waits until the store has nothing more to do. Time
 * stands still meanwhile: what is due is decided. */
void world_configure(struct config *config);
/** The wall clock goes on; all that is due then is decided. */
void world_advance(int64_t ms);
void world_set_clock(int64_t real_ms);
/** What has ended is seen, and all that follows from it. */
void world_look(void);
/** Dies and starts again: only the store remembers. */
void world_restart_ticker(void);
/** Waits until no transaction is on its way. */
void world_settle(void);
/** All runs end as if their tasks were done. */
void world_finish_runs(void);
/** One number of one row. */
int64_t world_number(const char *sql);
/** One text of one row, valid until the next call; "" when there is none. */
const char *world_text(const char *sql);
