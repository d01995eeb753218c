/* SPDX-License-Identifier: MIT */
#include "scheduler/world.h"

#include "ipc/messages.h"
#include "scheduler/answers.h"
#include <string.h>

static uint64_t last_id;

static void ask_as(const char *verb, const char *args, bool may_change)
{
	for (size_t i = 0; i < world->page_count; i++)
		free(world->pages[i].json);
	world->page_count = 0;
	const struct msg_question question = { .id = ++last_id,
		.may_change = may_change,
		.verb = verb,
		.args = { args, strlen(args) } };
	answers_ask(world->s.answers, &question);
	world_settle();
}

/* One page or more, all within the limit, the last one marked. @return its exit code */
static unsigned ask(const char *verb, const char *args)
{
	ask_as(verb, args, true);
	assert_true(world->page_count > 0);
	for (size_t i = 0; i < world->page_count; i++) {
		assert_true(world->pages[i].len <= PAGE_MAX);
		assert_int_equal(world->pages[i].last, i == world->page_count - 1);
	}
	return world->pages[world->page_count - 1].exit_code;
}

/* All pages joined as the command line does it; the caller frees. */
static json_t *list(const char *key)
{
	json_t *all = json_array();
	for (size_t i = 0; i < world->page_count; i++) {
		json_t *page = json_loadb(world->pages[i].json, world->pages[i].len, 0, NULL);
		assert_non_null(page);
		json_array_extend(all, json_object_get(page, key));
		json_decref(page);
	}
	return all;
}

static const char *error_text(void)
{
	static char text[1024];
	json_t *page = json_loadb(world->pages[0].json, world->pages[0].len, 0, NULL);
	const char *words = json_string_value(json_object_get(page, "error"));
	snprintf(text, sizeof(text), "%s", words ? words : "");
	json_decref(page);
	return text;
}

static const char *text(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "(none)";
}

static struct config *many_jobs(int count)
{
	struct buf yaml = BUF_INIT;
	buf_add_str(&yaml, "providers: {p: {base_url: \"https://api.example.org/\"}}\njobs:\n");
	for (int i = 0; i < count; i++)
		buf_addf(&yaml,
			"  a-job-with-a-name-that-fills-pages-%04d: {kind: collect, request: "
			"{provider: p, path: /x}, fields: {id: id}, store: {table: t, key: "
			"[id]}}\n",
			i);
	struct config *config = must_load(buf_str(&yaml));
	buf_finish(&yaml);
	return config;
}

static void wrong_arguments_have_exit_code_2_and_words(void **state UNUSED)
{
	static const char *const wrong[][2] = {
		{ "jobs", "{\"job\": \"tick\"}" },
		{ "jobs", "[]" },
		{ "jobs", "{" },
		{ "jobs", "{} {}" },
		{ "queue", "7" },
		{ "runs", "{\"limit\": 0}" },
		{ "runs", "{\"limit\": 10001}" },
		{ "runs", "{\"limit\": 1.5}" },
		{ "runs", "{\"id\": \"7\"}" },
		{ "runs", "{\"id\": 1, \"id\": 2}" },
		{ "runs", "{\"job\": null}" },
		{ "run", "{}" },
		{ "run", "{\"job\": \"tick\"}" },
		{ "run", "{\"job\": \"tick\", \"request_id\": \"\"}" },
		{ "run", "{\"job\": \"tick\", \"request_id\": \"a b\"}" },
		{ "run", "{\"job\": \"tick\", \"request_id\": 5}" },
		{ "runs", "{\"before\": 0}" },
		{ "pause", "{}" },
		{ "resume", "{\"job\": \"tick\", \"all\": true}" },
		{ "next", "{}" },
		{ "next", "{\"job\": \"tick\", \"n\": 1001}" },
		{ "next", "{\"job\": \"tick\", \"n\": 0}" },
		{ "next", "{\"job\": \"tick\", \"from\": \"yesterday\"}" },
		{ "next", "{\"job\": \"tick\", \"from\": 12}" },
		{ "dead.show", "{}" },
		{ "dead.show", "{\"all\": true}" },
		{ "dead.retry", "{}" },
		{ "dead.retry", "{\"all\": false}" },
		{ "dead.retry", "{\"all\": true, \"id\": 1}" },
		{ "dead.retry", "{\"job\": \"tick\", \"id\": 1}" },
		{ "dead", "{\"before\": 0}" },
		{ "dead.drop", "{\"id\": 0}" },
		{ "dead.drop", "{\"id\": -1}" },
		{ "cursors", "{}" },
		{ "cursors", "{\"job\": \"tick\", \"partition\": \"1\"}" },
		{ "cursors.reset", "{\"partition\": \"1\"}" },
		{ "cursors.reset", "{\"job\": \"tick\", \"partition\": 1}" },
		{ "fetch", "{}" },
	};
	world_configure(tick_config("{every: 1h}"));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (ask(wrong[i][0], wrong[i][1]) != 2)
			fail_msg("%s %s: %s", wrong[i][0], wrong[i][1], world->pages[0].json);
		assert_string_not_equal(error_text(), "");
	}
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 1);
}

