/* SPDX-License-Identifier: MIT */
/*
 * Real processes over one real database, killed by SIGKILL. A process is forked before it starts
 * its store thread; rows have no key, so that a duplicate shows. Seed: $DROVER_SEED, printed.
 */
#include "queue_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum {
	WORKERS = 4,
	TASKS = 500,
	BATCHES = 4,
	BATCH_ROWS = 20,
	PAUSE_MS = 15,
	KILLS = 60,
	TEST_MS = 60000
};

/* What one worker does with a task: four batches of rows, each with its checkpoint, the last with
 * the completion; several tasks at once. */
struct worker {
	struct fixture f;
	struct queue *queue;
	struct loop_timer *idle;
	size_t held;
	bool kill_at_first_done; /* SIGKILL as soon as a completion's transaction has come back */
};
struct work {
	struct worker *w;
	struct task *task;
	struct loop_timer *pause; /* stands for the fetch of the next page */
	int64_t batch;		  /* of those that are durable */
};

static void claim_more(void *arg);
static void next_batch(void *arg);

static void on_batch(void *arg, const struct store_result *r)
{
	struct work *work = arg;
	struct worker *w = work->w;
	if (store_result_status(r) == STORE_UNAVAILABLE) {
		next_batch(work);
		return;
	}
	if (store_result_status(r) != STORE_OK) {
		dprintf(2, "a worker lost its task %lld: %s\n", (long long)work->task->id,
			store_result_error(r));
		_exit(3);
	}
	if (++work->batch < BATCHES) {
		loop_timer_start(work->pause, PAUSE_MS);
		return;
	}
	if (w->kill_at_first_done)
		raise(SIGKILL);
	task_free(work->task);
	loop_timer_free(work->pause);
	free(work);
	if (--w->held == 0)
		claim_more(w);
}

static void next_batch(void *arg)
{
	struct work *work = arg;
	struct worker *w = work->w;
	struct store_tx *tx = store_tx_new(w->f.store, 0);
	char checkpoint[16];
	snprintf(checkpoint, sizeof(checkpoint), "%d", (int)work->batch + 1);
	queue_tx_guard(w->queue, tx, work->task, checkpoint);
	for (int64_t i = 0; i < BATCH_ROWS; i++) {
		const struct store_value v[] = { store_text(work->task->payload),
			STORE_VALUE_INT(work->batch * BATCH_ROWS + i) };
		store_tx_sql(tx, "INSERT INTO result (task, n) VALUES ($1, $2)", v, 2);
	}
	const struct run_counts counts = { .rows = BATCH_ROWS };
	queue_tx_count(tx, work->task, &counts);
	if (work->batch + 1 == BATCHES)
		queue_tx_done(tx, work->task);
	store_submit(w->f.store, tx, on_batch, work);
}

static void on_tasks(void *arg, enum queue_status status, struct task **tasks, size_t count)
{
	struct worker *w = arg;
	(void)status;
	for (size_t i = 0; i < count; i++) {
		struct work *work = NEW(struct work);
		work->w = w;
		work->task = tasks[i];
		work->pause = loop_timer_new(w->f.loop, next_batch, work);
		work->batch = strtoll(tasks[i]->checkpoint, NULL, 10);
		w->held++;
		next_batch(work);
	}
	if (count == 0)
		loop_timer_start(w->idle, 10);
}

static void claim_more(void *arg)
{
	struct worker *w = arg;
	queue_claim(w->queue, 4, on_tasks, w);
}

/* The same place again. */
static void open_here(struct fixture *f, const struct fixture *place)
{
	struct err err;
	*f = *place;
	if (loop_new(&f->loop, &err) < 0)
		_exit(4);
	f->out.loop = f->loop;
	struct store_options options = { .url = f->url, .state_dir = f->dir };
	if (store_open(&f->store, f->loop, &options, &err) < 0)
		_exit(4);
}

static pid_t start_worker(const struct fixture *place, const char *owner, bool kill_at_first_done)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct worker w = { .kill_at_first_done = kill_at_first_done };
	open_here(&w.f, place);
	w.queue = open_queue(&w.f, owner);
	w.idle = loop_timer_new(w.f.loop, claim_more, &w);
	claim_more(&w);
	loop_run(w.f.loop);
	_exit(5);
}

/* Parent's own work goes through a store that is open only while no child is forked. */
static int dir_setup(void **state)
{
	struct fixture *f;
	queue_setup((void **)&f);
	assert_ok(run_sql(f, "CREATE TABLE result (task TEXT, n INTEGER)"));
	*state = f;
	return 0;
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	loop_free(f->loop);
	f->store = NULL;
	f->loop = NULL;
}

