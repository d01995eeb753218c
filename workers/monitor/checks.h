/* SPDX-License-Identifier: MIT */
#pragma once
/* HTTP probes asked by the supervisor: one GET with one deadline for the whole, answered by
 * CHECK_RESULT. */
struct checks;
struct monitor;
struct msg_check_http;

struct checks *checks_new(struct monitor *m); /* NULL: out of memory */
void checks_free(struct checks *c);	      /* unanswered ones stay unanswered: unknown */
void checks_ask(struct checks *c, const struct msg_check_http *ask);