static void arguments_nested_without_end_are_refused(void **state UNUSED)
{
	char *deep = malloc(60001);
	assert_non_null(deep);
	world_configure(tick_config(NULL));
	memset(deep, '[', 60000);
	deep[60000] = '\0';
	assert_int_equal(ask("jobs", deep), 2);
	free(deep);
}

static void an_unknown_job_has_exit_code_4_and_a_suggestion(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	static const char *const verbs[] = { "next", "runs" };
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		assert_int_equal(ask(verbs[i], "{\"job\": \"tikc\"}"), 4);
		assert_string_equal(error_text(), "no such job: tikc, did you mean 'tick'?");
	}
	assert_int_equal(ask("run", "{\"job\": \"sunrise\", \"request_id\": \"1\"}"), 4);
	assert_string_equal(error_text(), "no such job: sunrise");
}

static void who_may_only_look_changes_nothing(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	ask_as("run", "{\"job\": \"tick\", \"request_id\": \"1\"}", false);
	assert_int_equal(world->pages[0].exit_code, 5);
	ask_as("dead.retry", "{\"all\": true}", false);
	assert_int_equal(world->pages[0].exit_code, 5);
	ask_as("dead.drop", "{\"all\": true}", false);
	assert_int_equal(world->pages[0].exit_code, 5);
	ask_as("cursors.reset", "{\"job\": \"tick\"}", false);
	assert_int_equal(world->pages[0].exit_code, 5);
	ask_as("cursors", "{\"job\": \"tick\"}", false);
	assert_int_equal(world->pages[0].exit_code, 0);
	ask_as("dead", "{}", false);
	assert_int_equal(world->pages[0].exit_code, 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 0);
}

static void a_run_is_made_once_for_one_request_id(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	assert_int_equal(ask("run", "{\"job\": \"tick\", \"request_id\": \"r1\"}"), 0);
	json_t *page = json_loadb(world->pages[0].json, world->pages[0].len, 0, NULL);
	json_t *run = json_object_get(page, "run");
	assert_string_equal(text(run, "job"), "tick");
	assert_string_equal(text(run, "trigger"), "manual");
	assert_string_equal(text(run, "state"), "queued");
	json_int_t id = json_integer_value(json_object_get(run, "id"));
	json_decref(page);
	assert_int_equal(world->wakes, 1);

	assert_int_equal(ask("run", "{\"job\": \"tick\", \"request_id\": \"r1\"}"), 0);
	page = json_loadb(world->pages[0].json, world->pages[0].len, 0, NULL);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(page, "run"), "id")), id);
	json_decref(page);
	assert_int_equal(ask("run", "{\"job\": \"tick\", \"request_id\": \"r2\"}"), 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 2);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task"), 2);
}

