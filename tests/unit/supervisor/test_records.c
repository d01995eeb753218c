/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "base/str.h"
#include "endings.h"
#include "fakes/clock.h"
#include "records.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct room {
	char path[64];
	int runtime, slots, found;
	struct record last;
};

static void found(void *arg, const struct record *r)
{
	struct room *room = arg;
	room->found++;
	room->last = *r;
}

static int set_up(void **state)
{
	static struct room room;
	fake_clock_reset();
	room = (struct room) { .path = "/tmp/drover-records-XXXXXX" };
	assert_non_null(mkdtemp(room.path));
	room.runtime = open(room.path, O_RDONLY | O_DIRECTORY);
	room.slots = records_open(room.runtime, NULL);
	assert_true(room.slots >= 0);
	*state = &room;
	return 0;
}

static int tear_down(void **state)
{
	struct room *room = *state;
	record_remove(room->slots, "collect:2");
	endings_forget(room->runtime);
	close(room->slots);
	unlinkat(room->runtime, "slots", AT_REMOVEDIR);
	close(room->runtime);
	return rmdir(room->path);
}

static const struct record sample = { .name = "collect:2",
	.mark = "00112233445566aa",
	.epoch = "0123456789abcdef",
	.incarnation = 7,
	.pid = 4711,
	.start_time = 99,
	.last_start_ms = 5,
	.last_automatic_ms = -1,
	.before_automatic_ms = -1,
	.due_ms = 9000000,
	.started_at_ms = 1234,
	.strikes = 2,
	.told_interval_ms = 1500,
	.restarts = 3,
	.fingerprint = 0xfeed,
	.state = PROCESS_RUNNING,
	.next_cause = CAUSE_PROBE,
	.end_cause = CAUSE_NONE,
	.last_exit = { .cause = CAUSE_EXIT, .code = 7, .signal = -1, .at_ms = 1000 },
	.task = { .id = 12, .fence = 3, .run = 11, .attempt = 2, .deadline_ms = 777 },
	.wanted = true,
	.held = true,
	.ready = true,
	.end_failed = true };

static int written(struct room *room)
{
	int fd = record_open(room->slots, sample.name, NULL);
	assert_true(fd >= 0);
	assert_int_equal(record_write(fd, &sample), 0);
	return fd;
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct room *room = *state;
	close(written(room));
	records_read(room->slots, found, room);
	assert_int_equal(room->found, 1);
	const struct record *r = &room->last;
	assert_string_equal(r->name, "collect:2");
	assert_string_equal(r->mark, sample.mark);
	assert_string_equal(r->epoch, sample.epoch);
	assert_int_equal(r->incarnation, 7);
	assert_int_equal(r->pid, 4711);
	assert_int_equal(r->start_time, 99);
	assert_int_equal(r->last_start_ms, 5);
	assert_int_equal(r->last_automatic_ms, -1);
	assert_int_equal(r->before_automatic_ms, -1);
	assert_int_equal(r->due_ms, 9000000);
	assert_int_equal(r->started_at_ms, 1234);
	assert_int_equal(r->strikes, 2);
	assert_int_equal(r->told_interval_ms, 1500);
	assert_int_equal(r->restarts, 3);
	assert_int_equal(r->fingerprint, 0xfeed);
	assert_int_equal(r->state, PROCESS_RUNNING);
	assert_int_equal(r->next_cause, CAUSE_PROBE);
	assert_int_equal(r->last_exit.cause, CAUSE_EXIT);
	assert_int_equal(r->last_exit.code, 7);
	assert_int_equal(r->last_exit.signal, -1);
	assert_int_equal(r->last_exit.at_ms, 1000);
	assert_memory_equal(&r->task, &sample.task, sizeof(r->task));
	assert_true(r->wanted && r->held && r->ready && r->end_failed);
	assert_false(r->closed);
}

static struct record not_started(void)
{
	struct record r = sample;
	r.pid = 0;
	r.start_time = 0;
	r.state = PROCESS_STARTING;
	return r;
}

