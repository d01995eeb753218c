/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Crawl jobs made ready to run: expressions compiled, domains and columns resolved. One set for
 * each configuration; pages hold the set they began with, so a reload never pulls it away under
 * them.
 */
#include "base/compiler.h"
#include "config/config.h"
#include "html/frame.h"
#include "store/store.h"
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct config;
struct err;
struct url;

/* The columns that every page has, before the job's own. */
enum page_column { PAGE_URL, PAGE_STATUS, PAGE_FETCHED_AT, PAGE_CONTENT_HASH, PAGE_COLUMNS };

struct plan_rule {
	regex_t match;
	bool compiled;
	uint16_t *xpaths;  /* into the set's list */
	uint16_t *columns; /* where each value goes in the table */
	size_t count;
};
struct plan {
	const char *name;
	char (*domains)[256]; /* URL_HOST_MAX */
	size_t domain_count;
	struct config_backoff backoff;
	int64_t depth, max_pages, delay_ms, per_host;
	bool is_private, obey_robots, obey_nofollow;
	struct config_proxy proxy; /* url NULL: none */
	uint64_t proxy_hash;	   /* of what is asked through it; 0: none */
	struct plan_set *set;
	struct plan_rule *rules;
	size_t rule_count;
	struct store_table table;
};
struct plan_set {
	unsigned refs;
	uint32_t generation;
	struct arena *arena;
	struct plan *plans;
	size_t count;
	const char **xpaths;
	size_t xpath_count;
};

/** One reference, for plan_set_drop(). Nothing of config is borrowed. @return 0; -EINVAL with
 * words; -ENOMEM */
int plan_set_new(struct plan_set **out, const struct config *config, struct err *err) MUST_CHECK;
struct plan_set *plan_set_hold(struct plan_set *set);
void plan_set_drop(struct plan_set *set); /* NULL is fine */
/** NULL when there is no crawl job of that name. */
struct plan *plan_find(struct plan_set *set, const char *name);
/** The first rule whose expression matches; NULL: none. */
const struct plan_rule *plan_rule(const struct plan *plan, const char *url);
/** Why the plan does not follow a link to this URL at that depth; NULL: it does. */
const char *plan_refuses(const struct plan *plan, const struct url *url, int64_t depth);
