/* SPDX-License-Identifier: MIT */
/* What leaves the configuration: print, hand-over, difference. */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/context.h"
#include "config/handover.h"
#include "config/kind.h"
#include "config/load.h"
#include "crawl/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Something of everything; secrets are hunter1 to hunter6. */
static const char full[] =
	"supervisor:\n"
	"  state_dir: /state\n"
	"  runtime_dir: /run/x\n"
	"  probe: {interval: 90s, timeout: 1500ms}\n"
	"  restart: {policy: on-failure, when_held: stop}\n"
	"logs: {dir: /log, max_size: 1MiB, backups: 0, level: debug}\n"
	"store: {url: \"sqlite:${DB}.db\"}\n"
	"workers:\n"
	"  collect: {processes: 3, concurrency: 30, user: nobody, nice: 5, probe: {failures: 7}}\n"
	"providers:\n"
	"  p:\n"
	"    base_url: \"https://p.example.org/v1\"\n"
	"    headers: {Accept: \"*/*\", X-Key: \"${KEY}\", \"X-Odd\": \"a\\\"b\\\\c: #d $${E}\"}\n"
	"    limits: {rate: [100/1m, 7/1500ms], concurrency: 5, min_delay: 200ms}\n"
	"    retry: {when: [404, 5xx, connect], backoff: {jitter: no}}\n"
	"  unused: {base_url: \"https://u.example.org/\", headers: {X-Key: \"${UNUSED}\"}}\n"
	"services:\n"
	"  s: {command: [/bin/x, \"\", \"-a b\", \"${ARG}\"], environment: {PW: \"${PW}\", EMPTY: "
	"\"\", NULLISH: \"null\"},\n"
	"      probe: {http: \"http://127.0.0.1:1/\"}, stop: {signal: INT}}\n"
	"jobs:\n"
	"  a:\n"
	"    kind: collect\n"
	"    schedule: {cron: \"0 3 * * *\", timezone: Asia/Seoul, jitter: 9s, dst: {gap: skip}}\n"
	"    request: {provider: p, path: /x, query: {k: \"${QUERY}\", l: \"two\\nlines\"}}\n"
	"    paginate: {by: page, param: n}\n"
	"    fields: {id: {path: a.id, type: integer}, t: title}\n"
	"    store: {table: t, key: [id]}\n"
	"  w:\n"
	"    kind: crawl\n"
	"    schedule: {every: 6h}\n"
	"    start: [\"https://w.example.org/\", \"${START}\"]\n"
	"    follow: {domains: [example.org]}\n"
	"    extract:\n"
	"      - {match: \"\\\\.html$\", fields: {h: {xpath: \"string(//h1[@a='b'])\"}}}\n"
	"      - fields: {n: {xpath: \"count(//a)\", type: integer}}\n"
	"    store: {table: pages, key: [url, h], batch: 9}\n";

static int environment(void **state)
{
	(void)state;
	test_clearenv();
	test_setenv("DB", "hunter1");
	test_setenv("KEY", "hunter2");
	test_setenv("PW", "hunter3");
	test_setenv("QUERY", "hunter4");
	test_setenv("UNUSED", "hunter5");
	test_setenv("ARG", "hunter6");
	test_setenv("START", "https://hunter7.example.org/");
	return 0;
}

static char *printed(const struct config *config)
{
	struct buf out = BUF_INIT;
	assert_int_equal(config_print(config, &out), 0);
	return buf_detach(&out);
}

static void what_is_printed_means_the_same_when_read_again(void **state)
{
	(void)state;
	char *yaml = strdup(full);
	/* Without secrets: their values are not in what is printed. */
	for (char *p = yaml; (p = strstr(p, "${")) != NULL; p += 2)
		if (p[-1] != '$')
			memcpy(p, "Z_", 2);
	char *start = strstr(yaml, "\"Z_START}\"");
	assert_non_null(start);
	memcpy(start, "\"http://a\"", strlen("\"http://a\""));
	CLEANUP(config_freep) struct config *one = must_load(yaml);
	char *first = printed(one);
	CLEANUP(config_freep) struct config *two = must_load(first);
	char *second = printed(two);
	assert_string_equal(first, second);
	static const char *const paths[] = { "supervisor", "logs", "store", "http",
		"workers.collect", "workers.crawl", "workers.monitor", "providers.p",
		"providers.unused", "services.s", "jobs.a", "jobs.w" };
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (config_diff(one, two, paths[i]) != CHANGE_NONE)
			fail_msg("%s differs after\n%s", paths[i], first);
	free(first);
	free(second);
	free(yaml);
}

