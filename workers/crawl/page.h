/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One task, one URL: robots, fetch, parse, then one transaction with all that came of it
 * (commit.c). Whatever happens on the way, it ends in exactly one such transaction, or the task is
 * no longer ours.
 */
#include "base/buf.h"
#include "base/list.h"
#include "crawl/plan.h"
#include "crawl/request.h"
#include "queue/queue.h"

struct crawl;
struct robots_wait;
struct worker_ticket;

enum page_end {
	END_ROW,      /* a row, and its links */
	END_SKIPPED,  /* not fetched, or nothing to keep: `reason` */
	END_FAILED,   /* a broken link: done, and told in the run's errors */
	END_MOVED,    /* a redirect, or another name: `target` enters the frontier */
	END_RETRY,    /* not this time; a dead letter after the last attempt */
	END_PUT_BACK, /* waits for a limit */
	END_DEAD,     /* trying again will not help */
};
struct page {
	struct list node; /* in crawl->pages */
	struct crawl *crawl;
	struct plan_set *set;
	struct plan *plan; /* NULL: its job is gone */
	struct task *task;
	struct worker_ticket *ticket;
	struct loop_timer *timer; /* the task's timeout */
	struct loop_timer *again; /* the next try to commit */
	struct arena *arena;

	struct url *url;
	struct robots_wait *robots;
	struct crawl_request request;
	struct fetch *fetch;
	struct parse_job *parse;
	struct buf body;
	char content_type[256];
	int64_t status, fetched_at_ms;
	char hash[33]; /* xxh3 of 128 bits over the body's bytes, hex */
	const struct plan_rule *rule;
	struct parse_answer answer; /* of END_ROW; in the arena */
	struct run_counts counts;

	enum page_end end;
	char reason[512];
	int64_t delay_ms; /* END_RETRY: 0 is the queue's backoff; END_PUT_BACK */
	char *target;	  /* END_MOVED: canonical */
	/* What the frontier knows of this URL, read for END_FAILED and END_MOVED. */
	bool context_known;
	char *referrer;
	int64_t redirects; /* that led here */
	bool committing;
	struct frontier_url *urls; /* what the transaction adds; in the arena */
	size_t url_count;
};

/** Takes task. @return false: no memory; the task is dropped, its lease will end */
bool page_start(struct crawl *crawl, struct task *task);
/** Stops what is under way and ends so; nothing happens when it is ending already. */
void page_over(struct page *page, enum page_end end, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** Frees it, without a transaction; one that was submitted still happens. */
void page_free(struct page *page);

/* commit.c */
void page_commit(struct page *page);
