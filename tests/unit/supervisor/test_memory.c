/* SPDX-License-Identifier: MIT */
/* Too much memory: levels, what a slot is told, a restart that is held for it, and what a tree
 * holds. */
#include "unit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "process_memory.h"
#include "tree_memory.h"
#include "world.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static int set_up_limited(void **state)
{
	static struct config_worker worker;
	set_up(state);
	struct world *w = *state;
	w->rules.restart.when_held = HELD_KEEP;
	worker = (struct config_worker) { .kind = w->p->kind, .memory_limit = 100 * MIB };
	w->p->worker = &worker;
	return 0;
}

static void configured(struct world *w)
{
	fake_loop_advance(w->loop, 100);
	process_greets(w->p);
	process_ready(w->p);
	assert_int_equal(w->p->state, PROCESS_RUNNING);
}

static void greeted(struct world *w)
{
	process_start(w->p, CAUSE_NONE);
	configured(w);
}

/* One automatic start has just been: the next is held. */
static void up_again(struct world *w)
{
	greeted(w);
	end(w, CLD_EXITED, 1);
	configured(w);
	assert_int_equal(w->spawned, 2);
}

static void beats(struct world *w, int count, bool well)
{
	for (int i = 0; i < count; i++) {
		int before = w->probes;
		while (w->probes == before)
			fake_loop_advance(w->loop, 50);
		process_probe_answer(w->p, w->seq, well, -1, "beat");
	}
}

static void judged(struct world *w, enum memory_level level)
{
	process_judge_memory(w->p, 1, level, MEMORY_NORMAL);
}

static void levels_are_shares_of_the_limit_or_sizes(void **state)
{
	const struct config_memory shares = { .warning = "80%", .critical = "90%" };
	const struct config_memory sizes = { .warning = "40MiB", .critical = "90%" };
	(void)state;
	assert_int_equal(memory_level_of(&shares, 80 * MIB - 1, 100 * MIB), MEMORY_NORMAL);
	assert_int_equal(memory_level_of(&shares, 80 * MIB, 100 * MIB), MEMORY_WARNING);
	assert_int_equal(memory_level_of(&shares, 90 * MIB, 100 * MIB), MEMORY_CRITICAL);
	assert_int_equal(memory_level_of(&shares, 100 * MIB, 100 * MIB), MEMORY_OVER);
	assert_int_equal(memory_level_of(&shares, INT64_MAX, 0), MEMORY_NORMAL);
	assert_int_equal(memory_level_of(&sizes, 40 * MIB, 100 * MIB), MEMORY_WARNING);
	assert_int_equal(memory_level_of(&sizes, 40 * MIB - 1, 100 * MIB), MEMORY_NORMAL);
}

static void of_the_machine_only_shares_count(void **state)
{
	const struct config_memory shares = { .warning = "80%", .critical = "90%" };
	const struct config_memory sizes = { .warning = "1MiB", .critical = "2MiB" };
	(void)state;
	assert_int_equal(memory_level_of_machine(&shares, 79, 100), MEMORY_NORMAL);
	assert_int_equal(memory_level_of_machine(&shares, 8000, 10000), MEMORY_WARNING);
	assert_int_equal(memory_level_of_machine(&shares, 10000, 10000), MEMORY_CRITICAL);
	assert_int_equal(memory_level_of_machine(&sizes, 99 * MIB, 100 * MIB), MEMORY_NORMAL);
}

static void at_warning_a_worker_trims_at_critical_it_takes_no_tasks(void **state)
{
	struct world *w = *state;
	greeted(w);
	judged(w, MEMORY_NORMAL);
	assert_int_equal(w->trims, 0);
	judged(w, MEMORY_WARNING);
	judged(w, MEMORY_WARNING);
	assert_int_equal(w->trims, 2);
	assert_false(w->holding);
	judged(w, MEMORY_CRITICAL);
	assert_true(w->holding);
	assert_int_equal(w->trims, 3);
	judged(w, MEMORY_WARNING);
	assert_false(w->holding);
	assert_int_equal(w->terminated, 0);
}

static void the_machine_counts_for_every_worker_but_restarts_none(void **state)
{
	struct world *w = *state;
	greeted(w);
	process_judge_memory(w->p, 1, MEMORY_NORMAL, MEMORY_WARNING);
	assert_int_equal(w->trims, 1);
	process_judge_memory(w->p, 1, MEMORY_NORMAL, MEMORY_CRITICAL);
	assert_true(w->holding);
	process_judge_memory(w->p, 1, MEMORY_NORMAL, MEMORY_NORMAL);
	assert_false(w->holding);
	assert_int_equal(w->terminated, 0);
}

