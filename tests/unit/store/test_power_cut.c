/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under the real engine. Work is written as workers write it: rows, a checkpoint that is
 * guarded, old rows removed, several transactions sharing a commit, two connections in turn. At
 * random instants of the disk's work the power fails; what could be left is opened by the engine
 * again: each acknowledged transaction is there, none is there in part, none was passed over.
 * DROVER_SEED replays; DROVER_CUTS sets how many.
 */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h" /* enum column_type */
#include "fakes/disk.h"
#include "loop/loop.h"
#include "store/store.h"
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CUTS = 300,
	CUTS_A_LIFE = 25, /* then it goes on with what the last one left */
	KEPT = 30,	  /* transactions whose rows stay */
	ROWS = 3,	  /* of a transaction */
	WAITING = 8,	  /* cuts that may wait to be looked at */
};

struct cut {
	char folder[96];
	int64_t acknowledged;
};

static struct world {
	char dir[64], folder[96], next[96];
	struct loop *loop;
	struct store *stores[2];
	int64_t submitted;
	_Atomic int64_t acknowledged;
	size_t pending;
	uint64_t random, seed;
	/* written by the store's thread, read when it rests */
	struct cut cuts[WAITING];
	_Atomic size_t waiting;
	size_t looked_at, in_life;
	int64_t next_acknowledged; /* what the next life must find */
	int64_t torn_off;	   /* transactions on their way that were there after all */
} w;

static const struct store_column columns[] = { { "tx", COLUMN_INTEGER }, { "n", COLUMN_INTEGER },
	{ "payload", COLUMN_TEXT } };
static const char *const key[] = { "tx", "n" };
static const struct store_table work = {
	.name = "work", .columns = columns, .column_count = 3, .key = key, .key_count = 2
};

static unsigned roll(unsigned n)
{
	w.random = w.random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((w.random >> 33) % n);
}

