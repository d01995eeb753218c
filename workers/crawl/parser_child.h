/* SPDX-License-Identifier: MIT */
#pragma once
/* One parser child: its process, its socket, one frame on the way each way. Knows no queue. */
#include "base/buf.h"
#include "base/compiler.h"
#include "html/frame.h"
#include <stdbool.h>

struct err;
struct loop;
struct parser_child;

struct parser_child_ops {
	/** A whole frame; body is valid during the call. */
	void (*frame)(void *arg, enum parse_frame type, const char *body, size_t len);
	/** The child is gone, reaped; `how` says in words ("signal 11"). Free it from here. */
	void (*gone)(void *arg, const char *how);
};
/** Starts the program with its end of a socket pair as descriptor 3. @return 0; negative errno with
 * words */
int parser_child_start(struct parser_child **out, struct loop *loop, const char *program,
	const struct parser_child_ops *ops, void *arg, struct err *err) MUST_CHECK;
/** Kills and reaps it when it still lives, without a callback. NULL is fine. */
void parser_child_free(struct parser_child *child);
/** Ends it with SIGKILL; gone() follows, with `why` in place of the signal. */
void parser_child_kill(struct parser_child *child, const char *why);
/** Where frames are put before parser_child_send(). */
struct buf *parser_child_out(struct parser_child *child);
/** @return 0; -ENOMEM the frame did not fit, nothing was sent */
int parser_child_send(struct parser_child *child) MUST_CHECK;
int parser_child_pid(const struct parser_child *child);