static void runs_are_listed_newest_first_in_bounded_pages(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	for (int i = 0; i < 300; i++) {
		char args[80];
		snprintf(args, sizeof(args), "{\"job\": \"tick\", \"request_id\": \"%d\"}", i);
		assert_int_equal(ask("run", args), 0);
	}
	assert_int_equal(ask("runs", "{\"limit\": 1000}"), 0);
	assert_true(world->page_count > 1);
	json_t *runs = list("runs");
	assert_int_equal(json_array_size(runs), 300);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(json_integer_value(json_object_get(json_array_get(runs, i), "id")),
			300 - i);
	json_decref(runs);
	assert_int_equal(ask("runs", ""), 0);
	runs = list("runs");
	assert_int_equal(json_array_size(runs), 20);
	json_decref(runs);
	assert_int_equal(ask("runs", "{\"id\": 17, \"job\": \"tick\"}"), 0);
	runs = list("runs");
	assert_int_equal(json_array_size(runs), 1);
	json_decref(runs);
	assert_int_equal(ask("runs", "{\"id\": 1700}"), 4);
}

static void runs_of_a_job_that_left_the_configuration_can_still_be_seen(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	world_configure(many_jobs(1));
	assert_int_equal(ask("runs", "{\"job\": \"tick\"}"), 0);
	json_t *runs = list("runs");
	assert_int_equal(json_array_size(runs), 1);
	json_decref(runs);
	assert_int_equal(ask("next", "{\"job\": \"tick\"}"), 4);
}

static void who_takes_no_pages_gets_no_more(void **state UNUSED)
{
	world_configure(many_jobs(300));
	world->refuse_pages = true;
	ask_as("jobs", "{}", true);
	ask_as("next", "{\"job\": \"a-job-with-a-name-that-fills-pages-0001\"}", true);
	world->refuse_pages = false;
	assert_int_equal(ask("jobs", "{}"), 0);
}

static void jobs_are_those_of_the_configuration_with_their_last_run(void **state UNUSED)
{
	world_configure(many_jobs(3));
	world_configure(tick_config("{every: 1h}"));
	assert_int_equal(ask("jobs", "{}"), 0);
	json_t *jobs = list("jobs"), *job = json_array_get(jobs, 0);
	assert_int_equal(json_array_size(jobs), 1);
	assert_string_equal(text(job, "name"), "tick");
	assert_string_equal(text(job, "kind"), "collect");
	assert_string_equal(text(job, "state"), "running");
	assert_string_equal(text(job, "next_due_at"), "2027-01-15T09:00:00.000Z");
	assert_string_equal(text(json_object_get(job, "last_run"), "trigger"), "schedule");
	json_decref(jobs);
	world_finish_runs();
	ask("jobs", "{}");
	jobs = list("jobs");
	assert_string_equal(text(json_array_get(jobs, 0), "state"), "waiting");
	json_decref(jobs);
}

static void a_job_is_paused_and_resumed(void **state UNUSED)
{
	static const struct {
		const char *verb, *state;
	} steps[] = { { "pause", "paused" }, { "pause", "paused" }, { "resume", "waiting" } };
	world_configure(tick_config("{every: 1h}"));
	world_finish_runs();
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(ask(steps[i].verb, "{\"job\": \"tick\"}"), 0);
		json_t *jobs = list("jobs");
		assert_int_equal(json_array_size(jobs), 1);
		assert_string_equal(text(json_array_get(jobs, 0), "state"), steps[i].state);
		json_decref(jobs);
		world_advance(3600000);
	}
	assert_int_equal(
		world_number("SELECT COUNT(*) FROM drover_due WHERE reason = 'paused'"), 2);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 2);
	assert_int_equal(ask("pause", "{\"job\": \"tack\"}"), 4);
	ask_as("pause", "{\"job\": \"tick\"}", false);
	assert_int_equal(world->pages[0].exit_code, 5);
	assert_ok(run_sql(world->f, "DELETE FROM drover_job"));
	assert_int_equal(ask("pause", "{\"job\": \"tick\"}"), 1);
}

static void runs_are_read_on_from_where_a_piece_ended(void **state UNUSED)
{
	char args[64];
	int64_t before = 1000000, seen = 0;
	world_configure(tick_config("{every: 1h, overlap: allow}"));
	assert_ok(run_sql(world->f,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
		" INSERT INTO drover_run (job, trigger, token, created_at, finished_at, state)"
		" SELECT 'tick', 'manual', 't' || i, i, i, 'succeeded' FROM n"));
	for (size_t got = 500; got == 500; seen += (int64_t)got) {
		snprintf(args, sizeof(args), "{\"limit\": 500, \"before\": %d}", (int)before);
		assert_int_equal(ask("runs", args), 0);
		json_t *runs = list("runs");
		got = json_array_size(runs);
		for (size_t i = 0; i < got; i++) {
			int64_t id = json_integer_value(
				json_object_get(json_array_get(runs, i), "id"));
			assert_true(id < before);
			before = id;
		}
		json_decref(runs);
	}
	assert_int_equal(seen, 3001);
}

