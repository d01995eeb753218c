/* SPDX-License-Identifier: MIT */
/* What only a server can do to us: connections that are lost, conflicts, limits. */
#include "store_fixture.h"

#include "base/clock.h"
#include "config/check.h"
#include "config/config.h"
#include "store/pg_engine.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

/* two.test has two addresses; at the first nobody listens. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **found)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!node || strcmp(node, "two.test") != 0)
		return real(node, service, hints, found);
	int rc = real("127.0.0.2", service, hints, found);
	return rc == 0 ? real("127.0.0.1", service, hints, &(*found)->ai_next) : rc;
}

/* libpq sends by this one: whether a connection was asked. */
static int pings;

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");
	static const char ping[] = "SELECT 1 AS ping";
	pings += memmem(data, len, ping, sizeof(ping) - 1) != NULL;
	return real(fd, data, len, flags);
}

static void reopen(struct fixture *f, const struct store_pool *pool, const char *url)
{
	struct err err;
	store_close(f->store);
	f->options.pool = *pool;
	f->options.url = url ? url : f->url;
	if (store_open(&f->store, f->loop, &f->options, &err) < 0)
		fail_msg("%s", err.text);
}

/* Statements of strangers, one after the other. */
static void strange(struct fixture *f, const char *sql)
{
	server_sql(f->url, sql);
}

static struct store_tx *tx_of(struct fixture *f, const char *sql, unsigned flags)
{
	struct store_tx *tx = store_tx_new(f->store, flags);
	store_tx_sql(tx, sql, NULL, 0);
	return tx;
}

/* The sockets of this process that lead to the server. */
static int each_connection(bool cut)
{
	int found = 0;
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_un peer;
		socklen_t len = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 ||
			peer.sun_family != AF_UNIX || !strstr(peer.sun_path, ".s.PGSQL"))
			continue;
		found++;
		if (cut)
			shutdown(fd, SHUT_RDWR);
	}
	return found;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct fixture *f, int64_t ms)
{
	struct loop_timer *timer = loop_timer_new(f->loop, stop, f->loop);
	loop_timer_start(timer, ms);
	loop_run(f->loop);
	loop_timer_free(timer);
}

/* Those of this test alone: other programs share the server. */
static void end_backends(struct fixture *f)
{
	char sql[160];
	snprintf(sql, sizeof(sql),
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
		" '%s'",
		f->schema);
	server_sql(getenv("DROVER_TEST_POSTGRES"), sql);
}

/* ---- lost connections ---- */

static void a_connection_that_the_server_ended_is_replaced_unseen(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	for (int i = 0; i < 5; i++) {
		end_backends(f);
		assert_ok(run_sql(f, "INSERT INTO t VALUES (1)"));
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 5);
}

/* A commit takes 300 ms: a deferred trigger sleeps. */
static void make_slow_commits(struct fixture *f)
{
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	strange(f, "CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS"
		   " 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END'");
	strange(f, "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
		   " FOR EACH ROW EXECUTE FUNCTION rest()");
}

static void a_commit_whose_answer_is_lost_is_found_to_have_happened(void **state)
{
	struct fixture *f = *state;
	make_slow_commits(f);
	struct store_tx *tx = tx_of(f, "INSERT INTO t VALUES (7) RETURNING a", 0);
	store_tx_expect(tx, 1);
	store_submit(f->store, tx, on_done, &f->out);
	run_for(f, 150);
	assert_int_equal(f->out.calls, 1); /* of CREATE TABLE */
	assert_true(each_connection(true) > 0);
	loop_run(f->loop);
	assert_ok(&f->out);
	assert_int_equal(f->out.value, 7);
	assert_int_equal(f->out.changes[0], 1);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 1);
}

static void a_commit_that_died_with_its_backend_is_done_again(void **state)
{
	struct fixture *f = *state;
	make_slow_commits(f);
	store_submit(f->store, tx_of(f, "INSERT INTO t VALUES (7)", 0), on_done, &f->out);
	run_for(f, 150);
	end_backends(f);
	loop_run(f->loop);
	assert_ok(&f->out);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 1);
}