static void nothing_that_was_substituted_is_printed(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	char *text = printed(config);
	assert_null(strstr(text, "hunter"));
	assert_non_null(strstr(text, "X-Key: \"***\"\n"));
	assert_non_null(strstr(text, "k: \"***\"\n"));
	assert_non_null(strstr(text, "\"-a b\", \"***\"]"));
	assert_non_null(strstr(text, "url: \"***\"\n"));
	assert_non_null(strstr(text, "when: [404, 5xx, connect]\n"));
	assert_non_null(strstr(text, "interval: 90s\n"));
	assert_non_null(strstr(text, "timeout: 1500ms\n"));
	assert_non_null(strstr(text, "      - match: \"\\\\.html$\"\n        fields:\n"));
	free(text);
}

static struct config *handed_over(const struct config *config, const struct worker_kind *kind)
{
	struct config *out = NULL;
	struct err err = { 0 };
	int fd = config_handover(config, kind, &err);
	if (fd < 0 || config_from_handover(&out, fd, worker_kinds, &err) < 0)
		fail_msg("%s: %s", kind->name, err.text);
	close(fd);
	return out;
}

/* The bytes that a kind's processes get. */
static bool gets(const struct config *config, const struct worker_kind *kind, const char *text)
{
	struct buf bytes = BUF_INIT;
	struct err err = { 0 };
	assert_int_equal(handover_encode(&bytes, config, kind, &err), 0);
	bool found = memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
	buf_finish(&bytes);
	return found;
}

static const struct worker_kind *kind(const char *name)
{
	for (size_t i = 0; worker_kinds[i]; i++)
		if (str_eq(worker_kinds[i]->name, name))
			return worker_kinds[i];
	fail();
	return NULL;
}

static void a_worker_gets_its_jobs_as_they_were(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	CLEANUP(config_freep) struct config *collect = handed_over(config, kind("collect"));
	assert_int_equal(collect->job_count, 1);
	assert_int_equal(collect->provider_count, 1);
	assert_int_equal(collect->service_count, 0);
	assert_int_equal(config_diff(config, collect, "jobs.a"), CHANGE_NONE);
	assert_int_equal(config_diff(config, collect, "providers.p"), CHANGE_NONE);
	assert_int_equal(config_diff(config, collect, "workers.collect"), CHANGE_NONE);
	assert_int_equal(config_diff(config, collect, "supervisor"), CHANGE_NONE);
	assert_int_equal(config_diff(config, collect, "store"), CHANGE_NONE);
	const struct collect_job *spec = config_job(collect, "a")->spec;
	assert_ptr_equal(spec->provider, config_provider(collect, "p"));
	assert_string_equal(spec->provider->headers.items[1].value, "hunter2");
	assert_string_equal(spec->request.query.items[1].value, "two\nlines");
	assert_int_equal(config_job(collect, "a")->schedule.kind, SCHEDULE_CRON);
	assert_string_equal(collect->file, "");
	CLEANUP(config_freep) struct config *crawl = handed_over(config, kind("crawl"));
	assert_int_equal(crawl->job_count, 1);
	assert_int_equal(crawl->provider_count, 0);
	assert_int_equal(config_diff(config, crawl, "jobs.w"), CHANGE_NONE);
}

static void what_was_handed_over_hides_its_secrets_too(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	CLEANUP(config_freep) struct config *collect = handed_over(config, kind("collect"));
	char *text = printed(collect);
	assert_null(strstr(text, "hunter"));
	free(text);
}

