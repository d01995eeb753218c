/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include "base/list.h"
#include "base/mem.h"
#include "control.h"
#include "instance.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "supervisor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
	struct list node;
	uint64_t id;
	struct client *client;
	const struct process *target;
};

/* A part that does not get on with its work is not buried under questions. */
enum { QUESTIONS_MAX = 256, UNREAD_MAX = 256 * 1024 };

struct relay {
	struct supervisor *sv;
	size_t count;
	struct list questions;
	uint64_t last_id;
};

struct relay *relay_new(struct supervisor *sv)
{
	struct relay *relay = NEW(struct relay);
	if (!relay)
		return NULL;
	relay->sv = sv;
	list_init(&relay->questions);
	return relay;
}

static void forget(struct relay *relay, struct question *q)
{
	relay->count--;
	list_remove(&q->node);
	free(q);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	LIST_FOR_EACH_SAFE (node, &relay->questions)
		forget(relay, LIST_ENTRY(node, struct question, node));
	free(relay);
}

static void answer_away(struct client *client, const char *who, const char *what)
{
	char json[256];
	snprintf(json, sizeof(json), "{\"error\":\"%s %s\",\"away\":true}", who, what);
	control_page(client, json, strlen(json), true, 1);
}

void relay_ask(struct relay *relay, struct client *client, enum control_target target,
	const struct msg_request *request, unsigned uid, bool may_change)
{
	const char *who = target == CONTROL_SCHEDULER ? "scheduler" : "monitor";
	struct process *p = supervisor_worker(relay->sv, who);
	if (p && (relay->count >= QUESTIONS_MAX ||
			 channel_queued(p->instance->channel) > UNREAD_MAX)) {
		answer_away(client, who, "is busy");
		return;
	}
	struct question *q = p ? NEW(struct question) : NULL;
	if (!q) {
		answer_away(client, who, "is not running");
		return;
	}
	*q = (struct question) { .id = ++relay->last_id, .client = client, .target = p };
	list_add_tail(&relay->questions, &q->node);
	relay->count++;
	uint64_t id = q->id;
	const struct msg_question body = { .id = id,
		.uid = uid,
		.may_change = may_change,
		.verb = request->verb,
		.args = request->args };
	if (instance_send(p, MSG_QUESTION, &body, NULL, 0))
		return;
	/* When sending has ended the worker, the question has been answered on the way. */
	LIST_FOR_EACH_SAFE (node, &relay->questions)
		if (LIST_ENTRY(node, struct question, node)->id == id) {
			forget(relay, LIST_ENTRY(node, struct question, node));
			answer_away(client, who, "cannot be asked");
		}
}

void relay_answer(struct relay *relay, const struct process *from, const struct msg_answer *answer)
{
	LIST_FOR_EACH (node, &relay->questions) {
		struct question *q = LIST_ENTRY(node, struct question, node);
		if (q->id != answer->id || q->target != from)
			continue;
		struct client *client = q->client;
		if (answer->last)
			forget(relay, q);
		if (client)
			control_page(client, answer->json.data, answer->json.len, answer->last != 0,
				(int)answer->exit_code);
		return;
	}
}

void relay_target_away(struct relay *relay, const struct process *p)
{
	if (!relay)
		return;
	for (bool more = true; more;) {
		more = false;
		LIST_FOR_EACH (node, &relay->questions) {
			struct question *q = LIST_ENTRY(node, struct question, node);
			if (q->target != p)
				continue;
			struct client *client = q->client;
			forget(relay, q);
			if (client)
				answer_away(client, p->name, "ended before it answered");
			more = true;
			break;
		}
	}
}

void relay_client_gone(struct relay *relay, const struct client *client)
{
	if (!relay)
		return;
	LIST_FOR_EACH (node, &relay->questions) {
		struct question *q = LIST_ENTRY(node, struct question, node);
		if (q->client == client)
			q->client = NULL;
	}
}
