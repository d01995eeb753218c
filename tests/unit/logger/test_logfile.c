/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/sys.h"
#include "logger/logfile.h"
#include "logger/place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct logfile lf;

static int setup(void **state)
{
	fake_sys_reset();
	fake_clock_reset();
	int rc = place_setup(state);
	logfile_init(&lf, place_dir, "x.log");
	lf.max_size = 100;
	lf.max_line = 50;
	lf.backups = 3;
	return rc;
}

static int teardown(void **state)
{
	logfile_finish(&lf);
	return place_teardown(state);
}

static void write_and_rotate(const char *text)
{
	assert_int_equal(logfile_append(&lf, text, strlen(text)), 0);
	assert_int_equal(logfile_rotate(&lf), 0);
}

static void the_youngest_backup_is_number_one_and_the_oldest_goes(void **state UNUSED)
{
	write_and_rotate("a\n");
	write_and_rotate("b\n");
	write_and_rotate("c\n");
	write_and_rotate("d\n");
	assert_int_equal(logfile_append(&lf, "e\n", 2), 0);
	assert_string_equal(place_read_all("x.log", 4), "b\nc\nd\ne\n");
	assert_int_equal(place_size("x.log.4"), -1);
}

static void a_gap_left_by_a_kill_is_filled_and_nothing_lost(void **state UNUSED)
{
	/* Killed after x.log.1 became x.log.2: number 1 is free. */
	place_append("x.log.3", "a\n");
	place_append("x.log.2", "b\n");
	write_and_rotate("c\n");
	assert_string_equal(place_read_all("x.log", 4), "a\nb\nc\n");
}

static void without_backups_the_old_text_goes(void **state UNUSED)
{
	lf.backups = 0;
	write_and_rotate("a\n");
	assert_int_equal(place_size("x.log"), -1);
	assert_int_equal(logfile_append(&lf, "b\n", 2), 0);
	assert_string_equal(place_read("x.log"), "b\n");
}

static void fewer_backups_than_before_removes_the_rest(void **state UNUSED)
{
	for (int i = 1; i < 7; i++) {
		char name[16];
		snprintf(name, sizeof(name), "x.log.%d", i);
		place_append(name, "old\n");
	}
	write_and_rotate("new\n");
	assert_string_equal(place_read("x.log.1"), "new\n");
	assert_true(place_size("x.log.3") == 4);
	assert_int_equal(place_size("x.log.4"), -1);
	assert_int_equal(place_size("x.log.6"), -1);
}

static void backups_together_never_hold_more_than_their_share(void **state UNUSED)
{
	char line[151];
	memset(line, 'x', 150);
	line[149] = '\n';
	line[150] = '\0';
	for (int i = 0; i < 6; i++) {
		write_and_rotate(line);
		int64_t held = 0;
		for (int n = 1; n <= 4; n++) {
			char name[16];
			snprintf(name, sizeof(name), "x.log.%d", n);
			held += place_size(name) > 0 ? place_size(name) : 0;
		}
		assert_true(held <= 3 * lf.max_size + lf.max_line);
		assert_int_equal(place_size("x.log.1"), 150);
	}
}

static void a_file_that_was_cut_or_written_by_hand_goes_on_at_its_end(void **state UNUSED)
{
	assert_int_equal(logfile_append(&lf, "first\n", 6), 0);
	int fd = openat(place_dir, "x.log", O_WRONLY | O_TRUNC);
	close(fd);
	assert_int_equal(logfile_append(&lf, "a\n", 2), 0);
	place_append("x.log", "by hand\n");
	assert_int_equal(logfile_append(&lf, "b\n", 2), 0);
	assert_int_equal(place_size("x.log"), 12);
	assert_string_equal(place_read("x.log"), "a\nby hand\nb\n");
}

