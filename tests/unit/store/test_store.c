/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* As if CLOCK_REALTIME was set, right after it was read. */
static time_t real_offset_s;

int clock_gettime(clockid_t clock, struct timespec *at)
{
	long rc = syscall(SYS_clock_gettime, clock, at);
	if (rc == 0 && clock == CLOCK_REALTIME)
		at->tv_sec += real_offset_s;
	return (int)rc;
}

static void a_transaction_comes_back_on_the_loop_with_its_rows(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT, b TEXT, c DOUBLE PRECISION)"));
	struct store_tx *tx = store_tx_new(f->store, 0);
	const struct store_value v[] = { store_text("zwei"), STORE_VALUE_INT(INT64_MIN),
		STORE_VALUE_REAL(0.5) };
	/* Parameters are numbered by their $N, not by where they stand. */
	store_tx_sql(tx, "INSERT INTO t (a, b, c) VALUES ($2, $1, $3)", v, 3);
	store_tx_sql(tx, "SELECT b, a, c FROM t WHERE b = $1", v, 1);
	assert_int_equal(store_pending(f->store), 0);
	assert_ok(run_tx(f, tx));
	assert_int_equal(f->out.changes[0], 1);
	assert_string_equal(f->out.text, "zwei");
	run_sql(f, "SELECT a FROM t");
	assert_true(f->out.value == INT64_MIN);
	assert_int_equal(store_pending(f->store), 0);
}

static void an_expectation_that_fails_leaves_nothing_behind(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	store_tx_sql(tx, "UPDATE t SET a = 3 WHERE a = 2", NULL, 0);
	store_tx_expect(tx, 1);
	assert_int_equal(run_tx(f, tx)->status, STORE_CONFLICT);
	assert_int_equal(f->out.changes[0], 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
}

static void a_returning_statement_counts_its_rows_as_expected(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx, "INSERT INTO t VALUES (7), (8) RETURNING a", NULL, 0);
	store_tx_expect(tx, 2);
	assert_ok(run_tx(f, tx));
	assert_int_equal(f->out.value, 7);
	assert_int_equal(f->out.rows, 2);
}

static void one_that_fails_in_a_group_leaves_the_others_alone(void **state)
{
	struct fixture *f = *state;
	struct outcome outs[40];
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER UNIQUE)"));
	for (int i = 0; i < 40; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		struct store_value v = STORE_VALUE_INT(i);
		outs[i] = (struct outcome) { .loop = f->loop };
		store_tx_sql(tx, "INSERT INTO t VALUES ($1)", &v, 1);
		if (i % 4 == 1)
			store_tx_sql(tx, "INSERT INTO t VALUES ($1)", &v, 1); /* not unique */
		if (i % 4 == 2) {
			store_tx_sql(tx, "DELETE FROM t WHERE a = -1", NULL, 0);
			store_tx_expect(tx, 1);
		}
		store_submit(f->store, tx, on_done, &outs[i]);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(outs[i].calls, 1);
		assert_int_equal(outs[i].status, i % 4 == 1   ? STORE_FAILED
						 : i % 4 == 2 ? STORE_CONFLICT
							      : STORE_OK);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 20);
	assert_int_equal(peek(f, "SELECT SUM(a) FROM t"), 390);
}

static int order[200], ordered;
static void note_order(void *arg, const struct store_result *r UNUSED)
{
	order[ordered++] = *(int *)arg;
}

static void writing_transactions_come_back_in_the_order_of_submission(void **state)
{
	struct fixture *f = *state;
	static int numbers[200];
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	ordered = 0;
	for (int i = 0; i < 200; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		numbers[i] = i;
		store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
		store_submit(f->store, tx, note_order, &numbers[i]);
	}
	assert_ok(run_sql(f, "SELECT 1"));
	assert_int_equal(ordered, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(order[i], i);
}

static void a_reader_sees_what_was_submitted_before_it(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	for (int i = 1; i <= 50; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
		store_submit(f->store, tx, NULL, NULL);
		tx = store_tx_new(f->store, STORE_READ_ONLY);
		store_tx_sql(tx, "SELECT COUNT(*) FROM t", NULL, 0);
		assert_int_equal(run_tx(f, tx)->value, i);
	}
}

static void a_read_only_transaction_cannot_write(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	struct store_tx *tx = store_tx_new(f->store, STORE_READ_ONLY);
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
}

static void wrong_sql_fails_and_says_why(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run_sql(f, "SELECT * FROM nowhere")->status, STORE_FAILED);
	assert_non_null(strstr(f->out.error,
		fixture_on == ON_SQLITE ? "no such table: nowhere" : "\"nowhere\" does not exist"));
	assert_int_equal(run_sql(f, "SELECT $1")->status, STORE_FAILED);
	assert_non_null(strstr(f->out.error, "$1"));
	assert_ok(run_sql(f, "SELECT 1"));
}

