/* SPDX-License-Identifier: MIT */
/* The test plays the supervisor; the worker is a forked child with operations of its own. */
#include "unit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/kind.h"
#include "config/load.h"
#include "ipc/channel.h"
#include "log/log.h"
#include "loop/loop.h"
#include "stats/stats.h"
#include "worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern const struct worker_kind worker_kind_monitor;

enum { TICKET_LIMIT_MS = 50, HEARD_MAX = 32, HOARD = 32768, WAIT_MS = 8000 };

/* ---- the worker's side, in the child ---- */

enum drain_manner { DRAIN_AT_ONCE, DRAIN_NEVER, HANG_AT_THE_END };

static enum drain_manner drain_manner;

/* Level debug: takes work; level error: refuses. */
static int configure(struct worker *w, const struct config *config, struct err *err)
{
	if (config->logs.level == LOG_ERROR)
		return err_set(err, -EINVAL, "not to my taste");
	if (config->logs.level == LOG_DEBUG && !worker_state(w))
		worker_set_state(w, worker_ticket_new(w, TICKET_LIMIT_MS));
	return 0;
}

static void *hoard[HOARD], *last_of_all;

/* Below the last block nothing goes back by itself when it is freed. */
static void fill_hoard(void)
{
	for (size_t i = 0; i < HOARD; i++) {
		hoard[i] = malloc(1024);
		memset(hoard[i], 1, 1024);
	}
	last_of_all = malloc(1024);
}

static void message(struct worker *w, const struct message *m)
{
	char text[256];
	if (m->id == MSG_WORK)
		worker_ticket_touch(worker_state(w));
	if (m->id == MSG_OWNER_GONE)
		fill_hoard();
	if (m->id != MSG_QUESTION)
		return;
	snprintf(text, sizeof(text), "%s|%s|%s|%s|%d", worker_name(w), worker_owner(w),
		worker_node(w), worker_state_dir(w), worker_config(w)->logs.level);
	struct msg_answer answer = {
		.id = m->body.question.id, .last = 1, .json = { text, strlen(text) }
	};
	worker_send(w, MSG_ANSWER, &answer);
	stats_add(worker_stats(w), STAT_requests, 7);
}

static void drain(struct worker *w, int64_t deadline_ms UNUSED)
{
	if (drain_manner != DRAIN_NEVER)
		worker_drained(w);
}

static void hold(struct worker *w, bool on)
{
	if (on)
		worker_rests(w);
}

static void trim(struct worker *w UNUSED)
{
	for (size_t i = 0; i < HOARD; i++) {
		free(hoard[i]);
		hoard[i] = NULL;
	}
}

static void stop(struct worker *w)
{
	trim(w);
	free(last_of_all);
	worker_ticket_free(worker_state(w));
	while (drain_manner == HANG_AT_THE_END)
		pause();
}

static const struct worker_ops ops = { .configure = configure,
	.message = message,
	.drain = drain,
	.hold = hold,
	.trim = trim,
	.stop = stop };

/* ---- the supervisor's side ---- */

struct heard {
	enum message_id id;
	union message_body body;
	char text[256];
};

struct parent {
	struct loop *loop;
	struct channel *channel;
	struct loop_timer *limit;
	struct stats *stats;
	char stats_path[64];
	pid_t pid;
	struct heard heard[HEARD_MAX];
	size_t count, taken;
	bool closed, late;
	int64_t started_ms;
};

static void on_message(void *arg, struct message *m)
{
	struct parent *p = arg;
	struct heard *h = &p->heard[p->count];
	assert_true(p->count++ < HEARD_MAX);
	*h = (struct heard) { .id = m->id, .body = m->body };
	if (m->id == MSG_HELLO)
		snprintf(h->text, sizeof(h->text), "%s", m->body.hello.kind);
	if (m->id == MSG_CONFIG_RESULT)
		snprintf(h->text, sizeof(h->text), "%s", m->body.config_result.error);
	if (m->id == MSG_ANSWER)
		snprintf(h->text, sizeof(h->text), "%.*s", (int)m->body.answer.json.len,
			m->body.answer.json.data);
	loop_stop(p->loop);
}

static void on_closed(void *arg, const char *why UNUSED)
{
	struct parent *p = arg;
	p->closed = true;
	loop_stop(p->loop);
}

static void on_limit(void *arg)
{
	struct parent *p = arg;
	p->late = true;
	loop_stop(p->loop);
}

