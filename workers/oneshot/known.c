/* SPDX-License-Identifier: MIT */
/*
 * What a trial must know of the store: for_each's values that a query or another job's table has,
 * and how far the job's partitions are. It is read there and nowhere written; the run itself is in
 * a database of its own.
 */
#include "base/err.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/config.h"
#include "oneshot/oneshot.h"
#include "oneshot/sample.h"
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool asks_store(const struct collect_for_each *each)
{
	return each->sql || each->job;
}

bool sample_reads_values(const struct sample *s)
{
	const struct collect_job *spec = s->o->job->spec;
	return !sample_crawls(s) && !s->payload &&
	       (asks_store(&spec->for_each) || spec->for_each.csv || spec->for_each.ndjson);
}

/* @return false: it is no file */
static bool file_of(char *dst, size_t size, const char *url, const char *state_dir)
{
	static const char scheme[] = "sqlite:";
	if (!str_starts(url, scheme))
		return false;
	const char *path = url + strlen(scheme);
	snprintf(dst, size, "%s%s%s", *path == '/' ? "" : state_dir, *path == '/' ? "" : "/", path);
	return true;
}

int sample_open_known(struct sample *s, const char *store_url)
{
	const struct config *config = s->o->config;
	const struct collect_job *spec = s->o->job->spec;
	const struct store_options options = { .url = store_url,
		.state_dir = config->supervisor.state_dir,
		.pool = store_pool_of(&config->store.pool) };
	char path[4200];
	struct err err = { 0 };
	bool values = !sample_crawls(s) && !s->payload && asks_store(&spec->for_each);
	if (sample_crawls(s) || (!values && !spec->incremental.cursor))
		return s->code;
	bool file = file_of(path, sizeof(path), store_url, config->supervisor.state_dir);
	if (file && access(path, F_OK) == -1 && errno == ENOENT) {
		/* Nothing ran yet: it begins at its start. */
		return values ? s->code = oneshot_fail(ONESHOT_FAILED,
					"for_each asks the store, and %s is not there", path)
			      : s->code;
	}
	/* SQLite writes beside the file to let others know that it reads. */
	if (file && access(path, R_OK | W_OK) == -1)
		return s->code = oneshot_fail(
			       errno == EACCES ? ONESHOT_NOT_PERMITTED : ONESHOT_FAILED,
			       "the job begins with what is in %s: %s", path, strerror(errno));
	if (store_open(&s->known, s->loop, &options, &err) < 0)
		s->code = oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	return s->code;
}