static void a_server_that_is_away_is_said_without_the_password(void **state)
{
	struct fixture *f = *state;
	static const char *const urls[] = {
		"postgresql://u:geheim@/db?host=/nowhere",
		"postgresql://u:geheim@127.0.0.1:1/db",
		"postgresql://u:geheim@localhost:1/db",
		"postgresql://u:geheim@no-such-host.invalid/db",
	};
	const struct store_pool pool = { .connect_ms = 5000 };
	for (size_t i = 0; i < 4; i++) {
		reopen(f, &pool, urls[i]);
		assert_int_equal(run_sql(f, "SELECT 1")->status, STORE_UNAVAILABLE);
		assert_null(strstr(f->out.error, "geheim"));
		assert_non_null(strstr(f->out.error, "PostgreSQL"));
	}
	reopen(f, &pool, NULL);
	assert_ok(run_sql(f, "SELECT 1"));
}

static int listen_here(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static bool is_reached(struct fixture *f, int listener)
{
	for (int tries = 0; tries < 100; tries++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		if (fd >= 0)
			return true;
		run_for(f, 20);
	}
	return false;
}

static void each_address_of_a_host_is_tried_with_its_port(void **state)
{
	struct fixture *f = *state;
	uint16_t first, second;
	char url[128];
	int here = listen_here(&first), next = listen_here(&second);
	snprintf(url, sizeof(url), "postgresql://u@two.test:%d,127.0.0.1:%d/db", first, second);
	reopen(f, &(struct store_pool) { .min = 1 }, url);
	assert_true(is_reached(f, here));
	close(here);
	assert_true(is_reached(f, next));
	close(next);
	/* A single port is of all. */
	here = listen_here(&first);
	snprintf(url, sizeof(url), "postgresql:///db?host=127.0.0.2,two.test&port=%d", first);
	reopen(f, &(struct store_pool) { .min = 1 }, url);
	assert_true(is_reached(f, here));
	close(here);
	/* Of ports that belong to no host libpq tells. */
	reopen(f, &(struct store_pool) { 0 }, "postgresql:///db?host=two.test&port=1,2");
	assert_int_equal(run_sql(f, "SELECT 1")->status, STORE_UNAVAILABLE);
	assert_non_null(strstr(f->out.error, "port"));
}

static void an_address_that_says_nothing_does_not_keep_the_next_one_from_its_turn(void **state)
{
	struct fixture *f = *state;
	uint16_t first, second;
	char url[128];
	int mute = listen_here(&first), next = listen_here(&second);
	snprintf(url, sizeof(url), "postgresql://u@two.test:%d,127.0.0.1:%d/db", first, second);
	reopen(f, &(struct store_pool) { .min = 1, .connect_ms = 100 }, url);
	assert_true(is_reached(f, next));
	close(mute);
	close(next);
}

/* ---- limits ---- */

static void a_statement_that_takes_too_long_is_ended(void **state)
{
	struct fixture *f = *state;
	reopen(f, &(struct store_pool) { .statement_ms = 200 }, NULL);
	int64_t before = clock_mono_ms();
	assert_int_equal(run_sql(f, "SELECT pg_sleep(20)")->status, STORE_UNAVAILABLE);
	assert_true(clock_mono_ms() - before < 5000);
	assert_non_null(strstr(f->out.error, "timeout"));
	assert_ok(run_sql(f, "SELECT 1"));
}

static void what_gets_no_turn_is_unavailable_in_time(void **state)
{
	struct fixture *f = *state;
	struct outcome late = { .loop = f->loop };
	reopen(f, &(struct store_pool) { .max = 1, .acquire_ms = 100 }, NULL);
	assert_ok(run_sql(f, "SELECT 1"));
	store_submit(f->store, tx_of(f, "SELECT pg_sleep(0.6)", 0), on_done, &f->out);
	store_submit(f->store, tx_of(f, "SELECT 1", 0), on_done, &late);
	loop_run(f->loop);
	assert_int_equal(late.calls, 1);
	assert_int_equal(late.status, STORE_UNAVAILABLE);
	assert_int_equal(f->out.calls, 1);
	loop_run(f->loop);
	assert_ok(&f->out);
}

static void a_read_only_server_and_a_full_disk_pass(void **state)
{
	struct fixture *f = *state;
	char sql[512];
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	strange(f, "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE"
		   " EXCEPTION ''no space left'' USING ERRCODE = ''53100''; END'");
	strange(f, "CREATE TRIGGER full_disk BEFORE INSERT ON t EXECUTE FUNCTION full_disk()");
	assert_int_equal(run_sql(f, "INSERT INTO t VALUES (1)")->status, STORE_UNAVAILABLE);
	strange(f, "DROP TRIGGER full_disk ON t");
	snprintf(sql, sizeof(sql),
		"%s&options=-csearch_path%%3D%s%%20-cdefault_transaction_read_only%%3Don",
		getenv("DROVER_TEST_POSTGRES"), f->schema);
	reopen(f, &(struct store_pool) { 0 }, sql);
	assert_int_equal(run_sql(f, "INSERT INTO t VALUES (1)")->status, STORE_UNAVAILABLE);
	assert_ok(run_tx(f, tx_of(f, "SELECT COUNT(*) FROM t", STORE_READ_ONLY)));
	assert_int_equal(f->out.value, 0);
	reopen(f, &(struct store_pool) { 0 }, NULL);
	assert_ok(run_sql(f, "INSERT INTO t VALUES (1)"));
}

/* ---- the pool ---- */

static void writers_of_other_lanes_do_not_wait_and_lane_0_is_alone(void **state)
{
	struct fixture *f = *state;
	struct outcome outs[6];
	reopen(f, &(struct store_pool) { .min = 4, .max = 4 }, NULL);
	assert_ok(run_sql(f, "CREATE TABLE t (n BIGINT, at TIMESTAMPTZ)"));
	int64_t before = clock_mono_ms();
	for (uint64_t i = 0; i < 6; i++) {
		struct store_tx *tx = tx_of(f, "SELECT pg_sleep(0.25)", 0);
		struct store_value n = STORE_VALUE_INT((int64_t)i);
		store_tx_sql(tx, "INSERT INTO t VALUES ($1, clock_timestamp())", &n, 1);
		/* Four lanes at once, then one alone, then one more of a lane. */
		if (i != 4)
			store_tx_lane(tx, i % 4 + 1);
		outs[i] = (struct outcome) { .loop = f->loop };
		store_submit(f->store, tx, on_done, &outs[i]);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	int64_t took = clock_mono_ms() - before;
	assert_in_range(took, 700, 1450); /* 3 x 250, not 6 x 250 */
	for (int i = 0; i < 6; i++)
		assert_ok(&outs[i]);
	assert_int_equal(peek(f, "SELECT n FROM t ORDER BY at DESC LIMIT 1"), 5);
	assert_int_equal(peek(f, "SELECT n FROM t ORDER BY at DESC LIMIT 1 OFFSET 1"), 4);
}

/* Writes for 200 ms, and again, each time of another lane. */
struct chain {
	struct fixture *f;
	uint64_t lane;
	bool ended;
};

static void write_on(void *arg, const struct store_result *r)
{
	struct chain *c = arg;
	if (r)
		assert_int_equal(store_result_status(r), STORE_OK);
	if (c->ended)
		return;
	struct store_tx *tx = tx_of(c->f, "SELECT pg_sleep(0.2)", 0);
	store_tx_lane(tx, c->lane += 2);
	store_submit(c->f->store, tx, write_on, c);
}

static void a_reader_waits_only_for_the_writers_before_it(void **state)
{
	struct fixture *f = *state;
	struct chain chains[2] = { { .f = f, .lane = 1 }, { .f = f, .lane = 2 } };
	reopen(f, &(struct store_pool) { .min = 3, .max = 3, .acquire_ms = 1000 }, NULL);
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	/* One of the two is always under way. */
	write_on(&chains[0], NULL);
	run_for(f, 100);
	write_on(&chains[1], NULL);
	struct store_tx *tx = tx_of(f, "INSERT INTO t SELECT 1 FROM pg_sleep(0.2)", 0);
	store_tx_lane(tx, 1001);
	store_submit(f->store, tx, NULL, NULL);
	assert_ok(run_tx(f, tx_of(f, "SELECT COUNT(*) FROM t", STORE_READ_ONLY)));
	assert_int_equal(f->out.value, 1);
	chains[0].ended = chains[1].ended = true;
	while (store_pending(f->store) > 0)
		run_for(f, 20);
}

static void idle_connections_go_and_old_ones_are_replaced(void **state)
{
	struct fixture *f = *state;
	reopen(f, &(struct store_pool) { .min = 1, .max = 3, .idle_ms = 200 }, NULL);
	for (uint64_t i = 1; i <= 6; i++) {
		struct store_tx *tx = tx_of(f, "SELECT pg_sleep(0.1)", 0);
		store_tx_lane(tx, i);
		store_submit(f->store, tx, on_done, &f->out);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	assert_in_range(each_connection(false), 2, 3);
	run_for(f, 700);
	assert_int_equal(each_connection(false), 1);
	reopen(f, &(struct store_pool) { .max = 1, .recycle_ms = 100 }, NULL);
	assert_ok(run_sql(f, "SELECT pg_backend_pid()"));
	int64_t first = f->out.value;
	run_for(f, 250);
	assert_ok(run_sql(f, "SELECT pg_backend_pid()"));
	assert_true(f->out.value != first);
}

static void a_connection_is_asked_after_a_rest(void **state)
{
	struct fixture *f = *state;
	for (int ping = 0; ping < 2; ping++) {
		reopen(f,
			&(struct store_pool) {
				.min = 1, .max = 1, .idle_ms = 100, .no_pre_ping = !ping },
			NULL);
		assert_ok(run_sql(f, "CREATE TABLE IF NOT EXISTS t (a BIGINT)"));
		pings = 0;
		run_for(f, 80);
		assert_ok(run_tx(f, tx_of(f, "SELECT COUNT(*) FROM t", STORE_READ_ONLY)));
		assert_int_equal(pings, ping);
	}
}

/* ---- conflicts and surprises ---- */

static void two_that_read_one_state_and_change_it_are_both_done(void **state)
{
	struct fixture *f = *state;
	struct outcome outs[8];
	reopen(f, &(struct store_pool) { .min = 4, .max = 4 }, NULL);
	assert_ok(run_sql(f, "CREATE TABLE t (n BIGINT)"));
	assert_ok(run_sql(f, "INSERT INTO t VALUES (0)"));
	for (uint64_t i = 0; i < 8; i++) {
		struct store_tx *tx = tx_of(f, "SELECT n, pg_sleep(0.02) FROM t", STORE_ONE_STATE);
		store_tx_sql(tx, "UPDATE t SET n = n + 1", NULL, 0);
		store_tx_lane(tx, i + 1);
		outs[i] = (struct outcome) { .loop = f->loop };
		store_submit(f->store, tx, on_done, &outs[i]);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	for (int i = 0; i < 8; i++)
		assert_ok(&outs[i]);
	assert_int_equal(peek(f, "SELECT n FROM t"), 8);
}

static void a_deadlock_is_not_the_callers_concern(void **state)
{
	struct fixture *f = *state;
	struct outcome outs[2];
	reopen(f, &(struct store_pool) { .min = 2, .max = 2 }, NULL);
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT PRIMARY KEY, n BIGINT)"));
	assert_ok(run_sql(f, "INSERT INTO t VALUES (1, 0), (2, 0)"));
	for (uint64_t i = 0; i < 2; i++) {
		struct store_tx *tx = tx_of(f,
			i ? "UPDATE t SET n = n + 1 WHERE a = 1"
			  : "UPDATE t SET n = n + 1 WHERE a = 2",
			0);
		store_tx_sql(tx, "SELECT pg_sleep(0.1)", NULL, 0);
		store_tx_sql(tx,
			i ? "UPDATE t SET n = n + 1 WHERE a = 2"
			  : "UPDATE t SET n = n + 1 WHERE a = 1",
			NULL, 0);
		store_tx_lane(tx, i + 1);
		outs[i] = (struct outcome) { .loop = f->loop };
		store_submit(f->store, tx, on_done, &outs[i]);
	}
	while (store_pending(f->store) > 0)
		loop_run(f->loop);
	assert_ok(&outs[0]);
	assert_ok(&outs[1]);
	assert_int_equal(peek(f, "SELECT SUM(n) FROM t"), 4);
}

static void a_table_that_changes_its_shape_is_read_on(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	assert_ok(run_sql(f, "INSERT INTO t VALUES (3)"));
	for (int i = 0; i < 3; i++) {
		static const char *const changes[] = { "ALTER TABLE t ADD COLUMN b BIGINT",
			"ALTER TABLE t ADD COLUMN c TEXT", "ALTER TABLE t DROP COLUMN b" };
		assert_ok(run_sql(f, "SELECT * FROM t"));
		strange(f, changes[i]);
		assert_ok(run_sql(f, "SELECT * FROM t"));
		assert_int_equal(f->out.value, 3);
	}
}

static void a_null_says_nothing_of_its_parameters_type(void **state)
{
	struct fixture *f = *state;
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT, b TEXT, c BYTEA, d DOUBLE PRECISION)"));
	const struct store_value big = STORE_VALUE_INT(INT64_C(1) << 40);
	const struct store_value sets[][4] = {
		{ STORE_VALUE_NULL, STORE_VALUE_NULL, STORE_VALUE_NULL, STORE_VALUE_NULL },
		{ big, store_text("x"), store_bytes("\0\1\377", 3, STORE_BLOB),
			STORE_VALUE_REAL(0.1) },
		{ STORE_VALUE_NULL, store_text("y"), STORE_VALUE_NULL, STORE_VALUE_NULL },
	};
	for (size_t i = 0; i < 3; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		store_tx_sql(tx, "INSERT INTO t VALUES ($1, $2, $3, $4)", sets[i], 4);
		store_tx_sql(tx, "SELECT a FROM t WHERE $1 = 0 OR a = $1", sets[i], 1);
		assert_ok(run_tx(f, tx));
	}
	assert_true(peek(f, "SELECT MAX(a) FROM t") == INT64_C(1) << 40);
	assert_int_equal(peek(f, "SELECT octet_length(c) FROM t WHERE c IS NOT NULL"), 3);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t WHERE d = 0.1"), 1);
}

static void many_statements_are_forgotten_in_time(void **state)
{
	struct fixture *f = *state;
	static char sql[600][48];
	for (int i = 0; i < 600; i++) {
		snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
		assert_int_equal(run_sql(f, sql[i])->value, i);
	}
	assert_int_equal(
		run_sql(f, "SELECT COUNT(*) <= 260 FROM pg_prepared_statements")->value, 1);
}

/* ---- rows ---- */

static const struct store_column columns[] = {
	{ "id", COLUMN_TEXT },
	{ "n", COLUMN_INTEGER },
	{ "x", COLUMN_REAL },
	{ "open", COLUMN_BOOLEAN },
	{ "at", COLUMN_TIMESTAMP },
	{ "doc", COLUMN_JSON },
	{ "raw", COLUMN_BYTES },
};
static const char *const key[] = { "id" };
static const struct store_table table = {
	.name = "Order", .columns = columns, .column_count = 7, .key = key, .key_count = 1
};
enum { WIDTH = 7, MOST = 2500 };
static struct store_value values[MOST * WIDTH];
static char ids[MOST][24];

static void fill(size_t rows, int64_t n)
{
	for (size_t i = 0; i < rows; i++) {
		struct store_value *v = values + i * WIDTH;
		snprintf(ids[i], sizeof(ids[i]), "k%zu", i);
		v[0] = store_text(ids[i]);
		v[1] = STORE_VALUE_INT(n);
		v[2] = i % 3 ? STORE_VALUE_REAL(0.1) : STORE_VALUE_NULL;
		v[3] = STORE_VALUE_INT(i % 2);
		v[4] = STORE_VALUE_INT(INT64_C(1763712000123));
		v[5] = store_text("{\"a\": \"\\u0000\", \"b\": 1.10}");
		v[6] = store_bytes("\0\377", 2, STORE_BLOB);
	}
}

static int64_t put(struct fixture *f, size_t rows)
{
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &table);
	size_t at = store_tx_upsert(tx, &table, values, rows);
	assert_ok(run_tx(f, tx));
	return f->out.changes[at];
}

static void rows_arrive_by_every_way_and_unchanged_ones_stay(void **state)
{
	struct fixture *f = *state;
	static const size_t ways[] = { 1, 19, 20, 501, 1000, 2500 };
	size_t before = 0;
	for (size_t i = 0; i < 6; i++) {
		fill(ways[i], 1);
		assert_int_equal(put(f, ways[i]), (int64_t)(ways[i] - before));
		assert_int_equal(put(f, ways[i]), 0);
		before = ways[i];
	}
	for (size_t i = 0; i < 6; i++) {
		fill(ways[i], 2 + (int64_t)i);
		assert_int_equal(put(f, ways[i]), (int64_t)ways[i]);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM \"Order\" WHERE n = 7 AND at ="
				 " '2025-11-21 08:00:00.123+00' AND raw = '\\x00ff'"
				 " AND doc::text LIKE '%1.10}'"),
		2500);
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM \"Order\" WHERE open AND x IS NULL"), 417);
	/* What a timestamp and a boolean are to us. */
	assert_true(
		run_sql(f, "SELECT at FROM \"Order\" LIMIT 1")->value == INT64_C(1763712000123));
	assert_int_equal(run_sql(f, "SELECT open FROM \"Order\" WHERE id = 'k1'")->value, 1);
}

