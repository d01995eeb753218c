/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line's end of the control socket: one question, its pages, one answer. Blocks. */
#include "base/compiler.h"
#include <jansson.h>
#include <stdint.h>

struct cli;
struct client;
struct err;

/**
 * Connects to the first of where_sockets() that answers.
 * @return 0; -ENAMETOOLONG; -EACCES not permitted; -ECONNREFUSED nobody answers; err has words for
 * each
 */
int client_connect(struct client **out, const char *socket_option, struct err *err) MUST_CHECK;
/** From a connected SOCK_SEQPACKET socket, which it takes; NULL when out of memory. */
struct client *client_from_fd(int fd);
void client_free(struct client *client); /* NULL is fine */
DEFINE_FREEP(struct client, client)

/* Called about four times a second while an answer is awaited. */
typedef void (*client_tick)(void *arg, int64_t waited_ms);

struct client_question {
	const char *verb;
	const char *args;   /* NULL: none */
	int64_t timeout_ms; /* of each page; 0: as long as the connection lives */
	client_tick tick;   /* NULL: none */
	void *arg;
};
/**
 * Asks and joins the pages: arrays of the same key are appended, of anything else the last page's
 * counts.
 * @param answer     an object that the caller decrefs
 * @param exit_code  of the last page
 * @return 0; -EPIPE the connection ended; -ETIMEDOUT; -EPROTO; -ENOMEM. After an error only
 * client_free() is left.
 */
int client_ask(struct client *client, const struct client_question *q, json_t **answer,
	int *exit_code, struct err *err) MUST_CHECK;
