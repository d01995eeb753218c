/* SPDX-License-Identifier: MIT */
#include "crawl/plan.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/kind.h"
#include "crawl/kind.h"
#include "store/job_table.h"
#include "url/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	REPEATS_MAX = 3,
	PARTS_MAX = 64
}; /* a path with more of the same part, or more parts, is a trap */

struct builder {
	struct plan_set *set;
	struct plan *plan;
	struct store_column *columns; /* room for all */
	struct err *err;
};

static const struct store_column page_columns[PAGE_COLUMNS] = {
	[PAGE_URL] = { "url", COLUMN_TEXT },
	[PAGE_STATUS] = { "status", COLUMN_INTEGER },
	[PAGE_FETCHED_AT] = { "fetched_at", COLUMN_TIMESTAMP },
	[PAGE_CONTENT_HASH] = { "content_hash", COLUMN_TEXT },
};

static const char *keep(struct builder *b, const char *text, bool *failed)
{
	const char *kept = text ? arena_strdup(b->set->arena, text) : NULL;
	*failed |= text && !kept;
	b->plan->proxy_hash = b->plan->proxy_hash * 31 + (text ? str_hash(text, strlen(text)) : 1);
	return kept;
}

static int set_proxy(struct builder *b, const struct config_proxy *from)
{
	size_t count = from->no_proxy.count;
	const char **direct = arena_alloc(b->set->arena, (count + 1) * sizeof(*direct));
	bool failed = !direct;
	if (!from->url)
		return 0;
	for (size_t i = 0; direct && i < count; i++)
		direct[i] = keep(b, from->no_proxy.items[i], &failed);
	b->plan->proxy = (struct config_proxy) { .url = keep(b, from->url, &failed),
		.user = keep(b, from->user, &failed),
		.password = keep(b, from->password, &failed),
		.ca = keep(b, from->ca, &failed),
		.no_proxy = { direct, count } };
	return failed ? err_set(b->err, -ENOMEM, "crawl jobs") : 0;
}

static int build_plan(
	struct plan_set *set, struct plan *plan, const struct config_job *job, struct err *err);

static bool is_crawl(const struct config_job *job)
{
	return job->kind && str_eq(job->kind->name, "crawl");
}

static size_t count_xpaths(const struct config_job *job)
{
	const struct crawl_job *spec = job->spec;
	const struct crawl_extract *rules = spec->extract.items;
	size_t n = 0;
	for (size_t i = 0; i < spec->extract.count; i++)
		n += rules[i].fields.count;
	return n;
}

int plan_set_new(struct plan_set **out, const struct config *config, struct err *err)
{
	static uint32_t generation;
	struct plan_set *set = NEW(struct plan_set);
	size_t xpaths = 0, jobs = 0;
	if (!set)
		return err_set(err, -ENOMEM, "crawl jobs");
	set->refs = 1;
	set->generation = ++generation;
	set->arena = arena_new(0);
	for (size_t i = 0; i < config->job_count; i++)
		if (is_crawl(&config->jobs[i])) {
			xpaths += count_xpaths(&config->jobs[i]);
			jobs++;
		}
	if (set->arena) {
		set->plans = arena_alloc(set->arena, (jobs + 1) * sizeof(*set->plans));
		set->xpaths = arena_alloc(set->arena, (xpaths + 1) * sizeof(*set->xpaths));
	}
	int r = set->arena && set->plans && set->xpaths ? 0 : err_set(err, -ENOMEM, "crawl jobs");
	if (r == 0 && xpaths > PARSE_XPATHS_MAX)
		r = err_set(err, -EINVAL, "crawl jobs have %zu fields, at most %d are possible",
			xpaths, PARSE_XPATHS_MAX);
	for (size_t i = 0; i < config->job_count && r == 0; i++)
		if (is_crawl(&config->jobs[i]))
			r = build_plan(set, &set->plans[set->count++], &config->jobs[i], err);
	if (r < 0) {
		plan_set_drop(set);
		return r;
	}
	*out = set;
	return 0;
}

