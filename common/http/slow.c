/* SPDX-License-Identifier: MIT */
#include "http/slow.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "log/log.h"
#include "loop/loop.h"
#include "url/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { URL_READ_MAX = 65536, FIELDS_MAX = 12 };

struct slow_log {
	struct loop_timer *teller;
	int64_t left_out;
	/* When the last SLOW_RECORDS were written, the oldest at `next`; -1: not yet. */
	int64_t written_ms[SLOW_RECORDS];
	size_t next;
};

static void tell_left_out(void *arg)
{
	struct slow_log *slow = arg;
	log_warn(PERFORMANCE, "SLOW_REQUESTS_LEFT_OUT", KV_INT("count", slow->left_out));
	slow->left_out = 0;
}

int slow_log_new(struct slow_log **out, struct loop *loop)
{
	struct slow_log *slow = NEW(struct slow_log);
	if (!slow)
		return -ENOMEM;
	slow->teller = loop_timer_new(loop, tell_left_out, slow);
	if (!slow->teller) {
		free(slow);
		return -ENOMEM;
	}
	for (size_t i = 0; i < SLOW_RECORDS; i++)
		slow->written_ms[i] = -1;
	*out = slow;
	return 0;
}

void slow_log_free(struct slow_log *slow)
{
	if (!slow)
		return;
	if (slow->left_out)
		tell_left_out(slow);
	loop_timer_free(slow->teller);
	free(slow);
}

/* A slow provider must not push everything else out of the log. */
static bool may_write(struct slow_log *slow)
{
	int64_t now = clock_mono_ms(), oldest = slow->written_ms[slow->next];
	if (oldest >= 0 && now - oldest < SLOW_MINUTE_MS)
		return false;
	slow->written_ms[slow->next] = now;
	slow->next = (slow->next + 1) % SLOW_RECORDS;
	return true;
}

char *slow_url(char *dst, size_t size, const char *url)
{
	CLEANUP(url_freep) struct url *parsed = NULL;
	struct err err = { 0 };
	dst[0] = '\0';
	if (url_parse(&parsed, url, URL_READ_MAX, &err) < 0)
		return dst;
	struct url_part end = MUTANT(SLOW_URL_WITH_QUERY) && parsed->has_query ? parsed->query
									       : parsed->path;
	/* From the host on: user and password stand before it, query and fragment behind the path.
	 */
	snprintf(dst, size, "%.*s://%.*s", (int)parsed->scheme.len,
		parsed->text + parsed->scheme.at, (int)(end.at + end.len - parsed->host.at),
		parsed->text + parsed->host.at);
	return dst;
}

static void write_record(const struct slow_request *r)
{
	char url[SLOW_URL_MAX];
	struct kv fields[FIELDS_MAX] = { KV_STR("method", r->method),
		KV_STR("url", slow_url(url, sizeof(url), r->url)) };
	size_t n = 2;
	if (r->status > 0)
		fields[n++] = KV_INT("status", r->status);
	if (r->failure) {
		fields[n++] = KV_STR("reason", r->failure);
		fields[n++] = KV_STR("error", r->error);
	}
	fields[n++] = KV_INT("process_time_ms", r->duration_us / 1000);
	if (r->context.provider)
		fields[n++] = KV_STR("provider", r->context.provider);
	if (r->context.job)
		fields[n++] = KV_STR("job", r->context.job);
	if (r->context.run)
		fields[n++] = KV_INT("run", r->context.run);
	if (r->context.task)
		fields[n++] = KV_INT("task", r->context.task);
	log_write(LOG_WARN, PERFORMANCE, "SLOW_REQUEST", fields);
}

void slow_log_request(struct slow_log *slow, const struct slow_request *r)
{
	if (r->duration_us < (int64_t)SLOW_REQUEST_MS * 1000)
		return;
	if (may_write(slow)) {
		write_record(r);
		return;
	}
	if (slow->left_out++ == 0)
		loop_timer_start(slow->teller, SLOW_MINUTE_MS);
}
