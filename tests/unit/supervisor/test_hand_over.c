/* SPDX-License-Identifier: MIT */
/* What one droverd leaves open for the next; giver and taker are this one process. */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "hand_over.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VARIABLE "DROVER_HAND_OVER"

static bool is_closed_by_exec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

/* A list that somebody else wrote, or nobody. */
static void name_list(const char *text)
{
	char number[16];
	int fd = memfd_create("list", 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(number, sizeof(number), "%d", fd);
	setenv(VARIABLE, number, 1);
}

static void what_is_given_is_taken_by_kind_and_name(void **state UNUSED)
{
	char name[HAND_OVER_NAME];
	struct err err = { 0 };
	int log = open("/dev/null", O_RDONLY | O_CLOEXEC),
	    socket = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct hand_over *given = hand_over_new(3);
	assert_int_equal(hand_over_add(given, HAND_OVER_LOG, ":main", log), 0);
	assert_int_equal(hand_over_add(given, HAND_OVER_NOTIFY, "web:2", socket), 0);
	assert_int_equal(hand_over_add(given, HAND_OVER_NOTIFY, "none", -1), 0);
	assert_int_equal(hand_over_open(given, &err), 0);
	assert_false(is_closed_by_exec(log) || is_closed_by_exec(socket));

	struct hand_over *taken = hand_over_read();
	assert_non_null(taken);
	assert_null(getenv(VARIABLE));
	assert_true(is_closed_by_exec(log) && is_closed_by_exec(socket));
	assert_int_equal(hand_over_upgrades(taken), 3);
	assert_string_equal(hand_over_from(taken), DROVER_VERSION);
	assert_int_equal(hand_over_take(taken, HAND_OVER_LOG, "web:2"), -1);
	assert_int_equal(hand_over_take(taken, HAND_OVER_NOTIFY, "web:2"), socket);
	assert_int_equal(hand_over_take(taken, HAND_OVER_NOTIFY, "web:2"), -1);
	assert_int_equal(hand_over_next(taken, HAND_OVER_LOG, name), log);
	assert_string_equal(name, ":main");
	assert_int_equal(hand_over_next(taken, HAND_OVER_LOG, name), -1);
	hand_over_free(taken);
	close(log);
	close(socket);
	hand_over_free(given);
}

static void what_nobody_takes_is_closed(void **state UNUSED)
{
	struct err err = { 0 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct hand_over *given = hand_over_new(1);
	assert_int_equal(hand_over_add(given, HAND_OVER_LOG, "web", fd), 0);
	assert_int_equal(hand_over_open(given, &err), 0);
	hand_over_free(hand_over_read());
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	hand_over_free(given);
}

static void after_a_failed_exec_all_is_as_before(void **state UNUSED)
{
	struct err err = { 0 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct hand_over *given = hand_over_new(1);
	assert_int_equal(hand_over_add(given, HAND_OVER_LOG, "web", fd), 0);
	assert_int_equal(hand_over_open(given, &err), 0);
	hand_over_close(given);
	assert_null(getenv(VARIABLE));
	assert_true(is_closed_by_exec(fd));
	assert_null(hand_over_read());
	hand_over_free(given);
	assert_int_equal(close(fd), 0);
}

static void a_list_that_is_not_for_us_is_not_taken(void **state UNUSED)
{
	static const char *const lists[] = { "", "\n\n\n", "nonsense",
		"drover hand-over 2\npid 1\n", "drover hand-over 1\n",
		"drover hand-over 1\npid 1\nfd L 0 lock\n",
		"drover hand-over 1\nfd L 0 lock\nfd F 2 web\n" };
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		name_list(lists[i]);
		assert_null(hand_over_read());
		assert_null(getenv(VARIABLE));
	}
	assert_int_not_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
}

static void lines_that_are_wrong_or_unknown_are_left_out(void **state UNUSED)
{
	char text[1024], name[HAND_OVER_NAME];
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(text, sizeof(text),
		"drover hand-over 1\npid %d\nnew words of a later version\nfd F 0 zero\nfd F 99999 "
		"none\nfd F -7 less\nfd\nfd F\nfd F x y\nfd F %d web\nfrom %0300d\n",
		(int)getpid(), fd, 7);
	name_list(text);
	struct hand_over *taken = hand_over_read();
	assert_non_null(taken);
	assert_int_equal(hand_over_next(taken, HAND_OVER_LOG, name), fd);
	assert_string_equal(name, "web");
	assert_int_equal(hand_over_next(taken, HAND_OVER_LOG, name), -1);
	assert_int_equal(hand_over_upgrades(taken), 0);
	hand_over_free(taken);
	close(fd);
}

static void only_a_memfd_is_a_list(void **state UNUSED)
{
	static const char *const values[] = { "", "0", "1", "2", "-1", "x", "99999", "3 ", "1e1" };
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		setenv(VARIABLE, values[i], 1);
		assert_null(hand_over_read());
		assert_null(getenv(VARIABLE));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_given_is_taken_by_kind_and_name),
		cmocka_unit_test(what_nobody_takes_is_closed),
		cmocka_unit_test(after_a_failed_exec_all_is_as_before),
		cmocka_unit_test(a_list_that_is_not_for_us_is_not_taken),
		cmocka_unit_test(lines_that_are_wrong_or_unknown_are_left_out),
		cmocka_unit_test(only_a_memfd_is_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
