/* SPDX-License-Identifier: MIT */
/*
 * Walks the rows of all field tables: what each row says about its field must hold. A new row is
 * tested by being there; only fields that a cross-check ties to another need a companion below.
 */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/check.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/load.h"
#include "config/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "jobs.c.request.path" = a flow value. */
struct assignment {
	char path[160];
	char value[160];
};
struct document {
	struct assignment items[32];
	size_t count;
};

/* What the struct of a root must hold to load at all. */
struct root {
	const char *path; /* "jobs.c" */
	const char *base[8][2];
	const void *(*object)(const struct config *config, const char *path);
};

/* To set `path` (to `when`, if that is there), `other` must be `value`. */
static const struct companion {
	const char *path, *other, *value, *when;
} companions[] = {
	{ "pool.min", "pool.max", "64", NULL },
	{ "probe.timeout", "probe.interval", "1d", NULL },
	{ "probe.interval", "probe.timeout", "50ms", NULL },
	{ "retry.backoff.initial", "retry.backoff.max", "1d", NULL },
	{ "retry.backoff.max", "retry.backoff.initial", "50ms", NULL },
	{ "paginate.by", "paginate.param", "page", "page" },
	{ "paginate.by", "paginate.param", "page", "offset" },
	{ "paginate.by", "paginate.param", "page", "cursor" },
	{ "paginate.by", "paginate.cursor", "after", "cursor" },
	{ "paginate.by", "paginate.next", "links.next", "next" },
	{ "incremental.cursor", "incremental.param", "since", NULL },
	{ "incremental.cursor", "incremental.start", "2026-01-01", NULL },
	{ "incremental.param", "incremental.cursor", "at", NULL },
	{ "incremental.param", "incremental.start", "2026-01-01", NULL },
	{ "incremental.start", "incremental.cursor", "at", NULL },
	{ "incremental.start", "incremental.param", "since", NULL },
	{ "incremental.until", "incremental.cursor", "at", NULL },
	{ "incremental.until", "incremental.param", "since", NULL },
	{ "incremental.until", "incremental.start", "2026-01-01", NULL },
	{ "incremental.step", "incremental.cursor", "at", NULL },
	{ "incremental.step", "incremental.param", "since", NULL },
	{ "incremental.step", "incremental.start", "2026-01-01", NULL },
	{ "incremental.step", "incremental.until", "to", NULL },
	{ "incremental.lookback", "incremental.cursor", "at", NULL },
	{ "incremental.lookback", "incremental.param", "since", NULL },
	{ "incremental.lookback", "incremental.start", "2026-01-01", NULL },
	{ "incremental.format", "incremental.cursor", "at", NULL },
	{ "incremental.format", "incremental.param", "since", NULL },
	{ "incremental.format", "incremental.start", "2026-01-01", NULL },
	{ "incremental.type", "incremental.cursor", "at", NULL },
	{ "incremental.type", "incremental.param", "since", NULL },
	{ "incremental.type", "incremental.start", "7", "integer" },
	{ "incremental.type", "incremental.start", "2026-01-01", "time" },
	{ "paginate.cursor", "paginate.by", "cursor", NULL },
	{ "paginate.cursor", "paginate.param", "after", NULL },
	{ "paginate.header", "paginate.by", "cursor", NULL },
	{ "paginate.header", "paginate.param", "after", NULL },
	{ "paginate.next", "paginate.by", "next", NULL },
	{ "paginate.total", "paginate.by", "page", NULL },
	{ "paginate.total", "paginate.param", "page", NULL },
	{ "paginate.more", "paginate.by", "link", NULL },
	{ "schedule.timezone", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.overlap", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.catch_up", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.catch_up_window", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.on", "schedule.after", "[first]", NULL },
	{ "schedule.jitter", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.dst.gap", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "schedule.dst.overlap", "schedule.cron", "\"0 3 * * *\"", NULL },
	{ "paginate.param", "paginate.by", "page", NULL },
	{ "paginate.size_param", "paginate.by", "page", NULL },
	{ "paginate.size_param", "paginate.param", "page", NULL },
	{ "paginate.in", "paginate.by", "page", NULL },
	{ "paginate.in", "paginate.param", "page", NULL },
	{ "paginate.in", "request.method", "POST", NULL },
	{ "paginate.in", "request.body.form", "{a: b}", NULL },
	{ "tls.certificate_key", "tls.certificate", "/a/b", NULL },
	{ "auth.basic.user", "auth.basic.password", "text", NULL },
	{ "auth.oauth2.grant", "auth.oauth2.token_url", "\"https://t.example.org/\"", NULL },
	{ "auth.oauth2.grant", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.grant", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.token_url", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.token_url", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.client_id", "auth.oauth2.token_url", "\"https://t.example.org/\"", NULL },
	{ "auth.oauth2.client_id", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.client_secret", "auth.oauth2.token_url", "\"https://t.example.org/\"",
		NULL },
	{ "auth.oauth2.client_secret", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.scope", "auth.oauth2.token_url", "\"https://t.example.org/\"", NULL },
	{ "auth.oauth2.scope", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.scope", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.refresh_token", "auth.oauth2.token_url", "\"https://t.example.org/\"",
		NULL },
	{ "auth.oauth2.refresh_token", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.refresh_token", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.client_auth", "auth.oauth2.token_url", "\"https://t.example.org/\"", NULL },
	{ "auth.oauth2.client_auth", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.client_auth", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.params", "auth.oauth2.token_url", "\"https://t.example.org/\"", NULL },
	{ "auth.oauth2.params", "auth.oauth2.client_id", "text", NULL },
	{ "auth.oauth2.params", "auth.oauth2.client_secret", "text", NULL },
	{ "auth.oauth2.refresh_token", "auth.oauth2.grant", "refresh_token", NULL },
	{ "auth.oauth2.grant", "auth.oauth2.refresh_token", "text", "refresh_token" },
	{ "auth.basic.password", "auth.basic.user", "text", NULL },
	{ "proxy.user", "proxy.url", "\"http://proxy:3128\"", NULL },
	{ "proxy.password", "proxy.url", "\"http://proxy:3128\"", NULL },
	{ "proxy.ca", "proxy.url", "\"https://proxy:443\"", NULL },
	{ "proxy.no_proxy", "proxy.url", "\"http://proxy:3128\"", NULL },
	{ "proxy.user", "proxy.password", "text", NULL },
	{ "proxy.password", "proxy.user", "me", NULL },
	{ "request.body.json", "request.method", "POST", NULL },
	{ "request.body.form", "request.method", "PUT", NULL },
	{ "for_each.values", "for_each.as", "v", NULL },
	{ "for_each.values", "request.path", "\"/{{v}}\"", NULL },
	{ "for_each.as", "for_each.values", "[a]", NULL },
	{ "for_each.csv", "for_each.as", "v", NULL },
	{ "for_each.csv", "request.path", "\"/{{v}}\"", NULL },
	{ "for_each.ndjson", "for_each.as", "v", NULL },
	{ "for_each.ndjson", "request.path", "\"/{{v}}\"", NULL },
	{ "for_each.sql", "for_each.as", "v", NULL },
	{ "for_each.sql", "request.path", "\"/{{v}}\"", NULL },
	{ "for_each.job", "for_each.as", "id", NULL },
	{ "for_each.job", "request.path", "\"/{{id}}\"", NULL },
	{ "for_each.field", "for_each.csv", "/a.csv", NULL },
	{ "for_each.field", "for_each.as", "v", NULL },
	{ "for_each.field", "request.path", "\"/{{v}}\"", NULL },
	{ "for_each.as", "request.path", "\"/{{text}}\"", NULL },
	{ "probe.http.status", "probe.http.url", "\"http://127.0.0.1:1/\"", NULL },
	{ "probe.http.body", "probe.http.url", "\"http://127.0.0.1:1/\"", NULL },
};

