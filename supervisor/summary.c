/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include "base/buf.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "instance.h"
#include "ipc/messages.h"
#include "loop/loop.h"
#include "process.h"
#include "status.h"
#include "supervisor.h"
#include "task_slot.h"

enum {
	SUMMARY_MS = 200,
	SUMMARY_SOON_MS = 20,
	SUMMARY_YOUNG_MS = 5000,
	WATCHED_MS = 60000,
	SUMMARY_BYTES = 60000
};

void summary_changed(struct supervisor *sv)
{
	if (sv->summary_soon)
		return;
	sv->summary_soon = true;
	int64_t since_ms = loop_now_ms(sv->loop) - sv->summary_ms;
	/* Not at once: what follows from the change comes first. */
	loop_timer_start(sv->summary_timer, MAX(SUMMARY_MS - since_ms, (int64_t)SUMMARY_SOON_MS));
}

static void write_summary(struct supervisor *sv, struct buf *json)
{
	struct json_out j;
	json_out_init(&j, json);
	json_open_object(&j, NULL);
	status_supervisor(&j, sv);
	json_open_array(&j, "processes");
	/* One message holds it: of very many slots the first. */
	for (struct list *n = sv->processes.next; n != &sv->processes && json->len < SUMMARY_BYTES;
		n = n->next)
		if (!task_slot_is_over(LIST_ENTRY(n, struct process, node)))
			status_process(&j, LIST_ENTRY(n, struct process, node));
	json_close_array(&j);
	json_close_object(&j);
}

static void send_summary(struct supervisor *sv)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct process *monitor = supervisor_worker(sv, "monitor");
	sv->summary_ms = loop_now_ms(sv->loop);
	if (!monitor)
		return;
	write_summary(sv, &json);
	const struct msg_summary body = { .json = buf_str(&json) };
	if (!buf_failed(&json))
		instance_send(monitor, MSG_SUMMARY, &body, NULL, 0);
}

void summary_on_timer(void *arg)
{
	struct supervisor *sv = arg;
	sv->summary_soon = false;
	send_summary(sv);
	/* Unwatched, what does not change is not told again: it would only wake two processes. */
	if (loop_now_ms(sv->loop) < sv->watched_until_ms)
		loop_timer_start(sv->summary_timer, SUMMARY_YOUNG_MS);
}

void supervisor_refresh_summary(struct supervisor *sv)
{
	if (loop_now_ms(sv->loop) - sv->summary_ms >= SUMMARY_YOUNG_MS)
		send_summary(sv);
}

void supervisor_watched(struct supervisor *sv)
{
	sv->watched_until_ms = loop_now_ms(sv->loop) + WATCHED_MS;
	supervisor_refresh_summary(sv);
	if (!loop_timer_armed(sv->summary_timer))
		loop_timer_start(sv->summary_timer, SUMMARY_YOUNG_MS);
}