static void bulk_twice_in_one_transaction_and_after_a_failure(void **state)
{
	struct fixture *f = *state;
	fill(2500, 1);
	for (int i = 0; i < 3; i++) {
		struct store_tx *tx = store_tx_new(f->store, 0);
		store_tx_table(tx, &table);
		store_tx_upsert(tx, &table, values, 1200);
		store_tx_upsert(tx, &table, values + 1200 * WIDTH, 1300);
		if (i == 1) {
			/* Fails after the rows were copied. */
			store_tx_sql(tx, "SELECT 1 / 0", NULL, 0);
			assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
		} else {
			assert_ok(run_tx(f, tx));
			assert_int_equal(f->out.changes[1] + f->out.changes[2], i ? 2500 : 2500);
		}
		if (i < 2)
			strange(f, "DELETE FROM \"Order\"");
	}
	/* A value that its column does not take. */
	values[1] = store_text("many");
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_upsert(tx, &table, values, 2500);
	assert_int_equal(run_tx(f, tx)->status, STORE_FAILED);
	assert_non_null(strstr(f->out.error, "\"n\""));
	fill(2500, 2);
	assert_int_equal(put(f, 2500), 2500);
}

static void a_table_that_was_dropped_is_made_again(void **state)
{
	struct fixture *f = *state;
	fill(50, 1);
	assert_int_equal(put(f, 50), 50);
	assert_int_equal(put(f, 50), 0);
	strange(f, "DROP TABLE \"Order\"");
	assert_int_equal(put(f, 50), 50);
	strange(f, "DROP TABLE drover_commit");
	fill(50, 2);
	assert_int_equal(put(f, 50), 50);
}

