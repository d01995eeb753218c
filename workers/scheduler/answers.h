/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Answers the command line's questions about jobs, runs, tasks and dead letters; shapes:
 * ipc/control.def. Pages are at most PAGE_MAX bytes. Exit codes: 0; 1 not now (away: asking again
 * may help); 2 wrong arguments; 4 no such job, run or dead letter; 5 not permitted.
 */
struct answers;
struct msg_question;
struct scheduler;

struct answers *answers_new(struct scheduler *s); /* NULL: out of memory */
void answers_free(struct answers *a);		  /* questions in work stay without an answer */
/** Until the store is ready, what needs it is answered with an error. */
void answers_ask(struct answers *a, const struct msg_question *question);
