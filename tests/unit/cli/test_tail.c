/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/err.h"
#include "cli/typed.h"
#include "tail.h"
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "a");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/drover-tail-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	static const char *const names[] = { "a.log", "a.log.1", "a.log.2" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path_of(names[i]));
	return rmdir(dir);
}

static void collect(void *arg, const char *line, size_t len)
{
	buf_add(arg, line, len);
	buf_add_char(arg, '|');
}

static void expect_last(size_t lines, const char *want)
{
	struct buf got = BUF_INIT;
	struct err err = { 0 };
	assert_int_equal(tail_last(path_of("a.log"), lines, collect, &got, &err), 0);
	assert_string_equal(buf_str(&got), want);
	buf_finish(&got);
}

static void the_last_lines_come_oldest_first(void **state)
{
	(void)state;
	put("a.log", "1\n2\n3\n");
	expect_last(2, "2|3|");
	expect_last(3, "1|2|3|");
	expect_last(9, "1|2|3|");
}

static void a_half_line_at_the_end_counts(void **state)
{
	(void)state;
	put("a.log", "1\n2\nhalf");
	expect_last(2, "2|half|");
}

static void rotated_files_are_gone_back_into(void **state)
{
	(void)state;
	put("a.log.2", "1\n2\n");
	put("a.log.1", "3\n4\n");
	put("a.log", "5\n");
	expect_last(1, "5|");
	expect_last(3, "3|4|5|");
	expect_last(4, "2|3|4|5|");
	expect_last(100, "1|2|3|4|5|");
}

static void a_log_that_is_not_there_has_no_lines(void **state)
{
	(void)state;
	expect_last(5, "");
}

static void lines_longer_than_a_chunk_stay_whole(void **state)
{
	(void)state;
	struct buf got = BUF_INIT, text = BUF_INIT;
	struct err err = { 0 };
	for (int i = 0; i < 200000; i++)
		buf_add_char(&text, (char)('a' + i % 26));
	put("a.log", "first\n");
	put("a.log", buf_str(&text));
	put("a.log", "\nlast\n");
	assert_int_equal(tail_last(path_of("a.log"), 2, collect, &got, &err), 0);
	assert_int_equal(got.len, 200000 + 1 + 5);
	assert_memory_equal(got.data, text.data, text.len);
	buf_finish(&got);
	buf_finish(&text);
}

static void what_is_added_is_followed_across_rotation(void **state)
{
	(void)state;
	struct follow f;
	struct buf got = BUF_INIT;
	char old[128];
	put("a.log", "before\n");
	assert_int_equal(follow_init(&f, path_of("a.log"), true), 0);
	put("a.log", "1\nha");
	follow_read(&f, collect, &got);
	assert_string_equal(buf_str(&got), "1|");
	put("a.log", "lf\n2\n");
	snprintf(old, sizeof(old), "%s/a.log.1", dir);
	assert_int_equal(rename(path_of("a.log"), old), 0);
	put("a.log", "3\n");
	follow_read(&f, collect, &got);
	put("a.log", "4\n");
	follow_read(&f, collect, &got);
	assert_string_equal(buf_str(&got), "1|half|2|3|4|");
	follow_finish(&f);
	buf_finish(&got);
}

static void a_file_that_appears_later_is_read_from_its_beginning(void **state)
{
	(void)state;
	struct follow f;
	struct buf got = BUF_INIT;
	assert_int_equal(follow_init(&f, path_of("a.log"), true), 0);
	follow_read(&f, collect, &got);
	put("a.log", "1\n");
	follow_read(&f, collect, &got);
	assert_string_equal(buf_str(&got), "1|");
	follow_finish(&f);
	buf_finish(&got);
}

static void expect_next(struct log_walk *walk, char want)
{
	struct log_file file;
	char first = 0;
	assert_true(log_walk_next(walk, &file));
	assert_int_equal(pread(file.fd, &first, 1, 0), 1);
	assert_int_equal(first, want);
	log_file_close(&file);
}

/* The clock of files is coarse, and two of one instant cannot be told apart. */
static void let_it_tick(void)
{
	nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);
}

static void rotate_once(const char *fresh)
{
	char names[4][128];
	static const char *const files[] = { "a.log", "a.log.1", "a.log.2", "a.log.3" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		snprintf(names[i], sizeof(names[i]), "%s", path_of(files[i]));
	for (size_t i = 3; i > 0; i--)
		(void)!rename(names[i - 1], names[i]);
	let_it_tick();
	put("a.log", fresh);
	let_it_tick();
}

/* b and c are moved past the walk, which is at a.log.1 when it goes on. */
static void files_that_were_moved_past_a_slow_walk_are_passed_over(void **state)
{
	struct log_walk walk;
	struct log_file file;
	(void)state;
	put("a.log.1", "1\n");
	put("a.log", "2\n");
	log_walk_init(&walk, path_of("a.log"));
	expect_next(&walk, '2');
	rotate_once("b\n");
	rotate_once("c\n");
	expect_next(&walk, '1');
	assert_false(log_walk_next(&walk, &file));
	log_walk_finish(&walk);
	unlink(path_of("a.log.3"));
}

static void an_older_file_that_was_put_there_by_hand_is_not_passed_over(void **state)
{
	(void)state;
	put("a.log", "3\n");
	let_it_tick();
	put("a.log.1", "2\n");
	let_it_tick();
	put("a.log.2", "1\n");
	expect_last(9, "1|2|3|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_last_lines_come_oldest_first, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_half_line_at_the_end_counts, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			rotated_files_are_gone_back_into, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_log_that_is_not_there_has_no_lines, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			lines_longer_than_a_chunk_stay_whole, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			what_is_added_is_followed_across_rotation, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_file_that_appears_later_is_read_from_its_beginning, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			files_that_were_moved_past_a_slow_walk_are_passed_over, make_dir,
			remove_dir),
		cmocka_unit_test_setup_teardown(
			an_older_file_that_was_put_there_by_hand_is_not_passed_over, make_dir,
			remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