/* A text that a field with a check of its own accepts, by name or path; others take "text". */
static const struct example {
	const char *name, *good, *bad;
} examples[] = {
	{ "state_dir", "/a/b", "a/b" },
	{ "runtime_dir", "/a/b", "a/b" },
	{ "dir", "/a/b", "a/b" },
	{ "directory", "/a/b", "a/b" },
	{ "url", "\"sqlite:other.db\"", "\"sqlite:\"" },
	{ "listen", "\"127.0.0.1:1\"", "\"1.2.3.4:1\"" },
	{ "user", "nobody", "\"no body\"" },
	{ "group", "nogroup", "\"no:group\"" },
	{ "log_group", "adm", "\"no:group\"" },
	{ "umask", "\"0077\"", "\"0999\"" },
	{ "warning", "\"7%\"", "\"101%\"" },
	{ "critical", "2GB", "\"0%\"" },
	{ "base_url", "\"http://x.example.org/\"", "\"mailto:x\"" },
	{ "probe.http.url", "\"http://127.0.0.1:1/\"", "\"/health\"" },
	{ "body", "\"I am well\"", "\"\"" },
	{ "tcp", "\"[::1]:5432\"", "\"127.0.0.1\"" },
	{ "path", "/x", "..x" },
	{ "match", "\"^a.*b$\"", "\"a[\"" },
	{ "table", "other", "\"a b\"" },
	{ "provider", "p", "q" },
	{ "kind", NULL, "monitor" },
	{ "cron", "\"0 3 * * *\"", "\"0 3 * *\"" },
	{ "timezone", "Asia/Seoul", "Asia/Nowhere" },
	{ "at", "2026-12-01T00:00:00Z", "tomorrow" },
	{ "records", "a.b", "a..b" },
	{ "as", "text", "\"7\"" },
	{ "ca", "/a/b", "a/b" },
	{ "certificate", "/a/b", "a/b" },
	{ "certificate_key", "/a/b", "a/b" },
	{ "bearer", "token", "\"\"" },
	{ "token_url", "\"https://x.example.org/\"", "\"mailto:x\"" },
	{ "client_id", "me", "\"\"" },
	{ "client_secret", "it", "\"\"" },
	{ "refresh_token", "it", "\"\"" },
	{ "auth.basic.user", "text", "\"a:b\"" },
	{ "json", "\"[1]\"", "\"[1\"" },
	{ "for_each.csv", "/a/b.csv", "b.csv" },
	{ "for_each.ndjson", "/a/b.ndjson", "b.ndjson" },
	{ "for_each.sql", "\"SELECT a FROM b\"", "\"DELETE FROM b\"" },
	{ "for_each.job", "parent", "first" },
	{ "incremental.cursor", "a.b", "a..b" },
	{ "incremental.start", "2026-01-01T00:00:00Z", "yesterday" },
	{ "incremental.format", "\"%Y%m%d\"", "\"%y\"" },
	{ "paginate.cursor", "\"data[-1].id\"", "\"data[-2].id\"" },
	{ "paginate.header", "X-Next", "\"X Next\"" },
	{ "paginate.next", "links.next", "links..next" },
	{ "paginate.rel", "last", "\"next last\"" },
	{ "paginate.total", "meta.total", "meta..total" },
	{ "paginate.more", "meta.more", "meta..more" },
	{ "regex", "\"^a.*b$\"", "\"a[\"" },
	{ "matches", "\"^a.*b$\"", "\"a[\"" },
	{ "delimiter", "\";\"", "\"ab\"" },
	{ "charset", "EUC-KR", "\"klingon\"" },
	{ "quote", "\"'\"", "q" },
	{ "proxy.url", "\"http://proxy:3128\"", "\"http://proxy\"" },
	{ "proxy.user", "me", "\"a:b\"" },
	{ "proxy.password", "text", "\"\"" },
	{ "proxy.ca", "/a/b", "a/b" },
};

