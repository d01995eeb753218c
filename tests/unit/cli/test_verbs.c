/* SPDX-License-Identifier: MIT */
#include "cli/fake_server.h"
#include "cli/typed.h"
#include <fcntl.h>
#include <unistd.h>

#define TYPED(t, script, ...)                                                   \
	do {                                                                    \
		struct fake_server *server_ = fake_server_start(script);        \
		typed((t), "--socket", fake_server_path(server_), __VA_ARGS__); \
		fake_server_finish(server_);                                    \
	} while (0)

static const char two_processes[] =
	"{\"supervisor\":{\"pid\":9,\"version\":\"0.1.0\",\"state\":\"running\",\"config_file\":\"/"
	"etc/d.yaml\","
	"\"config_error\":\"x.yaml:1:1: error: no\",\"containment\":\"sweep\"},"
	"\"processes\":[{\"name\":\"collect:1\",\"kind\":\"collect\",\"state\":\"running\",\"pid\":"
	"11,\"strikes\":2,"
	"\"last_probe\":{\"at\":\"2026-11-21T08:00:00Z\",\"ok\":false,\"detail\":\"no answer\"}},"
	"{\"name\":\"web\",\"kind\":\"service\",\"state\":\"waiting\",\"pid\":null,"
	"\"restart_due_at\":\"2126-11-21T08:00:00Z\"}]}";

static void status_shows_what_needs_attention(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "status", .page = two_processes },
		{ .verb = "jobs", .page = "{\"error\":\"away\",\"away\":true}", .exit_code = 1 },
		{ .verb = "queue",
			.page = "{\"queue\":{\"ready\":1,\"claimed\":0,\"delayed\":0,\"dead\":1234}"
				"}" },
		{ .verb = "db",
			.page = "{\"db\":{\"engine\":\"sqlite\",\"processes\":[{\"active\":1,"
				"\"idle\":2,\"transactions\":1000,\"waits\":5}]}}" },
		{ .verb = "limits",
			.page = "{\"limits\":[{\"name\":\"kto\",\"active\":2,\"allowed\":5,"
				"\"windows\":[{\"left\":37,\"count\":100,\"period_ms\":60000}]}]"
				"}" },
		{ .verb = "health", .page = "{\"health\":{\"level\":\"warning\"}}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "status");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "2 failed probes: no answer");
	assert_says(t.out, "start due in ");
	assert_says(t.out, "health warning");
	assert_says(t.out, "37 of 100");
	assert_says(t.out, "database: sqlite, 3 connections, 1 at work, 99.5% of transactions");
	assert_says(t.out, "x.yaml:1:1: error: no");
	assert_says(t.out, "1,234 dead (see: drover dead)");
	assert_says(t.out, "the scheduler does not answer");
	typed_free(&t);
}

static void status_of_a_process_shows_why_it_restarted(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "status",
			.page = "{\"supervisor\":{},\"processes\":[{\"name\":\"web\",\"state\":"
				"\"running\",\"pid\":3}],"
				"\"history\":[{\"at\":\"2026-11-21T08:00:00Z\",\"event\":"
				"\"stopping\",\"reason\":\"probe\","
				"\"detail\":\"no answer within 400 ms\"}]}" },
		{ .verb = "logs", .page = "{\"dir\":\"/nonexistent\",\"files\":[]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "status", "web");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "stopping");
	assert_says(t.out, "no answer within 400 ms");
	typed_free(&t);
}

static void status_of_a_job_shows_its_runs(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "status",
			.page = "{\"error\":\"no process named 'docs'\"}",
			.exit_code = 4 },
		{ .verb = "jobs",
			.page = "{\"jobs\":[{\"name\":\"docs\",\"kind\":\"crawl\",\"state\":"
				"\"idle\"}]}" },
		{ .verb = "runs",
			.page = "{\"runs\":[{\"id\":12,\"job\":\"docs\",\"state\":\"failed\","
				"\"tasks\":{\"total\":3,\"done\":2},"
				"\"rows\":7910,\"errors\":[\"HTTP 500\"]}]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "status", "docs");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "2/3");
	assert_says(t.out, "7,910");
	assert_says(t.out, "HTTP 500");
	typed_free(&t);
}

static void a_name_of_nothing_is_exit_code_4(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "status",
			.page = "{\"error\":\"no process named 'wbe'\"}",
			.exit_code = 4 },
		{ .verb = "jobs", .page = "{\"jobs\":[]}" },
		{ .verb = "status",
			.page = "{\"error\":\"no process named 'wbe'\"}",
			.exit_code = 4 },
		{ .verb = "status", .page = "{\"processes\":[{\"name\":\"web\"}]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "status", "wbe");
	assert_int_equal(t.code, CLI_NO_SUCH_NAME);
	assert_says(t.err, "did you mean 'web'?");
	typed_free(&t);
}

