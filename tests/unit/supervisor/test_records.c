/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "fakes/clock.h"
#include "records.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
	close(room->slots);
	unlinkat(room->runtime, "slots", AT_REMOVEDIR);
	close(room->runtime);
	return rmdir(room->path);
}

static const struct record sample = { .name = "collect:2",
	.epoch = "0123456789abcdef",
	.incarnation = 7,
	.pid = 4711,
	.start_time = 99,
	.last_start_ms = 5,
	.last_automatic_ms = -1,
	.strikes = 2,
	.wanted = true };

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
	assert_string_equal(room->last.name, "collect:2");
	assert_string_equal(room->last.epoch, sample.epoch);
	assert_int_equal(room->last.incarnation, 7);
	assert_int_equal(room->last.pid, 4711);
	assert_int_equal(room->last.last_automatic_ms, -1);
	assert_int_equal(room->last.strikes, 2);
	assert_true(room->last.wanted);
	assert_false(room->last.closed);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_comes_back_as_it_was),
		TEST(a_changed_byte_makes_it_none),
		TEST(a_short_or_long_one_is_none),
		TEST(one_of_another_boot_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