static void our_row_of_drover_commit_is_made_again_when_it_is_gone(void **state)
{
	struct fixture *f = *state;
	reopen(f, &(struct store_pool) { .max = 1 }, NULL);
	assert_ok(run_sql(f, "CREATE TABLE t (a BIGINT)"));
	for (int i = 0; i < 3; i++) {
		strange(f, "DELETE FROM drover_commit");
		assert_ok(run_tx(f, tx_of(f, "SELECT COUNT(*) FROM t", STORE_READ_ONLY)));
		assert_ok(run_sql(f, "INSERT INTO t VALUES (1)"));
		assert_int_equal(peek(f, "SELECT COUNT(*) FROM drover_commit WHERE serial > 0"), 1);
	}
	assert_int_equal(peek(f, "SELECT COUNT(*) FROM t"), 3);
}

/* Two bring the same rows in opposite orders, by all three ways, again and again: nobody deadlocks.
 */
static void rows_are_written_in_the_order_of_their_keys(void **state)
{
	static const size_t ways[] = { 15, 300, 1300 };
	struct fixture *f = *state;
	struct outcome outs[2];
	char url[600];
	/* A deadlock would be tried again unseen, but not soon. */
	snprintf(url, sizeof(url), "%s&options=-csearch_path%%3D%s%%20-cdeadlock_timeout%%3D20s",
		getenv("DROVER_TEST_POSTGRES"), f->schema);
	reopen(f, &(struct store_pool) { .min = 2, .max = 2 }, url);
	fill(1300, 1);
	assert_int_equal(put(f, 1300), 1300);
	int64_t before = clock_mono_ms();
	for (int64_t i = 0; i < 12; i++) {
		for (uint64_t k = 0; k < 2; k++) {
			size_t rows = ways[(size_t)i % 3];
			fill(rows, 2 + 2 * i + (int64_t)k);
			for (size_t a = 0, b = rows - 1; k && a < b; a++, b--)
				for (size_t v = 0; v < WIDTH; v++) {
					struct store_value kept = values[a * WIDTH + v];
					values[a * WIDTH + v] = values[b * WIDTH + v];
					values[b * WIDTH + v] = kept;
				}
			struct store_tx *tx = store_tx_new(f->store, 0);
			store_tx_upsert(tx, &table, values, rows);
			store_tx_lane(tx, k + 1);
			outs[k] = (struct outcome) { .loop = f->loop };
			store_submit(f->store, tx, on_done, &outs[k]);
		}
		while (store_pending(f->store) > 0)
			loop_run(f->loop);
		assert_ok(&outs[0]);
		assert_ok(&outs[1]);
	}
	assert_true(clock_mono_ms() - before < 18000);
}