static void an_id_that_was_used_tells_whose_run_it_is(void **state UNUSED)
{
	world_configure(many_jobs(2));
	assert_int_equal(ask("run", "{\"job\": \"a-job-with-a-name-that-fills-pages-0000\","
				    " \"request_id\": \"x\"}"),
		0);
	assert_int_equal(ask("run", "{\"job\": \"a-job-with-a-name-that-fills-pages-0001\","
				    " \"request_id\": \"x\"}"),
		0);
	assert_non_null(strstr(world->pages[0].json, "pages-0000"));
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_run"), 1);
}

static void jobs_that_the_store_does_not_know_yet_are_listed_too(void **state UNUSED)
{
	world_configure(many_jobs(500));
	assert_ok(run_sql(world->f, "DELETE FROM drover_job WHERE name LIKE '%-0%7'"));
	assert_int_equal(ask("jobs", "{}"), 0);
	assert_true(world->page_count > 2);
	json_t *jobs = list("jobs");
	assert_int_equal(json_array_size(jobs), 500);
	bool seen[500] = { false };
	size_t i;
	json_t *job;
	json_array_foreach(jobs, i, job)
	{
		long n = strtol(strrchr(text(job, "name"), '-') + 1, NULL, 10);
		assert_false(seen[n]);
		seen[n] = true;
		assert_string_equal(text(job, "state"), "idle");
	}
	json_decref(jobs);
}

static void next_tells_times_in_the_jobs_zone_and_in_utc(void **state UNUSED)
{
	world_configure(tick_config("{cron: \"0 3 * * *\", timezone: Asia/Seoul}"));
	assert_int_equal(ask("next", "{\"job\": \"tick\"}"), 0);
	json_t *times = list("times");
	assert_int_equal(json_array_size(times), 5);
	assert_string_equal(text(json_array_get(times, 0), "local"), "2027-01-16T03:00:00+09:00");
	assert_string_equal(text(json_array_get(times, 0), "utc"), "2027-01-15T18:00:00Z");
	json_decref(times);
	assert_int_equal(
		ask("next", "{\"job\": \"tick\", \"n\": 1000, \"from\": \"2028-02-28T18:00:00Z\"}"),
		0);
	assert_true(world->page_count > 1);
	times = list("times");
	assert_int_equal(json_array_size(times), 1000);
	assert_string_equal(text(json_array_get(times, 0), "utc"), "2028-02-29T18:00:00Z");
	assert_string_equal(text(json_array_get(times, 999), "utc"), "2030-11-24T18:00:00Z");
	json_decref(times);
}

static void next_of_every_keeps_its_phase(void **state UNUSED)
{
	world_configure(tick_config("{every: 7m}"));
	fake_clock_advance_ms(60000);
	assert_int_equal(ask("next", "{\"job\": \"tick\", \"n\": 2}"), 0);
	json_t *times = list("times");
	assert_string_equal(text(json_array_get(times, 0), "utc"), "2027-01-15T08:07:00Z");
	assert_string_equal(text(json_array_get(times, 1), "utc"), "2027-01-15T08:14:00Z");
	json_decref(times);
}

static void next_of_a_job_that_is_never_due_is_empty(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	assert_int_equal(ask("next", "{\"job\": \"tick\"}"), 0);
	assert_string_equal(world->pages[0].json, "{\"times\":[]}");
}

static void kill_the_holder(void)
{
	assert_ok(run_sql(world->f, "UPDATE drover_task SET state = 1, owner = 'n/1/collect/1',"
				    " attempt = max_attempts"));
	assert_int_equal(WAIT(world->f, queue_free_owner, "n/1/collect/1"), QUEUE_OK);
}

