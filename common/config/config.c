/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/report.h"
#include "schedule/zone.h"

#include <string.h>

struct config *config_new(size_t max_bytes)
{
	struct arena *arena = arena_new(max_bytes);
	struct config *config = arena ? arena_alloc(arena, sizeof(*config)) : NULL;
	struct config_tree *tree = arena ? arena_alloc(arena, sizeof(*tree)) : NULL;
	struct zone_cache *zones = zone_cache_new();
	if (!config || !tree || !zones) {
		zone_cache_free(zones);
		arena_free(arena);
		return NULL;
	}
	tree->zones = zones;
	config->tree = tree;
	config->arena = arena;
	config->file = "";
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	zone_cache_free(config->tree->zones);
	arena_free(config->arena);
}

const struct config_xpath *config_xpaths(const struct config *config, size_t i)
{
	return i < config->tree->xpath_count ? &config->tree->xpaths[i] : NULL;
}

void config_report(
	struct buf *report, const struct config_xpath *xpath, const char *problem, bool color)
{
	report_write_one(report, &xpath->mark, problem, xpath->line, strlen(xpath->line), color);
}

struct zone_cache *config_zones(const struct config *config)
{
	return config->tree->zones;
}

const struct config_job *config_job(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->job_count; i++)
		if (str_eq(config->jobs[i].name, name))
			return &config->jobs[i];
	return NULL;
}

const struct config_provider *config_provider(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (str_eq(config->providers[i].name, name))
			return &config->providers[i];
	return NULL;
}

const struct config_service *config_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (str_eq(config->services[i].name, name))
			return &config->services[i];
	return NULL;
}

const struct config_worker *config_worker(const struct config *config, const char *kind_name)
{
	for (size_t i = 0; i < config->worker_count; i++)
		if (str_eq(config->workers[i].kind->name, kind_name))
			return &config->workers[i];
	return NULL;
}
