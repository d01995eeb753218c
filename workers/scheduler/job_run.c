/* SPDX-License-Identifier: MIT */
#include "scheduler/job_run.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/config.h"
#include "config/kind.h"
#include "crawl/kind.h"
#include "log/log.h"
#include "url/url.h"
#include <errno.h>
#include <string.h>

static char *identity(const char *text, struct err *err)
{
	CLEANUP(url_freep) struct url *url = NULL;
	char *canonical = NULL;
	if (MUTANT(START_URL_AS_WRITTEN))
		return strdup(text);
	if (url_parse(&url, text, URL_MAX_DEFAULT, err) < 0)
		return NULL;
	return url_canonical(&canonical, url->text, 0, URL_MAX_DEFAULT, err) < 0 ? NULL : canonical;
}

static int add(struct job_run *r, char *text)
{
	if (!text)
		return -ENOMEM;
	r->texts[r->request.payload_count] = text;
	r->payloads[r->request.payload_count++] = text;
	return 0;
}

/* What `check` let through is a URL; one that is none all the same must not hold up the others. */
static int add_starts(struct job_run *r, const struct config_job *job)
{
	const struct crawl_job *crawl = job->spec;
	for (size_t i = 0; i < crawl->start.count; i++) {
		struct err err = { 0 };
		char *text = identity(crawl->start.items[i], &err);
		if (!text && err.code == -ENOMEM)
			return -ENOMEM;
		if (!text)
			log_error(MAIN, "start_url_refused", KV_STR("job", job->name),
				KV_STR("url", crawl->start.items[i]), KV_STR("error", err.text));
		else
			(void)add(r, text);
	}
	return 0;
}

/* {"type":"12"}: what stands for {{type}} in this task. */
static int add_value(struct job_run *r, const char *as, const char *value)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out out;
	json_out_init(&out, &json);
	json_open_object(&out, NULL);
	json_str(&out, as, value);
	json_close_object(&out);
	return buf_failed(&json) ? -ENOMEM : add(r, strdup(buf_str(&json)));
}

static int add_values(struct job_run *r, const struct collect_for_each *each)
{
	int rc = 0;
	for (size_t i = 0; i < each->values.count && rc == 0; i++)
		rc = add_value(r, each->as, each->values.items[i]);
	return rc;
}

int job_run_init(struct job_run *r, const struct config_job *job, const char *trigger)
{
	static const struct collect_for_each nothing = { 0 };
	bool crawls = str_eq(job->kind->name, "crawl");
	bool collects = str_eq(job->kind->name, "collect");
	const struct collect_for_each *each =
		collects ? &((const struct collect_job *)job->spec)->for_each : &nothing;
	size_t room = crawls ? ((const struct crawl_job *)job->spec)->start.count
			     : each->values.count;
	*r = (struct job_run) {
		.request = { .job = job->name,
			.kind = job->kind->name,
			.trigger = trigger,
			.max_attempts = job->retry.attempts,
			.timeout_ms = job->timeout_ms,
			.priority = job->priority,
			/* What has no schedule is begun by hand alone, as often as one likes. */
			.overlap = config_has_schedule(job) ? (enum overlap)job->due.overlap
							    : OVERLAP_ALLOW,
			.followed = job->followed,
			.frontier = crawls },
		.texts = calloc(room + 1, sizeof(*r->texts)),
		.payloads = calloc(room + 1, sizeof(*r->payloads)),
	};
	int rc = r->texts && r->payloads ? 0 : -ENOMEM;
	if (rc == 0)
		rc = crawls		  ? add_starts(r, job)
		     : each->values.count ? add_values(r, each)
					  : add(r, strdup("{}"));
	r->request.payloads = r->payloads;
	if (rc < 0)
		job_run_finish(r);
	return rc;
}

void job_run_finish(struct job_run *r)
{
	for (size_t i = 0; i < r->request.payload_count; i++)
		free(r->texts[i]);
	free(r->texts);
	free(r->payloads);
	*r = (struct job_run) { 0 };
}