static size_t tested;
static char last_changed[320]; /* the field whose change was seen by a comparison */

/* What is set whole has no members from before. */
static void set(struct document *doc, const char *path, const char *value)
{
	size_t kept = 0;
	for (size_t i = 0; i < doc->count; i++)
		if (!str_starts(doc->items[i].path, path) ||
			doc->items[i].path[strlen(path)] != '.')
			doc->items[kept++] = doc->items[i];
	doc->count = kept;
	for (size_t i = 0; i < doc->count; i++) {
		if (str_eq(doc->items[i].path, path)) {
			str_copy(doc->items[i].value, sizeof(doc->items[i].value), value);
			return;
		}
	}
	assert_true(doc->count < ARRAY_SIZE(doc->items));
	str_copy(doc->items[doc->count].path, sizeof(doc->items[0].path), path);
	str_copy(doc->items[doc->count].value, sizeof(doc->items[0].value), value);
	doc->count++;
}

static void emit(struct buf *out, const struct document *doc, const char *prefix)
{
	size_t len = strlen(prefix);
	char done[32][64];
	size_t n = 0;
	buf_add_char(out, '{');
	for (size_t i = 0; i < doc->count; i++) {
		const char *path = doc->items[i].path, *rest = path + len;
		char name[64], deeper[160];
		bool seen = false;
		if (strncmp(path, prefix, len) != 0)
			continue;
		size_t part = strcspn(rest, ".");
		str_copy(name, part + 1, rest);
		for (size_t k = 0; k < n; k++)
			seen = seen || str_eq(done[k], name);
		if (seen)
			continue;
		str_copy(done[n++], 64, name);
		buf_addf(out, "%s%s: ", n > 1 ? ", " : "", name);
		snprintf(deeper, sizeof(deeper), "%s%s.", prefix, name);
		if (rest[part])
			emit(out, doc, deeper);
		else
			buf_add_str(out, doc->items[i].value);
	}
	buf_add_char(out, '}');
}

