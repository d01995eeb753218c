/* SPDX-License-Identifier: MIT */
#pragma once
/* Intrusive doubly linked ring. A node that is in no list points at itself. */
#include "base/compiler.h"
#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}
static inline void list_add_head(struct list *head, struct list *node)
{
	list_add_tail(head->next, node);
}
/** Safe on a node that is in no list, if it was initialised. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}
#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FIRST(head, type, member) \
	(list_empty(head) ? (type *)NULL : LIST_ENTRY((head)->next, type, member))
#define LIST_FOR_EACH(node, head) \
	for (struct list *node = (head)->next; node != (head); node = node->next)
/* The body may remove `node` (and nothing else). */
#define LIST_FOR_EACH_SAFE(node, head)                                                    \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
		node = node##_next, node##_next = node->next)
