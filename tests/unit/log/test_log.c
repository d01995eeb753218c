/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/compiler.h"
#include "fakes/clock.h"
#include "log/log.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An oracle of its own: what jansson refuses is not JSON, not UTF-8 or has a key twice. */
static json_t *parse(const char *line, size_t len)
{
	json_error_t error;
	assert_true(len > 0);
	assert_int_equal(line[len - 1], '\n');
	assert_null(memchr(line, '\n', len - 1));
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		fail_msg("%s in %s", error.text, line);
	return json;
}

static const char *str(const json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));
	assert_non_null(s);
	return s;
}

#define RENDER(out, event, ...)                                                 \
	log_render(out, LOG_WARN, HEALTH, "crawl:1", FAKE_CLOCK_REAL_MS, event, \
		(const struct kv[]) { __VA_ARGS__, { 0 } })

static void a_record_has_all_its_fields(void **state UNUSED)
{
	char line[LOG_RECORD_MAX];
	size_t len = RENDER(line, "process_restarted", KV_STR("name", "crawl"), KV_INT("pid", 12),
		KV_STR("reason", "3 beats missed"), KV_REAL("wait_ms", 1.5), KV_BOOL("ok", true),
		KV_STR("error", NULL));
	assert_string_equal(line,
		"{\"time\":\"2027-01-15T08:00:00.000Z\",\"level\":\"warn\",\"category\":\"health\","
		"\"process\":\"crawl:1\",\"event\":\"process_restarted\","
		"\"msg\":\"process restarted: crawl (3 beats "
		"missed)\",\"name\":\"crawl\",\"pid\":12,"
		"\"reason\":\"3 beats missed\",\"wait_ms\":1.5,\"ok\":true,\"error\":null}\n");
	assert_int_equal(len, strlen(line));
}

static void control_characters_and_bad_utf8_cannot_get_out(void **state UNUSED)
{
	char line[LOG_RECORD_MAX];
	size_t len = RENDER(line, "x", KV_STR("detail", "a\x1b[2J\n\xff\xc3\x28\xe2\x80\xae z"));
	for (size_t i = 0; i + 1 < len; i++)
		assert_true((unsigned char)line[i] >= 0x20);
	json_t *json = parse(line, len);
	assert_string_equal(
		str(json, "detail"), "a\x1b[2J\n\xef\xbf\xbd\xef\xbf\xbd(\xe2\x80\xae z");
	json_decref(json);
}

static void a_long_field_is_cut_with_a_mark_and_short_ones_stay(void **state UNUSED)
{
	char line[LOG_RECORD_MAX], *stack = malloc(100001);
	memset(stack, 's', 100000);
	stack[100000] = '\0';
	size_t len = RENDER(line, "task_failed", KV_STR("detail", stack), KV_STR("job", "news"),
		KV_INT("task", 7));
	assert_true(len > LOG_RECORD_MAX - 40);
	assert_true(len <= LOG_RECORD_MAX);
	json_t *json = parse(line, len);
	const char *cut = strstr(str(json, "detail"), "\xE2\x80\xA6[cut ");
	assert_non_null(cut);
	assert_int_equal(strtol(cut + 8, NULL, 10), 100000 - (cut - str(json, "detail")));
	assert_string_equal(str(json, "job"), "news");
	assert_int_equal(json_integer_value(json_object_get(json, "task")), 7);
	json_decref(json);
	free(stack);
}

static void escapes_are_never_cut_in_two(void **state UNUSED)
{
	char line[LOG_RECORD_MAX], text[6001];
	for (int shift = 0; shift < 8; shift++) {
		memset(text, 'a', sizeof(text));
		for (size_t i = (size_t)shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, i % 8 < 4 ? "\xF0\x9F\x90\x91" : "\x01\x02\"\\", 4);
		text[sizeof(text) - 1] = '\0';
		size_t len = RENDER(line, "x", KV_STR("a", text), KV_STR("b", text));
		assert_true(len <= LOG_RECORD_MAX);
		json_decref(parse(line, len));
	}
}

