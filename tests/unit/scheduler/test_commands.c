/* SPDX-License-Identifier: MIT */
/* Commands over a real store; droverd and the rest of the scheduler are played here. */
#include "queue/queue_fixture.h"

#include "config/load.h"
#include "queue/queue_exec.h"
#include "scheduler/commands.h"
#include "scheduler/scheduler.h"
#include "worker/worker.h"
#include <errno.h>

enum { SAID_MAX = 64 };

static struct {
	struct fixture *f;
	struct scheduler s;
	struct config *config;
	const char *owner;
	struct said {
		enum message_id id;
		uint64_t task, fence;
		uint32_t may_start;
	} said[SAID_MAX];
	size_t count;
	int drained;
	enum message_id full_for; /* the channel has no room for the next of these, */
	int full_times;		  /* so many */
	bool short_of_memory;
	bool hold_back; /* the next question what we hold is not asked, but kept: */
	queue_held held;
	void *held_arg;
} w;

int worker_send(struct worker *worker UNUSED, enum message_id id, const void *body)
{
	struct said said = { .id = id };
	if (id == w.full_for && w.full_times > 0) {
		w.full_times--;
		return -ENOBUFS;
	}
	if (id == MSG_EXEC_START) {
		const struct msg_exec_start *m = body;
		said = (struct said) { id, m->task, m->fence, m->may_start };
	} else if (id != MSG_EXEC_SYNC) {
		const struct msg_exec_task *m = body;
		said = (struct said) { .id = id, .task = m->task, .fence = m->fence };
	}
	assert_true(w.count < SAID_MAX);
	w.said[w.count++] = said;
	return 0;
}

const char *worker_owner(const struct worker *worker UNUSED)
{
	return w.owner;
}

const char *worker_node(const struct worker *worker UNUSED)
{
	return "n";
}

struct stats_slot *worker_stats(struct worker *worker UNUSED)
{
	return NULL;
}

bool worker_may_take(struct worker *worker UNUSED)
{
	return !w.short_of_memory;
}

void scheduler_store_said(
	struct scheduler *s UNUSED, enum store_status status, const char *error UNUSED)
{
	assert_int_not_equal(status, STORE_FAILED);
}

void scheduler_epoch(const struct scheduler *s UNUSED, char *epoch, size_t size)
{
	snprintf(epoch, size, "%.2s", w.owner + 2);
}

void __real_queue_exec_held(struct queue *q, queue_held cb, void *arg);
void __wrap_queue_exec_held(struct queue *q, queue_held cb, void *arg);
void __wrap_queue_exec_held(struct queue *q, queue_held cb, void *arg)
{
	if (!w.hold_back) {
		__real_queue_exec_held(q, cb, arg);
		return;
	}
	w.hold_back = false;
	w.held = cb;
	w.held_arg = arg;
}

/* ---- playing ---- */

static void settle(void)
{
	do
		run_tx(w.f, store_tx_new(w.f->store, 0));
	while (store_pending(w.f->store) > 0);
}

static void on_tick(void *arg)
{
	loop_stop(arg);
}

static void turn(void)
{
	struct loop_timer *tick = loop_timer_new(w.f->loop, on_tick, w.f->loop);
	loop_timer_start(tick, 10);
	loop_run(w.f->loop);
	loop_timer_free(tick);
}

/* Until droverd was told so; the store may have to be asked again and again. */
static const struct said *hear(enum message_id id, size_t from)
{
	for (int tries = 0; tries < 500; tries++) {
		for (size_t i = from; i < w.count; i++)
			if (w.said[i].id == id)
				return &w.said[i];
		turn();
	}
	fail_msg("%s was not said", message_name(id));
	return NULL;
}

static void begin(const char *owner)
{
	w.owner = owner;
	w.count = 0;
	w.s.loop = w.f->loop;
	w.s.store = w.f->store;
	w.s.commands = commands_new(&w.s);
	assert_non_null(w.s.commands);
	commands_configure(w.s.commands, w.config);
	commands_start(w.s.commands);
	hear(MSG_EXEC_SYNC, 0);
}

