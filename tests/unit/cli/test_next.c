/* SPDX-License-Identifier: MIT */
#include "cli/fake_server.h"
#include "cli/typed.h"

static void a_cron_expression_needs_no_supervisor(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28T12:00:00Z",
		"-n", "2", "--json", "--socket", "/nonexistent/control.sock");
	assert_int_equal(t.code, 0);
	/* 2:30 does not exist on 29 March: it fires when the gap ends. */
	assert_says(t.out, "\"local\": \"2026-03-29T03:00:00+02:00\"");
	assert_says(t.out, "\"utc\": \"2026-03-29T01:00:00Z\"");
	assert_says(t.out, "\"local\": \"2026-03-30T02:30:00+02:00\"");
	typed_free(&t);
}

static void what_the_clock_skips_or_repeats_is_marked(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28T12:00:00Z",
		"-n", "2");
	assert_says(t.out, "2026-03-29T03:00:00+02:00  2026-03-29T01:00:00Z");
	assert_says(t.out, "  instead of a time that the clock skips\n2026-03-30T02:30:00+02:00");
	typed_free(&t);
	typed(&t, "next", "30 * * * *", "--tz", "Europe/Berlin", "--from", "2026-10-24T23:45:00Z",
		"-n", "3", "--json");
	assert_says(t.out, "\"local\": \"2026-10-25T02:30:00+02:00\", \"utc\": "
			   "\"2026-10-25T00:30:00Z\", \"dst\": \"first\"}");
	assert_says(t.out, "\"local\": \"2026-10-25T02:30:00+01:00\", \"utc\": "
			   "\"2026-10-25T01:30:00Z\", \"dst\": \"second\"}");
	assert_says(t.out, "\"2026-10-25T02:30:00Z\"}\n  ]\n}\n");
	typed_free(&t);
}

static void a_hundred_thousand_times_are_as_good_as_five(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "* * * * *", "--from", "2026-01-01T00:00:00Z", "-n", "100000");
	assert_int_equal(t.code, 0);
	assert_int_equal(t.out_len % 100000, 0);
	assert_non_null(strstr(t.out, "2026-03-11T10:40:00Z"));
	typed_free(&t);
	typed(&t, "next", "* * * * *", "-n", "1000001");
	assert_int_equal(t.code, CLI_USAGE);
	typed_free(&t);
}

static void the_start_itself_is_not_a_coming_time(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "0 0 * * *", "--from", "2026-01-01T00:00:00Z", "-n", "1");
	assert_string_equal(t.out, "2026-01-02T00:00:00Z\n");
	typed_free(&t);
}

static void a_wrong_expression_is_refused_with_a_caret(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "0 25 * * *");
	assert_int_equal(t.code, CLI_USAGE);
	assert_says(t.err, "0 25 * * *\n    ^");
	assert_int_equal(t.out_len, 0);
	typed_free(&t);
}

static void what_never_is_due_has_no_times(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "0 0 30 2 *", "--json");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "\"times\": []");
	typed_free(&t);
}

static void wrong_times_and_zones_are_refused(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "@daily", "--from", "tomorrow");
	assert_int_equal(t.code, CLI_USAGE);
	assert_says(t.err, "--from 'tomorrow'");
	typed_free(&t);
	typed(&t, "next", "@daily", "--tz", "Mars/Olympus");
	assert_int_equal(t.code, CLI_USAGE);
	assert_says(t.err, "--tz 'Mars/Olympus'");
	typed_free(&t);
}

static void a_job_is_asked_of_the_scheduler_and_shown_in_the_zone_wished(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "next",
			.page = "{\"times\":[{\"local\":\"2026-01-02T00:00:00Z\",\"utc\":\"2026-01-"
				"02T00:00:00Z\"}]}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	struct typed t;
	typed(&t, "next", "nightly", "-n", "1", "--tz", "Asia/Seoul", "--from",
		"2026-01-01T09:00:00+09:00", "--socket", fake_server_path(server));
	assert_int_equal(t.code, 0);
	assert_string_equal(t.out, "2026-01-02T09:00:00+09:00  2026-01-02T00:00:00Z\n");
	assert_string_equal(fake_server_args(server, 0),
		"{\"job\":\"nightly\",\"n\":1,\"from\":\"2026-01-01T00:00:00Z\"}");
	typed_free(&t);
	fake_server_finish(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cron_expression_needs_no_supervisor),
		cmocka_unit_test(what_the_clock_skips_or_repeats_is_marked),
		cmocka_unit_test(a_hundred_thousand_times_are_as_good_as_five),
		cmocka_unit_test(the_start_itself_is_not_a_coming_time),
		cmocka_unit_test(a_wrong_expression_is_refused_with_a_caret),
		cmocka_unit_test(what_never_is_due_has_no_times),
		cmocka_unit_test(wrong_times_and_zones_are_refused),
		cmocka_unit_test(a_job_is_asked_of_the_scheduler_and_shown_in_the_zone_wished),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