/* Both have seen that it is missing, and wait for their turn to make it. */
static void who_waited_to_change_a_table_sees_what_the_one_before_made(void **state)
{
	static const struct store_column two[] = { { "id", COLUMN_TEXT }, { "n", COLUMN_INTEGER } };
	static const char *const by_id[] = { "id" };
	static const char *const before[] = { "SELECT 1", "CREATE TABLE made1 (id TEXT NOT NULL)" };
	struct fixture *f = *state;
	reopen(f, &(struct store_pool) { .min = 2, .max = 2 }, NULL);
	for (uint64_t i = 0; i < ARRAY_SIZE(before); i++) {
		const char *name = i ? "made1" : "made0";
		const struct store_table t = { .name = name,
			.columns = two,
			.column_count = ARRAY_SIZE(two),
			.key = by_id,
			.key_count = 1 };
		struct outcome outs[2];
		assert_ok(run_sql(f, before[i]));
		PGconn *stranger = PQconnectdb(f->url);
		PQclear(PQexec(stranger, "BEGIN; SELECT pg_advisory_xact_lock(7236274115)"));
		for (uint64_t k = 0; k < 2; k++) {
			const struct store_value row[] = { store_text(k ? "a" : "b"),
				STORE_VALUE_INT(1) };
			struct store_tx *tx = store_tx_new(f->store, 0);
			store_tx_table(tx, &t);
			store_tx_upsert(tx, &t, row, 1);
			store_tx_lane(tx, k + 1);
			outs[k] = (struct outcome) { .loop = f->loop };
			store_submit(f->store, tx, on_done, &outs[k]);
		}
		do
			run_for(f, 20);
		while (server_sql(f->url,
			       "SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid ="
			       " l.database WHERE d.datname = current_database() AND"
			       " locktype = 'advisory' AND NOT granted") < 2);
		PQfinish(stranger);
		while (store_pending(f->store) > 0)
			loop_run(f->loop);
		assert_ok(&outs[0]);
		assert_ok(&outs[1]);
		assert_int_equal(
			peek(f, i ? "SELECT COUNT(*) FROM made1" : "SELECT COUNT(*) FROM made0"),
			2);
	}
}

