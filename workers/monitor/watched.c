/* SPDX-License-Identifier: MIT */
/* Tells the supervisor that somebody reads what it says of itself. */
#include "ipc/messages.h"
#include "loop/loop.h"
#include "monitor/monitor.h"
#include "worker/worker.h"

enum { WATCHED_MS = 5000 };

void monitor_watched(struct monitor *m)
{
	int64_t now_ms = loop_now_ms(m->loop);
	if (m->watched_ms && now_ms - m->watched_ms < WATCHED_MS)
		return;
	m->watched_ms = now_ms;
	worker_send(m->worker, MSG_WATCHED, &(struct msg_empty) { 0 });
}
