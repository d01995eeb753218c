/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/load.h"
#include "config/source.h"
#include "crawl/kind.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROVIDER "providers: {p: {base_url: \"https://p.example.org/\"}}\n"
#define COLLECT(more)                                                                   \
	PROVIDER "jobs: {a: {kind: collect, request: {provider: p}, fields: {id: id}, " \
		 "store: {table: t, key: [id]}" more "}}\n"
#define CRAWL(more)                                                                            \
	"jobs: {w: {kind: crawl, start: [\"https://w.example.org/\"], store: {table: t, key: " \
	"[url]}" more "}}\n"

static int clear(void **state)
{
	(void)state;
	test_clearenv();
	return 0;
}

static void an_empty_file_is_a_configuration_of_defaults(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "# nothing\n", "---\n...\n", "~\n", "{}\n" };
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(config_freep) struct config *c = must_load(texts[i]);
		assert_int_equal(c->worker_count, 4);
		assert_int_equal(config_worker(c, "collect")->processes, 2);
		assert_int_equal(config_worker(c, "crawl")->parsers, 2);
		assert_int_equal(c->supervisor.supervision.probe.interval_ms, 60000);
		assert_int_equal(c->supervisor.supervision.stop.signal, SIGTERM);
		assert_string_equal(c->store.url, "sqlite:drover.db");
		assert_string_equal(c->http.listen, "127.0.0.1:8470");
		assert_int_equal(c->job_count + c->provider_count + c->service_count, 0);
	}
}

static void the_example_of_etc_loads(void **state)
{
	(void)state;
	char path[600];
	const char *source = getenv("DROVER_SOURCE");
	snprintf(path, sizeof(path), "%s/etc/drover.yaml", source ? source : ".");
	struct config_options options = test_options(path);
	struct buf report = BUF_INIT;
	CLEANUP(config_freep) struct config *c = NULL;
	if (config_load(&c, &options, &report) < 0)
		fail_msg("%s", buf_str(&report));
	assert_int_equal(c->job_count, 3);
	assert_int_equal(c->provider_count, 1);
	assert_string_equal(c->file, path);
	buf_finish(&report);
}

static void what_a_process_leaves_out_comes_from_the_supervisor_field_by_field(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load("supervisor:\n"
				     "  probe: {interval: 2m, failures: 5}\n"
				     "  restart: {min_interval: 7m}\n"
				     "  stop: {signal: INT}\n"
				     "workers: {collect: {probe: {timeout: 3s}}}\n"
				     "services:\n"
				     "  a: {command: [/bin/true], probe: {failures: 2}, stop: "
				     "{timeout: 1s}, restart: {policy: never}}\n");
	const struct config_supervision *worker = &config_worker(c, "collect")->supervision;
	const struct config_supervision *service = &config_service(c, "a")->supervision;
	assert_int_equal(worker->probe.interval_ms, 120000);
	assert_int_equal(worker->probe.timeout_ms, 3000);
	assert_int_equal(worker->probe.failures, 5);
	assert_int_equal(worker->restart.policy, RESTART_ALWAYS);
	assert_int_equal(service->probe.interval_ms, 120000);
	assert_int_equal(service->probe.timeout_ms, 10000);
	assert_int_equal(service->probe.failures, 2);
	assert_int_equal(service->restart.policy, RESTART_NEVER);
	assert_int_equal(service->restart.min_interval_ms, 420000);
	assert_int_equal(service->stop.signal, SIGINT);
	assert_int_equal(service->stop.timeout_ms, 1000);
}

static void when_held_is_resolved_by_what_the_process_is(void **state)
{
	(void)state;
	CLEANUP(config_freep) struct config *c = must_load("services: {a: {command: [x]}}\n");
	assert_int_equal(config_worker(c, "crawl")->supervision.restart.when_held, HELD_STOP);
	assert_int_equal(config_service(c, "a")->supervision.restart.when_held, HELD_KEEP);
	CLEANUP(config_freep)
	struct config *d = must_load("supervisor: {restart: {when_held: keep}}\nservices: {a: "
				     "{command: [x], restart: {when_held: stop}}}\n");
	assert_int_equal(config_worker(d, "crawl")->supervision.restart.when_held, HELD_KEEP);
	assert_int_equal(config_service(d, "a")->supervision.restart.when_held, HELD_STOP);
}