static void at_its_limit_it_is_restarted_with_its_reason(void **state)
{
	struct world *w = *state;
	greeted(w);
	judged(w, MEMORY_OVER);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_EXITED, 0);
	configured(w);
	assert_int_equal(w->spawned, 2);
	assert_string_equal(w->p->last_exit.reason, "memory");
	assert_int_equal(w->p->memory.level, MEMORY_NORMAL);
}

/* It counts as a failure whatever it exits with, and for the interval. */
static void the_policy_and_the_interval_hold_for_it(void **state)
{
	struct world *w = *state;
	w->rules.restart.policy = RESTART_ON_FAILURE;
	w->rules.restart.when_held = HELD_STOP;
	greeted(w);
	judged(w, MEMORY_OVER);
	end(w, CLD_EXITED, 0);
	configured(w);
	judged(w, MEMORY_OVER);
	assert_int_equal(w->terminated, 2); /* stopped now, started when due */
	end(w, CLD_EXITED, 0);
	assert_int_equal(w->p->state, PROCESS_WAITING);
	fake_loop_advance(w->loop, 59000);
	assert_int_equal(w->spawned, 2);
	fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->spawned, 3);
	configured(w);
	w->rules.restart.policy = RESTART_NEVER;
	fake_loop_advance(w->loop, 100000);
	judged(w, MEMORY_OVER);
	assert_int_equal(w->terminated, 2);
}

static void held_for_memory_it_runs_on_until_it_is_due(void **state)
{
	struct world *w = *state;
	up_again(w);
	judged(w, MEMORY_OVER);
	assert_true(w->p->held);
	assert_int_equal(w->terminated, 0);
	int64_t due_ms = w->p->due_ms;
	judged(w, MEMORY_OVER);
	assert_int_equal(w->p->due_ms, due_ms);
	beats(w, 5, true);
	assert_true(w->p->held); /* a good probe does not make it smaller */
	fake_loop_advance(w->loop, 60000);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_EXITED, 0);
	assert_string_equal(w->p->last_exit.reason, "memory");
}

static void a_smaller_tree_cancels_it(void **state)
{
	struct world *w = *state;
	up_again(w);
	judged(w, MEMORY_OVER);
	judged(w, MEMORY_CRITICAL);
	assert_false(w->p->held);
	for (int i = 0; i < 100; i++)
		beats(w, 1, true);
	assert_int_equal(w->terminated, 0);
	end(w, CLD_EXITED, 1);
	assert_string_equal(w->p->last_exit.reason, "exit");
}

static void of_two_reasons_both_must_be_over(void **state)
{
	struct world *w = *state;
	up_again(w);
	beats(w, 3, false);
	assert_true(w->p->held);
	judged(w, MEMORY_OVER);
	beats(w, 1, true);
	assert_true(w->p->held);
	beats(w, 3, false);
	judged(w, MEMORY_WARNING);
	assert_true(w->p->held); /* it fails its probes still */
	beats(w, 1, true);
	assert_false(w->p->held);
	assert_int_equal(w->terminated, 0);
}

static void an_adopted_one_stays_held_for_its_reason(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL; /* a service without a probe */
	w->p->held = true;
	w->p->next_cause = CAUSE_MEMORY;
	w->p->last_start_ms = w->p->last_automatic_ms = clock_boot_ms();
	w->p->due_ms = clock_boot_ms() + 60000;
	w->living = 1;
	process_adopt(w->p, true);
	assert_true(w->p->held);
	fake_loop_advance(w->loop, 60000);
	assert_int_equal(w->terminated, 1);
	end(w, CLD_EXITED, 0);
	assert_string_equal(w->p->last_exit.reason, "memory");
}

static void a_service_is_told_nothing(void **state)
{
	struct world *w = *state;
	w->p->kind = NULL;
	greeted(w);
	process_judge_memory(w->p, 1, MEMORY_CRITICAL, MEMORY_CRITICAL);
	assert_int_equal(w->trims, 0);
	assert_false(w->holding);
	assert_false(process_trim(w->p));
}

static void a_drain_lasts_over_restarts_and_waits_for_the_last_task(void **state)
{
	struct world *w = *state;
	greeted(w);
	process_drain(w->p, true);
	assert_true(w->holding);
	assert_false(process_is_drained(w->p));
	process_rests(w->p, true);
	assert_true(process_is_drained(w->p));
	end(w, CLD_EXITED, 1);
	w->holding = false;
	configured(w);
	assert_true(w->holding);
	assert_false(process_is_drained(w->p));
	process_rests(w->p, true);
	judged(w, MEMORY_NORMAL); /* memory does not end it */
	assert_true(process_is_drained(w->p));
	process_drain(w->p, false);
	assert_false(w->holding);
	assert_false(process_is_drained(w->p));
}