static const void *find_supervisor(const struct config *c, const char *path)
{
	(void)path;
	return &c->supervisor;
}
static const void *find_logs(const struct config *c, const char *path)
{
	(void)path;
	return &c->logs;
}
static const void *find_store(const struct config *c, const char *path)
{
	(void)path;
	return &c->store;
}
static const void *find_http(const struct config *c, const char *path)
{
	(void)path;
	return &c->http;
}
static const void *find_worker(const struct config *c, const char *path)
{
	return config_worker(c, path + strlen("workers."));
}
static const void *find_provider(const struct config *c, const char *path)
{
	return config_provider(c, path + strlen("providers."));
}
static const void *find_service(const struct config *c, const char *path)
{
	return config_service(c, path + strlen("services."));
}
static const void *find_job(const struct config *c, const char *path)
{
	return config_job(c, path + strlen("jobs."));
}
static const void *find_spec(const struct config *c, const char *path)
{
	return config_job(c, path + strlen("jobs."))->spec;
}

static void start(struct document *doc, const struct root *root)
{
	doc->count = 0;
	set(doc, "providers.p.base_url", "\"https://p.example.org/\"");
	for (size_t i = 0; i < ARRAY_SIZE(root->base) && root->base[i][0]; i++) {
		char path[160];
		snprintf(path, sizeof(path), "%s.%s", root->path, root->base[i][0]);
		set(doc, path, root->base[i][1]);
	}
	/* One that may be followed. */
	if (str_starts(root->path, "jobs.")) {
		set(doc, "jobs.first.kind", "crawl");
		set(doc, "jobs.first.start", "[\"https://first.example.org/\"]");
		set(doc, "jobs.first.store", "{table: first, key: [url]}");
		set(doc, "jobs.parent.kind", "collect");
		set(doc, "jobs.parent.request", "{provider: p}");
		set(doc, "jobs.parent.fields", "{id: id}");
		set(doc, "jobs.parent.store", "{table: parent, key: [id]}");
	}
}

