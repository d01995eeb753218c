/* SPDX-License-Identifier: MIT */
#pragma once
/* Answers the command line's questions about jobs, runs, tasks and dead letters; shapes:
 * ipc/control.def. */
struct answers;
struct msg_question;
struct scheduler;

struct answers *answers_new(struct scheduler *s); /* NULL: out of memory */
void answers_free(struct answers *a);
/** The store is ready; until then questions are answered with an error. */
void answers_open(struct answers *a);
void answers_ask(struct answers *a, const struct msg_question *question);