struct plan_set *plan_set_hold(struct plan_set *set)
{
	set->refs++;
	return set;
}

void plan_set_drop(struct plan_set *set)
{
	if (!set || --set->refs)
		return;
	for (size_t i = 0; i < set->count; i++)
		for (size_t r = 0; r < set->plans[i].rule_count; r++)
			if (set->plans[i].rules[r].compiled)
				regfree(&set->plans[i].rules[r].match);
	arena_free(set->arena);
	free(set);
}

/* ---- building ---- */

static int add_domain(struct builder *b, const char *host)
{
	char(*domain)[URL_HOST_MAX] = &b->plan->domains[b->plan->domain_count];
	if (url_domain(*domain, host, b->err) < 0)
		return err_wrap(b->err, "job %s: follow.domains", b->plan->name);
	b->plan->domain_count++;
	return 0;
}

/* Without domains, the hosts of the start URLs. */
static int add_domains(struct builder *b, const struct crawl_job *spec)
{
	const struct config_strings *from = spec->follow.domains.count ? &spec->follow.domains
								       : &spec->start;
	int r = 0;
	b->plan->domains = arena_alloc(
		b->set->arena, (from->count + 1) * sizeof(*b->plan->domains));
	if (!b->plan->domains)
		return err_set(b->err, -ENOMEM, "crawl jobs");
	for (size_t i = 0; i < from->count && r == 0; i++) {
		CLEANUP(url_freep) struct url *url = NULL;
		char host[URL_HOST_MAX] = "";
		if (from == &spec->follow.domains) {
			r = add_domain(b, from->items[i]);
			continue;
		}
		r = url_parse(&url, from->items[i], URL_MAX_DEFAULT, b->err);
		if (r < 0)
			return err_wrap(b->err, "job %s: start", b->plan->name);
		memcpy(host, url->text + url->host.at,
			MIN((size_t)url->host.len, sizeof(host) - 1));
		r = add_domain(b, host);
	}
	return r;
}

static size_t column_index(struct builder *b, const struct config_column *field)
{
	struct store_table *table = &b->plan->table;
	for (size_t i = 0; i < table->column_count; i++)
		if (str_eq(b->columns[i].name, field->name))
			return i;
	b->columns[table->column_count] =
		(struct store_column) { arena_strdup(b->set->arena, field->name), field->type };
	return table->column_count++;
}

