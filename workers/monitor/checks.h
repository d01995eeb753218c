/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Probes asked by the supervisor, answered by CHECK_RESULT. One deadline, counted from the
 * question, holds for all of it: name, connection, TLS, headers, body. Each has a connection of its
 * own.
 */
struct checks;
struct monitor;
struct msg_check_http;
struct msg_check_tcp;

struct checks *checks_new(struct monitor *m); /* NULL: out of memory */
void checks_free(struct checks *c);	      /* unanswered ones stay unanswered: unknown */
/** One GET; redirects are not followed. */
void checks_ask_http(struct checks *c, const struct msg_check_http *ask);
/** One connection, to any of the name's addresses. */
void checks_ask_tcp(struct checks *c, const struct msg_check_tcp *ask);
