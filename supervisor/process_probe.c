/* SPDX-License-Identifier: MIT */
#include "process_probe.h"

#include "base/compiler.h"
#include "base/str.h"
#include "process.h"
#include <string.h>

enum {
	READY_MS = 30000, /* from the start of a worker to its first good CONFIG_RESULT */
	EXEC_MS = 5000,	  /* the least that a service has to get executed */
	SPREAD_MS = 1000, /* first probes are spread over at most this */
};

/* Which of the milliseconds up to most_ms is this slot's: many slots share them out. */
static int64_t share_of(const struct process *p, int64_t most_ms)
{
	return (int64_t)(str_hash(p->name, strlen(p->name)) % (uint64_t)(1 + most_ms));
}

/* One that speaks for itself was told how often, and cannot be told anew. */
int64_t process_probe_interval_ms(const struct process *p)
{
	int64_t interval_ms = p->rules->probe.interval_ms;
	return process_probe_kind(p) == PROBE_NOTIFY ? MAX(interval_ms, p->told_interval_ms)
						     : interval_ms;
}

int64_t process_first_probe_ms(const struct process *p)
{
	const struct config_probe *probe = &p->rules->probe;
	/* It is asked nothing: it must have spoken when the first interval is over. */
	if (process_probe_kind(p) == PROBE_NOTIFY)
		return MAX(probe->start_period_ms, process_probe_interval_ms(p));
	return probe->start_period_ms + share_of(p, MIN(probe->interval_ms, (int64_t)SPREAD_MS));
}

void process_begin_probes(struct process *p, int64_t first_ms)
{
	enum probe_kind kind = process_probe_kind(p);
	p->probed = true;
	p->probe.spread_ms = share_of(p, SPREAD_MS);
	probe_begin(&p->probe, first_ms, process_probe_interval_ms(p), p->rules->probe.timeout_ms,
		kind != PROBE_HTTP && kind != PROBE_TCP);
}

void process_end_probes(struct process *p)
{
	p->probed = false;
	probe_end(&p->probe);
	if (p->ops->probe_over)
		p->ops->probe_over(p);
}

int64_t process_ready_within_ms(const struct process *p)
{
	const struct config_probe *probe = &p->rules->probe;
	int64_t within_ms = probe->start_period_ms + probe->timeout_ms;
	if (p->kind)
		return READY_MS;
	return process_must_speak(p) ? within_ms : MAX(within_ms, (int64_t)EXEC_MS);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static bool same_texts(const struct config_strings *a, const struct config_strings *b)
{
	bool same = a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++)
		same = str_eq(a->items[i], b->items[i]);
	return same;
}

bool process_asks_alike(const struct config_probe *a, const struct config_probe *b)
{
	return same_text(a->http, b->http) && same_texts(&a->http_status, &b->http_status) &&
	       same_text(a->http_body, b->http_body) && same_text(a->tcp, b->tcp) &&
	       same_texts(&a->exec, &b->exec);
}