static void make_dead(int count)
{
	make_run(world->f, "dead", (size_t)count, PRIORITY_MEDIUM, 1);
	kill_the_holder();
}

static void dead_letters_are_listed_shown_retried_and_dropped(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	make_dead(300);
	assert_int_equal(ask("dead", "{}"), 0);
	assert_true(world->page_count > 1);
	json_t *dead = list("dead");
	assert_int_equal(json_array_size(dead), 300);
	json_decref(dead);
	assert_int_equal(ask("dead.show", "{\"id\": 7}"), 0);
	dead = list("dead");
	assert_string_equal(text(json_array_get(dead, 0), "payload"), "6");
	json_decref(dead);
	assert_int_equal(ask("dead.retry", "{\"id\": 7}"), 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task"), 1);
	assert_int_equal(ask("dead.retry", "{\"id\": 7}"), 4);
	assert_int_equal(ask("dead.drop", "{\"id\": 8}"), 0);
	assert_int_equal(ask("dead.show", "{\"id\": 8}"), 4);
	assert_int_equal(ask("queue", "{}"), 0);
	assert_string_equal(world->pages[0].json,
		"{\"queue\":{\"ready\":1,\"claimed\":0,\"delayed\":0,\"dead\":298}}");
	assert_int_equal(ask("dead", "{\"job\": \"never\"}"), 4);
	assert_int_equal(ask("dead", "{\"job\": \"j\", \"limit\": 3, \"before\": 9}"), 0);
	dead = list("dead");
	assert_int_equal(json_array_size(dead), 3);
	json_decref(dead);
	/* The job is gone from the configuration, its dead letters are not. */
	assert_int_equal(ask("dead.retry", "{\"job\": \"j\"}"), 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_dead"), 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_task"), 299);
	kill_the_holder();
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_dead"), 299);
	assert_int_equal(ask("dead.drop", "{\"all\": true}"), 0);
	assert_int_equal(world_number("SELECT COUNT(*) FROM drover_dead"), 0);
	assert_int_equal(ask("dead.retry", "{\"all\": true}"), 0);
	assert_string_equal(world->pages[0].json, "{\"dead\":[]}");
}

/* A value of for_each names its partition, as the task's payload has it. */
static void cursors_are_shown_as_their_type_and_reset_by_value(void **state UNUSED)
{
	world_configure(
		must_load("providers: {p: {base_url: \"https://api.example.org/\"}}\n"
			  "jobs: {sync: {kind: collect, request: {provider: p, path: \"/{{v}}\"},"
			  " for_each: {values: [\"a\\\"b\", c], as: v}, fields: {id: id},"
			  " incremental: {cursor: n, param: since, type: integer, start: \"0\"},"
			  " store: {table: t, key: [id]}}}\n"));
	assert_ok(run_sql(world->f,
		"INSERT INTO drover_cursor (job, part, cursor, reached, updated_at, run_id)"
		" VALUES ('sync', '{\"v\":\"a\\\"b\"}', 41, 42, 1, 1),"
		" ('sync', '{\"v\":\"c\"}', 1, 1, 1, 1)"));
	assert_int_equal(ask("cursors", "{\"job\": \"sync\"}"), 0);
	json_t *cursors = list("cursors");
	assert_int_equal(json_array_size(cursors), 2);
	const json_t *first = json_array_get(cursors, 0);
	assert_int_equal(json_integer_value(json_object_get(first, "cursor")), 41);
	assert_string_equal(text(json_object_get(first, "partition"), "v"), "a\"b");
	json_decref(cursors);
	assert_int_equal(ask("cursors.reset", "{\"job\": \"sync\", \"partition\": \"nobody\"}"), 4);
	assert_int_equal(ask("cursors.reset", "{\"job\": \"sync\", \"partition\": \"a\\\"b\"}"), 0);
	assert_string_equal(world->pages[0].json, "{\"reset\":{\"job\":\"sync\",\"cursors\":1}}");
	assert_int_equal(world_number("SELECT MAX(cursor) FROM drover_cursor"), 1);
	assert_int_equal(ask("run", "{\"job\": \"sync\", \"request_id\": \"1\"}"), 0);
	assert_int_equal(ask("cursors.reset", "{\"job\": \"sync\"}"), 1);
	assert_non_null(strstr(error_text(), "has not ended"));
	assert_null(strstr(world->pages[0].json, "away"));
	assert_int_equal(ask("cursors", "{\"job\": \"snyc\"}"), 4);
}

