/* SPDX-License-Identifier: MIT */
/*
 * start, stop and restart among services that depend on each other, on the fake loop: who goes
 * when, and that each command gets one answer whatever crosses it. a needs b, b needs c.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "commands.h"
#include "config/config.h"
#include "config/kind.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "order.h"
#include "process_memory.h"
#include "supervisor.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

enum { ONES = 4, CHAIN = 3 };

/* What the world does with one slot. */
struct one {
	struct process *p;
	struct config_service service;
	const struct config_service *needs[1];
	bool living, asked, immortal, slow, dies, unstartable;
	int killed;
};
static struct world {
	struct supervisor sv;
	struct one ones[ONES];
	struct config_supervision rules;
	char log[400]; /* "+a" was started, "-a" was asked to end */
	bool changed;
} w;
static const struct worker_kind kind = { .name = "crawl", .takes_tasks = true };

struct process *supervisor_process(const struct supervisor *sv, const char *name)
{
	LIST_FOR_EACH (node, &sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

static struct one *of(const struct process *p)
{
	for (int i = 0; i < ONES; i++)
		if (w.ones[i].p == p)
			return &w.ones[i];
	fail();
	return NULL;
}

static void note(char sign, const struct process *p)
{
	size_t len = strlen(w.log);
	assert_true(len + 3 < sizeof(w.log));
	w.log[len] = sign;
	w.log[len + 1] = p->name[0];
	w.log[len + 2] = '\0';
}

static int w_spawn(struct process *p, struct err *err)
{
	struct one *one = of(p);
	if (one->unstartable)
		return err_set(err, -EAGAIN, "fork");
	assert_false(one->living); /* S1 */
	note('+', p);
	one->living = true;
	one->asked = false;
	p->pid = 100;
	return 0;
}
static void w_terminate(struct process *p, int64_t deadline_ms)
{
	(void)deadline_ms;
	note('-', p);
	of(p)->asked = true;
}
static void w_kill(struct process *p)
{
	of(p)->killed++;
	of(p)->asked = of(p)->asked || !of(p)->immortal;
}
static int w_living(struct process *p)
{
	return of(p)->living;
}
static void w_gone(struct process *p)
{
	(void)p;
}
static bool w_probe(struct process *p, uint64_t seq)
{
	(void)p;
	(void)seq;
	return true;
}
static void w_save(struct process *p)
{
	(void)p;
}
static void w_changed(struct process *p)
{
	(void)p;
	w.changed = true;
}
static bool w_trim(struct process *p, uint64_t seq)
{
	(void)seq;
	return of(p)->living;
}
static bool w_hold_tasks(struct process *p, bool hold)
{
	(void)hold;
	return of(p)->living;
}
static void w_end_together(struct process *const *processes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		note('!', processes[i]);
}
static bool w_may_start(const struct process *p, char *why, size_t size)
{
	return order_may_start(&w.sv.processes, p, why, size);
}

static void ended(struct one *one, int status)
{
	siginfo_t info = { .si_code = CLD_EXITED };
	info.si_status = status;
	one->living = one->asked = false;
	process_exited(one->p, &info);
}

/* What is asked to end does, unless it is slow or immortal; what was executed is ready. */
static bool play(void)
{
	for (int i = 0; i < ONES; i++) {
		struct one *one = &w.ones[i];
		if (one->living && ((one->asked && !one->slow && !one->immortal) ||
					   (one->dies && one->p->state == PROCESS_STARTING))) {
			ended(one, one->dies);
			return true;
		}
		if (one->living && one->p->state == PROCESS_STARTING && !one->slow) {
			process_ready(one->p);
			return true;
		}
	}
	return false;
}

static void settle(int64_t ms)
{
	fake_loop_advance(w.sv.loop, ms);
	for (int round = 0; round < 100; round++) {
		w.changed = false;
		order_settle(&w.sv.processes);
		fake_loop_advance(w.sv.loop, 0);
		if (!play() && !w.changed)
			return;
	}
	fail_msg("it never comes to rest: %s", w.log);
}

static int set_up(void **state)
{
	static const char *const names[ONES] = { "a", "b", "c", "worker" };
	static struct process_ops ops;
	(void)state;
	ops = (struct process_ops) { .spawn = w_spawn,
		.terminate = w_terminate,
		.end_together = w_end_together,
		.kill_tree = w_kill,
		.living = w_living,
		.gone = w_gone,
		.probe = w_probe,
		.save = w_save,
		.changed = w_changed,
		.may_start = w_may_start,
		.trim = w_trim,
		.hold_tasks = w_hold_tasks };
	fake_clock_reset();
	memset(&w, 0, sizeof(w));
	w.rules = (struct config_supervision) {
		.probe = { .interval_ms = 1000000, .timeout_ms = 200, .failures = 3 },
		.restart = { .min_interval_ms = 60000 },
		.stop = { .signal = SIGTERM, .timeout_ms = 3000 },
	};
	list_init(&w.sv.processes);
	assert_int_equal(loop_new(&w.sv.loop, NULL), 0);
	for (int i = 0; i < ONES; i++) {
		struct one *one = &w.ones[i];
		one->p = process_new(w.sv.loop, &ops, &w.sv, names[i], &w.rules);
		one->service = (struct config_service) { .name = names[i], .needs = one->needs };
		if (i < CHAIN)
			one->p->service = &one->service;
		else
			one->p->kind = &kind;
		list_add_tail(&w.sv.processes, &one->p->node);
	}
	for (int i = 0; i < CHAIN; i++) {
		w.ones[i].needs[0] = &w.ones[i + 1].service;
		w.ones[i].service.need_count = i < CHAIN - 1;
		w.ones[i].service.rank = (size_t)(CHAIN - 1 - i);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < ONES; i++)
		process_free(w.ones[i].p);
	assert_int_equal(fake_loop_watchers(w.sv.loop), 0);
	loop_free(w.sv.loop);
	return 0;
}

static void all_up(void)
{
	for (int i = 0; i < CHAIN; i++)
		process_start(w.ones[i].p, CAUSE_NONE);
	settle(0);
	assert_string_equal(w.log, "+c+b+a");
	w.log[0] = '\0';
}

static struct command *begin(const char *verb, const char *names)
{
	struct command *c = NULL;
	struct err err = { 0 };
	assert_int_equal(command_new(&c, &w.sv, verb, names, &err), 0);
	command_begin(c);
	return c;
}

/* It is settled now, with this exit code; its words hold `text`. Frees it. */
static void answers(struct command *c, int exit_code, const char *text)
{
	struct buf json = BUF_INIT;
	assert_true(command_settled(c));
	size_t at = 0;
	assert_int_equal(command_exit_code(c), exit_code);
	assert_false(command_page(c, &at, &json));
	if (!strstr(buf_str(&json), text))
		fail_msg("%s is not in %s", text, buf_str(&json));
	buf_finish(&json);
	command_free(c);
}

static void run(const char *verb, const char *names, int exit_code, const char *text)
{
	struct command *c = begin(verb, names);
	settle(0);
	answers(c, exit_code, text);
}

/* --- order --- */

static void a_service_starts_when_what_it_needs_is_ready(void **state)
{
	(void)state;
	w.ones[2].slow = true;
	for (int i = 0; i < CHAIN; i++)
		process_start(w.ones[i].p, CAUSE_NONE);
	settle(0);
	assert_string_equal(w.log, "+c");
	assert_true(w.ones[0].p->blocked);
	assert_string_equal(w.ones[0].p->waits_for, "b, which is waiting");
	assert_string_equal(w.ones[1].p->waits_for, "c, which is starting");
	assert_int_equal(w.ones[1].p->due_at_ms, 0);
	w.ones[2].slow = false;
	settle(0);
	assert_string_equal(w.log, "+c+b+a");
	assert_false(w.ones[0].p->blocked);
}

static void a_start_that_is_asked_for_when_its_time_has_come_comes_once(void **state)
{
	(void)state;
	struct process *a = w.ones[0].p;
	process_start(a, CAUSE_NONE);
	fake_loop_advance(w.sv.loop, 0);
	assert_true(a->blocked);
	for (int i = CHAIN - 1; i > 0; i--) {
		process_start(w.ones[i].p, CAUSE_NONE);
		fake_loop_advance(w.sv.loop, 0);
		process_ready(w.ones[i].p);
	}
	/* The operator's word and the end of the wait in one turn. */
	process_start(a, CAUSE_OPERATOR);
	order_settle(&w.sv.processes);
	assert_int_equal(a->state, PROCESS_STARTING);
	assert_false(loop_timer_armed(a->start_timer));
}

static void a_running_service_that_is_not_ready_is_waited_for(void **state)
{
	(void)state;
	w.rules.probe.http = "http://127.0.0.1:1/";
	w.rules.probe.interval_ms = 1000;
	process_start(w.ones[2].p, CAUSE_NONE);
	process_start(w.ones[1].p, CAUSE_NONE);
	settle(0);
	assert_int_equal(w.ones[2].p->state, PROCESS_RUNNING);
	assert_string_equal(w.log, "+c");
	assert_string_equal(w.ones[1].p->waits_for, "c, which is not ready yet");
	w.ones[2].p->ready = true; /* its first good probe */
	settle(0);
	assert_string_equal(w.log, "+c+b");
}

static void a_stop_takes_down_first_what_depends_on_it(void **state)
{
	(void)state;
	all_up();
	struct command *c = begin("stop", "b");
	assert_false(command_settled(c));
	settle(0);
	assert_string_equal(w.log, "-a-b");
	answers(c, 0, "\"name\":\"a\",\"ok\":true");
	assert_int_equal(w.ones[2].p->state, PROCESS_RUNNING);
	assert_true(w.ones[0].p->stay_down);
}

static void a_slow_dependant_is_waited_for_as_long_as_its_own_stop_takes(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *c = begin("stop", "c");
	settle(2900);
	assert_string_equal(w.log, "-a");
	assert_int_equal(w.ones[0].killed, 0);
	w.ones[0].slow = false; /* KILL is obeyed */
	settle(100);
	assert_string_equal(w.log, "-a-b-c");
	answers(c, 0, "\"name\":\"c\",\"ok\":true");
}

static void a_stuck_dependant_holds_nobody_up_for_ever(void **state)
{
	(void)state;
	all_up();
	w.ones[0].immortal = true;
	struct command *c = begin("stop", "c");
	settle(0);
	settle(3000); /* killed */
	settle(5000); /* called stuck */
	settle(0);
	assert_int_equal(w.ones[0].p->state, PROCESS_STUCK);
	assert_string_equal(w.log, "-a-b-c");
	answers(c, 1, "the kernel does not let it die");
	ended(&w.ones[0], 0);
	settle(1000);
	assert_int_equal(w.ones[0].p->state, PROCESS_STOPPED);
}

static void a_start_brings_up_what_it_needs_first(void **state)
{
	(void)state;
	all_up();
	run("stop", "all", 0, "");
	w.log[0] = '\0';
	run("start", "a", 0, "\"name\":\"c\",\"ok\":true,\"state\":\"running\"");
	assert_string_equal(w.log, "+c+b+a");
}

static void a_start_alone_does_not_touch_what_is_up(void **state)
{
	(void)state;
	all_up();
	run("stop", "a", 0, "");
	assert_string_equal(w.log, "-a");
	run("start", "a", 0,
		"{\"results\":[{\"name\":\"a\",\"ok\":true,\"state\":\"running\","
		"\"detail\":\"running\"}]}");
	assert_string_equal(w.log, "-a+a");
}

static void a_restart_takes_dependants_along(void **state)
{
	(void)state;
	all_up();
	run("restart", "c", 0, "\"name\":\"a\",\"ok\":true");
	assert_string_equal(w.log, "-a-b-c+c+b+a");
	run("restart", "a", 0, "\"name\":\"a\",\"ok\":true");
	assert_string_equal(w.log, "-a-b-c+c+b+a-a+a");
}

static void a_restart_by_the_policy_leaves_dependants_alone(void **state)
{
	(void)state;
	all_up();
	ended(&w.ones[2], 1);
	settle(1000);
	assert_string_equal(w.log, "+c");
	assert_int_equal(w.ones[0].p->incarnation, 1);
	assert_int_equal(w.ones[1].p->state, PROCESS_RUNNING);
}

static void a_shutdown_waits_for_a_worker_only_while_it_needs_services(void **state)
{
	(void)state;
	struct process *worker = w.ones[CHAIN].p;
	all_up();
	process_start(worker, CAUSE_NONE);
	settle(0);
	w.log[0] = '\0';
	w.ones[CHAIN].slow = true;
	process_parts(worker);
	assert_false(worker->parted);
	for (int i = 0; i < ONES; i++)
		order_stop(w.ones[i].p, CAUSE_SHUTDOWN, false, true);
	settle(0);
	assert_string_equal(w.log, "-w");
	process_parts(worker);
	settle(0);
	assert_string_equal(w.log, "-w-a-b-c");
	assert_int_equal(worker->state, PROCESS_STOPPING);
	w.ones[CHAIN].slow = false;
	settle(0);
	/* Its next instance needs them again. */
	process_start(worker, CAUSE_NONE);
	settle(0);
	assert_false(worker->parted);
}

static void those_whose_turn_comes_at_once_are_told_before_anything_else_is_done(void **state)
{
	(void)state;
	all_up();
	w.ones[0].service.need_count = 0; /* a and b: nothing needs them */
	w.ones[1].service.need_count = 0;
	for (int i = 0; i < CHAIN - 1; i++)
		order_stop(w.ones[i].p, CAUSE_SHUTDOWN, false, true);
	settle(0);
	assert_string_equal(w.log, "!b!a-b-a");
}

static void stop_all_stops_workers_before_services(void **state)
{
	(void)state;
	all_up();
	process_start(w.ones[3].p, CAUSE_NONE);
	settle(0);
	w.log[0] = '\0';
	w.ones[3].slow = true;
	struct command *c = begin("stop", "all");
	settle(1000);
	assert_string_equal(w.log, "-w");
	w.ones[3].slow = false;
	settle(0);
	assert_string_equal(w.log, "-w-a-b-c");
	answers(c, 0, "\"name\":\"worker\",\"ok\":true");
}

/* --- what crosses each other --- */

static void what_needs_a_failed_service_waits_and_the_command_says_for_what(void **state)
{
	(void)state;
	w.rules.restart.policy = RESTART_NEVER;
	w.ones[2].dies = true;
	struct command *c = begin("start", "a");
	settle(0);
	settle(0);
	assert_string_equal(w.log, "+c");
	assert_int_equal(w.ones[2].p->state, PROCESS_FAILED);
	assert_int_equal(w.ones[1].p->state, PROCESS_WAITING);
	answers(c, 1, "waits for c, which is failed");
	/* It comes back: the others follow by themselves. */
	w.ones[2].dies = false;
	run("start", "c", 0, "");
	settle(0);
	assert_string_equal(w.log, "+c+c+b+a");
}

static void what_needs_a_held_service_does_not_let_the_command_wait(void **state)
{
	(void)state;
	w.ones[2].dies = true;
	process_start(w.ones[2].p, CAUSE_NONE);
	settle(0);
	settle(200); /* its first restart is immediate, the second is held */
	assert_int_equal(w.ones[2].p->state, PROCESS_WAITING);
	w.ones[2].unstartable = true;
	struct command *c = begin("start", "b");
	settle(0);
	answers(c, 1, "waits for c, which is waiting");
}

static void a_start_during_a_pending_stop_keeps_it_up(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *stop = begin("stop", "c");
	settle(0);
	struct command *start = begin("start", "c");
	settle(0);
	answers(start, 0, "running");
	w.ones[0].slow = false;
	settle(0);
	answers(stop, 1, "started again by a later command");
	assert_int_equal(w.ones[2].p->incarnation, 1);
	assert_null(strstr(w.log, "-c"));
}

static void a_restart_that_waits_for_its_turn_is_not_undone_by_a_start(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *restart = begin("restart", "c");
	settle(0);
	struct command *start = begin("start", "c");
	settle(0);
	answers(start, 0, "running");
	assert_false(command_settled(restart));
	w.ones[0].slow = false;
	settle(0);
	answers(restart, 0, "running");
	assert_string_equal(w.log, "-a-b-c+c+b+a");
}

static void a_stop_ends_a_restart_that_waits_for_its_turn(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *restart = begin("restart", "c");
	settle(0);
	struct command *stop = begin("stop", "c");
	w.ones[0].slow = false;
	settle(0);
	answers(stop, 0, "\"name\":\"c\",\"ok\":true,\"state\":\"stopped\"");
	answers(restart, 1, "stopped by a later command");
	assert_string_equal(w.log, "-a-b-c");
}

static void a_restart_twice_is_answered_twice_and_done_once_or_twice(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *one = begin("restart", "a"), *two;
	settle(0);
	two = begin("restart", "a");
	w.ones[0].slow = false;
	settle(0);
	answers(one, 0, "running");
	answers(two, 0, "running");
	assert_string_equal(w.log, "-a+a");
}

/* Found by a storm of commands: nobody answered the restart. */
static void a_restart_that_later_commands_undo_is_answered_all_the_same(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *restart = begin("restart", "c");
	settle(0);
	struct command *stop = begin("stop", "b");
	settle(0);
	struct command *start = begin("start", "a"); /* and with it b, which goes on as it is */
	w.ones[0].slow = false;
	settle(0);
	answers(restart, 1, "kept running by a later command");
	answers(stop, 1, "started again by a later command");
	answers(start, 0, "running");
	assert_int_equal(w.ones[1].p->incarnation, 1);
	assert_int_equal(w.ones[2].p->incarnation, 2);
}

static void a_restart_revives_no_dependant_that_is_being_stopped(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *stop = begin("stop", "b");
	settle(0);
	struct command *restart = begin("restart", "c");
	w.ones[0].slow = false;
	settle(0);
	assert_string_equal(w.log, "-a-b-c+c");
	answers(stop, 0, "stopped");
	answers(restart, 0, "\"name\":\"c\",\"ok\":true");
	assert_int_equal(w.ones[1].p->state, PROCESS_STOPPED);
}

static void a_drain_is_answered_by_the_last_task_or_by_a_later_start(void **state)
{
	struct process *worker = w.ones[3].p;
	(void)state;
	all_up();
	process_start(worker, CAUSE_NONE);
	settle(0);
	struct command *drain = begin("drain", ""); /* all that take tasks */
	settle(0);
	assert_false(command_settled(drain));
	process_rests(worker, true);
	answers(drain, 0, "[{\"name\":\"worker\",\"ok\":true,\"state\":\"running\"");
	run("start", "worker", 0, "running");
	assert_false(worker->memory.drained);
	drain = begin("drain", "worker");
	settle(0);
	run("restart", "worker", 0, "running");
	answers(drain, 1, "started again by a later command");
	run("drain", "a", 1, "it takes no tasks");
	run("stop", "worker", 0, "stopped");
	run("drain", "worker", 0, "down; ");
}

static void a_trim_is_answered_by_the_worker_or_by_its_end(void **state)
{
	struct process *worker = w.ones[3].p;
	(void)state;
	all_up();
	process_start(worker, CAUSE_NONE);
	settle(0);
	struct command *trim = begin("trim", ""); /* all workers */
	settle(0);
	assert_false(command_settled(trim));
	process_trimmed(worker, worker->memory.trims, 4096, 2048);
	answers(trim, 0,
		"[{\"name\":\"worker\",\"ok\":true,\"state\":\"running\",\"detail\":\"4 KiB "
		"before, 2 KiB now\"");
	trim = begin("trim", "worker");
	ended(&w.ones[3], 1);
	answers(trim, 1, "it ended meanwhile");
	settle(1000);
	run("trim", "a", 1, "it is a service");
	run("stop", "worker", 0, "stopped");
	run("trim", "worker", 1, "it does not run");
}

static void a_stop_during_a_start_ends_both(void **state)
{
	(void)state;
	all_up();
	run("stop", "a", 0, "");
	w.ones[0].slow = true;
	struct command *start = begin("start", "a");
	settle(0);
	assert_int_equal(w.ones[0].p->state, PROCESS_STARTING);
	struct command *stop = begin("stop", "a");
	w.ones[0].slow = false;
	settle(0);
	answers(stop, 0, "stopped");
	answers(start, 1, "stopped by a later command");
	assert_string_equal(w.log, "-a+a-a");
}

static void a_start_during_a_stop_starts_it_again_once_it_is_gone(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *stop = begin("stop", "a");
	settle(0);
	struct command *start = begin("start", "a");
	settle(0);
	assert_false(command_settled(start));
	w.ones[0].slow = false;
	settle(0);
	answers(start, 0, "running");
	answers(stop, 1, "started again by a later command");
	assert_string_equal(w.log, "-a+a");
}

static void a_stop_of_one_that_waits_is_no_ghost_start_later(void **state)
{
	(void)state;
	w.ones[2].slow = true;
	for (int i = 0; i < CHAIN; i++)
		process_start(w.ones[i].p, CAUSE_NONE);
	settle(0);
	run("stop", "b", 0, "stopped");
	w.ones[2].slow = false;
	settle(100000);
	assert_string_equal(w.log, "+c");
	assert_int_equal(w.ones[1].p->state, PROCESS_STOPPED);
}

static void a_reload_in_between_answers_for_what_it_removed(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	struct command *restart = begin("restart", "a"), *stop = begin("stop", "b");
	settle(0);
	process_orphan(w.ones[0].p);
	order_stop(w.ones[0].p, CAUSE_CONFIG, false, false);
	answers(restart, 1, "removed by a reload");
	w.ones[0].slow = false;
	settle(0);
	answers(stop, 0, "removed by a reload");
	assert_int_equal(w.ones[1].p->state, PROCESS_STOPPED);
}

static void what_a_reload_removes_goes_in_its_old_order(void **state)
{
	(void)state;
	all_up();
	w.ones[0].slow = true;
	for (int i = CHAIN - 1; i >= 0; i--) {
		process_orphan(w.ones[i].p);
		order_stop(w.ones[i].p, CAUSE_CONFIG, false, false);
	}
	settle(0);
	assert_string_equal(w.log, "-a");
	w.ones[0].slow = false;
	settle(0);
	assert_string_equal(w.log, "-a-b-c");
}

static void the_time_for_a_chain_is_the_sum_of_its_stops(void **state)
{
	struct config_supervision slow = w.rules;
	(void)state;
	slow.stop.timeout_ms = 10000;
	w.ones[1].p->rules = &slow;
	assert_in_range(order_longest_stop(&w.sv.processes), 16000, 20000);
	w.ones[1].p->rules = &w.rules;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_service_starts_when_what_it_needs_is_ready),
		TEST(a_start_that_is_asked_for_when_its_time_has_come_comes_once),
		TEST(a_running_service_that_is_not_ready_is_waited_for),
		TEST(a_stop_takes_down_first_what_depends_on_it),
		TEST(a_slow_dependant_is_waited_for_as_long_as_its_own_stop_takes),
		TEST(a_stuck_dependant_holds_nobody_up_for_ever),
		TEST(a_start_brings_up_what_it_needs_first),
		TEST(a_start_alone_does_not_touch_what_is_up),
		TEST(a_restart_takes_dependants_along),
		TEST(a_restart_by_the_policy_leaves_dependants_alone),
		TEST(stop_all_stops_workers_before_services),
		TEST(a_shutdown_waits_for_a_worker_only_while_it_needs_services),
		TEST(those_whose_turn_comes_at_once_are_told_before_anything_else_is_done),
		TEST(what_needs_a_failed_service_waits_and_the_command_says_for_what),
		TEST(what_needs_a_held_service_does_not_let_the_command_wait),
		TEST(a_start_during_a_pending_stop_keeps_it_up),
		TEST(a_restart_that_waits_for_its_turn_is_not_undone_by_a_start),
		TEST(a_stop_ends_a_restart_that_waits_for_its_turn),
		TEST(a_restart_twice_is_answered_twice_and_done_once_or_twice),
		TEST(a_restart_that_later_commands_undo_is_answered_all_the_same),
		TEST(a_restart_revives_no_dependant_that_is_being_stopped),
		TEST(a_drain_is_answered_by_the_last_task_or_by_a_later_start),
		TEST(a_trim_is_answered_by_the_worker_or_by_its_end),
		TEST(a_stop_during_a_start_ends_both),
		TEST(a_start_during_a_stop_starts_it_again_once_it_is_gone),
		TEST(a_stop_of_one_that_waits_is_no_ghost_start_later),
		TEST(a_reload_in_between_answers_for_what_it_removed),
		TEST(what_a_reload_removes_goes_in_its_old_order),
		TEST(the_time_for_a_chain_is_the_sum_of_its_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