static void a_deleted_file_is_made_anew(void **state UNUSED)
{
	assert_int_equal(logfile_append(&lf, "a\n", 2), 0);
	unlinkat(place_dir, "x.log", 0);
	assert_int_equal(logfile_append(&lf, "b\n", 2), 0);
	assert_string_equal(place_read("x.log"), "b\n");
}

static void a_text_is_appended_whole_or_not_at_all(void **state UNUSED)
{
	assert_int_equal(logfile_append(&lf, "a\n", 2), 0);
	fake_sys_limit(FAKE_SYS_WRITE, 0, 3);
	assert_int_equal(logfile_append(&lf, "[mark]\n", 7), -ENOSPC);
	assert_string_equal(place_read("x.log"), "a\n");
	fake_sys_fail(FAKE_SYS_WRITE, 0, EDQUOT);
	assert_int_equal(logfile_append(&lf, "[mark]\n", 7), -EDQUOT);
	assert_int_equal(logfile_append(&lf, "b\n", 2), 0);
	assert_string_equal(place_read("x.log"), "a\nb\n");
}

static void what_is_no_plain_file_is_refused(void **state UNUSED)
{
	assert_int_equal(symlinkat("/etc/passwd", place_dir, "x.log"), 0);
	assert_int_equal(logfile_seek_end(&lf), -ELOOP);
	unlinkat(place_dir, "x.log", 0);
	assert_int_equal(mkfifoat(place_dir, "x.log", 0600), 0);
	assert_int_equal(logfile_seek_end(&lf), -EINVAL);
}

static void a_failed_rename_is_told_and_loses_nothing(void **state UNUSED)
{
	assert_int_equal(logfile_append(&lf, "a\n", 2), 0);
	fake_sys_fail(FAKE_SYS_RENAMEAT, 0, EACCES);
	assert_int_equal(logfile_rotate(&lf), -EACCES);
	assert_int_equal(logfile_append(&lf, "b\n", 2), 0);
	assert_int_equal(logfile_rotate(&lf), 0);
	assert_string_equal(place_read("x.log.1"), "a\nb\n");
}

/* --- age --- */

enum { DAY = 24 * 3600 * 1000 };

/* A backup that was last written so long before the fake clock's beginning. */
static void old_backup(unsigned n, int64_t age_ms)
{
	char name[32];
	int64_t at = FAKE_CLOCK_REAL_MS - age_ms;
	const struct timespec times[2] = { { .tv_sec = at / 1000 }, { .tv_sec = at / 1000 } };
	snprintf(name, sizeof(name), "x.log.%u", n);
	place_append(name, "old\n");
	assert_int_equal(utimensat(place_dir, name, times, 0), 0);
}

static void backups_that_are_too_old_are_removed_and_no_others(void **state UNUSED)
{
	lf.max_age_ms = 3 * (int64_t)DAY;
	old_backup(1, 2 * (int64_t)DAY);
	old_backup(2, 4 * (int64_t)DAY);
	old_backup(3, 5 * (int64_t)DAY);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
	assert_int_equal(place_size("x.log.2"), -1);
	assert_int_equal(place_size("x.log.3"), -1);
	fake_clock_advance_ms((int64_t)DAY - 1);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
	fake_clock_advance_ms(2);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), -1);
}

static void a_step_of_the_wall_clock_makes_nothing_old(void **state UNUSED)
{
	lf.max_age_ms = 3 * (int64_t)DAY;
	old_backup(1, 1 * (int64_t)DAY);
	logfile_expire(&lf);
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS + 366 * (int64_t)DAY);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
	/* It goes on to grow old all the same, and a step back does not make it young. */
	fake_clock_set_real_ms(FAKE_CLOCK_REAL_MS - 366 * (int64_t)DAY);
	fake_clock_advance_ms(2 * (int64_t)DAY + 1000);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), -1);
}