static void die(void)
{
	settle();
	commands_free(TAKE(w.s.commands));
}

static int64_t make_task(int64_t attempts)
{
	static int runs;
	char request[24];
	static const char *const payloads[] = { "{}" };
	snprintf(request, sizeof(request), "r%d", runs++);
	const struct run_request run = { .job = "job",
		.kind = "exec",
		.trigger = "manual",
		.request_id = request,
		.max_attempts = attempts,
		.timeout_ms = 60000,
		.priority = PRIORITY_MEDIUM,
		.payloads = payloads,
		.payload_count = 1 };
	struct store_tx *tx = store_tx_new(w.f->store, 0);
	queue_tx_run(tx, &run, clock_real_ms());
	assert_ok(run_tx(w.f, tx));
	return peek(w.f, "SELECT MAX(id) FROM drover_run");
}

static void tell_end(const struct said *start, const char *reason, int64_t code)
{
	const struct message m = { .id = MSG_EXEC_ENDED,
		.body.exec_ended = { .task = start->task,
			.fence = start->fence,
			.started = 1,
			.reason = reason,
			.code = code,
			.signal = -1,
			.detail = "" } };
	commands_message(w.s.commands, &m);
}

static int setup(void **state)
{
	queue_setup(state);
	w.f = *state;
	w.hold_back = w.short_of_memory = false;
	w.full_times = 0;
	w.config = must_load("jobs: {job: {kind: exec, command: [/bin/true], retry: {backoff: "
			     "{initial: 50ms, max: 50ms}}}}\n"
			     "workers: {scheduler: {concurrency: 2}}\n");
	return 0;
}

static int teardown(void **state)
{
	commands_free(TAKE(w.s.commands));
	config_free(TAKE(w.config));
	return fixture_teardown(state);
}

/* ---- tests ---- */

static void a_command_is_forgotten_when_its_end_is_committed(void **state UNUSED)
{
	int64_t run = make_task(1);
	begin("n/e1/scheduler/1");
	const struct said *start = hear(MSG_EXEC_START, 0);
	assert_true(start->may_start);
	size_t said = w.count;
	tell_end(start, "exit", 0);
	assert_int_equal(w.count, said); /* not before */
	hear(MSG_EXEC_FORGET, said);
	assert_string_equal(run_state(w.f, run), "succeeded");
	/* Told once more: nobody asks for it. */
	said = w.count;
	tell_end(start, "exit", 3);
	assert_int_equal(hear(MSG_EXEC_FORGET, said)->task, start->task);
	assert_string_equal(run_state(w.f, run), "succeeded");
}

static void what_failed_is_tried_again_as_often_as_its_job_says(void **state UNUSED)
{
	int64_t run = make_task(2);
	begin("n/e1/scheduler/1");
	tell_end(hear(MSG_EXEC_START, 0), "exit", 7);
	size_t said = w.count;
	const struct said *again = hear(MSG_EXEC_START, said);
	assert_int_equal(again->fence, 2);
	tell_end(again, "lost", -1);
	hear(MSG_EXEC_FORGET, w.count - 1);
	settle();
	assert_string_equal(run_state(w.f, run), "failed");
	assert_int_equal(peek(w.f, "SELECT tasks_dead FROM drover_run"), 1);
	assert_int_equal(
		peek(w.f, "SELECT errors LIKE '%exit code 7%unknown%' FROM drover_run"), 1);
}