/* The configuration in which the field at `path` of the root is `value` (NULL: as it is); NULL when
 * refused. */
static struct config *load_with(
	const struct root *root, const char *path, const char *value, struct buf *report)
{
	struct document doc;
	struct buf yaml = BUF_INIT;
	struct config *config = NULL;
	char full[160];
	start(&doc, root);
	for (size_t i = 0; value && i < ARRAY_SIZE(companions); i++) {
		const char *when = companions[i].when;
		if (!str_eq(companions[i].path, path) || (when && !str_eq(when, value)))
			continue;
		snprintf(full, sizeof(full), "%s.%s", root->path, companions[i].other);
		set(&doc, full, companions[i].value);
	}
	snprintf(full, sizeof(full), "%s.%s", root->path, path);
	if (value)
		set(&doc, full, str_eq(value, "\"") ? "'\"'" : value);
	emit(&yaml, &doc, "");
	buf_reset(report);
	if (test_load(&config, buf_str(&yaml), report) < 0)
		config = NULL;
	buf_add_str(report, buf_str(&yaml));
	buf_finish(&yaml);
	return config;
}

static bool has_companion(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++)
		if (str_eq(companions[i].path, path))
			return true;
	return false;
}

/* A reload that changes this field alone does what its row says. */
static void differs_as_its_row_says(const struct root *root, const struct config_field *f,
	const char *path, const struct config *changed)
{
	static const enum config_change expected[] = { [APPLY_LIVE] = CHANGE_LIVE,
		[APPLY_RESTART] = CHANGE_RESTART,
		[APPLY_SUPERVISOR] = CHANGE_SUPERVISOR };
	struct buf report = BUF_INIT;
	CLEANUP(config_freep) struct config *plain = load_with(root, path, NULL, &report);
	buf_finish(&report);
	assert_non_null(plain);
	enum config_change change = config_diff(plain, changed, root->path);
	assert_int_equal(change, config_diff(changed, plain, root->path));
	if (change == CHANGE_NONE)
		return; /* the default, written out */
	if (change < expected[f->apply] || (change > expected[f->apply] && !has_companion(path)))
		fail_msg("%s.%s: a reload would do %d, its row says %d", root->path, path, change,
			expected[f->apply]);
	snprintf(last_changed, sizeof(last_changed), "%s.%s", root->path, path);
}

/* Accepted, and the member then holds `want` (numbers only). */
static void accepts(const struct root *root, const struct config_field *f, size_t offset,
	const char *path, const char *value, const int64_t *want)
{
	struct buf report = BUF_INIT;
	CLEANUP(config_freep) struct config *config = load_with(root, path, value, &report);
	if (!config)
		fail_msg("%s.%s: %s is refused: %s", root->path, path, value, buf_str(&report));
	const char *member = (const char *)root->object(config, root->path) + offset;
	if (want && f->type == CONFIG_BOOL)
		assert_int_equal(*(const bool *)member, *want);
	else if (want && (f->type == CONFIG_ENUM || f->type == CONFIG_SIGNAL))
		assert_int_equal(*(const int *)member, *want);
	else if (want && *(const int64_t *)member != *want)
		fail_msg("%s.%s: %s gives %" PRId64 ", not %" PRId64, root->path, path, value,
			*(const int64_t *)member, *want);
	differs_as_its_row_says(root, f, path, config);
	buf_finish(&report);
}

/* Refused, with an error whose place is the value's. */
static void refuses(const struct root *root, const char *path, const char *value, const char *words)
{
	struct buf report = BUF_INIT;
	struct config *config = load_with(root, path, value, &report);
	char needle[200], place[40];
	if (config)
		fail_msg("%s.%s: %s is accepted", root->path, path, value);
	if (!strstr(buf_str(&report), words))
		fail_msg("%s.%s: %s: \"%s\" is not in %s", root->path, path, value, words,
			buf_str(&report));
	const char *dot = strrchr(path, '.'), *yaml = strrchr(buf_str(&report), '\n') + 1;
	snprintf(needle, sizeof(needle), "%s: %s", dot ? dot + 1 : path, value);
	const char *at = strstr(yaml, needle);
	assert_non_null(at);
	snprintf(place, sizeof(place), "t.yaml:1:%zu: error",
		(size_t)(at - yaml) + strlen(needle) - strlen(value) + 1);
	if (!strstr(buf_str(&report), place) && *words)
		fail_msg("%s.%s: %s: the error is not at %s: %s", root->path, path, value, place,
			buf_str(&report));
	buf_finish(&report);
}

