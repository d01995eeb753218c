/* SPDX-License-Identifier: MIT */
/* Real pipes and files; the loop is the fake one, so the test says when the pump looks. */
#include "unit.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "fakes/loop.h"
#include "logger/logfile.h"
#include "logger/place.h"
#include "logger/pump.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct pump_tools tools;
static struct pump_place place;
static struct pump_settings settings;
static struct pump *pump;
static int fifo; /* the writer's end: the same FIFO, as a service has it */

static int open_lock(void)
{
	return openat(place_dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static struct pump *new_pump(const struct pump_place *at)
{
	struct pump *p = NULL;
	assert_int_equal(pump_new(&p, &tools, at, &settings, dup(fifo)), 0);
	return p;
}

static int setup(void **state)
{
	int rc = place_setup(state);
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(pump_tools_init(&tools, loop), 0);
	assert_int_equal(mkfifoat(place_dir, "fifo", 0600), 0);
	fifo = openat(place_dir, "fifo", O_RDWR | O_CLOEXEC);
	place = (struct pump_place) { .dir = place_dir, .lock = open_lock() };
	settings = (struct pump_settings) {
		.name = "x", .file = "x.log", .max_size = 100, .max_line = 1000, .backups = 900
	};
	pump = new_pump(&place);
	return rc;
}

static int teardown(void **state)
{
	pump_free(pump);
	close(place.lock);
	close(fifo);
	assert_int_equal(fake_loop_watchers(loop), 0);
	pump_tools_finish(&tools);
	loop_free(loop);
	return place_teardown(state);
}

static void say(const char *text)
{
	assert_int_equal(write(fifo, text, strlen(text)), strlen(text));
}

enum { REST_MS = 2, SMALL_TURNS = 16 };

static void ready_now(void)
{
	fake_loop_fd(loop, pump_fifo(pump), LOOP_READ);
}

/* Behind a rest, if there is one. */
static void ready(void)
{
	fake_loop_advance(loop, REST_MS);
	ready_now();
}

static void say_line(size_t len, char c)
{
	char line[8192];
	assert_true(len < sizeof(line));
	memset(line, c, len);
	line[len - 1] = '\n';
	line[len] = '\0';
	say(line);
}

static unsigned backups(void)
{
	unsigned n = 0;
	char name[32];
	do
		snprintf(name, sizeof(name), "x.log.%u", ++n);
	while (place_size(name) >= 0);
	return n - 1;
}

static void what_is_written_is_in_the_file(void **state UNUSED)
{
	say("hello\nwor");
	ready();
	assert_string_equal(place_read("x.log"), "hello\nwor");
	say("ld\n");
	ready();
	assert_string_equal(place_read("x.log"), "hello\nworld\n");
}

static void files_end_with_lines_and_stay_within_their_size(void **state UNUSED)
{
	for (char c = 'a'; c < 'k'; c++)
		say_line(30, c);
	ready();
	assert_int_equal(backups(), 3);
	assert_int_equal(place_size("x.log.3"), 90);
	assert_int_equal(place_size("x.log.1"), 90);
	assert_int_equal(place_size("x.log"), 30);
	assert_int_equal(strlen(place_read_all("x.log", 3)), 300);
}

static void a_line_is_whole_in_the_file_where_it_began(void **state UNUSED)
{
	say_line(80, 'a');
	say("bbbbbbbbbb");
	ready();
	say("BBBBBBBBBBBBBBBBBBBB\n");
	say_line(10, 'c');
	ready();
	assert_int_equal(place_size("x.log.1"), 111);
	assert_string_equal(place_read("x.log"), "ccccccccc\n");
}

static void a_line_longer_than_a_file_is_whole_in_one_of_its_own(void **state UNUSED)
{
	say_line(30, 'a');
	say_line(500, 'b');
	say_line(30, 'c');
	ready();
	assert_int_equal(place_size("x.log.2"), 30);
	assert_int_equal(place_size("x.log.1"), 500);
	assert_int_equal(place_size("x.log"), 30);
}

static void a_line_without_end_is_cut_with_a_mark_and_stops_nothing(void **state UNUSED)
{
	say_line(3000, 'a');
	say_line(30, 'b');
	ready();
	const char *all = place_read_all("x.log", backups());
	size_t marks = 0, as = 0;
	for (const char *p = all; *p; p++)
		as += *p == 'a';
	for (const char *p = all; (p = strstr(p, " [drover: line cut]\n")); p++)
		marks++;
	assert_int_equal(marks, 2);
	assert_int_equal(as, 2999);
	assert_string_equal(place_read("x.log.3") + 1100, " [drover: line cut]\n");
	assert_int_equal(place_size("x.log"), 30);
}

static void a_line_of_many_pipes_full_is_moved_as_it_comes(void **state UNUSED)
{
	static char chunk[60001];
	memset(chunk, 'z', 60000);
	settings.max_line = 0; /* 1 MiB */
	assert_int_equal(pump_set(pump, &settings), 0);
	for (int i = 0; i < 10; i++) {
		say(chunk);
		ready();
	}
	say("\nnext\n");
	ready();
	assert_int_equal(place_size("x.log.1"), 600001);
	assert_string_equal(place_read("x.log"), "next\n");
}

static void judge_files(const struct buf *sent)
{
	unsigned n = backups();
	char name[32];
	assert_true(n > 3);
	assert_string_equal(place_read_all("x.log", n), buf_str(sent));
	for (; n > 0; n--) {
		snprintf(name, sizeof(name), "x.log.%u", n);
		const char *text = place_read(name);
		size_t len = strlen(text);
		assert_int_equal(text[len - 1], '\n');
		/* Beyond the size only by a line that began within it. */
		const char *last = memrchr(text, '\n', len - 1);
		assert_true(len <= (size_t)settings.max_size || !last ||
			    last + 1 - text <= settings.max_size);
	}
}

/* Any cutting into writes, any size: what is read from all files is what was written, cut only
 * between lines. */
static void bytes_of_one_seed(unsigned seed)
{
	struct buf sent = BUF_INIT;
	srandom(seed);
	settings.max_size = 50 + random() % 400;
	assert_int_equal(pump_set(pump, &settings), 0);
	for (int i = 0; i < 300; i++) {
		char piece[64];
		size_t len = (size_t)(random() % 60);
		for (size_t k = 0; k < len; k++)
			piece[k] = random() % 25 ? (char)('a' + random() % 26) : '\n';
		assert_int_equal(write(fifo, piece, len), len);
		buf_add(&sent, piece, len);
		if (random() % 3 == 0)
			ready();
		if (random() % 60 == 0) {
			/* As after a SIGKILL: a new pump knows nothing but the file. */
			pump_free(pump);
			pump = new_pump(&place);
		}
	}
	buf_add_str(&sent, "\n");
	say("\n");
	ready();
	judge_files(&sent);
	buf_finish(&sent);
}

static void no_byte_is_lost_or_moved_whatever_the_sizes(void **state)
{
	bytes_of_one_seed(0);
	for (unsigned seed = 1; seed < 40; seed++) {
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
		bytes_of_one_seed(seed);
	}
}

static void many_short_lines_at_once_wait_a_moment_for_each_other(void **state UNUSED)
{
	settings.max_size = 0;
	assert_int_equal(pump_set(pump, &settings), 0);
	for (int i = 0; i < 10 * SMALL_TURNS; i++) {
		say("a line now and then\n");
		fake_loop_advance(loop, 10);
		ready_now();
		assert_int_equal(place_size("x.log"), 20 * (i + 1));
	}
	int64_t size = place_size("x.log");
	for (int i = 0; i < 2 * SMALL_TURNS; i++) {
		say("a line after another\n");
		ready_now();
	}
	assert_true(place_size("x.log") < size + 2 * SMALL_TURNS * 21);
	ready();
	assert_int_equal(place_size("x.log"), size + 2 * SMALL_TURNS * 21);
}

/* @param large  how many pipes may be made large */
static void fill_within_a_rest(unsigned large)
{
	tools.large_pipes = large;
	settings.max_size = 0;
	assert_int_equal(pump_set(pump, &settings), 0);
	fake_loop_advance(loop, 10); /* what a new pump does first */
	for (int i = 0; i <= SMALL_TURNS; i++) {
		say("a line after another\n");
		ready_now();
	}
	for (int i = 0; i < 16; i++)
		say_line(4000, 'x');
	ready();
}

static void who_fills_the_pipe_within_a_rest_gets_a_larger_one(void **state UNUSED)
{
	fill_within_a_rest(1);
	assert_int_equal(fcntl(fifo, F_GETPIPE_SZ), 1024 * 1024);
	assert_int_equal(tools.large_pipes, 0);
}

static void or_is_not_held_up_again_when_there_is_none(void **state UNUSED)
{
	fill_within_a_rest(0);
	assert_int_equal(fcntl(fifo, F_GETPIPE_SZ), 65536);
	int64_t size = place_size("x.log");
	for (int i = 0; i < 3 * SMALL_TURNS; i++) {
		say("a line after another\n");
		ready_now();
		assert_int_equal(place_size("x.log"), size + (i + 1) * 21);
	}
}

static void a_truncated_file_has_no_hole(void **state UNUSED)
{
	say("aaaaaaaaaaaa\n");
	ready();
	close(openat(place_dir, "x.log", O_WRONLY | O_TRUNC));
	say("b\n");
	ready();
	assert_int_equal(place_size("x.log"), 2);
}

static void a_half_line_is_ended_and_marked_once(void **state UNUSED)
{
	say("Traceback: half");
	pump_half_line(pump);
	pump_half_line(pump);
	say("next instance\n");
	ready();
	assert_string_equal(
		place_read("x.log"), "Traceback: half [drover: line not ended]\nnext instance\n");
	pump_half_line(pump);
	assert_int_equal(place_size("x.log"), 55);
}

static void a_full_disk_does_not_block_and_the_log_says_what_is_missing(void **state UNUSED)
{
	struct rlimit old, small;
	settings.max_size = 100000;
	assert_int_equal(pump_set(pump, &settings), 0);
	say_line(150, 'a');
	ready();
	/* The kernel refuses to write beyond this offset: EFBIG instead of ENOSPC, the same path.
	 */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit) { .rlim_cur = 200, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 100; i++) {
		say_line(4000, 'b'); /* 400,000 bytes through a pipe of 65,536 */
		ready();
	}
	fake_loop_advance(loop, 5000);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(place_size("x.log"), 200);
	assert_int_equal(pump_dropped(pump), 400000 - 50);
	/* Told without another line having to come. */
	fake_loop_advance(loop, 1000);
	say("c\n");
	ready();
	assert_int_equal(pump_dropped(pump), 0);
	assert_string_equal(
		place_read("x.log") + 200, "\n[drover: 399950 bytes dropped: File too large]\nc\n");
}

static void two_pumps_never_work_on_one_file(void **state UNUSED)
{
	/* Another process's descriptor of the lock file. */
	struct pump_place other = place;
	other.lock = open_lock();
	struct pump *second = new_pump(&other);
	fake_loop_advance(loop, 200);
	say("a\n");
	assert_int_equal(fake_loop_fd(loop, pump_fifo(second), LOOP_READ), 0);
	fake_loop_advance(loop, 1000);
	assert_int_equal(place_size("x.log"), -1);
	ready();
	say("b\n");
	pump_free(pump);
	fake_loop_advance(loop, 100);
	assert_string_equal(place_read("x.log"), "a\nb\n");
	pump_free(second);
	close(other.lock);
	pump = new_pump(&place);
}

static void rotation_on_demand_waits_for_the_end_of_the_line(void **state UNUSED)
{
	pump_rotate(pump);
	assert_int_equal(backups(), 0);
	say("a\nhalf");
	ready();
	pump_rotate(pump);
	assert_int_equal(backups(), 0);
	say(" line\nb\n");
	ready();
	assert_string_equal(place_read("x.log.1"), "a\nhalf line\n");
	assert_string_equal(place_read("x.log"), "b\n");
	/* Moved away by hand, as logrotate does it. */
	renameat(place_dir, "x.log", place_dir, "moved");
	pump_rotate(pump);
	say("c\n");
	ready();
	assert_string_equal(place_read("x.log"), "c\n");
	assert_string_equal(place_read("moved"), "b\n");
}

static void another_name_holds_from_the_next_byte_on(void **state UNUSED)
{
	say("a\n");
	ready();
	settings.file = "y.log";
	assert_int_equal(pump_set(pump, &settings), 0);
	say("b\n");
	ready();
	assert_string_equal(place_read("x.log"), "a\n");
	assert_string_equal(place_read("y.log"), "b\n");
	settings.file = "../z.log";
	assert_int_equal(pump_set(pump, &settings), -EINVAL);
}

static void the_writers_descriptor_stays_blocking(void **state UNUSED)
{
	assert_int_equal(fcntl(fifo, F_GETFL) & O_NONBLOCK, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(what_is_written_is_in_the_file),
		T(files_end_with_lines_and_stay_within_their_size),
		T(a_line_is_whole_in_the_file_where_it_began),
		T(a_line_longer_than_a_file_is_whole_in_one_of_its_own),
		T(a_line_without_end_is_cut_with_a_mark_and_stops_nothing),
		T(a_line_of_many_pipes_full_is_moved_as_it_comes),
		T(no_byte_is_lost_or_moved_whatever_the_sizes),
		T(many_short_lines_at_once_wait_a_moment_for_each_other),
		T(who_fills_the_pipe_within_a_rest_gets_a_larger_one),
		T(or_is_not_held_up_again_when_there_is_none),
		T(a_truncated_file_has_no_hole),
		T(a_half_line_is_ended_and_marked_once),
		T(a_full_disk_does_not_block_and_the_log_says_what_is_missing),
		T(two_pumps_never_work_on_one_file),
		T(rotation_on_demand_waits_for_the_end_of_the_line),
		T(another_name_holds_from_the_next_byte_on),
		T(the_writers_descriptor_stays_blocking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