static void a_collect_job_is_read_whole(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load(
		PROVIDER "jobs:\n"
			 "  a:\n"
			 "    kind: collect\n"
			 "    timeout: 90s\n"
			 "    retry: {attempts: 2}\n"
			 "    request: {provider: p, path: /list, query: {lang: en, n: 5}}\n"
			 "    paginate: {by: page, param: page, size: 50, start: 0, max_pages: 9}\n"
			 "    records: body.items\n"
			 "    fields:\n"
			 "      id: {path: id, type: integer}\n"
			 "      title: name.official\n"
			 "    store: {table: things, key: [id], batch: 7}\n");
	const struct config_job *job = config_job(c, "a");
	const struct collect_job *spec = job->spec;
	const struct config_column *columns = spec->fields.items;
	assert_ptr_equal(job->kind, &worker_kind_collect);
	assert_int_equal(job->schedule.kind, SCHEDULE_NONE);
	assert_int_equal(job->timeout_ms, 90000);
	assert_int_equal(job->retry.attempts, 2);
	assert_ptr_equal(spec->provider, config_provider(c, "p"));
	assert_string_equal(spec->request.path, "/list");
	assert_int_equal(spec->request.query.count, 2);
	assert_string_equal(spec->request.query.items[1].value, "5");
	assert_int_equal(spec->paginate.by, PAGINATE_PAGE);
	assert_int_equal(spec->paginate.start, 0);
	assert_null(spec->paginate.size_param);
	assert_string_equal(spec->records, "body.items");
	assert_int_equal(spec->fields.count, 2);
	assert_int_equal(columns[0].type, COLUMN_INTEGER);
	assert_string_equal(columns[1].name, "title");
	assert_string_equal(columns[1].path, "name.official");
	assert_int_equal(columns[1].type, COLUMN_TEXT);
	assert_string_equal(job->store.key.items[0], "id");
	assert_int_equal(job->store.batch, 7);
}

static void a_crawl_job_is_read_whole_and_its_xpaths_have_places(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load(
		"jobs:\n"
		"  w:\n"
		"    kind: crawl\n"
		"    start: [\"https://w.example.org/\"]\n"
		"    follow: {domains: [example.org], depth: 0, private: yes}\n"
		"    robots: ignore\n"
		"    politeness: {delay: 0s, per_host: 4}\n"
		"    extract:\n"
		"      - match: \"/a/\"\n"
		"        fields: {title: {xpath: \"//h1\"}}\n"
		"      - fields: {title: {xpath: \"//h2\"}, n: {xpath: \"count(//a)\", type: "
		"integer}}\n"
		"    store: {table: pages, key: [url]}\n");
	const struct crawl_job *spec = config_job(c, "w")->spec;
	const struct crawl_extract *rules = spec->extract.items;
	assert_string_equal(spec->start.items[0], "https://w.example.org/");
	assert_int_equal(spec->follow.depth, 0);
	assert_int_equal(spec->follow.max_pages, 100000);
	assert_true(spec->follow.is_private);
	assert_int_equal(spec->robots, ROBOTS_IGNORE);
	assert_int_equal(spec->politeness.delay_ms, 0);
	assert_int_equal(spec->extract.count, 2);
	assert_string_equal(rules[1].match, ".*");
	assert_int_equal(rules[1].fields.count, 2);
	const struct config_xpath *xpath = config_xpaths(c, 2);
	assert_non_null(xpath);
	assert_null(config_xpaths(c, 3));
	assert_string_equal(xpath->text, "count(//a)");
	assert_int_equal(xpath->mark.line, 11);
	assert_int_equal(xpath->mark.column, 53);
	struct buf report = BUF_INIT;
	config_report(&report, xpath, "no", false);
	assert_non_null(strstr(
		buf_str(&report), "t.yaml:11:53: error: no\n   11 |       - fields: {title:"));
	buf_finish(&report);
}

static void the_columns_of_a_crawl_are_its_own_and_each_crawls(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load(CRAWL(", extract: [{fields: {title: {xpath: \"//h1\"}}}]"));
	struct config_column columns[8];
	const struct config_job *job = config_job(c, "w");
	assert_int_equal(job->kind->job_columns(job, columns, 8), 5);
	assert_string_equal(columns[0].name, "url");
	assert_string_equal(columns[3].name, "content_hash");
	assert_string_equal(columns[4].name, "title");
}