static void without_a_store_the_reason_is_told_and_next_still_answers(void **state UNUSED)
{
	world_configure(tick_config("{every: 1h}"));
	world->s.ready = false;
	snprintf(world->s.trouble, sizeof(world->s.trouble), "disk \"full\"");
	assert_int_equal(ask("jobs", "{}"), 1);
	assert_string_equal(error_text(), "the scheduler has no database yet: disk \"full\"");
	assert_non_null(strstr(world->pages[0].json, "\"away\":true"));
	assert_int_equal(ask("next", "{\"job\": \"tick\"}"), 0);
}

static void a_store_that_fails_meanwhile_is_an_error_that_may_pass(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	assert_ok(run_sql(world->f, "DROP TABLE drover_run"));
	static const char *const verbs[] = { "jobs", "runs" };
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		assert_int_equal(ask(verbs[i], "{}"), 1);
		assert_non_null(strstr(world->pages[0].json, "\"away\":true"));
		assert_non_null(strstr(error_text(), "drover_run"));
	}
	assert_int_equal(ask("run", "{\"job\": \"tick\", \"request_id\": \"1\"}"), 1);
	assert_int_equal(world->worst, STORE_FAILED);
}

static void more_questions_than_are_taken_at_once_are_told_to_come_again(void **state UNUSED)
{
	world_configure(tick_config(NULL));
	for (int i = 0; i < 70; i++) {
		const struct msg_question question = {
			.id = ++last_id, .verb = "queue", .args = { "", 0 }
		};
		answers_ask(world->s.answers, &question);
	}
	assert_int_equal(world->page_count, 6);
	assert_int_equal(world->pages[0].exit_code, 1);
	world_settle();
	assert_int_equal(world->page_count, 70);
}

static void questions_in_work_are_let_go_at_the_end(void **state UNUSED)
{
	world_configure(many_jobs(300));
	static const char *const verbs[] = { "jobs", "runs", "dead", "queue", "run" };
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const char *args = i < 4 ? ""
					 : "{\"job\": \"a-job-with-a-name-that-fills-pages-"
					   "0001\", \"request_id\": \"1\"}";
		const struct msg_question question = { .id = ++last_id,
			.may_change = true,
			.verb = verbs[i],
			.args = { args, strlen(args) } };
		answers_ask(world->s.answers, &question);
	}
	answers_free(world->s.answers);
	world->s.answers = NULL;
	world_settle();
	assert_int_equal(world->page_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(wrong_arguments_have_exit_code_2_and_words),
		TEST(arguments_nested_without_end_are_refused),
		TEST(an_unknown_job_has_exit_code_4_and_a_suggestion),
		TEST(who_may_only_look_changes_nothing),
		TEST(a_run_is_made_once_for_one_request_id),
		TEST(runs_are_listed_newest_first_in_bounded_pages),
		TEST(runs_of_a_job_that_left_the_configuration_can_still_be_seen),
		TEST(who_takes_no_pages_gets_no_more),
		TEST(jobs_are_those_of_the_configuration_with_their_last_run),
		TEST(a_job_is_paused_and_resumed),
		TEST(runs_are_read_on_from_where_a_piece_ended),
		TEST(an_id_that_was_used_tells_whose_run_it_is),
		TEST(jobs_that_the_store_does_not_know_yet_are_listed_too),
		TEST(next_tells_times_in_the_jobs_zone_and_in_utc),
		TEST(next_of_every_keeps_its_phase),
		TEST(next_of_a_job_that_is_never_due_is_empty),
		TEST(dead_letters_are_listed_shown_retried_and_dropped),
		TEST(cursors_are_shown_as_their_type_and_reset_by_value),
		TEST(without_a_store_the_reason_is_told_and_next_still_answers),
		TEST(a_store_that_fails_meanwhile_is_an_error_that_may_pass),
		TEST(more_questions_than_are_taken_at_once_are_told_to_come_again),
		TEST(questions_in_work_are_let_go_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
