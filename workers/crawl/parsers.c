/* SPDX-License-Identifier: MIT */
#include "crawl/parsers.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "crawl/parser_child.h"
#include "log/log.h"
#include "loop/loop.h"
#include "stats/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHILDREN_MAX = 64,
	RESTART_MIN_MS = 100, /* after a child that did not even become ready, doubled each time */
	RESTART_MAX_MS = 10000,
	FAILURES_MAX = 3, /* in a row, until waiting pages are told */
};

enum place_state { PLACE_EMPTY, PLACE_STARTING, PLACE_IDLE, PLACE_PREPARING, PLACE_BUSY };

struct parse_job {
	struct list node; /* in waiting, or alone */
	struct parsers *parsers;
	struct place *place; /* NULL while it waits */
	struct parse_request request;
	parse_cb cb;
	void *arg;
	int64_t sent_us;
};
/* One child after the other. */
struct place {
	struct parsers *parsers;
	enum place_state state;
	struct parser_child *child;
	struct parse_job *job; /* of PREPARING and BUSY; NULL when it was cancelled */
	struct loop_timer *wall, *restart;
	uint32_t generation; /* what the child was set up with */
};
struct parsers {
	struct loop *loop;
	char *program;
	size_t count;
	int64_t wall_ms;
	struct stats_slot *stats;
	struct place places[CHILDREN_MAX];
	struct list waiting;
	unsigned failures; /* starts in a row that did not become ready */
	char error[160];   /* of the last of them */
};

static void on_frame(void *arg, enum parse_frame type, const char *body, size_t len);
static void on_gone(void *arg, const char *how);
static void on_wall(void *arg);
static void on_restart(void *arg);
static void start(struct place *place);
static void hand_out(struct parsers *p);

static const struct parser_child_ops child_ops = { .frame = on_frame, .gone = on_gone };

int parsers_new(struct parsers **out, struct loop *loop, const struct parsers_options *options,
	struct err *err)
{
	struct parsers *p = NEW(struct parsers);
	if (!p)
		return err_set(err, -ENOMEM, "parsers");
	p->loop = loop;
	p->wall_ms = options->wall_ms;
	p->stats = options->stats;
	p->program = strdup(options->program);
	list_init(&p->waiting);
	bool whole = p->program != NULL;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct place *place = &p->places[i];
		place->parsers = p;
		place->wall = loop_timer_new(loop, on_wall, place);
		place->restart = loop_timer_new(loop, on_restart, place);
		whole &= place->wall && place->restart;
	}
	if (!whole) {
		parsers_free(p);
		return err_set(err, -ENOMEM, "parsers");
	}
	parsers_set_count(p, options->count);
	*out = p;
	return 0;
}

static void drop_job(struct parse_job *job)
{
	list_remove(&job->node);
	if (job->place)
		job->place->job = NULL;
	free(job);
}

void parsers_free(struct parsers *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct place *place = &p->places[i];
		parser_child_free(place->child);
		if (place->job)
			drop_job(place->job);
		loop_timer_free(place->wall);
		loop_timer_free(place->restart);
	}
	LIST_FOR_EACH_SAFE (node, &p->waiting)
		drop_job(LIST_ENTRY(node, struct parse_job, node));
	free(p->program);
	free(p);
}

void parsers_set_count(struct parsers *p, size_t count)
{
	p->count = MAX((size_t)1, MIN(count, (size_t)CHILDREN_MAX));
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct place *place = &p->places[i];
		if (i < p->count && place->state == PLACE_EMPTY &&
			!loop_timer_armed(place->restart))
			start(place);
		if (i < p->count)
			continue;
		loop_timer_stop(place->restart);
		if (place->state == PLACE_STARTING || place->state == PLACE_IDLE)
			parser_child_kill(place->child, "no longer needed");
	}
}

size_t parsers_pids(const struct parsers *p, int *pids, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < CHILDREN_MAX && n < max; i++)
		if (p->places[i].child)
			pids[n++] = parser_child_pid(p->places[i].child);
	return n;
}

int parsers_submit(struct parse_job **out, struct parsers *p, const struct parse_request *request,
	parse_cb cb, void *arg)
{
	struct parse_job *job = NEW(struct parse_job);
	if (!job)
		return -ENOMEM;
	*job = (struct parse_job) { .parsers = p, .request = *request, .cb = cb, .arg = arg };
	list_init(&job->node);
	list_add_tail(&p->waiting, &job->node);
	*out = job;
	hand_out(p);
	return 0;
}

void parsers_cancel(struct parse_job *job)
{
	if (!job)
		return;
	if (job->place)
		parser_child_kill(job->place->child, "its page was cancelled");
	drop_job(job);
}

/* The callback may submit or cancel others: the job is gone by then. */
static void finish(struct parse_job *job, enum parse_end end, const struct parse_answer *answer,
	const char *error)
{
	parse_cb cb = job->cb;
	void *arg = job->arg;
	drop_job(job);
	cb(arg, end, answer, error);
}

static void tell_the_waiting(struct parsers *p)
{
	char error[sizeof(p->error) + 32];
	snprintf(error, sizeof(error), "no parser could be started: %s", p->error);
	for (struct parse_job *job; (job = LIST_FIRST(&p->waiting, struct parse_job, node));)
		finish(job, PARSE_NO_CHILD, NULL, error);
}

static void start_failed(struct place *place, const char *why)
{
	struct parsers *p = place->parsers;
	int64_t delay = RESTART_MIN_MS;
	p->failures++;
	for (unsigned i = 1; i < p->failures && delay < RESTART_MAX_MS; i++)
		delay *= 2;
	str_copy(p->error, sizeof(p->error), why);
	log_error(MAIN, "parser_start_failed", KV_STR("path", p->program), KV_STR("error", why),
		KV_INT("wait_ms", MIN(delay, (int64_t)RESTART_MAX_MS)));
	loop_timer_start(place->restart, MIN(delay, (int64_t)RESTART_MAX_MS));
	if (p->failures >= FAILURES_MAX)
		tell_the_waiting(p);
}