static void a_reload_with_errors_tells_them_and_that_nothing_changed(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "reload",
			.page = "{\"ok\":false,\"errors\":\"d.yaml:1:2: error: "
				"x\\n\",\"steps\":[]}",
			.exit_code = 78 },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "reload");
	assert_int_equal(t.code, CLI_BAD_CONFIG);
	assert_says(t.err, "d.yaml:1:2: error: x\n");
	assert_says(t.err, "nothing was changed");
	assert_int_equal(t.out_len, 0);
	typed_free(&t);
}

static void a_reload_tells_its_steps(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "reload",
			.page = "{\"ok\":true,\"errors\":\"\",\"steps\":[{\"name\":\"web\","
				"\"change\":\"restart\"}]}" },
		{ 0 },
	};
	struct typed t;
	TYPED(&t, script, "reload");
	assert_int_equal(t.code, 0);
	assert_string_equal(t.out, "web: restart\n");
	typed_free(&t);
}

static void dead_letters_are_listed_shown_and_put_back(void **state)
{
	(void)state;
	static const char letter[] = "{\"dead\":[{\"id\":5,\"job\":\"docs\",\"kind\":\"crawl\","
				     "\"payload\":{\"url\":\"http://x/\\u001b\"},"
				     "\"attempt\":5,\"error\":\"the parser "
				     "died\",\"failed_at\":\"2026-11-21T08:00:00Z\"}]}";
	const struct fake_answer script[] = {
		{ .verb = "dead", .page = letter, .hang_up = true },
		{ .verb = "dead.show", .page = letter, .hang_up = true },
		{ .verb = "dead.retry", .page = letter, .hang_up = true },
		{ .verb = "dead.drop", .page = letter },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	const char *path = fake_server_path(server);
	struct typed t;
	typed(&t, "dead", "--socket", path);
	assert_says(t.out, "the parser died");
	typed_free(&t);
	typed(&t, "dead", "show", "5", "--socket", path);
	assert_string_equal(fake_server_args(server, 1), "{\"id\":5}");
	assert_says(t.out, "{\"url\":\"http://x/\\u001B\"}");
	assert_null(strchr(t.out, '\x1b'));
	typed_free(&t);
	typed(&t, "dead", "retry", "5", "--socket", path);
	assert_says(t.err, "1 put back");
	typed_free(&t);
	typed(&t, "dead", "drop", "all", "--socket", path);
	assert_string_equal(fake_server_args(server, 3), "{\"all\":true}");
	assert_int_equal(t.code, 0);
	typed_free(&t);
	fake_server_finish(server);
	typed(&t, "dead", "show", "all", "--socket", "/nonexistent");
	assert_int_equal(t.code, CLI_USAGE);
	typed_free(&t);
}

static void cursors_are_shown_and_reset(void **state)
{
	(void)state;
	static const char two[] =
		"{\"cursors\":[{\"job\":\"sync\",\"partition\":{\"v\":\"a\\u001bb\"},\"cursor\":"
		"\"2026-11-21T08:00:00.000Z\",\"reached\":null,\"windows\":3,\"updated_at\":"
		"\"2026-11-21T09:00:00.000Z\",\"run\":7},{\"job\":\"sync\",\"partition\":{},"
		"\"cursor\":41,\"reached\":42,\"windows\":0,\"updated_at\":null,\"run\":8}]}";
	const struct fake_answer script[] = {
		{ .verb = "cursors", .page = two, .hang_up = true },
		{ .verb = "cursors", .page = "{\"cursors\":[]}", .hang_up = true },
		{ .verb = "cursors.reset",
			.page = "{\"reset\":{\"job\":\"sync\",\"cursors\":1}}",
			.hang_up = true },
		{ .verb = "cursors.reset", .page = "{\"reset\":{\"job\":\"sync\",\"cursors\":2}}" },
		{ 0 },
	};
	struct fake_server *server = fake_server_start(script);
	const char *path = fake_server_path(server);
	struct typed t;
	typed(&t, "cursors", "sync", "--socket", path);
	assert_string_equal(fake_server_args(server, 0), "{\"job\":\"sync\"}");
	assert_says(t.out, "2026-11-21T08:00:00.000Z");
	assert_says(t.out, "41");
	assert_null(strchr(t.out, '\x1b'));
	typed_free(&t);
	typed(&t, "cursors", "sync", "--socket", path);
	assert_says(t.err, "no cursors");
	typed_free(&t);
	typed(&t, "cursors", "reset", "sync", "a b", "--socket", path);
	assert_string_equal(
		fake_server_args(server, 2), "{\"job\":\"sync\",\"partition\":\"a b\"}");
	assert_says(t.err, "1 cursor forgotten");
	typed_free(&t);
	typed(&t, "cursors", "reset", "sync", "--socket", path);
	assert_string_equal(fake_server_args(server, 3), "{\"job\":\"sync\"}");
	assert_int_equal(t.code, 0);
	typed_free(&t);
	fake_server_finish(server);
	typed(&t, "cursors", "sync", "x", "--socket", "/nonexistent");
	assert_int_equal(t.code, CLI_USAGE);
	typed_free(&t);
}

static char folder[64], log_path[96], answer[512];

static int make_log(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/drover-verbs-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/web.log", folder);
	FILE *f = fopen(log_path, "w");
	if (!f)
		return -1;
	fputs("one\ntwo\nthree \xff\x1b[2J\n", f);
	fclose(f);
	snprintf(answer, sizeof(answer),
		"{\"dir\":\"%s\",\"files\":[{\"name\":\"web:1\",\"path\":\"%s\"}]}", folder,
		log_path);
	return 0;
}

static int remove_log(void **state)
{
	(void)state;
	unlink(log_path);
	return rmdir(folder);
}

static void logs_are_read_where_the_supervisor_says(void **state)
{
	(void)state;
	const struct fake_answer script[] = { { .verb = "logs", .page = answer }, { 0 } };
	struct typed t;
	TYPED(&t, script, "logs", "web", "-n", "2");
	assert_int_equal(t.code, 0);
	assert_string_equal(t.out, "two\nthree \xef\xbf\xbd\\x1b[2J\n");
	typed_free(&t);
	TYPED(&t, script, "logs", "web:1", "-n", "1", "--json");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "\"lines\": [\n    \"three \xef\xbf\xbd\\\\x1b[2J\"\n  ]");
	typed_free(&t);
	TYPED(&t, script, "logs", "wbe:1");
	assert_int_equal(t.code, CLI_NO_SUCH_NAME);
	assert_says(t.err, "did you mean 'web:1'?");
	typed_free(&t);
}