static void a_worker_gets_no_secret_but_its_own(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	assert_true(gets(config, kind("collect"), "hunter1"));
	assert_true(gets(config, kind("collect"), "hunter2"));
	assert_true(gets(config, kind("collect"), "hunter4"));
	assert_false(gets(config, kind("collect"), "hunter3"));
	assert_false(gets(config, kind("collect"), "hunter5"));
	assert_false(gets(config, kind("collect"), "hunter6"));
	assert_false(gets(config, kind("collect"), "hunter7"));
	assert_true(gets(config, kind("crawl"), "hunter7"));
	assert_false(gets(config, kind("crawl"), "hunter2"));
	assert_false(gets(config, kind("monitor"), "hunter"));
	assert_false(gets(config, kind("scheduler"), "hunter2"));
	assert_false(gets(config, kind("scheduler"), "hunter3"));
	assert_false(gets(config, kind("scheduler"), "hunter4"));
	assert_false(gets(config, kind("scheduler"), "hunter5"));
	assert_false(gets(config, kind("scheduler"), "hunter6"));
	assert_false(gets(config, kind("scheduler"), "X-Key"));
}

static void the_scheduler_gets_all_jobs_and_where_crawls_begin(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	CLEANUP(config_freep) struct config *all = handed_over(config, kind("scheduler"));
	assert_int_equal(all->job_count, 2);
	assert_int_equal(all->provider_count, 0);
	assert_string_equal(config_job(all, "a")->kind_name, "collect");
	assert_int_equal(config_job(all, "w")->schedule.every_ms, 6 * 3600000);
	const struct crawl_job *crawl = config_job(all, "w")->spec;
	assert_string_equal(crawl->start.items[1], "https://hunter7.example.org/");
	const struct collect_job *collect = config_job(all, "a")->spec;
	assert_string_equal(collect->request.query.items[0].value, "");
	assert_null(collect->provider);
}

static void a_job_of_a_kind_that_is_not_linked_has_a_name_and_no_more(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	CLEANUP(config_freep) struct config *all = NULL;
	const struct worker_kind *only[] = { kind("scheduler"), NULL };
	int fd = config_handover(config, only[0], NULL);
	assert_int_equal(config_from_handover(&all, fd, only, NULL), 0);
	close(fd);
	assert_string_equal(config_job(all, "a")->kind_name, "collect");
	assert_null(config_job(all, "a")->kind);
	assert_null(config_job(all, "a")->spec);
}

