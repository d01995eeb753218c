/* SPDX-License-Identifier: MIT */
#include "cli/fake_server.h"
#include "cli/typed.h"

#define RUN(state, rows)                                                  \
	"{\"id\":7,\"job\":\"a\",\"state\":\"" state "\",\"rows\":" #rows \
	",\"requests\":1,\"tasks\":{}}"

static void waiting_ends_with_the_run(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "run", .page = "{\"run\":" RUN("queued", 0) "}" },
		{ .verb = "runs", .page = "{\"runs\":[" RUN("running", 100) "]}" },
		{ .verb = "runs", .page = "{\"runs\":[" RUN("succeeded", 200) "]}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "run", "a", "--wait", "--json", "--socket", fake_server_path(server));
	assert_string_equal(fake_server_args(server, 1), "{\"id\":7}");
	fake_server_finish(server);
	assert_int_equal(t.code, 0);
	assert_says(t.out, "\"state\": \"succeeded\"");
	assert_says(t.out, "\"rows\": 200");
	typed_free(&t);
}

static void a_run_that_fails_is_a_failure(void **state)
{
	(void)state;
	static const char *const ends[] = { "{\"run\":" RUN("failed", 3) "}",
		"{\"run\":" RUN("skipped", 0) "}", "{\"run\":" RUN("cancelled", 0) "}" };
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		const struct fake_answer script[] = { { .verb = "run", .page = ends[i] }, { 0 } };
		struct fake_server *server = fake_server_start(script);
		struct typed t;
		typed(&t, "run", "a", "--wait", "--socket", fake_server_path(server));
		fake_server_finish(server);
		assert_int_equal(t.code, CLI_FAILED);
		typed_free(&t);
	}
}

static void a_question_asked_again_is_the_same_question(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "run" }, /* hangs up: nobody knows whether the run began */
		{ .verb = "run",
			.page = "{\"error\":\"the scheduler is away\",\"away\":true}",
			.exit_code = 1 },
		{ .verb = "run", .page = "{\"run\":" RUN("succeeded", 1) "}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "run", "a", "--wait", "--socket", fake_server_path(server));
	assert_true(strlen(fake_server_args(server, 0)) > 32);
	assert_string_equal(fake_server_args(server, 0), fake_server_args(server, 1));
	assert_string_equal(fake_server_args(server, 0), fake_server_args(server, 2));
	fake_server_finish(server);
	assert_int_equal(t.code, 0);
	typed_free(&t);
}

static void two_runs_have_two_ids(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "run", .page = "{\"run\":" RUN("queued", 0) "}", .hang_up = true },
		{ .verb = "run", .page = "{\"run\":" RUN("queued", 0) "}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	for (int i = 0; i < 2; i++) {
		typed(&t, "run", "a", "--socket", fake_server_path(server));
		assert_int_equal(t.code, 0);
		assert_string_equal(t.out, "run 7 of a is queued\n");
		typed_free(&t);
	}
	assert_string_not_equal(fake_server_args(server, 0), fake_server_args(server, 1));
	fake_server_finish(server);
}

static void waiting_survives_a_restart_of_the_supervisor(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "run",
			.page = "{\"run\":" RUN("running", 0) "}",
			.stop_listening = true },
		{ .verb = "runs",
			.page = "{\"error\":\"the scheduler is away\",\"away\":true}",
			.exit_code = 1 },
		{ .verb = "runs", .page = "{\"runs\":[" RUN("succeeded", 5) "]}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "run", "a", "--wait", "--socket", fake_server_path(server));
	fake_server_finish(server);
	assert_int_equal(t.code, 0);
	assert_says(t.out, "a succeeded");
	assert_says(t.out, "5 rows");
	typed_free(&t);
}

static void what_fails_for_good_is_not_asked_again(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "run", .page = "{\"error\":\"the database is full\"}", .exit_code = 1 },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "run", "a", "--wait", "--socket", fake_server_path(server));
	fake_server_finish(server);
	assert_int_equal(t.code, CLI_FAILED);
	assert_says(t.err, "the database is full");
	typed_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_ends_with_the_run),
		cmocka_unit_test(a_run_that_fails_is_a_failure),
		cmocka_unit_test(a_question_asked_again_is_the_same_question),
		cmocka_unit_test(two_runs_have_two_ids),
		cmocka_unit_test(waiting_survives_a_restart_of_the_supervisor),
		cmocka_unit_test(what_fails_for_good_is_not_asked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