/* It waits for strangers' transactions; the 5 s are what statements have beyond their timeout. */
static void an_index_takes_longer_than_statements_may(void **state)
{
	static const char *const by_n[] = { "n" };
	static const struct store_index by = { .columns = by_n, .column_count = 1 };
	static const char builder[] = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND"
				      " query LIKE 'CREATE INDEX CONCURRENTLY % ON \"patient\" %'"
				      " AND datname = current_database()";
	struct fixture *f = *state;
	struct store_table t = table;
	t.name = "patient";
	t.indexes = &by;
	t.index_count = 1;
	reopen(f, &(struct store_pool) { .statement_ms = 100 }, NULL);
	struct store_tx *tx = store_tx_new(f->store, 0);
	store_tx_table(tx, &t);
	assert_ok(run_tx(f, tx));
	PGconn *stranger = PQconnectdb(f->url);
	PQclear(PQexec(stranger, "BEGIN; INSERT INTO patient (id) VALUES ('a')"));
	tx = store_tx_new(f->store, 0);
	store_tx_indexes(tx, &t);
	store_submit(f->store, tx, on_done, &f->out);
	int64_t first;
	while ((first = server_sql(f->url, builder)) < 0)
		run_for(f, 20);
	run_for(f, 5500);
	assert_int_equal(server_sql(f->url, builder), first);
	PQfinish(stranger);
	while (store_pending(f->store) > 0)
		run_for(f, 20);
	assert_ok(&f->out);
	assert_int_equal(f->out.changes[0], 1);
}

