/* SPDX-License-Identifier: MIT */
#include "owners.h"

#include "base/list.h"
#include "base/mem.h"
#include "instance.h"
#include "ipc/messages.h"
#include "supervisor.h"
#include <stdlib.h>
#include <string.h>

enum { OWNERS_MAX = 10000 };

struct owner {
	struct list node;
	char *name;
};

struct owners {
	struct supervisor *sv;
	struct list list;
	size_t count;
};

struct owners *owners_new(struct supervisor *sv)
{
	struct owners *owners = NEW(struct owners);
	if (!owners)
		return NULL;
	owners->sv = sv;
	list_init(&owners->list);
	return owners;
}

static void forget(struct owners *owners, struct owner *o)
{
	list_remove(&o->node);
	owners->count--;
	free(o->name);
	free(o);
}

void owners_free(struct owners *owners)
{
	if (!owners)
		return;
	LIST_FOR_EACH_SAFE (node, &owners->list)
		forget(owners, LIST_ENTRY(node, struct owner, node));
	free(owners);
}

static void tell(struct owners *owners, const struct owner *o)
{
	const struct msg_owner_gone body = { .owner = o->name };
	struct process *scheduler = supervisor_worker(owners->sv, "scheduler");
	if (scheduler)
		instance_send(scheduler, MSG_OWNER_GONE, &body, NULL, 0);
}

void owners_gone(struct owners *owners, const char *name)
{
	struct owner *o = NEW(struct owner);
	if (o)
		o->name = strdup(name);
	if (!o || !o->name) {
		free(o);
		return; /* its leases end by themselves */
	}
	if (owners->count >= OWNERS_MAX)
		forget(owners, LIST_FIRST(&owners->list, struct owner, node));
	list_add_tail(&owners->list, &o->node);
	owners->count++;
	tell(owners, o);
}

void owners_freed(struct owners *owners, const char *name)
{
	LIST_FOR_EACH_SAFE (node, &owners->list) {
		struct owner *o = LIST_ENTRY(node, struct owner, node);
		if (strcmp(o->name, name) == 0)
			forget(owners, o);
	}
}

void owners_tell_all(struct owners *owners)
{
	LIST_FOR_EACH (node, &owners->list)
		tell(owners, LIST_ENTRY(node, struct owner, node));
}
