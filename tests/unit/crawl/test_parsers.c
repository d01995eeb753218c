/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "crawl/parsers.h"
#include "loop/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_MAX = 8 };

struct seen {
	bool done;
	enum parse_end end;
	char error[256], value[64];
};
struct bench;
struct slot {
	struct bench *bench;
	size_t index;
};
struct bench {
	struct loop *loop;
	struct loop_timer *limit;
	struct parsers *parsers;
	struct arena *arena;
	struct parse_job *jobs[PAGES_MAX];
	struct seen seen[PAGES_MAX];
	struct slot slots[PAGES_MAX];
	size_t asked, done;
	bool late;
};

static void too_late(void *arg)
{
	struct bench *b = arg;
	b->late = true;
	loop_stop(b->loop);
}

static const char *beside(const char *name)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);
	assert_true(len > 0);
	path[len] = '\0';
	snprintf(strrchr(path, '/') + 1, 64, "%s", name);
	return path;
}

static struct bench *bench_new(const char *program, size_t count, int64_t wall_ms)
{
	struct bench *b = NEW(struct bench);
	struct err err = { 0 };
	assert_int_equal(loop_new(&b->loop, &err), 0);
	b->limit = loop_timer_new(b->loop, too_late, b);
	b->arena = arena_new(0);
	struct parsers_options options = { .program = program, .count = count, .wall_ms = wall_ms };
	assert_int_equal(parsers_new(&b->parsers, b->loop, &options, &err), 0);
	return b;
}

static void bench_free(struct bench *b)
{
	parsers_free(b->parsers);
	loop_timer_free(b->limit);
	loop_free(b->loop);
	arena_free(b->arena);
	free(b);
}

static void on_parsed(
	void *arg, enum parse_end end, const struct parse_answer *answer, const char *error)
{
	struct slot *slot = arg;
	struct bench *b = slot->bench;
	struct seen *seen = &b->seen[slot->index];
	assert_false(seen->done);
	seen->done = true;
	seen->end = end;
	str_copy(seen->error, sizeof(seen->error), error);
	if (end == PARSE_DONE && answer->value_count)
		str_copy(seen->value, sizeof(seen->value),
			answer->values[0] ? answer->values[0] : "");
	if (++b->done == b->asked)
		loop_stop(b->loop);
}

static void ask(struct bench *b, const char *body, const char *xpath, uint32_t generation)
{
	static const uint16_t first = 0;
	struct slot *slot = &b->slots[b->asked];
	const char **xpaths = arena_alloc(b->arena, sizeof(*xpaths));
	xpaths[0] = xpath;
	*slot = (struct slot) { b, b->asked };
	struct parse_request request = {
		.page = { "http://h/", "text/html", &first, 1, body, strlen(body) },
		.setup = { xpaths, 1 },
		.generation = generation,
		.arena = b->arena,
	};
	assert_int_equal(
		parsers_submit(&b->jobs[b->asked], b->parsers, &request, on_parsed, slot), 0);
	b->asked++;
}

static void run(struct bench *b)
{
	loop_timer_start(b->limit, 20000);
	loop_run(b->loop);
	loop_timer_stop(b->limit);
	if (b->late)
		fail_msg("only %zu of %zu pages came back", b->done, b->asked);
}

static void pages_are_taken_apart_by_the_real_children(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("drover-parser"), 2, 10000);
	for (int i = 0; i < 6; i++)
		ask(b, "<p>x", i % 2 ? "//p" : "count(//p)", (uint32_t)(i % 2 + 1));
	run(b);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(b->seen[i].end, PARSE_DONE);
		assert_string_equal(b->seen[i].value, i % 2 ? "x" : "1");
	}
	bench_free(b);
}

