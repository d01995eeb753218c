/* SPDX-License-Identifier: MIT */
#pragma once
/* Takes pages apart, one after the other, as the frames on a socket ask. */
#include "base/compiler.h"

/** Blocks until the other side is gone. @return an exit code: 0 at its end, 1 when it does not keep
 * the protocol */
int serve(int fd) MUST_CHECK;
/** Reads expressions that end with NUL from `in`, answers a line each: "ok" or "error OFFSET
 * WORDS". */
int serve_check(int in, int out) MUST_CHECK;
