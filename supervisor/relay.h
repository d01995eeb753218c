/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Passes questions of the command line on to scheduler or monitor and their answers back, unread.
 * Each question gets its answer: an error when who should answer is away or dies over it.
 */
#include "ipc/control.h"
#include <stdbool.h>
#include <stddef.h>

struct client;
struct msg_answer;
struct msg_request;
struct process;
struct relay;
struct supervisor;

struct relay *relay_new(struct supervisor *sv);
void relay_free(struct relay *relay);
/** Asks for the client; its pages come by control_page(). */
void relay_ask(struct relay *relay, struct client *client, enum control_target target,
	const struct msg_request *request, unsigned uid, bool may_change);
/** One page from a worker. */
void relay_answer(struct relay *relay, const struct process *from, const struct msg_answer *answer);
/** This worker answers no more: what was asked of it is answered with an error. */
void relay_target_away(struct relay *relay, const struct process *p);
/** The client is gone: its answers are dropped when they come. */
void relay_client_gone(struct relay *relay, const struct client *client);
