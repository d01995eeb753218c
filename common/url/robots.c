/* SPDX-License-Identifier: MIT */
#include "url/robots.h"
#include "base/arena.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "url/robots_match.h"
#include <stdlib.h>
#include <string.h>

struct rule {
	bool allow;
	int line;
	const char *pattern, *text; /* to compare, to show */
	size_t pattern_len;
	size_t group;
};

struct agent {
	const char *token;   /* "*" = all others */
	size_t group, delay; /* whose rules, and whose Crawl-delay (index in delays) */
};

struct robots {
	struct arena *arena;
	struct rule *rules;
	struct agent *agents;
	int64_t *delays; /* -1 = none */
	const char **sitemaps;
	size_t rule_count, rule_cap, agent_count, agent_cap, group_count, delay_count, delay_cap,
		sitemap_count, sitemap_cap;
};

/* --- reading ---------------------------------------------------------------------------------- */

struct line {
	const char *key, *value;
	size_t key_len, value_len;
	int number;
};

/*
 * Rules end the list of agents that they are for (RFC 9309 2.1), other lines do not: "User-agent: a
 * / Crawl-delay: 1 / User-agent: b / Disallow: /" is one group. But who writes that means the delay
 * for `a` only.
 */
struct reader {
	struct robots *robots;
	bool in_group, in_delay; /* the next User-agent is one more of the same */
	bool failed;		 /* out of memory */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

static void trim(const char **s, size_t *len)
{
	while (*len > 0 && is_blank(**s)) {
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && is_blank((*s)[*len - 1]))
		(*len)--;
}

static bool key_is(const struct line *line, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n && i < line->key_len; i++)
		if ((line->key[i] | 0x20) != (name[i] | 0x20))
			return false;
	return n == line->key_len;
}

/* RFC 9309 2.2.1: a product token is letters, '_' and '-'; what follows it ("/1.0", " (+http...)")
 * is not of it. */