static void the_next_scheduler_takes_over_what_this_droverd_runs(void **state UNUSED)
{
	int64_t run = make_task(1);
	begin("n/e1/scheduler/1");
	const struct said first = *hear(MSG_EXEC_START, 0);
	die();
	/* No death frees it: the command may run. */
	assert_int_equal(WAIT(w.f, queue_free_owner, "n/e1/scheduler/1"), QUEUE_OK);
	assert_int_equal(WAIT(w.f, queue_free_other_epochs, "n", "e2"), QUEUE_OK);
	assert_int_equal(
		WAIT(w.f, queue_free_expired, "n", "e2", clock_real_ms() + 3600000), QUEUE_OK);
	assert_int_equal(peek(w.f, "SELECT state FROM drover_task"), TASK_CLAIMED);
	begin("n/e1/scheduler/2");
	const struct said *second = hear(MSG_EXEC_START, 0);
	assert_int_equal(second->task, first.task);
	assert_int_equal(second->fence, first.fence);
	assert_true(second->may_start); /* should it not have heard the first time */
	tell_end(second, "exit", 0);
	hear(MSG_EXEC_FORGET, 0);
	assert_string_equal(run_state(w.f, run), "succeeded");
}

static void what_an_earlier_droverd_may_have_run_is_not_run_again(void **state UNUSED)
{
	make_task(3);
	begin("n/e1/scheduler/1");
	const struct said first = *hear(MSG_EXEC_START, 0);
	die();
	begin("n/e2/scheduler/1");
	const struct said *second = hear(MSG_EXEC_START, 0);
	assert_int_equal(second->fence, first.fence);
	assert_false(second->may_start);
}

static void a_cancelled_run_ends_its_command(void **state UNUSED)
{
	int64_t run = make_task(1);
	begin("n/e1/scheduler/1");
	const struct said start = *hear(MSG_EXEC_START, 0);
	struct store_tx *tx = store_tx_new(w.f->store, 0);
	queue_tx_cancel_run(tx, run, NULL, "not wanted", clock_real_ms());
	assert_ok(run_tx(w.f, tx));
	assert_int_equal(hear(MSG_EXEC_STOP, 0)->task, start.task);
	assert_string_equal(run_state(w.f, run), "running");
	tell_end(&start, "operator", -1);
	hear(MSG_EXEC_FORGET, 0);
	settle();
	assert_string_equal(run_state(w.f, run), "cancelled");
	/* What droverd runs and nobody holds is ended too. */
	size_t said = w.count;
	const struct message m = { .id = MSG_EXEC_STARTED,
		.body.exec_task = { .task = 4711, .fence = 1 } };
	commands_message(w.s.commands, &m);
	assert_int_equal(hear(MSG_EXEC_STOP, said)->task, 4711);
}

static void a_command_claimed_while_the_store_is_asked_what_is_held_goes_on(void **state UNUSED)
{
	make_task(1);
	begin("n/e1/scheduler/1");
	const struct said first = *hear(MSG_EXEC_START, 0);
	w.held = NULL;
	w.hold_back = true;
	while (!w.held)
		turn();
	size_t said = w.count;
	make_task(1);
	commands_wake(w.s.commands);
	const struct said second = *hear(MSG_EXEC_START, said);
	/* It looked before the second was claimed, and is answered after. */
	const struct held_task held[] = { { .id = (int64_t)first.task,
		.fence = (int64_t)first.fence } };
	w.held(w.held_arg, QUEUE_OK, held, 1);
	for (size_t i = 0; i < w.count; i++)
		assert_int_not_equal(w.said[i].id, MSG_EXEC_STOP);
	/* Asked later, it counts. */
	w.held = NULL;
	w.hold_back = true;
	while (!w.held)
		turn();
	w.held(w.held_arg, QUEUE_OK, held, 1);
	assert_int_equal(hear(MSG_EXEC_STOP, 0)->task, second.task);
}

static void no_room_for(enum message_id id, int times)
{
	w.full_for = id;
	w.full_times = times;
}