static void a_schedule_is_made_of_its_text(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load(
		CRAWL(", schedule: {cron: \"30 2 * * *\", timezone: Asia/Seoul}"));
	const struct schedule *s = &config_job(c, "w")->schedule;
	int64_t due;
	assert_int_equal(s->kind, SCHEDULE_CRON);
	assert_int_equal(schedule_next(s, 0, false, &due), 0);
	assert_int_equal(due, INT64_C(63000) * 1000);
	assert_true(s->dst.gap == DST_GAP_AFTER && s->dst.overlap == DST_OVERLAP_FIRST);
	assert_int_equal(s->jitter_ms, 0);
	CLEANUP(config_freep)
	struct config *d = must_load(CRAWL(", schedule: {cron: \"30 2 * * *\", jitter: 30s, "
					   "dst: {gap: skip, overlap: both}}"));
	s = &config_job(d, "w")->schedule;
	assert_true(s->dst.gap == DST_GAP_SKIP && s->dst.overlap == DST_OVERLAP_BOTH);
	assert_int_equal(s->jitter_ms, 30000);
	CLEANUP(config_freep) struct config *e = must_load(CRAWL(", schedule: {every: 6h}"));
	assert_int_equal(schedule_next(&config_job(e, "w")->schedule, 1, false, &due), 0);
	assert_int_equal(due, INT64_C(6) * 3600 * 1000);
	CLEANUP(config_freep)
	struct config *a = must_load(CRAWL(", schedule: {at: 2026-12-01T00:00:00Z}"));
	assert_int_equal(config_job(a, "w")->schedule.at_ms, INT64_C(1796083200000));
	must_fail(CRAWL(", schedule: {cron: \"0 3 * * *\", at: 2026-12-01T00:00:00Z}"),
		"only one of", NULL);
}

static void variables_and_files_are_put_into_values(void **state)
{
	(void)state;
	char path[] = "/tmp/drover-secret-XXXXXX", yaml[400];
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "s3cr3t\n\n", 8), 8);
	close(fd);
	test_setenv("NAME", "val");
	test_setenv("EMPTY", "");
	snprintf(yaml, sizeof(yaml),
		"services: {a: {command: [x], environment: {A: \"<${NAME}>\", B: "
		"\"${EMPTY:-def}\", C: \"${NO:-}\", "
		"D: \"${file:%s}\", E: \"$${NAME} $$ $NAME $\", F: '${EMPTY}', G: "
		"\"${NAME}${NAME}\"}}}\n",
		path);
	CLEANUP(config_freep) struct config *c = must_load(yaml);
	const struct config_pair *e = config_service(c, "a")->environment.items;
	assert_string_equal(e[0].value, "<val>");
	assert_string_equal(e[1].value, "def");
	assert_string_equal(e[2].value, "");
	assert_string_equal(e[3].value, "s3cr3t");
	assert_string_equal(e[4].value, "${NAME} $$ $NAME $");
	assert_string_equal(e[5].value, "");
	assert_string_equal(e[6].value, "valval");
	assert_true(config_is_secret(c, &e[0].value));
	assert_false(config_is_secret(c, &e[4].value));
	unlink(path);
}

static void a_relative_secret_is_a_credential(void **state)
{
	(void)state;
	char dir[] = "/tmp/drover-cred-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	FILE *f = fopen(path, "w");
	fputs("abc", f);
	fclose(f);
	test_setenv("CREDENTIALS_DIRECTORY", dir);
	CLEANUP(config_freep)
	struct config *c = must_load(
		"services: {a: {command: [x], environment: {A: \"${file:key}\"}}}\n");
	assert_string_equal(config_service(c, "a")->environment.items[0].value, "abc");
	must_fail("services: {a: {command: [x, \"${file:../key}\"]}}\n", "without \"/\"", NULL);
	must_fail("services: {a: {command: [x, \"${file:..}\"]}}\n", "without \"/\"", NULL);
	must_fail("services: {a: {command: [x, \"${file:/dev/zero}\"]}}\n", "not a regular file",
		NULL);
	must_fail("services: {a: {command: [x, \"${file:/tmp}\"]}}\n", "not a regular file", NULL);
	unlink(path);
	rmdir(dir);
}

static void what_is_substituted_is_not_looked_at_again_and_cannot_steer_a_terminal(void **state)
{
	(void)state;
	test_setenv("TWICE", "${OTHER}");
	CLEANUP(config_freep)
	struct config *c = must_load("services: {a: {command: [x, \"${TWICE}\"]}}\n");
	assert_string_equal(config_service(c, "a")->command.items[1], "${OTHER}");
	test_setenv("ESC", "\033[2J");
	test_setenv("BAD", "\xff");
	must_fail("services: {a: {command: [x, \"${ESC}\"]}}\n", "${ESC} holds a control character",
		NULL);
	must_fail("services: {a: {command: [x, \"${BAD}\"]}}\n", "${BAD} is not UTF-8", NULL);
	must_fail("services: {a: {command: [x, \"${A:-${B}}\"]}}\n", "cannot hold another", NULL);
}

static void keys_are_not_substituted(void **state)
{
	(void)state;
	test_setenv("K", "level");
	must_fail("logs: {\"${K}\": info}\n", "unknown key \"${K}\"", NULL);
}