static void one_that_is_away_is_told_when_it_is_back(void **state)
{
	struct world *w = *state;
	process_drain(w->p, true);
	assert_true(process_is_drained(w->p)); /* down: it holds none */
	w->away = true;
	greeted(w);
	assert_false(process_trim(w->p));
	assert_false(w->holding);
	w->away = false;
	judged(w, MEMORY_NORMAL);
	assert_true(w->holding);
}

static void an_answer_to_no_trim_counts_for_nothing(void **state)
{
	struct world *w = *state;
	greeted(w);
	process_trimmed(w->p, 1, 10, 5);
	assert_int_equal(w->p->memory.trimmed, 0);
	assert_true(process_trim(w->p));
	process_trimmed(w->p, 2, 10, 5);
	assert_int_equal(w->p->memory.trimmed, 0);
	process_trimmed(w->p, 1, 10, 5);
	assert_int_equal(w->p->memory.trimmed, 1);
	assert_int_equal(w->p->memory.after, 5);
}

/* --- a real tree --- */

/* Parent and two children that hold `mib` of shared and written memory, each 8 MiB of its own. */
static pid_t grow(size_t mib, bool copies)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	pid_t main_pid = fork();
	if (main_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		char *common = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
			(copies ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
		memset(common, 1, mib * MIB);
		for (int i = 0; i < 2; i++) {
			if (fork() != 0)
				continue;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			char *own = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			memset(own, 1, 8 * MIB);
			for (size_t at = 0; at < mib * MIB; at += 4096)
				((volatile char *)common)[at];
			(void)!write(ready[1], "", 1);
			for (;;)
				pause();
		}
		for (;;)
			pause();
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return main_pid;
}

static struct tree_memory look_at(pid_t pid, bool exact)
{
	struct contain *contain;
	struct tree_memory m = { 0 };
	const struct contain_target target = { .slot = "grows", .main_pid = pid };
	assert_int_equal(contain_new(&contain, NULL), 0);
	assert_true(exact ? tree_memory_look_exactly(contain, &target, &m)
			  : tree_memory_look(contain, &target, &m));
	contain_free(contain);
	return m;
}

static void kill_tree(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void what_a_tree_shares_is_counted_once(void **state)
{
	(void)state;
	pid_t pid = grow(64, false);
	struct tree_memory quick = look_at(pid, false), exact = look_at(pid, true);
	kill_tree(pid);
	assert_int_equal(quick.processes, 3);
	assert_in_range(quick.main_bytes, 64 * MIB, 80 * MIB);
	assert_in_range(quick.bytes, 80 * MIB, 104 * MIB);
	assert_in_range(exact.bytes, 80 * MIB, 104 * MIB);
}

static void pages_that_forks_have_in_common_are_told_by_the_exact_look(void **state)
{
	(void)state;
	pid_t pid = grow(64, true);
	struct tree_memory quick = look_at(pid, false), exact = look_at(pid, true);
	kill_tree(pid);
	assert_true(quick.bytes >= (3 * 64 + 2 * 8) * MIB);
	assert_in_range(exact.bytes, 80 * MIB, 104 * MIB);
}

static void a_tree_that_is_gone_holds_nothing(void **state)
{
	struct contain *contain;
	struct tree_memory m;
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	const struct contain_target target = { .slot = "gone", .main_pid = pid };
	assert_int_equal(contain_new(&contain, NULL), 0);
	assert_false(tree_memory_look(contain, &target, &m));
	contain_free(contain);
}

static void the_machine_has_memory(void **state)
{
	int64_t used = 0, total = 0;
	(void)state;
	assert_true(tree_memory_machine(&used, &total));
	assert_true(used > 0 && used < total);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_shares_of_the_limit_or_sizes),
		cmocka_unit_test(of_the_machine_only_shares_count),
		TEST(at_warning_a_worker_trims_at_critical_it_takes_no_tasks),
		TEST(the_machine_counts_for_every_worker_but_restarts_none),
		TEST(at_its_limit_it_is_restarted_with_its_reason),
		TEST(the_policy_and_the_interval_hold_for_it),
		TEST(held_for_memory_it_runs_on_until_it_is_due),
		TEST(a_smaller_tree_cancels_it),
		TEST(of_two_reasons_both_must_be_over),
		TEST(an_adopted_one_stays_held_for_its_reason),
		TEST(a_service_is_told_nothing),
		TEST(a_drain_lasts_over_restarts_and_waits_for_the_last_task),
		TEST(one_that_is_away_is_told_when_it_is_back),
		TEST(an_answer_to_no_trim_counts_for_nothing),
		cmocka_unit_test(what_a_tree_shares_is_counted_once),
		cmocka_unit_test(pages_that_forks_have_in_common_are_told_by_the_exact_look),
		cmocka_unit_test(a_tree_that_is_gone_holds_nothing),
		cmocka_unit_test(the_machine_has_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