static struct store *open_store(struct loop *loop, const char *folder, bool create)
{
	struct store *store;
	struct err err = { 0 };
	const struct store_options options = {
		.url = "sqlite:t.db", .state_dir = folder, .create = create
	};
	if (store_open(&store, loop, &options, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

/* ---- what a power cut left ---- */

struct left {
	struct loop *loop;
	enum store_status status;
	char error[256], integrity[256];
	int64_t last, count, bad_rows, bad_groups, oldest, newest;
};

static void on_left(void *arg, const struct store_result *r)
{
	struct left *left = arg;
	loop_stop(left->loop);
	left->status = store_result_status(r);
	snprintf(left->error, sizeof(left->error), "%s", store_result_error(r));
	if (left->status != STORE_OK)
		return;
	snprintf(left->integrity, sizeof(left->integrity), "%s", store_result_text(r, 0, 0, 0));
	left->last = store_result_int(r, 1, 0, 0);
	left->count = store_result_int(r, 1, 0, 1);
	left->bad_rows = store_result_int(r, 2, 0, 0);
	left->bad_groups = store_result_int(r, 3, 0, 0);
	left->oldest = store_result_int(r, 4, 0, 0);
	left->newest = store_result_int(r, 4, 0, 1);
}

static void add_questions(struct store_tx *tx)
{
	static const struct store_value rows = STORE_VALUE_INT(ROWS);
	store_tx_sql(tx, "PRAGMA integrity_check", NULL, 0);
	store_tx_sql(tx, "SELECT last, count FROM ledger", NULL, 0);
	store_tx_sql(tx,
		"SELECT COUNT(*) FROM work WHERE LENGTH(payload) <> (tx * 7919 + n * 104729) % 3000"
		" OR REPLACE(payload, CHAR(97 + (tx + n) % 26), '') <> ''",
		NULL, 0);
	store_tx_sql(tx,
		"SELECT COUNT(*) FROM (SELECT tx FROM work GROUP BY tx HAVING COUNT(*) <> $1)",
		&rows, 1);
	store_tx_sql(tx, "SELECT MIN(tx), MAX(tx) FROM work", NULL, 0);
}

/* @return the newest transaction that is there */
static int64_t judge(
	struct store *store, struct loop *loop, const char *folder, int64_t acknowledged)
{
	struct left left = { .loop = loop };
	struct store_tx *tx = store_tx_new(store, STORE_READ_ONLY);
	add_questions(tx);
	store_submit(store, tx, on_left, &left);
	loop_run(loop);
	/* Before the tables are made and acknowledged there is nothing to lose. */
	bool nothing_yet = acknowledged == 0 && left.status != STORE_OK;
	bool whole = left.status == STORE_OK && strcmp(left.integrity, "ok") == 0 &&
		     left.last >= acknowledged && left.count == left.last && left.bad_rows == 0 &&
		     left.bad_groups == 0 && left.newest == left.last &&
		     left.oldest == (left.last == 0 ? 0 : MAX(left.last - KEPT + 1, 1));
	if (!whole && !nothing_yet)
		fail_msg("seed %llu, %s: acknowledged %lld, there is %lld (%lld counted, rows of "
			 "%lld to %lld, %lld rows and %lld transactions torn), status %d %s, "
			 "integrity %s",
			(unsigned long long)w.seed, folder, (long long)acknowledged,
			(long long)left.last, (long long)left.count, (long long)left.oldest,
			(long long)left.newest, (long long)left.bad_rows,
			(long long)left.bad_groups, left.status, left.error, left.integrity);
	return nothing_yet ? 0 : left.last;
}

static int64_t look(const char *folder, int64_t acknowledged)
{
	struct loop *loop;
	struct err err;
	assert_int_equal(loop_new(&loop, &err), 0);
	struct store *store = open_store(loop, folder, false);
	int64_t newest = judge(store, loop, folder, acknowledged);
	store_close(store);
	loop_free(loop);
	return newest;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_folder(const char *folder)
{
	assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void new_folder(char folder[96])
{
	static int number;
	snprintf(folder, 96, "%s/%d", w.dir, number++);
	assert_int_equal(mkdir(folder, 0700), 0);
}

static void look_at_all(void)
{
	size_t count = w.waiting;
	for (size_t i = 0; i < count; i++, w.looked_at++) {
		w.torn_off += look(w.cuts[i].folder, w.cuts[i].acknowledged) >
			      w.cuts[i].acknowledged;
		remove_folder(w.cuts[i].folder);
	}
	w.waiting = 0;
}

/* On the store's thread, in the middle of its work. */
static void on_cut(void *arg)
{
	(void)arg;
	struct cut *cut = &w.cuts[w.waiting];
	cut->acknowledged = w.acknowledged;
	new_folder(cut->folder);
	disk_survivors(cut->folder);
	if (++w.in_life == CUTS_A_LIFE) {
		new_folder(w.next);
		disk_survivors(w.next);
		w.next_acknowledged = cut->acknowledged;
	}
	w.waiting++;
}

/* ---- the work ---- */

static void on_written(void *arg, const struct store_result *r)
{
	int64_t number = *(const int64_t *)store_result_data(r);
	(void)arg;
	if (store_result_status(r) != STORE_OK)
		fail_msg("transaction %lld: %s", (long long)number, store_result_error(r));
	w.acknowledged = number;
	if (--w.pending == 0)
		loop_stop(w.loop);
}

/* As a worker writes a batch: rows, the guarded checkpoint, what is old is removed. */
static void submit(struct store *store)
{
	char payload[ROWS][3000];
	struct store_value values[ROWS * 3];
	int64_t tx_number = ++w.submitted;
	for (int64_t n = 0; n < ROWS; n++) {
		size_t len = (size_t)((tx_number * 7919 + n * 104729) % 3000);
		memset(payload[n], (int)(97 + (tx_number + n) % 26), len);
		values[n * 3] = STORE_VALUE_INT(tx_number);
		values[n * 3 + 1] = STORE_VALUE_INT(n);
		values[n * 3 + 2] = store_bytes(payload[n], len, STORE_TEXT);
	}
	const struct store_value numbers[] = { STORE_VALUE_INT(tx_number),
		STORE_VALUE_INT(tx_number - KEPT) };
	struct store_tx *tx = store_tx_new(store, 0);
	int64_t *data = store_tx_data(tx, sizeof(*data));
	*data = tx_number;
	store_tx_upsert(tx, &work, values, ROWS);
	store_tx_sql(tx, "UPDATE ledger SET last = $1, count = count + 1 WHERE last = $1 - 1",
		numbers, 1);
	store_tx_expect(tx, 1);
	store_tx_sql(tx, "DELETE FROM work WHERE tx <= $1", numbers + 1, 1);
	w.pending++;
	store_submit(store, tx, on_written, NULL);
}

/* One transaction, and while it is being written some more, which become one group. */
static void burst(void)
{
	struct store *store = w.stores[roll(2)];
	disk_hold();
	submit(store);
	assert_true(disk_is_held());
	for (unsigned more = roll(6); more > 0; more--)
		submit(store);
	disk_release();
	loop_run(w.loop);
}

static void on_made(void *arg, const struct store_result *r)
{
	(void)arg;
	if (store_result_status(r) != STORE_OK)
		fail_msg("%s", store_result_error(r));
	loop_stop(w.loop);
}

static void make_tables(void)
{
	struct store_tx *tx = store_tx_new(w.stores[0], 0);
	store_tx_sql(tx, "CREATE TABLE IF NOT EXISTS ledger (last BIGINT, count BIGINT)", NULL, 0);
	store_tx_sql(tx, "INSERT INTO ledger SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM ledger)",
		NULL, 0);
	store_tx_table(tx, &work);
	store_submit(w.stores[0], tx, on_made, NULL);
	loop_run(w.loop);
}

/* From what lies in w.folder to what its last power cut leaves. */
static void live(void)
{
	bool first = w.submitted == 0;
	disk_watch(w.folder);
	w.in_life = 0;
	disk_cut_in(roll(30), on_cut, NULL); /* at first while the tables are made */
	for (int i = 0; i < 2; i++)
		w.stores[i] = open_store(w.loop, w.folder, true);
	if (first)
		make_tables();
	w.submitted = judge(w.stores[1], w.loop, w.folder, w.next_acknowledged);
	w.acknowledged = w.submitted;
	for (size_t planned = 0; w.in_life < CUTS_A_LIFE;) {
		if (w.in_life > planned)
			disk_cut_in(roll(60), on_cut, NULL);
		planned = w.in_life;
		burst();
		look_at_all();
	}
	for (int i = 0; i < 2; i++)
		store_close(w.stores[i]);
	remove_folder(w.folder);
	memcpy(w.folder, w.next, sizeof(w.folder));
}

static void after_each_power_cut_the_acknowledged_is_there_and_nothing_is_torn(void **state)
{
	(void)state;
	const char *seed = getenv("DROVER_SEED"), *cuts = getenv("DROVER_CUTS");
	size_t wanted = cuts ? strtoul(cuts, NULL, 10) : CUTS;
	struct err err;
	w.seed = seed ? strtoull(seed, NULL, 10) : 20261121;
	w.random = w.seed;
	disk_install(w.seed);
	snprintf(w.dir, sizeof(w.dir), "/tmp/drover-power-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	new_folder(w.folder);
	assert_int_equal(loop_new(&w.loop, &err), 0);
	while (w.looked_at < wanted)
		live();
	loop_free(w.loop);
	remove_folder(w.dir);
	printf("seed %llu: %zu power cuts in %llu operations of the disk, %lld transactions, %llu "
	       "bytes lost, %lld cuts left more than was acknowledged\n",
		(unsigned long long)w.seed, w.looked_at, (unsigned long long)disk_operations(),
		(long long)w.submitted, (unsigned long long)disk_bytes_lost(),
		(long long)w.torn_off);
	/* It did lose something, and cuts did fall between a commit and its acknowledgement. */
	assert_true(disk_bytes_lost() > wanted * 1000);
	assert_true(w.torn_off > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			after_each_power_cut_the_acknowledged_is_there_and_nothing_is_torn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