static void a_secret_is_not_in_any_error(void **state)
{
	(void)state;
	test_setenv("S", "hunter2");
	static const char *const texts[] = {
		"logs: {level: \"${S}\"}\n",
		"logs: {backups: \"${S}\"}\n",
		"logs: {max_size: \"${S}\"}\n",
		"logs: {dir: \"${S}\"}\n",
		"supervisor: {stop: {timeout: \"${S}\", signal: \"${S}\"}}\n",
		"store: {url: \"${S}\"}\n",
		"http: {listen: \"${S}\"}\n",
		"services: {a: {command: [x], user: \"${S}!\"}}\n",
		"providers: {p: {base_url: \"${S}\", private: \"${S}\"}}\n",
		"providers: {p: {base_url: \"https://a.b/\", limits: {rate: \"${S}\"}, retry: "
		"{when: [\"${S}\"]}}}\n",
		CRAWL(", extract: [{match: \"(${S}\", fields: {a: {xpath: x, type: \"${S}\"}}}]"),
		CRAWL(", follow: {domains: [\"${S}://\"]}"),
		CRAWL(", schedule: {at: \"${S}\"}"),
		CRAWL(", schedule: {cron: \"${S}\"}"),
		CRAWL(", schedule: {cron: \"* * * * *\", timezone: \"${S}\"}"),
		COLLECT(", records: \"..${S}\""),
		PROVIDER
		"jobs: {a: {kind: collect, request: {provider: \"${S}\"}, fields: {id: id}, "
		"store: {table: \"${S}-\", key: [\"${S}\"]}}}\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct buf report = BUF_INIT;
		struct config *c = NULL;
		assert_int_equal(test_load(&c, texts[i], &report), -22);
		if (strstr(buf_str(&report), "hunter2"))
			fail_msg("the secret is in:\n%s", buf_str(&report));
		buf_finish(&report);
	}
}

static void anchors_and_merges_are_resolved_and_what_is_written_wins(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load("x-probe: &probe {interval: 40s, timeout: 4s}\n"
				     "x-more: &more {interval: 50s, failures: 9}\n"
				     "x-free: {whatever: [1, 2], \"${X}\": \"${X}\"}\n"
				     "services:\n"
				     "  a: {command: [x], probe: *probe}\n"
				     "  b: {command: [x], probe: {<<: *probe, timeout: 5s}}\n"
				     "  c: {command: [x], probe: {<<: [*more, *probe]}}\n");
	assert_int_equal(config_service(c, "a")->supervision.probe.interval_ms, 40000);
	assert_int_equal(config_service(c, "b")->supervision.probe.interval_ms, 40000);
	assert_int_equal(config_service(c, "b")->supervision.probe.timeout_ms, 5000);
	assert_int_equal(config_service(c, "c")->supervision.probe.interval_ms, 50000);
	assert_int_equal(config_service(c, "c")->supervision.probe.timeout_ms, 4000);
	assert_int_equal(config_service(c, "c")->supervision.probe.failures, 9);
}

static void a_mark_and_both_line_ends_are_read(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load("\xef\xbb\xbflogs:\r\n  backups: 7\r\n  level: warn\n");
	assert_int_equal(c->logs.backups, 7);
	assert_int_equal(c->logs.level, 2);
}

static void a_tab_is_fine_where_it_does_not_indent(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load(
		"# a\tcomment\nservices:\n  a:\n    command: [x,\ty]\t# z\n    environment:\n"
		"      T: |\n        all:\n        \ttouch x\n      U: \"a\\tb\"\n");
	assert_string_equal(
		config_service(c, "a")->environment.items[0].value, "all:\n\ttouch x\n");
	assert_string_equal(config_service(c, "a")->environment.items[1].value, "a\tb");
}

static void values_are_typed_by_their_field_only(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load("services: {a: {command: [no, 12:30, 0o17, 1e3, \"~\", true], "
				     "environment: {N: 0x1F, Y: yes}}}\n");
	const struct config_service *a = config_service(c, "a");
	assert_string_equal(a->command.items[0], "no");
	assert_string_equal(a->command.items[1], "12:30");
	assert_string_equal(a->command.items[4], "~");
	assert_string_equal(a->environment.items[0].value, "0x1F");
	must_fail("services: {a: {command: [x, ~]}}\n", "an item of services.a.command is empty",
		NULL);
	must_fail(
		"services: {a: {command: [x], environment: {A: }}}\n", "\"A\" has no value", NULL);
}