NORETURN static void be_worker(int fd)
{
	char *argv[] = { (char *)(uintptr_t) "drover-test", NULL };
	if (fd != 3) {
		dup2(fd, 3);
		close(fd);
	} else {
		fcntl(3, F_SETFD, 0);
	}
	_exit(worker_main(&worker_kind_monitor, &ops, 1, argv));
}

static int start_worker(void **state)
{
	struct parent *p = NEW(struct parent);
	struct err err;
	int fds[2];
	static const struct channel_ops channel_ops = { .message = on_message,
		.closed = on_closed };
	assert_non_null(p);
	snprintf(p->stats_path, sizeof(p->stats_path), "/tmp/drover-worker-%d", (int)getpid());
	assert_int_equal(stats_create(&p->stats, p->stats_path, &err), 0);
	assert_int_equal(channel_pair(fds), 0);
	p->started_ms = clock_mono_ms();
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(fds[0]);
		be_worker(fds[1]);
	}
	close(fds[1]);
	assert_int_equal(loop_new(&p->loop, &err), 0);
	p->limit = loop_timer_new(p->loop, on_limit, p);
	assert_int_equal(
		channel_new(&p->channel, p->loop, fds[0], FROM_WORKER, &channel_ops, p), 0);
	*state = p;
	return 0;
}

static int end_worker(void **state)
{
	struct parent *p = *state;
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	channel_free(p->channel);
	loop_timer_free(p->limit);
	loop_free(p->loop);
	stats_close(p->stats);
	unlink(p->stats_path);
	free(p);
	return 0;
}

static int start_patient_worker(void **state)
{
	drain_manner = DRAIN_NEVER;
	int rc = start_worker(state);
	drain_manner = DRAIN_AT_ONCE;
	return rc;
}

static int start_hanging_worker(void **state)
{
	drain_manner = HANG_AT_THE_END;
	int rc = start_worker(state);
	drain_manner = DRAIN_AT_ONCE;
	return rc;
}

/* The next message, which must be this one. */
static const struct heard *hear(struct parent *p, enum message_id id)
{
	loop_timer_start(p->limit, WAIT_MS);
	while (p->taken == p->count && !p->closed && !p->late)
		loop_run(p->loop);
	if (p->taken == p->count)
		fail_msg("%s instead of %s", p->late ? "silence" : "the end", message_name(id));
	const struct heard *h = &p->heard[p->taken++];
	assert_string_equal(message_name(h->id), message_name(id));
	return h;
}

static void tell(struct parent *p, enum message_id id, const void *body, const int *fds, size_t n)
{
	assert_int_equal(channel_send(p->channel, id, body, fds, n), 0);
}