static int add_rule(struct builder *b, struct plan_rule *rule, const struct crawl_extract *from)
{
	const struct config_column *fields = from->fields.items;
	struct arena *arena = b->set->arena;
	rule->count = from->fields.count;
	rule->xpaths = arena_alloc(arena, (rule->count + 1) * sizeof(*rule->xpaths));
	rule->columns = arena_alloc(arena, (rule->count + 1) * sizeof(*rule->columns));
	if (!rule->xpaths || !rule->columns)
		return err_set(b->err, -ENOMEM, "crawl jobs");
	if (regcomp(&rule->match, from->match, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(b->err, -EINVAL,
			"job %s: extract.match \"%s\" is no regular expression", b->plan->name,
			from->match);
	rule->compiled = true;
	for (size_t i = 0; i < rule->count; i++) {
		rule->columns[i] = (uint16_t)column_index(b, &fields[i]);
		rule->xpaths[i] = (uint16_t)b->set->xpath_count;
		b->set->xpaths[b->set->xpath_count] = arena_strdup(arena, fields[i].xpath);
		if (!b->set->xpaths[b->set->xpath_count++] || !b->columns[rule->columns[i]].name)
			return err_set(b->err, -ENOMEM, "crawl jobs");
	}
	return 0;
}

static int add_rules(struct builder *b, const struct crawl_job *spec)
{
	const struct crawl_extract *rules = spec->extract.items;
	int r = 0;
	for (size_t i = 0; i < spec->extract.count && r == 0; i++) {
		r = add_rule(b, &b->plan->rules[i], &rules[i]);
		b->plan->rule_count++;
	}
	return r;
}

static int set_table(struct builder *b, const struct config_job *job)
{
	static const char *const by_url[] = { "url" };
	struct store_table *t = &b->plan->table;
	if (!job_table_fill(t, b->set->arena, job))
		return err_set(b->err, -ENOMEM, "crawl jobs");
	if (!t->key_count && !t->append) {
		t->key = by_url;
		t->key_count = ARRAY_SIZE(by_url);
	}
	return 0;
}

static int build_plan(
	struct plan_set *set, struct plan *plan, const struct config_job *job, struct err *err)
{
	const struct crawl_job *spec = job->spec;
	struct builder b = { .set = set, .plan = plan, .err = err };
	b.columns = arena_alloc(
		set->arena, (PAGE_COLUMNS + count_xpaths(job)) * sizeof(*b.columns));
	plan->set = set;
	plan->name = arena_strdup(set->arena, job->name);
	plan->rules = arena_alloc(set->arena, (spec->extract.count + 1) * sizeof(*plan->rules));
	if (!b.columns || !plan->name || !plan->rules)
		return err_set(err, -ENOMEM, "crawl jobs");
	memcpy(b.columns, page_columns, sizeof(page_columns));
	plan->table.columns = b.columns;
	plan->table.column_count = PAGE_COLUMNS;
	plan->depth = spec->follow.depth;
	plan->backoff = job->retry.backoff;
	plan->max_pages = spec->follow.max_pages;
	plan->is_private = spec->follow.is_private;
	plan->obey_robots = spec->robots == ROBOTS_OBEY;
	plan->obey_nofollow = spec->follow.nofollow == ROBOTS_OBEY;
	plan->delay_ms = spec->politeness.delay_ms;
	plan->per_host = spec->politeness.per_host;
	int r = set_table(&b, job);
	r = r < 0 ? r : set_proxy(&b, &spec->proxy);
	r = r < 0 ? r : add_domains(&b, spec);
	return r < 0 ? r : add_rules(&b, spec);
}

/* ---- asking ---- */

struct plan *plan_find(struct plan_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (str_eq(set->plans[i].name, name))
			return &set->plans[i];
	return NULL;
}

const struct plan_rule *plan_rule(const struct plan *plan, const char *url)
{
	for (size_t i = 0; i < plan->rule_count; i++)
		if (regexec(&plan->rules[i].match, url, 0, NULL, 0) == 0)
			return &plan->rules[i];
	return NULL;
}

/* "/a/b/a/b/a/b/a": does one part come more than REPEATS_MAX times, or are there very many? */
static bool is_trap(const char *path, size_t len)
{
	struct {
		const char *text;
		size_t len;
	} parts[PARTS_MAX];
	size_t count = 0;
	for (size_t at = 1; at < len; count++) {
		const char *slash = memchr(path + at, '/', len - at);
		size_t n = (slash ? (size_t)(slash - path) : len) - at;
		size_t times = 1;
		if (count == PARTS_MAX)
			return true;
		parts[count].text = path + at;
		parts[count].len = n;
		for (size_t i = 0; i < count && n; i++)
			times += parts[i].len == n && memcmp(parts[i].text, path + at, n) == 0;
		if (times > REPEATS_MAX)
			return true;
		at += n + 1;
	}
	return false;
}

const char *plan_refuses(const struct plan *plan, const struct url *url, int64_t depth)
{
	bool inside = false;
	for (size_t i = 0; i < plan->domain_count && !inside; i++)
		inside = url_in_domain(url, plan->domains[i]);
	if (!inside)
		return "domain";
	if (depth > plan->depth)
		return "depth";
	return is_trap(url->text + url->path.at, url->path.len) ? "repeated path" : NULL;
}