static int64_t cpu_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static long peak_kb(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Must be refused with `words`, soon and in little memory. Sanitizers slow and swell: there only
 * the refusal counts. */
static void bounded(const char *data, size_t len, const char *words)
{
	struct config_options options = test_options("t.yaml");
	struct buf report = BUF_INIT;
	struct config *c = NULL;
	int64_t start = cpu_ms();
	long before = peak_kb();
	assert_int_not_equal(config_load_memory(&c, &options, "t.yaml", data, len, &report), 0);
	if (!strstr(buf_str(&report), words))
		fail_msg("\"%s\" is not in:\n%.2000s", words, buf_str(&report));
	assert_true(report.len < 100000);
	buf_finish(&report);
#if !defined(DROVER_ASAN) && !defined(DROVER_TSAN)
	assert_in_range(cpu_ms() - start, 0, 1000);
	assert_in_range(peak_kb() - before, 0, 40000);
#else
	(void)start;
	(void)before;
#endif
}

/* The unit `text` again and again. */
static void repeated(const char *head, const char *text, size_t bytes, const char *words)
{
	struct buf b = BUF_INIT;
	buf_add_str(&b, head);
	while (b.len + strlen(text) <= bytes)
		buf_add_str(&b, text);
	bounded(b.data, b.len, words);
	buf_finish(&b);
}

static void huge_and_deep_files_are_refused_soon(void **state)
{
	(void)state;
	repeated("x: ", "a", SOURCE_MAX_BYTES + 1, "larger than 1 MiB");
	repeated("x-d: ", "[", 200000, "nested deeper than 32");
	repeated("x-d: ", "{a: ", 200000, "nested deeper than 32");
	repeated("", "- ", 200000, "nested deeper than 32");
	repeated("", "? ", 200000, "nested deeper than 32");
	repeated("x-d: [", "a,", SOURCE_MAX_BYTES, "more than 100000 nodes");
	repeated("", "- a\n", SOURCE_MAX_BYTES, "more than 100000 nodes");
	repeated("x-d: [", "&a b,", SOURCE_MAX_BYTES, "more than 256 anchors");
	repeated("x-a: &a [b]\nx-d: [", "*a,", SOURCE_MAX_BYTES, "more than 100000 nodes");
	repeated("", "\t\n \tx\n", SOURCE_MAX_BYTES, "more errors");
	repeated("x-d: \"", "\\", SOURCE_MAX_BYTES, "");
	repeated("x-d: ", "'", SOURCE_MAX_BYTES, "");
	repeated("jobs: {", "a: {}, ", 200000, "t.yaml:1:7: error: this bracket is not closed");
	repeated("jobs:\n", " a: {}\n", 200000, "given twice");
	repeated("", "%TAG ! tag:\n", SOURCE_MAX_BYTES, "");
}

static void a_merge_is_counted_as_if_it_were_written(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_add_str(&b, "x-a: &a {");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "k%d: v, ", i);
	buf_add_str(&b, "}\nx-l:\n");
	for (int i = 0; i < 200; i++)
		buf_addf(&b, "  m%d: {<<: *a}\n", i);
	bounded(b.data, b.len, "more than 100000 nodes");
	buf_finish(&b);
}

static void depth_counts_through_aliases(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_add_str(&b, "x-0: &a0 [z]\n");
	for (int i = 1; i < 40; i++)
		buf_addf(&b, "x-%d: &a%d [*a%d]\n", i, i, i - 1);
	bounded(b.data, b.len, "nested deeper than 32");
	buf_finish(&b);
}

