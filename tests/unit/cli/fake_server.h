/* SPDX-License-Identifier: MIT */
#pragma once
/* A supervisor for tests: answers REQUESTs on a socket from a script, in order, on a thread of its
 * own. */
#include <stdbool.h>
#include <stddef.h>

struct fake_answer {
	const char *verb;  /* what must be asked */
	const char *page;  /* JSON of the (first) page; NULL: hang up without an answer */
	const char *page2; /* NULL: there is none */
	unsigned exit_code;
	bool hang_up;	     /* afterwards */
	bool stop_listening; /* afterwards: nobody answers until listening is started again 300 ms
				later */
};

struct fake_server;
/** Listens at a fresh path until the script (ends with a NULL verb) is done. Asserts on trouble. */
struct fake_server *fake_server_start(const struct fake_answer *script);
const char *fake_server_path(const struct fake_server *server);
/** Waits for the script's end, fails the test when something else was asked. */
void fake_server_finish(struct fake_server *server);
/** The arguments of the n-th question, "" when there was none. */
const char *fake_server_args(const struct fake_server *server, size_t n);
