/* SPDX-License-Identifier: MIT */
/* What is left of the limits of providers, from the file that all processes share. */
#include "monitor/limits.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/limit.h"
#include "monitor/monitor.h"
#include "worker/worker.h"
#include <stdio.h>
#include <string.h>

/* Answers have 32 KiB. */
enum { SETS_MAX = 40, AT_A_TIME = 8 };

static void number_or_null(struct json_out *j, const char *key, int64_t value, bool known)
{
	if (known)
		json_int(j, key, value);
	else
		json_none(j, key);
}

/* The shortest that is longer than `after`. NULL: none */
static const struct limit_usage *next_window(const struct limit_state *s, int64_t after)
{
	const struct limit_usage *found = NULL;
	for (size_t i = 0; i < s->window_count; i++)
		if (s->windows[i].period_ms > after &&
			(!found || s->windows[i].period_ms < found->period_ms))
			found = &s->windows[i];
	return found;
}

static void write_set(struct json_out *j, const struct limit_state *s, int64_t now_ms)
{
	json_open_object(j, NULL);
	json_str(j, "name", s->key + strlen("provider/"));
	json_open_array(j, "windows");
	const struct limit_usage *u;
	for (int64_t after = 0; (u = next_window(s, after)); after = u->period_ms) {
		json_open_object(j, NULL);
		json_int(j, "count", u->count);
		json_int(j, "period_ms", u->period_ms);
		json_int(j, "left", MAX(u->count - u->used, INT64_C(0)));
		json_close_object(j);
	}
	json_close_array(j);
	number_or_null(j, "active", s->active, s->active >= 0);
	number_or_null(j, "allowed", s->allowed, s->allowed > 0);
	json_int(j, "delay_ms", s->delay_ms);
	number_or_null(j, "server_left", s->remaining, s->remaining >= 0);
	json_bool(j, "closed", s->closed_ms > 0);
	json_time(j, "opens_at", s->opens_ms > 0 ? now_ms + s->opens_ms : 0);
	json_close_object(j);
}

void monitor_limits_json(const struct monitor *m, struct buf *out)
{
	struct limits *limits = NULL;
	struct limit_state states[AT_A_TIME];
	size_t cursor = 0, written = 0;
	struct json_out j;
	char path[4096];
	int n = 0;
	snprintf(path, sizeof(path), "%s/limits", worker_state_dir(m->worker));
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	if (limits_open(&limits, path, NULL) < 0) {
		json_none(&j, "limits");
		json_close_object(&j);
		return;
	}
	json_open_array(&j, "limits");
	while (written < SETS_MAX && (n = limits_list(limits, &cursor, states, AT_A_TIME)) > 0)
		for (int i = 0; i < n && written < SETS_MAX; i++)
			if (str_starts(states[i].key, "provider/")) {
				write_set(&j, &states[i], clock_real_ms());
				written++;
			}
	json_close_array(&j);
	json_close_object(&j);
	limits_close(limits);
}