static void number(char *dst, enum config_type type, int64_t n)
{
	if (type == CONFIG_DURATION_MS)
		snprintf(dst, 32, "%" PRId64 "ms", n);
	else if (type == CONFIG_SIZE)
		snprintf(dst, 32, "%" PRId64 "B", n);
	else
		snprintf(dst, 32, "%" PRId64, n);
}

static void check_number(
	const struct root *root, const struct config_field *f, size_t offset, const char *path)
{
	char text[32];
	number(text, f->type, f->min);
	accepts(root, f, offset, path, text, &f->min);
	number(text, f->type, f->max);
	accepts(root, f, offset, path, text, &f->max);
	number(text, f->type, f->max + 1);
	refuses(root, path, text, "at most");
	if (f->min > 0 || f->type == CONFIG_INT) {
		number(text, f->type, f->min - 1);
		refuses(root, path, text, "at least");
	}
	refuses(root, path, "many", f->type == CONFIG_INT ? "whole number" : "is not a");
	refuses(root, path, "1.5", f->type == CONFIG_INT ? "whole number" : "is not a");
	if (f->type != CONFIG_INT)
		refuses(root, path, "77", "needs a unit: write 77");
	assert_true(f->min < f->max);
}

static void check_names(
	const struct root *root, const struct config_field *f, size_t offset, const char *path)
{
	for (int64_t i = 0; f->names[i]; i++)
		if (!str_eq(f->names[i], "~"))
			accepts(root, f, offset, path, f->names[i], &i);
	refuses(root, path, "nonesuch", "is none of");
	refuses(root, path, "\"\"", "is none of");
}

static void check_default(
	const struct root *root, const struct config_field *f, size_t offset, const char *path)
{
	struct buf report = BUF_INIT;
	int64_t value = -1;
	CLEANUP(config_freep) struct config *config = load_with(root, path, NULL, &report);
	if (!config)
		fail_msg("%s", buf_str(&report));
	buf_finish(&report);
	const char *member = (const char *)root->object(config, root->path) + offset;
	if (f->type == CONFIG_BOOL)
		value = *(const bool *)member;
	else if (f->type == CONFIG_ENUM || f->type == CONFIG_SIGNAL)
		value = *(const int *)member;
	else if (f->type == CONFIG_STRING)
		assert_string_equal(*(const char *const *)member, f->def);
	else if (f->type == CONFIG_INT || f->type == CONFIG_DURATION_MS || f->type == CONFIG_SIZE)
		value = *(const int64_t *)member;
	if (*f->def)
		accepts(root, f, offset, path, f->def, value == -1 ? NULL : &value);
}

static void check_text(
	const struct root *root, const struct config_field *f, size_t offset, const char *path)
{
	const char *good = "text", *bad = NULL;
	bool column_path = f->type == CONFIG_STRING && strstr(path, "fields.");
	for (size_t i = 0; i < ARRAY_SIZE(examples) && !column_path; i++) {
		if (str_eq(examples[i].name, f->name) || str_eq(examples[i].name, path)) {
			good = examples[i].good;
			bad = examples[i].bad;
		}
	}
	if (good)
		accepts(root, f, offset, path, good, NULL);
	if (bad)
		refuses(root, path, bad, "");
	assert_true(!f->check || bad); /* a check without a test */
}

static void check_field(
	const struct root *root, const struct config_field *f, size_t offset, const char *path);