static int claimed(struct room *room, uint64_t incarnation)
{
	struct record r = not_started();
	int fd = record_open(room->slots, sample.name, NULL);
	assert_true(fd >= 0);
	assert_int_equal(record_write(fd, &r), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(record_claim(fd, incarnation, 0) == 0 ? 0 : 1);
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	room->found = child;
	return fd;
}

static void a_claim_of_the_same_start_names_the_child(void **state)
{
	struct room *room = *state;
	int fd = claimed(room, sample.incarnation);
	struct record r;
	assert_int_equal(record_read(fd, &r), 0);
	assert_int_equal(r.pid, room->found);
	assert_true(r.start_time > 0);
	/* The supervisor writes on without knowing of it, and the claim stays. */
	r = not_started();
	r.wanted = false;
	assert_int_equal(record_write(fd, &r), 0);
	assert_int_equal(record_read(fd, &r), 0);
	assert_int_equal(r.pid, room->found);
	assert_false(r.wanted);
	close(fd);
}

/* It was a zombie already when the supervisor asked; the whole record was thrown away for that. */
static void one_that_died_before_its_start_time_was_read_is_known_by_its_claim(void **state)
{
	struct room *room = *state;
	struct record back, r = sample;
	int fd = claimed(room, sample.incarnation);
	assert_int_equal(record_read(fd, &back), 0);
	r.pid = back.pid;
	r.start_time = 0;
	uint64_t start_time = back.start_time;
	assert_int_equal(record_write(fd, &r), 0);
	assert_int_equal(record_read(fd, &back), 0);
	assert_int_equal(back.pid, r.pid);
	assert_int_equal(back.start_time, start_time);
	assert_int_equal(back.last_start_ms, sample.last_start_ms);
	close(fd);
}

static void a_claim_of_another_start_names_nobody(void **state)
{
	struct room *room = *state;
	int fd = claimed(room, sample.incarnation - 1);
	struct record r;
	assert_int_equal(record_read(fd, &r), 0);
	assert_int_equal(r.pid, 0);
	close(fd);
}

static void a_claim_that_was_changed_names_nobody(void **state)
{
	struct room *room = *state;
	int fd = claimed(room, sample.incarnation);
	off_t end = lseek(fd, 0, SEEK_END);
	struct record r;
	for (off_t back = 1; back <= 32; back++) {
		char c, other;
		assert_int_equal(pread(fd, &c, 1, end - back), 1);
		other = (char)(c ^ 4);
		assert_int_equal(pwrite(fd, &other, 1, end - back), 1);
		assert_int_equal(record_read(fd, &r), 0);
		assert_int_equal(r.pid, 0);
		assert_int_equal(pwrite(fd, &c, 1, end - back), 1);
	}
	close(fd);
}

/* Each of these has a good checksum. */
static void values_that_cannot_be_make_it_none(void **state)
{
	struct room *room = *state;
	struct record bad[25], r;
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = sample;
	bad[n++].pid = 1;
	bad[n++].pid = -1;
	bad[n++].pid = getpid();
	bad[n++].pid = INT64_C(1) << 40;
	bad[n++].incarnation = UINT64_MAX;
	bad[n++].last_start_ms = INT64_MAX;
	bad[n++].last_start_ms = -2;
	bad[n++].last_automatic_ms = FAKE_CLOCK_BOOT_MS + 1;
	bad[n++].before_automatic_ms = INT64_MIN;
	bad[n++].due_ms = INT64_MIN;
	bad[n++].started_at_ms = -1;
	bad[n++].strikes = -1;
	bad[n++].strikes = INT64_MAX;
	bad[n++].told_interval_ms = -1;
	bad[n++].told_interval_ms = INT64_MAX;
	bad[n++].state = PROCESS_INVALID;
	bad[n++].state = PROCESS_STATES;
	bad[n++].next_cause = START_CAUSES;
	bad[n++].end_cause = START_CAUSES;
	bad[n++].last_exit.cause = START_CAUSES;
	bad[n++].last_exit.code = 256;
	bad[n++].last_exit.signal = 1000;
	bad[n++].last_exit.at_ms = -1;
	str_copy(bad[n++].mark, RECORD_EPOCH_SIZE, "../etc/passwd");
	str_copy(bad[n++].epoch, RECORD_EPOCH_SIZE, "");
	assert_int_equal(n, ARRAY_SIZE(bad));
	int fd = record_open(room->slots, sample.name, NULL);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(record_write(fd, &bad[i]), 0);
		assert_int_equal(record_read(fd, &r), -EBADMSG);
	}
	assert_int_equal(record_write(fd, &sample), 0);
	assert_int_equal(record_read(fd, &r), 0);
	close(fd);
}