static void a_strangers_lock_is_unavailable_and_passes(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(run_sql(f, "INSERT INTO t VALUES (1)")->status, STORE_UNAVAILABLE);
	sqlite3_close(db);
	assert_ok(run_sql(f, "INSERT INTO t VALUES (2)"));
	assert_int_equal(peek(f, "SELECT SUM(a) FROM t"), 2);
}

/* The limit stands for a full disk: write() fails in the middle of the group. */
static void a_write_that_fails_takes_the_whole_group_and_later_ones_work(void **state)
{
	struct fixture *f = *state;
	struct outcome outs[6];
	struct rlimit old, small;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER, b BLOB)"));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit) { .rlim_cur = 200000, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 6; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		struct store_value v = STORE_VALUE_INT(i);
		outs[i] = (struct outcome) { .loop = f->loop };
		store_tx_sql(tx, "INSERT INTO t VALUES ($1, zeroblob(3000000))", &v, 1);
		store_submit(f->store, tx, on_done, &outs[i]);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	setrlimit(RLIMIT_FSIZE, &old);
	for (int i = 0; i < 6; i++)
		assert_int_equal(outs[i].status, STORE_UNAVAILABLE);
	assert_ok(run_sql(f, "INSERT INTO t VALUES (100, NULL)"));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 1);
	assert_string_equal((run_sql(f, "PRAGMA integrity_check"), f->out.text), "ok");
}

static void a_database_that_is_replaced_is_opened_anew(void **state)
{
	struct fixture *f = *state;
	char old[160];
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	snprintf(old, sizeof(old), "%s/old.db", f->dir);
	assert_int_equal(rename(f->path, old), 0);
	snprintf(old, sizeof(old), "%s/t.db-wal", f->dir);
	unlink(old);
	snprintf(old, sizeof(old), "%s/t.db-shm", f->dir);
	unlink(old);
	assert_ok(run_sql(f, "CREATE TABLE u (a INTEGER)"));
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'u'"), 1);
}