static void reopen_store(struct fixture *f)
{
	const struct fixture place = *f;
	open_here(f, &place);
}

static void wait_killed(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("a worker ended by itself: status %x", (unsigned)status);
}

static void check_rows(struct fixture *f, int64_t tasks)
{
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM (SELECT task, n FROM result GROUP BY task, n"
				 " HAVING COUNT(*) > 1) AS doubled"),
		0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM result"), tasks * BATCHES * BATCH_ROWS);
	assert_int_equal(peek(f, "SELECT rows FROM drover_run"), tasks * BATCHES * BATCH_ROWS);
	assert_int_equal(peek(f, "SELECT tasks_done FROM drover_run"), tasks);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_run WHERE state = 'succeeded'"), 1);
}

/* The moment between rows and acknowledgement: there is none. */
static void a_kill_right_after_the_last_rows_repeats_nothing(void **state)
{
	struct fixture *f = *state;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	close_store(f);
	wait_killed(start_worker(f, "w/1", true));
	reopen_store(f);
	assert_int_equal(WAIT(f, queue_free_owner, "w/1"), QUEUE_OK);
	check_rows(f, 1);
}

static void a_task_that_kills_its_worker_ends_in_the_dead_letters(void **state)
{
	struct fixture *f = *state;
	struct claim c;
	make_run(f, NULL, 1, PRIORITY_MEDIUM, 3);
	for (int i = 0; i < 3; i++) {
		struct queue *q = open_queue(f, "w/1");
		assert_int_equal(claim(f, q, 1, &c), 1);
		unclaim(&c);
		queue_close(q);
		/* The supervisor saw it die. */
		assert_int_equal(WAIT(f, queue_free_owner, "w/1"), QUEUE_OK);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_task"), 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_dead"), 1);
	assert_int_equal(peek(f, "SELECT tasks_dead FROM drover_run"), 1);
	assert_string_equal(run_state(f, 1), "failed");
}

static int64_t left(struct fixture *f)
{
	return peek(f, "SELECT COUNT(*) FROM drover_task");
}

static void free_owner(struct fixture *f, const char *owner)
{
	/* In a child, because this process forks on and must have no thread. */
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct fixture mine;
		struct claim done;
		open_here(&mine, f);
		done.loop = mine.loop;
		do {
			queue_free_owner(mine.store, owner, on_status, &done);
			loop_run(mine.loop);
		} while (done.status == QUEUE_UNAVAILABLE);
		store_close(mine.store);
		_exit(done.status == QUEUE_OK ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* More work whenever the workers are about to run dry, so that each kill hits someone busy. */
static void kills_at_random_instants_lose_and_double_nothing(void **state)
{
	struct fixture *f = *state;
	const char *given = getenv("DROVER_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_mono_us();
	int64_t deadline = clock_mono_ms() + TEST_MS;
	pid_t pids[WORKERS];
	char owners[WORKERS][32];
	int serial = 0, kills = 0, while_holding = 0;
	print_message("seed %u\n", seed);
	make_run(f, NULL, TASKS, PRIORITY_MEDIUM, 100);
	close_store(f);
	for (int i = 0; i < WORKERS; i++) {
		snprintf(owners[i], sizeof(owners[i]), "n/e/w%d/%d", i, ++serial);
		pids[i] = start_worker(f, owners[i], false);
	}
	while (kills < KILLS && left(f) > WORKERS) {
		int i = (int)(rand_r(&seed) % WORKERS);
		struct timespec pause = { .tv_nsec = (long)(rand_r(&seed) % 12000000) };
		char sql[160];
		nanosleep(&pause, NULL);
		kill(pids[i], SIGKILL);
		wait_killed(pids[i]);
		snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM drover_task WHERE owner = '%s'",
			owners[i]);
		while_holding += peek(f, sql) > 0;
		kills++;
		free_owner(f, owners[i]);
		snprintf(owners[i], sizeof(owners[i]), "n/e/w%d/%d", i, ++serial);
		pids[i] = start_worker(f, owners[i], false);
	}
	while (left(f) > 0 && clock_mono_ms() < deadline)
		poll(NULL, 0, 20);
	for (int i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		wait_killed(pids[i]);
	}
	reopen_store(f);
	print_message("%d kills, %d of them of a worker that held tasks\n", kills, while_holding);
	check_rows(f, TASKS);
	assert_true(kills >= KILLS / 2);
	assert_true(while_holding >= kills / 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, dir_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_kill_right_after_the_last_rows_repeats_nothing),
		TEST(a_task_that_kills_its_worker_ends_in_the_dead_letters),
		TEST(kills_at_random_instants_lose_and_double_nothing),
	};
	return RUN_ON_BOTH(tests);
}