static void memory_that_is_not_sealed_is_refused(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	struct buf bytes = BUF_INIT;
	struct config *out = NULL;
	struct err err = { 0 };
	assert_int_equal(handover_encode(&bytes, config, kind("crawl"), &err), 0);
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
	assert_int_equal(config_from_handover(&out, fd, worker_kinds, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not sealed"));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(config_from_handover(&out, fd, worker_kinds, &err), -EINVAL);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
	assert_int_equal(config_from_handover(&out, fd, worker_kinds, &err), 0);
	config_free(out);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(config_from_handover(&out, fd, worker_kinds, &err), -EINVAL);
	close(fd);
	buf_finish(&bytes);
}

static void what_a_handover_holds_cannot_be_written(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load("");
	int fd = config_handover(config, kind("crawl"), NULL);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

/* Every cut and every changed byte is refused or read, but never past its end (the sanitizers
 * watch). */
static void a_damaged_handover_is_refused_or_read(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *config = must_load(full);
	struct buf bytes = BUF_INIT;
	assert_int_equal(handover_encode(&bytes, config, kind("collect"), NULL), 0);
	for (size_t len = 0; len < bytes.len; len++) {
		struct config *out = NULL;
		char *copy = malloc(len + 1);
		memcpy(copy, bytes.data, len);
		assert_int_equal(handover_decode(&out, copy, len, worker_kinds, NULL), -EINVAL);
		free(copy);
	}
	for (size_t at = 0; at < bytes.len; at++) {
		struct config *out = NULL;
		bytes.data[at] = (char)(bytes.data[at] ^ 0x81);
		if (handover_decode(&out, bytes.data, bytes.len, worker_kinds, NULL) == 0)
			config_free(out);
		bytes.data[at] = (char)(bytes.data[at] ^ 0x81);
	}
	buf_finish(&bytes);
}

static enum config_change changed(const char *from, const char *to, const char *path)
{
	CLEANUP(config_freep) struct config *a = must_load(from);
	CLEANUP(config_freep) struct config *b = must_load(to);
	return config_diff(a, b, path);
}

static void a_change_is_as_strong_as_its_fields(void **state)
{
	(void)state;
	static const char before[] = "services: {s: {command: [x], environment: {A: b}}}\n";
	assert_int_equal(changed(before, before, "services.s"), CHANGE_NONE);
	assert_int_equal(changed(before,
				 "services: {s: {command: [x], environment: {A: b}, probe: "
				 "{interval: 2m}}}\n",
				 "services.s"),
		CHANGE_LIVE);
	assert_int_equal(changed(before, "services: {s: {command: [x], environment: {A: c}}}\n",
				 "services.s"),
		CHANGE_RESTART);
	assert_int_equal(changed(before,
				 "services: {s: {command: [x, y], environment: {A: b}, probe: "
				 "{interval: 2m}}}\n",
				 "services.s"),
		CHANGE_RESTART);
	assert_int_equal(changed(before, "", "services.s"), CHANGE_RESTART);
	assert_int_equal(changed("", before, "services.s"), CHANGE_RESTART);
	assert_int_equal(changed("", "", "services.s"), CHANGE_NONE);
	assert_int_equal(changed("", "workers: {collect: {processes: 3}}\n", "workers.collect"),
		CHANGE_LIVE);
	assert_int_equal(
		changed("", "workers: {collect: {user: x}}\n", "workers.collect"), CHANGE_RESTART);
	assert_int_equal(
		changed("", "workers: {collect: {user: x}}\n", "workers.crawl"), CHANGE_NONE);
	assert_int_equal(
		changed("", "supervisor: {state_dir: /other}\n", "supervisor"), CHANGE_SUPERVISOR);
	assert_int_equal(
		changed("", "supervisor: {probe: {interval: 2m}}\n", "supervisor"), CHANGE_LIVE);
	assert_int_equal(
		changed("", "supervisor: {probe: {interval: 2m}}\n", "workers.crawl"), CHANGE_LIVE);
	assert_int_equal(changed("", "logs: {level: debug}\n", "logs"), CHANGE_LIVE);
	assert_int_equal(changed("", "http: {listen: \"127.0.0.1:1\"}\n", "http"), CHANGE_RESTART);
}

static void a_change_deep_in_a_job_is_seen(void **state)
{
	(void)state;
	static const char *const changes[][2] = { { "a.id", "a.ix" },
		{ "type: integer", "type: text" }, { "timezone: Asia/Seoul", "timezone: UTC" },
		{ "k: \"", "kk: \"" }, { "two\\nlines", "one" }, { "param: n", "param: m" } };
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct buf b = BUF_INIT;
		const char *at = strstr(full, changes[i][0]);
		assert_non_null(at);
		buf_add(&b, full, (size_t)(at - full));
		buf_add_str(&b, changes[i][1]);
		buf_add_str(&b, at + strlen(changes[i][0]));
		assert_int_equal(changed(full, buf_str(&b), "jobs.a"), CHANGE_LIVE);
		assert_int_equal(changed(full, buf_str(&b), "jobs.w"), CHANGE_NONE);
		buf_finish(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_printed_means_the_same_when_read_again, environment),
		cmocka_unit_test_setup(nothing_that_was_substituted_is_printed, environment),
		cmocka_unit_test_setup(a_worker_gets_its_jobs_as_they_were, environment),
		cmocka_unit_test_setup(what_was_handed_over_hides_its_secrets_too, environment),
		cmocka_unit_test_setup(a_worker_gets_no_secret_but_its_own, environment),
		cmocka_unit_test_setup(
			the_scheduler_gets_all_jobs_and_where_crawls_begin, environment),
		cmocka_unit_test_setup(
			a_job_of_a_kind_that_is_not_linked_has_a_name_and_no_more, environment),
		cmocka_unit_test_setup(memory_that_is_not_sealed_is_refused, environment),
		cmocka_unit_test_setup(what_a_handover_holds_cannot_be_written, environment),
		cmocka_unit_test_setup(a_damaged_handover_is_refused_or_read, environment),
		cmocka_unit_test_setup(a_change_is_as_strong_as_its_fields, environment),
		cmocka_unit_test_setup(a_change_deep_in_a_job_is_seen, environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
