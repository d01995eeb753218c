/* SPDX-License-Identifier: MIT */
#include "cli/fake_server.h"
#include "cli/typed.h"
#include "where.h"
#include <sys/stat.h>
#include <unistd.h>

#define TYPED(t, script, ...)                                                   \
	do {                                                                    \
		struct fake_server *server_ = fake_server_start(script);        \
		typed((t), "--socket", fake_server_path(server_), __VA_ARGS__); \
		fake_server_finish(server_);                                    \
	} while (0)

static void pages_are_joined_by_their_lists(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "runs",
			.page = "{\"runs\":[{\"id\":2}]}",
			.page2 = "{\"runs\":[{\"id\":1}]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "runs", "--json");
	assert_int_equal(t.code, 0);
	assert_string_equal(t.out, "{\n  \"runs\": [\n    {\n      \"id\": 2\n    },\n    {\n      "
				   "\"id\": 1\n    }\n  ]\n}\n");
	typed_free(&t);
}

static void a_supervisor_that_does_not_run_is_told_with_the_way_to_start_it(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "status", "--socket", "/nonexistent/run/control.sock");
	assert_int_equal(t.code, CLI_NOT_RUNNING);
	assert_says(t.err, "/nonexistent/run/control.sock");
	assert_says(t.err, "drover up --runtime-dir /nonexistent/run");
	typed_free(&t);
}

static void a_path_too_long_for_a_socket_says_so(void **state)
{
	(void)state;
	char path[200];
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0'; /* one over */
	struct typed t;
	typed(&t, "status", "--socket", path);
	assert_int_equal(t.code, CLI_USAGE);
	assert_says(t.err, "108 bytes");
	assert_says(t.err, "107");
	typed_free(&t);
	path[107] = '\0';
	typed(&t, "status", "--socket", path);
	assert_int_equal(t.code, CLI_NOT_RUNNING);
	typed_free(&t);
}

static void the_socket_is_looked_for_in_order(void **state)
{
	(void)state;
	char found[SOCKET_CANDIDATES][PATH_MAX];
	unsetenv("DROVER_SOCKET");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(where_sockets(found, NULL, NULL), 2);
	assert_string_equal(found[0], "/run/user/7/drover/control.sock");
	assert_string_equal(found[1], "/run/drover/control.sock");
	setenv("DROVER_SOCKET", "/a/b.sock", 1);
	assert_int_equal(where_sockets(found, NULL, NULL), 1);
	assert_string_equal(found[0], "/a/b.sock");
	assert_int_equal(where_sockets(found, "/c.sock", NULL), 1);
	assert_string_equal(found[0], "/c.sock");
	unsetenv("DROVER_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	setenv("HOME", "/home/ada", 1);
	int n = where_sockets(found, NULL, NULL);
	assert_int_equal(n, geteuid() == 0 ? 1 : 2);
	assert_string_equal(found[n - 1], "/run/drover/control.sock");
	if (n == 2)
		assert_string_equal(found[0], "/home/ada/.local/state/drover/control.sock");
}

static void an_unknown_name_gets_a_suggestion_from_those_there_are(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "stop",
			.page = "{\"error\":\"no process named 'colect'\"}",
			.exit_code = 4 },
		{ .verb = "status",
			.page = "{\"processes\":[{\"name\":\"crawl\"},{\"name\":\"collect\"}]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "stop", "colect");
	assert_int_equal(t.code, CLI_NO_SUCH_NAME);
	assert_says(t.err, "no process named 'colect', did you mean 'collect'?");
	typed_free(&t);
}

static void the_answers_exit_code_is_ours(void **state)
{
	(void)state;
	static const struct {
		unsigned code;
		const char *words;
	} cases[] = { { 1, "the scheduler is away" }, { 5, "not permitted" }, { 78, "3 errors" } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char page[100];
		snprintf(page, sizeof(page), "{\"error\":\"%s\"}", cases[i].words);
		const struct fake_answer script[] = {
			{ .verb = "jobs", .page = page, .exit_code = cases[i].code }, { 0 }
		};
		struct typed t;
		TYPED(&t, script, "jobs");
		assert_int_equal(t.code, cases[i].code);
		assert_says(t.err, cases[i].words);
		assert_int_equal(t.out_len, 0);
		typed_free(&t);
	}
}

static void an_answer_that_breaks_off_is_a_failure(void **state)
{
	(void)state;
	const struct fake_answer script[] = { { .verb = "jobs" }, { 0 } };
	struct typed t;
	TYPED(&t, script, "jobs");
	assert_int_equal(t.code, CLI_FAILED);
	assert_says(t.err, "closed the connection");
	typed_free(&t);
}

static void an_answer_that_is_no_json_object_is_a_failure(void **state)
{
	(void)state;
	static const char *const pages[] = { "[1]", "{\"a\":1,\"a\":2}", "{", "null" };
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		const struct fake_answer script[] = { { .verb = "jobs", .page = pages[i] }, { 0 } };
		struct typed t;
		TYPED(&t, script, "jobs", "--json");
		assert_int_equal(t.code, CLI_FAILED);
		assert_says(t.err, "no JSON object");
		assert_int_equal(t.out_len, 0);
		typed_free(&t);
	}
}