static void set_up(struct parent *p)
{
	const struct msg_setup setup = { .name = "collect:2",
		.owner = "node/epoch/collect:2/7",
		.node = "node",
		.incarnation = 7,
		.stats_slot = 3,
		.log_level = LOG_ERROR,
		.state_dir = "/state" };
	int fds[1 + LOG_CATEGORIES] = { stats_fd(p->stats) };
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	tell(p, MSG_SETUP, &setup, fds, ARRAY_SIZE(fds));
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void send_config_with(
	struct parent *p, uint32_t generation, const char *level, const char *store)
{
	char yaml[128];
	struct err err;
	const struct msg_config body = { .generation = generation };
	snprintf(yaml, sizeof(yaml), "logs: {level: %s}\nstore: {url: \"%s\"}\n", level, store);
	CLEANUP(config_freep) struct config *config = must_load(yaml);
	int fd = config_handover(config, &worker_kind_monitor, &err);
	assert_true(fd >= 0);
	tell(p, MSG_CONFIG, &body, &fd, 1);
	close(fd);
}

static void send_config(struct parent *p, uint32_t generation, const char *level)
{
	send_config_with(p, generation, level, "sqlite:drover.db");
}

static void must_be_taken(struct parent *p, uint32_t generation)
{
	const struct heard *h = hear(p, MSG_CONFIG_RESULT);
	assert_int_equal(h->body.config_result.generation, generation);
	assert_string_equal(h->text, "");
	assert_int_equal(h->body.config_result.ok, 1);
}

static void make_ready(struct parent *p, const char *level)
{
	hear(p, MSG_HELLO);
	set_up(p);
	send_config(p, 1, level);
	must_be_taken(p, 1);
}

static const struct msg_beat *probe(struct parent *p, uint64_t seq)
{
	const struct msg_probe body = { .seq = seq };
	tell(p, MSG_PROBE, &body, NULL, 0);
	const struct heard *h = hear(p, MSG_BEAT);
	assert_int_equal(h->body.beat.seq, seq);
	return &h->body.beat;
}

/* Waits for the end; the exit code, or -signal. */
static int exit_code(struct parent *p)
{
	int status;
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	p->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- what must hold ---- */

static void hello_comes_first_with_version_kind_and_pid(void **state)
{
	struct parent *p = *state;
	const struct heard *h = hear(p, MSG_HELLO);
	assert_int_equal(h->body.hello.version, PROTOCOL_VERSION);
	assert_int_equal(h->body.hello.pid, p->pid);
	assert_string_equal(h->text, "monitor");
}

static void set_up_and_configured_it_knows_who_it_is_and_owns_its_numbers(void **state)
{
	struct parent *p = *state;
	const struct msg_question question = { .id = 9, .verb = "who" };
	make_ready(p, "info");
	tell(p, MSG_QUESTION, &question, NULL, 0);
	const struct heard *h = hear(p, MSG_ANSWER);
	assert_int_equal(h->body.answer.id, 9);
	assert_string_equal(h->text, "collect:2|node/epoch/collect:2/7|node|/state|1");
	probe(p, 1); /* after the answer, so the number is there */
	const struct stats_slot *slot = stats_peek(p->stats, 3);
	assert_non_null(slot);
	assert_string_equal(stats_slot_name(slot), "collect:2");
	assert_int_equal(stats_counter(slot, STAT_requests), 7);
}

static void a_first_configuration_that_is_refused_ends_it_with_words(void **state)
{
	struct parent *p = *state;
	hear(p, MSG_HELLO);
	set_up(p);
	send_config(p, 4, "error");
	const struct heard *h = hear(p, MSG_CONFIG_RESULT);
	assert_int_equal(h->body.config_result.ok, 0);
	assert_int_equal(h->body.config_result.generation, 4);
	assert_string_equal(h->text, "not to my taste");
	assert_int_equal(exit_code(p), 1);
}

static void a_later_one_that_is_refused_changes_nothing(void **state)
{
	struct parent *p = *state;
	const struct msg_question question = { .id = 1, .verb = "who" };
	make_ready(p, "warn");
	send_config(p, 2, "error");
	assert_int_equal(hear(p, MSG_CONFIG_RESULT)->body.config_result.ok, 0);
	tell(p, MSG_QUESTION, &question, NULL, 0);
	assert_string_equal(
		hear(p, MSG_ANSWER)->text, "collect:2|node/epoch/collect:2/7|node|/state|2");
	send_config(p, 3, "info");
	must_be_taken(p, 3);
	tell(p, MSG_QUESTION, &question, NULL, 0);
	assert_string_equal(
		hear(p, MSG_ANSWER)->text, "collect:2|node/epoch/collect:2/7|node|/state|1");
}

static void a_configuration_before_setup_is_refused(void **state)
{
	struct parent *p = *state;
	hear(p, MSG_HELLO);
	send_config(p, 1, "info");
	assert_int_equal(hear(p, MSG_CONFIG_RESULT)->body.config_result.ok, 0);
	assert_int_equal(exit_code(p), 1);
}

static void a_configuration_that_is_not_sealed_is_refused(void **state)
{
	struct parent *p = *state;
	const struct msg_config body = { .generation = 1 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	hear(p, MSG_HELLO);
	set_up(p);
	tell(p, MSG_CONFIG, &body, &fd, 1);
	close(fd);
	assert_int_equal(hear(p, MSG_CONFIG_RESULT)->body.config_result.ok, 0);
	assert_int_equal(exit_code(p), 1);
}

static void setup_without_its_descriptors_ends_it(void **state)
{
	struct parent *p = *state;
	const struct msg_setup setup = {
		.name = "x", .owner = "o", .node = "n", .state_dir = "/state"
	};
	int fd = stats_fd(p->stats);
	hear(p, MSG_HELLO);
	tell(p, MSG_SETUP, &setup, &fd, 1);
	assert_int_equal(exit_code(p), 1);
}

static void a_beat_answers_each_probe_and_idle_means_no_work(void **state)
{
	struct parent *p = *state;
	make_ready(p, "info");
	for (uint64_t seq = 100; seq < 103; seq++) {
		const struct msg_beat *beat = probe(p, seq);
		assert_int_equal(beat->working, 0);
		assert_int_equal(beat->stalled_ms, 0);
	}
}

static void work_without_progress_shows_as_stalled_until_it_moves(void **state)
{
	struct parent *p = *state;
	const struct msg_wake work = { .kind = "collect" };
	make_ready(p, "debug");
	const struct msg_beat *beat = probe(p, 1);
	uint64_t progress = beat->progress;
	assert_int_equal(beat->working, 1);
	assert_int_equal(beat->stall_limit_ms, TICKET_LIMIT_MS);
	int64_t until = clock_mono_ms() + WAIT_MS;
	for (uint64_t seq = 2; beat->stalled_ms <= TICKET_LIMIT_MS; seq++) {
		assert_true(clock_mono_ms() < until);
		p->count = p->taken = 0;
		beat = probe(p, seq);
		assert_int_equal(beat->progress, progress);
	}
	tell(p, MSG_WORK, &work, NULL, 0);
	int64_t touched = clock_mono_ms();
	beat = probe(p, 1000);
	assert_true((int64_t)beat->stalled_ms <= clock_mono_ms() - touched);
	assert_int_equal(beat->progress, progress + 1);
}

static void drained_it_exits_0(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 5000 };
	make_ready(p, "debug");
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	hear(p, MSG_DRAINED);
	assert_int_equal(exit_code(p), 0);
}

static void a_drain_before_it_was_configured_ends_it_at_once(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 60000 };
	hear(p, MSG_HELLO);
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	assert_int_equal(exit_code(p), 0);
}

static void a_drain_that_does_not_end_is_cut_off(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 100 };
	make_ready(p, "debug");
	int64_t asked = clock_mono_ms();
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	/* Beats go on meanwhile: it is not hung. */
	probe(p, 1);
	assert_int_equal(exit_code(p), 1);
	assert_in_range(clock_mono_ms() - asked, 100, 2500);
}