static void db_shows_connections_and_what_would_help(void **state)
{
	(void)state;
	const struct fake_answer script[] = {
		{ .verb = "db",
			.page = "{\"db\":{\"engine\":\"postgresql\",\"version\":\"15.18\","
				"\"size_bytes\":18874368,\"connections\":{\"open\":9,\"most\":100},"
				"\"processes\":[{\"name\":\"collect:1\",\"active\":1,\"idle\":2,"
				"\"transactions\":1234,\"waits\":12,\"hit_rate\":0.990276}]}}",
			.hang_up = true },
		{ .verb = "db.slow",
			.page = "{\"engine\":\"postgresql\",\"statements\":[{\"query\":\"SELECT\\n "
				"1\",\"calls\":7,\"total_ms\":12.5,\"rows\":null}]}",
			.page2 = "{\"advice\":[{\"kind\":\"missing_index\",\"table\":\"t\","
				 "\"query\":\"SELECT 1\",\"detail\":\"reads all\",\"run\":"
				 "\"CREATE INDEX x\"},{\"kind\":\"sequential_scan\",\"table\":"
				 "\"t\",\"query\":\"SELECT 2\",\"detail\":\"reads all\","
				 "\"run\":null}],\"notes\":[\"a remark\"]}",
			.hang_up = true },
		{ .verb = "db.reset",
			.page = "{\"reset\":{\"engine\":\"postgresql\",\"detail\":\"counts "
				"anew\"}}" },
		{ 0 },
	};
	struct typed t;
	struct fake_server *server = fake_server_start(script);
	typed(&t, "--socket", fake_server_path(server), "db");
	assert_int_equal(t.code, 0);
	assert_says(t.out, "postgresql 15.18, 18.0 MiB, 9 of 100 connections");
	assert_says(t.out, "1,234");
	assert_says(t.out, "99.0%");
	typed_free(&t);
	typed(&t, "--socket", fake_server_path(server), "db", "slow");
	assert_says(t.out, "SELECT 1");
	assert_says(t.out, "missing index: SELECT 1");
	assert_says(t.out, "run: CREATE INDEX x");
	assert_says(t.out, "no index helps");
	assert_says(t.err, "a remark");
	typed_free(&t);
	typed(&t, "--socket", fake_server_path(server), "db", "reset");
	assert_says(t.err, "counts anew");
	typed_free(&t);
	fake_server_finish(server);
	typed(&t, "--socket", "/nonexistent", "db", "slwo");
	assert_int_equal(t.code, CLI_USAGE);
	assert_says(t.err, "did you mean 'slow'?");
	typed_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_shows_what_needs_attention),
		cmocka_unit_test(status_of_a_process_shows_why_it_restarted),
		cmocka_unit_test(status_of_a_job_shows_its_runs),
		cmocka_unit_test(a_name_of_nothing_is_exit_code_4),
		cmocka_unit_test(a_reload_with_errors_tells_them_and_that_nothing_changed),
		cmocka_unit_test(a_reload_tells_its_steps),
		cmocka_unit_test(cursors_are_shown_and_reset),
		cmocka_unit_test(dead_letters_are_listed_shown_and_put_back),
		cmocka_unit_test(db_shows_connections_and_what_would_help),
		cmocka_unit_test_setup_teardown(
			logs_are_read_where_the_supervisor_says, make_log, remove_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