static void a_backup_from_the_future_counts_from_its_first_sight(void **state UNUSED)
{
	lf.max_age_ms = 3 * (int64_t)DAY;
	old_backup(1, -366 * (int64_t)DAY);
	logfile_expire(&lf);
	fake_clock_advance_ms(3 * (int64_t)DAY - 1000);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
	fake_clock_advance_ms(2000);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), -1);
}

static void without_a_bound_no_backup_is_too_old(void **state UNUSED)
{
	old_backup(1, 3660 * (int64_t)DAY);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
}

/* --- compression --- */

static struct logfile_packing packing;

static void begin(void)
{
	assert_int_equal(logfile_pack(&lf, &packing), 0);
	assert_int_equal(write(packing.to, "packed", 6), 6);
}

static void a_compressed_backup_takes_the_place_of_the_plain_one(void **state UNUSED)
{
	old_backup(1, 2 * (int64_t)DAY);
	begin();
	assert_int_equal(place_size("x.log.1.zst"), -1);
	assert_int_equal(logfile_packed(&lf, &packing, true), 0);
	assert_string_equal(place_read("x.log.1.zst"), "packed");
	assert_int_equal(place_size("x.log.1"), -1);
	assert_int_equal(place_size(".x.log.zst"), -1);
	assert_int_equal(logfile_pack(&lf, &packing), -ENOENT);
	/* Its age is that of its last line. */
	lf.max_age_ms = DAY;
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1.zst"), -1);
}

static void a_backup_keeps_its_age_when_it_is_compressed(void **state UNUSED)
{
	lf.max_age_ms = 3 * (int64_t)DAY;
	old_backup(1, -366 * (int64_t)DAY);
	logfile_expire(&lf);
	fake_clock_advance_ms(2 * (int64_t)DAY);
	begin();
	assert_int_equal(logfile_packed(&lf, &packing, true), 0);
	fake_clock_advance_ms((int64_t)DAY + 1000);
	logfile_expire(&lf);
	assert_int_equal(place_size("x.log.1.zst"), -1);
}

static void rotation_meanwhile_moves_the_compressed_one_too(void **state UNUSED)
{
	old_backup(1, 0);
	begin();
	write_and_rotate("young\n");
	assert_int_equal(logfile_packed(&lf, &packing, true), 0);
	assert_string_equal(place_read("x.log.2.zst"), "packed");
	assert_string_equal(place_read("x.log.1"), "young\n");
	assert_int_equal(place_size("x.log.2"), -1);
	write_and_rotate("younger\n");
	write_and_rotate("youngest\n");
	assert_int_equal(place_size("x.log.2.zst"), -1);
	assert_int_equal(place_size("x.log.3.zst"), -1);
	assert_string_equal(place_read_all("x.log", 4), "young\nyounger\nyoungest\n");
}

static void a_backup_that_is_gone_meanwhile_does_not_come_back(void **state UNUSED)
{
	old_backup(1, 0);
	begin();
	unlinkat(place_dir, "x.log.1", 0);
	place_append("x.log.1", "another\n");
	assert_int_equal(logfile_packed(&lf, &packing, true), -ESTALE);
	assert_string_equal(place_read("x.log.1"), "another\n");
	assert_int_equal(place_size("x.log.1.zst"), -1);
	assert_int_equal(place_size(".x.log.zst"), -1);
}

static void what_was_not_packed_whole_leaves_nothing(void **state UNUSED)
{
	old_backup(1, 0);
	begin();
	assert_int_equal(logfile_packed(&lf, &packing, false), 0);
	assert_int_equal(place_size(".x.log.zst"), -1);
	assert_int_equal(place_size("x.log.1"), 4);
	begin();
	fake_sys_fail(FAKE_SYS_RENAMEAT, 0, EIO);
	assert_int_equal(logfile_packed(&lf, &packing, true), -EIO);
	assert_int_equal(place_size(".x.log.zst"), -1);
	assert_int_equal(place_size("x.log.1.zst"), -1);
	assert_int_equal(place_size("x.log.1"), 4);
	begin();
	fake_sys_fail(FAKE_SYS_UNLINKAT, 0, EIO);
	assert_int_equal(logfile_packed(&lf, &packing, true), -EIO);
	assert_int_equal(place_size("x.log.1.zst"), -1);
	assert_int_equal(place_size("x.log.1"), 4);
}

