/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The crawl worker's parser children: a few are kept ready, each has one page in flight. One that
 * dies or overruns is replaced at once and costs its page an attempt; the others go on.
 */
#include "base/compiler.h"
#include "html/frame.h"
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;
struct loop;
struct stats_slot;

struct parsers;
struct parsers_options {
	const char *program;	  /* path of drover-parser; copied */
	size_t count;		  /* children, 1..64 */
	int64_t wall_ms;	  /* of one page, until its child is killed */
	struct stats_slot *stats; /* NULL is fine */
};
int parsers_new(struct parsers **out, struct loop *loop, const struct parsers_options *options,
	struct err *err) MUST_CHECK;
/** Kills and reaps the children; waiting pages are dropped without a callback. NULL is fine. */
void parsers_free(struct parsers *parsers);
/** More or fewer children, from now on. */
void parsers_set_count(struct parsers *parsers, size_t count);

enum parse_end {
	PARSE_DONE,	/* `answer` */
	PARSE_KILLED,	/* the page took its child with it: `error` says how */
	PARSE_NO_CHILD, /* none could be started: `error` says why; not the page's fault */
};
typedef void (*parse_cb)(
	void *arg, enum parse_end end, const struct parse_answer *answer, const char *error);
struct parse_request {
	struct parse_page page;	  /* borrowed until the callback, with all it points to */
	struct parse_setup setup; /* the expressions that page.xpaths counts in; borrowed too */
	uint32_t generation;	  /* of the setup, never 0: sent to a child when it has another */
	struct arena *arena;	  /* for the answer */
};
struct parse_job;
/** The callback comes later, once. @return 0; -ENOMEM */
int parsers_submit(struct parse_job **out, struct parsers *parsers,
	const struct parse_request *request, parse_cb cb, void *arg) MUST_CHECK;
/** Without a callback; a child that is at it is replaced. NULL is fine. */
void parsers_cancel(struct parse_job *job);
/** Pids of the living children, for tests. @return how many were written */
size_t parsers_pids(const struct parsers *parsers, int *pids, size_t max);
