/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are a robots.txt, and the matcher agrees with one that tries everything. Input: agent,
 * NUL, target, NUL, the file.
 */
#include "url/robots.h"
#include "url/robots_match.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 64 };

static void demand(int holds)
{
	if (!holds)
		abort();
}

/* reach[j]: the pattern so far can end at target[j]. Slow and plain. */
static bool plain_match(const char *pattern, size_t n, const char *target, size_t len)
{
	bool reach[SMALL * 3 + 1] = { true };
	bool anchored = n > 0 && pattern[n - 1] == '$';
	for (size_t i = 0; i < n - anchored; i++) {
		bool next[SMALL * 3 + 1] = { false };
		for (size_t j = 0; j <= len; j++) {
			if (pattern[i] == '*')
				next[j] = reach[j] || (j > 0 && next[j - 1]);
			else
				next[j] = j > 0 && reach[j - 1] && target[j - 1] == pattern[i];
		}
		memcpy(reach, next, sizeof(reach));
	}
	for (size_t j = 0; j <= len; j++)
		if (reach[j] && (!anchored || j == len))
			return true;
	return false;
}

static void judge_matcher(const char *rule, size_t rule_len, const char *target)
{
	struct buf pattern = BUF_INIT, path = BUF_INIT;
	robots_pattern_add(&pattern, rule, rule_len < SMALL ? rule_len : SMALL);
	robots_target_add(&path, target, strnlen(target, SMALL));
	demand(robots_matches(buf_str(&pattern), pattern.len, buf_str(&path), path.len) ==
		plain_match(buf_str(&pattern), pattern.len, buf_str(&path), path.len));
	buf_finish(&pattern);
	buf_finish(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *end = (const char *)data + size;
	char *agent = strndup((const char *)data, size);
	demand(agent != NULL);
	const char *rest = (const char *)data + strlen(agent);
	rest += rest < end;
	char *target = strndup(rest, (size_t)(end - rest));
	demand(target != NULL);
	rest += strlen(target);
	rest += rest < end;
	struct robots *robots = robots_parse(rest, (size_t)(end - rest));
	demand(robots != NULL);
	struct robots_verdict verdict = robots_check(robots, agent, target);
	demand((verdict.line > 0) == (verdict.rule != NULL));
	demand(verdict.line > 0 || verdict.allowed);
	int64_t delay = robots_crawl_delay_ms(robots, agent);
	demand(delay >= -1 && delay <= ROBOTS_DELAY_MAX_MS);
	for (size_t i = 0; robots_sitemap(robots, i); i++)
		demand(*robots_sitemap(robots, i) || memchr(rest, '\0', (size_t)(end - rest)));
	judge_matcher(agent, strlen(agent), target);
	robots_free(robots);
	free(agent);
	free(target);
	return 0;
}
