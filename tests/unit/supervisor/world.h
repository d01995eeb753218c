/* SPDX-License-Identifier: MIT */
#pragma once
/* One slot, a worker, on the fake loop, and the world that plays its instances. */
#include "config/config.h"
#include "process.h"

struct world {
	struct loop *loop;
	struct process *p;
	struct config_supervision rules, changed; /* changed: the same until a test changes it */
	int spawned, terminated, killed, gone, saved, probes, trims; /* how often it was asked to */
	int living;
	int spawn_error; /* what a fork fails with; 0 */
	uint64_t seq;	 /* of the last question */
	int64_t asked_ms, stop_ms;
	int64_t automatic_at_save; /* what was in the record before the last start */
	int64_t fork_ms;
	uint64_t fingerprint; /* of the present configuration */
	uint64_t fingerprint_saved, fingerprint_at_fork;
	bool immortal, unsettled, holding;
	bool away;	       /* no channel: a worker cannot be told */
	const char *stands_at; /* NULL: executed */
};

/** cmocka's setup and teardown; *state is the world. */
int set_up(void **state);
int tear_down(void **state);
/** Started and ready. */
void up(struct world *w);
/** The main process has ended with this si_code and si_status, and nothing is left. */
void end(struct world *w, int code, int status);
