/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The collect worker: claims tasks up to its share of workers.collect.concurrency and lets each run
 * (task.h). A reload puts running tasks back: they go on at their checkpoint under the new
 * configuration.
 */
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collect_task;
struct config;
struct err;
struct fetcher;
struct hosts;
struct http_client;
struct limits;
struct loop;
struct oauth;
struct loop_timer;
struct plan;
struct queue;
struct store;
struct store_tx;
struct worker;
struct worker_ops;

struct collector {
	struct worker *worker;
	struct loop *loop;
	struct store *store;
	struct store *known; /* for trying: where for_each's values and cursors are read; NULL: in
				store */
	struct queue *queue;
	struct limits *limits;
	struct http_client *http;
	struct fetcher *fetcher;
	struct plan **plans; /* one a job of ours */
	size_t plan_count, slots, running;
	struct hosts *hosts;
	struct list tasks;
	struct list oauths; /* of providers: tokens.c */
	struct loop_timer *poll, *renew, *deadline, *token_wait;
	bool claiming, draining, holding, winding; /* winding: tasks end at their next page */
	bool claim_again;
	bool names_changed;	 /* hosts of providers are to be looked up ahead */
	int claim_trouble;	 /* the queue_status last logged */
	int64_t sample, sampled; /* for trying: no page is asked for once so many records came; 0:
				    all are */
};

extern const struct worker_ops collect_ops;

/** A task has ended and was freed. */
void collector_task_over(struct collector *c);
/** Claims with the transaction that acknowledges a task: one commit less for each. */
void collector_claim_with(struct collector *c, struct store_tx *tx);
const struct plan *collector_plan(const struct collector *c, const char *job);
/* tokens.c */
/** Makes what the plans' providers need; what is asked for now is let come to its end.
 * @return 0, negative errno with words */
int collector_make_oauths(struct collector *c, struct err *err);
void collector_free_oauths(struct collector *c);
/** NULL: the provider has none. */
struct oauth *collector_oauth(const struct collector *c, const char *provider);
/** A token is on its way, which must not be lost. */
bool collector_awaits_token(struct collector *c);