static void a_thousand_jobs_fit(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_add_str(&b, PROVIDER "jobs:\n");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b,
			"  job-%d:\n    kind: collect\n    schedule: {cron: \"%d 3 * * *\", "
			"timezone: Asia/Seoul}\n"
			"    request: {provider: p, path: /list/%d, query: {a: 1, b: 2, c: 3}}\n"
			"    paginate: {by: page, param: pageNo, size_param: rows, size: 100}\n    "
			"records: a.b.c\n"
			"    fields: {id: id, t1: a, t2: b, t3: c, t4: d, lat: {path: y, type: "
			"real}, lon: {path: x, type: real}}\n"
			"    store: {table: t%d, key: [id], batch: 100}\n",
			i, i % 60, i, i);
	CLEANUP(config_freep) struct config *c = must_load(buf_str(&b));
	assert_int_equal(c->job_count, 1000);
	buf_finish(&b);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void files_of_conf_d_are_joined_in_name_order(void **state)
{
	(void)state;
	char dir[] = "/tmp/drover-conf-XXXXXX", sub[64], command[100], main_file[64];
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/conf.d", dir);
	snprintf(main_file, sizeof(main_file), "%s/drover.yaml", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	write_file(dir, "drover.yaml", "services: {m: {command: [x]}}\n");
	write_file(sub, "20.yaml", "services: {b: {command: [x]}}\n");
	write_file(sub, "10.yaml", "x-a: &a [y]\nservices: {a: {command: *a}}\n" PROVIDER);
	write_file(sub, "30.yml", "nonsense");
	write_file(sub, ".hidden.yaml", "nonsense");
	write_file(sub, "15.yaml", "");
	struct config_options options = test_options(main_file);
	struct buf report = BUF_INIT;
	CLEANUP(config_freep) struct config *c = NULL;
	assert_int_equal(config_load(&c, &options, &report), 0);
	assert_int_equal(c->service_count, 3);
	assert_string_equal(c->services[0].name, "m");
	assert_string_equal(c->services[1].name, "a");
	assert_string_equal(c->services[2].name, "b");
	assert_int_equal(c->provider_count, 1);
	buf_finish(&report);
	snprintf(command, sizeof(command), "%s/00.yaml", sub);
	assert_int_equal(mkfifo(command, 0600), 0);
	struct config *d = NULL;
	assert_int_equal(config_load(&d, &options, &report), -22);
	assert_non_null(strstr(buf_str(&report), "00.yaml: error: is not a regular file"));
	buf_finish(&report);
	unlink(command);
	static const char *const names[] = { "20.yaml", "10.yaml", "30.yml", ".hidden.yaml",
		"15.yaml" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(command, sizeof(command), "%s/%s", sub, names[i]);
		unlink(command);
	}
	unlink(main_file);
	rmdir(sub);
	rmdir(dir);
}

static void a_file_that_is_not_there_is_named(void **state)
{
	(void)state;
	struct config_options options = test_options("/nonexistent/drover.yaml");
	struct buf report = BUF_INIT;
	struct config *c = NULL;
	assert_int_equal(config_load(&c, &options, &report), -22);
	assert_string_equal(buf_str(&report),
		"/nonexistent/drover.yaml: error: cannot be read: No such file or directory\n");
	buf_finish(&report);
}

static void folders_come_from_options_then_the_file_then_systemd(void **state)
{
	(void)state;
	test_setenv("STATE_DIRECTORY", "/s/unit:/s/other");
	test_setenv("RUNTIME_DIRECTORY", "/r/unit");
	test_setenv("LOGS_DIRECTORY", "/l/unit");
	CLEANUP(config_freep) struct config *c = must_load("supervisor: {runtime_dir: /r/file}\n");
	assert_string_equal(c->supervisor.state_dir, "/s/unit");
	assert_string_equal(c->supervisor.runtime_dir, "/r/file");
	assert_string_equal(c->logs.dir, "/l/unit");
	struct config_options options = test_options("t.yaml");
	options.state_dir = "/s/option";
	options.runtime_dir = "/r/option";
	options.log_dir = "/l/option";
	struct buf report = BUF_INIT;
	CLEANUP(config_freep) struct config *d = NULL;
	static const char yaml[] = "supervisor: {runtime_dir: /r/file}\n";
	assert_int_equal(
		config_load_memory(&d, &options, "t.yaml", yaml, strlen(yaml), &report), 0);
	assert_string_equal(d->supervisor.state_dir, "/s/option");
	assert_string_equal(d->supervisor.runtime_dir, "/r/option");
	assert_string_equal(d->logs.dir, "/l/option");
}

static void a_report_shows_the_line_the_caret_and_the_suggestion(void **state)
{
	(void)state;
	struct buf report = BUF_INIT;
	struct config *c = NULL;
	assert_int_equal(test_load(&c, "logs:\n  levle: info\n", &report), -22);
	assert_string_equal(buf_str(&report),
		"t.yaml:2:3: error: unknown key \"levle\" in logs; did you mean \"level\"?\n"
		"    2 |   levle: info\n"
		"      |   ^~~~~\n");
	buf_finish(&report);
	assert_int_equal(
		test_load(&c, "x-\xea\xb0\x80: {\xea\xb0\x80: b}\nlogs: {\"\xea\xb0\x80\": x}\n",
			&report),
		-22);
	assert_non_null(strstr(buf_str(&report), "t.yaml:2:8: error"));
	assert_non_null(strstr(buf_str(&report), "      |        ^~~~\n"));
	buf_finish(&report);
}

static void more_errors_than_a_report_holds_are_counted(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	for (int i = 0; i < 150; i++)
		buf_addf(&b, "k%d: 1\n", i);
	must_fail(buf_str(&b), "t.yaml:100:1: error", "and 50 more errors", NULL);
	buf_finish(&b);
}

static void what_pagination_needs_is_asked_for(void **state)
{
	(void)state;
	must_fail(COLLECT(", paginate: {by: page}"), "needs a param", NULL);
	must_fail(COLLECT(", paginate: {param: page}"), "paginate.param is for by: page", NULL);
	must_fail(COLLECT(", paginate: {by: offset}"), "needs a param", NULL);
	must_fail(COLLECT(", paginate: {by: cursor, param: c}"), "where the answer has it", NULL);
	must_fail(COLLECT(", paginate: {by: cursor, param: c, cursor: c, header: C}"),
		"not in the body", NULL);
	must_fail(COLLECT(", paginate: {by: next}"), "where the answer has the URL", NULL);
	must_fail(COLLECT(", paginate: {by: link, total: n}"), "for by: page or offset", NULL);
	must_fail(PROVIDER "jobs: {a: {kind: collect, request: {provider: p}, fields: {}, store: "
			   "{table: t, key: [x]}}}\n",
		"fields cannot be empty", NULL);
	must_fail("jobs: {w: {kind: crawl, start: [], store: {table: t, key: [url]}}}\n",
		"start cannot be empty", NULL);
	must_fail(
		"jobs: {w: {kind: crawl, start: [\"https://a.b/\"], store: {table: t, key: []}}}\n",
		"key of a table cannot be empty", NULL);
	must_fail("jobs: {w: {kind: crawl, start: [\"https://a.b/\"], store: {table: t, key: [url, "
		  "url]}}}\n",
		"stands twice", NULL);
}

static void private_addresses_are_seen_in_every_spelling(void **state)
{
	(void)state;
	static const char *const hosts[] = { "127.0.0.1", "localhost", "0x7f.1", "2130706433",
		"10.1.2.3", "169.254.1.1", "[::1]", "[fe80::1]", "[::ffff:127.0.0.1]",
		"a.localhost", "LOCALHOST.", "192.168.0.1", "0.0.0.0", "100.64.0.1" };
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		char yaml[200];
		snprintf(yaml, sizeof(yaml), "providers: {p: {base_url: \"http://%s:80/\"}}\n",
			hosts[i]);
		must_fail(yaml, "private: true", NULL);
		snprintf(yaml, sizeof(yaml),
			"providers: {p: {base_url: \"http://%s:80/\", private: true}}\n", hosts[i]);
		config_free(must_load(yaml));
	}
}

