/* SPDX-License-Identifier: MIT */
/* The controller against a server that is simulated, on a clock that is simulated too. */
#include "unit.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "limit/adapt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 64 };
#define SECOND INT64_C(1000000)

enum kind {
	QUEUES,	 /* works on `knee` at a time, the rest wait */
	REJECTS, /* answers 503 at once when it works on `knee` already */
	SLOWS,	 /* the same with 429 */
};

struct call {
	int64_t began_us, ends_us; /* ends_us 0: waits in the server's queue */
	enum limit_end how;
	bool working; /* takes one of the server's places */
};

struct world {
	struct adapt adapt;
	enum kind kind;
	int64_t knee, cap, clients, now_us, work_us, spread_us;
	unsigned seed;
	struct call calls[CLIENTS];
	int64_t ready_us[CLIENTS]; /* when a client without a call begins the next one */
	bool busy[CLIENTS];
	int64_t active, working, total, errors, closed_us, area, area_us;
};

static int64_t duration(struct world *w)
{
	return w->work_us +
	       (w->spread_us ? rand_r(&w->seed) % (2 * w->spread_us) - w->spread_us : 0);
}

static void serve(struct world *w, struct call *call)
{
	if (w->working < w->knee) {
		w->working++;
		call->working = true;
		call->how = LIMIT_ANSWERED;
		call->ends_us = w->now_us + duration(w);
	} else if (w->kind != QUEUES) {
		call->how = w->kind == SLOWS ? LIMIT_SLOWED : LIMIT_TROUBLE;
		call->ends_us = w->now_us + 1000;
	}
}

static void finish(struct world *w, int i)
{
	struct call *call = &w->calls[i];
	w->busy[i] = false;
	w->active--;
	w->total++;
	w->errors += call->how != LIMIT_ANSWERED;
	w->working -= call->working;
	/* As the fetcher: a failure waits for its backoff, a 429 closes the provider. */
	int64_t backoff = call->how == LIMIT_ANSWERED ? 0 : rand_r(&w->seed) % SECOND;
	w->ready_us[i] = w->now_us + backoff;
	if (call->how == LIMIT_SLOWED)
		w->closed_us = w->now_us + backoff;
	adapt_ended(&w->adapt, w->cap, call->how, call->began_us, w->now_us);
	struct call *oldest = NULL;
	for (int k = 0; k < CLIENTS; k++)
		if (w->busy[k] && !w->calls[k].ends_us &&
			(!oldest || w->calls[k].began_us < oldest->began_us))
			oldest = &w->calls[k];
	if (oldest)
		serve(w, oldest);
}

static void begin(struct world *w, int i)
{
	w->busy[i] = true;
	w->active++;
	w->calls[i] = (struct call) { .began_us = w->now_us };
	serve(w, &w->calls[i]);
}

/* One step: the next end, or the next beginning, whichever is first. */
static void turn(struct world *w)
{
	int64_t at = INT64_MAX;
	int who = -1;
	for (int i = 0; i < w->clients; i++) {
		if (w->busy[i] && w->calls[i].ends_us && w->calls[i].ends_us < at) {
			at = w->calls[i].ends_us;
			who = i;
		}
	}
	int64_t allowed = adapt_allowed(&w->adapt, w->cap, w->now_us);
	for (int i = 0; i < w->clients && w->active < allowed; i++) {
		int64_t open = MAX(w->closed_us, w->now_us), ready = MAX(w->ready_us[i], open);
		if (!w->busy[i] && ready < at) {
			at = ready;
			who = i;
		}
	}
	assert_in_range(who, 0, CLIENTS);
	w->area += (at - w->now_us) * allowed;
	w->area_us += at - w->now_us;
	w->now_us = at;
	if (w->busy[who])
		finish(w, who);
	else
		begin(w, who);
}

static void run(struct world *w, int64_t seconds)
{
	int64_t until = w->now_us + seconds * SECOND;
	w->area = w->area_us = 0;
	while (w->now_us < until)
		turn(w);
}

static struct world world_of(
	enum kind kind, int64_t cap, int64_t work_ms, int64_t spread_ms, unsigned seed)
{
	return (struct world) { .kind = kind,
		.knee = 7,
		.cap = cap,
		.clients = 40,
		.now_us = SECOND,
		.work_us = work_ms * 1000,
		.spread_us = spread_ms * 1000,
		.seed = seed };
}

/* Allowed within two of the knee after a minute, and on the mean of the half minute after it. */
static void expect_at_knee(struct world *w, const char *what)
{
	run(w, 60);
	int64_t allowed = w->adapt.allowed;
	run(w, 30);
	double mean = (double)w->area / (double)w->area_us;
	printf("%s: knee %d, allowed %d after 60 s, %.1f then; %d of %d calls were errors\n", what,
		(int)w->knee, (int)allowed, mean, (int)w->errors, (int)w->total);
	assert_in_range(allowed, w->knee - 2, w->knee + 2);
	assert_true(mean >= (double)w->knee - 2 && mean <= (double)w->knee + 2);
}

static void follows(
	enum kind kind, int64_t cap, int64_t work_ms, int64_t spread_ms, const char *what)
{
	for (unsigned seed = 1; seed <= 10; seed++) {
		struct world w = world_of(kind, cap, work_ms, spread_ms, seed);
		expect_at_knee(&w, what);
		w.knee = 3;
		expect_at_knee(&w, what);
		w.knee = 7;
		expect_at_knee(&w, what);
		assert_true(w.errors * 20 <= w.total);
	}
}

static void it_finds_the_knee_of_a_server_that_queues(void **state)
{
	(void)state;
	follows(QUEUES, 20, 100, 0, "queues, 100 ms");
	follows(QUEUES, 20, 100, 50, "queues, 50 to 150 ms");
	follows(QUEUES, 50, 30, 20, "queues, 10 to 50 ms");
	follows(QUEUES, 10, 400, 100, "queues, 300 to 500 ms");
}

static void it_finds_the_knee_of_a_server_that_refuses(void **state)
{
	(void)state;
	follows(REJECTS, 20, 100, 0, "503, 100 ms");
	follows(REJECTS, 20, 100, 50, "503, 50 to 150 ms");
	follows(REJECTS, 50, 30, 20, "503, 10 to 50 ms");
	follows(REJECTS, 10, 400, 100, "503, 300 to 500 ms");
}

static void it_finds_the_knee_of_a_server_that_asks_for_patience(void **state)
{
	(void)state;
	follows(SLOWS, 20, 100, 50, "429, 50 to 150 ms");
	follows(SLOWS, 10, 400, 100, "429, 300 to 500 ms");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_finds_the_knee_of_a_server_that_queues),
		cmocka_unit_test(it_finds_the_knee_of_a_server_that_refuses),
		cmocka_unit_test(it_finds_the_knee_of_a_server_that_asks_for_patience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