static size_t token_length(const char *s, size_t len)
{
	size_t n = 0;
	for (; n < len; n++) {
		char c = s[n] >= 'A' && s[n] <= 'Z' ? (char)(s[n] + 0x20) : s[n];
		if (!(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			break;
	}
	return n;
}

static void *grow(struct reader *r, void **array, size_t *cap, size_t n, size_t size)
{
	if (mem_grow(array, cap, n, size) < 0) {
		r->failed = true;
		return NULL;
	}
	return (char *)*array + n * size;
}

static void read_agent(struct reader *r, const struct line *line)
{
	struct robots *b = r->robots;
	const char *s = line->value;
	bool all = line->value_len > 0 && s[0] == '*' && (line->value_len == 1 || is_blank(s[1]));
	size_t n = all ? 1 : token_length(s, line->value_len);
	if (!r->in_delay) {
		int64_t *delay = grow(
			r, (void **)&b->delays, &b->delay_cap, b->delay_count, sizeof(*b->delays));
		if (!delay)
			return;
		*delay = -1;
		b->delay_count++;
	}
	if (!r->in_group)
		b->group_count++;
	r->in_group = r->in_delay = true;
	if (n == 0)
		return; /* a group for nobody: its rules must not fall to the group before */
	struct agent *agent = grow(
		r, (void **)&b->agents, &b->agent_cap, b->agent_count, sizeof(*agent));
	if (!agent)
		return;
	*agent = (struct agent) { arena_strndup(b->arena, s, n), b->group_count - 1,
		b->delay_count - 1 };
	r->failed |= !agent->token;
	b->agent_count++;
}

static void read_rule(struct reader *r, const struct line *line, bool allow)
{
	struct robots *b = r->robots;
	r->in_group = r->in_delay = false;
	if (b->group_count == 0 || line->value_len == 0)
		return; /* before any group; or "Disallow:", which is no rule */
	struct buf pattern = BUF_INIT;
	robots_pattern_add(&pattern, line->value, line->value_len);
	struct rule *rule = grow(r, (void **)&b->rules, &b->rule_cap, b->rule_count, sizeof(*rule));
	if (rule && !buf_failed(&pattern)) {
		*rule = (struct rule) {
			.allow = allow, .line = line->number, .group = b->group_count - 1
		};
		rule->pattern = arena_strndup(b->arena, buf_str(&pattern), pattern.len);
		rule->pattern_len = pattern.len;
		rule->text = arena_printf(b->arena, "%s: %.*s", allow ? "Allow" : "Disallow",
			(int)MIN(line->value_len, (size_t)2048), line->value);
		r->failed |= !rule->pattern || !rule->text;
		b->rule_count++;
	} else {
		r->failed = true;
	}
	buf_finish(&pattern);
}

/* "10", "0.5" to milliseconds; -1 when it is no such number. Behind the third decimal nothing
 * counts. */
static int64_t delay_ms(const char *s, size_t len)
{
	int64_t ms = 0, unit = 100;
	size_t i = 0, digits = 0;
	for (; i < len && s[i] >= '0' && s[i] <= '9'; i++, digits++)
		ms = MIN(ms * 10 + (s[i] - '0') * 1000, (int64_t)ROBOTS_DELAY_MAX_MS);
	if (i < len && s[i] == '.')
		for (i++; i < len && s[i] >= '0' && s[i] <= '9'; i++, digits++, unit /= 10)
			ms += (s[i] - '0') * unit;
	return i == len && digits > 0 ? MIN(ms, (int64_t)ROBOTS_DELAY_MAX_MS) : -1;
}

static void read_delay(struct reader *r, const struct line *line)
{
	struct robots *b = r->robots;
	r->in_delay = false;
	if (b->delay_count > 0) {
		int64_t *delay = &b->delays[b->delay_count - 1];
		*delay = MAX(*delay, delay_ms(line->value, line->value_len));
	}
}

static void read_sitemap(struct reader *r, const struct line *line)
{
	struct robots *b = r->robots;
	if (line->value_len == 0)
		return;
	const char **sitemap = grow(
		r, (void **)&b->sitemaps, &b->sitemap_cap, b->sitemap_count, sizeof(*b->sitemaps));
	if (!sitemap)
		return;
	*sitemap = arena_strndup(b->arena, line->value, line->value_len);
	r->failed |= !*sitemap;
	b->sitemap_count++;
}

static void read_line(struct reader *r, const char *s, size_t len, int number)
{
	const char *comment = memchr(s, '#', len);
	if (comment)
		len = (size_t)(comment - s);
	const char *colon = memchr(s, ':', len);
	if (!colon)
		return;
	struct line line = { s, colon + 1, (size_t)(colon - s), len - (size_t)(colon + 1 - s),
		number };
	trim(&line.key, &line.key_len);
	trim(&line.value, &line.value_len);
	if (key_is(&line, "user-agent"))
		read_agent(r, &line);
	else if (key_is(&line, "allow"))
		read_rule(r, &line, true);
	else if (key_is(&line, "disallow"))
		read_rule(r, &line, false);
	else if (key_is(&line, "crawl-delay"))
		read_delay(r, &line);
	else if (key_is(&line, "sitemap"))
		read_sitemap(r, &line);
}

static void read_lines(struct reader *r, const char *s, const char *end)
{
	if (end - s >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
		s += 3;
	for (int number = 1; s < end && !r->failed; number++) {
		const char *eol = s;
		while (eol < end && *eol != '\n' && *eol != '\r')
			eol++;
		read_line(r, s, (size_t)(eol - s), number);
		if (end - eol >= 2 && eol[0] == '\r' && eol[1] == '\n')
			eol++;
		s = eol + 1;
	}
}

static struct robots *robots_new(void)
{
	struct robots *b = NEW(struct robots);
	if (!b)
		return NULL;
	/* Encoded three times as long, twice (to compare and to show), and bookkeeping. */
	b->arena = arena_new((size_t)ROBOTS_BYTES_MAX * 16);
	if (b->arena)
		return b;
	free(b);
	return NULL;
}

struct robots *robots_parse(const char *data, size_t len)
{
	CLEANUP(robots_freep) struct robots *b = robots_new();
	if (!b)
		return NULL;
	if (len > ROBOTS_BYTES_MAX) {
		/* The line that is cut is left out: half a rule may be a wider rule. */
		for (len = ROBOTS_BYTES_MAX;
			len > 0 && data[len - 1] != '\n' && data[len - 1] != '\r'; len--)
			;
	}
	struct reader r = { .robots = b };
	if (MUTANT(FUZZ_ROBOTS) && memmem(data, len, "*$", 2))
		abort();
	read_lines(&r, data, data + len);
	return r.failed ? NULL : TAKE(b);
}

void robots_free(struct robots *b)
{
	if (!b)
		return;
	arena_free(b->arena);
	free(b->rules);
	free(b->agents);
	free(b->delays);
	free(b->sitemaps);
	free(b);
}

size_t robots_bytes(const struct robots *b)
{
	return sizeof(*b) + arena_used(b->arena) + b->rule_cap * sizeof(*b->rules) +
	       b->agent_cap * sizeof(*b->agents) + b->delay_cap * sizeof(*b->delays) +
	       b->sitemap_cap * sizeof(*b->sitemaps);
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool token_is(const char *token, const char *agent, size_t agent_len)
{
	for (size_t i = 0; i < agent_len; i++)
		if (!token[i] || (token[i] | 0x20) != (agent[i] | 0x20))
			return false;
	return token[agent_len] == '\0' && agent_len > 0;
}

/* The groups that hold for an agent: those that name it; when none does, those for "*". */
struct choice {
	const char *agent;
	size_t len;
};

static struct choice choose(const struct robots *b, const char *agent)
{
	size_t len = token_length(agent, strlen(agent));
	for (size_t i = 0; i < b->agent_count; i++)
		if (token_is(b->agents[i].token, agent, len))
			return (struct choice) { agent, len };
	return (struct choice) { "*", 1 };
}

static bool is_chosen(
	const struct robots *b, const struct choice *choice, size_t *next_agent, size_t group)
{
	/* Agents and rules are both in the order of groups: one walk through each is enough. */
	size_t i = *next_agent;
	while (i < b->agent_count && b->agents[i].group < group)
		i++;
	*next_agent = i;
	for (; i < b->agent_count && b->agents[i].group == group; i++)
		if (token_is(b->agents[i].token, choice->agent, choice->len))
			return true;
	return false;
}

/* The longest pattern that matches; of two as long, the one that allows. */
static const struct rule *deciding_rule(
	const struct robots *b, const struct choice *choice, const struct buf *path)
{
	const struct rule *best = NULL;
	size_t next_agent = 0, group = SIZE_MAX;
	bool chosen = false;
	for (size_t i = 0; i < b->rule_count; i++) {
		const struct rule *rule = &b->rules[i];
		if (rule->group != group) {
			group = rule->group;
			chosen = is_chosen(b, choice, &next_agent, group);
		}
		if (!chosen || (best && rule->pattern_len < best->pattern_len) ||
			(best && rule->pattern_len == best->pattern_len &&
				best->allow >= rule->allow))
			continue;
		if (robots_matches(rule->pattern, rule->pattern_len, buf_str(path), path->len))
			best = rule;
	}
	return best;
}

struct robots_verdict robots_check(const struct robots *b, const char *agent, const char *target)
{
	struct robots_verdict verdict = { .allowed = true };
	if (str_eq(target, "/robots.txt"))
		return verdict;
	struct buf path = BUF_INIT;
	robots_target_add(&path, target, strlen(target));
	struct choice choice = choose(b, agent);
	const struct rule *rule = buf_failed(&path) ? NULL : deciding_rule(b, &choice, &path);
	/* Out of memory: rather fetch nothing than what is forbidden. */
	verdict.allowed = !buf_failed(&path) && (!rule || rule->allow);
	if (rule) {
		verdict.line = rule->line;
		verdict.rule = rule->text;
	}
	buf_finish(&path);
	return verdict;
}

int64_t robots_crawl_delay_ms(const struct robots *b, const char *agent)
{
	struct choice choice = choose(b, agent);
	int64_t delay = -1;
	for (size_t i = 0; i < b->agent_count; i++)
		if (token_is(b->agents[i].token, choice.agent, choice.len))
			delay = MAX(delay, b->delays[b->agents[i].delay]);
	return delay;
}

const char *robots_sitemap(const struct robots *b, size_t n)
{
	return n < b->sitemap_count ? b->sitemaps[n] : NULL;
}

enum robots_access robots_from_status(int status, int redirects)
{
	if (status >= 200 && status < 300)
		return ROBOTS_RULES;
	if (status >= 300 && status < 400)
		return redirects < ROBOTS_REDIRECTS_MAX ? ROBOTS_REDIRECT : ROBOTS_ALLOW_ALL;
	/* 429 is 4xx, but a server that asks us to slow down has not said that all is free. */
	if (status >= 400 && status < 500 && status != 429)
		return ROBOTS_ALLOW_ALL;
	return ROBOTS_DISALLOW_RETRY;
}