static void check_table(const struct root *root, const struct config_field *fields, size_t offset,
	const char *prefix)
{
	for (const struct config_field *f = fields; f->name; f++) {
		char path[160];
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", f->name);
		for (const struct config_field *g = fields; g < f; g++)
			assert_string_not_equal(g->name, f->name);
		assert_non_null(f->doc);
		assert_true(*f->doc);
		check_field(root, f, offset + f->offset, path);
		tested++;
	}
}

/* A list that a field accepts; NULL: its items name other things, and other tests change it. */
static const char *list_for(const char *name)
{
	static const char *const lists[][2] = { { "command", "[/bin/y]" },
		{ "groups", "[nogroup]" }, { "domains", "[x.org]" },
		{ "start", "[\"https://x.org/\"]" }, { "status", "[200, 3xx]" },
		{ "exec", "[/bin/true]" }, { "values", "[a, \"7\"]" }, { "columns", "[a, b]" },
		{ "no_proxy", "[a.example, 10.0.0.1]" } };
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (str_eq(lists[i][0], name))
			return lists[i][1];
	assert_true(str_eq(name, "key") || str_eq(name, "depends_on") || str_eq(name, "after"));
	return NULL;
}

static bool one_value_only(const struct config_field *f)
{
	return (f->type == CONFIG_ENUM && !f->names[1]) || str_eq(f->name, "kind") ||
	       str_eq(f->name, "provider") || (f->type == CONFIG_STRING_LIST && !list_for(f->name));
}

static void check_field(
	const struct root *root, const struct config_field *f, size_t offset, const char *path)
{
	if (f->def)
		check_default(root, f, offset, path);
	switch (f->type) {
	case CONFIG_INT:
	case CONFIG_DURATION_MS:
	case CONFIG_SIZE: check_number(root, f, offset, path); break;
	case CONFIG_ENUM: check_names(root, f, offset, path); break;
	case CONFIG_SIGNAL:
		accepts(root, f, offset, path, "HUP", &(int64_t) { 1 });
		refuses(root, path, "STOP", "is none of");
		break;
	case CONFIG_BOOL:
		accepts(root, f, offset, path, "true", &(int64_t) { 1 });
		accepts(root, f, offset, path, "off", &(int64_t) { 0 });
		refuses(root, path, "2", "true or false");
		break;
	case CONFIG_STRING:
	case CONFIG_XPATH: check_text(root, f, offset, path); break;
	case CONFIG_RATES:
		accepts(root, f, offset, path, "[1/1s, 100000/1h]", NULL);
		refuses(root, path, "100001/1s", "is not a rate");
		break;
	case CONFIG_RETRY_WHEN:
		accepts(root, f, offset, path, "[500]", NULL);
		refuses(root, path, "429", "must be a list");
		break;
	case CONFIG_STRING_LIST:
		refuses(root, path, "one", f->single ? "" : "must be a list");
		if (list_for(f->name))
			accepts(root, f, offset, path, list_for(f->name), NULL);
		break;
	case CONFIG_STRUCT_LIST: refuses(root, path, "{a: b}", "must be a list"); return;
	case CONFIG_STRING_MAP:
		refuses(root, path, "[a, b]", "must be a mapping");
		accepts(root, f, offset, path, "{A: b}", NULL);
		break;
	case CONFIG_STRUCT_MAP: refuses(root, path, "[a, b]", "must be a mapping"); return;
	case CONFIG_STRUCT:
		refuses(root, path, "[a, b]", "must be a mapping");
		check_table(root, f->fields, offset, path);
		return;
	default: fail_msg("%s: a type without a test", path);
	}
	char full[320];
	snprintf(full, sizeof(full), "%s.%s", root->path, path);
	if (!str_eq(last_changed, full) && !one_value_only(f))
		fail_msg("%s: no change of it was seen", full);
	if (f->type != CONFIG_STRING_MAP)
		refuses(root, path, "{a: b}", "");
}