static void fields_beyond_the_record_are_dropped_and_counted(void **state UNUSED)
{
	struct kv fields[301] = { 0 };
	char keys[300][16], line[LOG_RECORD_MAX];
	for (int i = 0; i < 300; i++) {
		snprintf(keys[i], sizeof(keys[i]), "key_%d", i);
		fields[i] = i % 2 ? KV_INT(keys[i], INT64_MIN) : KV_STR(keys[i], "text\ntext");
	}
	size_t len = log_render(line, LOG_ERROR, MAIN, "p", 1, "x", fields);
	json_t *json = parse(line, len);
	json_int_t cut = json_integer_value(json_object_get(json, "fields_cut"));
	assert_int_equal(json_object_size(json), 6 + 300 - (size_t)cut + 1);
	json_decref(json);
}

/* log.c has one state a process; the tests below share these pipes. */
static int pipes[LOG_CATEGORIES][2];

static void open_log(void)
{
	int fds[LOG_CATEGORIES];
	for (int i = 0; i < LOG_CATEGORIES; i++) {
		if (pipes[i][0] == 0)
			assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
		fds[i] = pipes[i][1];
	}
	log_open("test", fds, LOG_INFO);
}

static json_t *next_record(enum log_category category)
{
	char line[LOG_RECORD_MAX];
	size_t len = 0;
	while (len < sizeof(line) && read(pipes[category][0], line + len, 1) == 1)
		if (line[len++] == '\n')
			return parse(line, len);
	assert_int_equal(len, 0);
	return NULL;
}

static void a_record_goes_to_its_category_and_errors_to_two(void **state UNUSED)
{
	open_log();
	log_info(HEALTH, "probe_failed", KV_INT("strikes", 1));
	log_error(MEMORY, "too_big", KV_INT("bytes", 2));
	log_debug(HEALTH, "not_this", KV_INT("strikes", 1));
	json_t *a = next_record(HEALTH), *b = next_record(MEMORY), *c = next_record(ERROR);
	assert_string_equal(str(a, "event"), "probe_failed");
	assert_string_equal(str(b, "event"), "too_big");
	assert_true(json_equal(b, c));
	assert_null(next_record(HEALTH));
	assert_null(next_record(MAIN));
	json_decref(a);
	json_decref(b);
	json_decref(c);
}

static void what_a_full_pipe_refuses_is_counted_and_the_count_is_told(void **state UNUSED)
{
	open_log();
	int sent = 0, got = 0, told = 0;
	for (uint64_t before = log_dropped(); log_dropped() < before + 5; sent++)
		log_info(MAIN, "tick", KV_INT("count", sent));
	for (json_t *r; (r = next_record(MAIN)); got++) {
		assert_int_equal(json_integer_value(json_object_get(r, "count")), got);
		json_decref(r);
	}
	assert_int_equal(sent, got + 5);
	/* Room again: any record brings the count first, in its own category. */
	log_info(HEALTH, "quiet");
	log_info(MAIN, "tick", KV_INT("count", sent));
	json_decref(next_record(HEALTH));
	json_t *drops = next_record(MAIN), *tick = next_record(MAIN);
	told = (int)json_integer_value(json_object_get(drops, "count"));
	assert_string_equal(str(drops, "event"), "records_dropped");
	assert_int_equal(told, 5);
	assert_string_equal(str(tick, "event"), "tick");
	assert_null(next_record(MAIN));
	json_decref(drops);
	json_decref(tick);
}

static void count_call(void *arg)
{
	++*(int *)arg;
}

static const char *next_event(json_t **record)
{
	json_decref(*record);
	*record = next_record(MAIN);
	return *record ? str(*record, "event") : "";
}

static void held_records_are_told_of_once_and_written_in_order(void **state UNUSED)
{
	int calls = 0;
	json_t *r = NULL;
	open_log();
	log_hold(count_call, &calls);
	log_info(MAIN, "first");
	log_info(MAIN, "second");
	log_info(HEALTH, "elsewhere");
	assert_int_equal(calls, 1);
	assert_null(next_record(MAIN));
	json_decref(next_record(HEALTH));
	log_flush();
	assert_string_equal(next_event(&r), "first");
	assert_string_equal(next_event(&r), "second");
	log_info(MAIN, "third");
	assert_int_equal(calls, 2);
	log_warn(MAIN, "urgent");
	assert_string_equal(next_event(&r), "third");
	assert_string_equal(next_event(&r), "urgent");
	log_info(MAIN, "fourth");
	log_hold(NULL, NULL);
	assert_string_equal(next_event(&r), "fourth");
	log_info(MAIN, "fifth");
	assert_string_equal(next_event(&r), "fifth");
	assert_string_equal(next_event(&r), "");
}