static void a_page_that_kills_its_child_is_told_and_the_others_go_on(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("fake_parser"), 1, 10000);
	ask(b, "crash", "a", 1);
	ask(b, "ok", "a", 1);
	ask(b, "end", "a", 1);
	ask(b, "ok", "b", 2);
	run(b);
	assert_int_equal(b->seen[0].end, PARSE_KILLED);
	assert_string_equal(b->seen[0].error, "page killed its parser: signal 11");
	assert_int_equal(b->seen[1].end, PARSE_DONE);
	assert_string_equal(b->seen[1].value, "a");
	assert_string_equal(b->seen[2].error, "page killed its parser: exit code 3");
	assert_string_equal(b->seen[3].value, "b");
	bench_free(b);
}

static void a_page_that_overruns_is_cut_off(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("fake_parser"), 1, 300);
	ask(b, "hang", "a", 1);
	ask(b, "ok", "a", 1);
	run(b);
	assert_int_equal(b->seen[0].end, PARSE_KILLED);
	assert_string_equal(b->seen[0].error, "page killed its parser: no answer for 300 ms");
	assert_int_equal(b->seen[1].end, PARSE_DONE);
	bench_free(b);
}

static void an_answer_that_makes_no_sense_is_no_answer(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("fake_parser"), 1, 10000);
	ask(b, "nonsense", "a", 1);
	ask(b, "turn", "a", 1);
	ask(b, "ok", "a", 1);
	run(b);
	assert_string_equal(b->seen[0].error, "page killed its parser: its answer makes no sense");
	assert_string_equal(b->seen[1].error, "page killed its parser: it spoke out of turn");
	assert_int_equal(b->seen[2].end, PARSE_DONE);
	bench_free(b);
}

static void an_idle_child_that_is_killed_is_replaced_at_once(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("fake_parser"), 1, 10000);
	int before, after;
	ask(b, "ok", "a", 1);
	run(b);
	assert_int_equal(parsers_pids(b->parsers, &before, 1), 1);
	kill(before, SIGKILL);
	/* This one may still have been given to the child that is dying. */
	ask(b, "ok", "a", 1);
	run(b);
	ask(b, "ok", "a", 1);
	run(b);
	assert_int_equal(b->seen[2].end, PARSE_DONE);
	assert_int_equal(parsers_pids(b->parsers, &after, 1), 1);
	assert_int_not_equal(before, after);
	bench_free(b);
}

static void a_program_that_does_not_start_is_told_to_who_waits(void **state)
{
	(void)state;
	struct bench *b = bench_new("/bin/false", 1, 10000);
	ask(b, "ok", "a", 1);
	run(b);
	assert_int_equal(b->seen[0].end, PARSE_NO_CHILD);
	assert_string_equal(b->seen[0].error, "no parser could be started: exit code 1");
	bench_free(b);
}

static void a_cancelled_page_is_not_told_and_its_child_replaced(void **state)
{
	(void)state;
	struct bench *b = bench_new(beside("fake_parser"), 1, 10000);
	ask(b, "ok", "a", 1);
	run(b);
	ask(b, "hang", "a", 1);
	ask(b, "ok", "a", 1);
	parsers_cancel(b->jobs[1]);
	b->done++;
	run(b);
	assert_false(b->seen[1].done);
	assert_int_equal(b->seen[2].end, PARSE_DONE);
	bench_free(b);
}

static void nothing_is_left_when_the_pool_ends(void **state)
{
	(void)state;
	int pids[8];
	struct bench *b = bench_new(beside("fake_parser"), 4, 10000);
	ask(b, "ok", "a", 1);
	run(b);
	size_t n = parsers_pids(b->parsers, pids, 8);
	assert_int_equal(n, 4);
	bench_free(b);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(kill(pids[i], 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_taken_apart_by_the_real_children),
		cmocka_unit_test(a_page_that_kills_its_child_is_told_and_the_others_go_on),
		cmocka_unit_test(a_page_that_overruns_is_cut_off),
		cmocka_unit_test(an_answer_that_makes_no_sense_is_no_answer),
		cmocka_unit_test(an_idle_child_that_is_killed_is_replaced_at_once),
		cmocka_unit_test(a_program_that_does_not_start_is_told_to_who_waits),
		cmocka_unit_test(a_cancelled_page_is_not_told_and_its_child_replaced),
		cmocka_unit_test(nothing_is_left_when_the_pool_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
