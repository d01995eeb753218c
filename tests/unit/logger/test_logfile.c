/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