static void with_a_task_in_hand_it_needs_services_until_it_is_drained(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 5000 };
	make_ready(p, "debug");
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	probe(p, 1);
}

static void one_whose_store_is_a_server_needs_it_until_it_is_closed(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 5000 };
	hear(p, MSG_HELLO);
	set_up(p);
	send_config_with(p, 1, "info", "postgresql://localhost/x");
	must_be_taken(p, 1);
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	while (!p->closed)
		loop_run(p->loop);
	assert_int_equal(p->count, p->taken);
	assert_int_equal(exit_code(p), 0);
}

static void a_drain_takes_no_new_configuration(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 5000 };
	make_ready(p, "info");
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	send_config(p, 2, "info");
	hear(p, MSG_DRAINED);
	assert_int_equal(hear(p, MSG_CONFIG_RESULT)->body.config_result.ok, 0);
}

static void trimmed_it_returns_what_was_freed_and_says_so(void **state)
{
	struct parent *p = *state;
	const struct msg_owner_gone grow = { .owner = "" };
	const struct msg_trim one = { .seq = 7 }, other = { .seq = 8 };
	make_ready(p, "info");
	tell(p, MSG_OWNER_GONE, &grow, NULL, 0);
	tell(p, MSG_TRIM, &one, NULL, 0);
	tell(p, MSG_TRIM, &other, NULL, 0); /* of two that cross, the later is answered */
	const struct msg_trimmed *answer = &hear(p, MSG_TRIMMED)->body.trimmed;
	assert_int_equal(answer->seq, 8);
	assert_true(answer->before > HOARD * 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what was freed */
	assert_true(answer->after < answer->before - HOARD * 1024 / 2);
#endif
	tell(p, MSG_TRIM, &one, NULL, 0);
	assert_int_equal(hear(p, MSG_TRIMMED)->body.trimmed.seq, 7);
}

static void held_it_says_when_it_rests_and_when_it_works_again(void **state)
{
	struct parent *p = *state;
	const struct msg_hold on = { .on = 1 }, off = { .on = 0 };
	make_ready(p, "info");
	tell(p, MSG_HOLD, &on, NULL, 0);
	assert_int_equal(hear(p, MSG_RESTING)->body.hold.on, 1);
	tell(p, MSG_HOLD, &off, NULL, 0);
	assert_int_equal(hear(p, MSG_RESTING)->body.hold.on, 0);
}

/* Else it would take tasks in between. */
static void a_hold_before_it_was_configured_counts_before_it_works(void **state)
{
	struct parent *p = *state;
	const struct msg_hold on = { .on = 1 };
	hear(p, MSG_HELLO);
	set_up(p);
	tell(p, MSG_HOLD, &on, NULL, 0);
	send_config(p, 1, "info");
	assert_int_equal(hear(p, MSG_RESTING)->body.hold.on, 1);
	must_be_taken(p, 1);
}

static void sigterm_drains(void **state)
{
	struct parent *p = *state;
	make_ready(p, "info");
	kill(p->pid, SIGTERM);
	assert_int_equal(exit_code(p), 0);
}

static void without_its_supervisor_it_ends_by_itself(void **state)
{
	struct parent *p = *state;
	make_ready(p, "info");
	int64_t lost = clock_mono_ms();
	channel_free(p->channel);
	p->channel = NULL;
	assert_int_equal(exit_code(p), 0);
	assert_in_range(clock_mono_ms() - lost, 0, 2000);
}

static void without_its_supervisor_it_is_gone_within_5_s_whatever_it_does(void **state)
{
	struct parent *p = *state;
	make_ready(p, "info");
	int64_t lost = clock_mono_ms();
	channel_free(p->channel);
	p->channel = NULL;
	assert_int_equal(exit_code(p), 1);
	assert_in_range(clock_mono_ms() - lost, 3000, 5000);
}

static void nor_does_a_store_that_hangs_keep_it(void **state)
{
	struct parent *p = *state;
	make_ready(p, "info");
	int64_t lost = clock_mono_ms();
	channel_free(p->channel);
	p->channel = NULL;
	assert_int_equal(exit_code(p), -SIGALRM);
	assert_in_range(clock_mono_ms() - lost, 3000, 5000);
}

static void a_supervisor_lost_during_a_long_drain_does_not_prolong_it(void **state)
{
	struct parent *p = *state;
	const struct msg_drain drain_now = { .deadline_ms = 600000 };
	make_ready(p, "info");
	tell(p, MSG_DRAIN, &drain_now, NULL, 0);
	hear(p, MSG_DRAINED);
	probe(p, 1);
	int64_t lost = clock_mono_ms();
	channel_free(p->channel);
	p->channel = NULL;
	assert_int_equal(exit_code(p), 1);
	assert_in_range(clock_mono_ms() - lost, 0, 5000);
}

static void started_by_hand_it_says_so(void **state UNUSED)
{
	int status, err_pipe[2];
	char text[256] = "";
	assert_int_equal(pipe(err_pipe), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = { (char *)(uintptr_t) "drover-test", NULL };
		dup2(err_pipe[1], STDERR_FILENO);
		close(3);
		_exit(worker_main(&worker_kind_monitor, &ops, 1, argv));
	}
	close(err_pipe[1]);
	assert_true(read(err_pipe[0], text, sizeof(text) - 1) > 0);
	close(err_pipe[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 2);
	assert_non_null(strstr(text, "started by droverd"));
}

int main(void)
{
#define TEST(name)    cmocka_unit_test_setup_teardown(name, start_worker, end_worker)
#define PATIENT(name) cmocka_unit_test_setup_teardown(name, start_patient_worker, end_worker)
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_first_with_version_kind_and_pid),
		TEST(set_up_and_configured_it_knows_who_it_is_and_owns_its_numbers),
		TEST(a_first_configuration_that_is_refused_ends_it_with_words),
		TEST(a_later_one_that_is_refused_changes_nothing),
		TEST(a_configuration_before_setup_is_refused),
		TEST(a_configuration_that_is_not_sealed_is_refused),
		TEST(setup_without_its_descriptors_ends_it),
		TEST(a_beat_answers_each_probe_and_idle_means_no_work),
		TEST(work_without_progress_shows_as_stalled_until_it_moves),
		TEST(drained_it_exits_0),
		TEST(a_drain_before_it_was_configured_ends_it_at_once),
		PATIENT(a_drain_that_does_not_end_is_cut_off),
		PATIENT(with_a_task_in_hand_it_needs_services_until_it_is_drained),
		TEST(one_whose_store_is_a_server_needs_it_until_it_is_closed),
		PATIENT(a_drain_takes_no_new_configuration),
		TEST(trimmed_it_returns_what_was_freed_and_says_so),
		TEST(held_it_says_when_it_rests_and_when_it_works_again),
		TEST(a_hold_before_it_was_configured_counts_before_it_works),
		TEST(sigterm_drains),
		TEST(without_its_supervisor_it_ends_by_itself),
		PATIENT(without_its_supervisor_it_is_gone_within_5_s_whatever_it_does),
		cmocka_unit_test_setup_teardown(
			nor_does_a_store_that_hangs_keep_it, start_hanging_worker, end_worker),
		PATIENT(a_supervisor_lost_during_a_long_drain_does_not_prolong_it),
		cmocka_unit_test(started_by_hand_it_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