/* An empty setup: its READY shows that the child lives and is closed off. */
static void start(struct place *place)
{
	struct parsers *p = place->parsers;
	struct err err = { 0 };
	if (parser_child_start(&place->child, p->loop, p->program, &child_ops, place, &err) < 0) {
		start_failed(place, err.text);
		return;
	}
	place->state = PLACE_STARTING;
	place->generation = 0;
	parse_put_setup(parser_child_out(place->child), &(struct parse_setup) { 0 });
	if (parser_child_send(place->child) < 0)
		parser_child_kill(place->child, "no memory");
	loop_timer_start(place->wall, p->wall_ms);
}

static void on_restart(void *arg)
{
	struct place *place = arg;
	if (place->state == PLACE_EMPTY &&
		(size_t)(place - place->parsers->places) < place->parsers->count)
		start(place);
}

static void on_wall(void *arg)
{
	struct place *place = arg;
	char why[64];
	snprintf(why, sizeof(why), "no answer for %lld ms", (long long)place->parsers->wall_ms);
	if (place->child)
		parser_child_kill(place->child, why);
}

static void send_page(struct place *place)
{
	place->state = PLACE_BUSY;
	parse_put_page(parser_child_out(place->child), &place->job->request.page);
	place->job->sent_us = clock_mono_us();
	loop_timer_start(place->wall, place->parsers->wall_ms);
	if (parser_child_send(place->child) < 0)
		parser_child_kill(place->child, "no memory for its page");
}

static void give(struct place *place, struct parse_job *job)
{
	list_remove(&job->node);
	job->place = place;
	place->job = job;
	if (place->generation == job->request.generation) {
		send_page(place);
		return;
	}
	place->state = PLACE_PREPARING;
	place->generation = job->request.generation;
	parse_put_setup(parser_child_out(place->child), &job->request.setup);
	loop_timer_start(place->wall, place->parsers->wall_ms);
	if (parser_child_send(place->child) < 0)
		parser_child_kill(place->child, "no memory for its expressions");
}

static void hand_out(struct parsers *p)
{
	for (size_t i = 0; i < p->count && !list_empty(&p->waiting); i++)
		if (p->places[i].state == PLACE_IDLE)
			give(&p->places[i], LIST_FIRST(&p->waiting, struct parse_job, node));
}

static void on_ready(struct place *place, const char *body, size_t len)
{
	struct parsers *p = place->parsers;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const char *error;
	if (!arena || parse_get_ready(&error, arena, body, len) < 0) {
		parser_child_kill(place->child, "its answer makes no sense");
		return;
	}
	if (*error)
		log_error(MAIN, "parser_setup_wrong", KV_STR("error", error));
	p->failures = 0;
	loop_timer_stop(place->wall);
	if (place->state == PLACE_PREPARING && place->job) {
		send_page(place);
		return;
	}
	place->state = PLACE_IDLE;
	if ((size_t)(place - p->places) >= p->count)
		parser_child_kill(place->child, "no longer needed");
	hand_out(p);
}

static void on_answer(struct place *place, const char *body, size_t len)
{
	struct parsers *p = place->parsers;
	struct parse_job *job = place->job;
	struct parse_answer answer;
	if (!job) /* cancelled: the kill is under way */
		return;
	int r = parse_get_answer(&answer, job->request.arena, body, len);
	if (r < 0 || answer.value_count != job->request.page.xpath_count) {
		parser_child_kill(place->child,
			r == -ENOMEM ? "no memory for its answer" : "its answer makes no sense");
		return;
	}
	loop_timer_stop(place->wall);
	stats_sample(p->stats, STAT_parse_seconds, clock_mono_us() - job->sent_us);
	place->state = PLACE_IDLE;
	if ((size_t)(place - p->places) >= p->count)
		parser_child_kill(place->child, "no longer needed");
	finish(job, PARSE_DONE, &answer, "");
	hand_out(p);
}

static void on_frame(void *arg, enum parse_frame type, const char *body, size_t len)
{
	struct place *place = arg;
	bool asked_setup = place->state == PLACE_STARTING || place->state == PLACE_PREPARING;
	if (type == PARSE_READY && asked_setup)
		on_ready(place, body, len);
	else if (type == PARSE_ANSWER && place->state == PLACE_BUSY)
		on_answer(place, body, len);
	else
		parser_child_kill(place->child, "it spoke out of turn");
}

static void on_gone(void *arg, const char *how)
{
	struct place *place = arg;
	struct parsers *p = place->parsers;
	struct parse_job *job = place->job;
	enum place_state was = place->state;
	bool wanted = (size_t)(place - p->places) < p->count;
	char error[192];

	loop_timer_stop(place->wall);
	parser_child_free(TAKE(place->child));
	place->state = PLACE_EMPTY;
	if (was == PLACE_STARTING && wanted) {
		start_failed(place, how);
		return;
	}
	if (wanted) {
		log_warn(MAIN, "parser_gone", KV_STR("reason", how),
			KV_STR("url", job ? job->request.page.url : ""));
		stats_add(p->stats, STAT_parser_deaths, 1);
		start(place);
	}
	if (job && was == PLACE_PREPARING) { /* it has not seen the page */
		job->place = NULL;
		place->job = NULL;
		list_add_head(&p->waiting, &job->node);
	} else if (job) {
		snprintf(error, sizeof(error), "page killed its parser: %s", how);
		finish(job, PARSE_KILLED, NULL, error);
	}
}
