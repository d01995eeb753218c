/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "fakes/loop.h"
#include "log/log.h"
#include "log_gap.h"
#include "loop/loop.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { LONG_MS = 1000 };

static size_t empty(int fd, char *text, size_t size)
{
	size_t len = 0;
	for (ssize_t n; len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	return len;
}

static void what_is_missing_is_told_once_there_is_room_though_nothing_else_is_said(
	void **state UNUSED)
{
	static char text[1 << 20];
	int fds[LOG_CATEGORIES], p[2];
	struct loop *loop = NULL;
	fake_clock_reset();
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	for (int i = 0; i < LOG_CATEGORIES; i++)
		fds[i] = p[1];
	log_open("droverd", fds, LOG_INFO);
	struct log_gap *gap = log_gap_new(loop);
	assert_non_null(gap);
	while (log_dropped() < 2)
		log_info(MAIN, "tick");
	fake_loop_advance(loop, LONG_MS);
	empty(p[0], text, sizeof(text));
	assert_null(strstr(text, "records_dropped"));
	fake_loop_advance(loop, LONG_MS);
	empty(p[0], text, sizeof(text));
	assert_non_null(strstr(text, "\"event\":\"records_dropped\""));
	assert_non_null(strstr(text, "\"count\":2"));
	fake_loop_advance(loop, LONG_MS);
	assert_int_equal(empty(p[0], text, sizeof(text)), 0);
	log_gap_free(gap);
	assert_int_equal(fake_loop_watchers(loop), 0);
	loop_free(loop);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_is_missing_is_told_once_there_is_room_though_nothing_else_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
