/* SPDX-License-Identifier: MIT */
#include "monitor/sampler.h"

#include "loop/loop.h"
#include "monitor/machine.h"
#include "monitor/monitor.h"
#include <errno.h>

enum { STORE_RETRY_MS = 500 };

static void on_queue_metrics(
	void *arg, enum queue_status status, const struct queue_metrics *metrics)
{
	struct monitor *m = arg;
	m->queue_asked = false;
	m->queue_known = status == QUEUE_OK;
	if (m->queue_known)
		m->queue = *metrics;
	else
		loop_timer_start(m->sampler, STORE_RETRY_MS);
}

static void sample(void *arg)
{
	struct monitor *m = arg;
	machine_look(m);
	prolonged_sample(&m->prolonged, m);
	if (!m->queue_asked) {
		m->queue_asked = true;
		queue_metrics(m->store, on_queue_metrics, m);
	}
	loop_timer_start(m->sampler, SAMPLE_MS);
}

int sampler_start(struct monitor *m)
{
	m->sampler = loop_timer_new(m->loop, sample, m);
	if (!m->sampler)
		return -ENOMEM;
	sample(m);
	return 0;
}

void sampler_stop(struct monitor *m)
{
	loop_timer_free(m->sampler);
	m->sampler = NULL;
}