static void loopback_addresses_may_be_listened_on(void **state)
{
	(void)state;
	config_free(must_load("http: {listen: \"127.0.0.1:0\"}\n"));
	config_free(must_load("http: {listen: \"127.8.9.1:65535\"}\n"));
	config_free(must_load("http: {listen: \"[::1]:80\"}\n"));
	must_fail("http: {listen: \"[::]:80\"}\n", "loopback", NULL);
	must_fail("http: {listen: \"localhost:80\"}\n", "loopback", NULL);
	must_fail("http: {listen: \"::1:80\"}\n", "loopback", NULL);
	must_fail("http: {listen: \":80\"}\n", "loopback", NULL);
}

static void tables_that_agree_may_be_shared(void **state)
{
	(void)state;
	config_free(must_load(
		"jobs:\n"
		"  a: {kind: crawl, start: [\"https://a.b/\"], store: {table: t, key: [url]}}\n"
		"  b: {kind: crawl, start: [\"https://c.d/\"], store: {table: T, key: [url]}}\n"));
	must_fail("jobs:\n"
		  "  a: {kind: crawl, start: [\"https://a.b/\"], store: {table: t, key: [url]}}\n"
		  "  b: {kind: crawl, start: [\"https://c.d/\"], store: {table: t, key: [url, "
		  "status]}}\n",
		"t.yaml:3:60: error: table t is also written by jobs.a, with another key", NULL);
	must_fail("jobs:\n"
		  "  a: {kind: crawl, start: [\"https://a.b/\"], store: {table: t, key: [url]}}\n"
		  "  b: {kind: crawl, start: [\"https://c.d/\"], extract: [{fields: {x: {xpath: "
		  "x}}}], "
		  "store: {table: t, key: [url]}}\n",
		"no column \"x\"", NULL);
}

static void a_column_of_two_rules_has_one_type(void **state)
{
	(void)state;
	must_fail(CRAWL(", extract: [{match: a, fields: {n: {xpath: x}}}, {fields: {n: {xpath: x, "
			"type: integer}}}]"),
		"\"n\" is text in another rule", NULL);
	must_fail(CRAWL(", extract: [{match: a, fields: {n: {xpath: x}}}, {fields: {N: {xpath: "
			"x}}}]"),
		"already there as \"n\"", NULL);
}

