/* SPDX-License-Identifier: MIT */
#pragma once
/* The crawl worker's own state. Its pages live in page.c and commit.c. */
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>

struct fetcher;
struct http_client;
struct known;
struct limits;
struct loop;
struct loop_timer;
struct parsers;
struct plan_set;
struct queue;
struct robots_cache;
struct stats_slot;
struct store;
struct worker;
struct worker_ops;

struct crawl {
	struct worker *worker;
	struct loop *loop;
	struct stats_slot *stats;
	struct store *store;
	struct queue *queue;
	struct limits *limits;
	struct http_client *client;
	struct fetcher *fetcher;
	struct parsers *parsers;
	struct robots_cache *robots;
	struct known *known;
	struct plan_set *plans; /* of the present configuration */
	struct list pages;
	size_t page_count, share;
	bool schema_ready, claiming, again, draining, holding, releasing;
	struct loop_timer *poll, *renew, *deadline;
};

/** A page is gone: room for another task. */
void crawl_page_gone(struct crawl *crawl);

extern const struct worker_ops crawl_ops;