static void each_field_of_the_shared_sections_is_as_its_row_says(void **state)
{
	(void)state;
	static const struct root supervisor = { "supervisor", { { 0 } }, find_supervisor };
	static const struct root logs = { "logs", { { 0 } }, find_logs };
	static const struct root store = { "store", { { 0 } }, find_store };
	static const struct root http = { "http", { { 0 } }, find_http };
	static const struct root provider = { "providers.p", { { 0 } }, find_provider };
	static const struct root service = { "services.s", { { "command", "[x]" } }, find_service };
	check_table(&supervisor, supervisor_fields, 0, "");
	check_table(&logs, logs_fields, 0, "");
	check_table(&store, store_fields, 0, "");
	check_table(&http, http_fields, 0, "");
	check_table(&provider, provider_fields, 0, "");
	check_table(&service, service_fields, 0, "");
	assert_true(tested > 50);
}

static void each_field_of_each_worker_is_as_its_row_says(void **state)
{
	(void)state;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	for (size_t i = 0; worker_kinds[i]; i++) {
		char path[64];
		if (!worker_kinds[i]->program)
			continue;
		snprintf(path, sizeof(path), "workers.%s", worker_kinds[i]->name);
		struct root root = { .path = path, .object = find_worker };
		check_table(&root, worker_fields(arena, worker_kinds[i]), 0, "");
	}
}

static void each_field_of_each_job_is_as_its_row_says(void **state)
{
	(void)state;
	struct root collect = { "jobs.c",
		{ { "kind", "collect" }, { "request.provider", "p" }, { "fields.id", "id" },
			{ "store.table", "t" }, { "store.key", "[id]" } },
		find_job };
	struct root crawl = { "jobs.w",
		{ { "kind", "crawl" }, { "start", "[\"https://w.example.org/\"]" },
			{ "store.table", "t" }, { "store.key", "[url]" } },
		find_job };
	check_table(&collect, job_fields, 0, "");
	check_table(&crawl, job_fields, 0, "");
	struct root exec = { "jobs.x", { { "kind", "exec" }, { "command", "[x]" } }, find_job };
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	collect.object = crawl.object = find_spec;
	for (size_t i = 0; worker_kinds[i]; i++) {
		if (str_eq(worker_kinds[i]->name, "collect"))
			check_table(&collect, worker_kinds[i]->job_fields, 0, "");
		else if (str_eq(worker_kinds[i]->name, "crawl"))
			check_table(&crawl, worker_kinds[i]->job_fields, 0, "");
		else if (str_eq(worker_kinds[i]->name, "exec"))
			check_table(&exec, job_fields_of(arena, worker_kinds[i]), 0, "");
		else
			assert_null(worker_kinds[i]->job_fields);
	}
	exec.object = find_spec;
	check_table(&exec, command_fields, 0, "");
}

static void each_type_of_a_column_is_known(void **state)
{
	(void)state;
	for (int64_t i = 0; column_types[i]; i++) {
		char yaml[300];
		snprintf(yaml, sizeof(yaml),
			"jobs: {w: {kind: crawl, start: [\"https://a.b/\"], extract: [{fields: {a: "
			"{xpath: x, type: %s}}}], "
			"store: {table: t, key: [url]}}}\n",
			column_types[i]);
		CLEANUP(config_freep) struct config *config = must_load(yaml);
		struct config_column columns[5];
		const struct config_job *job = config_job(config, "w");
		assert_int_equal(job->kind->job_columns(job, columns, 5), 5);
		assert_int_equal(columns[4].type, i);
	}
	assert_string_equal(column_types[COLUMN_JSON], "json");
	assert_string_equal(column_types[COLUMN_BYTES], "bytes");
	assert_null(column_types[COLUMN_BYTES + 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_of_the_shared_sections_is_as_its_row_says),
		cmocka_unit_test(each_field_of_each_worker_is_as_its_row_says),
		cmocka_unit_test(each_field_of_each_job_is_as_its_row_says),
		cmocka_unit_test(each_type_of_a_column_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