static void bad_statuses_times_and_domains_are_refused(void **state)
{
	(void)state;
	must_fail(CRAWL(", follow: {domains: [\"https://a.b\"]}"), "no domain", NULL);
	must_fail("providers: {p: {base_url: \"https://a.b/\", retry: {when: [600]}}}\n", "\"600\"",
		NULL);
	must_fail("providers: {p: {base_url: \"https://a.b/\", retry: {backoff: {initial: 5m}}}}\n",
		"t.yaml:1:70: error: retry.backoff.initial is longer", NULL);
	must_fail("providers: {p: {base_url: \"https://a.b/\", limits: {rate: [1/1s, 2/2s, 3/3s, "
		  "4/4s, 5/5s, 6/6s, 7/7s, 8/8s]}}}\n",
		"at most 7 rates", NULL);
	must_fail("providers: {p: {base_url: \"https://a.b/#x\"}}\n", "fragment", NULL);
	must_fail("providers: {p: {base_url: \"https://a.b/\", headers: {host: x}}}\n",
		"set by drover", NULL);
}

static void retries_are_set_by_status_class_and_word(void **state)
{
	(void)state;
	CLEANUP(config_freep)
	struct config *c = must_load("providers: {p: {base_url: \"https://a.b/\", retry: {when: "
				     "[418, 5xx, connect]}}}\n");
	const struct config_retry_when *when = &config_provider(c, "p")->retry.when;
	for (int status = 100; status < 600; status++)
		assert_int_equal(when->status[(status - 100) / 8] >> ((status - 100) % 8) & 1,
			status == 418 || status >= 500);
	assert_true(when->connect);
	assert_false(when->timeout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_file_is_a_configuration_of_defaults, clear),
		cmocka_unit_test_setup(the_example_of_etc_loads, clear),
		cmocka_unit_test_setup(
			what_a_process_leaves_out_comes_from_the_supervisor_field_by_field, clear),
		cmocka_unit_test_setup(when_held_is_resolved_by_what_the_process_is, clear),
		cmocka_unit_test_setup(a_collect_job_is_read_whole, clear),
		cmocka_unit_test_setup(a_crawl_job_is_read_whole_and_its_xpaths_have_places, clear),
		cmocka_unit_test_setup(the_columns_of_a_crawl_are_its_own_and_each_crawls, clear),
		cmocka_unit_test_setup(a_schedule_is_made_of_its_text, clear),
		cmocka_unit_test_setup(variables_and_files_are_put_into_values, clear),
		cmocka_unit_test_setup(a_relative_secret_is_a_credential, clear),
		cmocka_unit_test_setup(
			what_is_substituted_is_not_looked_at_again_and_cannot_steer_a_terminal,
			clear),
		cmocka_unit_test_setup(keys_are_not_substituted, clear),
		cmocka_unit_test_setup(a_secret_is_not_in_any_error, clear),
		cmocka_unit_test_setup(
			anchors_and_merges_are_resolved_and_what_is_written_wins, clear),
		cmocka_unit_test_setup(a_mark_and_both_line_ends_are_read, clear),
		cmocka_unit_test_setup(a_tab_is_fine_where_it_does_not_indent, clear),
		cmocka_unit_test_setup(values_are_typed_by_their_field_only, clear),
		cmocka_unit_test_setup(huge_and_deep_files_are_refused_soon, clear),
		cmocka_unit_test_setup(a_merge_is_counted_as_if_it_were_written, clear),
		cmocka_unit_test_setup(depth_counts_through_aliases, clear),
		cmocka_unit_test_setup(a_thousand_jobs_fit, clear),
		cmocka_unit_test_setup(files_of_conf_d_are_joined_in_name_order, clear),
		cmocka_unit_test_setup(a_file_that_is_not_there_is_named, clear),
		cmocka_unit_test_setup(folders_come_from_options_then_the_file_then_systemd, clear),
		cmocka_unit_test_setup(a_report_shows_the_line_the_caret_and_the_suggestion, clear),
		cmocka_unit_test_setup(more_errors_than_a_report_holds_are_counted, clear),
		cmocka_unit_test_setup(what_pagination_needs_is_asked_for, clear),
		cmocka_unit_test_setup(private_addresses_are_seen_in_every_spelling, clear),
		cmocka_unit_test_setup(loopback_addresses_may_be_listened_on, clear),
		cmocka_unit_test_setup(tables_that_agree_may_be_shared, clear),
		cmocka_unit_test_setup(a_column_of_two_rules_has_one_type, clear),
		cmocka_unit_test_setup(bad_statuses_times_and_domains_are_refused, clear),
		cmocka_unit_test_setup(retries_are_set_by_status_class_and_word, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