static void what_a_server_did_after_a_stall_passes(void **state UNUSED)
{
	/* It ended a session that stood idle within a transaction, or a transaction too long. */
	assert_int_equal(pg_status("25P03"), STORE_UNAVAILABLE);
	assert_int_equal(pg_status("25P04"), STORE_UNAVAILABLE);
	/* Ours. */
	assert_int_equal(pg_status("25P02"), STORE_FAILED);
	assert_int_equal(pg_status("25001"), STORE_FAILED);
}

/* ---- URLs ---- */

static void what_the_configuration_lets_pass_libpq_reads(void **state UNUSED)
{
	static const struct {
		const char *url;
		bool good, secret;
	} cases[] = {
		{ "postgresql://", true, false },
		{ "postgres://h", true, false },
		{ "postgresql://u:p%40x@h:5433/db", true, true },
		{ "postgresql://u@[::1]:5433/db?sslmode=require", true, false },
		{ "postgresql://a:1,b:2/db?target_session_attrs=read-write", true, false },
		{ "postgresql:///db?host=%2Frun%2Fpostgresql&port=5433", true, false },
		{ "postgresql:///db?user=u&password=p", true, true },
		{ "postgresql://u:p%4@h/db", false, true },
		{ "postgresql://h:x/db", false, false },
		{ "postgresql://[::1/db", false, false },
		{ "postgresql://h/db?nothing=1", false, false },
		{ "postgresql://h/db?sslmode", false, false },
		{ "postgresql://h/db?options=a=b", false, false },
		{ "postgresql://h /db", false, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char words[160];
		bool secret;
		struct err err;
		bool good = check_postgresql_url(cases[i].url, words, sizeof(words), &secret);
		if (good != cases[i].good || (good && secret != cases[i].secret))
			fail_msg("%s: %s", cases[i].url, words);
		if (good)
			assert_int_equal(store_url_check(cases[i].url, &err), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_that_the_server_ended_is_replaced_unseen),
		TEST(a_commit_whose_answer_is_lost_is_found_to_have_happened),
		TEST(a_commit_that_died_with_its_backend_is_done_again),
		TEST(a_server_that_is_away_is_said_without_the_password),
		TEST(each_address_of_a_host_is_tried_with_its_port),
		TEST(an_address_that_says_nothing_does_not_keep_the_next_one_from_its_turn),
		TEST(a_statement_that_takes_too_long_is_ended),
		TEST(what_gets_no_turn_is_unavailable_in_time),
		TEST(a_read_only_server_and_a_full_disk_pass),
		TEST(writers_of_other_lanes_do_not_wait_and_lane_0_is_alone),
		TEST(a_reader_waits_only_for_the_writers_before_it),
		TEST(idle_connections_go_and_old_ones_are_replaced),
		TEST(a_connection_is_asked_after_a_rest),
		TEST(two_that_read_one_state_and_change_it_are_both_done),
		TEST(a_deadlock_is_not_the_callers_concern),
		TEST(a_table_that_changes_its_shape_is_read_on),
		TEST(a_null_says_nothing_of_its_parameters_type),
		TEST(many_statements_are_forgotten_in_time),
		TEST(rows_arrive_by_every_way_and_unchanged_ones_stay),
		TEST(bulk_twice_in_one_transaction_and_after_a_failure),
		TEST(a_table_that_was_dropped_is_made_again),
		TEST(our_row_of_drover_commit_is_made_again_when_it_is_gone),
		TEST(rows_are_written_in_the_order_of_their_keys),
		TEST(who_waited_to_change_a_table_sees_what_the_one_before_made),
		TEST(an_index_takes_longer_than_statements_may),
		cmocka_unit_test(what_a_server_did_after_a_stall_passes),
		cmocka_unit_test(what_the_configuration_lets_pass_libpq_reads),
	};
	fixture_on = ON_POSTGRESQL;
	if (!getenv("DROVER_TEST_POSTGRES")) {
		printf("SKIPPED: DROVER_TEST_POSTGRES names no server (tests/postgres)\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