static void more_records_than_one_write_takes_are_not_held_back(void **state UNUSED)
{
	int calls = 0, got = 0;
	enum { MANY = 400 };
	open_log();
	log_hold(count_call, &calls);
	for (int i = 0; i < MANY; i++)
		log_info(MAIN, "tick", KV_INT("count", i));
	log_hold(NULL, NULL);
	for (json_t *r; (r = next_record(MAIN)); got++) {
		assert_int_equal(json_integer_value(json_object_get(r, "count")), got);
		json_decref(r);
	}
	assert_int_equal(got, MANY);
	assert_true(calls > 1 && calls < MANY / 50);
}

static void held_records_that_a_full_pipe_refuses_are_counted_one_by_one(void **state UNUSED)
{
	int calls = 0, got = 0;
	uint64_t before = log_dropped();
	open_log();
	log_hold(count_call, &calls);
	int sent = 0;
	while (log_dropped() == before)
		log_info(MAIN, "tick", KV_INT("count", sent++));
	log_hold(NULL, NULL);
	uint64_t dropped = log_dropped() - before;
	assert_true(dropped > 1);
	for (json_t *r; (r = next_record(MAIN)); got++)
		json_decref(r);
	assert_int_equal((uint64_t)got + dropped, sent);
	log_info(MAIN, "tick");
	json_t *drops = next_record(MAIN);
	assert_int_equal(json_integer_value(json_object_get(drops, "count")), dropped);
	json_decref(drops);
}

static void a_gap_is_told_when_there_is_room_again_and_nothing_else_is_said(void **state UNUSED)
{
	int calls = 0;
	uint64_t before = log_dropped();
	open_log();
	log_on_drop(count_call, &calls);
	while (log_dropped() < before + 3)
		log_info(MAIN, "tick");
	log_on_drop(NULL, NULL);
	assert_int_equal(calls, 1);
	assert_false(log_tell_drops());
	for (json_t *r; (r = next_record(MAIN));)
		json_decref(r);
	assert_true(log_tell_drops());
	json_t *drops = next_record(MAIN);
	assert_string_equal(str(drops, "event"), "records_dropped");
	assert_int_equal(json_integer_value(json_object_get(drops, "count")), 3);
	json_decref(drops);
	assert_true(log_tell_drops());
	assert_null(next_record(MAIN));
}

static void text_is_readable_and_cannot_steer_a_terminal(void **state UNUSED)
{
	int p[2], saved = dup(STDERR_FILENO);
	char line[512] = { 0 };
	open_log();
	assert_int_equal(pipe(p), 0);
	dup2(p[1], STDERR_FILENO);
	log_set_text(true);
	log_warn(MAIN, "process_gone", KV_STR("name", "api"), KV_INT("code", 3),
		KV_STR("detail", "\x1b[31mred"), KV_STR("path", "/x"));
	log_set_text(false);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_true(read(p[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(
		line, "08:00:00 warn  process gone: api (\\u001b[31mred) code=3 path=/x\n");
	json_decref(next_record(MAIN));
	close(p[0]);
	close(p[1]);
}

static void levels_have_names(void **state UNUSED)
{
	enum log_level level = LOG_DEBUG;
	assert_true(log_level_parse("error", &level));
	assert_int_equal(level, LOG_ERROR);
	assert_false(log_level_parse("ERROR", &level));
	assert_string_equal(log_category_file(PERFORMANCE), "drover_performance");
	assert_string_equal(log_category_name(MAIN), "main");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_has_all_its_fields),
		cmocka_unit_test(control_characters_and_bad_utf8_cannot_get_out),
		cmocka_unit_test(a_long_field_is_cut_with_a_mark_and_short_ones_stay),
		cmocka_unit_test(escapes_are_never_cut_in_two),
		cmocka_unit_test(fields_beyond_the_record_are_dropped_and_counted),
		cmocka_unit_test(a_gap_is_told_when_there_is_room_again_and_nothing_else_is_said),
		cmocka_unit_test(a_record_goes_to_its_category_and_errors_to_two),
		cmocka_unit_test(what_a_full_pipe_refuses_is_counted_and_the_count_is_told),
		cmocka_unit_test(held_records_are_told_of_once_and_written_in_order),
		cmocka_unit_test(more_records_than_one_write_takes_are_not_held_back),
		cmocka_unit_test(held_records_that_a_full_pipe_refuses_are_counted_one_by_one),
		cmocka_unit_test(text_is_readable_and_cannot_steer_a_terminal),
		cmocka_unit_test(levels_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