static void no_changed_byte_of_the_first_part_goes_through(void **state)
{
	struct room *room = *state;
	int fd = written(room);
	off_t size = lseek(fd, 0, SEEK_END);
	struct record r;
	for (off_t at = 0; at < size; at++) {
		char c, other;
		assert_int_equal(pread(fd, &c, 1, at), 1);
		other = (char)(c ^ 0x81);
		assert_int_equal(pwrite(fd, &other, 1, at), 1);
		assert_int_equal(record_read(fd, &r), -EBADMSG);
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	for (off_t len = 0; len < size; len++) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(record_read(fd, &r), -EBADMSG);
		assert_int_equal(record_write(fd, &sample), 0);
	}
	assert_int_equal(record_read(fd, &r), 0);
	close(fd);
}

static void one_that_bears_another_name_is_none(void **state)
{
	struct room *room = *state;
	close(written(room));
	assert_int_equal(renameat(room->slots, sample.name, room->slots, "crawl"), 0);
	records_read(room->slots, found, room);
	assert_int_equal(room->found, 0);
}

static void what_is_no_file_is_none(void **state)
{
	struct room *room = *state;
	assert_int_equal(mkfifoat(room->slots, sample.name, 0600), 0);
	assert_int_equal(symlinkat("/etc/passwd", room->slots, "passwd"), 0);
	records_read(room->slots, found, room);
	assert_int_equal(room->found, 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void a_check_counts_and_changes_nothing(void **state)
{
	struct room *room = *state;
	int sound = -1;
	int fd = written(room);
	assert_int_equal(records_check(room->slots, &sound), 0);
	assert_int_equal(sound, 1);
	assert_int_equal(ftruncate(fd, 10), 0);
	assert_int_equal(records_check(room->slots, &sound), 1);
	assert_int_equal(sound, 0);
	assert_int_equal(faccessat(room->slots, sample.name, F_OK, 0), 0);
	close(fd);
}

static void a_changed_byte_makes_it_none(void **state)
{
	struct room *room = *state;
	int fd = written(room);
	char c;
	assert_int_equal(pread(fd, &c, 1, 100), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, 100), 1);
	close(fd);
	records_read(room->slots, found, room);
	assert_int_equal(room->found, 0);
	assert_int_equal(faccessat(room->slots, sample.name, F_OK, 0), -1);
}

static void a_short_or_long_one_is_none(void **state)
{
	struct room *room = *state;
	int fd = written(room);
	struct record r;
	assert_int_equal(ftruncate(fd, 50), 0);
	assert_true(record_read(fd, &r) < 0);
	assert_int_equal(record_write(fd, &sample), 0);
	assert_int_equal(record_read(fd, &r), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_true(record_read(fd, &r) < 0);
	close(fd);
}

static void one_of_another_boot_is_none(void **state)
{
	struct room *room = *state;
	close(written(room));
	fake_clock_reboot();
	records_read(room->slots, found, room);
	assert_int_equal(room->found, 0);
}

static void a_copy_has_the_sound_ones_with_their_claims(void **state)
{
	struct room *room = *state;
	int sound = 0;
	close(claimed(room, 7));
	int other = openat(room->slots, "unsound", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(other, "x", 1), 1);
	close(other);
	assert_int_equal(mkdirat(room->runtime, "copy", 0700), 0);
	int copy = openat(room->runtime, "copy", O_RDONLY | O_DIRECTORY);
	assert_int_equal(records_copy(room->slots, copy), 1);
	assert_int_equal(records_check(copy, &sound), 0);
	assert_int_equal(sound, 1);
	records_read(copy, found, room);
	assert_true(room->last.pid > 0);
	/* What is there is not written over. */
	assert_int_equal(records_copy(room->slots, copy), -EEXIST);
	record_remove(room->slots, "unsound");
	record_remove(copy, sample.name);
	close(copy);
	unlinkat(room->runtime, "copy", AT_REMOVEDIR);
}

static void a_directory_in_its_place_is_removed(void **state)
{
	struct room *room = *state;
	assert_int_equal(mkdirat(room->slots, sample.name, 0700), 0);
	record_remove(room->slots, sample.name);
	close(written(room));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
/* --- the list of a shutdown --- */

static int note_one(const struct room *room, const char *name, uint64_t incarnation)
{
	struct ending e = { .incarnation = incarnation };
	str_copy(e.name, sizeof(e.name), name);
	return endings_note(room->runtime, sample.mark, &e, 1);
}

/* What the sample's record counts as. */
static struct record applied(const struct room *room, const char *mark)
{
	struct endings endings;
	struct record r = sample;
	assert_int_equal(endings_read(&endings, room->runtime, mark), 0);
	endings_apply(&endings, &r);
	endings_finish(&endings);
	return r;
}

static void one_on_the_list_of_a_shutdown_was_being_ended_by_it(void **state)
{
	const struct room *room = *state;
	assert_int_equal(applied(room, sample.mark).state, PROCESS_RUNNING);
	assert_int_equal(note_one(room, "other", 7), 0);
	assert_int_equal(note_one(room, "collect:2", 7), 0);
	assert_int_equal(note_one(room, "a", 1), 0);
	const struct record r = applied(room, sample.mark);
	assert_true(record_is_of_shutdown(&r));
	assert_false(r.held || r.ready);
	assert_int_equal(r.due_ms, -1);
	assert_int_equal(r.pid, sample.pid);
	endings_forget(room->runtime);
	assert_int_equal(applied(room, sample.mark).state, PROCESS_RUNNING);
}

static void the_list_says_nothing_of_another_incarnation_directory_or_state(void **state)
{
	const struct room *room = *state;
	struct endings endings;
	struct record failed = sample;
	assert_int_equal(note_one(room, "collect:2", 6), 0);
	assert_int_equal(note_one(room, "collect:2", 8), 0);
	assert_int_equal(applied(room, sample.mark).state, PROCESS_RUNNING);
	assert_int_equal(note_one(room, "collect:2", 7), 0);
	assert_int_equal(applied(room, "ffffffffffffffff").state, PROCESS_RUNNING);
	failed.state = PROCESS_FAILED;
	assert_int_equal(endings_read(&endings, room->runtime, sample.mark), 0);
	endings_apply(&endings, &failed);
	endings_finish(&endings);
	assert_int_equal(failed.state, PROCESS_FAILED);
}

static void a_list_that_was_cut_or_changed_counts_up_to_there(void **state)
{
	const struct room *room = *state;
	struct stat st;
	assert_int_equal(note_one(room, "collect:2", 7), 0);
	int fd = openat(room->runtime, "ending", O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	/* Killed within the second write; and a third one that comes all the same. */
	assert_int_equal(note_one(room, "a", 1), 0);
	assert_int_equal(ftruncate(fd, st.st_size * 2 - 1), 0);
	assert_int_equal(applied(room, sample.mark).state, PROCESS_STOPPING);
	for (off_t at = 0; at < st.st_size; at += 9) {
		char byte, changed;
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		changed = (char)(byte ^ 1);
		assert_int_equal(pwrite(fd, &changed, 1, at), 1);
		assert_int_equal(applied(room, sample.mark).state, PROCESS_RUNNING);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_int_equal(applied(room, sample.mark).state, PROCESS_STOPPING);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_comes_back_as_it_was),
		TEST(a_claim_of_the_same_start_names_the_child),
		TEST(one_that_died_before_its_start_time_was_read_is_known_by_its_claim),
		TEST(a_claim_of_another_start_names_nobody),
		TEST(a_claim_that_was_changed_names_nobody),
		TEST(values_that_cannot_be_make_it_none),
		TEST(no_changed_byte_of_the_first_part_goes_through),
		TEST(one_that_bears_another_name_is_none),
		TEST(what_is_no_file_is_none),
		TEST(a_check_counts_and_changes_nothing),
		TEST(a_changed_byte_makes_it_none),
		TEST(a_short_or_long_one_is_none),
		TEST(one_of_another_boot_is_none),
		TEST(a_copy_has_the_sound_ones_with_their_claims),
		TEST(a_directory_in_its_place_is_removed),
		TEST(one_on_the_list_of_a_shutdown_was_being_ended_by_it),
		TEST(the_list_says_nothing_of_another_incarnation_directory_or_state),
		TEST(a_list_that_was_cut_or_changed_counts_up_to_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