static void what_the_channel_had_no_room_for_is_said_again(void **state UNUSED)
{
	int64_t run = make_task(1);
	no_room_for(MSG_EXEC_START, 1);
	begin("n/e1/scheduler/1");
	const struct said start = *hear(MSG_EXEC_START, 0);
	assert_int_equal(w.full_times, 0);
	assert_true(start.may_start);
	no_room_for(MSG_EXEC_FORGET, 1);
	size_t said = w.count;
	tell_end(&start, "exit", 0);
	/* droverd, asked to tell of all, tells of this one again. */
	hear(MSG_EXEC_SYNC, said);
	assert_string_equal(run_state(w.f, run), "succeeded");
	tell_end(&start, "exit", 0);
	assert_int_equal(hear(MSG_EXEC_FORGET, said)->task, start.task);
}

static void a_command_that_is_cancelled_before_it_was_said_is_not_begun(void **state UNUSED)
{
	int64_t run = make_task(1);
	w.held = NULL;
	w.hold_back = true;
	no_room_for(MSG_EXEC_START, 1000);
	begin("n/e1/scheduler/1");
	while (w.full_times == 1000)
		turn();
	struct store_tx *tx = store_tx_new(w.f->store, 0);
	queue_tx_cancel_run(tx, run, NULL, "not wanted", clock_real_ms());
	assert_ok(run_tx(w.f, tx));
	while (!w.held)
		turn();
	w.held(w.held_arg, QUEUE_OK, NULL, 0);
	no_room_for(MSG_EXEC_START, 0);
	assert_false(hear(MSG_EXEC_START, 0)->may_start);
}

static void on_drained(void *arg)
{
	++*(int *)arg;
}

static void draining_claims_no_more_and_leaves_what_runs(void **state UNUSED)
{
	make_task(1);
	begin("n/e1/scheduler/1");
	hear(MSG_EXEC_START, 0);
	w.drained = 0;
	commands_drain(w.s.commands, on_drained, &w.drained);
	settle();
	assert_true(w.drained > 0);
	make_task(1);
	size_t said = w.count;
	commands_wake(w.s.commands);
	settle();
	assert_int_equal(w.count, said);
	assert_int_equal(peek(w.f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 1);
}

static void no_more_run_at_a_time_than_are_allowed(void **state UNUSED)
{
	for (int i = 0; i < 4; i++)
		make_task(1);
	begin("n/e1/scheduler/1");
	hear(MSG_EXEC_START, 0);
	settle();
	assert_int_equal(peek(w.f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 2);
	for (size_t i = 0; i < w.count; i++)
		if (w.said[i].id == MSG_EXEC_START)
			tell_end(&w.said[i], "exit", 0);
	settle();
	settle();
	assert_int_equal(peek(w.f, "SELECT COUNT(*) FROM drover_run WHERE state = 'succeeded'"), 2);
	assert_int_equal(peek(w.f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 2);
}

static void without_memory_for_it_no_command_is_begun(void **state UNUSED)
{
	w.short_of_memory = true;
	make_task(1);
	begin("n/e1/scheduler/1");
	commands_wake(w.s.commands);
	settle();
	assert_int_equal(peek(w.f, "SELECT COUNT(*) FROM drover_task WHERE state = 1"), 0);
	w.short_of_memory = false;
	hear(MSG_EXEC_START, 0); /* found at the next look, a second later at most */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_command_is_forgotten_when_its_end_is_committed),
		TEST(what_failed_is_tried_again_as_often_as_its_job_says),
		TEST(the_next_scheduler_takes_over_what_this_droverd_runs),
		TEST(what_an_earlier_droverd_may_have_run_is_not_run_again),
		TEST(a_cancelled_run_ends_its_command),
		TEST(a_command_claimed_while_the_store_is_asked_what_is_held_goes_on),
		TEST(what_the_channel_had_no_room_for_is_said_again),
		TEST(a_command_that_is_cancelled_before_it_was_said_is_not_begun),
		TEST(draining_claims_no_more_and_leaves_what_runs),
		TEST(without_memory_for_it_no_command_is_begun),
		TEST(no_more_run_at_a_time_than_are_allowed),
	};
	return RUN_ON_BOTH(tests);
}