static void a_database_that_is_not_there_is_unavailable_until_it_is(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct store *other;
	struct outcome out = { .loop = f->loop };
	struct store_options options = { .url = "sqlite:later.db", .state_dir = f->dir };
	char path[160];
	snprintf(path, sizeof(path), "%s/later.db", f->dir);
	assert_int_equal(store_open(&other, f->loop, &options, &err), 0);
	struct store_tx *tx = store_tx_new(other, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT 1", NULL, 0);
	store_submit(other, tx, on_done, &out);
	loop_run(f->loop);
	assert_int_equal(out.status, STORE_UNAVAILABLE);
	assert_non_null(strstr(out.error, "later.db"));
	assert_int_equal(access(path, F_OK), -1);
	close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	tx = store_tx_new(other, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT 1", NULL, 0);
	store_submit(other, tx, on_done, &out);
	loop_run(f->loop);
	assert_ok(&out);
	store_close(other);
	unlink(path);
}

static void the_database_is_made_for_the_group_and_durable(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	char wal[160];
	snprintf(wal, sizeof(wal), "%s/t.db-wal", f->dir);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(run_sql(f, "PRAGMA synchronous")->value, 3); /* EXTRA */
	assert_string_equal((run_sql(f, "PRAGMA journal_mode"), f->out.text), "wal");
}

static void the_gate_is_held_only_while_writing(void **state)
{
	struct fixture *f = *state;
	char path[160];
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	snprintf(path, sizeof(path), "%s/store.lock", f->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	/* Ours now: a reader passes, a writer waits. */
	struct outcome writer = { .loop = f->loop };
	struct store_tx *tx = store_tx_new(f->store, STORE_READ_ONLY);
	store_tx_sql(tx, "SELECT 1", NULL, 0);
	assert_ok(run_tx(f, tx));
	tx = store_tx_new(f->store, 0);
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	store_submit(f->store, tx, on_done, &writer);
	usleep(50000);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
	close(fd);
	loop_run(f->loop);
	assert_ok(&writer);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 1);
}

static void what_was_forgotten_still_happens(void **state)
{
	struct fixture *f = *state;
	struct outcome gone = { .loop = f->loop };
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
	store_submit(f->store, tx, on_done, &gone);
	store_forget(f->store, &gone);
	assert_int_equal(run_sql(f, "SELECT COUNT(*) FROM t")->value, 1);
	assert_int_equal(gone.calls, 0);
}

static void closing_finishes_what_was_submitted(void **state)
{
	struct fixture *f = *state;
	struct outcome gone = { .loop = f->loop };
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	for (int i = 0; i < 300; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
		store_submit(f->store, tx, on_done, &gone);
	}
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(gone.calls, 0);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 300);
}

static void closing_waits_for_what_is_under_way_when_the_clock_is_set(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	struct store_tx *tx = store_tx_new(f->store, 0);
	/* For a while. */
	store_tx_sql(tx,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
		" INSERT INTO t SELECT MAX(i) FROM n",
		NULL, 0);
	store_submit(f->store, tx, NULL, NULL);
	/* Set forward by an hour as soon as it was read. */
	real_offset_s = -3600;
	store_close(f->store);
	real_offset_s = 0;
	f->store = NULL;
	assert_int_equal(peek(f, "SELECT a FROM t"), 20000);
}

/* In a process of its own, which ends with what it had to leave. */
static void closing_does_not_wait_for_ever_behind_a_stopped_writer(void **state)
{
	struct fixture *f = *state;
	char path[160];
	int status;
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_ok(run_sql(f, "CREATE TABLE t (a INTEGER)"));
	snprintf(path, sizeof(path), "%s/store.lock", f->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	/* Without a thread when it forks. */
	store_close(f->store);
	f->store = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		struct err err;
		struct loop *loop;
		struct store *store;
		struct store_options options = { .url = "sqlite:t.db", .state_dir = f->dir };
		close(fd);
		if (loop_new(&loop, &err) < 0 || store_open(&store, loop, &options, &err) < 0)
			_exit(2);
		struct store_tx *tx = store_tx_new(store, 0);
		store_tx_sql(tx, "INSERT INTO t VALUES (1)", NULL, 0);
		store_submit(store, tx, NULL, NULL);
		int64_t before = clock_mono_ms();
		store_close(store);
		_exit(clock_mono_ms() - before < 5000 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 0);
}

static void only_what_an_engine_understands_is_a_url(void **state UNUSED)
{
	struct err err;
	assert_int_equal(store_url_check("sqlite:/a/b.db", &err), 0);
	assert_int_equal(store_url_check("sqlite:", &err), -EINVAL);
	assert_int_equal(store_url_check("sqlite::memory:", &err), -EINVAL);
	assert_int_equal(store_url_check("postgresql://u:geheim@h/db", &err), 0);
	assert_int_equal(store_url_check("postgres://u:geheim@h:5433,i/db?x", &err), -EINVAL);
	assert_null(strstr(err.text, "geheim"));
	assert_int_equal(store_url_check("", &err), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static const struct CMUnitTest both[] = {
	TEST(a_transaction_comes_back_on_the_loop_with_its_rows),
	TEST(an_expectation_that_fails_leaves_nothing_behind),
	TEST(a_returning_statement_counts_its_rows_as_expected),
	TEST(one_that_fails_in_a_group_leaves_the_others_alone),
	TEST(writing_transactions_come_back_in_the_order_of_submission),
	TEST(a_reader_sees_what_was_submitted_before_it),
	TEST(a_read_only_transaction_cannot_write),
	TEST(wrong_sql_fails_and_says_why),
	TEST(what_was_forgotten_still_happens),
	TEST(closing_finishes_what_was_submitted),
};

static const struct CMUnitTest file_only[] = {
	TEST(a_strangers_lock_is_unavailable_and_passes),
	TEST(a_write_that_fails_takes_the_whole_group_and_later_ones_work),
	TEST(a_database_that_is_replaced_is_opened_anew),
	TEST(a_database_that_is_not_there_is_unavailable_until_it_is),
	TEST(the_database_is_made_for_the_group_and_durable),
	TEST(the_gate_is_held_only_while_writing),
	TEST(closing_waits_for_what_is_under_way_when_the_clock_is_set),
	TEST(closing_does_not_wait_for_ever_behind_a_stopped_writer),
	cmocka_unit_test(only_what_an_engine_understands_is_a_url),
};

int main(void)
{
	int failed = cmocka_run_group_tests(file_only, NULL, NULL);
	return failed + RUN_ON_BOTH(both);
}