static void status_merges_all_answers_and_what_is_away_is_null(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "status", .page = "{\"supervisor\":{\"pid\":1},\"processes\":[]}" },
		{ .verb = "jobs", .page = "{\"jobs\":[{\"name\":\"a\"}]}" },
		{ .verb = "queue", .page = "{\"queue\":{\"ready\":3}}" },
		{ .verb = "db", .page = "{\"db\":{\"engine\":\"sqlite\"}}" },
		{ .verb = "limits", .page = "{\"limits\":[{\"name\":\"kto\"}]}" },
		{ .verb = "health", .page = "{\"error\":\"the monitor is away\"}", .exit_code = 1 },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "status", "--json");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "\"pid\": 1");
	assert_says(t.out, "\"ready\": 3");
	assert_says(t.out, "\"name\": \"a\"");
	assert_says(t.out, "\"name\": \"kto\"");
	assert_says(t.out, "\"health\": null");
	typed_free(&t);
}

static void names_go_out_one_a_line(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "restart",
			.page = "{\"results\":[{\"name\":\"a\",\"ok\":true,\"state\":\"running\","
				"\"detail\":\"running\"},"
				"{\"name\":\"b\",\"ok\":false,\"state\":\"waiting\",\"detail\":"
				"\"held for 3 s\"}]}",
			.exit_code = 1 },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "restart", "a", "b", "--socket", fake_server_path(server));
	assert_string_equal(fake_server_args(server, 0), "a\nb");
	fake_server_finish(server);
	assert_int_equal(t.code, 1);
	assert_string_equal(t.out, "a: running\nb: waiting, held for 3 s\n");
	typed_free(&t);
}

static void a_socket_that_may_not_be_opened_is_not_permitted(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip(); /* root may open everything */
	const struct fake_answer script[] = { { 0 } };
	struct fake_server *server = fake_server_start(script);
	chmod(fake_server_path(server), 0);
	struct typed t;
	typed(&t, "jobs", "--socket", fake_server_path(server));
	fake_server_finish(server);
	assert_int_equal(t.code, CLI_NOT_PERMITTED);
	typed_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_joined_by_their_lists),
		cmocka_unit_test(a_supervisor_that_does_not_run_is_told_with_the_way_to_start_it),
		cmocka_unit_test(a_path_too_long_for_a_socket_says_so),
		cmocka_unit_test(the_socket_is_looked_for_in_order),
		cmocka_unit_test(an_unknown_name_gets_a_suggestion_from_those_there_are),
		cmocka_unit_test(the_answers_exit_code_is_ours),
		cmocka_unit_test(an_answer_that_breaks_off_is_a_failure),
		cmocka_unit_test(an_answer_that_is_no_json_object_is_a_failure),
		cmocka_unit_test(status_merges_all_answers_and_what_is_away_is_null),
		cmocka_unit_test(names_go_out_one_a_line),
		cmocka_unit_test(a_socket_that_may_not_be_opened_is_not_permitted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