static void a_kill_while_compressing_leaves_each_line_once(void **state UNUSED)
{
	/* Killed between the rename and the removal, with a part of the next. */
	old_backup(1, 0);
	place_append("x.log.1.zst", "packed");
	place_append("x.log.2.zst", "packed");
	place_append(".x.log.zst", "pa");
	logfile_tidy(&lf);
	assert_int_equal(place_size("x.log.1"), 4);
	assert_int_equal(place_size("x.log.1.zst"), -1);
	assert_int_equal(place_size("x.log.2.zst"), 6);
	assert_int_equal(place_size(".x.log.zst"), -1);
}

static void a_planted_link_is_not_compressed(void **state UNUSED)
{
	assert_int_equal(symlinkat("/etc/passwd", place_dir, "x.log.1"), 0);
	assert_int_equal(mkfifoat(place_dir, "x.log.2", 0600), 0);
	assert_int_equal(logfile_pack(&lf, &packing), -ENOENT);
	unlinkat(place_dir, "x.log.1", 0);
	old_backup(1, 0);
	assert_int_equal(symlinkat("/nonexistent/target", place_dir, ".x.log.zst"), 0);
	begin();
	assert_int_equal(logfile_packed(&lf, &packing, true), 0);
	assert_string_equal(place_read("x.log.1.zst"), "packed");
}

static void a_directory_that_cannot_be_written_is_told(void **state UNUSED)
{
	fake_sys_fail_all(FAKE_SYS_OPENAT, 0, EROFS);
	assert_int_equal(logfile_seek_end(&lf), -EROFS);
	old_backup(1, 0);
	assert_int_equal(logfile_pack(&lf, &packing), -EROFS);
}

static void names_stay_in_the_folder(void **state UNUSED)
{
	char name[LOGFILE_NAME_MAX + 2];
	assert_true(logfile_is_name("crawl:1.log"));
	assert_false(logfile_is_name(""));
	assert_false(logfile_is_name("../x.log"));
	assert_false(logfile_is_name("a/b.log"));
	assert_false(logfile_is_name(".drover-log.lock"));
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_false(logfile_is_name(name));
	name[LOGFILE_NAME_MAX] = '\0';
	assert_true(logfile_is_name(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(the_youngest_backup_is_number_one_and_the_oldest_goes),
		T(a_gap_left_by_a_kill_is_filled_and_nothing_lost),
		T(without_backups_the_old_text_goes),
		T(fewer_backups_than_before_removes_the_rest),
		T(backups_together_never_hold_more_than_their_share),
		T(a_file_that_was_cut_or_written_by_hand_goes_on_at_its_end),
		T(a_deleted_file_is_made_anew),
		T(a_text_is_appended_whole_or_not_at_all),
		T(what_is_no_plain_file_is_refused),
		T(a_failed_rename_is_told_and_loses_nothing),
		T(names_stay_in_the_folder),
		T(backups_that_are_too_old_are_removed_and_no_others),
		T(a_step_of_the_wall_clock_makes_nothing_old),
		T(a_backup_from_the_future_counts_from_its_first_sight),
		T(without_a_bound_no_backup_is_too_old),
		T(a_compressed_backup_takes_the_place_of_the_plain_one),
		T(a_backup_keeps_its_age_when_it_is_compressed),
		T(rotation_meanwhile_moves_the_compressed_one_too),
		T(a_backup_that_is_gone_meanwhile_does_not_come_back),
		T(what_was_not_packed_whole_leaves_nothing),
		T(a_kill_while_compressing_leaves_each_line_once),
		T(a_planted_link_is_not_compressed),
		T(a_directory_that_cannot_be_written_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
